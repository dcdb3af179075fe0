"""Parts of a layer's features rendered in isolation, against parts of whole images (thesis B.7, figures B-7 to B-12).

    cut = Cut(network, "layer4")
    alone, whole = cut.patches(z, side=16, seed=1)           # (n, 3, 16, 16) uint8, the same places of the same images
    distance = patch_distance(cut, extractor, z, others, side=16, seed=1)

A crop of the features goes through the rest of the generator as if there were nothing around it. A low Fréchet
distance from crops of whole images says that neighbouring places hardly depend on one another. Features are those that
the layer puts out; a StyleGAN2's image so far, which later layers add to, is cropped along with them.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from dissection.errors import DissectionError
from dissection.features import Extractor
from dissection.networks import to_pixels
from dissection.networks.stylegan2 import State, StyleGAN2, doubled
from dissection.probe import split
from dissection.stats import FrechetDistance, Gaussian, frechet_distance

BATCH = 50


class Halfway(NamedTuple):
    """A generator's state behind a layer."""

    maps: list[Tensor]  # (n, units, h, w) features, and what else has places: (n, c, k h, k w)
    render: Callable[[list[Tensor]], Tensor]  # these, or crops of them -> (n, 3, H, W)


class Cut:
    """A generator cut behind a layer."""

    def __init__(self, network: nn.Module, layer: str):
        self.network, self.layer = network.eval().requires_grad_(False), layer
        self._split = None if isinstance(network, StyleGAN2) else split(network, layer)

    def halfway(self, z: Tensor) -> Halfway:
        """z: (n, size)"""
        if isinstance(self.network, StyleGAN2):
            return _halfway(self.network, self.layer, z)
        assert self._split is not None
        head, tail = self._split
        state = head(z)
        places = [i for i, s in enumerate(state) if s.dim() == 4 and s.shape[2] > 1]

        def render(maps: list[Tensor]) -> Tensor:
            given = dict(zip(places, maps, strict=True))
            every = tuple(given.get(i, s) for i, s in enumerate(state))
            return tail(every, every[0])

        return Halfway([state[i] for i in places], render)

    @torch.inference_mode()
    def patches(self, z: Tensor, side: int, seed: int, first: int = 0) -> tuple[Tensor, Tensor]:
        """(n, size) z of images `first` ... -> their patches of `side` pixels rendered alone, and as they are in the
        whole image: (n, 3, side, side) uint8 each. The place of each is drawn from (seed, number).

        Raises DissectionError unless `side` pixels are whole cells of the layer.
        """
        halfway = self.halfway(z.to(next(self.network.parameters()).device))
        whole = to_pixels(halfway.render(halfway.maps))
        cells, pixels = halfway.maps[0].shape[2], whole.shape[2]
        crop = side * cells // pixels
        if crop * pixels != side * cells or not 0 < crop <= cells:
            raise DissectionError(
                f"patches of {side} pixels: {self.layer} has {cells} cells for {pixels} pixels;"
                f" choose a multiple of {pixels // cells} up to {pixels}"
            )
        at = places(len(z), cells - crop + 1, seed, first)
        crops = [cropped(m, at * (m.shape[2] // cells), crop * m.shape[2] // cells) for m in halfway.maps]  # fmt: skip
        alone = to_pixels(halfway.render(crops))
        return alone, cropped(whole, at * pixels // cells, side)

    @torch.inference_mode()
    def crops(self, z: Tensor, side: int, seed: int, first: int = 0) -> Tensor:
        """(n, 3, side, side) uint8 anywhere in whole images."""
        whole = to_pixels(self.network(z.to(next(self.network.parameters()).device)))
        return cropped(whole, places(len(z), whole.shape[2] - side + 1, seed, first), side)


def _halfway(network: StyleGAN2, layer: str, z: Tensor) -> Halfway:
    """The image so far at the size that the next layer's part of it has, and the layers up to that part without it."""
    number = int(layer.removeprefix("layer"))
    level, before = (number + 1) // 2, network.run(network.start(z), until=layer)
    after, joins = layer, f"rgb{level}"
    if number % 2 == 0:  # its own part, which crops no longer need
        before = network.run(before, after=layer, until=f"rgb{level}")
        after, joins = f"rgb{level}", f"rgb{level + 1}"
    if joins not in dict(network.named_children()):
        raise DissectionError(f"layer {layer!r}: the last; nothing is left to render its features")
    maps = [before.features] if before.rgb is None else [before.features, doubled(before.rgb)]

    def render(maps: list[Tensor]) -> Tensor:
        state: State = before._replace(features=maps[0], rgb=None)
        state = network.run(state, after=after, until=joins)
        assert state.rgb is not None
        if len(maps) > 1:
            state = state._replace(rgb=state.rgb + maps[1])
        rgb = network.run(state, after=joins).rgb
        assert rgb is not None
        return rgb

    return Halfway(maps, render)


def places(count: int, choices: int, seed: int, first: int = 0) -> Tensor:
    """(count, 2) int64 from 0 to choices - 1, row i from (seed, first + i) alone."""
    rows = [np.random.default_rng((seed, first + i)).integers(0, choices, 2) for i in range(count)]
    return torch.from_numpy(np.stack(rows))


def cropped(maps: Tensor, at: Tensor, side: int) -> Tensor:
    """(n, c, h, w) -> (n, c, side, side), each at its own row and column."""
    rows, columns = at.to(maps.device).T[..., None] + torch.arange(side, device=maps.device)
    image = torch.arange(len(maps), device=maps.device)[:, None, None]
    return maps[image, :, rows[:, :, None], columns[:, None]].permute(0, 3, 1, 2)


def patch_distance(
    cut: Cut, extractor: Extractor, z: Tensor, others: Tensor, side: int, seed: int
) -> FrechetDistance:
    """Fréchet distance of patches of z, rendered alone, from crops anywhere in images of `others`; (n, size) both."""
    alone, whole = (Gaussian(extractor.units, extractor.device) for _ in range(2))
    for first in range(0, len(z), BATCH):
        alone.add(extractor(cut.patches(z[first : first + BATCH], side, seed, first)[0]))
    for first in range(0, len(others), BATCH):
        some = others[first : first + BATCH]
        whole.add(extractor(cut.crops(some, side, seed, len(z) + first)))
    return frechet_distance(whole, alone)
