"""The rows of chapter 3 and of the classifier half of the PNAS paper."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from dissection import paths, style
from dissection.config import Config, Counts, named
from dissection.data import Dataset
from dissection.dissect.count import best_labels, count_detectors
from dissection.dissect.protocols import PROTOCOLS
from dissection.errors import DissectionError
from dissection.report import Row, section

Values = dict[str, Any]
CONCEPTS = 4  # of figure 3-6

# Table 3.1


def label_statistics(dataset: Dataset, threads: int = 1) -> pd.DataFrame:
    """
    Returns category, classes, images_per_class (mean number of images that show a class), images
    (that show any of them), sources (folders those images lie in). A concept counts in every
    category in which it occurs.
    """

    def found(index: int) -> dict[str, np.ndarray]:
        return {c: np.unique(maps) for c, maps in dataset.labels(index).items()}

    images: dict[str, Counter[int]] = defaultdict(Counter)
    annotated: Counter[str] = Counter()
    sources: dict[str, set[str]] = defaultdict(set)
    with ThreadPoolExecutor(threads) as pool:
        each = pool.map(found, range(len(dataset)))
        for index, labels in enumerate(tqdm(each, "images", len(dataset), unit="image")):
            for category, numbers in labels.items():
                present = numbers[numbers > 0].tolist()
                images[category].update(present)
                annotated[category] += bool(present)
                if present:
                    sources[category].add(Path(dataset.key(index)).parent.name)
    rows = [
        {
            "category": category,
            "classes": len(images[category]),
            "images_per_class": np.mean(list(images[category].values())),
            "images": annotated[category],
            "sources": ";".join(sorted(sources[category])),
        }
        for category in style.ordered(c for c in images if images[c])
    ]
    return pd.DataFrame(rows)


def _table_3_1(config: Config, threads: int) -> pd.DataFrame:
    from dissection.data import dataset_of

    return label_statistics(dataset_of(config, section(config, "table_3_1").dataset), threads)


def _table_3_1_inputs(config: Config) -> dict[str, Path]:
    asset = config.datasets[section(config, "table_3_1").dataset].asset
    return {asset: paths.asset_record(config.profile, asset)}


def _table_3_1_values(table: pd.DataFrame) -> Values:
    by_category = table.set_index("category")
    return {
        "classes": by_category["classes"].to_dict(),
        "avg_sample": by_category["images_per_class"].to_dict(),
        "sources": by_category["sources"].fillna("").str.split(";").to_dict(),
        "total_classes": int(table["classes"].sum()),
    }


# Unique detectors of a set of networks: figures 3-5, 3-7, 3-8, 3-10, 3-11, 3-13


def detectors(config: Config, row: str, every_layer: bool = False) -> pd.DataFrame:
    """
    network, layer, layer_units, counting, category, unique_detectors, detector_units: of the last
    of each network's layers, or of all. A network that stands for several published ones
    is counted once and has all their names, with "; " between.
    """
    spec = section(config, row)
    tables = []
    for name, network in _once(spec.networks).items():
        units = read_units(config, spec.on(network), network, spec.protocol)
        layers = list(config.networks[network].layers)
        for layer in layers if every_layer else layers[-1:]:
            of_layer = units[units["layer"] == layer]
            counts = count_detectors(best_labels(of_layer), PROTOCOLS[spec.protocol].iou)
            head: Values = {"network": name, "layer": layer, "layer_units": len(of_layer)}
            tables.append(counts.assign(**head)[[*head, *counts.columns]])
    return pd.concat(tables, ignore_index=True)


def _once(networks: dict[str, str]) -> dict[str, str]:
    """Published names of a network, "; " between -> network."""
    names: dict[str, list[str]] = defaultdict(list)
    for name, network in networks.items():
        names[network].append(name)
    return {"; ".join(of): network for network, of in names.items()}


def read_units(config: Config, dataset: str, network: str, protocol: str) -> pd.DataFrame:
    """The rows of a dissection's units.csv of one protocol. Raises DissectionError if it has none."""
    path = paths.units(config.profile, dataset, network) / "units.csv"
    units = pd.read_csv(path, keep_default_na=False)
    chosen = units[units["protocol"] == protocol]
    if chosen.empty:
        raise DissectionError(f"{path}: no rows of protocol {protocol}; dissect with it")
    return chosen


def totals(table: pd.DataFrame, counting: str, count: str) -> Values:
    """Category, and `total` -> published name -> count, in the last layer of each network."""
    last = table[table["layer"] == table.groupby("network")["layer"].transform("last")]
    chosen = last[last["counting"] == counting]
    found: Values = {"total": {}}
    for names, of_network in chosen.groupby("network", sort=False):
        for name in str(names).split("; "):
            found["total"][name] = int(of_network[count].sum())
            for category, number in zip(of_network["category"], of_network[count], strict=True):
                found.setdefault(category, {})[name] = int(number)
    return found


def unique(table: pd.DataFrame) -> Values:
    return totals(table, "by_category", "unique_detectors")


def of_networks(table: pd.DataFrame, column: str) -> Values:
    """Published name -> what the table says of the network."""
    first = table.drop_duplicates("network")
    return {
        name: value
        for names, value in zip(first["network"], first[column].tolist(), strict=True)
        for name in str(names).split("; ")
    }


def _fig_3_5_values(table: pd.DataFrame) -> Values:
    values: Values = {}
    for row in table[table["counting"] == "by_category"].to_dict("records"):
        of_layer = values.setdefault(row["network"], {}).setdefault(row["layer"], {})
        of_layer[row["category"]] = row["unique_detectors"]
    return values


def _fig_3_5_metrics(table: pd.DataFrame) -> Values:
    keys, counts = ["network", "layer", "counting"], ["unique_detectors", "detector_units"]
    metrics: Values = {}
    for row in table.groupby(keys, sort=False)[counts].sum().reset_index().to_dict("records"):
        of_layer = metrics.setdefault(row["network"], {}).setdefault(row["layer"], {})
        of_layer[f"unique_{row['counting']}"] = row["unique_detectors"]
        if row["counting"] == "best_label":  # a unit counts once: the units with any detector
            of_layer["detector_units"] = row["detector_units"]
    return metrics


def with_accuracy(config: Config, row: str) -> pd.DataFrame:
    """`detectors`, and top1 on the row's validation set, if it has one."""
    spec, table = section(config, row), detectors(config, row)
    if spec.validation is None:
        return table.assign(top1=None)
    measured = pd.read_csv(paths.accuracy(config.profile))
    top1 = measured[measured["dataset"] == spec.validation].set_index("network")["top1"]
    names = {name: top1[network] for name, network in _once(spec.networks).items()}
    return table.assign(top1=table["network"].map(names))


def _fig_3_10_values(table: pd.DataFrame) -> Values:
    """The published onset, iteration 10,000 of 300,000, is a thirtieth of the training here too."""
    counts = unique(table)
    both = {int(i): counts["object"].get(i, 0) + counts["part"].get(i, 0) for i in counts["total"]}
    last = max(both)
    before = [i for i in sorted(both) if i <= last / 30]
    return {
        "snapshots": sorted(both),
        "last_iteration": last,
        "object_part_before_onset": both[before[-1]] if before else None,
        "object_part_at_300k": both[last],
    }


def _fig_3_11_values(table: pd.DataFrame) -> Values:
    top1 = {n: float(v) for n, v in of_networks(table, "top1").items() if v not in ("", None)}
    repeats = [top1.pop(name) for name in list(top1) if name.startswith("repeat")]
    return unique(table) | {
        "detector_units": totals(table, "best_label", "detector_units")["total"],
        "top1": top1 | ({"repeats": float(np.mean(repeats))} if repeats else {}),
    }


def _fig_3_13_values(table: pd.DataFrame) -> Values:
    counts, units = unique(table), totals(table, "by_category", "detector_units")
    names = list(counts["total"])

    def by_network(found: Values) -> Values:
        return {n: {c: of[n] for c, of in found.items() if c != "total" and n in of} for n in names}

    top1 = {n: float(v) for n, v in of_networks(table, "top1").items() if v not in ("", None)}
    return {
        "units": of_networks(table, "layer_units"),
        "unique": counts["total"],
        "unique_by_category": by_network(counts),
        "detector_units": totals(table, "best_label", "detector_units")["total"],
        "detectors_by_category": by_network(units),
        "top1_loss": top1["alexnet"] - top1["gap_wide"]
        if {"alexnet", "gap_wide"} <= set(top1)
        else None,
        "unique_wider": {n: counts["total"][n] for n in names if n[0] == "w" and n[1:].isdigit()},
    }


# Figures 1-4 and 3-4: one layer in random bases


def rotations(config: Config, row: str) -> pd.DataFrame:
    """alpha, seed and the counts of `count_detectors`; alpha 0 is the natural basis."""
    spec = section(config, row)
    units = read_units(config, spec.dataset, spec.network, spec.protocol)
    tables = []
    for layer, of_layer in units.groupby("layer", sort=False):
        name, _, basis = str(layer).partition("@a")
        if name == spec.layer:
            alpha, _, seed = (basis or "0s0").partition("s")
            counts = count_detectors(best_labels(of_layer), PROTOCOLS[spec.protocol].iou)
            head: Values = {"alpha": float(alpha), "seed": int(seed), "layer_units": len(of_layer)}
            tables.append(counts.assign(**head)[[*head, *counts.columns]])
    if len(tables) < 2:
        raise DissectionError(f"{row}: dissect {spec.network} with bases of layer {spec.layer}")
    return pd.concat(tables, ignore_index=True).sort_values(["alpha", "seed"], kind="stable")


def _fig_3_4_values(table: pd.DataFrame) -> Values:
    counts = table[table["counting"] == "by_category"]
    of_each = counts.groupby(["alpha", "seed"])["unique_detectors"].sum()
    mean: dict[Any, float] = of_each.groupby("alpha").mean().to_dict()
    return {
        "units": int(table["layer_units"].iloc[0]),
        "unique": {f"a{round(100 * float(alpha)):03d}": number for alpha, number in mean.items()},
        "relative_drop_at_1": 1 - mean[1.0] / mean[0.0] if mean[0.0] else None,
    }


def _fig_1_4(config: Config, threads: int) -> pd.DataFrame:
    """
    basis (natural, or random and its seed), category, label, units, best_iou: the units by their best
    label; those that detect nothing have an empty one.
    """
    spec = section(config, "fig_1_4")
    units = read_units(config, spec.dataset, spec.network, spec.protocol)
    parts = units["layer"].str.partition("@")
    whole = parts[2].str.extract(r"^a1\.00s(\d+)$")[0]
    units = units.assign(basis=("random " + whole).where(parts[2] != "", "natural"))
    units = units[(parts[0] == spec.layer) & units["basis"].notna()]
    if units["basis"].nunique() < 2:
        raise DissectionError(f"fig_1_4: dissect {spec.network} with bases of layer {spec.layer}")
    below = units["iou"] <= PROTOCOLS[spec.protocol].iou
    units.loc[below, ["category", "label"]] = ""
    keys = ["basis", "category", "label"]
    table = units.groupby(keys)["iou"].agg(units="size", best_iou="max").reset_index()
    return table.sort_values(["basis", "units", "label"], ascending=[True, False, True])


def _fig_1_4_values(table: pd.DataFrame) -> Values:
    concepts = (table["label"] != "").groupby(table["basis"]).sum()
    learned, random = int(concepts["natural"]), concepts.drop("natural").mean()
    reduction = 1 - random / learned if learned else None
    return {"learned_basis": learned, "random_basis": random, "reduction": reduction}


# Table 3.2


def _table_3_2(config: Config, threads: int) -> pd.DataFrame:
    measured = pd.read_csv(paths.accuracy(config.profile))
    lines = []
    for entry in section(config, "table_3_2").networks:
        of = measured[measured["network"] == entry.network]
        at = of[of["dataset"] == entry.validation] if entry.validation else of
        layers = config.networks[entry.network].layers
        lines.append(
            {
                "training": entry.training,
                "architecture": entry.architecture,
                "task": entry.task,
                "network": entry.network,
                "parameters": at["parameters"].iloc[0],
                "layers": len(layers),
                "last_layer": list(layers)[-1],
                "validation": entry.validation or "",
                "images": at["images"].iloc[0] if entry.validation else None,
                "top1": at["top1"].iloc[0] if entry.validation else None,
            }
        )
    return pd.DataFrame(lines)


def _table_3_2_values(table: pd.DataFrame) -> Values:
    values: Values = {"none_trained": {}, "supervised": {}}
    parts = {"none": "none_trained", "supervised": "supervised"}
    for line in table.to_dict("records"):
        if line["training"] == "self":
            values.setdefault(f"self_supervised_{line['architecture']}", []).append(line["task"])
        else:
            of = values[parts[line["training"]]].setdefault(line["architecture"], [])
            of.append(line["task"])
    return values | {
        name: {
            f"{line['architecture']} {line['task']}": line[name]
            for line in table.to_dict("records")
            if line[name] != ""
        }
        for name in ("parameters", "top1")
    }


# Table 3.3


def _table_3_3(config: Config, threads: int) -> pd.DataFrame:
    from dissection.dissect.survey import COLUMNS, agreement, read_answers

    spec = section(config, "table_3_3")
    files = _table_3_3_inputs(config)
    units = read_units(config, spec.dataset, spec.network, spec.protocol)
    sizes = units.groupby("layer", sort=False).size()[list(config.networks[spec.network].layers)]
    answers = spec.answers or [files["answers"]]
    second = read_answers(spec.second_answers, COLUMNS) if spec.second_answers else None
    table = agreement(sizes, read_answers(answers, COLUMNS), second)
    summary = [
        e for e in config.dissections if (e.network, e.dataset) == (spec.network, spec.dataset)
    ]
    return table.assign(images_shown=summary[0].top_images)


def _table_3_3_inputs(config: Config) -> dict[str, Path]:
    spec = section(config, "table_3_3")
    folder = paths.units(config.profile, spec.dataset, spec.network)
    people = {f"answers {path}": path for path in (*spec.answers, *spec.second_answers)}
    survey = {"page": folder / "survey/index.html", "answers": folder / "survey/ground_truth.csv"}
    return {"units": folder / "units.csv", **survey, **people}


def _table_3_3_values(table: pd.DataFrame) -> Values:
    by_layer = table.set_index("layer")
    columns = ["units", "interpretable", "network_dissection", "human_consistency"]
    numbers = by_layer[columns].apply(pd.to_numeric)
    values: Values = {str(name): of.dropna().to_dict() for name, of in numbers.items()}
    return values | {"images_shown_per_unit": int(table["images_shown"].iloc[0])}


# Figures 3-6 and 3-9: units with the images that move them most


def shown(config: Config, row: str, name: str, unit: pd.Series) -> Values:
    """A line of the table: a unit, and its strip, named with its content so that it counts as changed."""
    spec = section(config, row)
    keys = ["layer", "unit", "category", "label", "iou"]
    return {"network": name, **unit[keys], **strip_of(config, spec.on(unit["network"]), unit)}


def strip_of(config: Config, dataset: str, unit: pd.Series) -> Values:
    """strip: the file of the images that move a unit most; sha256 of its content. unit: a row of units.csv."""
    pages = paths.units(config.profile, dataset, unit["network"]) / "pages"
    strip = pages / unit["layer"] / unit["protocol"] / f"{unit['unit']}.jpg"
    return {"strip": strip, "sha256": hashlib.sha256(strip.read_bytes()).hexdigest()}


def _last_units(config: Config, row: str) -> dict[str, pd.DataFrame]:
    """Published name -> the units of the network's last layer, the best first."""
    spec, found = section(config, row), {}
    for name, network in _once(spec.networks).items():
        units = read_units(config, spec.on(network), network, spec.protocol)
        last = units[units["layer"] == list(config.networks[network].layers)[-1]]
        found[name] = last.sort_values("iou", ascending=False, kind="stable")
    return found


def _fig_3_6(config: Config, threads: int) -> pd.DataFrame:
    """The two best units of each network for the concepts whose best units are best on average."""
    units = _last_units(config, "fig_3_6")
    best = pd.DataFrame({n: of.groupby("label")["iou"].max() for n, of in units.items()})
    kinds = pd.concat(units.values()).drop_duplicates("label").set_index("label")["category"]
    things = best[kinds.reindex(best.index).isin(["object", "part"])]
    concepts = (things if len(things) else best).fillna(0).mean(axis=1)
    chosen = concepts.sort_values(ascending=False, kind="stable").index[:CONCEPTS]
    lines = [
        shown(config, "fig_3_6", name, unit)
        for concept in chosen
        for name, of in units.items()
        for _, unit in of[of["label"] == concept].head(2).iterrows()
    ]
    return pd.DataFrame(lines)


def _fig_3_9(config: Config, threads: int) -> pd.DataFrame:
    """The best unit of each of the two best concepts in each network's three best categories."""
    lines = []
    for name, of in _last_units(config, "fig_3_9").items():
        concepts = of[of["label"] != ""].drop_duplicates("label")
        for category in concepts["category"].drop_duplicates()[:3]:
            for _, unit in concepts[concepts["category"] == category].head(2).iterrows():
                lines.append(shown(config, "fig_3_9", name, unit))
    return pd.DataFrame(lines)


def _pages(config: Config, row: str) -> dict[str, Path]:
    spec = section(config, row)
    folders = {
        n: paths.units(config.profile, spec.on(net), net) for n, net in spec.networks.items()
    }
    pages = {f"pages of {n}": folder / "pages" for n, folder in folders.items()}
    return pages | {n: folder / "units.csv" for n, folder in folders.items()}


# Figure 3-12


def _fig_3_12(config: Config, threads: int) -> pd.DataFrame:
    """network, unique_objects, features, test_images, accuracy (mean over the classes)."""
    objects = unique(detectors(config, "fig_3_12"))["object"]
    measured = pd.read_csv(paths.transfer(config.profile)).set_index("network")
    networks = section(config, "fig_3_12").networks
    table = measured.loc[list(networks.values())].reset_index(names="run")
    table.insert(0, "network", list(networks))
    table.insert(1, "unique_objects", [objects[name] for name in networks])
    return table


def _fig_3_12_values(table: pd.DataFrame) -> Values:
    by_name = table.set_index("network")
    distinct = table.drop_duplicates("run")[["unique_objects", "accuracy"]]
    correlation = distinct.corr().iloc[0, 1] if len(distinct) > 2 else None
    return {
        "objects": by_name["unique_objects"].to_dict(),
        "accuracy": by_name["accuracy"].to_dict(),
        "correlation": correlation,
        "svm_C": float(table["svm_c"].iloc[0]),
    }


# The list


def units_of(row: str) -> Callable[[Config], dict[str, Path]]:
    def inputs(config: Config) -> dict[str, Path]:
        spec = section(config, row)
        if isinstance(spec, Counts):
            of = {name: (spec.on(network), network) for name, network in spec.networks.items()}
        else:
            of = {spec.network: (spec.dataset, spec.network)}
        found = {n: paths.units(config.profile, *pair) / "units.csv" for n, pair in of.items()}
        if getattr(spec, "validation", None):
            found["accuracy"] = paths.accuracy(config.profile)
        if hasattr(spec, "train"):
            found["transfer"] = paths.transfer(config.profile)
        return found

    return inputs


def used_by(row: str) -> Callable[[Config], tuple[list[str], list[str]]]:
    def uses(config: Config) -> tuple[list[str], list[str]]:
        datasets: dict[str, None] = {}
        networks: dict[str, None] = {}
        for key, name in named(section(config, row)):
            (networks if key.startswith(("network", "encoder")) else datasets)[name] = None
        networks |= {config.parser(d): None for d in datasets if config.segmenter(d)}
        return list(datasets), list(networks)

    return uses


def _row(
    id: str,
    title: str,
    caption: str,
    table: Callable[[Config, int], pd.DataFrame],
    values: Callable[[pd.DataFrame], Values],
    metrics: Callable[[pd.DataFrame], Values] | None = None,
    inputs: Callable[[Config], dict[str, Path]] | None = None,
    threads: int = 1,
) -> Row:
    """A row; its metrics are its values, and its inputs the units that it counts, if nothing else is said."""
    return Row(
        id, title, caption, inputs or units_of(id), used_by(id), table, values, metrics or values, threads
    )  # fmt: skip


def _unique_total(table: pd.DataFrame) -> Values:
    return {"unique": unique(table)["total"]}


def _detectors_of(row: str, every_layer: bool = False) -> Callable[[Config, int], pd.DataFrame]:
    return lambda config, threads: detectors(config, row, every_layer)


COUNTED = (
    "Bars: distinct concepts detected in each category of the last convolutional layer, a unit counting"
    " once in every category it detects."
)
ROWS = (
    _row(
        "table_3_1",
        "Label statistics by category",
        "Classes of each category, and the mean number of images that show a class.",
        _table_3_1,
        _table_3_1_values,
        lambda table: {"total_classes": int(table["classes"].sum())},
        _table_3_1_inputs,
        threads=4,
    ),
    _row(
        "table_3_2",
        "The networks tested",
        "Parameters of each network as it is run here (a network that is dissected only may have no"
        " classifier), and its accuracy on images that it was not trained on, where it classifies.",
        _table_3_2,
        _table_3_2_values,
        inputs=lambda config: {"accuracy": paths.accuracy(config.profile)},
    ),
    _row(
        "table_3_3",
        "Evaluation of units' labels",
        "Units are interpretable where raters agree with what was written of them; of these, the share"
        " whose label by dissection the raters find descriptive. Unless answers of people are given, a"
        " ground-truth rater answers from the true labels in the highlighted regions: a region shows a"
        " concept that more than half of its pixels carry, and a phrase describes a unit if more than half"
        " of the regions show it; what it writes is the concept that most regions show. It agrees with"
        " itself, so human consistency cannot be had from it.",
        _table_3_3,
        _table_3_3_values,
        inputs=_table_3_3_inputs,
    ),
    _row(
        "fig_1_4",
        "The learned basis and a random one",
        "Concepts detected by the units of a layer, and by as many directions of random bases of the"
        " same layer, by best label; the published numbers count in this way too.",
        _fig_1_4,
        _fig_1_4_values,
    ),
    _row(
        "fig_3_4",
        "Unique detectors under rotation",
        "Unique detectors of the layer seen in the basis Q^alpha: the mean over random rotations Q, and"
        " their range.",
        lambda config, threads: rotations(config, "fig_3_4"),
        _fig_3_4_values,
    ),
    _row(
        "fig_3_5",
        "Unique detectors by layer",
        "Bars: distinct concepts detected in each category, counted as in the published figure,"
        " where a unit counts once in every category it detects. Dashes: counting only the best"
        " label of each unit.",
        _detectors_of("fig_3_5", every_layer=True),
        _fig_3_5_values,
        _fig_3_5_metrics,
    ),
    _row(
        "fig_3_6",
        "Best units of deep networks",
        "For each concept, the two units of each network that match it best, and the images that move"
        " them most.",
        _fig_3_6,
        lambda table: {},
        inputs=lambda config: _pages(config, "fig_3_6"),
    ),
    _row(
        "fig_3_7",
        "Unique detectors by architecture and training set",
        COUNTED,
        _detectors_of("fig_3_7"),
        unique,
        _unique_total,
    ),
    _row(
        "fig_3_8",
        "Unique detectors by training task",
        COUNTED,
        _detectors_of("fig_3_8"),
        unique,
        _unique_total,
    ),
    _row(
        "fig_3_9",
        "Best units of self-supervised networks",
        "The best concepts in the three best categories of each network, with the images that move"
        " the unit most.",
        _fig_3_9,
        lambda table: {},
        inputs=lambda config: _pages(config, "fig_3_9"),
    ),
    _row(
        "fig_3_10",
        "Detectors during training",
        "Unique detectors of each category in snapshots of one training. The published onset of object"
        " and part detectors is iteration 10,000 of the 300,000 of the baseline: a thirtieth. On a training"
        " of another length the last snapshot before a thirtieth of it is taken for the onset, and the last"
        " of all for the published 300,000.",
        _detectors_of("fig_3_10"),
        _fig_3_10_values,
        _unique_total,
    ),
    _row(
        "fig_3_11",
        "Initialisation, dropout and batch normalisation",
        COUNTED + " Dots: units that detect anything. Below: accuracy on images not trained on.",
        lambda config, threads: with_accuracy(config, "fig_3_11"),
        _fig_3_11_values,
        _unique_total,
    ),
    _row(
        "fig_3_12",
        "Object detectors and another task",
        "Unique object detectors of the last convolutional layer, and the accuracy, averaged over the"
        " classes, of a linear support vector machine on that layer's features (each unit's mean over the"
        " image, standardised) for another task: in the smoke profile, whether a scene shows people, flowers,"
        " both or neither.",
        _fig_3_12,
        _fig_3_12_values,
    ),
    _row(
        "fig_3_13",
        "Width of the layer",
        COUNTED + " Left: unique detectors. Right: units that detect a concept of the category.",
        lambda config, threads: with_accuracy(config, "fig_3_13"),
        _fig_3_13_values,
        _unique_total,
    ),
)
