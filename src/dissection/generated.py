"""Images that a generator draws from z, as a dataset: what is asked for is drawn.

dataset = generated_of(config, entry, device)
dataset.image(3)      # (height, width, 3) uint8 RGB
"""

import numpy as np
import torch
from torch import Tensor, nn

from dissection.config import Config, Dissection
from dissection.data import Dataset
from dissection.errors import DissectionError
from dissection.networks import module_of, to_pixels
from dissection.networks.progan import latents


class Generated(Dataset):
    """Image i is drawn from z[i]."""

    def __init__(self, generator: nn.Module, z: Tensor, device: torch.device):
        """z: (images, size, 1, 1)."""
        self.generator, self.z, self.device = generator.to(device), z, device

    def __len__(self) -> int:
        return len(self.z)

    def key(self, index: int) -> str:
        return f"z {index}"

    def image(self, index: int) -> np.ndarray:
        with torch.inference_mode():
            drawn = self.generator(self.z[index : index + 1].to(self.device))
        return to_pixels(drawn)[0].permute(1, 2, 0).cpu().numpy()


def generated_of(config: Config, entry: Dissection, device: torch.device) -> Generated:
    """The images that a generator of the profile is dissected on, once its weights are there."""
    z = z_of(config, entry, config.generated[entry.dataset].seed)
    return Generated(module_of(config, entry.network, device), z, device)


def z_of(config: Config, entry: Dissection, seed: int) -> Tensor:
    """(images, size, 1, 1) float32: z of the images of a dissection, or of their like of another seed."""
    latent = config.networks[entry.network].latent
    if latent is None:
        raise DissectionError(f"networks.{entry.network}.latent: missing, so it draws no images")
    return latents(seed, 0, config.generated[entry.dataset].images, latent.size)[:, :, None, None]
