"""The figures of appendix B.7: parts of layers rendered in isolation.

What is computed lies in results/<profile>/edits/fig_b_7 and fig_b_10, pictures for the other figures too.
"""

from typing import Any

import pandas as pd

from dissection import paths
from dissection.config import Config
from dissection.report import Row, section
from dissection.report.chapter3 import used_by
from dissection.report.chapter6 import inputs_of
from dissection.report.interventions import pictures

# two layers that the published claim compares, the second said to be appropriate to edit
COMPARED = {"fig_b_7": (4, 8), "fig_b_10": (3, 6)}


def _uses(row: str):
    def uses(config: Config) -> tuple[list[str], list[str]]:
        datasets, networks = used_by(row)(config)
        return datasets, [*networks, *([config.features.network] if config.features else [])]

    return uses


def _distances(row: str):
    def table(config: Config, threads: int) -> pd.DataFrame:
        """scene, side, layer, distance, features; layer `image`: patches of whole images, the least to expect."""
        lines = pd.read_csv(paths.edits(config.profile, row) / "distances.csv")
        return lines[["scene", "side", "layer", "distance", "features"]]

    return table


def _values(row: str):
    def values(table: pd.DataFrame) -> dict[str, Any]:
        """Mean distances of two layers, at all sides and of all scenes that have both.

        A small StyleGAN2 renders nothing from its layer8; before it, layer7 has as many places."""
        lines = table[table["layer"] != "image"]
        number = lines["layer"].str.removeprefix("layer").astype(int)
        by_layer = lines.assign(number=number).pivot(
            index=["scene", "side"], columns="number", values="distance"
        )
        pairs = {limit: max(n for n in set(number) if n <= limit) for limit in COMPARED[row]}
        both = by_layer[list(pairs.values())].dropna()
        return {f"fid_layer{limit}": float(both[n].mean()) for limit, n in pairs.items()}

    return values


def _shown(row: str, source: str):
    def table(config: Config, threads: int) -> pd.DataFrame:
        """Pictures by layer: part, name, file, side."""
        spec, whole = section(config, row), section(config, source)
        (scene,) = (name for name, network in whole.networks.items() if network == spec.network)
        found = pictures(paths.edits(config.profile, source))
        found = found[found["name"].str.startswith(f"{scene} ")]
        return found.assign(name=found["name"].str.removeprefix(f"{scene} "), side=whole.side)

    return table


def _row(row: str, network: str) -> Row:
    return Row(
        row,
        f"Patches rendered in isolation: distances by layer, {network}",
        "Fréchet distance of patches whose features are rendered with nothing around them from crops of whole images;"
        " dashed, that of crops of the same images: the least to expect of so many.",
        inputs_of(row),
        _uses(row),
        _distances(row),
        _values(row),
        _values(row),
    )


def _pictures(row: str, source: str, network: str, scene: str) -> Row:
    return Row(
        row,
        f"Patches rendered in isolation: {scene} by {network}",
        "Above: images. Below: the same images put together from patches, each rendered alone from a layer's features.",
        inputs_of(source),
        _uses(row),
        _shown(row, source),
        lambda table: {},
        lambda table: {"layers": int(table["name"].str.startswith("layer").sum())},
    )


ROWS = (
    _row("fig_b_7", "StyleGAN2"),
    _pictures("fig_b_8", "fig_b_7", "StyleGAN2", "churches"),
    _pictures("fig_b_9", "fig_b_7", "StyleGAN2", "kitchens"),
    _row("fig_b_10", "Progressive GAN"),
    _pictures("fig_b_11", "fig_b_10", "Progressive GAN", "churches"),
    _pictures("fig_b_12", "fig_b_10", "Progressive GAN", "kitchens"),
)
