"""The rows of chapter 5 that invert images: what a generator can draw of them.

What is computed lies in results/<profile>/inversions/<row>. As in `interventions`, a table says in `part` what a line
is about: `image` has a PNG, `error` an image of a group; for figure 5-6 `correlation` an image and a method, `point` a
component of the first images.
"""

from pathlib import Path
from typing import Any

import pandas as pd

from dissection import paths
from dissection.config import Config
from dissection.report import Row, section
from dissection.report.chapter3 import used_by
from dissection.report.interventions import part, pictures

Values = dict[str, Any]
NUMBERS = "fig_5_7_5_8_numbers"
SCENES = {"fig_5_7": "bedroom", "fig_5_8": "church"}
LETTERS = {"layer4": "features", "pixels": "pixels", "z": "z"}  # published name: column


def _folder(config: Config, row: str) -> Path:
    return paths.inversion(config.profile, row)


def _inputs(row: str):
    """The row's job; figure 5-8 has the numbers of 5-7 too, for their claims stand together."""
    rows = ("fig_5_7", "fig_5_8") if row == "fig_5_8" else (row,)

    def inputs(config: Config) -> dict[str, Path]:
        made = [r for r in rows if r == row or _made(config, r)]
        return {r: _folder(config, r) for r in made}

    return inputs


def _made(config: Config, row: str) -> bool:
    """Whether the profile has it, and what it needs."""
    if getattr(config.rows, row) is None:
        return False
    return not config.missing(_uses(row)(config)[1])


def _uses(row: str):
    """Datasets and networks, the last of which compares images."""

    def uses(config: Config) -> tuple[list[str], list[str]]:
        datasets, networks = used_by(row)(config)
        how = config.reconstruction
        return datasets, [*networks, *([how.network] if how else [])]

    return uses


def _fig_5_6(config: Config, threads: int) -> pd.DataFrame:
    """Parts `correlation`: sample, image, method, z, features, pixels, error; `point`: method, what, true, found;
    `image`."""
    folder = _folder(config, "fig_5_6")
    section(config, "fig_5_6")
    parts = [
        pd.read_csv(folder / "images.csv").assign(part="correlation"),
        pd.read_csv(folder / "points.csv").assign(part="point"),
        pictures(folder),
    ]
    return _joined(parts)


def _groups(row: str):
    def table(config: Config, threads: int) -> pd.DataFrame:
        """Parts `error`: scene, network, group, image, error, pixels; `image`: of the row itself."""
        parts = []
        for name in _inputs(row)(config):
            lines = pd.read_csv(_folder(config, name) / "images.csv")
            parts.append(lines.assign(part="error", scene=SCENES[name]))
        return _joined([*parts, pictures(_folder(config, row)).assign(scene=SCENES[row])])

    return table


def _joined(parts: list[pd.DataFrame]) -> pd.DataFrame:
    lines = pd.concat(parts, ignore_index=True)
    lines = lines[["part", *(c for c in lines if c != "part")]]
    return lines.astype({"image": "Int64"})


def _fig_5_6_values(table: pd.DataFrame) -> Values:
    lines = part(table, "correlation")
    lines = lines[lines["sample"] == "generated"]
    means = lines.groupby("method")[[c for c in LETTERS.values() if c in lines]].mean()
    return {
        name: {m: float(v) for m, v in means[column].items() if v == v}
        for name, column in LETTERS.items()
    } | {"images": int(lines["image"].nunique())}


def _numbers(table: pd.DataFrame) -> Values:
    """Scene -> group -> mean error."""
    lines = part(table, "error")
    return {
        str(scene): {group: float(v) for group, v in of.groupby("group")["error"].mean().items()}
        for scene, of in lines.groupby("scene")
    }


def _texts(table: pd.DataFrame) -> dict[str, Values]:
    return {NUMBERS: _numbers(table)}


def _photo_edit_folders(config: Config) -> dict[str, Path]:
    row = "fig_slides_photo_edit"
    return {
        "inversions": _folder(config, row),
        "interventions": paths.intervention(config.profile, row),
    }


def _photo_edit(config: Config, threads: int) -> pd.DataFrame:
    """Parts `reconstruction`: example, image, stage, error, pixels, departure; `edit` and `cell`: lines of edits.csv
    and of cells.csv; `image`."""
    inverted, edited = _photo_edit_folders(config).values()
    stages = pd.read_csv(inverted / "images.csv")
    stages["example"] = stages.groupby("stage").cumcount()
    edits, cells = (
        pd.read_csv(edited / f"{file}.csv").assign(part=file[:-1]) for file in ("edits", "cells")
    )
    parts = [
        stages.assign(part="reconstruction"),
        edits,
        cells,
        pictures(inverted),
        pictures(edited),
    ]
    return _joined(parts).astype({"example": "Int64", "cells": "Int64"})


def _photo_edit_values(table: pd.DataFrame) -> Values:
    """Means over photographs; change, by generator and edit: inside and outside of the edited cells."""
    stages = part(table, "reconstruction").groupby("stage")[["error", "pixels"]].mean()
    values: Values = {"error": stages["error"].to_dict(), "correlation": stages["pixels"].to_dict()}
    for key, columns in ("change", ["inside", "outside"]), ("share", ["before", "after"]):
        values[key] = {
            str(generator): of.groupby("edit")[columns].mean().to_dict("index")
            for generator, of in part(table, "edit").groupby("generator")
        }
    return values


RECONSTRUCTED = (
    "Photographs, uncurated, and below each what the later layers of the generator draw of it (method f, eq. 5.5); the"
    " mean absolute error of pixels by group, on a scale of 0 to 1, with every image."
)
ROWS = (
    Row(
        "fig_5_6",
        "Methods to invert a generator",
        "Above: images that the generator draws, photographs, and what each method makes of them. Below: recovered"
        " against true components of the first images; numbers are correlations within an image, averaged over images.",
        _inputs("fig_5_6"),
        _uses("fig_5_6"),
        _fig_5_6,
        _fig_5_6_values,
        _fig_5_6_values,
    ),
    Row(
        "fig_5_7",
        "Photographs inverted by a generator of bedrooms",
        RECONSTRUCTED,
        _inputs("fig_5_7"),
        _uses("fig_5_7"),
        _groups("fig_5_7"),
        _numbers,
        _numbers,
    ),
    Row(
        "fig_5_8",
        "Photographs inverted by a generator of churches",
        RECONSTRUCTED,
        _inputs("fig_5_8"),
        _uses("fig_5_8"),
        _groups("fig_5_8"),
        _numbers,
        _numbers,
        texts=_texts,
    ),
    Row(
        "fig_slides_photo_edit",
        "Photographs edited by units of a generator adapted to each",
        "Photographs, uncurated; what the generator draws from z alone (method e: the encoder's, refined), and with its"
        " weights behind layer4 adapted to each photograph as well, z being kept, under a regulariser of relative"
        " changes of weights that counts the k-th layer behind layer4 k times; and that, edited by the units that cause"
        " a concept: forced on in one block of cells, or to 0 wherever the photograph has it. Charts: the error of"
        " reconstruction; the mean absolute change of pixels by an edit in and outside of the edited cells, by the"
        " adapted generator and by the original one; and the share of those cells that the segmenter takes for the"
        " concept. The talk removes chairs from a kitchen; no encoder of kitchens was released, so trees go.",
        _photo_edit_folders,
        _uses("fig_slides_photo_edit"),
        _photo_edit,
        _photo_edit_values,
        _photo_edit_values,
    ),
)
