"""The rows of chapter 4 and appendix A, and of the generator half of the PNAS paper, that dissections alone answer.

A unit counts for the one concept that it matches best, if it matches that well enough.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dissection import paths
from dissection.config import Config, Counts, Units
from dissection.dissect.protocols import PROTOCOLS
from dissection.dissected import iou_of
from dissection.report import Row, only, section
from dissection.report.chapter3 import read_units, strip_of, used_by
from dissection.report.interventions import detector, part, pictures

Values = dict[str, Any]
CATEGORIES = ("object", "part", "material")
# what claims ask for counts as 0 where no unit matches it
FIG_4_5_ASKED = ("seat", "stove-t", "stove-r", "stove-b", "tree")
PNAS_FIG_3_ASKED = ("oven", "chair")
STRIPS = 2  # units of a layer that are shown


def concepts_of(units: pd.DataFrame, limit: float, known: set[tuple[str, str]]) -> pd.DataFrame:
    """
    units: rows of units.csv of one layer and protocol; limit: of IoU; known: (category, label) that images show.
    Returns layer_units, category, label, units, unit, iou (of the best of them), mean_iou: a line a concept, the best
    first, where one without a label is of the units that match nothing; then the known ones that no unit matches.
    """
    ranked = units.sort_values("iou", ascending=False, kind="stable")
    ranked.loc[ranked["iou"] <= limit, ["category", "label"]] = ""
    lines: list[tuple] = [
        (len(units), *concept, len(of), of["unit"].iloc[0], of["iou"].iloc[0], of["iou"].mean())
        for concept, of in ranked.groupby(["category", "label"], sort=False)
    ]
    missed = sorted(known - {line[1:3] for line in lines})
    lines += [(len(units), *concept, 0, None, None, None) for concept in missed]
    columns = ["layer_units", "category", "label", "units", "unit", "iou", "mean_iou"]
    return pd.DataFrame(lines, columns=columns).astype({"unit": "Int64"})


def matched(config: Config, row: str, strips: bool) -> pd.DataFrame:
    """network, layer (published names) and `concepts_of`; strips: with the images of the best units of each layer."""
    spec, tables = section(config, row), []
    for name, network in spec.networks.items():
        dataset = spec.on(network)
        for published, layer in (spec.layers or own_layers(config, network)).items():
            table, best = in_layer(config, dataset, network, spec.protocol, layer)
            if strips:
                table = table.join(strips_of(config, dataset, best))
            table.insert(0, "layer", published)
            table.insert(0, "network", name)
            tables.append(table)
    return pd.concat(tables, ignore_index=True)


def in_layer(
    config: Config, dataset: str, network: str, protocol: str, layer: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`concepts_of` a layer, and the best units of the best concepts, by line of that: rows of units.csv."""
    units = read_units(config, dataset, network, protocol)
    concepts = pd.read_csv(
        paths.units(config.profile, dataset, network) / "concepts.csv", keep_default_na=False
    )
    seen = concepts[concepts["images"] > 0]
    known = set(zip(seen["category"], seen["name"], strict=True))
    of_layer = units[units["layer"] == layer]
    table = concepts_of(of_layer, PROTOCOLS[protocol].iou, known)
    best = table[(table["units"] > 0) & (table["label"] != "")].head(STRIPS)
    return table, of_layer.set_index("unit", drop=False).loc[best["unit"]].set_index(best.index)


def strips_of(config: Config, dataset: str, units: pd.DataFrame) -> pd.DataFrame:
    """strip, sha256 of each unit."""
    found = [strip_of(config, dataset, unit) for _, unit in units.iterrows()]
    return pd.DataFrame(found, index=units.index, columns=["strip", "sha256"])


def own_layers(config: Config, network: str) -> dict[str, str]:
    return {layer: layer for layer in config.networks[network].layers}


def counted(table: pd.DataFrame, by: str, asked: tuple[str, ...] = ()) -> Values:
    """by: `layer` or `network`, whose names are the keys below. `total_units`, those in the layer; units by category;
    `total` of these; `classes` by category; and `<name>_<category>s`: units by concept, also of those `asked` for that
    none matches."""
    values: Values = {name: {} for name in ("total_units", *CATEGORIES, "total", "classes")}
    bars: Values = {}
    for name, of in table.groupby(by, sort=False):
        values["total_units"][name] = int(of["layer_units"].iloc[0])
        values["classes"][name] = {c: distinct(of, c) for c in CATEGORIES}
        for category in CATEGORIES:
            values[category][name] = int(of.loc[of["category"] == category, "units"].sum())
            bars[f"{name}_{category}s"] = bar(of, category, asked)
        values["total"][name] = sum(values[category][name] for category in CATEGORIES)
    return values | bars


def distinct(table: pd.DataFrame, category: str) -> int:
    """Concepts of the category that some unit matches."""
    return int(((table["category"] == category) & (table["units"] > 0)).sum())


def bar(table: pd.DataFrame, category: str, asked: tuple[str, ...]) -> dict[str, int]:
    """Concept, named as in the published values, -> units."""
    same = table[table["category"] == category]
    same = same[(same["units"] > 0) | same["label"].isin(asked)]
    names = [re.sub(r"\W+", "_", label) for label in same["label"]]
    return dict(zip(names, same["units"].astype(int).tolist(), strict=True))


def _fig_4_5_values(table: pd.DataFrame) -> Values:
    found = counted(table, "network", FIG_4_5_ASKED)
    names = found.pop("total_units")
    units = {name: {c: found[c][name] for c in CATEGORIES} for name in names}
    bars = {k: v for k, v in found.items() if k not in (*CATEGORIES, "total", "classes")}
    return {"classes": found["classes"], "units": units, **bars}


def _fig_4_6_values(table: pd.DataFrame) -> Values:
    return {name: value for name, value in counted(table, "layer").items() if name != "total"}


def _fig_a_8_values(table: pd.DataFrame) -> Values:
    keys = ("total_units", *CATEGORIES, "total")
    return {name: value for name, value in counted(table, "layer").items() if name in keys}


def _fig_a_7_values(table: pd.DataFrame) -> Values:
    """At the first and at the last snapshot: units that match a concept, concepts, and the mean IoU of all units of
    the layer with the concept that each matches best."""
    table = table.assign(iteration=table["network"].astype(int), found=table["units"] > 0)
    values: Values = {}
    for name, iteration in (
        ("first", table["iteration"].min()),
        ("last", table["iteration"].max()),
    ):
        of = table[(table["iteration"] == iteration) & table["found"]]
        some = of[of["label"] != ""]
        mean = np.average(of["mean_iou"].astype(float), weights=of["units"])
        values |= {f"units_{name}": int(some["units"].sum()), f"classes_{name}": len(some)}
        values |= {f"mean_iou_{name}": float(mean), f"iteration_{name}": int(iteration)}
    return values


# Figure 4-7


def _fig_4_7(config: Config, threads: int) -> pd.DataFrame:
    """part `concept`: `concepts_of` each network's layer; `unit`: the best unit of each of the row's concepts,
    if any matches it; `distance`: the sliced Wasserstein distance to real images by level of the pyramid."""
    row = "fig_4_7"
    spec = section(config, row)
    tables = [matched(config, row, strips=False).assign(part="concept")]
    for name, network in spec.networks.items():
        for published, layer in spec.layers.items():
            best = [
                {"network": name, "layer": published, "concept": concept}
                | best_unit(config, spec, network, layer, concept)
                for concept in spec.concepts
            ]
            matching = [unit for unit in best if unit["iou"] > 0]
            tables.append(pd.DataFrame(matching).assign(part="unit"))
    distances = pd.read_csv(paths.intervention(config.profile, row) / "distances.csv")
    table = pd.concat([*tables, distances.assign(part="distance")], ignore_index=True)
    whole = dict.fromkeys(("unit", "units", "layer_units", "images", "level"), "Int64")
    return table[["part", *(c for c in table if c != "part")]].astype(whole)


def _fig_4_7_values(table: pd.DataFrame) -> Values:
    """`swd`: 1000 times the mean over the levels; `swd_real`: between two sets of as many real images."""
    concepts = part(table, "concept").fillna({"label": "", "category": ""})
    found = counted(concepts, "network")
    distances = part(table, "distance").groupby("network", sort=False)["swd"].mean().to_dict()
    names = {name: {c: found[c][name] for c in CATEGORIES} for name in found["classes"]}
    values: Values = {c: {name: of[c] for name, of in names.items()} for c in CATEGORIES}
    values["total"] = found["total"]
    values["class_types"] = {name: sum(found["classes"][name].values()) for name in names}
    values["swd_real"] = distances.pop("real")
    values["swd"] = distances
    for unit in part(table, "unit").to_dict("records"):
        best = values.setdefault(f"best_{unit['concept']}_unit", {})
        best[f"{unit['network']}_{unit['unit']}"] = unit["iou"]
    return values


def _fig_4_7_inputs(config: Config) -> dict[str, Path]:
    files = _inputs("fig_4_7", pages=True)(config)
    return files | {"distances": paths.intervention(config.profile, "fig_4_7")}


# Figure 4-3


def best_unit(config: Config, spec: Any, network: str, layer: str, concept: str) -> Values:
    """unit, label, category, iou (with the concept), strip, sha256 of the unit that matches the concept best."""
    dataset = spec.on(network) if isinstance(spec, Counts) else spec.dataset
    units = read_units(config, dataset, network, spec.protocol)
    iou = iou_of(paths.units(config.profile, dataset, network), layer, spec.protocol, concept)
    number = int(iou.argmax())
    unit = units[(units["layer"] == layer) & (units["unit"] == number)].iloc[0]
    return {
        "unit": number, "label": unit["label"], "category": unit["category"], "iou": iou[number],
        **strip_of(config, dataset, unit),
    }  # fmt: skip


def _fig_4_3(config: Config, threads: int) -> pd.DataFrame:
    """published, network, layer, unit, concept, label, iou (with the concept), images, strip: a line a unit."""
    spec: Units = section(config, "fig_4_3")
    lines = []
    for of in spec.networks:
        unit = best_unit(config, spec, of.network, of.layer, of.concept)
        lines.append({
            "published": of.published or "", "network": of.network, "layer": of.layer, "concept": of.concept,
            "images": config.generated[spec.dataset].images, **unit,
        })  # fmt: skip
    first = [
        "published",
        "network",
        "layer",
        "unit",
        "concept",
        "label",
        "category",
        "iou",
        "images",
    ]
    return pd.DataFrame(lines)[[*first, "strip", "sha256"]]


def _fig_4_3_values(table: pd.DataFrame) -> Values:
    names = [
        published or f"{network}_{layer}_unit{unit}_{concept}"
        for published, network, layer, unit, concept in zip(
            *(table[c] for c in ("published", "network", "layer", "unit", "concept")), strict=True
        )
    ]
    return {**dict(zip(names, table["iou"].astype(float), strict=True)),
            "images": int(table["images"].iloc[0])}  # fmt: skip


# PNAS figure 3


def _pnas_fig_3(config: Config, threads: int) -> pd.DataFrame:
    """
    part `concept`: `concepts_of` each layer; `unit`: the best units of the row's layer, with their images; the parts
    of `interventions.detector`; `image`: test images with the concept, and whether the unit tells them.
    """
    row = "pnas_fig_3"
    spec, tables = section(config, row), []
    for layer in config.networks[spec.network].layers:
        table, best = in_layer(config, spec.dataset, spec.network, spec.protocol, layer)
        tables.append(table.assign(part="concept", layer=layer))
        if layer == spec.layer:
            keys = ["layer", "unit", "category", "label", "iou"]
            shown = strips_of(config, spec.dataset, best)
            tables.append(best[keys].join(shown).assign(part="unit"))
    tables.append(detector(config, row).assign(layer=spec.layer))
    tables.append(pictures(paths.intervention(config.profile, row)))
    table = pd.concat(tables, ignore_index=True)
    whole = dict.fromkeys(("unit", "units", "layer_units", "images"), "Int64")
    return table[["part", *(c for c in table if c != "part")]].astype(whole)


def _pnas_fig_3_values(table: pd.DataFrame) -> Values:
    concepts = table[table["part"] == "concept"]
    concepts = concepts.assign(units=concepts["units"].astype(int))
    kinds = [*CATEGORIES, "color"]
    layers = {
        layer: {c: distinct(of, c) for c in kinds}
        for layer, of in concepts.groupby("layer", sort=False)
    }
    values: Values = {
        "layers": layers,
        "object_plus_part": {name: of["object"] + of["part"] for name, of in layers.items()},
    }
    layer = part(table, "detector")["layer"].iloc[0]
    of_layer = concepts[concepts["layer"] == layer]
    values |= {f"{layer}_{c}s": bar(of_layer, c, PNAS_FIG_3_ASKED) for c in kinds}
    peaks = part(table, "peak")
    present = peaks.loc[peaks["role"] == "test", "present"].astype(float) == 1
    return values | {
        "panel_F_samples": {"window": int(present.sum()), "no_window": int((~present).sum())}
    }


def _pnas_fig_3_texts(table: pd.DataFrame) -> dict[str, Values]:
    lines = part(table, "detector")
    test = lines[lines["role"] == "test"].iloc[0]
    unit = {
        "threshold": float(test["threshold"]),
        "accuracy": float(test["balanced_accuracy"]),
        "min_window_area": float(test["area"]),
    }
    counts = _pnas_fig_3_values(table)["layers"][test["layer"]]
    return {"pnas_text_layer5": counts, "pnas_text_unit314": unit}


# The list


def files_of(config: Config, dataset: str, network: str, pages: bool) -> dict[str, Path]:
    """What of a dissection a row is made from."""
    folder = paths.units(config.profile, dataset, network)
    names = ["units.csv", "concepts.csv", "iou.safetensors", *(["pages"] if pages else [])]
    return {f"{name} of {network}": folder / name for name in names}


def _inputs(row: str, pages: bool) -> Callable[[Config], dict[str, Path]]:
    def inputs(config: Config) -> dict[str, Path]:
        spec = section(config, row)
        networks = spec.networks
        if isinstance(networks, Mapping):
            pairs = [(spec.on(network), network) for network in networks.values()]
        else:
            pairs = [(spec.dataset, unit.network) for unit in networks]
        files = [files_of(config, *pair, pages).items() for pair in pairs]
        return dict(item for items in files for item in items)

    return inputs


def _pnas_fig_3_inputs(config: Config) -> dict[str, Path]:
    spec = section(config, "pnas_fig_3")
    files = files_of(config, spec.dataset, spec.network, pages=True)
    return files | {"interventions": paths.intervention(config.profile, "pnas_fig_3")}


def _row(
    id: str,
    title: str,
    caption: str,
    values: Callable[[pd.DataFrame], Values],
    strips: bool = False,
) -> Row:
    def table(config: Config, threads: int) -> pd.DataFrame:
        return matched(config, id, strips)

    return Row(id, title, caption, _inputs(id, strips), used_by(id), table, values, values)


MATCHED = (
    "A unit counts for the concept that it matches best, if their IoU is above 0.05. The activation from which on it"
    " is taken to show a concept is the one that tells most of it (eq. 4.2), on other images."
)
ROWS = (
    Row(
        "fig_4_3",
        "Two units of generators",
        "The unit of the layer that matches the concept best, and the generated images that move it most.",
        _inputs("fig_4_3", pages=True),
        used_by("fig_4_3"),
        _fig_4_3,
        _fig_4_3_values,
        _fig_4_3_values,
    ),
    _row("fig_4_5", "Units by scene", MATCHED, _fig_4_5_values, strips=True),
    _row("fig_4_6", "Units by layer", MATCHED, _fig_4_6_values, strips=True),
    Row(
        "fig_4_7",
        "Units by variant of training",
        MATCHED
        + " The sliced Wasserstein distance (SWD) to images that the generators learned from, or their like: 1000"
        " times the mean over the levels of the images' Laplacian pyramids, as it is published. It cannot be less"
        " than that between two sets of as many real images (real).",
        _fig_4_7_inputs,
        used_by("fig_4_7"),
        _fig_4_7,
        _fig_4_7_values,
        only(_fig_4_7_values, "total", "class_types", "swd", "swd_real"),
    ),
    _row(
        "fig_a_7",
        "Units while a generator is trained",
        MATCHED
        + " The mean is that of all units of the layer, each with the concept that it matches best.",
        _fig_a_7_values,
    ),
    _row("fig_a_8", "Units of all layers of a generator", MATCHED, _fig_a_8_values),
    Row(
        "pnas_fig_3",
        "A generator dissected",
        "Concepts that units of each layer match, and units of one layer by concept. One unit as a classifier of the"
        " images in which its concept takes more than a twentieth of the area: by a threshold on its peak activation"
        " that was chosen on other images; its accuracy is balanced.",
        _pnas_fig_3_inputs,
        used_by("pnas_fig_3"),
        _pnas_fig_3,
        _pnas_fig_3_values,
        lambda table: {"object_plus_part": _pnas_fig_3_values(table)["object_plus_part"]},
        texts=_pnas_fig_3_texts,
    ),
)
