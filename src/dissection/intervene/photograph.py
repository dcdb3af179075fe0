"""Photographs edited by units of a generator that was adapted to each (the talk's slides).

    edit(config, "fig_slides_photo_edit", out, device, threads)      # edits.csv, cells.csv, <edit>_<generator>.png

z and the adapted weights are those that `invert` wrote for the row. As weights up to the layer are the original ones,
an edit starts from the same features, and forces the same, in the adapted generator and in the original one.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch
from safetensors.torch import load_file
from torch import Tensor

from dissection import paths
from dissection.config import Config, Edit, PhotoEdited
from dissection.files import write_csv, write_png
from dissection.intervene.causal import high_values
from dissection.intervene.generator import (
    Intervention,
    cell_area,
    cell_of,
    cell_pixels,
    label_maps,
    locations,
    only,
)
from dissection.intervene.objects import BATCH, Scenes, load_scenes, number_of, read_units


def edit(config: Config, row: str, out: Path, device: torch.device, threads: int) -> None:
    """
    edits.csv: example (place of the photograph among them), edit, generator (original, adapted), cells (of the layer),
        inside, outside (mean absolute change of the pixels in those cells, and elsewhere, 0 to 1), and the share of
        the cells' pixels that the segmenter takes for the concept: present (in the photograph), before, after.
        A photograph without a place for an edit has no line.
    cells.csv: example, edit, and y, x, high, wide of each cell, as shares of the image.
    <edit>_<generator>.png: the edited photographs side by side.
    """
    spec: PhotoEdited = getattr(config.rows, row)
    scenes = load_scenes(config, spec.dataset, spec.network, device)
    found = load_file(paths.inversion(config.profile, row) / "adapted.safetensors", str(device))
    photographs, state = found.pop("photographs"), scenes.generator.head(found.pop("z"))
    own = scenes.network.state_dict()
    weights = {
        "original": {name: own[name].clone().expand_as(t) for name, t in found.items()},
        "adapted": found,
    }
    changes = {name: _change(config, spec, scenes, e) for name, e in spec.edits.items()}
    h, w = state[0].shape[2:]
    where = {
        name: places(scenes, photographs, e, (h, w), spec.size) for name, e in spec.edits.items()
    }
    lines = []
    for generator, theta in weights.items():
        images = _draw(scenes, state, theta, changes, where)
        for name, e in spec.edits.items():
            plain, edited = images[""], images[name]
            table = measure(scenes, e.concept, where[name], photographs, plain, edited)
            lines.append(table.assign(edit=name, generator=generator))
            write_png(out / f"{name}_{generator}.png", edited)
    write_csv(pd.concat(lines).query("cells > 0"), out / "edits.csv")
    cells = pd.concat(
        pd.DataFrame(of.nonzero().tolist(), columns=["example", "y", "x"]).assign(edit=name)
        for name, of in where.items()
    )
    cells = cells.assign(y=cells["y"] / h, x=cells["x"] / w, high=1 / h, wide=1 / w)
    write_csv(cells, out / "cells.csv")


def places(
    scenes: Scenes, photographs: Tensor, e: Edit, grid: tuple[int, int], size: tuple[int, int]
) -> Tensor:
    """
    (n, h, w) bool: the cells of a layer's (h, w) grid at which photographs (n, 3, H, W) are edited, as the segmenter
    labels them.

    To remove a concept: where there is any of it. To add it: the block of `size` cells where what it is added to has
    the most pixels, less those that the concept has already; the first, if several do; none, if there is nothing.
    """
    names = [e.concept, *([e.onto] if e.onto else [])]
    numbers = [number_of(scenes.segmenter.concepts, name) for name in names]
    maps = label_maps(scenes.segmenter, photographs)
    pixels = cell_pixels(maps, torch.tensor(numbers, device=maps.device), *grid)
    if e.onto is None:
        return pixels[:, 0] > 0
    every = locations(*grid, size, maps.device)
    free = (pixels[:, 1] - pixels[:, 0]).double()
    most, place = torch.einsum("nhw,lhw->nl", free, every.double()).max(1)
    return every[place] & (most > 0)[:, None, None]


def measure(
    scenes: Scenes, concept: str, where: Tensor, photographs: Tensor, plain: Tensor, edited: Tensor
) -> pd.DataFrame:
    """Columns of edits.csv. where: (n, h, w) bool; images: (n, 3, H, W) uint8."""
    (h, w), (height, width) = where.shape[1:], plain.shape[2:]
    inside = where[:, cell_of(height, h, where.device)][:, :, cell_of(width, w, where.device)]
    moved = (edited.double() - plain.double()).abs().mean(1) / 255
    columns = {"cells": where.sum((1, 2))}
    for name, mask in (("inside", inside), ("outside", ~inside)):
        columns[name] = (moved * mask).sum((1, 2)) / mask.sum((1, 2))
    number = torch.tensor([number_of(scenes.segmenter.concepts, concept)], device=where.device)
    for name, images in (("present", photographs), ("before", plain), ("after", edited)):
        maps = label_maps(scenes.segmenter, images)
        pixels, area = cell_pixels(maps, number, h, w)[:, 0], cell_area(maps, h, w)
        columns[name] = (pixels * where).sum((1, 2)) / (area * where).sum((1, 2))
    lines = pd.DataFrame({name: column.tolist() for name, column in columns.items()})
    return lines.rename_axis("example").reset_index()


def _change(config: Config, spec: PhotoEdited, scenes: Scenes, e: Edit) -> Intervention:
    """The units that cause a concept at 0; to add it, at their mean where it is (A.4), or as high as the row says."""
    units = read_units(config, spec.dataset, spec.network, e.concept)
    alpha = only(units.order[: spec.units], len(units.order))
    if e.onto is None:
        return Intervention(alpha)
    z = scenes.z(spec.seed, spec.images)
    value = high_values(scenes.generator, z, spec.high, BATCH) if spec.high else units.value
    return Intervention(alpha, value)


def _draw(
    scenes: Scenes, state: tuple[Tensor, ...], weights: Mapping[str, Tensor], changes: Mapping[str, Intervention],
    where: Mapping[str, Tensor],
) -> dict[str, Tensor]:  # fmt: skip
    """Edit, or nothing -> (n, 3, H, W) uint8, each image by weights of its own, (n, ...)."""
    drawn: dict[str, list[Tensor]] = {name: [] for name in ("", *changes)}
    for i in range(len(state[0])):
        scenes.network.load_state_dict({name: t[i] for name, t in weights.items()}, strict=False)
        one = tuple(s[i : i + 1] for s in state)
        drawn[""].append(scenes.generator.images(one))
        for name, change in changes.items():
            here = replace(change, where=where[name][i : i + 1])
            drawn[name].append(scenes.generator.images(one, here))
    return {name: torch.cat(images) for name, images in drawn.items()}
