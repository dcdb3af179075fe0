"""Units that draw a banner of text at the bottom of images, and what is behind it (the talk's slides).

    remove_banner(config, "fig_slides_banner", out, device, threads)      # units.csv, removal.csv, detector.csv

Segmenters know little of text, so a detector of banners is learned from labelled scenes: a row of pixels is of a
banner or not, by the mean and the deviation of its colours, of those of the rows beside it and of all rows, and by
its height. A unit draws the banner as far as it goes when the unit alone is ablated; units found on some images are
ablated on others. Beside them are the units that match the segmenter's label best, and random ones; and what it says
is left.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from dissection import paths
from dissection.config import Config
from dissection.data import Dataset, dataset_of
from dissection.dissected import iou_of
from dissection.errors import DissectionError
from dissection.files import write_csv, write_png
from dissection.intervene.generator import Generator, Intervention, heads, label_maps, only
from dissection.intervene.objects import most, number_of
from dissection.intervene.quality import most_active
from dissection.intervene.variants import square
from dissection.networks import module_of
from dissection.networks.progan import latents
from dissection.segment import segmenter_of

BATCH = 64
LEAST = 0.05  # share of an image's rows from which on it has a banner


class Banners:
    """Tells which rows of pixels are of a banner, each kind of row counting as much as the other."""

    def __init__(self, images: Tensor, rows: np.ndarray):
        """images: (n, 3, h, w) uint8; rows: (n, h) bool. Raises DissectionError if there is one kind of row only."""
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        if rows.all() or not rows.any():
            raise DissectionError(
                "banners: all or none of the labelled scenes' rows are text; draw more"
            )
        classifier = LogisticRegression(max_iter=1000, class_weight="balanced")
        self.classifier = make_pipeline(StandardScaler(), classifier)
        self.classifier.fit(features(images).reshape(rows.size, -1), rows.ravel())

    def __call__(self, images: Tensor) -> np.ndarray:
        """(n, 3, h, w) uint8 -> (n, h) how likely each row is of a banner; above 0.5 it is taken for one."""
        found = features(images)
        likely = self.classifier.predict_proba(found.reshape(-1, found.shape[-1]))[:, 1]
        return likely.reshape(found.shape[:2])


def features(images: Tensor) -> np.ndarray:
    """(n, 3, h, w) uint8 -> (n, h, 25): mean and deviation of the colours of the row above, of the row and of that
    below (at the borders the row itself), those of the image, and how far down the row is."""
    pixels = images.float() / 255
    row, image = (
        torch.cat(torch.std_mean(pixels, axes, correction=0)[::-1], 1) for axes in (3, (2, 3))
    )
    n, _, h = row.shape
    rows = row.mT.cpu().numpy()  # (n, h, 6)
    padded = np.pad(rows, ((0, 0), (1, 1), (0, 0)), mode="edge")
    whole = np.broadcast_to(image[:, None].cpu().numpy(), rows.shape)
    down = np.broadcast_to(np.arange(h, dtype=np.float32)[:, None] / h, (n, h, 1))
    return np.concatenate([padded[:, :-2], rows, padded[:, 2:], whole, down], 2)


def labelled(dataset: Dataset, concept: str, side: int) -> tuple[Tensor, np.ndarray]:
    """(n, 3, side, side) uint8, and (n, side) bool: whether all of a row is of the concept.

    Raises DissectionError if the labels have no such concept."""
    numbers = dataset.concepts.index[dataset.concepts["name"] == concept]
    if not len(numbers):
        raise DissectionError(f"concept {concept!r}: none of the labelled scenes has it")
    images, rows = [], []
    for i in range(len(dataset)):
        images.append(square(dataset.image(i), side))
        there = np.zeros(side, bool)
        for maps in dataset.labels(i).values():
            if maps.shape[1] > 1:
                centres = (2 * np.arange(side) + 1) * maps.shape[1] // (2 * side)
                text = np.isin(maps, numbers.to_numpy()).any(axis=0)
                there |= np.all(text, axis=1)[centres]
        rows.append(there)
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2), np.stack(rows)


def remove_banner(config: Config, row: str, out: Path, device: torch.device, threads: int) -> None:
    """
    units.csv: unit, rank (from 1), effect (share of the rows' likelihood of a banner that is gone without the unit).
    removal.csv: order (found, iou: with the segmenter's label, or random: the mean of some draws), units
    (ablated), images (those with most banner), before, after (share of their rows taken for a banner), text_before,
    text_after (share of pixels that the segmenter gives that label), change (mean absolute change of the other
    rows, 0 to 255).
    detector.csv: sample (learned, tested, generated), images, banners (share of images that show one), precision,
    recall (of rows). before.png, after.png: the images with most banner, without `units` units.
    With the units given and no labelled scenes, there are the pictures and units.csv alone, without effects; the
    images are those on which the units are most active.
    """
    spec = getattr(config.rows, row)
    network = config.networks[spec.network]
    if network.latent is None:
        raise DissectionError(f"networks.{spec.network}.latent: missing, so it draws no images")
    generator = Generator(module_of(config, spec.network, device), network.layers[spec.layer])
    z, z_test = (latents(seed, 0, spec.images, network.latent.size) for seed in spec.seeds)
    if spec.train is None:
        order, lines = torch.tensor(spec.given), pd.DataFrame({"unit": spec.given})
        peaks = torch.cat([s[0].amax((2, 3)).cpu() for _, s in heads(generator, z_test, BATCH)])
        shown = most_active(peaks, spec.given, spec.shown)
        count = len(order)
    else:
        side = images_of(generator, z[:1])[0].shape[-1]
        scenes = labelled(dataset_of(config, spec.train), spec.concept, side)
        half = len(scenes[0]) // 2
        banners = Banners(scenes[0][:half], scenes[1][:half])
        order, effect = find(generator, banners, z, spec.most)
        if spec.given:
            order = torch.tensor(spec.given)
        lines = pd.DataFrame({"unit": order, "effect": effect[order]})
        likely = banners(images_of(generator, z_test))
        chosen = most(torch.from_numpy(likely.sum(1)), spec.most)
        units = generator.head(z[:1])[0].shape[1]
        segmenter = segmenter_of(config, config.generated[spec.dataset].segmenter, device)
        number = number_of(segmenter.concepts, spec.label)
        folder = paths.units(config.profile, spec.dataset, spec.network)
        iou = torch.from_numpy(iou_of(folder, spec.layer, spec.protocol, spec.label))
        orders = {"found": order, "iou": iou.argsort(descending=True, stable=True)}

        def text(images: Tensor) -> float:
            return float((label_maps(segmenter, images) == number).any(1).float().mean())

        table = removal(generator, banners, text, z_test[chosen], orders, units, spec)
        write_csv(table, out / "removal.csv")
        tests = [
            told(banners(scenes[0][s]), scenes[1][s]) for s in (slice(half), slice(half, None))
        ]
        tests.append({"images": len(likely), "banners": shows(likely > 0.5).mean()})
        names = pd.DataFrame(
            tests, index=pd.Index(["learned", "tested", "generated"], name="sample")
        )
        write_csv(names.reset_index(), out / "detector.csv")
        shown, count = chosen[: spec.shown], spec.units
    write_csv(lines.assign(rank=np.arange(1, len(lines) + 1)), out / "units.csv")
    state = generator.head(z_test[shown])
    without = Intervention(only(order[:count], state[0].shape[1]))
    for name, change in ("before", None), ("after", without):
        write_png(out / f"{name}.png", generator.images(state, change))


def find(
    generator: Generator, banners: Banners, z: Tensor, number: int
) -> tuple[Tensor, np.ndarray]:
    """(units,) int64, those that draw banners first, and (units,) the share of the likelihood of a banner, summed over
    the rows of the `number` images where it is largest, that is gone without each unit."""
    likely = banners(images_of(generator, z)).sum(1)
    state = generator.head(z[most(torch.from_numpy(likely), number)])
    units = state[0].shape[1]
    whole = banners(generator.images(state)).sum()
    without = [
        banners(generator.images(state, Intervention(only([u], units)))).sum() for u in range(units)
    ]
    effect = 1 - np.array(without) / whole
    return torch.from_numpy(effect).argsort(descending=True, stable=True), effect


def removal(
    generator: Generator, banners: Banners, text: Callable[[Tensor], float], z: Tensor, orders: dict[str, Tensor],
    units: int, spec: Any,
) -> pd.DataFrame:  # fmt: skip
    """As of removal.csv, for the images of z. text: the share of the pixels of images that is text."""
    plain = images_of(generator, z)
    before, text_before = banners(plain) > 0.5, text(plain)
    draw = torch.Generator().manual_seed(spec.seeds[0])
    lines = []
    for count in spec.counts:
        random = [torch.randperm(units, generator=draw)[:count] for _ in range(spec.draws)]
        for name, sets in {**{n: [o[:count]] for n, o in orders.items()}, "random": random}.items():
            found = []
            for chosen in sets:
                images = images_of(generator, z, Intervention(only(chosen, units)))
                moved = (images.float() - plain.float()).abs().mean((1, 3)).numpy()[~before].mean()
                found.append(((banners(images) > 0.5).mean(), text(images), moved))
            after, text_after, change = np.mean(found, 0)
            lines.append(
                (name, count, len(z), before.mean(), after, text_before, text_after, change)
            )
    columns = [
        "order", "units", "images", "before", "after", "text_before", "text_after", "change",
    ]  # fmt: skip
    return pd.DataFrame(lines, columns=columns)


def told(likely: np.ndarray, rows: np.ndarray) -> dict[str, float]:
    """What `detector.csv` says of scenes whose rows are known."""
    found = likely > 0.5
    right = (found & rows).sum()
    return {
        "images": len(rows),
        "banners": shows(rows).mean(),
        "precision": right / max(1, found.sum()),
        "recall": right / max(1, rows.sum()),
    }


def shows(rows: np.ndarray) -> np.ndarray:
    """(n, h) bool -> (n,) whether an image shows a banner."""
    return rows.mean(1) > LEAST


def images_of(generator: Generator, z: Tensor, change: Intervention | None = None) -> Tensor:
    """(n, 3, h, w) uint8"""
    return torch.cat([generator.images(s, change).cpu() for _, s in heads(generator, z, BATCH)])
