"""How much each class depends on each unit (PNAS 2020, figure 2), and one image on single units.

    importance(config, "pnas_fig_2", out, device, threads)              # single.csv, sets.csv
    single_image(config, "fig_slides_single_image", out, device, threads)

The accuracy of a class is balanced: the mean of the share of its images that are given the class and the
share of the other images that are not, by the highest score. Units are removed one by one on training and on
validation images, ranked for each class by what their removal costs on the training images, and then removed
together, the k most important ones or all but those, on the validation images. Units that cost a class
equally many images are ranked by what they cost its mean probability on its images.
"""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from torch import Tensor

from dissection.config import Config
from dissection.data import Dataset
from dissection.errors import DissectionError
from dissection.intervene.ablation import Ablation
from dissection.intervene.subject import (
    Subject,
    class_number,
    load_dataset,
    load_subject,
    write_csv,
)
from dissection.paths import replacing

BATCH = 20  # images; what is kept for each is (units, outputs of the linear layer)


class Tally:
    """Counts of predictions by variant of the network and class: whole numbers, whatever the order."""

    def __init__(self, variants: int, classes: int):
        self.images = np.zeros(classes, np.int64)
        self.given = np.zeros((variants, classes), np.int64)  # images that are given the class
        self.right = np.zeros((variants, classes), np.int64)  # ... rightly

    def add(self, predictions: Tensor, targets: Tensor) -> None:
        """predictions: (images, variants) class numbers; targets: (images,)."""
        variants, classes = self.given.shape
        places = predictions.cpu() + classes * torch.arange(variants)
        truth = targets.cpu()[:, None] + classes * torch.arange(variants)
        for counts, which in ((self.given, places), (self.right, places[places == truth])):
            counts += which.flatten().bincount(minlength=counts.size).view(counts.shape).numpy()
        self.images += targets.cpu().bincount(minlength=classes).numpy()

    def balanced(self) -> np.ndarray:
        """(variants, classes) mean of recall and true-negative rate; NaN without images of both kinds."""
        others = self.images.sum() - self.images
        with np.errstate(invalid="ignore"):
            wrong = (self.given - self.right) / others
            return (self.right / self.images + 1 - wrong) / 2


def importance(config: Config, row: str, out: Path, device: torch.device, threads: int) -> None:
    """
    single.csv: split, class, unit (-1: none removed), balanced_accuracy, loss, rank (1: most important).
    sets.csv: class, removed (most, all_but_most), units (k), balanced_accuracy, all_class_accuracy, on
    the validation images.
    """
    spec = getattr(config.rows, row)
    subject = load_subject(config, spec.network, device, threads)
    train, validation = (load_dataset(config, n) for n in (spec.train, spec.validation))
    names = subject.classes(train)
    if validation.classes != names:
        raise DissectionError(f"rows.{row}: {spec.train} and {spec.validation} differ in classes")
    ablation = Ablation(subject.network, subject.layer)
    accuracy, probability = sweep(ablation, subject, train, "one by one, train")
    order = ranking(accuracy, probability)
    units = order.shape[1]
    counts = sorted({k for k in spec.counts if k <= units}) or range(units + 1)
    which = [
        (c, k)
        for c, name in enumerate(names)
        for k in (range(units + 1) if name in spec.every_count else counts)
    ]
    single, sets = sweep_validation(ablation, subject, validation, order, which)
    rank = np.concatenate([np.zeros((1, len(names)), int), np.argsort(order, axis=1).T + 1])
    columns = {
        "class": np.repeat(names, units + 1),
        "unit": np.tile(np.arange(-1, units), len(names)),
    }
    tables = [
        pd.DataFrame({"split": split, **columns, "balanced_accuracy": a.T.ravel(),
                      "loss": (a[:1] - a).T.ravel(), "rank": rank.T.ravel()})
        for split, a in (("train", accuracy), ("validation", single))
    ]  # fmt: skip
    write_csv(pd.concat(tables), out / "single.csv")
    sets.insert(0, "class", [names[c] for c, _ in which for _ in range(2)])
    write_csv(sets, out / "sets.csv")


def sweep(
    ablation: Ablation, subject: Subject, dataset: Dataset, text: str
) -> tuple[np.ndarray, np.ndarray]:
    """
    Balanced accuracies, and mean probabilities of each class on its own images; both (1 + units, classes),
    the first line with all units.
    """
    tally: Tally | None = None
    total = np.zeros(0)
    for indices, images in subject.batches(dataset, BATCH, text):
        targets = _targets(dataset, indices, images.device)
        state = ablation.run(images)
        scores = torch.cat([state.scores[:, None], ablation.each(state)], 1)
        if tally is None:
            tally, total = Tally(*scores.shape[1:]), np.zeros(scores.shape[1:])
        tally.add(scores.argmax(2), targets)
        own = scores.softmax(2)[torch.arange(len(targets)), :, targets]
        np.add.at(total.T, targets.cpu().numpy(), own.double().cpu().numpy())
    assert tally is not None  # a dataset has images
    with np.errstate(invalid="ignore"):
        return tally.balanced(), total / tally.images


def ranking(accuracy: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """(1 + units, classes) twice -> (classes, units): units from the most to the least important."""
    return np.stack(
        [np.lexsort((p[1:], a[1:])) for a, p in zip(accuracy.T, probability.T, strict=True)]
    )


def sweep_validation(
    ablation: Ablation, subject: Subject, dataset: Dataset, order: np.ndarray,
    which: Sequence[tuple[int, int]],
) -> tuple[np.ndarray, pd.DataFrame]:  # fmt: skip
    """
    order: (classes, units); which: (class, k) pairs. Returns balanced accuracies (1 + units, classes), and for
    each pair a line without the k most important units and one without all the others.
    """
    classes, units = order.shape
    rank = torch.from_numpy(np.argsort(order, axis=1)).to(subject.device)
    removed = torch.stack([r for c, k in which for r in (rank[c] < k, rank[c] >= k)])
    asked = torch.tensor([c for c, _ in which for _ in range(2)], device=subject.device)
    one = Tally(1 + units, classes)
    counts = torch.zeros(3, len(asked), dtype=torch.int64, device=subject.device)
    for indices, images in subject.batches(dataset, BATCH, "together, validation"):
        targets = _targets(dataset, indices, images.device)
        state = ablation.run(images)
        scores = torch.cat([state.scores[:, None], ablation.each(state)], 1)
        one.add(scores.argmax(2), targets)
        predicted = ablation.sets(state, removed).argmax(2)  # (images, sets)
        given, right = predicted == asked, predicted == targets[:, None]
        counts += torch.stack([given, given & right, right]).sum(1)
    given, own, right = counts.cpu().numpy()
    images, all_images = one.images[asked.cpu().numpy()], one.images.sum()
    with np.errstate(invalid="ignore"):
        balanced = (own / images + 1 - (given - own) / (all_images - images)) / 2
    table = pd.DataFrame({
        "removed": ["most", "all_but_most"] * len(which),
        "units": [k for _, k in which for _ in range(2)],
        "balanced_accuracy": balanced,
        "all_class_accuracy": right / all_images,
    })  # fmt: skip
    return one.balanced(), table


def single_image(config: Config, row: str, out: Path, device: torch.device, threads: int) -> None:
    """
    units.csv: unit, prediction without it, probability of the class without it, peak; unit -1: none removed, -2:
    all units that alone change nothing, -3: all that change the prediction. images.csv: image, prediction, changing
    (units whose removal changes the prediction). maps.csv: unit, y, x, activation of those units. image.png.

    The image is the first of the class that is classified rightly and whose prediction fewest units change,
    at least one; or the one that the profile names.
    """
    spec = getattr(config.rows, row)
    subject = load_subject(config, spec.network, device, threads)
    dataset = load_dataset(config, spec.validation)
    names = subject.classes(dataset)
    number = class_number(names, spec.scene, f"rows.{row}.scene")
    candidates = [i for i in range(len(dataset)) if dataset.target(i) == number]
    ablation = Ablation(subject.network, subject.layer)
    lines: list[tuple[int, int, int]] = []
    for some in torch.tensor(candidates).split(BATCH):
        images = subject.images(dataset, some.tolist())
        state = ablation.run(subject.preprocess.normalise(images))
        without = ablation.each(state).argmax(2)
        said = state.scores.argmax(1)
        changing = (without != said[:, None]).sum(1)
        lines += zip(some.tolist(), said.tolist(), changing.tolist(), strict=True)
    found = pd.DataFrame(lines, columns=["index", "said", "changing"])
    eligible = found[(found["said"] == number) & (found["changing"] > 0)]
    if spec.image is None and eligible.empty:
        raise DissectionError(
            f"rows.{row}.scene: no single unit changes the prediction of any {spec.scene}"
        )
    index = spec.image
    if index is None:
        index = int(eligible.sort_values("changing", kind="stable")["index"].iloc[0])
    elif index not in candidates:
        raise DissectionError(f"rows.{row}.image: image {index} is not of class {spec.scene}")
    pixels = subject.images(dataset, [index])
    state = ablation.run(subject.preprocess.normalise(pixels))
    each = ablation.each(state)[0]
    changes = each.argmax(1) != state.scores[0].argmax()
    together = ablation.sets(state, torch.stack([~changes, changes]))[0]
    scores = torch.cat([state.scores, together, each])
    peaks = state.activations[0].amax((1, 2)).tolist()
    units = pd.DataFrame({
        "unit": [-1, -2, -3, *range(len(each))],
        "prediction": [names[i] for i in scores.argmax(1).tolist()],
        "probability": scores.softmax(1)[:, number].tolist(),
        "peak": [None, None, None, *peaks],
    })  # fmt: skip
    write_csv(units, out / "units.csv")
    found["prediction"] = [names[i] for i in found["said"]]
    found["image"] = [dataset.key(i) for i in found["index"]]
    found["chosen"] = found["index"] == index
    write_csv(found[["image", "prediction", "changing", "chosen"]], out / "images.csv")
    write_csv(map_table(state.activations[0], changes.nonzero()[:, 0].tolist()), out / "maps.csv")
    write_png(subject.preprocess.order, pixels[0], out / "image.png")


def map_table(activations: Tensor, units: Sequence[int]) -> pd.DataFrame:
    """activations: (units, h, w). Returns unit, y, x, activation."""
    _, h, w = activations.shape
    y, x = np.mgrid[:h, :w].reshape(2, 1, -1).repeat(len(units), 1).reshape(2, -1)
    values = activations[list(units)].cpu().numpy().ravel()
    return pd.DataFrame({"unit": np.repeat(units, h * w), "y": y, "x": x, "activation": values})


def write_png(order: str, pixels: Tensor, out: Path) -> None:
    """pixels: (3, h, w) uint8, RGB or BGR."""
    image = pixels.permute(1, 2, 0).cpu().numpy()
    done, data = cv2.imencode(".png", image[..., ::-1] if order == "RGB" else image)
    assert done
    with replacing(out) as path:
        path.write_bytes(data.tobytes())


def _targets(dataset: Dataset, indices: range, device: torch.device) -> Tensor:
    targets = [dataset.target(i) for i in indices]
    if None in targets:
        raise DissectionError(f"{dataset.key(indices[targets.index(None)])}: has no class")
    return torch.tensor(targets, device=device)
