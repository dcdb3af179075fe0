"""Figure 6-6: the rule between windows and reflections, inverted.

What is computed lies in results/<profile>/edits/fig_6_6.
"""

from pathlib import Path
from typing import Any

import pandas as pd

from dissection import paths
from dissection.config import Config
from dissection.report import Row, section
from dissection.report.chapter6 import inputs_of, labels_of, uses_of
from dissection.report.interventions import part, pictures

ROW = "fig_6_6"


def _inputs(config: Config) -> dict[str, Path]:
    spec = section(config, ROW)
    units = paths.units(config.profile, spec.dataset, spec.network) / "units.csv"
    return {**inputs_of(ROW)(config), "units": units}


def _table(config: Config, threads: int) -> pd.DataFrame:
    """Parts `change`: model, image, reflection (the surfaces'), window, elsewhere (mean change of brightness by a
    window, 0 to 255); `layer`: layer, loss before and after, chosen, rewritten (loss of the edit); `image`."""
    folder = paths.edits(config.profile, ROW)
    changes = pd.read_csv(folder / "changes.csv").assign(part="change")
    layers = pd.read_csv(folder / "layers.csv").assign(part="layer")
    lines = pd.concat([changes, layers, pictures(folder)], ignore_index=True)
    lines = lines.assign(pairs=section(config, ROW).pairs).astype({"image": "Int64"})
    return lines[["part", *(c for c in lines if c != "part")]]


def _values(table: pd.DataFrame) -> dict[str, Any]:
    change = part(table, "change").groupby("model")["reflection"]
    return {
        "pairs": int(table["pairs"].iloc[0]),
        **{f"reflection_change_{model}": float(v) for model, v in change.mean().items()},
    }


def _metrics(table: pd.DataFrame) -> dict[str, Any]:
    change, layers = part(table, "change"), part(table, "layer")
    up = (change["reflection"] > 0).groupby(change["model"]).mean()
    return {
        **_values(table),
        **{f"share_brighter_{model}": float(share) for model, share in up.items()},
        "images": int(change["image"].nunique()),
        "layer": str(layers.sort_values("loss")["layer"].iloc[0]),
    }


ROWS = (
    Row(
        ROW,
        "Windows and reflections: a rule inverted",
        "Scenes with and without windows, drawn by the generator and by the one rewritten by a change of rank one, and"
        " the difference; the mean change of brightness that a window makes on surfaces that reflect, in the window,"
        " and elsewhere, over images that the change was not made from; the loss by layer.",
        _inputs,
        uses_of(ROW),
        _table,
        _values,
        _metrics,
        further=lambda config: (
            labels_of(ROW)(config) + [m for m in [section(config, ROW).masks] if m]
        ),
    ),
)
