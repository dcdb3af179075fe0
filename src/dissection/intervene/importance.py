"""How much each class depends on each unit (PNAS 2020, figure 2), and one image on single units.

    importance(config, "pnas_fig_2", out, device, threads)              # single.csv, sets.csv
    single_image(config, "fig_slides_single_image", out, device, threads)

The accuracy of a class is balanced: the mean of the share of its images that are given the class and the
share of the other images that are not, by the highest score. Units are removed one by one on training and on
validation images, ranked for each class by what their removal costs on the training images, and then removed
together, the k most important ones or all but those, on the validation images. Units that cost a class
equally many images are ranked by what they cost its mean log odds on its images.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from dissection.config import Config
from dissection.data import Dataset, dataset_of
from dissection.errors import DissectionError
from dissection.files import write_csv, write_png
from dissection.intervene.ablation import Ablation
from dissection.intervene.subject import Subject, class_number, load_subject

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
    single.csv: split, class, unit (-1: none removed), balanced_accuracy, loss, rank (1: most important),
    log_odds (mean of the class on its images), log_odds_loss.
    sets.csv: class, removed (most, all_but_most), units (k), balanced_accuracy, all_class_accuracy, on
    the validation images.
    """
    spec = getattr(config.rows, row)
    subject = load_subject(config, spec.network, device, threads)
    train, validation = (dataset_of(config, n) for n in (spec.train, spec.validation))
    names = subject.classes(train)
    if validation.classes != names:
        raise DissectionError(f"rows.{row}: {spec.train} and {spec.validation} differ in classes")
    class_number(names, spec.scene, f"rows.{row}.scene")
    ablation = Ablation(subject.network, subject.layer)
    train_accuracy, train_odds, _ = sweep(ablation, subject, train, "train")
    order = ranking(train_accuracy, train_odds)
    units = order.shape[1]
    counts = sorted({k for k in spec.counts if k <= units}) or range(units + 1)
    which = pd.DataFrame(
        [
            (c, removed, k)
            for c, name in enumerate(names)
            for k in (range(units + 1) if name in spec.every_count else counts)
            for removed in ("most", "all_but_most")
        ],
        columns=["class", "removed", "units"],
    )
    place = np.argsort(order, axis=1)  # (classes, units), 0 for the most important
    most = place[which["class"]] < which["units"].to_numpy()[:, None]
    removed = most == (which["removed"] == "most").to_numpy()[:, None]
    together = Together(removed, which["class"].to_numpy(), device)
    accuracy, odds, _ = sweep(ablation, subject, validation, "validation", together)
    lines = {
        "class": np.repeat(names, units + 1),
        "unit": np.tile(np.arange(-1, units), len(names)),
        "rank": np.concatenate([np.zeros((1, len(names)), int), place.T + 1]).T.ravel(),
    }
    tables = [
        pd.DataFrame({"split": split, **lines, "balanced_accuracy": a.T.ravel(),
                      "loss": (a[:1] - a).T.ravel(), "log_odds": o.T.ravel(),
                      "log_odds_loss": (o[:1] - o).T.ravel()})
        for split, a, o in (("train", train_accuracy, train_odds), ("validation", accuracy, odds))
    ]  # fmt: skip
    write_csv(pd.concat(tables), out / "single.csv")
    which["class"] = [names[c] for c in which["class"]]
    write_csv(pd.concat([which, together.accuracies()], axis=1), out / "sets.csv")


class Together:
    """Counts for sets of units that are removed together, each asked for one class only."""

    def __init__(self, removed: np.ndarray, classes: np.ndarray, device: torch.device):
        """removed: (sets, units) bool; classes: (sets,) numbers."""
        self.removed = torch.tensor(removed, device=device)
        self.asked = torch.tensor(classes, device=device)
        self.counts = torch.zeros(5, len(classes), dtype=torch.int64, device=device)

    def add(self, predictions: Tensor, targets: Tensor) -> None:
        """predictions: (images, sets) class numbers; targets: (images,)."""
        targets = targets[:, None].expand_as(predictions)
        given, own, right = (
            predictions == self.asked, targets == self.asked, predictions == targets,
        )  # fmt: skip
        kinds = (given & own, given & ~own, own, ~own, right)
        self.counts += torch.stack(kinds).sum(1)

    def accuracies(self) -> pd.DataFrame:
        """balanced_accuracy of each set's class, all_class_accuracy."""
        rightly, wrongly, own, others, right = self.counts.cpu().numpy()
        with np.errstate(invalid="ignore"):
            balanced = (rightly / own + 1 - wrongly / others) / 2
        return pd.DataFrame(
            {"balanced_accuracy": balanced, "all_class_accuracy": right / (own + others)}
        )


def sweep(
    ablation: Ablation,
    subject: Subject,
    dataset: Dataset,
    text: str,
    together: Together | None = None,
) -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    """
    Removes the units one by one, and the sets of `together`. Returns balanced accuracies, and mean log odds
    of each class on its own images, both (1 + units, classes), the first line with all units; and for each image
    its number, target, prediction, and changing: how many units change that.
    """
    tally, total = Tally(0, 0), np.zeros(0)
    lines: list[tuple[int, ...]] = []
    for indices, images in subject.batches(dataset, BATCH, text):
        targets = _targets(dataset, indices, images.device)
        state = ablation.run(images)
        scores = torch.cat([state.scores[:, None], ablation.each(state)], 1)
        if not lines:
            tally, total = Tally(*scores.shape[1:]), np.zeros(scores.shape[1:])
        predictions = scores.argmax(2)
        tally.add(predictions, targets)
        own = targets[:, None, None].expand(*scores.shape[:2], 1)
        others = scores.scatter(2, own, -torch.inf).logsumexp(2)
        margin = scores.gather(2, own)[..., 0] - others
        np.add.at(total.T, targets.cpu().numpy(), margin.double().cpu().numpy())
        changing = (predictions != predictions[:, :1]).sum(1)
        each = (targets, predictions[:, 0], changing)
        lines += zip(indices, *(x.tolist() for x in each), strict=True)
        if together is not None:
            together.add(ablation.sets(state, together.removed).argmax(2), targets)
    with np.errstate(invalid="ignore"):
        odds = total / tally.images
    columns = ["number", "target", "prediction", "changing"]
    return tally.balanced(), odds, pd.DataFrame(lines, columns=columns)


def ranking(accuracy: np.ndarray, odds: np.ndarray) -> np.ndarray:
    """(1 + units, classes) twice -> (classes, units): units from the most to the least important."""
    pairs = zip(accuracy.T, odds.T, strict=True)
    return np.stack([np.lexsort((o[1:], a[1:])) for a, o in pairs])


def single_image(config: Config, row: str, out: Path, device: torch.device, threads: int) -> None:
    """
    units.csv: unit, prediction without it, probability of the class without it, peak; unit -1: none removed, -2:
    all units that alone change nothing, -3: all that change the prediction. images.csv, of all images: image, class,
    prediction, changing (units whose removal changes the prediction), chosen. maps.csv: unit, y, x, activation of the
    units that change it. image.png.

    The image is the one that the profile names; or the first of the class that is classified rightly and whose
    prediction fewest units change, but at least one if there is such an image.
    """
    spec = getattr(config.rows, row)
    subject = load_subject(config, spec.network, device, threads)
    dataset = dataset_of(config, spec.validation)
    names = subject.classes(dataset)
    number = class_number(names, spec.scene, f"rows.{row}.scene")
    ablation = Ablation(subject.network, subject.layer)
    _, _, images = sweep(ablation, subject, dataset, "images")
    right = images[(images["target"] == number) & (images["prediction"] == number)]
    if spec.image is not None:
        right = right[right["number"] == spec.image]
    if right.empty:
        which = "no image" if spec.image is None else f"image {spec.image}"
        raise DissectionError(
            f"rows.{row}: {which} of class {spec.scene} that is classified rightly"
        )
    right = right.assign(none=right["changing"] == 0)
    index = int(right.sort_values(["none", "changing"], kind="stable")["number"].iloc[0])
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
    images = images.assign(
        image=[dataset.key(i) for i in images["number"]],
        **{"class": [names[i] for i in images["target"]]},
        prediction=[names[i] for i in images["prediction"]],
        chosen=images["number"] == index,
    )
    columns = ["image", "class", "prediction", "changing", "chosen"]
    write_csv(images[columns], out / "images.csv")
    write_csv(map_table(state.activations[0], changes.nonzero()[:, 0].tolist()), out / "maps.csv")
    write_png(out / "image.png", pixels[:1], order=subject.preprocess.order)


def map_table(activations: Tensor, units: Sequence[int]) -> pd.DataFrame:
    """activations: (units, h, w). Returns unit, y, x, activation."""
    _, h, w = activations.shape
    y, x = np.mgrid[:h, :w].reshape(2, 1, -1).repeat(len(units), 1).reshape(2, -1)
    values = activations[list(units)].cpu().numpy().ravel()
    return pd.DataFrame({"unit": np.repeat(units, h * w), "y": y, "x": x, "activation": values})


def _targets(dataset: Dataset, indices: range, device: torch.device) -> Tensor:
    targets = [dataset.target(i) for i in indices]
    if None in targets:
        raise DissectionError(f"{dataset.key(indices[targets.index(None)])}: has no class")
    return torch.tensor(targets, device=device)
