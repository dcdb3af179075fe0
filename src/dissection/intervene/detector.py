"""One unit as a detector of a concept, by its peak activation on an image (PNAS 2020, figure 1F).

    best_threshold(peaks, present)       # (threshold, balanced accuracy)
    detect(config, "pnas_fig_1", out, device, threads)      # detector.csv, peaks.csv

The unit is the one of the layer that matches the concept best. Its threshold is chosen on one dataset, where it
makes balanced accuracy highest, and tested on another.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.numpy import load_file

from dissection import paths
from dissection.config import Config
from dissection.data import Dataset, dataset_of
from dissection.errors import DissectionError
from dissection.intervene.subject import Subject, load_subject, write_csv
from dissection.probe import Probe

BATCH = 100


def balanced_accuracy(peaks: np.ndarray, present: np.ndarray, threshold: float) -> float:
    """Mean of the shares of images with and without the concept that are told rightly by peak > threshold."""
    above = peaks > threshold
    return float((above[present].mean() + 1 - above[~present].mean()) / 2)


def best_threshold(peaks: np.ndarray, present: np.ndarray) -> tuple[float, float]:
    """
    peaks, present: (images,), with images of both kinds. The threshold of highest balanced accuracy, half way between
    two neighbouring peaks (the lowest of several), and that accuracy.
    """
    values, place = np.unique(peaks, return_inverse=True)
    yes, no = (np.bincount(place[p], minlength=len(values)) for p in (present, ~present))
    # a threshold above the first i values, for i from 0 to all
    missed, spared = (np.concatenate([[0], np.cumsum(x)]) / x.sum() for x in (yes, no))
    accuracy = (1 - missed + spared) / 2
    i = int(accuracy.argmax())
    between = np.concatenate([[values[0] - 1], (values[1:] + values[:-1]) / 2, [values[-1]]])
    return float(between[i]), float(accuracy[i])


def detect(config: Config, row: str, out: Path, device: torch.device, threads: int) -> None:
    """
    detector.csv: a line for `train`, where the threshold is chosen, and one for `test`: unit, concept, iou, dataset,
    threshold, images, present, balanced_accuracy. peaks.csv: part, image, present, peak.
    """
    spec = getattr(config.rows, row)
    wanted = spec.detector
    subject = load_subject(config, spec.network, device, threads)
    folder = paths.units(config.profile, spec.dataset, spec.network)
    concepts = pd.read_csv(folder / "concepts.csv", keep_default_na=False)
    columns = np.flatnonzero(concepts["name"] == wanted.concept)
    if not len(columns):
        raise DissectionError(
            f"rows.{row}.detector.concept: {wanted.concept!r} is not in {folder}/concepts.csv"
        )
    iou = load_file(folder / "iou.safetensors")[f"{subject.name}.{spec.protocol}"][:, columns].max(
        1
    )
    unit = int(iou.argmax())
    tables, lines, threshold = [], [], 0.0
    for part in ("train", "test"):
        name, names = getattr(wanted, part), set(getattr(wanted, f"{part}_present"))
        dataset = dataset_of(config, name)
        present = np.array([shows(dataset, i, names) for i in range(len(dataset))])
        if present.all() or not present.any():
            shown = ", ".join(sorted(names))
            raise DissectionError(
                f"rows.{row}.detector.{part}_present: all or none of {name} show {shown}"
            )
        peaks = unit_peaks(subject, dataset, unit)
        if part == "train":
            threshold, _ = best_threshold(peaks, present)
        keys = [dataset.key(i) for i in range(len(dataset))]
        tables.append(
            pd.DataFrame({"part": part, "image": keys, "present": present, "peak": peaks})
        )
        lines.append({
            "part": part, "unit": unit, "concept": wanted.concept, "iou": iou[unit], "dataset": name,
            "threshold": threshold, "images": len(dataset), "present": present.sum(),
            "balanced_accuracy": balanced_accuracy(peaks, present, threshold),
        })  # fmt: skip
    write_csv(pd.DataFrame(lines), out / "detector.csv")
    write_csv(pd.concat(tables), out / "peaks.csv")


def shows(dataset: Dataset, index: int, names: set[str]) -> bool:
    """Whether the image is of one of these classes, or has one of these concepts among its labels."""
    target = dataset.target(index)
    if target is not None and dataset.classes[target] in names:
        return True
    numbers = dataset.concepts.index[dataset.concepts["name"].isin(names)]
    return any(bool(np.isin(maps, numbers).any()) for maps in dataset.labels(index).values())


def unit_peaks(subject: Subject, dataset: Dataset, unit: int) -> np.ndarray:
    """(images,) peak activations of a unit."""
    peaks = []
    with Probe(subject.network, [subject.layer], stop=True) as probe, torch.no_grad():
        for _, images in subject.batches(dataset, BATCH, "peaks"):
            probe(images)
            peaks.append(probe.kept[subject.layer][:, unit].amax((1, 2)).cpu().numpy())
    return np.concatenate(peaks)
