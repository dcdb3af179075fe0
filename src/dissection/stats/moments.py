"""Uncentred second moments of activation vectors."""

from pathlib import Path
from typing import Self

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from dissection.paths import replacing

BLOCK, ROWS = 128, 512  # units, and vectors at a time, that stay in a processor's cache


class SecondMoment:
    """E[k k^T] over all vectors k (thesis 6.3, the C of the whitened key), summed in float64.

    It is symmetric: of the sum only the upper triangle of blocks is kept up.
    """

    def __init__(self, units: int, device: torch.device | str = "cpu"):
        self.sum = torch.zeros(units, units, dtype=torch.float64, device=device)
        self.count = 0

    def add(self, vectors: Tensor) -> None:
        """vectors: (n, units)."""
        for part in vectors.split(ROWS):
            part = part.double()
            for at in range(0, len(self.sum), BLOCK):
                block = slice(at, at + BLOCK)
                self.sum[block, at:].addmm_(part[:, block].T, part[:, at:])
        self.count += len(vectors)

    def moment(self) -> Tensor:
        """(units, units) float64."""
        return (self.sum.triu() + self.sum.triu(1).T) / self.count

    def merge(self, other: Self) -> None:
        self.sum += other.sum
        self.count += other.count

    def save(self, path: Path) -> None:
        with replacing(path) as beside:
            save_file({"sum": self.sum, "count": torch.tensor([self.count])}, beside)

    @classmethod
    def load(cls, path: Path) -> Self:
        state = load_file(path)
        loaded = cls(len(state["sum"]))
        loaded.sum, loaded.count = state["sum"], int(state["count"])
        return loaded
