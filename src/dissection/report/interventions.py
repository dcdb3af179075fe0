"""The rows that remove units, attack the network, or take a unit as a detector (PNAS 2020, and the talk).

What is computed lies in results/<profile>/interventions/<row>; here it becomes tables. A table with several
parts says in `part` what a line is about, and leaves the columns of the other parts empty.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dissection import paths
from dissection.config import Config, named
from dissection.dissect.count import best_labels, count_detectors
from dissection.dissect.protocols import PROTOCOLS
from dissection.report import Row, section
from dissection.report.chapter3 import read_units

Values = dict[str, Any]
CHANCE = 0.5  # of balanced accuracy
MOST_CLASSES = 7  # the last group of figure 2E: as many, or more
SKI, BEDROOM = (  # published units important to ski resort and to bedroom, the most important first
    ("snow_261", "mountain_149", "house_242", "tree_105"),
    ("bed_290", "bed_317", "head_157", "sofa_75"),
)
REST, CHANGING = -2, -3  # units.csv: all units without an effect of their own, all with one


def part(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """The lines of one part, without the columns of others, numbers as numbers, as if they stood alone in the CSV."""
    lines = table[table["part"] == name]
    empty = lines.isna() | (lines == "")
    lines = lines.loc[:, ~empty.all()].mask(empty)
    for column in lines:
        numbers = pd.to_numeric(lines[column], errors="coerce")
        if (numbers.notna() == lines[column].notna()).all():
            lines[column] = numbers
    return lines


def labels(config: Config, row: str) -> pd.DataFrame:
    """unit (index), label, category, iou of the row's layer."""
    spec = section(config, row)
    units = read_units(config, spec.dataset, spec.network, spec.protocol)
    last = list(config.networks[spec.network].layers)[-1]
    return units[units["layer"] == last].set_index("unit")[["label", "category", "iou"]]


def _pnas_fig_2(config: Config, threads: int) -> pd.DataFrame:
    """
    part `single`: the loss by removing each of the units most important to a class; `set`: accuracy
    without the `units` most important ones, or without all but those; `unit`: the number of classes that a unit
    is important to.
    """
    spec, folder = section(config, "pnas_fig_2"), paths.intervention(config.profile, "pnas_fig_2")
    single, units = pd.read_csv(folder / "single.csv"), labels(config, "pnas_fig_2")
    keys = ["class", "unit", "rank"]
    losses = single.pivot(index=keys, columns="split", values=["loss", "log_odds_loss"])
    losses.columns = pd.Index([f"{c[1]}_{c[0]}" for c in losses.columns])
    losses = losses.reset_index()
    top = losses[losses["rank"].between(1, spec.top)].sort_values(["class", "rank"])
    single_part = top.join(units, on="unit").assign(part="single")
    sets = pd.read_csv(folder / "sets.csv").assign(part="set")
    sets["set"] = sets["units"].map({0: "none", spec.top: "top", spec.many: "many"})
    unit_part = units.reset_index().assign(part="unit")
    unit_part["classes"] = unit_part["unit"].map(top["unit"].value_counts()).fillna(0).astype(int)
    table = pd.concat([single_part, sets, unit_part], ignore_index=True)
    table["published"] = table["class"].map({spec.scene: "ski_resort"})
    first = ["part", "class", "published", "removed", "units", "set", "unit", "rank"]
    whole = {name: "Int64" for name in ("units", "unit", "rank", "classes")}
    return table[[*first, *(c for c in table if c not in first)]].astype(whole)


def _pnas_fig_2_values(table: pd.DataFrame) -> Values:
    single, sets, units = (part(table, name) for name in ("single", "set", "unit"))
    ski = single[single["published"] == "ski_resort"].head(len(SKI))
    names = [f"unit_{name.rpartition('_')[2]}" for name in SKI]
    lines = ski[["label", "train_loss", "validation_loss"]].set_axis(
        ["label", "train", "val"], axis=1
    )
    values: Values = {"a_loss": dict(zip(names, lines.to_dict("records"), strict=False))}
    of_ski = sets[sets["published"] == "ski_resort"]
    for name, column, chance in (
        ("b_ski_resort", "balanced_accuracy", CHANCE),
        ("b_all_class", "all_class_accuracy", 1 / sets["class"].nunique()),
    ):
        values[name] = {
            "unchanged": _set(of_ski, "none", "most", column),
            "top4_removed": _set(of_ski, "top", "most", column),
            "top20_removed": _set(of_ski, "many", "most", column),
            "least492_removed": _set(of_ski, "many", "all_but_most", column),
            "chance": chance,
        }
    values["d_mean"] = {
        "unchanged": _set(sets, "none", "most"),
        "top20_removed": _set(sets, "many", "most"),
        "only_top20_kept": _set(sets, "many", "all_but_most"),
    }
    group = units["classes"].clip(upper=MOST_CLASSES)
    iou = units.groupby(group)["iou"].agg(["size", "mean", "sem"]).reindex(range(MOST_CLASSES + 1))
    iou.index = pd.Index([f"c{n}{'plus' if n == MOST_CLASSES else ''}" for n in iou.index])
    found = iou.astype(object).where(iou.notna(), None)
    values["e_units"] = iou["size"].fillna(0).astype(int).to_dict()
    return values | {
        "e_mean_iou": found["mean"].to_dict(),
        "e_standard_error": found["sem"].to_dict(),
    }


def _set(
    sets: pd.DataFrame, size: str, removed: str, column: str = "balanced_accuracy"
) -> float | None:
    found = sets[(sets["set"] == size) & (sets["removed"] == removed)][column]
    return float(found.mean()) if len(found) else None


def _pnas_fig_2_texts(table: pd.DataFrame) -> dict[str, Values]:
    values = _pnas_fig_2_values(table)
    ski, every, mean = values["b_ski_resort"], values["b_all_class"], values["d_mean"]
    return {
        "pnas_text_ski_resort": {
            "ski_resort": {k: v for k, v in ski.items() if k != "chance"},
            "loss_least492": ski["unchanged"] - ski["least492_removed"],
            "all_class": {k: every[k] for k in ("unchanged", "top20_removed", "least492_removed")},
            "chance": {"single": ski["chance"], "all_class": every["chance"]},
        },
        "pnas_text_all_classes": {
            "mean_accuracy_top20_removed": mean["top20_removed"],
            "mean_loss_keep20": mean["unchanged"] - mean["only_top20_kept"],
            "classes": int(part(table, "set")["class"].nunique()),
        },
    }


def _pnas_fig_5(config: Config, threads: int) -> pd.DataFrame:
    """
    part `group`: mean |change of peak| of a group of units, with its 99 % interval (2.58 standard errors), over
    the attacked images; `unit`: peaks of single units in the example; `map`: their activations; `image`.
    """
    folder = paths.intervention(config.profile, "pnas_fig_5")
    changes, units = pd.read_csv(folder / "changes.csv"), labels(config, "pnas_fig_5")
    attacks = changes.drop_duplicates(["image", "target"])
    done = attacks[attacks["group"] != "failed"]
    groups = (
        changes[changes["values"] > 0]
        .groupby("group", sort=False)[["values", "sum", "squares"]]
        .sum()
    )
    mean = groups["sum"] / groups["values"]
    deviation = (groups["squares"] / groups["values"] - mean**2).clip(lower=0) ** 0.5
    group_part = pd.DataFrame({
        "part": "group", "group": groups.index, "values": groups["values"], "change": mean,
        "interval": 2.58 * deviation / groups["values"] ** 0.5, "attacked": len(attacks),
        "images": len(done), "distance": done["distance"].median(),
    })  # fmt: skip
    unit_part = pd.read_csv(folder / "example.csv").join(units, on="unit").assign(part="unit")
    unit_part["change"] = unit_part["peak_after"] - unit_part["peak_before"]
    map_part = pd.read_csv(folder / "maps.csv").assign(part="map")
    table = pd.concat([group_part, unit_part, map_part, pictures(folder)], ignore_index=True)
    return table.astype(
        {name: "Int64" for name in ("values", "images", "attacked", "unit", "rank", "y", "x")}
    )


def _pnas_fig_5_values(table: pd.DataFrame) -> Values:
    groups = part(table, "group").set_index("group")
    units = part(table, "unit").set_index(["role", "rank"])["change"]
    change = groups["change"].to_dict()
    names = [(f"ski_{n}", "source", k) for k, n in enumerate(SKI, start=1)]
    names += [(f"bedroom_{n}", "target", k) for k, n in enumerate(BEDROOM, start=1)]
    return {
        "b_delta_peak": {name: units.get((role, k)) for name, role, k in names},
        "c_mean_abs_change": {
            "target_top4": change["target_top"],
            "source_top4": change["source_top"],
            "other": change["other"],
        },
        "images": int(groups["images"].iloc[0]),
        "units_per_class": len(units.loc["source"]),
    }


def _single_image(config: Config, threads: int) -> pd.DataFrame:
    """
    part `unit`: prediction and probability of the class without a unit; `set`: without all units that change
    nothing by themselves (rest), or all that do (changing), or none; `images`: images by the number of units that
    change their prediction; `map`: activations of the units that change it, and each unit's threshold; `image`.
    """
    row = "fig_slides_single_image"
    spec, folder = section(config, row), paths.intervention(config.profile, row)
    units = pd.read_csv(folder / "units.csv")
    prediction = units.loc[units["unit"] == -1, "prediction"].item()
    units["changes"] = (units["prediction"] != prediction).astype(int)
    units["part"] = np.where(units["unit"] >= 0, "unit", "set")
    units["removed"] = units["unit"].map({-1: "none", REST: "rest", CHANGING: "changing"})
    units = units.join(labels(config, row), on="unit")
    units["unit"] = units["unit"].where(units["unit"] >= 0)
    images = pd.read_csv(folder / "images.csv")
    right = images[images["prediction"] == images["class"]]
    tally = right["changing"].value_counts().sort_index()
    counts = pd.DataFrame({"part": "images", "changing": tally.index, "images": tally})
    read = read_units(config, spec.dataset, spec.network, spec.protocol)
    last = read[read["layer"] == list(config.networks[spec.network].layers)[-1]]
    maps = pd.read_csv(folder / "maps.csv").assign(part="map")
    maps = maps.join(last.set_index("unit")["threshold"], on="unit")
    images_part = pictures(folder).assign(prediction=prediction)
    table = pd.concat([units, counts, maps, images_part], ignore_index=True)
    return table.astype({name: "Int64" for name in ("unit", "changing", "images", "y", "x")})


def _single_image_values(table: pd.DataFrame) -> Values:
    units, counts = part(table, "unit"), part(table, "images")
    changing = units[units["changes"] == 1].sort_values("probability")["unit"]
    some = counts.loc[counts["changing"] > 0, "images"].sum()
    return {
        "baseball_field": {
            "units_without_effect_on_prediction": int(len(units) - len(changing)),
            "units_total": len(units),
            "units_with_effect": [int(u) for u in changing],
        },
        "images": {"right": int(counts["images"].sum()), "changed_by_some_unit": int(some)},
    }


def detector(config: Config, row: str = "pnas_fig_1") -> pd.DataFrame:
    """
    One unit as a detector (figure 1F). part `detector`: unit, concept, iou, threshold, and balanced_accuracy on the
    dataset where the threshold was chosen (role train) and on another (test); part `peak`: role, present, peak of
    each image.
    """
    folder = paths.intervention(config.profile, row)
    lines = pd.read_csv(folder / "detector.csv").rename(columns={"part": "role"})
    peaks = pd.read_csv(folder / "peaks.csv").rename(columns={"part": "role"})
    return pd.concat([lines.assign(part="detector"), peaks.assign(part="peak")], ignore_index=True)


def detector_texts(table: pd.DataFrame) -> dict[str, Values]:
    """Values of the text's airplane unit, of a table that has the lines of `detector`."""
    lines = part(table, "detector")
    test = lines[lines["role"] == "test"]
    keys = ["iou", "threshold", "balanced_accuracy"]
    return {"pnas_text_unit150": {key: float(test[key].iloc[0]) for key in keys}}


def _pnas_fig_1(config: Config, threads: int) -> pd.DataFrame:
    """
    part `layer`: concepts (distinct best labels) and units by layer and category; `label`: the units of
    the last layer by label; and, where the row has one, the parts of `detector`.
    """
    spec = section(config, "pnas_fig_1")
    units = read_units(config, spec.dataset, spec.network, spec.protocol)
    limit, tables = PROTOCOLS[spec.protocol].iou, []
    for layer in config.networks[spec.network].layers:
        counts = count_detectors(best_labels(units[units["layer"] == layer]), limit)
        counts = counts[counts["counting"] == "best_label"].drop(columns="counting")
        tables.append(counts.assign(part="layer", layer=layer))
    last = labels(config, "pnas_fig_1")
    by_label = last[last["iou"] > limit].groupby(["category", "label"], sort=False)["iou"]
    found = by_label.agg(detector_units="size", best_iou="max").reset_index()
    found = found.sort_values(["detector_units", "label"], ascending=[False, True])
    tables.append(found.assign(part="label"))
    tables += [detector(config)] if spec.detector else []
    table = pd.concat(tables, ignore_index=True)
    return table[["part", *(c for c in table if c != "part")]]


def _pnas_fig_1_values(table: pd.DataFrame) -> Values:
    counts = part(table, "layer").pivot(
        index="layer", columns="category", values="unique_detectors"
    )
    counts = counts.loc[part(table, "layer")["layer"].unique()].astype(int)
    kinds = {f"{c}_by_layer": counts[c].to_dict() for c in ("object", "part") if c in counts}
    return {"layers": counts.T.to_dict(), **kinds}


def _pnas_fig_1_inputs(config: Config) -> dict[str, Path]:
    files = _inputs("pnas_fig_1")(config)
    return files if section(config, "pnas_fig_1").detector else {"units": files["units"]}


def pictures(folder: Path) -> pd.DataFrame:
    """Pictures in the folder, with what they are."""
    files = sorted(folder.glob("*.png"))
    return pd.DataFrame(
        {"part": "image", "name": [f.stem for f in files], "file": [str(f) for f in files]}
    )


def _inputs(row: str):
    def inputs(config: Config) -> dict[str, Path]:
        spec = section(config, row)
        return {
            "interventions": paths.intervention(config.profile, row),
            "units": paths.units(config.profile, spec.dataset, spec.network) / "units.csv",
        }

    return inputs


def _uses(row: str):
    def uses(config: Config) -> tuple[list[str], list[str]]:
        names = list(named(section(config, row)))
        datasets = [name for key, name in names if key != "network"]
        return list(dict.fromkeys(datasets)), [name for key, name in names if key == "network"]

    return uses


ROWS = (
    Row(
        "pnas_fig_1",
        "Units of all layers of VGG-16",
        "Concepts that units of each layer match, by best label; the units of the last layer by concept; and one unit"
        " as a detector of its concept, by a threshold on its peak activation that was chosen on other images.",
        _pnas_fig_1_inputs,
        _uses("pnas_fig_1"),
        _pnas_fig_1,
        _pnas_fig_1_values,
        _pnas_fig_1_values,
        texts=lambda table: detector_texts(table) if (table["part"] == "detector").any() else {},
    ),
    Row(
        "pnas_fig_2",
        "A class rests on few units",
        "A unit's importance to a class is what its removal costs the class in balanced accuracy on training images;"
        " everything else is measured on validation images. The published four units are those that"
        " matter most to ski resort: the units that do so here stand for them, by rank. Units that cost a class equally"
        " many images are ranked by the log odds that they cost it.",
        _inputs("pnas_fig_2"),
        _uses("pnas_fig_2"),
        _pnas_fig_2,
        _pnas_fig_2_values,
        lambda table: _pnas_fig_2_values(table)["d_mean"],
        texts=_pnas_fig_2_texts,
    ),
    Row(
        "pnas_fig_5",
        "Units changed by an adversarial attack",
        "Carlini-Wagner L2 attacks. The units most important to the source and to the target class (by rank, they stand"
        " for the published ones), and all other units: how much their peak activation changes.",
        _inputs("pnas_fig_5"),
        _uses("pnas_fig_5"),
        _pnas_fig_5,
        _pnas_fig_5_values,
        lambda table: _pnas_fig_5_values(table)["c_mean_abs_change"],
    ),
    Row(
        "fig_slides_single_image",
        "One image without each unit",
        "Which units change the prediction of one image when removed alone, and what remains when all the others are"
        " removed together. Published: a baseball field, 512 units.",
        _inputs("fig_slides_single_image"),
        _uses("fig_slides_single_image"),
        _single_image,
        _single_image_values,
        lambda table: _single_image_values(table)["images"],
        entry="slides_unit_roles",
    ),
)
