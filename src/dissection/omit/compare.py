"""Photographs and what generators draw, segmented and compared: what thesis figures 5-1, 5-2, 5-4 and 5-5 and table
5.1 are made of.

    compare(config, "bedrooms", out, device)      # classes.csv, distances.csv, splits.csv, counts.safetensors

    segmented(config, "bedrooms", Part.of("2-of-3"), device)    # what one of several jobs does of it
"""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm

from dissection.config import Config, Omission
from dissection.data import Dataset, dataset_of
from dissection.errors import DissectionError
from dissection.files import write_csv
from dissection.networks import module_of, to_pixels
from dissection.networks.progan import latents
from dissection.omit.statistics import (
    compare_classes,
    distance_interval,
    pixel_counts,
    segmentation_distance,
    shares,
)
from dissection.parts import Part, gathered
from dissection.paths import replacing
from dissection.segment import Segmenter, segmenter_of

BATCH = 16


def compare(
    config: Config, dataset: str, out: Path, device: torch.device, parts: Sequence[Path] = ()
) -> None:
    """
    The photographs of a dataset with the images of every generator that rows compare with them (`omission` in the
    profile says how many), and with further photographs. parts: files of what `segmented` finds, all of it in order;
    without them everything is segmented here.

    classes.csv: network (empty: further photographs), class (number), label, and what `compare_classes` gives, the
        class that photographs have most of first.
    distances.csv: network, images (of either side), fsd, mean, covariance (its parts), low, high (95 %).
    splits.csv: seed, images, fsd, mean, covariance, largest (|delta| of the classes that figures show), omitted and
        added (classes that the test finds; at the full size): all photographs parted at random in two samples.
    counts.safetensors: photographs, further, and every network: (images, classes) int32 pixels; chosen: (images,)
        number of each photograph and further one in the dataset.
    """
    spec = _omission(config)
    labels = segmenter_of(config, spec.segmenter, device).classes.object
    counts = gathered(parts) if parts else segmented(config, dataset, Part(), device)
    everything, chosen = counts.pop("photographs").long(), counts.pop("chosen")
    samples = {"photographs": everything[: spec.images], "further": everything[spec.images :]}
    samples |= {name: count.long() for name, count in counts.items()}
    with replacing(out) as folder:
        folder.mkdir()
        _compared(samples, config.compared()[dataset], labels, spec, folder)
        _split(everything, spec, folder)
        kept = {name: count.int() for name, count in samples.items()}
        save_file(kept | {"chosen": chosen}, folder / "counts.safetensors")


def segmented(config: Config, dataset: str, part: Part, device: torch.device) -> dict[str, Tensor]:
    """
    A part of what `compare` segments: photographs (further ones included) and every network, (images, classes) int32
    pixels; chosen, (images,) numbers of the photographs in the dataset.
    """
    spec = _omission(config)
    segmenter = segmenter_of(config, spec.segmenter, device)
    photographs = dataset_of(config, dataset)
    chosen = choose(len(photographs), 2 * spec.images, spec.seed, dataset)
    chosen = [chosen[i] for i in part.images(len(chosen), BATCH)]
    batches = squares(photographs, chosen, spec.size)
    counts = {"photographs": _tally(segmenter, batches, len(chosen), dataset)}
    numbers = part.images(spec.images, BATCH)
    for name in config.compared()[dataset]:
        batches = drawn(config, name, numbers, device)
        counts[name] = _tally(segmenter, batches, len(numbers), name)
    return counts | {"chosen": torch.tensor(chosen, dtype=torch.int64)}


def _omission(config: Config) -> Omission:
    if config.omission is None:
        raise DissectionError("omission: missing; it says how photographs and images are segmented")
    return config.omission


def choose(images: int, count: int, seed: int, name: str, key: str = "") -> list[int]:
    """
    Numbers of `count` images, all different: the first of a random order, drawn as the authors draw it. They take
    their second sample from the order of another seed, by which a few images are in both. key: of the profile, if they
    are not for `compare`.
    """
    if count > images and key:
        raise DissectionError(f"{key}: {count}, but {name} has {images}; lower it")
    if count > images:
        raise DissectionError(
            f"omission.images: two samples of {count // 2} photographs, but {name} has {images}; lower it"
        )
    order = list(range(images))
    random.Random(seed).shuffle(order)
    return order[:count]


def squares(dataset: Dataset, numbers: list[int], size: int) -> Iterator[Tensor]:
    """Batches (n, 3, size, size) uint8 RGB of the central squares of these images, scaled to `size` pixels."""
    for start in range(0, len(numbers), BATCH):
        images = [_square(dataset.image(i), size) for i in numbers[start : start + BATCH]]
        yield torch.from_numpy(np.stack(images)).movedim(3, 1)


def _square(image: np.ndarray, size: int) -> np.ndarray:
    height, width = image.shape[:2]
    side = min(height, width)
    left, top = (width - side) // 2, (height - side) // 2
    box = (left, top, left + side, top + side)
    if side == size:
        return image[top : top + side, left : left + side]
    scaled = Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR, box)
    return np.asarray(scaled)


@torch.inference_mode()
def drawn(config: Config, name: str, numbers: range, device: torch.device) -> Iterator[Tensor]:
    """Batches (n, 3, h, w) uint8 RGB that a generator draws from these z of the seed."""
    latent = config.networks[name].latent
    if latent is None:
        raise DissectionError(f"networks.{name}.latent: missing, so it draws no images")
    network = module_of(config, name, device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for z in latents(_omission(config).seed, numbers.start, len(numbers), latent.size).split(BATCH):
        if len(z):
            yield to_pixels(network(z.to(device)))


def _tally(segmenter: Segmenter, batches: Iterator[Tensor], images: int, name: str) -> Tensor:
    """(images, classes) int32"""
    counts = torch.zeros(images, len(segmenter.classes.object), dtype=torch.int32)
    with tqdm(total=images, desc=f"segment {name}", unit="image") as progress:
        for batch in batches:
            counts[progress.n : progress.n + len(batch)] = pixel_counts(segmenter, batch)
            progress.update(len(batch))
    return counts


def _compared(
    samples: dict[str, Tensor],
    generators: list[str],
    labels: list[str],
    spec: Omission,
    folder: Path,
) -> None:
    real, tables, lines = samples["photographs"], [], []
    for name in ("further", *generators):
        made, network = samples[name], name if name in generators else ""
        table = compare_classes(real, made, spec.level, spec.permutations, spec.seed)
        table.insert(0, "label", labels)
        table.insert(0, "network", network)
        tables.append(table.sort_values("real", ascending=False, kind="stable"))
        distance = segmentation_distance(real, made)
        low, high = distance_interval(real, made, spec.replicates, spec.seed, progress=True)
        lines.append({
            "network": network, "images": len(made), "fsd": distance.total, "mean": distance.mean,
            "covariance": distance.covariance, "low": low, "high": high,
        })  # fmt: skip
    write_csv(pd.concat(tables).reset_index(), folder / "classes.csv")
    write_csv(pd.DataFrame(lines), folder / "distances.csv")


def _split(photographs: Tensor, spec: Omission, folder: Path) -> None:
    lines = []
    for seed in tqdm(range(1, spec.splits + 1), "splits"):
        order = torch.from_numpy(np.random.default_rng(seed).permutation(len(photographs)))
        for images in spec.sizes + [spec.images] * (spec.images not in spec.sizes):
            first, second = (photographs[order[i * spec.images :][:images]] for i in (0, 1))
            distance = segmentation_distance(first, second)
            line = {"seed": seed, "images": images, "fsd": distance.total, "mean": distance.mean,
                    "covariance": distance.covariance}  # fmt: skip
            real, made = (shares(counts).mean(0)[1:] for counts in (first, second))
            shown = real.argsort(descending=True, stable=True)[: spec.classes]
            shown = shown[real[shown] > 0]
            line["largest"] = float(((made - real) / real)[shown].abs().max())
            if images == spec.images:
                table = compare_classes(first, second, spec.level, spec.permutations, seed)
                line |= {side: int((table["found"] == side).sum()) for side in ("omitted", "added")}
            lines.append(line)
    table = pd.DataFrame(lines)
    write_csv(table.astype({"omitted": "Int64", "added": "Int64"}), folder / "splits.csv")
