"""The rows of chapter 5: what generators leave out.

What is computed lies in results/<profile>/omit/<dataset>; photographs that were reconstructed, in inversions/<row>. A
table says in `part` what a line is about: `class`, one of a generator (network, as published; `photographs` for further
ones of these), `distance`, or `split`, photographs against photographs; `pair`, a photograph and its reconstruction,
`label`, a colour of their segmentations, and `image`, a PNG of the first of them.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from dissection import paths
from dissection.config import Config
from dissection.report import Row, section
from dissection.report.chapter3 import used_by
from dissection.report.interventions import part, pictures

Values = dict[str, Any]
FURTHER = "photographs"
COUNTED = ["photograph", "reconstruction", "kept", "others", "others_kept"]  # pixels of a pair


def read(config: Config, row: str, file: str) -> pd.DataFrame:
    """The lines of the row's networks, by their published names, and those of further photographs."""
    spec = section(config, row)
    lines = pd.read_csv(paths.omission(config.profile, spec.dataset) / f"{file}.csv")
    found = [lines[lines["network"].isna()].assign(network=FURTHER)]
    for name, network in spec.networks.items():
        found.append(lines[lines["network"] == network].assign(network=name))
    return pd.concat(found, ignore_index=True)


def classes(config: Config, row: str) -> pd.DataFrame:
    """
    Classes of things that photographs or images have, the most frequent first: class (number), label, rank (by
    real_percent, within the network), shown (in the figure), real_percent, generated_percent, delta (relative; low
    and high: its interval), p (corrected), found.
    """
    table = read(config, row, "classes").rename(
        columns={"real": "real_percent", "generated": "generated_percent"}
    )
    seen = (table["real_percent"] > 0) | (table["generated_percent"] > 0)
    table = table[seen & (table["class"] > 0)]
    table.insert(3, "rank", table.groupby("network").cumcount() + 1)
    limit = config.omission.classes if config.omission else 0
    table.insert(4, "shown", (table["rank"] <= limit) & (table["real_percent"] > 0))
    return table


def _departures(row: str) -> Callable[[Config, int], pd.DataFrame]:
    def table(config: Config, threads: int) -> pd.DataFrame:
        """Parts `class` and `distance` of the generators; `pair`, `label` and `image` if they are inverted."""
        parts = [
            of[of["network"] != FURTHER].assign(part=name)
            for name, of in (("class", classes(config, row)), ("distance", read(config, row, "distances")))
        ]  # fmt: skip
        if row in config.inverted():
            folder = paths.inversion(config.profile, row)
            parts += [
                pd.read_csv(folder / f"{name}s.csv").assign(part=name) for name in ("pair", "label")
            ]
            parts.append(pictures(folder))
        return _joined(parts)

    return table


def _fig_5_4(config: Config, threads: int) -> pd.DataFrame:
    """Parts `class` of further photographs and of the generators, `distance`, and `split`."""
    row = "fig_5_4"
    folder = paths.omission(config.profile, section(config, row).dataset)
    return _joined([
        classes(config, row).assign(part="class"),
        read(config, row, "distances").assign(part="distance"),
        pd.read_csv(folder / "splits.csv").assign(part="split", network=FURTHER),
    ])  # fmt: skip


def _joined(parts: list[pd.DataFrame]) -> pd.DataFrame:
    lines = pd.concat(parts, ignore_index=True)
    lines = lines[["part", "network", *(c for c in lines if c not in ("part", "network"))]]
    whole = ["class", "rank", "images", "seed", "omitted", "added", "image", *COUNTED, "pixels"]
    return lines.astype({c: "Int64" for c in whole if c in lines})


def _table_5_1(config: Config, threads: int) -> pd.DataFrame:
    """network, images (of either side), fsd, mean, covariance (its parts), low, high (its interval)."""
    table = read(config, "table_5_1", "distances")
    return pd.concat([table[table["network"] != FURTHER], table[table["network"] == FURTHER]])


# Values


def by_label(lines: pd.DataFrame, column: str) -> Values:
    """Label, named as in the published values, -> number; of two labels of one name, the more frequent class."""
    names = [re.sub(r"\W+", "_", label) for label in lines["label"]]
    return dict(reversed(list(zip(names[::-1], lines[column].astype(float)[::-1], strict=True))))


def _of(table: pd.DataFrame, network: str) -> pd.DataFrame:
    lines = part(table, "class").reindex(columns=table.columns)  # `found` too, if nothing is
    return lines[lines["network"] == network]


def _shown(lines: pd.DataFrame) -> pd.Series:
    """|delta| of the classes that the figure shows."""
    return lines.loc[lines["shown"].astype(str) == "True", "delta"].astype(float).abs()


def _networks(table: pd.DataFrame) -> list[str]:
    return list(dict.fromkeys(part(table, "class")["network"]))


def _fig_5_1_values(table: pd.DataFrame) -> Values:
    lines = _of(table, _networks(table)[0])
    shown = lines[lines["shown"].astype(str) == "True"]
    return {
        "class_order": list(by_label(shown, "delta")),
        "released_delta": by_label(lines, "delta"),
        "train_area": by_label(lines, "real_percent"),
        **_lacking(table),
    }


def _fig_5_2_values(table: pd.DataFrame) -> Values:
    return {
        name: by_label(_of(table, name), "delta") | {"mean_abs": float(_shown(_of(table, name)).mean())}
        for name in _networks(table)
    }  # fmt: skip


def _fig_5_4_values(table: pd.DataFrame) -> Values:
    splits = part(table, "split")
    tested = splits.dropna(subset=["omitted", "added"])
    found = (tested["omitted"] + tested["added"] > 0).sum()
    networks = [name for name in _networks(table) if name != FURTHER]
    return {
        "max_abs_delta": float(_shown(_of(table, FURTHER)).max()),
        "max_abs_delta_gan": float(_shown(_of(table, networks[0])).max()),
        "splits": len(tested),
        "splits_with_a_find": int(found),
        "fsd": {
            f"n{n}": fsd
            for n, fsd in splits.astype({"images": int}).groupby("images")["fsd"].mean().items()
        },
    }


def _fig_5_5_values(table: pd.DataFrame) -> Values:
    return by_label(_of(table, _networks(table)[0]), "delta") | _lacking(table)


def _lacking(table: pd.DataFrame) -> Values:
    """By method: share of the pixels of an omitted class in a photograph that its reconstruction has as another class,
    averaged over photographs; likewise of all other classes; and by omitted class."""
    pairs = part(table, "pair")
    if not len(pairs):
        return {}
    pairs = pairs.astype(dict.fromkeys(COUNTED, float))
    pairs["omitted"] = 1 - pairs["kept"] / pairs["photograph"]
    pairs["others"] = 1 - pairs["others_kept"] / pairs["others"]
    lacking, by_class = {}, {}
    for method, of in pairs.groupby("method"):
        lacking[str(method)] = of[["omitted", "others"]].mean().to_dict()
        by_class[str(method)] = of.groupby("label", sort=False)["omitted"].mean().to_dict()
    return {"lacking": lacking, "lacking_by_class": by_class}


def _table_5_1_values(table: pd.DataFrame) -> Values:
    return {"fsd": dict(zip(table["network"], table["fsd"].astype(float), strict=True))}


def _found(table: pd.DataFrame) -> Values:
    """Of each network: classes omitted and added, and how far those of the figure are off."""
    metrics: Values = {}
    for name in _networks(table):
        lines = _of(table, name)
        metrics[name] = {side: int((lines["found"] == side).sum()) for side in ("omitted", "added")}
        metrics[name]["mean_abs"] = float(_shown(lines).mean())
    return metrics | _lacking(table)


# The list


def _uses(row: str) -> Callable[[Config], tuple[list[str], list[str]]]:
    """Datasets, networks, what compares images if the row inverts some, and, last, what labels them."""

    def uses(config: Config) -> tuple[list[str], list[str]]:
        datasets, networks = used_by(row)(config)
        spec, how = config.omission, config.reconstruction
        networks += [how.network] if how and row in config.inverted() else []
        return datasets, [*networks, *([config.segmenters[spec.segmenter].network] if spec else [])]

    return uses


def _labels(config: Config) -> list[str]:
    return [config.segmenters[config.omission.segmenter].labels] if config.omission else []


def _inputs(row: str) -> Callable[[Config], dict[str, Path]]:
    def inputs(config: Config) -> dict[str, Path]:
        found = {"statistics": paths.omission(config.profile, section(config, row).dataset)}
        if row in config.inverted():
            found["reconstructions"] = paths.inversion(config.profile, row)
        return found

    return inputs


def _row(id: str, title: str, caption: str, table, values, metrics=None) -> Row:
    return Row(
        id,
        title,
        caption,
        _inputs(id),
        _uses(id),
        table,
        values,
        metrics or values,
        further=_labels,
    )


DEPARTURES = (
    "Mean share of the image that each class of objects takes, by the segmenter, in generated images against"
    " photographs that the generator has learned from: (generated - photographs) / photographs, with 99 % intervals, of"
    " the most frequent classes; numbers label bars that leave the frame; an interval has no end where"
    " photographs may have nothing of the class. Coloured are classes that a test finds to differ, in which any false"
    " find among all classes has a probability of 1 %."
)
PAIRS = (
    " At the bottom: photographs that have most pixels of the classes found omitted, the most omitted class first, then"
    " the next, and again from the first, none twice (of the class of the most negative difference, if none is found);"
    " what the generator makes of them, G(E(x)) (method d), what its later layers can draw of them (method f, eq. 5.5),"
    " and all segmented, with the class's share of the image."
)
ROWS = (
    _row(
        "fig_5_1",
        "Objects that a generator of churches omits",
        DEPARTURES + PAIRS,
        _departures("fig_5_1"),
        _fig_5_1_values,
        _found,
    ),
    _row(
        "fig_5_2",
        "Segmentation statistics of two generators of bedrooms",
        DEPARTURES,
        _departures("fig_5_2"),
        _fig_5_2_values,
        _found,
    ),
    _row(
        "fig_5_4",
        "Photographs against photographs",
        "Two samples of the photographs, none in both, compared as a generator is; and the distance between two samples"
        " that are parted at random, by their size, with that of a generator for comparison.",
        _fig_5_4,
        _fig_5_4_values,
    ),
    _row(
        "fig_5_5",
        "Objects that a generator of bedrooms omits",
        DEPARTURES + PAIRS,
        _departures("fig_5_5"),
        _fig_5_5_values,
        _found,
    ),
    _row(
        "table_5_1",
        "Fréchet segmentation distance",
        "Of the classes' shares in percent of the image, between generated images and photographs: the squared distance"
        " of the means and the part of the covariances; 95 % bootstrap intervals of the distance of the distributions,"
        " which that of finite samples exceeds. Below, the same of photographs against photographs.",
        _table_5_1,
        _table_5_1_values,
    ),
)
