"""Uncentred second moments of activation vectors."""

from pathlib import Path
from typing import Self

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from dissection.paths import replacing


class SecondMoment:
    """E[k k^T] over all vectors k (thesis 6.3, the C of the whitened key), summed in float64."""

    def __init__(self, units: int, device: torch.device | str = "cpu"):
        self.sum = torch.zeros(units, units, dtype=torch.float64, device=device)
        self.count = 0

    def add(self, vectors: Tensor) -> None:
        """vectors: (n, units)."""
        vectors = vectors.double()
        self.sum.addmm_(vectors.T, vectors)
        self.count += len(vectors)

    def moment(self) -> Tensor:
        """(units, units) float64."""
        return self.sum / self.count

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
