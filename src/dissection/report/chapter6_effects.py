"""Table 6.3, figures 6-1, 6-2, 6-3, 6-5 and B-1 to B-6: what edits do to a generator's images.

One job makes the edits of all rows of a generator (`Config.sharing`). As in `interventions`, a table says in `part`
what a line is about; `image` has a PNG. Shares of pixels are percent, changes of pixels 0 to 6 (summed over colours).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from dissection import paths
from dissection.config import Config
from dissection.report import Row, section
from dissection.report.chapter6 import labels_of, uses_of
from dissection.report.interventions import part, pictures

Values = dict[str, Any]


def _behind(row: str, config: Config) -> str:
    """The row that computes it: a figure of pictures shows another's."""
    return getattr(section(config, row), "rows", [row])[0]


def _inputs(row: str) -> Callable[[Config], dict[str, Path]]:
    """The folder of the job that it shares."""

    def inputs(config: Config) -> dict[str, Path]:
        behind = _behind(row, config)
        job = next(iter(config.sharing(behind)), behind)
        return {job: paths.edits(config.profile, job)}

    return inputs


def _uses(row: str) -> Callable[[Config], tuple[list[str], list[str]]]:
    def uses(config: Config) -> tuple[list[str], list[str]]:
        behind = _behind(row, config)
        return uses_of(behind, *(["text"] if behind == "table_6_3" else []))(config)

    return uses


def _further(row: str) -> Callable[[Config], list[str]]:
    return lambda config: labels_of(_behind(row, config))(config)


def _table(row: str, **files: str) -> Callable[[Config, int], pd.DataFrame]:
    """The CSVs of its folder, by part, and its pictures, if there is a part `image`."""

    def table(config: Config, threads: int) -> pd.DataFrame:
        (job,) = _inputs(row)(config).values()
        folder = job / _behind(row, config)
        parts = [pd.read_csv(folder / file).assign(part=name) for name, file in files.items()]
        if row != "table_6_3":
            parts.append(pictures(folder))
        lines = pd.concat(parts, ignore_index=True)
        return lines[["part", *(c for c in lines if c != "part")]].astype(
            {
                c: "Int64"
                for c in ("image", "order", "step", "units", "of", "watermarks")
                if c in lines
            }
        )

    return table


def _watermarks(table: pd.DataFrame) -> Values:
    lines = part(table, "count")
    counts = {
        str(place): {str(m): int(n) for m, n in of.set_index("method")["watermarks"].items()}
        for place, of in lines.groupby("place")
    }
    return counts | {"images": int(lines["images"].max())}


def _watermark_metrics(table: pd.DataFrame) -> Values:
    found = part(table, "detector").set_index("place")[["recall", "precision"]]
    changes = part(table, "count").groupby("method")["change"].first()
    return _watermarks(table) | {
        "detector": {str(p): {str(k): float(v) for k, v in of.items()} for p, of in found.iterrows()},
        "change": {str(m): float(v) for m, v in changes.items()},
    }  # fmt: skip


def _annotations(table: pd.DataFrame) -> dict[str, Values]:
    lines = part(table, "count").groupby("method")
    return {"ch6_text_units": {"annotated_images": int(lines["annotated"].first().max())}}


def _keys(table: pd.DataFrame) -> Values:
    lines = part(table, "match")
    first = lines.iloc[0]
    sizes = {name: int(first[name]) for name in ("key_dim", "output_channels", "kernel", "value_dim")}  # fmt: skip
    means = {name: float(lines[name].mean()) for name in ("share", "matched")}
    matched = lines.set_index("concept")["matched"].items()
    return sizes | means | {"by_concept": {str(c): float(v) for c, v in matched}}


def _effect(table: pd.DataFrame) -> Values:
    edit, lines = part(table, "edit").iloc[0].to_dict(), part(table, "effect")
    names = ("source_before", "source_after", "target_before", "target_after", "inside", "outside")
    means = {name: float(lines[name].mean()) for name in names if name in lines}
    return means | {
        "rank": int(edit["rank"]), "context_regions": int(edit["context"]), "pairs_shown": len(lines),
        "sample": int(edit["sample"]),
    }  # fmt: skip


def _steps(table: pd.DataFrame) -> Values:
    lines = part(table, "step")
    by = lines.drop(columns=["step", "image"]).groupby("edit", sort=False).mean(numeric_only=True)
    return {str(edit): of.dropna().to_dict() for edit, of in by.iterrows()}


def _row(
    id: str, title: str, caption: str, table: Callable[[Config, int], pd.DataFrame],
    values: Callable[[pd.DataFrame], Values], metrics: Callable[[pd.DataFrame], Values] | None = None,
    texts: Callable[[pd.DataFrame], dict[str, Values]] = lambda table: {},
) -> Row:  # fmt: skip
    entry = id.replace("fig_b_", "fig_B_")
    return Row(
        id, title, caption, _inputs(id), _uses(id), table, values, metrics or values, texts=texts,
        further=_further(id), entry=entry if entry != id else "",
    )  # fmt: skip


EFFECTS = {
    "fig_b_1": ("Hats added", "People are given the hat of another; in full, horses."),
    "fig_b_2": ("Something made longer", "Hair grows as long as in another image; in full, tails of horses."),
    "fig_b_3": ("Main windows removed", "The box of a window in the middle takes the nearest plain wall of its size."),
    "fig_b_4": ("Fewer trees before buildings", "A tree becomes what is there in the most similar church."),
    "fig_b_5": ("Earrings removed", "An earring becomes what the most similar face without has there."),
    "fig_b_6": ("Glasses removed", "Glasses become what the most similar face without has there."),
}  # fmt: skip
SHOWN = (
    " Above: object, paste, context. Below: the images that score highest in the direction of the context, unmodified"
    " and changed. Chart: share of their pixels that show what was to change, and what to become, by the segmenter, or"
    " what finds it by `judging`."
)
ROWS = (
    _row(
        "table_6_3",
        "Watermarks removed",
        "Images with a watermark in the middle and at the bottom, by a detector whose recall and precision on true"
        " masks stand below: unmodified, without the units that tell the annotated watermarks best (the same shares of"
        " a layer of fewer than 512 units), after a change of rank one that has these units' effect for its goal, and"
        " (each) after one for each place, whose goal is that place in an image without text.",
        _table("table_6_3", count="counts.csv", detector="detector.csv"),
        _watermarks,
        _watermark_metrics,
        _annotations,
    ),
    _row(
        "fig_6_5",
        "Watermarks removed, in pictures",
        "The images with most text, by method.",
        _table("fig_6_5", text="shown.csv"),
        lambda table: {},
        lambda table: {
            str(m): float(v)
            for m, v in part(table, "text").groupby("method")["text"].mean().items()
        },
    ),
    _row(
        "fig_6_2",
        "A layer as an associative memory",
        "Keys, of the place that shows most of a concept: their match k^T C^-1 k' at each place of other images (white:"
        " as well as the key itself), and the value rendered alone, with nothing around it.",
        _table("fig_6_2", match="matches.csv"),
        _keys,
    ),
    _row(
        "fig_6_3",
        "Copy, paste, context",
        "The steps of an edit: what is copied, where it is pasted, and the context, then images that the person has not"
        " seen, unmodified and changed.",
        _table("fig_6_3", effect="images.csv", edit="edit.csv"),
        lambda table: {},
        _effect,
    ),
    *(
        _row(id, title, what + SHOWN, _table(id, effect="images.csv", edit="edit.csv"), _effect)
        for id, (title, what) in EFFECTS.items()
    ),
    _row(
        "fig_6_1",
        "Successive changes of rules",
        "Unmodified images, and after each of the edits, one upon the other: watermarks removed, something added (in"
        " full, people; where nobody is drawn, domes), towers topped with trees.",
        _table("fig_6_1", step="steps.csv"),
        _steps,
    ),
)  # fmt: skip
