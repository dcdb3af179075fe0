"""Sliced Wasserstein distance between the patches of two sets of images (SWD; Karras et al. 2018, section 5).

    real, made = Patches(seed=1), Patches(seed=1)
    real.add(images)                        # (n, 3, h, w), as often as there are batches
    sliced_wasserstein(real, made)          # {32: 0.0123, 16: 0.0045}: size of the pyramid's level -> distance

Their paper prints 1000 times these numbers and the mean of all levels, of 16384 images a set.
"""

from collections.abc import Iterator
from typing import Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from dissection.errors import DissectionError

SIDE = 7  # of a patch, in pixels
SMALLEST = 16  # a level of fewer rows is not made
BINOMIAL = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16


def _blur(images: Tensor) -> Tensor:
    """(n, c, h, w), mirrored at its borders, the outermost pixels not repeated."""
    channels = images.shape[1]
    kernel = BINOMIAL.to(images.device).expand(channels, 1, 5)
    images = F.pad(images, (2, 2, 2, 2), mode="reflect")
    images = F.conv2d(images, kernel[:, :, None], groups=channels)
    return F.conv2d(images, kernel[..., None], groups=channels)


def _double(images: Tensor) -> Tensor:
    """(n, c, h, w) -> (n, c, 2 h, 2 w)."""
    n, c, h, w = images.shape
    spread = images.new_zeros(n, c, 2 * h, 2 * w)
    spread[..., ::2, ::2] = images
    return 4 * _blur(spread)


def laplacian_pyramid(images: Tensor) -> list[Tensor]:
    """(n, 3, h, w) -> levels of half the size each, finest first, down to 16 rows.

    A level is what the next, doubled, lacks of it; the last is what remains of the images.
    Raises DissectionError for images of fewer than 16 rows or columns, or of odd size at a level that is halved.
    """
    level, pyramid = images.float(), []
    if min(level.shape[2:]) < SMALLEST:
        raise DissectionError(f"sliced Wasserstein distance: images of {tuple(level.shape[2:])} pixels; "
                              f"it takes at least {SMALLEST}")  # fmt: skip
    while min(level.shape[2:]) >= 2 * SMALLEST:
        if any(length % 2 for length in level.shape[2:]):
            raise DissectionError(f"sliced Wasserstein distance: a level of {tuple(level.shape[2:])} pixels "
                                  "cannot be halved; resize the images to 16, 32, 64, ...")  # fmt: skip
        half = _blur(level)[..., ::2, ::2]
        pyramid.append(level - _double(half))
        level = half
    return [*pyramid, level]


class Patches:
    """Patches of 7 x 7 pixels at random places of every level of the images' pyramids.

    Where they are depends on (seed, number of the image, level) alone. A patch takes 588 bytes.
    """

    def __init__(self, seed: int, patches: int = 128, first: int = 0):
        """patches: of an image's level. first: number of the first image, for parts to be merged."""
        self.seed, self.patches, self.next = seed, patches, first
        self._levels: dict[int, list[Tensor]] = {}

    def counts(self) -> dict[int, int]:
        """Rows of a level -> number of patches."""
        return {size: sum(map(len, parts)) for size, parts in self._levels.items()}

    def level(self, size: int) -> Tensor:
        """(patches, 3, 7, 7) float32 of the level of so many rows."""
        return torch.cat(self._levels[size])

    def add(self, images: Tensor) -> None:
        """images: (n, 3, h, w), uint8 or float in any range; the distance does not depend on the scale."""
        for number, level in enumerate(laplacian_pyramid(images)):
            height, width = level.shape[2:]
            corners = np.stack([
                np.random.default_rng((self.seed, self.next + i, number)).integers(
                    0, (height - SIDE + 1, width - SIDE + 1), (self.patches, 2)
                )
                for i in range(len(images))
            ])  # fmt: skip
            y, x = torch.from_numpy(corners).to(level.device).unbind(-1)  # (n, patches)
            image = torch.arange(len(images), device=level.device)[:, None]
            windows = level.unfold(2, SIDE, 1).unfold(3, SIDE, 1)  # (n, 3, rows, columns, 7, 7)
            found = windows[image, :, y, x].flatten(0, 1)
            self._levels.setdefault(height, []).append(found)
        self.next += len(images)

    def merge(self, other: Self) -> None:
        for size, parts in other._levels.items():
            self._levels.setdefault(size, []).extend(parts)


def sliced_wasserstein(
    a: Patches, b: Patches, directions: int = 512, seed: int = 0
) -> dict[int, float]:
    """Rows of a level -> mean, over random directions, of the Wasserstein-1 distance between the two sets of
    patches projected on it. Patches are standardised beforehand by each colour channel of their own set.

    Raises DissectionError unless both sets have the same levels and equally many patches.
    """
    counts = a.counts()
    if counts != b.counts() or not counts:
        raise DissectionError("sliced Wasserstein distance: expected as many images of the same size; "
                              f"found (rows: patches) {counts} and {b.counts()}")  # fmt: skip
    rng = np.random.default_rng(seed)
    distances = {}
    for size in counts:
        towards = rng.standard_normal((directions, 3, SIDE * SIDE))
        towards /= np.sqrt((towards**2).sum((1, 2), keepdims=True))
        projections = [_sorted(p.level(size), torch.from_numpy(towards)) for p in (a, b)]
        # directions a few at a time: that bounds memory to some numbers a patch
        apart = [torch.sub(*pair).abs().mean(1) for pair in zip(*projections, strict=True)]
        distances[size] = float(torch.cat(apart).mean())
    return distances


def _sorted(patches: Tensor, directions: Tensor, some: int = 16) -> Iterator[Tensor]:
    """(n, 3, 7, 7) and (directions, 3, 49) -> (some, n) at a time: the standardised patches on each direction,
    ascending.

    Standardising is linear, so it is the directions that are scaled, and no copy of the patches is made.
    """
    deviation, mean = (s.double().cpu() for s in torch.std_mean(patches, (0, 2, 3), correction=0))
    scaled = directions / deviation.where(deviation > 0, 1.0)[:, None]
    offset = (scaled.sum(2) * mean).sum(1, keepdim=True).float().to(patches.device)
    scaled = scaled.flatten(1).float().to(patches.device)
    for towards, middle in zip(scaled.split(some), offset.split(some), strict=True):
        projections = towards @ patches.flatten(1).T - middle
        if patches.device.type == "cpu":  # numpy sorts with vector instructions, 18 times as fast
            yield torch.from_numpy(np.sort(projections.numpy(), axis=1))
        else:
            yield projections.sort(1).values
