"""The images on which each unit peaks highest."""

from pathlib import Path
from typing import Self

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from dissection.paths import replacing


class TopImages:
    """For each unit the k images with the highest peak max_xy a_k(x); of equal peaks the lower image index."""

    def __init__(self, units: int, k: int, device: torch.device | str = "cpu"):
        self.k = k
        self.peaks = torch.empty(units, 0, device=device)  # (units, <= k), descending
        self.images = torch.empty(units, 0, dtype=torch.int64, device=device)

    def add(self, images: Tensor, peaks: Tensor) -> None:
        """images: (n,) indices; peaks: (n, units)."""
        self._take(images.expand(peaks.shape[1], -1), peaks.T)

    def _take(self, images: Tensor, peaks: Tensor) -> None:
        images, order = torch.cat([self.images, images], 1).sort(1)
        peaks = torch.cat([self.peaks, peaks], 1).gather(1, order)
        peaks, order = peaks.sort(dim=1, descending=True, stable=True)
        self.peaks, self.images = peaks[:, : self.k], images.gather(1, order)[:, : self.k]

    def merge(self, other: Self) -> None:
        self._take(other.images, other.peaks)

    def save(self, path: Path) -> None:
        with replacing(path) as beside:
            save_file({"peaks": self.peaks.contiguous(), "images": self.images.contiguous(),
                       "k": torch.tensor([self.k])}, beside)  # fmt: skip

    @classmethod
    def load(cls, path: Path) -> Self:
        state = load_file(path)
        loaded = cls(len(state["peaks"]), int(state["k"]))
        loaded.peaks, loaded.images = state["peaks"], state["images"]
        return loaded
