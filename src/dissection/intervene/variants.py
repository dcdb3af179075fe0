"""How far the images of several generators are from those that they learned to draw (thesis figure 4-7).

    distances(config, "fig_4_7", out, device, threads)      # distances.csv

The sliced Wasserstein distance is between patches of the levels of the images' Laplacian pyramids, as of
`stats.wasserstein`, whose paper prints 1000 times it.
"""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from tqdm import tqdm

from dissection.config import Config
from dissection.data import Dataset, dataset_of
from dissection.errors import DissectionError
from dissection.files import write_csv
from dissection.networks import module_of, to_pixels
from dissection.networks.progan import latents
from dissection.stats import Patches, sliced_wasserstein

BATCH = 64
REAL = "real"  # other images of the dataset: the least distance that so few images can have


def distances(config: Config, row: str, out: Path, device: torch.device, threads: int) -> None:
    """
    distances.csv: network (as published, and `real`, other real images), images (of either kind), level (rows of the
    pyramid's level), swd (1000 times the sliced Wasserstein distance to real images).
    """
    spec = getattr(config.rows, row)
    reals = dataset_of(config, spec.real)
    if len(reals) < 2 * spec.images:
        raise DissectionError(
            f"rows.{row}.images: {spec.images}; {spec.real} has {len(reals)} images, and twice as many are needed: one"
            " half is compared with the other too"
        )
    lines: list[dict] = []
    sides, compared = set(), Patches(spec.seed)
    for name, network in spec.networks.items():
        latent = config.networks[network].latent
        if latent is None:
            raise DissectionError(f"networks.{network}.latent: missing, so it draws no images")
        z = latents(spec.seed, 0, spec.images, latent.size)
        patches, side = _patches(drawn(module_of(config, network, device), z, device), spec.seed)
        sides.add(side)
        if len(sides) > 1:
            raise DissectionError(
                f"rows.{row}.networks: images of {sorted(sides)} pixels; their distances cannot be compared"
            )
        if not lines:
            halves = range(spec.images), range(spec.images, 2 * spec.images)
            compared, others = (_patches(read(reals, half, side), spec.seed)[0] for half in halves)
            lines += _lines(REAL, spec.images, sliced_wasserstein(compared, others))
            del others  # gigabytes, of as many images as are published
        lines += _lines(name, spec.images, sliced_wasserstein(compared, patches))
    write_csv(pd.DataFrame(lines), out / "distances.csv")


def drawn(generator: nn.Module, z: Tensor, device: torch.device) -> Iterator[Tensor]:
    """(n, 3, h, w) uint8 at a time. z: (images, size)."""
    with torch.inference_mode():
        for some in tqdm(z.split(BATCH), "images", unit="batch"):
            yield to_pixels(generator(some.to(device)))


def read(dataset: Dataset, images: range, side: int) -> Iterator[Tensor]:
    """(n, 3, side, side) uint8 at a time: the largest square in the middle of each image, scaled by area."""
    for start in range(images.start, images.stop, BATCH):
        some = range(start, min(start + BATCH, images.stop))
        squares = np.stack([square(dataset.image(i), side) for i in some])
        yield torch.from_numpy(squares).permute(0, 3, 1, 2)


def square(image: np.ndarray, side: int) -> np.ndarray:
    """(h, w, 3) uint8 -> (side, side, 3)."""
    h, w = image.shape[:2]
    least = min(h, w)
    y, x = (h - least) // 2, (w - least) // 2
    middle = image[y : y + least, x : x + least]
    return middle if least == side else cv2.resize(middle, (side, side), None, 0, 0, cv2.INTER_AREA)


def _patches(batches: Iterator[Tensor], seed: int) -> tuple[Patches, int]:
    """Patches of the images, and their side."""
    patches, side = Patches(seed), 0
    for batch in batches:
        patches.add(batch)
        side = batch.shape[-1]
    return patches, side


def _lines(name: str, images: int, found: dict[int, float]) -> list[dict]:
    return [
        {"network": name, "images": images, "level": level, "swd": 1000 * distance}
        for level, distance in found.items()
    ]
