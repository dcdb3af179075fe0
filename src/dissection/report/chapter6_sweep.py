"""Beyond the thesis: which layer and rank to choose for an edit.

What is computed lies in results/<profile>/edits/fig_sweep.
"""

from typing import Any

import pandas as pd

from dissection import paths
from dissection.config import Config
from dissection.report import Row
from dissection.report.chapter6 import inputs_of, labels_of, uses_of

ROW = "fig_sweep"


def _table(config: Config, threads: int) -> pd.DataFrame:
    """layer, rank, loss_before, loss, example, change, converted, converted_before."""
    return pd.read_csv(paths.edits(config.profile, ROW) / "sweep.csv")


def _metrics(table: pd.DataFrame) -> dict[str, Any]:
    best = table.sort_values("converted", kind="stable").iloc[-1]
    return {
        "edits": len(table),
        "most_converted": float(best["converted"]),
        "at": f"{best['layer']}, rank {best['rank']}",
        "change_elsewhere": float(best["change"]),
    }


ROWS = (
    Row(
        ROW,
        "Which layer, which rank?",
        "An edit made at several layers and ranks: the share of pixels that are to change that became the target,"
        " against the change of all other pixels; on images that it was not made from.",
        inputs_of(ROW),
        uses_of(ROW),
        _table,
        lambda table: {},
        _metrics,
        further=labels_of(ROW),
    ),
)
