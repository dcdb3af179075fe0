"""Tables and figures, and the report that puts them beside the published ones.

row = ROWS["fig_3_5"]           # of dissection.report.rows
row.inputs(config)              # name -> file it is made from
table = row.table(config, 2)    # DataFrame, one observation a row, with 2 threads
row.values(table)               # nested as the published values are, so that claims apply
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dissection.errors import DissectionError

if TYPE_CHECKING:
    import pandas as pd

    from dissection.config import Config


@dataclass(frozen=True)
class Row:
    """
    caption: one sentence under the figure; inputs: name -> file the table is made from;
    uses: the datasets and the networks behind it; table: (config, threads) -> tidy table;
    values: table -> nested mapping like the published values; metrics: table -> a few numbers;
    texts: table -> values of other published entries, by id, whose numbers stand in the text;
    entry: the published entry, if it has another id; further: assets that it needs beside those.
    """

    id: str
    title: str
    caption: str
    inputs: "Callable[[Config], dict[str, Path]]"
    uses: "Callable[[Config], tuple[list[str], list[str]]]"
    table: "Callable[[Config, int], pd.DataFrame]"
    values: "Callable[[pd.DataFrame], dict[str, Any]]"
    metrics: "Callable[[pd.DataFrame], dict[str, Any]]"
    threads: int = 1
    texts: "Callable[[pd.DataFrame], dict[str, dict[str, Any]]]" = lambda table: {}
    entry: str = ""
    further: "Callable[[Config], list[str]]" = lambda config: []

    @property
    def name(self) -> str:
        """As printed: Table 3.1, Figure A-7, Section A.2, PNAS figure 1, Slides."""
        paper, number = self.id.startswith("pnas_"), self.id.removeprefix("pnas_")
        kind, _, number = number.partition("_")
        if kind == "sec":
            return f"Section {'.'.join(number.split('_')[:2]).upper()}"
        if kind == "table":
            return f"Table {number.replace('_', '.').upper()}"
        if number.startswith("slides_"):
            return "Slides"
        return f"PNAS figure {number}" if paper else f"Figure {number.replace('_', '-').upper()}"

    def assets(self, config: "Config") -> list[str]:
        """Names of the assets it cannot be made without."""
        datasets, networks = self.uses(config)
        names = [a for d in datasets for a in config.behind(d)]
        names += [a for n in networks for a in config.networks[n].assets]
        return list(dict.fromkeys(names + self.further(config)))


def section(config: "Config", row: str) -> Any:
    """The row's section of the profile. Raises DissectionError if there is none."""
    found = getattr(config.rows, row)
    if found is None:
        raise DissectionError(f"rows.{row} is not in the configuration of profile {config.profile}")
    return found


def only(values: Callable[..., dict[str, Any]], *names: str) -> Callable[..., dict[str, Any]]:
    """Some of the values, by name, as metrics."""
    return lambda table: {name: of for name, of in values(table).items() if name in names}
