"""The rows of chapter 4 and appendix A, and of the generator half of the PNAS paper, that dissections alone answer.

A unit counts for the one concept that it matches best, if it matches that well enough.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from dissection import paths
from dissection.config import Config
from dissection.dissect.protocols import PROTOCOLS
from dissection.report import Row, section
from dissection.report.chapter3 import read_units, used_by

Values = dict[str, Any]
CATEGORIES = ("object", "part", "material")
ASKED = ("seat", "stove-t", "stove-r", "stove-b", "tree", "oven", "chair")  # by claims

# Figures 4-5, 4-6, A-7 and A-8: units by the concepts that they match


def concepts_of(units: pd.DataFrame, limit: float, known: set[tuple[str, str]]) -> pd.DataFrame:
    """
    units: rows of units.csv of one layer and protocol; limit: of IoU; known: (category, label) that images show.
    Returns layer_units, category, label, units, unit, iou (of the best of them), mean_iou: a line a concept, the best
    first; then one of the units that match nothing, without a label; then the known ones that no unit matches.
    """
    ranked = units.sort_values("iou", ascending=False, kind="stable")
    ranked.loc[ranked["iou"] <= limit, ["category", "label"]] = ""
    lines = [
        (len(units), *concept, len(of), of["unit"].iloc[0], of["iou"].iloc[0], of["iou"].mean())
        for concept, of in ranked.groupby(["category", "label"], sort=False)
    ]
    missed = sorted(known - {line[1:3] for line in lines})
    lines += [(len(units), *concept, 0, None, None, None) for concept in missed]
    columns = ["layer_units", "category", "label", "units", "unit", "iou", "mean_iou"]
    return pd.DataFrame(lines, columns=columns).astype({"unit": "Int64"})


def matched(config: Config, row: str, strips: bool = False) -> pd.DataFrame:
    """network, layer (their published names) and `concepts_of`; strips: with the top images of the best unit."""
    spec, tables = section(config, row), []
    for name, network in spec.networks.items():
        units = read_units(config, spec.on(network), network, spec.protocol)
        known = _known(config, spec.on(network), network)
        for published, layer in (spec.layers or _layers(config, network)).items():
            of_layer = units[units["layer"] == layer]
            table = concepts_of(of_layer, PROTOCOLS[spec.protocol].iou, known)
            table.insert(0, "layer", published)
            table.insert(0, "network", name)
            tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _layers(config: Config, network: str) -> dict[str, str]:
    return {layer: layer for layer in config.networks[network].layers}


def _known(config: Config, dataset: str, network: str) -> set[tuple[str, str]]:
    """(category, label) that any image shows."""
    path = paths.units(config.profile, dataset, network) / "concepts.csv"
    concepts = pd.read_csv(path, keep_default_na=False)
    seen = concepts[concepts["images"] > 0]
    return set(zip(seen["category"], seen["name"], strict=True))


def _inputs(row: str) -> Callable[[Config], dict[str, Path]]:
    def inputs(config: Config) -> dict[str, Path]:
        spec = section(config, row)
        folders = {
            name: paths.units(config.profile, spec.on(network), network)
            for name, network in spec.networks.items()
        }
        files = ("units.csv", "concepts.csv")
        return {f"{file} of {n}": folder / file for n, folder in folders.items() for file in files}

    return inputs


def counted(table: pd.DataFrame, by: str, categories: tuple[str, ...] = CATEGORIES) -> Values:
    """`total_units`; units by category; `total` of these; `classes`: layer (or network) -> category -> concepts;
    and `<layer>_<category>s`: concept -> units, those that claims ask for also if there are none."""
    values: Values = {"total_units": {}, **{c: {} for c in categories}, "total": {}, "classes": {}}
    bars: Values = {}
    for name, of in table.groupby(by, sort=False):
        values["total_units"][name] = int(of["layer_units"].iloc[0])
        values["classes"][name] = {}
        for category in categories:
            same = of[of["category"] == category]
            values[category][name] = int(same["units"].sum())
            values["classes"][name][category] = int((same["units"] > 0).sum())
            bar = same[(same["units"] > 0) | same["label"].isin(ASKED)]
            bars[f"{name}_{category}s"] = {
                re.sub(r"\W+", "_", label): int(units)
                for label, units in zip(bar["label"], bar["units"], strict=True)
            }
        values["total"][name] = sum(values[category][name] for category in categories)
    return values | bars


def _row(
    id: str, title: str, caption: str, values: Callable[[pd.DataFrame], Values]
) -> Row:  # fmt: skip
    def table(config: Config, threads: int) -> pd.DataFrame:
        return matched(config, id)

    return Row(id, title, caption, _inputs(id), used_by(id), table, values, values)


def _fig_a_8_values(table: pd.DataFrame) -> Values:
    return counted(table, "layer")


MATCHED = (
    "A unit counts for the concept that it matches best, if their IoU is above 0.05. The activation from which on it"
    " is taken to show a concept is the one that tells most of it (eq. 4.2), on other images."
)
ROWS = (_row("fig_a_8", "Units of all layers of a generator", MATCHED, _fig_a_8_values),)
