"""The rows of chapter 4 and appendix A on how realistic generated images are: artifact units, and units of images that
confuse a segmenter.

What is computed lies in results/<profile>/quality/<network>. Distances are FIDs only where `features` in a table says
that they compare the features of the FID Inception.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dissection import paths
from dissection.config import Config, JudgedUnits, Preferred
from dissection.dissect.protocols import PROTOCOLS
from dissection.errors import DissectionError
from dissection.report import Row, section
from dissection.report.chapter3 import read_units, strip_of, used_by
from dissection.report.chapter4 import CATEGORIES, concepts_of, distinct, files_of
from dissection.report.interventions import part, pictures

Values = dict[str, Any]
MADE = ["features", "generated", "images", "real"]  # columns that say what a distance is of
METHODS = {
    "artifact": "artifact_ablated",
    "random": "random_ablated",
}  # set of the pairs -> published
CHOICES = {
    "original": "original", "flagged": "manual_20", "highest": "highest_fid_20", "union": "union_30",
    "random": "random_20",
}  # fmt: skip


def folder_of(config: Config, row: str) -> Path:
    return paths.quality(config.profile, section(config, row).network)


def distances(config: Config, row: str) -> pd.DataFrame:
    """units.csv of `intervene.artifacts`, by unit."""
    return pd.read_csv(folder_of(config, row) / "units.csv").set_index("unit", drop=False)


def ablated(config: Config, row: str) -> pd.DataFrame:
    """ablated.csv, by set."""
    return pd.read_csv(folder_of(config, row) / "ablated.csv").set_index("set", drop=False)


def artifact(table: pd.DataFrame) -> str:
    """The set that stands for the artifact units."""
    return "flagged" if "flagged" in table.index else "highest"


def shown(config: Config, row: str, names: list[str]) -> pd.DataFrame:
    """Pictures of the sets, as they are there: part `image`, name, file, sha256."""
    found = pictures(folder_of(config, row)).set_index("name", drop=False)
    found = found.loc[[name for name in names if name in found.index]].reset_index(drop=True)
    read = (hashlib.sha256(Path(file).read_bytes()).hexdigest() for file in found["file"])
    return found.assign(sha256=list(read))


def units_shown(config: Config, row: str, numbers: list[int]) -> pd.DataFrame:
    """unit, distance, label, category, iou (of the best concept), strip, sha256, as units.csv has them."""
    spec: JudgedUnits = section(config, row)
    units = read_units(config, spec.dataset, spec.network, spec.protocol)
    of_layer = units[units["layer"] == config.quality[spec.network].layer].set_index(
        "unit", drop=False
    )
    distance = distances(config, row)["distance"]
    lines = of_layer.loc[numbers]
    strips = [strip_of(config, spec.dataset, unit) for _, unit in lines.iterrows()]
    lines = lines[["unit", "label", "category", "iou"]].reset_index(drop=True)
    lines.insert(1, "distance", distance[numbers].to_numpy())
    return lines.join(pd.DataFrame(strips))


def number(value: Any) -> float | None:
    """None where there is none, as it is read back from a CSV."""
    found = pd.to_numeric(value, errors="coerce")
    return None if pd.isna(found) else float(found)


# ---------------------------------------------------------------- tables 4.1 and A.1


def preference(questions: pd.DataFrame, sheet: str, answers: pd.DataFrame) -> pd.DataFrame:
    """
    questions: pair, set, ablated (the side that is), of the sheet of that name; answers: rater, sheet, pair, answer.
    Returns by set: preference (share of answers for the ablated image), annotations, pairs (judged).
    Raises DissectionError if an answer is to another sheet, to no pair of it, or for neither side.
    """
    wrong = {
        f"sheet {sheet!r}": answers["sheet"] != sheet,
        "left or right as answer": ~answers["answer"].isin(["left", "right"]),
        f"pairs up to {len(questions) - 1}": ~answers["pair"].isin(questions["pair"]),
    }
    for expected, lines in wrong.items():
        if lines.any():
            found = ", ".join(map(str, answers[lines].iloc[0]))
            raise DissectionError(f"answers: {found}: expected {expected}; have this run's judged")
    both = answers.merge(questions, on="pair")
    chosen = (both["answer"] == both["ablated"]).groupby(both["set"])
    pairs = both.groupby("set")["pair"].nunique()
    return pd.DataFrame({"preference": chosen.mean(), "annotations": chosen.size(), "pairs": pairs})


def _table_4_1(config: Config, threads: int) -> pd.DataFrame:
    """images_shown (published name), set, and of it what ablated.csv and `preference` say; preference is empty if it
    was not measured."""
    from dissection.dissect.survey import read_answers

    spec: Preferred = section(config, "table_4_1")
    table = ablated(config, "table_4_1")
    names = {
        "original": "original",
        artifact(table): "artifact_ablated",
        "random": "random_ablated",
    }
    table = table.loc[list(names)]
    table.insert(0, "images_shown", list(names.values()))
    table["annotations"] = 0
    if spec.answers:
        file = folder_of(config, "table_4_1") / "questions.csv"
        sheet = hashlib.sha256(file.read_bytes()).hexdigest()[:8]
        answers = read_answers(spec.answers, ["rater", "sheet", "pair", "answer"])
        found = preference(pd.read_csv(file), sheet, answers.astype({"sheet": str}))
        found = found.rename(index=METHODS).reindex(table["images_shown"])
        table[found.columns] = found.to_numpy()
    else:
        table["preference"] = table["pairs"] = np.nan
    whole = ["annotations", "pairs"]
    table[whole] = table[whole].fillna({"annotations": 0}).astype("Int64")
    return table.reset_index(drop=True)


def _table_4_1_values(table: pd.DataFrame) -> Values:
    lines = table.set_index("images_shown")
    distance = {name: number(value) for name, value in lines["distance"].items()}
    ablated = lines.loc[["artifact_ablated", "random_ablated"]]
    judged = [number(value) for value in ablated["pairs"]]
    return {
        "features": lines["features"].iloc[0],
        "fid": distance,
        "human_preference": {name: number(value) for name, value in ablated["preference"].items()},
        "n": {
            "real": int(lines["real"].iloc[0]),
            "generated": int(lines["images"].iloc[0]),
            "images_per_method_human": min(filter(None, judged), default=0),
            "annotations": int(ablated["annotations"].astype(int).sum()),
            "units": int(ablated["units"].iloc[0]),
        },
    }


def _table_a_1(config: Config, threads: int) -> pd.DataFrame:
    """ablated (published name), and of each set what ablated.csv says, with the numbers of its units."""
    table, units = ablated(config, "table_a_1"), distances(config, "table_a_1")
    chosen = units[["flagged", "highest", "random"]].assign(original=False)
    chosen["union"] = chosen["flagged"] | chosen["highest"]
    ranked = units.sort_values("distance", ascending=False, kind="stable").index
    table = table.loc[[name for name in CHOICES if name in table.index]]
    table.insert(0, "ablated", [CHOICES[name] for name in table["set"]])
    table["chosen"] = [
        " ".join(str(u) for u in ranked if chosen.loc[u, name]) for name in table["set"]
    ]
    return table.reset_index(drop=True)


def _table_a_1_values(table: pd.DataFrame) -> Values:
    lines = table.set_index("ablated")
    units = {name: [int(u) for u in str(value).split()] for name, value in lines["chosen"].items()}
    values: Values = {
        "features": lines["features"].iloc[0],
        "fid": {name: float(value) for name, value in lines["distance"].items()},
        "highest_fid_units": units["highest_fid_20"],
    }
    if "manual_20" in units:
        values |= {"manual_units": units["manual_20"], "union_size": len(units["union_30"])}
    return values


# ---------------------------------------------------------------- figures 4-8, A-1 and A-2


def _fig_4_8(config: Config, threads: int) -> pd.DataFrame:
    """part `unit`: of the artifact units, the two with the highest distances, with their images; `image`: the images
    on which these units are most active, as they are and without them."""
    units, name = distances(config, "fig_4_8"), artifact(ablated(config, "fig_4_8"))
    worst = units.loc[units[name], "distance"].nlargest(2).index.tolist()
    made = ablated(config, "fig_4_8").loc[[name], ["set", "units", *MADE]].iloc[0]
    lines = units_shown(config, "fig_4_8", worst).assign(part="unit", **made)
    return pd.concat([lines, shown(config, "fig_4_8", ["original", name])], ignore_index=True)


def _fig_4_8_values(table: pd.DataFrame) -> Values:
    units = part(table, "unit")
    values: Values = {"features": units["features"].iloc[0], "units": int(units["units"].iloc[0])}
    for unit in units.to_dict("records"):
        values[f"unit_{unit['unit']:.0f}"] = {"fid": float(unit["distance"])}
    return values


def precision_recall(distance: pd.Series, flagged: pd.Series) -> pd.DataFrame:
    """Both by unit. Returns selected (units with the highest distances, from one to all), precision, recall."""
    hits = flagged[distance.sort_values(ascending=False, kind="stable").index].cumsum().to_numpy()
    selected = np.arange(1, len(hits) + 1)
    found = {"selected": selected, "precision": hits / selected, "recall": hits / hits[-1]}
    return pd.DataFrame(found)


def _fig_a_1(config: Config, threads: int) -> pd.DataFrame:
    """
    part `unit`: units.csv. `curve`: `precision_recall` of the distance for flagged units, if any are. `shown`: unit,
    role (published name, where there is one), its images.
    """
    units = distances(config, "fig_a_1")
    distance, flagged = units["distance"], units["flagged"]
    ranked = distance.sort_values(ascending=False, kind="stable").index.tolist()
    shown = {"unit_231_highest_overall": ranked[0]}
    tables = [units.assign(part="unit")]
    if flagged.any():
        shown["unit_224_highest_unflagged"] = next(u for u in ranked if not flagged[u])
        shown["unit_435_lowest_flagged"] = [u for u in ranked if flagged[u]][-1]
        tables.append(precision_recall(distance, flagged).assign(part="curve"))
    else:
        shown["lowest_overall"] = ranked[-1]
    lines = units_shown(config, "fig_a_1", list(shown.values()))
    tables.append(lines.assign(part="shown", role=list(shown)))
    table = pd.concat(tables, ignore_index=True)
    first = ["part", "role", "unit"]
    return table[[*first, *(c for c in table if c not in first)]].astype(
        {c: "Int64" for c in ("generated", "images", "real", "selected") if c in table}
    )


def _fig_a_1_values(table: pd.DataFrame) -> Values:
    units, roles = part(table, "unit"), part(table, "shown")
    flagged, highest = (units[c].astype(str) == "True" for c in ("flagged", "highest"))
    values: Values = dict(zip(roles["role"], roles["distance"], strict=True))
    if flagged.any():
        at = part(table, "curve").set_index("selected").loc[highest.sum()]
        both = {"precision_at_20": at["precision"], "recall_at_20": at["recall"]}
        values |= {"overlap_top20": int((flagged & highest).sum()), **both}
    first = units.iloc[0]
    made = {"generated": "generated", "top_images": "images", "real": "real"}
    values["n"] = {name: int(first[column]) for name, column in made.items()}
    return {"features": first["features"], **values}


def _fig_a_2(config: Config, threads: int) -> pd.DataFrame:
    """part `image`: the images on which the artifact units are most active, without each set; what ablated.csv says
    of it."""
    table = ablated(config, "fig_a_2")
    lines = shown(config, "fig_a_2", ["original", "highest", "flagged"])
    return lines.join(table.drop(columns="set"), on="name")


def _fig_a_2_values(table: pd.DataFrame) -> Values:
    distance = dict(zip(table["name"], table["distance"].astype(float), strict=True))
    return {"features": table["features"].iloc[0], "fid": distance}


# ---------------------------------------------------------------- figures


def limit_of(config: Config, row: str) -> float:
    """The distance from which on units are unrealistic."""
    limit = section(config, row).limit
    return limit if limit is not None else float(distances(config, row)["distance"].quantile(0.9))


def _fig_a_4(config: Config, threads: int) -> pd.DataFrame:
    """`units_shown`, and features, generated, images, real."""
    units = distances(config, "fig_a_4")
    spec = section(config, "fig_a_4")
    chosen = spec.shown or units["distance"].nlargest(2).index.tolist()
    return units_shown(config, "fig_a_4", chosen).assign(**units.iloc[0][MADE])


def _fig_a_4_values(table: pd.DataFrame) -> Values:
    values: Values = {"features": table["features"].iloc[0]}
    for unit in table.to_dict("records"):
        found = {"fid": float(unit["distance"]), "label": unit["label"], "iou": float(unit["iou"])}
        values[f"unit_{unit['unit']}"] = found
    return values


def _fig_a_5(config: Config, threads: int) -> pd.DataFrame:
    """considered: `all` units or the `realistic` ones; and `concepts_of` these; limit."""
    spec = section(config, "fig_a_5")
    units = read_units(config, spec.dataset, spec.network, spec.protocol)
    of_layer = units[units["layer"] == config.quality[spec.network].layer]
    by_unit, limit = distances(config, "fig_a_5"), limit_of(config, "fig_a_5")
    realistic = of_layer["unit"].map(by_unit["distance"]) < limit
    tables = []
    for name, of in (("all", of_layer), ("realistic", of_layer[realistic])):
        table = concepts_of(of, PROTOCOLS[spec.protocol].iou, set())
        tables.append(table.assign(limit=limit, **by_unit.iloc[0][MADE]))
        tables[-1].insert(0, "considered", name)
    return pd.concat(tables, ignore_index=True)


def _fig_a_5_values(table: pd.DataFrame) -> Values:
    """`vanished`: concepts that only unrealistic units match."""
    first, labels = table.iloc[0], {}
    values: Values = {"features": first["features"], "fid_threshold": float(first["limit"])}
    for name, of in table.groupby("considered", sort=False):
        some = of[of["label"] != ""]
        labels[name] = list(some["label"])
        values[str(name)] = {
            "units": int(of["layer_units"].iloc[0]),
            "units_matched": int(some["units"].sum()),
            **{f"{c}_classes": distinct(some, c) for c in CATEGORIES},
        }
    realistic = labels.get("realistic", [])
    return values | {"vanished": [label for label in labels["all"] if label not in realistic]}


# ---------------------------------------------------------------- the list


def _inputs(row: str) -> Callable[[Config], dict[str, Path]]:
    def inputs(config: Config) -> dict[str, Path]:
        spec = section(config, row)
        files = {"quality": folder_of(config, row)}
        if isinstance(spec, JudgedUnits):
            files |= files_of(config, spec.dataset, spec.network, pages=row != "fig_a_5")
        if isinstance(spec, Preferred):
            files |= {f"answers {path}": path for path in spec.answers}
        return files

    return inputs


def _uses(row: str) -> Callable[[Config], tuple[list[str], list[str]]]:
    def uses(config: Config) -> tuple[list[str], list[str]]:
        datasets, networks = used_by(row)(config)
        real = config.quality[section(config, row).network].real
        assert config.features is not None  # the profile was not taken without
        return [*datasets, real], list(dict.fromkeys([*networks, config.features.network]))

    return uses


def _row(id: str, title: str, caption: str, table: Any, values: Any) -> Row:
    return Row(id, title, caption, _inputs(id), _uses(id), table, values, values)


ARTIFACTS = (
    "The artifact units are those that a person flagged; without a list of these, those whose own most active images"
    " are farthest from real ones. Distances are of the images on which these units are most active, before and after;"
    " these are far from real ones for being alike, too, and ablation may undo that."
)
ROWS = (
    _row(
        "table_4_1",
        "Artifact units ablated",
        ARTIFACTS
        + " Preference is the share of answers for the ablated image over the original one; without answers of"
        " people it is not measured.",
        _table_4_1,
        _table_4_1_values,
    ),
    _row(
        "table_a_1",
        "Artifact units chosen by hand and by distance",
        ARTIFACTS
        + " The number of units is in proportion to the layer's; the names are the published ones.",
        _table_a_1,
        _table_a_1_values,
    ),
    _row("fig_4_8", "Artifact units, and images repaired", ARTIFACTS, _fig_4_8, _fig_4_8_values),
    _row(
        "fig_a_1",
        "The distance of a unit's images as a sign of artifacts",
        "Distance to real images of those on which a unit is most active, and how well it tells the units that a person"
        " flagged. Selected are as many units as are ablated together.",
        _fig_a_1,
        _fig_a_1_values,
    ),
    _row(
        "fig_a_2",
        "Images repaired by either choice",
        "The images on which the artifact units are most active, as they are and without each set of units.",
        _fig_a_2,
        _fig_a_2_values,
    ),
    _row(
        "fig_a_4",
        "Units that draw unrealistic images",
        "Distance to real images of those on which the unit is most active, and the concept that it seems to match.",
        _fig_a_4,
        _fig_a_4_values,
    ),
    _row(
        "fig_a_5",
        "Units by concept, with and without unrealistic ones",
        "Units are left out whose own most active images are farther from real ones than the limit.",
        _fig_a_5,
        _fig_a_5_values,
    ),
)
