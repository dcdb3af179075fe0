"""Read ahead of what is computed, and read what no memory holds."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor


def ahead(load: Callable, items: Any, threads: int) -> Iterator:
    """map(load, items) in order, a few items ahead of what is asked for. items: a sequence, or rows of a tensor."""
    with ThreadPoolExecutor(threads) as pool:
        pending = [pool.submit(load, item) for item in items[: threads + 1]]
        for index in range(len(items)):
            result = pending.pop(0).result()
            if index + threads + 1 < len(items):
                pending.append(pool.submit(load, items[index + threads + 1]))
            yield result


class Streamed:
    """Rows of a tensor that are read when they are asked for, by so many threads."""

    def __init__(self, row: Callable[[int], np.ndarray], names: Sequence[str], threads: int):
        """row: of an index, any array; names: of the rows, in their order."""
        self._row, self.names = row, names
        self._pool = ThreadPoolExecutor(threads)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, rows: Tensor) -> Tensor:
        """(n,) indices -> (n, ...)"""
        return torch.from_numpy(np.stack(list(self._pool.map(self._row, rows.tolist()))))

    def batches(self, order: Tensor) -> Iterator[Tensor]:
        """(batches, n) indices -> (n, ...) each, the next ones being read meanwhile."""
        return ahead(self.__getitem__, order, 1)
