"""Tables 6.1 and 6.2 and figure 6-4: an edit carried to all images, by every method.

A table has a line an edit and method. What people preferred is empty: nobody was asked.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from dissection import paths
from dissection.config import Config
from dissection.report import Row, section
from dissection.report.chapter4_quality import number
from dissection.report.chapter6 import inputs_of, labels_of, uses_of
from dissection.report.interventions import pictures

Values = dict[str, Any]
JUDGES = ("perceptual", "correspondence", "smile", "mouth")


def _uses(row: str) -> Callable[[Config], tuple[list[str], list[str]]]:
    """With what tunes all weights."""

    def uses(config: Config) -> tuple[list[str], list[str]]:
        judges = JUDGES if row == "table_6_1" else JUDGES[:2]
        datasets, networks = uses_of(row, *judges)(config)
        how = config.reconstruction
        return datasets, list(dict.fromkeys([*networks, *([how.network] if how else [])]))

    return uses


def _further(row: str) -> Callable[[Config], list[str]]:
    def further(config: Config) -> list[str]:
        judge = config.judging.perceptual if config.judging else None
        heads = [judge.heads] if judge and judge.heads else []
        return [*labels_of(row)(config), *heads]

    return further


def _table(row: str) -> Callable[[Config, int], pd.DataFrame]:
    def table(config: Config, threads: int) -> pd.DataFrame:
        """edit, method, images; achieved, in percent: of the source's pixels that became the target, or of faces that
        smile; changed: perceptual distance to the unmodified image elsewhere, the mean over images; measure, its name;
        preferred to ours, in percent of `judgements`."""
        lines = pd.read_csv(paths.edits(config.profile, row) / "images.csv")
        lines["changed"] = lines["change"] / lines["rest"]
        by = lines.groupby(["edit", "method"], sort=False)
        images = by["image"].nunique()
        base = images if row == "table_6_1" else by["source"].sum()
        found = pd.DataFrame(
            {"images": images, "achieved": 100 * by["achieved"].sum() / base,
             "changed": by["changed"].mean(), "measure": by["measure"].first(),
             "preferred": float("nan"), "judgements": 0}
        ).reset_index()  # fmt: skip
        plain = found["method"] == "unmodified"
        found.loc[plain, "changed"] = float("nan")
        if row == "table_6_2":  # where nothing was modified, nothing was modified correctly
            found.loc[plain, "achieved"] = float("nan")
        return found

    return table


def _column(table: pd.DataFrame, edit: str, column: str) -> Values:
    lines = table[table["edit"] == edit].set_index("method")[column]
    return {str(method): number(v) for method, v in lines.items()}


def _count(table: pd.DataFrame) -> Values:
    return {"images": int(table["images"].max()), "judgements": int(table["judgements"].max())}


def _table_6_1_values(table: pd.DataFrame) -> Values:
    return {
        "smiling": _column(table, "smile", "achieved"),
        "lpips": _column(table, "smile", "changed"),
        "more_realistic_than_ours": _column(table, "smile", "preferred"),
        "n": _count(table),
    }


def _table_6_2_values(table: pd.DataFrame) -> Values:
    return {
        "spire_correct": _column(table, "spire", "achieved"),
        "spire_lpips": _column(table, "spire", "changed"),
        "spire_more_realistic_than_ours": _column(table, "spire", "preferred"),
        "tree_correct": _column(table, "tree", "achieved"),
        "tree_lpips": _column(table, "tree", "changed"),
        "n": _count(table),
    }


def _shown(config: Config) -> list[str]:
    """The rows whose pictures figure 6-4 shows; those that can be made, of one if none can."""
    rows = [r for r in section(config, "fig_6_4").rows if getattr(config.rows, r) is not None]
    return [r for r in rows if not config.missing(_uses(r)(config)[1])] or rows[:1]


def _fig_6_4_inputs(config: Config) -> dict[str, Path]:
    return {row: paths.edits(config.profile, row) for row in _shown(config)}


def _fig_6_4_uses(config: Config) -> tuple[list[str], list[str]]:
    used = [_uses(row)(config) for row in _shown(config)]
    datasets, networks = ([name for part in of for name in part] for of in zip(*used, strict=True))
    return list(dict.fromkeys(datasets)), list(dict.fromkeys(networks))


def _fig_6_4_further(config: Config) -> list[str]:
    return list(dict.fromkeys(name for row in _shown(config) for name in _further(row)(config)))


def _fig_6_4(config: Config, threads: int) -> pd.DataFrame:
    """row, edit, method (empty: the images of object and paste, and the example), file: a strip."""
    parts = []
    for row, folder in _fig_6_4_inputs(config).items():
        found = pictures(folder)
        names = found["name"].str.partition(".")
        columns = {"row": row, "edit": names[0], "method": names[2], "file": found["file"]}
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts)


ROWS = (
    Row(
        "table_6_1",
        "Smiles",
        "An edit that makes a face smile, by eight methods: the share of faces that smile, by an attribute classifier,"
        " and what changes outside the mouth. Nobody was asked which images look more realistic.",
        inputs_of("table_6_1"),
        _uses("table_6_1"),
        _table("table_6_1"),
        _table_6_1_values,
        _table_6_1_values,
        further=_further("table_6_1"),
    ),
    Row(
        "table_6_2",
        "Domes that become spires or trees",
        "Two edits of churches, by eight methods: the share of pixels of domes that become the target, by a segmenter,"
        " and what changes elsewhere. Nobody was asked which images look more realistic.",
        inputs_of("table_6_2"),
        _uses("table_6_2"),
        _table("table_6_2"),
        _table_6_2_values,
        _table_6_2_values,
        further=_further("table_6_2"),
    ),
    Row(
        "fig_6_4",
        "Objects put into a new context",
        "Left: what is copied, where it is pasted, and the result, the example. Right: images of the unmodified"
        " generator and what each method makes of them.",
        _fig_6_4_inputs,
        _fig_6_4_uses,
        _fig_6_4,
        lambda table: {},
        lambda table: {},
        further=_fig_6_4_further,
    ),
)
