"""The rows of chapter 4, appendix A and the PNAS paper that force units of generators on and off.

What is computed lies in results/<profile>/interventions/<row>. As in `interventions`, a table says in `part` what a
line is about: `removal`, `context` (what stands where a unit is forced on), `map`, `layer`, or `image`, whose PNG
shows the examples side by side.
"""

import re
from pathlib import Path
from typing import Any

import pandas as pd

from dissection import paths
from dissection.config import Config
from dissection.report import Row, only, section
from dissection.report.chapter3 import read_units, strip_of, used_by
from dissection.report.interventions import part, pictures

Values = dict[str, Any]
PARTS = {"removal": "removal", "contexts": "context", "layers": "layer", "maps": "map"}  # files


def _table(row: str):
    def table(config: Config, threads: int) -> pd.DataFrame:
        """The CSVs of the row's job one below the other; contexts with the published name they stand for."""
        spec, folder = section(config, row), paths.intervention(config.profile, row)
        tables = []
        for file, name in PARTS.items():
            if (folder / f"{file}.csv").exists():
                lines = pd.read_csv(folder / f"{file}.csv", keep_default_na=False)
                tables.append(lines.assign(part=name))
                if name == "context":
                    first = lines.drop_duplicates("concept")  # an object before a part of its name
                    published = {concept: key for key, concept in spec.contexts.items()}
                    tables[-1]["published"] = first["concept"].map(published)
        lines = pd.concat([*tables, pictures(folder)], ignore_index=True)
        whole = ["units", "images", "locations", "sample", "example"]
        lines = lines[["part", *(c for c in lines if c != "part")]]
        return lines.astype({c: "Int64" for c in whole if c in lines})

    return table


def _fig_4_4_values(table: pd.DataFrame) -> Values:
    lines = part(table, "removal")
    first = lines[lines["concept"] == lines["concept"].iloc[0]]
    removed = first.set_index(["order", "units"])["removed"]
    return {
        order: {f"n{n}": removed.get((order, n)) for n in (5, 10, 20)} for order in ("ace", "iou")
    }


def _pnas_fig_4_values(table: pd.DataFrame) -> Values:
    lines = part(table, "removal")
    trees = lines[lines["concept"] == lines["concept"].iloc[0]].set_index("units")
    removed, at = trees["removed"], (2, 4, 8, 20, 30)
    values: Values = {
        "a_units": [int(n) for n in removed.index],
        "a_removed": removed.tolist(),
        "a_removed_at": {f"n{n}": removed.get(n) for n in at},
        "images": int(trees["images"].iloc[0]),
    }
    if 20 in trees.index:
        middle, side = trees.loc[20, "removed"], trees.loc[20, "interval"]
        values["a_band_at_20"] = {"low": middle - side, "high": middle + side}
    return values | {"d_added": _effects(table), "d_error": _effects(table, "interval")}


def _pnas_texts(table: pd.DataFrame) -> dict[str, Values]:
    values = _pnas_fig_4_values(table)
    reduction = values["a_removed_at"]["n20"]
    return {
        "pnas_text_tree_ablation": {"reduction": reduction, "units": 20, "images": values["images"]}
    }


def _effects(table: pd.DataFrame, column: str = "effect") -> Values:
    """Published name of a context -> pixels added, by the mean number of pixels."""
    lines = part(table, "context")
    if "published" not in lines:
        return {}
    named = lines[lines["published"].notna()]
    return dict(zip(named["published"], named[column], strict=True))


def _removed(table: pd.DataFrame) -> Values:
    lines = part(table, "removal")
    return dict(zip(lines["name"], lines["removed"], strict=True))


def _fig_a_6_values(table: pd.DataFrame) -> Values:
    lines = part(table, "layer")
    visible = lines["visible"].astype(str) == "True"
    lines["shown"] = visible.map({True: "visible", False: "not_visible"})
    effect = {
        layer: dict(zip(of["shown"], of["effect"], strict=True))
        for layer, of in lines.groupby("layer", sort=False)
    }
    lines["weighted"] = (
        lines["effect"] * lines["locations"]
    )  # not a number where there is no location
    total = lines.groupby("layer", sort=False)["weighted"].sum()
    layers = list(effect)
    peak = layers[int(total.to_numpy().argmax())]
    found = re.search(r"\d+$", str(peak))
    number = lines.drop_duplicates("shown")
    return {
        "peak_layer": int(found[0]) if found else peak,
        "effect_at_peak": effect[peak],
        "effect_at_4": effect[layers[0]],
        "locations": dict(zip(number["shown"], number["locations"].astype(int), strict=True)),
    }


def _banner(config: Config, threads: int) -> pd.DataFrame:
    """part `unit`: the units, with what dissection says of those that are ablated in the pictures and their images;
    `removal` and `detector`: the job's; `image`."""
    row = "fig_slides_banner"
    spec, folder = section(config, row), paths.intervention(config.profile, row)
    units = pd.read_csv(folder / "units.csv")
    known = read_units(config, spec.dataset, spec.network, spec.protocol)
    of_layer = known[known["layer"] == spec.layer].set_index("unit", drop=False)
    shown = of_layer.loc[units["unit"].head(spec.units)].reset_index(drop=True)
    strips = pd.DataFrame([strip_of(config, spec.dataset, unit) for _, unit in shown.iterrows()])
    units = units.join(shown[["label", "category", "iou"]]).join(strips)
    tables = [units.assign(part="unit")]
    for name in ("removal", "detector"):
        if (folder / f"{name}.csv").exists():
            tables.append(pd.read_csv(folder / f"{name}.csv").assign(part=name))
    lines = pd.concat([*tables, pictures(folder)], ignore_index=True)
    lines = lines[["part", *(c for c in lines if c != "part")]]
    whole = ["unit", "rank", "units", "images"]
    return lines.astype({c: "Int64" for c in whole if c in lines})


def _banner_values(table: pd.DataFrame) -> Values:
    """Of the banners' rows, the share that is gone without the units of the pictures, and without random ones."""
    units = part(table, "unit")
    named = [int(unit) for unit in units.loc[units["strip"].notna(), "unit"]]
    values: Values = {"watermark_units_layer4": {"named": named}}
    lines = part(table, "removal")
    if lines.empty:
        return values
    of = lines[lines["units"] == len(named)].set_index("order")
    removed = 1 - of["after"] / of["before"]
    sample = part(table, "detector").set_index("sample")
    return values | {
        "banner": {
            "units": len(named),
            "removed": removed.get("found"),
            "removed_by_iou": removed.get("iou"),
            "removed_random": removed.get("random"),
            **of.loc["found", ["before", "after", "text_before", "text_after"]],
        },
        "images_with_banner": sample["banners"].to_dict(),
    }


def _banner_inputs(config: Config) -> dict[str, Path]:
    spec = section(config, "fig_slides_banner")
    folder = paths.units(config.profile, spec.dataset, spec.network)
    files = {name: folder / name for name in ("units.csv", "pages")}
    return files | _inputs("fig_slides_banner")(config)


def _row(id: str, title: str, caption: str, values, metrics=None, **more) -> Row:
    return Row(
        id, title, caption, _inputs(id), used_by(id), _table(id), values, metrics or values, **more
    )


def _inputs(row: str):
    def inputs(config: Config) -> dict[str, Path]:
        return {"interventions": paths.intervention(config.profile, row)}

    return inputs


ROWS = (
    _row(
        "fig_4_4",
        "Trees removed by more and more units",
        "Units of the layer ablated in every image, the first by alpha (the optimised causal effect) or by IoU with the"
        " concept: the share of its pixels that is gone, with 99 % intervals, and what becomes of other concepts. Units"
        " by alpha are ablated at the strength that alpha gives, as in A.4.",
        _fig_4_4_values,
    ),
    _row(
        "fig_4_9",
        "What can be removed from conference rooms",
        "The units that cause each concept, ablated in every image: the share of its pixels that is gone.",
        _removed,
    ),
    _row(
        "fig_4_10",
        "Windows removed from different scenes",
        "The units that cause windows in each generator, ablated in every image: the share of window pixels gone.",
        _removed,
    ),
    _row(
        "fig_4_11",
        "Doors inserted, by what is there",
        "The units that cause the concept, forced at one location at a time to their mean where it is: the pixels added"
        " there, as a multiple of the mean number of pixels, by what stands at the location; 99 % intervals that"
        " take images as independent.",
        _effects,
    ),
    _row(
        "fig_a_6",
        "Insertions traced through the layers",
        "How much an insertion at one location changes the units of each later layer, by their mean absolute"
        " activations. Published: visible to people; here visible is what adds pixels of the concept.",
        _fig_a_6_values,
    ),
    _row(
        "pnas_fig_4",
        "Trees removed and doors inserted by units that match them",
        "A: pixels that are gone without the units that match the concept best, with 99 % intervals. D: pixels that are"
        " added by forcing such units at one location to a high value, by what stands there; the paper's error bars are"
        " standard deviations, these are 99 % intervals that take images as independent.",
        _pnas_fig_4_values,
        only(_pnas_fig_4_values, "a_removed_at", "d_added"),
        texts=_pnas_texts,
    ),
    Row(
        "fig_slides_banner",
        "Banner units, and what is behind the banner",
        "Units that draw a banner of text at the bottom of images, ablated everywhere. As segmenters know little of"
        " text, a classifier learned from labelled scenes tells which rows of pixels are of a banner (its precision and"
        " recall on other scenes are in the table), and a unit draws banners as far as their likelihood falls without"
        " it; found on some images, tested on others. Beside them, units by IoU with the segmenter's text, and random"
        " ones. Faint words across the middle of a scene, as some of these scenes have them, cannot be told in images"
        " of 32 pixels and are not looked for.",
        _banner_inputs,
        used_by("fig_slides_banner"),
        _banner,
        _banner_values,
        lambda table: _banner_values(table).get("banner", {}),
    ),
)
