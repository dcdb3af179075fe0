"""Appendix A.2: whether people name the units of a generator as dissection does, and units that they name otherwise."""

from pathlib import Path
from typing import Any

import pandas as pd

from dissection import paths
from dissection.config import Config
from dissection.dissect.protocols import PROTOCOLS
from dissection.report import Row, only, section
from dissection.report.chapter3 import read_units, strip_of, used_by

Values = dict[str, Any]
ROW = "sec_a_2_human_eval"


def _evaluated(config: Config) -> pd.DataFrame:
    """`rating.evaluation` of the units of the layer, with who judged."""
    from dissection.dissect.rating import RATER, evaluation
    from dissection.dissect.survey import COLUMNS, read_answers

    spec, folder = section(config, ROW), _folder(config)
    units = read_units(config, spec.dataset, spec.network, spec.protocol)
    units = units[units["layer"] == spec.layer].sort_values("unit")
    words = read_answers(spec.words or [folder / "words.csv"], COLUMNS)
    ratings = read_answers(spec.answers or [folder / "ratings.csv"], COLUMNS)
    table = evaluation(units, words, ratings, PROTOCOLS[spec.protocol].iou)
    who = ["people" if files else RATER for files in (spec.words, spec.answers)]
    (entry,) = (
        e for e in config.dissections if (e.network, e.dataset) == (spec.network, spec.dataset)
    )
    return table.assign(
        words_by=who[0], ratings_by=who[1], top_images=entry.top_images,
        sample=config.generated[spec.dataset].images, iou_limit=PROTOCOLS[spec.protocol].iou,
    )  # fmt: skip


def _folder(config: Config) -> Path:
    spec = section(config, ROW)
    return paths.units(config.profile, spec.dataset, spec.network) / "rating"


def _inputs(config: Config) -> dict[str, Path]:
    spec = section(config, ROW)
    people = {f"answers {path}": path for path in (*spec.words, *spec.answers)}
    return {"units": _folder(config).with_name("units.csv"), "rating": _folder(config), **people}


def _table(config: Config, threads: int) -> pd.DataFrame:
    return _evaluated(config)


def _flag(column: pd.Series) -> pd.Series:
    """True where it says so, whether as it was made or as it was read again."""
    return column.astype(str) == "True"


def _values(table: pd.DataFrame) -> Values:
    """As the published counts are; `rated` says of how many words and labels raters were asked."""
    named = (table["word"].notna() & (table["word"] != "")).to_numpy()
    both = named & _flag(table["labelled"]).to_numpy()
    labels = pd.to_numeric(table["labels"])
    word_rated, label_rated = _flag(table["word_rated"]), _flag(table["label_rated"])
    values: Values = {
        "units": len(table),
        "labels": int(labels.sum()),
        "labels_per_unit_min": int(labels.min()),
        "labels_per_unit_max": int(labels.max()),
        "human_consistent": int(named.sum()),
        "consensus_share": 0.5,
        "also_dissected": int(both.sum()),
        "same_word": int((_flag(table["same"]) & both).sum()),
        "rated_accurate": int((label_rated & both).sum()),
        "undetected": int((named & ~both).sum()),
        "failures": int((~label_rated & both).sum()),
        "iou_threshold": float(table["iou_limit"].iloc[0]),
        "eval_images": int(table["sample"].iloc[0]),
        "top_images_shown": int(table["top_images"].iloc[0]),
    }
    if both.any():
        values["rated_accurate_percent"] = 100 * float(label_rated[both].mean())
    if named.any():
        values["human_labels_accurate_percent"] = 100 * float(word_rated[named].mean())
    return values


def _fig_a_3(config: Config, threads: int) -> pd.DataFrame:
    """
    kind: `otherwise`, confident labels that most raters find wrong, or that are not the word that raters agree on;
    `unlabelled`: units that raters agree on and dissection is not confident of. With what the regions of the top images
    and those of all images show, and the strips of both.
    """
    spec, folder = section(config, "fig_a_3"), _folder(config)
    regions = pd.read_csv(folder / "regions.csv", keep_default_na=False)
    regions = regions.set_index(["unit", "phrase"])[["top", "sample"]]
    table = disagreements(_evaluated(config), regions)
    units = read_units(config, spec.dataset, spec.network, spec.protocol)
    units = units[units["layer"] == spec.layer].set_index("unit", drop=False)
    lines = []
    for line in table.to_dict("records"):
        unit = units.loc[line["unit"]]
        strip = folder / "sample" / spec.layer / spec.protocol / f"{line['unit']}.jpg"
        found = {
            f"{place}_{name}": regions[place].get((line["unit"], phrase))
            for name, phrase in (("word", line["word"]), ("label", line["short"]))
            for place in ("top", "sample")
        }
        lines.append(line | found | strip_of(config, spec.dataset, unit) | {"sample_strip": strip})
    seen = ["top_word", "sample_word", "top_label", "sample_label"]
    # so that there are columns where raters and dissection agree on every unit
    return pd.DataFrame(lines, columns=[*table, *seen, "strip", "sha256", "sample_strip"])


def disagreements(table: pd.DataFrame, regions: pd.DataFrame, number: int = 2) -> pd.DataFrame:
    """
    kind, unit, word, share, label, short (the label, without which half), category, iou, label_rated: of the units
    whose confident label is another word than the raters', first what raters find wrong, and of that first where all
    images show the label more often than the top images do; and the units of the largest consensus that have no
    confident label. `number` of either kind. regions: top and sample, by unit and phrase.
    """
    short = table["label"].str.replace(r"-[tblr]$", "", regex=True)
    table = table.assign(short=short)
    keys = pd.MultiIndex.from_frame(table[["unit", "short"]])
    gap = (regions["sample"] - regions["top"]).reindex(keys).to_numpy()
    table = table.assign(gap=gap, right=_flag(table["label_rated"]))[table["word"] != ""]
    labelled = _flag(table["labelled"])
    other = table[labelled & ~_flag(table["same"])]
    other = other.sort_values(["right", "gap"], ascending=[True, False], kind="stable")
    none = table[~labelled].sort_values("share", ascending=False, kind="stable")
    chosen = [
        of.head(number).assign(kind=kind)
        for kind, of in (("otherwise", other), ("unlabelled", none))
    ]
    columns = ["kind", "unit", "word", "share", "label", "short", "category", "iou", "label_rated"]
    return pd.concat(chosen)[[*columns, "words_by"]]


def _fig_a_3_inputs(config: Config) -> dict[str, Path]:
    return _inputs(config) | {"pages": _folder(config).with_name("pages")}


JUDGES = (
    " People may answer by the question sheets (their files are named in the profile). Else raters by segmenter do:"
    " each sees in a region what the segmenter labels most of it with. They look at a few top images where dissection"
    " counts all, but cannot see what the segmenter does not know, nor whether it is right."
)
ROWS = (
    Row(
        ROW,
        "People's names of units and dissection's",
        "Units whose raters agree on a word in half of their answers or more; of these, those whose label by dissection"
        " is confident, is that word, and is found accurate by most raters." + JUDGES,
        _inputs,
        used_by(ROW),
        _table,
        _values,
        only(_values, "human_consistent", "also_dissected", "same_word", "rated_accurate"),
    ),
    Row(
        "fig_a_3",
        "Units that raters and dissection name differently",
        "Above: the images that move the unit most, which raters look at. Below: others in which it has a region, from"
        " the most active to the least. The numbers are shares of the regions that show the word, and the label."
        + JUDGES,
        _fig_a_3_inputs,
        used_by("fig_a_3"),
        _fig_a_3,
        lambda table: {},
        lambda table: {"units": len(table)},
    ),
)
