"""Images that a generator draws from z, as a dataset: what is asked for is drawn.

dataset = Generated(generator, latents(seed, 0, 1000, size), seed)
dataset.image(3)      # (height, width, 3) uint8 RGB
"""

import numpy as np
import torch
from torch import Tensor, nn

from dissection.data import Dataset


def to_pixels(images: Tensor) -> Tensor:
    """(n, 3, h, w) from -1 to 1, what is beyond clipped -> uint8."""
    return images.clamp(-1, 1).add(1).mul(127.5).round().to(torch.uint8)


class Generated(Dataset):
    """Image i is drawn from z[i]."""

    def __init__(self, generator: nn.Module, z: Tensor, device: torch.device):
        """z: (images, size)."""
        self.generator, self.z, self.device = generator.to(device), z[:, :, None, None], device

    def __len__(self) -> int:
        return len(self.z)

    def key(self, index: int) -> str:
        return f"z {index}"

    def image(self, index: int) -> np.ndarray:
        with torch.inference_mode():
            drawn = self.generator(self.z[index : index + 1].to(self.device))
        return to_pixels(drawn)[0].permute(1, 2, 0).cpu().numpy()
