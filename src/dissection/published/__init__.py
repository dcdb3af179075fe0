"""The published numbers and claims of the thesis and of the PNAS paper, as data.

    entry("fig_3_5")["values"]["places205"]["conv5"]["object"]     # 36
    table("netdissect_cvpr2017_unique_detectors")                 # 27 networks by category

`paper.yaml` has an entry for each table, figure and number in the text: where it stands, what it
measures, its basis (printed, released or measured from a figure), values (None: never published)
and claims. Its `meta` says what the words mean and where the sources contradict one another.
"""

from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

HERE = Path(__file__).parent


@cache
def entries() -> dict[str, dict[str, Any]]:
    """All entries by id. A claim is {"id", "expr", "published", "kind", "holds"}."""
    with open(HERE / "paper.yaml", encoding="utf-8") as file:
        sheet = yaml.load(file, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return {e["id"]: {**e, "values": _mapping(e["values"])} for e in sheet["entries"]}


def entry(name: str) -> dict[str, Any]:
    """The entry of one table or figure, such as `fig_3_5`. KeyError if there is none."""
    return entries()[name]


def table(name: str) -> pd.DataFrame:
    """A released table by its file name without `.csv`; empty cells of text are empty strings."""
    return pd.read_csv(HERE / f"{name}.csv", keep_default_na=False, na_values={})


def _mapping(values: Any) -> dict[str, Any]:
    return values if isinstance(values, dict) else {}  # a purely qualitative figure says `none`
