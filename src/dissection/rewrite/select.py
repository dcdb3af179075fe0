"""Selections for a rewrite by rule, where no person makes them (thesis 6.4), and the sessions of rows.

    images = draw(network, latents(seed, 0, 100, size), psi)     # (100, 3, h, w) uint8
    domes = regions(labels == dome)                              # the largest of each image, the largest first
    session = session_of(config, "stylegan2_church", spec, lambda: by_size(domes[:4], regions(labels == spire)))

A profile names the authors' sessions where it has them (`session` of its edits); the rule is then not asked.
"""

from collections.abc import Callable, Sequence, Sized
from typing import NamedTuple

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor, nn

from dissection.config import Config, Rewriting
from dissection.errors import DissectionError
from dissection.networks import asset_of, to_pixels
from dissection.rewrite.job import truncate
from dissection.rewrite.sessions import Selection, Session, Settings, mask_url, read_session

BATCH = 50


class Region(NamedTuple):
    """A part of a generator's image; mask: (h, w) bool."""

    image: int
    mask: np.ndarray

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of its box."""
        rows, columns = np.nonzero(self.mask)
        return int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1

    def boxed(self) -> "Region":
        """With all of its box."""
        mask = np.zeros_like(self.mask)
        rows, columns = np.nonzero(self.mask)
        mask[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] = True
        return Region(self.image, mask)

    def selection(self) -> Selection:
        return Selection(image=self.image, mask=mask_url(self.mask))


class Selections(NamedTuple):
    """What to copy (none: to erase), where to paste it, and where else the same is meant."""

    object: Region | None
    paste: Region
    context: list[Region]


@torch.inference_mode()
def draw(network: nn.Module, z: Tensor, psi: float | None = None) -> Tensor:
    """z (n, size) -> (n, 3, h, w) uint8, on the processor. psi: truncation to be set before; none: left as it is."""
    if psi is not None:
        truncate(network, psi)
    device = next(network.parameters()).device
    return torch.cat([to_pixels(network(some.to(device))).cpu() for some in z.split(BATCH)])


def regions(where: Tensor, least: int = 1) -> list[Region]:
    """(n, h, w) bool -> the largest connected region of each image with one of `least` pixels, in order of size."""
    found = []
    for image, mask in enumerate(where.cpu().numpy()):
        parts, count = ndimage.label(mask, np.ones((3, 3)))
        if count:
            sizes = np.bincount(parts.ravel())[1:]
            found.append(Region(image, parts == 1 + sizes.argmax()))
    found = [region for region in found if region.mask.sum() >= least]
    return sorted(found, key=lambda region: (-region.mask.sum(), region.image))


def by_size(source: Sequence[Region], target: Sequence[Region]) -> Selections:
    """Paste over the first of the source's regions, all of which are context, that one of the target's regions whose
    box is nearest to it in height and width.

    Raises DissectionError if there is nothing of one of them.
    """
    _some(source, target)
    paste = source[0]

    def unlike(region: Region) -> float:
        return sum(abs(np.log(a / b)) for a, b in zip(region.size, paste.size, strict=True))

    return Selections(min(_others(target, paste), key=unlike), paste, list(source))


def aligned(source: Sequence[Region], target: Sequence[Region]) -> Selections:
    """The first of the target's regions goes where it is in its own image, in all of the source's images, as suits
    images that have the same at the same place, such as faces. Raises DissectionError as `by_size` does."""
    _some(source, target)
    chosen = _others(target, source[0])[0]
    context = [Region(region.image, chosen.mask) for region in source]
    return Selections(chosen, context[0], context)


def filled(source: Sequence[Region], target: Tensor, context: int) -> Selections:
    """The boxes of the source's regions are to show the target alone, as a wall without a window: what is copied is
    the nearest such place of the same size in the image that is pasted into, the first that has one. That and the
    first others are context.

    target: (n, h, w) bool. Raises DissectionError if none has.
    """
    boxes = [region.boxed() for region in source]
    for paste in boxes:
        height, width = paste.size
        plain = target[paste.image].unfold(0, height, 1).unfold(1, width, 1).all(3).all(2)
        places = plain.nonzero()
        if len(places):
            corner = torch.tensor(np.argwhere(paste.mask)[0])
            top, left = places[(places - corner).square().sum(1).argmin()].tolist()
            mask = np.zeros_like(paste.mask)
            mask[top : top + height, left : left + width] = True
            others = [box for box in boxes if box is not paste]
            return Selections(Region(paste.image, mask), paste, [paste, *others][:context])
    raise DissectionError(
        "selections: no image has a place as large as a region that shows the target alone: look at more images"
    )


def without(images: Tensor, shown: Tensor, source: Sequence[Region]) -> Selections:
    """The boxes of the source's regions become what is at the first one's place in that image which, of those that
    show the least of the source there, is most like the one around it.

    images: (n, 3, h, w) uint8; shown: (n, h, w) bool, the source. Raises DissectionError as `by_size` does.
    """
    _some(source, images)
    boxes = [region.boxed() for region in source]
    paste = boxes[0]
    here = torch.from_numpy(paste.mask)
    apart = (images.int() - images[paste.image].int()).abs().sum(1)[:, ~here].sum(1)
    least = shown[: len(images), here].sum(1)
    chosen = min(range(len(images)), key=lambda i: (int(least[i]), int(apart[i])))
    return Selections(Region(chosen, paste.mask), paste, boxes)


def _some(source: Sized, target: Sized) -> None:
    if not len(source) or not len(target):
        raise DissectionError(
            f"selections: {len(source)} images show what is to change and {len(target)} what it is to become;"
            " 1 of each is needed: look at more images"
        )


def _others(target: Sequence[Region], paste: Region) -> Sequence[Region]:
    """Whatever else it is, the copy should not come from the image that it is pasted into."""
    return [region for region in target if region.image != paste.image] or target


def session_of(
    config: Config, network: str, spec: Rewriting, rule: Callable[[], Selections]
) -> Session:
    """The authors' session if the profile names one, else by rule; of that layer, with those settings."""
    settings = Settings(rank=spec.rank, steps=spec.steps, learning_rate=spec.learning_rate)
    if spec.session is not None:
        given = {"network": network, "layer": spec.layer, "seed": spec.seed, "truncation": spec.truncation}  # fmt: skip
        return read_session(asset_of(config, spec.session), **given, **settings.model_dump())
    return session_by(network, spec, settings, rule())


def session_by(network: str, spec: Rewriting, settings: Settings, chosen: Selections) -> Session:
    return Session(
        network=network, layer=spec.layer, seed=spec.seed, truncation=spec.truncation, settings=settings,
        object=chosen.object and chosen.object.selection(), paste=chosen.paste.selection(),
        context=[region.selection() for region in chosen.context],
    )  # fmt: skip
