"""Do people find the labels of units descriptive? Question sheets for them, and a rater who knows (thesis 3.3.1).

    write_survey(config, dataset_root, folder, folder / "survey")   # index.html, questions.csv, ground_truth.csv
    agreement(units, answers, second)                               # a line a layer, as table 3.3

A question shows a unit's top images with the highlighted regions and asks whether a phrase describes most of them.
Answers are rows of rater, layer, unit, source, phrase, answer (yes or no). The phrase's source is `dissection`, the
label found for the unit, or `written`, what a person (or the ground-truth rater) wrote of it; `own` is what a
rater has typed instead of answering, from which later written phrases are taken.

The ground-truth rater looks at the true labels. A region shows a concept if more than half of its pixels carry it,
a label of the whole image counting for all of them; a phrase describes a unit if more than half of its regions
show the concept of that name. What it writes of a unit is the concept that most regions show.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors import safe_open
from safetensors.numpy import load_file
from tqdm import tqdm

from dissection import style
from dissection.config import Config, Table33
from dissection.data import open_dataset
from dissection.dissect.labels import ImageLabels, Labels
from dissection.dissect.page import GAP, SIDE, interpolation
from dissection.dissect.protocols import PROTOCOLS
from dissection.errors import DissectionError
from dissection.files import write_csv
from dissection.networks import Preprocess
from dissection.paths import replacing

GROUND_TRUTH = "ground-truth rater"
COLUMNS = ["rater", "layer", "unit", "source", "phrase", "answer"]


def write_survey(
    config: Config, spec: Table33, dataset_root: Path, folder: Path, out: Path
) -> None:
    """
    folder: files of the dissection; out: beside its `pages`, whose strips the sheets show.
    Raises DissectionError if the phrases that were written are not in the form above.
    """
    units = pd.read_csv(folder / "units.csv", keep_default_na=False)
    layers = list(config.networks[spec.network].layers)
    units = units[(units["protocol"] == spec.protocol) & units["layer"].isin(layers)]
    questions = units[units["label"] != ""].assign(source="dissection", phrase=units["label"])
    if spec.phrases is not None:
        written = read_answers([spec.phrases], ["layer", "unit", "phrase"]).fillna("")
        if "source" in written:
            written = written[written["source"] == "own"]
        written = written[written["phrase"] != ""].assign(source="written")
        questions = pd.concat([questions, written])
    questions = questions[["layer", "unit", "source", "phrase"]]
    order = np.random.default_rng(config.seed).permutation(len(questions))
    with safe_open(folder / "top.safetensors", framework="numpy") as file:
        images = file.get_slice(f"{layers[0]}.images").get_shape()[1]
    environment = style.templates(Path(__file__).parent)
    html = environment.get_template("survey.html").render(
        network=spec.network,
        asked=questions.iloc[order].to_dict("records"),
        strips=f"../pages/LAYER/{spec.protocol}/UNIT.jpg",
        images=images,
        side=SIDE,
        step=SIDE + GAP,
    )
    with replacing(out / "index.html") as path:
        path.write_text(html, encoding="utf-8")
    answers = ground_truth(config, spec, dataset_root, folder, units)
    for name, table in (("questions", questions), ("ground_truth", answers)):
        write_csv(table, out / f"{name}.csv")


def ground_truth(
    config: Config, spec: Table33, dataset_root: Path, folder: Path, units: pd.DataFrame
) -> pd.DataFrame:
    """Answers of the ground-truth rater, two a unit: to its label, and to what the rater writes of it."""
    protocol, preprocess = (
        PROTOCOLS[spec.protocol],
        Preprocess(config.networks[spec.network].input.model_copy(update={"mean_image": None})),
    )
    labels = Labels(open_dataset(config.datasets[spec.dataset], dataset_root), preprocess.labels)
    names = labels.concepts["name"].to_numpy()
    thresholds = load_file(folder / "counts.safetensors")
    read: dict[int, ImageLabels] = {}
    rows = []
    with safe_open(folder / "top.safetensors", framework="numpy") as file:
        centres = json.loads(file.metadata()["centres"])
        for layer, of_layer in tqdm(units.groupby("layer", sort=False), "rating", unit="layer"):
            maps = file.get_tensor(f"{layer}.maps").astype(np.float32)
            up = interpolation(
                protocol, maps.shape[2:], centres[layer], preprocess.size,
                preprocess.size // protocol.downsample,
            )  # fmt: skip
            threshold = thresholds[f"{layer}.{protocol.name}.threshold"]
            top = file.get_tensor(f"{layer}.images")
            for unit, label in zip(of_layer["unit"], of_layer["label"], strict=True):
                regions = (up[0] @ maps[unit] @ up[1].T > threshold[unit]).reshape(
                    len(top[unit]), -1
                )
                for index in set(top[unit].tolist()) - read.keys():
                    read[index] = labels.fit(labels.read(index), protocol)
                share = np.array([
                    shares(read[index], region, len(names))
                    for index, region in zip(top[unit].tolist(), regions, strict=True)
                ])  # fmt: skip
                shown = (share > 0.5).sum(0)
                written = int(np.lexsort((-share.sum(0), -shown))[0])
                for source, phrase in (("dissection", label), ("written", names[written])):
                    most = 2 * shown[names == phrase].max(initial=0) > len(regions)
                    rows.append(
                        (GROUND_TRUTH, layer, unit, source, phrase, "yes" if most else "no")
                    )
    return pd.DataFrame(rows, columns=COLUMNS)


def shares(labels: ImageLabels, region: np.ndarray, concepts: int) -> np.ndarray:
    """(concepts,) share of the region's pixels that carry each; 0 if it has none. region: (pixels,) bool."""
    pixels = int(region.sum())
    if not pixels:
        return np.zeros(concepts)
    maps = labels.maps[:, region].ravel() if len(labels.maps) else np.zeros(0, np.int64)
    counts = np.bincount(maps, minlength=concepts + 1).astype(float)
    counts[labels.whole] += pixels
    return counts[1:] / pixels


def read_answers(files: list[Path], columns: list[str]) -> pd.DataFrame:
    """Raises DissectionError if a file is missing or lacks one of `columns`."""
    tables = []
    for path in files:
        try:
            table = pd.read_csv(path, dtype={"phrase": str, "answer": str})
        except (OSError, ValueError) as error:
            raise DissectionError(f"{path}: cannot be read: {error}") from None
        if missing := [c for c in columns if c not in table]:
            raise DissectionError(f"{path}: no column {missing[0]}: expected {', '.join(columns)}")
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def agreement(
    units: pd.Series, answers: pd.DataFrame, second: pd.DataFrame | None = None
) -> pd.DataFrame:
    """
    units: layer -> its number of units; answers, second: of the first and the second group of raters.
    Returns layer, units, raters, interpretable (units where most raters agree with what was written),
    and of these the share whose label most raters find descriptive (network_dissection) and of whose
    written phrases most of the second group do (human_consistency).
    """
    yes = majority(answers)
    again = majority(second) if second is not None else pd.Series(dtype=float)
    lines = []
    for layer, number in units.items():
        agreed = [u for u, most in _of(yes, layer, "written").items() if most]
        described = _of(yes, layer, "dissection").reindex(agreed, fill_value=False)
        repeated = _of(again, layer, "written").reindex(agreed).dropna()
        lines.append({
            "layer": layer, "units": number, "raters": "; ".join(sorted(set(answers["rater"].astype(str)))),
            "interpretable": len(agreed),
            "network_dissection": described.mean() if agreed else None,
            "human_consistency": repeated.astype(float).mean() if len(repeated) else None,
        })  # fmt: skip
    return pd.DataFrame(lines)


def majority(answers: pd.DataFrame) -> pd.Series:
    """(layer, unit, source) -> whether more than half of the answers are yes."""
    answered = answers[answers["answer"].isin(["yes", "no"])]
    share = (answered["answer"] == "yes").groupby(
        [answered["layer"], answered["unit"], answered["source"]]
    )
    return share.mean() > 0.5


def _of(majority: pd.Series, layer: object, source: str) -> pd.Series:
    """Unit -> whether."""
    if majority.empty:
        return majority
    levels = majority.index.get_level_values
    chosen = majority[(levels("layer") == layer) & (levels("source") == source)]
    return chosen.droplevel(["layer", "source"])
