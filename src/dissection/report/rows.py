"""The tables and figures: one entry each, from the files of a run to a tidy table and its values.

row = ROWS["fig_3_5"]
row.inputs(config)              # name -> file it is made from
table = row.table(config, 2)    # DataFrame, one observation a row, with 2 threads
row.values(table)               # nested as the published values are, so that claims apply
"""

from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from dissection import paths, style
from dissection.config import Config
from dissection.data import Dataset
from dissection.dissect.count import best_labels, count_detectors
from dissection.dissect.protocols import PROTOCOLS
from dissection.errors import DissectionError


@dataclass(frozen=True)
class Row:
    """
    caption: one sentence under the figure; inputs: name -> file the table is made from;
    uses: the datasets and the networks behind it; table: (config, threads) -> tidy table;
    values: table -> nested mapping like the published values; metrics: table -> a few numbers.
    """

    id: str
    title: str
    caption: str
    inputs: Callable[[Config], dict[str, Path]]
    uses: Callable[[Config], tuple[list[str], list[str]]]
    table: Callable[[Config, int], pd.DataFrame]
    values: Callable[[pd.DataFrame], dict[str, Any]]
    metrics: Callable[[pd.DataFrame], dict[str, Any]]

    @property
    def name(self) -> str:
        """As printed: Table 3.1, Figure 3-5."""
        kind, _, number = self.id.partition("_")
        return (
            f"Table {number.replace('_', '.')}"
            if kind == "table"
            else (f"Figure {number.replace('_', '-')}")
        )

    def assets(self, config: Config) -> list[str]:
        """Names of the assets it cannot be made without."""
        datasets, networks = self.uses(config)
        specs = [config.networks[n] for n in networks]
        names = [config.datasets[d].asset for d in datasets]
        names += [a for s in specs for a in (s.weights, s.input.mean_image) if a]
        return list(dict.fromkeys(names))


def write_table(config: Config, row: str, out: Path, threads: int = 1) -> None:
    """The row's CSV. Raises DissectionError if an input is not there."""
    for name, path in ROWS[row].inputs(config).items():
        if not path.exists():
            raise DissectionError(
                f"{row}: {path} ({name}) is missing; make it with snakemake first"
            )
    table = ROWS[row].table(config, threads)
    with paths.replacing(out) as path:
        table.to_csv(path, index=False, lineterminator="\n", float_format="%.6g")


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
    from dissection.assets import asset_path
    from dissection.data import open_dataset

    spec = config.datasets[_section(config, "table_3_1").dataset]
    root = asset_path(paths.asset_record(config.profile, spec.asset))
    return label_statistics(open_dataset(spec, root), threads)


def _table_3_1_inputs(config: Config) -> dict[str, Path]:
    asset = config.datasets[_section(config, "table_3_1").dataset].asset
    return {asset: paths.asset_record(config.profile, asset)}


def _table_3_1_values(table: pd.DataFrame) -> dict[str, Any]:
    by_category = table.set_index("category")
    return {
        "classes": by_category["classes"].to_dict(),
        "avg_sample": by_category["images_per_class"].to_dict(),
        "sources": by_category["sources"].fillna("").str.split(";").to_dict(),
        "total_classes": int(table["classes"].sum()),
    }


def _table_3_1_metrics(table: pd.DataFrame) -> dict[str, Any]:
    return {"total_classes": int(table["classes"].sum())}


# Figure 3-5


def _fig_3_5(config: Config, threads: int) -> pd.DataFrame:
    section = _section(config, "fig_3_5")
    limit = PROTOCOLS[section.protocol].iou
    tables = []
    for name, path in _fig_3_5_inputs(config).items():
        units = pd.read_csv(path, keep_default_na=False)
        chosen = units[units["protocol"] == section.protocol]
        if chosen.empty:
            raise DissectionError(
                f"{path}: no rows of protocol {section.protocol}; dissect with it"
            )
        for layer, of_layer in chosen.groupby("layer", sort=False):
            counts = count_detectors(best_labels(of_layer), limit)
            head = {"network": name, "layer": layer, "layer_units": len(of_layer)}
            tables.append(counts.assign(**head)[[*head, *counts.columns]])
    return pd.concat(tables, ignore_index=True)


def _fig_3_5_inputs(config: Config) -> dict[str, Path]:
    section = _section(config, "fig_3_5")
    return {
        name: paths.units(config.profile, section.dataset, network) / "units.csv"
        for name, network in section.networks.items()
    }


def _fig_3_5_values(table: pd.DataFrame) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for row in table[table["counting"] == "by_category"].to_dict("records"):
        of_layer = values.setdefault(row["network"], {}).setdefault(row["layer"], {})
        of_layer[row["category"]] = row["unique_detectors"]
    return values


def _fig_3_5_metrics(table: pd.DataFrame) -> dict[str, Any]:
    keys, counts = ["network", "layer", "counting"], ["unique_detectors", "detector_units"]
    metrics: dict[str, Any] = {}
    for row in table.groupby(keys, sort=False)[counts].sum().reset_index().to_dict("records"):
        of_layer = metrics.setdefault(row["network"], {}).setdefault(row["layer"], {})
        of_layer[f"unique_{row['counting']}"] = row["unique_detectors"]
        if row["counting"] == "best_label":  # a unit counts once: the units with any detector
            of_layer["detector_units"] = row["detector_units"]
    return metrics


def _section(config: Config, row: str) -> Any:
    section = getattr(config.rows, row)
    if section is None:
        raise DissectionError(f"rows.{row} is not in the configuration of profile {config.profile}")
    return section


ROWS = {
    row.id: row
    for row in (
        Row(
            "table_3_1",
            "Label statistics by category",
            "Classes of each category, and the mean number of images that show a class.",
            _table_3_1_inputs,
            lambda config: ([_section(config, "table_3_1").dataset], []),
            _table_3_1,
            _table_3_1_values,
            _table_3_1_metrics,
        ),
        Row(
            "fig_3_5",
            "Unique detectors by layer",
            "Bars: distinct concepts detected in each category, counted as in the published figure,"
            " where a unit counts once in every category it detects. Dashes: counting only the best"
            " label of each unit.",
            _fig_3_5_inputs,
            lambda config: (
                [_section(config, "fig_3_5").dataset],
                list(_section(config, "fig_3_5").networks.values()),
            ),
            _fig_3_5,
            _fig_3_5_values,
            _fig_3_5_metrics,
        ),
    )
}
