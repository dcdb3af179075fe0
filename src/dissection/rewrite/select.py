"""Selections for a rewrite by rule, where no person makes them (thesis 6.4), and the sessions of rows.

    images = draw(network, latents(seed, 0, 100, size), psi)     # (100, 3, h, w) uint8
    domes = regions(labels == dome)                              # the largest of each image, the largest first
    session = session_of(config, "stylegan2_church", spec, lambda: by_size(domes, regions(labels == spire), 4))

A profile names the authors' sessions where it has them (`session` of its edits); the rule is then not asked.
"""

from collections.abc import Callable, Sequence
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


def by_size(source: Sequence[Region], target: Sequence[Region], context: int) -> Selections:
    """Paste over the first of the source's regions, which is context with the next ones, that one of the target's
    regions whose box is nearest to it in height and width.

    Raises DissectionError if there are too few.
    """
    if len(source) < max(context, 1) or not target:
        raise DissectionError(
            f"selections: {len(source)} images show what is to change and {len(target)} what it is to become;"
            f" {max(context, 1)} and 1 are needed: look at more images"
        )
    paste = source[0]

    def unlike(region: Region) -> float:
        return sum(abs(np.log(a / b)) for a, b in zip(region.size, paste.size, strict=True))

    # whatever else it is, the copy should not come from the image that it is pasted into
    others = [region for region in target if region.image != paste.image] or target
    return Selections(min(others, key=unlike), paste, list(source[:context]))


def session_of(
    config: Config, network: str, spec: Rewriting, rule: Callable[[], Selections]
) -> Session:
    """The authors' session if the profile names one, else by rule; of that layer, with those settings."""
    settings = Settings(rank=spec.rank, steps=spec.steps, learning_rate=spec.learning_rate)
    if spec.session is not None:
        given = {"network": network, "layer": spec.layer, "seed": spec.seed, "truncation": spec.truncation}  # fmt: skip
        return read_session(asset_of(config, spec.session), **given, **settings.model_dump())
    chosen = rule()
    return Session(
        network=network, layer=spec.layer, seed=spec.seed, truncation=spec.truncation, settings=settings,
        object=chosen.object and chosen.object.selection(), paste=chosen.paste.selection(),
        context=[region.selection() for region in chosen.context],
    )  # fmt: skip
