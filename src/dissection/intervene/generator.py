"""Force units of a generator's layer on and off, and count what appears and disappears (thesis 4.3.2).

    generator = Generator(network, "layer4")
    state = generator.head(z)                                   # r and what else the rest needs; once
    without = Intervention(only(trees[:20], units))             # x_a: 20 of the layer's units set to 0
    door = Intervention(only(doors[:20], units), k, where)      # x_i: set to k at the locations P
    generator.images(state, door)                               # (n, 3, H, W) uint8

    counts = sweep(generator, segmenter, z, [without, door], concepts)
    counts.after - counts.before[:, None]                       # (images, interventions, concepts) pixels

An intervention puts alpha k + (1 - alpha) r in place of the features r at the locations P (eq. 4.5), with a
strength alpha for each unit; 0 and 1 give eq. 4.3. P are places of the layer's grid, (h, w) bool.

Counts are integers for each image and each intervention: they do not depend on the batch, and parts of a sample
are joined by concatenation. An intervention that leaves an image's features as they are is not run, and one at a few
places only as far as they reach (`local`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from dissection.errors import DissectionError
from dissection.intervene.local import Box, Chain, following
from dissection.networks import brightness, to_pixels
from dissection.probe import split

BATCH = 16


class Segmenter(Protocol):
    """Images to labels.

    concepts: one row a concept, index `number` (1, 2, ...), columns `name` and `category`.
    """

    concepts: pd.DataFrame

    def __call__(self, images: Tensor) -> Mapping[str, Tensor]:
        """(n, 3, H, W) uint8 RGB -> category -> (n, maps, H, W) concept numbers, 0 for none."""
        ...

    def scores(self, images: Tensor, concept: int) -> Tensor:
        """(n, 3, H, W) RGB, 0 to 255, not rounded -> (n, H, W) probability of the concept, differentiable."""
        ...


class Generator:
    """
    A generator cut behind a layer. It is put in eval mode and channels-last, and its weights no longer ask for
    gradients.
    """

    def __init__(self, network: nn.Module, layer: str):
        network.eval().requires_grad_(False)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.device = next(network.parameters()).device
        self._head, self._tail = split(network, layer)
        blocks = following(network, layer)
        self.chain = None if blocks is None else Chain(blocks)

    @torch.no_grad()
    def head(self, z: Tensor) -> tuple[Tensor, ...]:
        """z: (n, size) -> the layer's features (n, units, h, w) first, then what else the rest needs."""
        return self._head(z.to(self.device))

    def pixels(self, state: tuple[Tensor, ...], features: Tensor) -> Tensor:
        """(n, 3, H, W), 0 to 255, not rounded: the image with `features` in place of state[0]; differentiable."""
        return brightness(self._tail(state, features))

    @torch.no_grad()
    def images(self, state: tuple[Tensor, ...], change: "Intervention | None" = None) -> Tensor:
        """(n, 3, H, W) uint8"""
        features = state[0] if change is None else change(state[0])
        return to_pixels(self._tail(state, features))

    @torch.no_grad()
    def plain(self, state: tuple[Tensor, ...]) -> list[Tensor]:
        """What `edited` starts from: the input of each block behind the layer, if it is a chain, and the output."""
        return [self._tail(state, state[0])] if self.chain is None else self.chain.run(state[0])

    @torch.no_grad()
    def edited(self, state: tuple[Tensor, ...], plain: list[Tensor], image: Tensor, features: Tensor,
               box: Box) -> Tensor:  # fmt: skip
        """(n, 3, H, W) uint8: state's images image[i], with features[i], which differ from theirs inside `box` only.

        Behind the layer, only what the box reaches is computed, if that is a chain of modules."""
        if self.chain is None or [len(side) for side in box] == list(features.shape[2:]):
            x = self._tail(tuple(s[image] for s in state), features)
        else:
            x = self.chain.patched(plain, image, features, box)
        return to_pixels(x)


@dataclass(frozen=True)
class Intervention:
    """What is forced on a layer, at which strength, where."""

    alpha: Tensor  # (units,) from 0 (untouched) to 1 (forced)
    value: Tensor | float = 0.0  # k, (units,); 0 ablates
    where: Tensor | None = None  # P: (h, w) bool, or (n, h, w) for n images; None: everywhere

    def __call__(self, features: Tensor) -> Tensor:
        """(n, units, h, w) -> alpha k + (1 - alpha) r at P, r elsewhere (eq. 4.5); differentiable in alpha."""
        alpha = self.alpha.to(features)
        value = torch.as_tensor(self.value).to(alpha).expand_as(alpha)
        where = features.new_ones(features.shape[2:]) if self.where is None else self.where
        where = where.to(alpha).expand(len(features), -1, -1)
        return blend(features, alpha[None], value[None], where)


def blend(features: Tensor, alpha: Tensor, value: Tensor, where: Tensor) -> Tensor:
    """features: (n, units, h, w); alpha, value: (n or 1, units); where: (n, h, w)."""
    strength = alpha[:, :, None, None] * where[:, None].to(alpha.dtype)
    # Not r + alpha (k - r), which only comes near k when alpha is 1.
    return strength * value[:, :, None, None] + (1 - strength) * features


def only(chosen: Tensor | Sequence[int], units: int, alpha: Tensor | None = None) -> Tensor:
    """
    (units,) the strength of an intervention on the chosen units, 0 for all others.

    alpha: (units,), 1 where not given. A.4 clips a learned alpha to its n largest: only(order[:n], units, alpha).
    """
    chosen = torch.as_tensor(chosen, dtype=torch.int64)
    strength = torch.zeros(units)
    strength[chosen] = 1.0 if alpha is None else alpha[chosen]
    return strength


def locations(
    h: int, w: int, size: tuple[int, int] = (1, 1), device: torch.device | str = "cpu"
) -> Tensor:
    """(n, h, w) bool: every rectangle of `size` cells, row by row. Raises DissectionError if none fits."""
    high, wide = size
    if high > h or wide > w:
        raise DissectionError(
            f"search.size: {high} by {wide} cells do not fit the layer's {h} by {w}"
        )
    every = torch.zeros(h - high + 1, w - wide + 1, h, w, dtype=torch.bool, device=device)
    for y in range(len(every)):
        for x in range(every.shape[1]):
            every[y, x, y : y + high, x : x + wide] = True
    return every.flatten(0, 1)


def cell_of(pixels: int, cells: int, device: torch.device | str = "cpu") -> Tensor:
    """(pixels,) along one axis, the cell of a layer's grid in which each pixel's centre lies."""
    return (2 * torch.arange(pixels, device=device) + 1) * cells // (2 * pixels)


def cell_pixels(maps: Tensor, concepts: Tensor, h: int, w: int) -> Tensor:
    """
    (n, maps, H, W) concept numbers -> (n, concepts, h, w) int64 pixels that carry each of `concepts`, by the cell
    of an (h, w) grid. A concept that stands twice at a pixel counts once.
    """
    carries = (maps[:, None] == concepts[:, None, None, None]).any(2).float()
    rows, columns = (
        F.one_hot(cell_of(size, cells, maps.device), cells).float()
        for size, cells in ((maps.shape[2], h), (maps.shape[3], w))
    )
    return (rows.T @ carries @ columns).long()  # sums of integers below 2**24 are exact in float32


def cell_area(maps: Tensor, h: int, w: int) -> Tensor:
    """(h, w) int64 pixels of a label map (n, maps, H, W) in each cell."""
    return cell_pixels(torch.zeros_like(maps[:1, :1]), maps.new_zeros(1), h, w)[0, 0]


def cell_centres(maps: Tensor, h: int, w: int) -> Tensor:
    """(n, maps, H, W) -> (n, maps, h, w): what stands at the centre pixel of each cell."""
    rows, columns = (
        (2 * torch.arange(cells, device=maps.device) + 1) * size // (2 * cells)
        for size, cells in ((maps.shape[2], h), (maps.shape[3], w))
    )
    return maps[:, :, rows[:, None], columns]


def label_maps(segmenter: Segmenter, images: Tensor) -> Tensor:
    """(n, maps, H, W): the labels of all categories, one above the other, where the images are."""
    return torch.cat(list(segmenter(images).values()), 1).to(images.device)


class Counts(NamedTuple):
    """Pixels (int64) of the concepts, with and without interventions."""

    before: Tensor  # (images, concepts) in the unedited image
    after: Tensor  # (images, interventions, concepts) in the edited one
    before_inside: Tensor  # (images, interventions, concepts) of `before`, those at P
    after_inside: Tensor  # (images, interventions, concepts) of `after`, those at P
    area: Tensor  # (images, interventions) pixels at P
    context: Tensor  # (images, maps, h, w) int32: labels at the centre of each cell, unedited


@torch.no_grad()
def sweep(generator: Generator, segmenter: Segmenter, z: Tensor, interventions: Sequence[Intervention],
          concepts: Sequence[int], batch: int = BATCH, progress: bool = False) -> Counts:  # fmt: skip
    """
    Every intervention on every image. The part before the layer and the unedited image's labels are computed once
    for each z.

    z: (images, size); an intervention's `where` may be (h, w), or (images, h, w).
    """
    numbers = torch.tensor(concepts, device=generator.device)
    parts: list[tuple[Tensor, ...]] = []
    for start, state in heads(generator, z, batch, progress):
        r, n = state[0], len(interventions)
        images, _, h, w = r.shape
        alpha, value, where = _stack(interventions, r, slice(start, start + images))
        plain = generator.plain(state)
        maps = label_maps(segmenter, to_pixels(plain[-1]))
        before = cell_pixels(maps, numbers, h, w)  # (images, concepts, h, w)
        after = before.repeat_interleave(n, 0)  # (images * interventions, concepts, h, w)
        edited = _edited(generator, state, plain, alpha, value, where, batch)
        for pair, pixels in _gathered(edited, batch):
            after[pair] = cell_pixels(label_maps(segmenter, pixels), numbers, h, w)
        after = after.unflatten(0, (images, n))
        inside = where[:, :, None]
        part = (
            before.sum((2, 3)), after.sum((3, 4)), (before[:, None] * inside).sum((3, 4)),
            (after * inside).sum((3, 4)), (cell_area(maps, h, w) * where).sum((2, 3)),
            cell_centres(maps, h, w).int(),
        )  # fmt: skip
        parts.append(tuple(t.cpu() for t in part))
    return Counts(*(torch.cat(p) for p in zip(*parts, strict=True)))


def _edited(generator: Generator, state: tuple[Tensor, ...], plain: list[Tensor], alpha: Tensor, value: Tensor,
            where: Tensor, batch: int) -> Iterator[tuple[Tensor, Tensor]]:  # fmt: skip
    """Numbers of (image, intervention) pairs and their images, `batch` at most, where any feature changes."""
    r, n = state[0], len(alpha)
    for box, pair in _by_box(where.flatten(0, 1), batch):
        image, change = pair // n, pair % n
        features = blend(r[image], alpha[change], value[change], where[image, change])
        moved = (features != r[image]).flatten(1).any(1)
        if moved.any():
            yield pair[moved], generator.edited(state, plain, image[moved], features[moved], box)


def _gathered(
    parts: Iterator[tuple[Tensor, Tensor]], batch: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """The same, `batch` at least at a time: few pairs share a box, but a segmenter runs best on many images."""
    waiting: list[tuple[Tensor, Tensor]] = []
    for part in parts:
        waiting.append(part)
        if sum(len(pair) for pair, _ in waiting) >= batch:
            yield torch.cat([p for p, _ in waiting]), torch.cat([x for _, x in waiting])
            waiting = []
    if waiting:
        yield torch.cat([p for p, _ in waiting]), torch.cat([x for _, x in waiting])


def _by_box(where: Tensor, batch: int) -> Iterator[tuple[Box, Tensor]]:
    """(n, h, w) bool -> the box about the places of some masks, and their numbers, `batch` at most at a time."""
    ends = []
    for axis in (2, 1):  # rows, then columns
        some = where.any(axis).byte()
        ends += [some.argmax(1), some.shape[1] - some.flip(1).argmax(1)]
    boxes, which = torch.stack(ends, 1).unique(dim=0, return_inverse=True)
    somewhere = where.flatten(1).any(1)
    for i, (top, bottom, left, right) in enumerate(boxes.tolist()):
        for pair in ((which == i) & somewhere).nonzero()[:, 0].split(batch):
            yield (range(top, bottom), range(left, right)), pair


def heads(
    generator: Generator, z: Tensor, batch: int, progress: bool = False
) -> Iterator[tuple[int, tuple[Tensor, ...]]]:
    """(index of the first, state) of all z, batch by batch."""
    starts = range(0, len(z), batch)
    for start in tqdm(starts, "interventions", unit="batch", mininterval=1, disable=not progress):
        yield start, generator.head(z[start : start + batch])


def _stack(interventions: Sequence[Intervention], r: Tensor, images: slice) -> tuple[Tensor, ...]:
    """(interventions, units) alpha and value, (images, interventions, h, w) bool where."""
    n, units, h, w = r.shape
    alpha = torch.stack([i.alpha.to(r) for i in interventions])
    value = torch.stack([torch.as_tensor(i.value).to(r).expand(units) for i in interventions])
    everywhere = torch.ones(h, w, dtype=torch.bool, device=r.device)
    where = [everywhere if i.where is None else i.where.to(r.device) for i in interventions]
    return alpha, value, torch.stack(
        [(p if p.dim() == 2 else p[images]).expand(n, h, w) for p in where], 1
    )  # fmt: skip
