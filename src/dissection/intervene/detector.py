"""One unit as a detector of a concept, by its peak activation on an image (PNAS 2020, figures 1F and 3F).

    best_threshold(peaks, present)       # (threshold, balanced accuracy)
    detect(config, "pnas_fig_1", out, device, threads)      # detector.csv, peaks.csv
    detect_drawn(config, "pnas_fig_3", out, device, threads)   # ..., of a generator, and pictures

The unit is the one of the layer that matches the concept best. Its threshold is chosen on one dataset, where it
makes balanced accuracy highest, and tested on another; of a generator, on images of another seed.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from tqdm import tqdm

from dissection import paths
from dissection.config import Config
from dissection.data import Dataset, dataset_of
from dissection.dissected import iou_of
from dissection.errors import DissectionError
from dissection.files import write_csv, write_png
from dissection.generated import Generated, z_of
from dissection.intervene.subject import Subject, load_subject
from dissection.networks import module_of, to_pixels
from dissection.probe import Probe
from dissection.segment import Segmenter, segmenter_of

BATCH = 100
DOWNSAMPLE = 2  # pixels per label that the segmenter is asked for, along each axis
SHOWN = 4  # pictures of a kind


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
    iou = iou_of(folder, subject.name, spec.protocol, wanted.concept)
    unit = int(iou.argmax())

    def sets() -> Iterator[tuple[str, str, pd.DataFrame]]:
        for part in ("train", "test"):
            name, names = getattr(wanted, part), set(getattr(wanted, f"{part}_present"))
            dataset = dataset_of(config, name)
            shown = [shows(dataset, i, names) for i in range(len(dataset))]
            keys = [dataset.key(i) for i in range(len(dataset))]
            refuse_one_kind(shown, f"rows.{row}.detector.{part}_present", ", ".join(sorted(names)))
            peaks = unit_peaks(subject, dataset, unit)
            yield part, name, pd.DataFrame({"image": keys, "present": shown, "peak": peaks})

    write_detector(sets(), {"unit": unit, "concept": wanted.concept, "iou": iou[unit]}, out)


def write_detector(
    sets: Iterable[tuple[str, str, pd.DataFrame]], about: dict[str, Any], out: Path
) -> tuple[float, pd.DataFrame]:
    """The threshold that is best on the first of the sets, and the lines of the last.

    sets: part, dataset, and a line an image with the columns present and peak.
    """
    tables: list[pd.DataFrame] = []
    lines, threshold = [], 0.0
    for part, name, table in sets:
        present, peaks = table["present"].to_numpy(), table["peak"].to_numpy()
        if not tables:
            threshold, _ = best_threshold(peaks, present)
        tables.append(table.assign(part=part))
        lines.append({
            "part": part, **about, "dataset": name, "threshold": threshold, "images": len(table),
            "present": present.sum(), "balanced_accuracy": balanced_accuracy(peaks, present, threshold),
        })  # fmt: skip
    write_csv(pd.DataFrame(lines), out / "detector.csv")
    write_csv(pd.concat(tables), out / "peaks.csv")
    return threshold, tables[-1]


def refuse_one_kind(shown: Sequence[bool] | np.ndarray, key: str, concept: str) -> None:
    if all(shown) or not any(shown):
        raise DissectionError(f"{key}: all or none of the images show {concept}; choose another")


def detect_drawn(config: Config, row: str, out: Path, device: torch.device, threads: int) -> None:
    """
    As `detect`, of a unit of a generator: the threshold is chosen on the images that were dissected and tested on as
    many of the next seed; an image has the concept if the segmenter finds it on more than a given share of it, `area`
    in peaks.csv. right_<i>.png, missed_<i>.png: of the test images with the concept those of the highest peaks, and
    those below the threshold that show most of it.
    """
    spec = getattr(config.rows, row)
    (entry,) = (
        e for e in config.dissections if (e.network, e.dataset) == (spec.network, spec.dataset)
    )
    drawn = config.generated[spec.dataset]
    folder = paths.units(config.profile, spec.dataset, spec.network)
    iou = iou_of(folder, spec.layer, spec.protocol, spec.concept)
    unit = int(iou.argmax())
    generator = module_of(config, spec.network, device)
    segmenter = segmenter_of(config, drawn.segmenter, device)
    names = segmenter.concepts["name"]
    numbers = torch.tensor(names.index[names == spec.concept].to_numpy())
    module = config.networks[spec.network].layers[spec.layer]

    def sets() -> Iterator[tuple[str, str, pd.DataFrame]]:
        for part, seed in (("train", drawn.seed), ("test", drawn.seed + 1)):
            z = z_of(config, entry, seed)
            area, peaks = areas_and_peaks(generator, module, unit, z, segmenter, numbers, device)
            shown = area > spec.area
            refuse_one_kind(
                shown, f"rows.{row}.area", f"{spec.concept} on more than {spec.area:.0%}"
            )
            lines = {"image": np.arange(len(z)), "present": shown, "area": area, "peak": peaks}
            yield part, f"seed {seed}", pd.DataFrame(lines)

    about = {"unit": unit, "concept": spec.concept, "iou": iou[unit], "area": spec.area}
    threshold, last = write_detector(sets(), about, out)
    tested = Generated(generator, z_of(config, entry, drawn.seed + 1), device)
    with_it = last[last["present"]]
    missed = with_it[with_it["peak"] <= threshold].nlargest(SHOWN, "area")
    for kind, chosen in (("right", with_it.nlargest(SHOWN, "peak")), ("missed", missed)):
        for i, index in enumerate(chosen["image"]):
            image = torch.from_numpy(tested.image(index)).permute(2, 0, 1)
            write_png(out / f"{kind}_{i}.png", image[None])


def areas_and_peaks(
    generator: nn.Module,
    module: str,
    unit: int,
    z: Tensor,
    segmenter: Segmenter,
    numbers: Tensor,
    device: torch.device,
) -> tuple[np.ndarray, np.ndarray]:
    """(images,) share of each image that carries any of the concepts, and peak activation of a unit of the module."""
    areas, peaks = [], []
    with Probe(generator, [module]) as probe, torch.inference_mode():
        for some in tqdm(z.split(BATCH), "images", unit="batch"):
            labels = segmenter(to_pixels(probe(some.to(device))), DOWNSAMPLE)
            there = torch.stack([torch.isin(maps, numbers).any(1) for maps in labels.values()])
            areas.append(there.any(0).float().mean((1, 2)).numpy())
            peaks.append(probe.kept[module][:, unit].amax((1, 2)).cpu().numpy())
    return np.concatenate(areas), np.concatenate(peaks)


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
