"""Adversarial images, and the units that they change (PNAS 2020, figure 5).

    found = carlini_wagner(scores, images, targets, steps=5, iterations=1000, learning_rate=5e-3, constant=1e-2)
    found.images, found.success, found.distance
    attack(config, "pnas_fig_5", out, device, threads)       # changes.csv, example.csv, maps.csv, PNGs

The attack is the L2 attack of Carlini and Wagner (2017, section VI A): Adam on w with x = (tanh w + 1) / 2,
which keeps pixels between 0 and 1, on |x - image|^2 + c max(max_{i != t} Z(x)_i - Z(x)_t, -confidence), and a
binary search for the smallest c that succeeds, for every image by itself: what else is in the batch has no
influence. An image is done for a c when its loss no longer falls by a ten-thousandth in a tenth of the iterations.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from dissection import paths
from dissection.config import Config
from dissection.data import dataset_of
from dissection.errors import DissectionError
from dissection.files import write_csv, write_png
from dissection.intervene.importance import map_table
from dissection.intervene.subject import class_number, load_subject
from dissection.probe import Probe

BETAS, EPSILON = (0.9, 0.999), 1e-8  # of Adam
EDGE = 0.999999  # of tanh: a pixel that is 0 or 1 lies at a finite w
BATCH = 100
CANDIDATES = 3  # images that may become the example: the first whose attack succeeds


class Attacked(NamedTuple):
    images: Tensor  # (images, 3, h, w) the nearest adversarial images; the originals where there are none
    success: Tensor  # (images,) bool
    distance: Tensor  # (images,) L2, pixels from 0 to 1; infinite without success


def carlini_wagner(
    scores: Callable[[Tensor], Tensor], images: Tensor, targets: Tensor, *, steps: int, iterations: int,
    learning_rate: float, constant: float, confidence: float = 0.0, progress: bool = False,
) -> Attacked:  # fmt: skip
    """
    scores: (images, 3, h, w) pixels from 0 to 1 -> (images, classes) before the softmax; targets: (images,)
    classes that the images shall be given. steps: of the binary search; constant: the first c.
    """
    best = Attacked(
        images.clone(),
        torch.zeros(len(images), dtype=torch.bool, device=images.device),
        torch.full((len(images),), torch.inf, device=images.device),
    )
    c = torch.full_like(best.distance, constant)
    low, high = torch.zeros_like(c), torch.full_like(c, torch.inf)
    start = torch.atanh((2 * images - 1) * EDGE)
    bar = tqdm(total=steps * iterations, desc="attack", unit="step", disable=not progress)
    for step in range(steps):
        reached = torch.zeros_like(best.success)
        rows = torch.arange(len(images), device=images.device)  # that are still being changed
        w, before = start.clone(), torch.full_like(c, torch.inf)
        first, second = torch.zeros_like(w), torch.zeros_like(w)
        for i in range(iterations):
            with torch.enable_grad():
                x = w.requires_grad_().tanh().add(1).div(2)
                z = scores(x)
                own = z.gather(1, targets[rows, None])[:, 0]
                other = z.scatter(1, targets[rows, None], -torch.inf).amax(1)
                squares = (x - images[rows]).square().sum((1, 2, 3))
                loss = squares + c[rows] * (other - own).clamp(min=-confidence)
                (gradient,) = torch.autograd.grad(loss.sum(), w)
            w, loss = w.detach(), loss.detach()
            success = (own - other >= confidence) & (z.argmax(1) == targets[rows])
            reached[rows] |= success
            distance = squares.detach().sqrt()
            nearer = success & (distance < best.distance[rows])
            best.images[rows[nearer]] = x.detach()[nearer]
            best.distance[rows[nearer]] = distance[nearer]
            best.success[rows[nearer]] = True
            if i and i % -(-iterations // 10) == 0:
                keep = loss < 0.9999 * before
                rows, w, gradient, loss = rows[keep], w[keep], gradient[keep], loss[keep]
                first, second = first[keep], second[keep]
            if i % -(-iterations // 10) == 0:
                before = loss
            if not len(rows):
                break
            first.lerp_(gradient, 1 - BETAS[0])
            second.lerp_(gradient.square(), 1 - BETAS[1])
            rate = learning_rate / (1 - BETAS[0] ** (i + 1))
            size = (second / (1 - BETAS[1] ** (i + 1))).sqrt() + EPSILON
            w = w - rate * first / size
            bar.update()
        bar.n = (step + 1) * iterations
        high, low = torch.where(reached, c, high), torch.where(reached, low, c)
        c = torch.where(high.isinf(), 10 * c, (low + high) / 2)
    bar.close()
    return best


def attack(config: Config, row: str, out: Path, device: torch.device, threads: int) -> None:
    """
    For each target class, images of other classes that are not given it already, evenly spread over the dataset.

    changes.csv: image, source (the class it was given), target, distance, group (target_top, source_top: the units
    most important to the class; other; failed: no
    adversarial image was found), values (units), sum and squares of |peak(adversarial) - peak(original)|.
    example.csv: unit, role (source, target), rank, peak_before, peak_after for one image of the first class of the
    example; maps.csv: unit, y, x, before, after. original.png, adversarial.png, difference.png (magnified).
    """
    spec = getattr(config.rows, row)
    subject = load_subject(config, spec.network, device, threads)
    dataset = dataset_of(config, spec.validation)
    names = subject.classes(dataset)
    top = top_units(config, names, spec.top)
    targets = [class_number(names, t, f"rows.{row}.targets") for t in spec.targets]
    pair = [class_number(names, c, f"rows.{row}.example") for c in spec.example]
    given = torch.cat([
        subject.network(images).argmax(1) for _, images in subject.batches(dataset, BATCH, "classes")
    ]).tolist()  # fmt: skip
    jobs = [(i, pair[1]) for i in _right(dataset, given, pair[0], row)[:CANDIDATES]]
    examples = len(jobs)
    for target in targets:
        eligible = [i for i, said in enumerate(given) if target not in (said, dataset.target(i))]
        jobs += [
            (i, target) for i in eligible[:: max(1, len(eligible) // spec.images)][: spec.images]
        ]

    def scores(x: Tensor) -> Tensor:
        return subject.network(subject.preprocess.normalise(255 * x))

    lines: list[dict[str, object]] = []
    for first in range(0, len(jobs), BATCH):
        some = jobs[first : first + BATCH]
        pixels = subject.images(dataset, [i for i, _ in some]).float() / 255
        found = carlini_wagner(
            scores, pixels, torch.tensor([t for _, t in some], device=device), steps=spec.steps,
            iterations=spec.iterations, learning_rate=spec.learning_rate, constant=spec.constant,
            confidence=spec.confidence, progress=True,
        )  # fmt: skip
        with Probe(subject.network, [subject.layer], stop=True) as probe, torch.no_grad():
            maps = []
            for x in (pixels, found.images):
                probe(subject.preprocess.normalise(255 * x))
                maps.append(probe.kept[subject.layer])
        peaks = [m.amax((2, 3)).double().cpu().numpy() for m in maps]
        change = np.abs(peaks[1] - peaks[0])
        for j, (i, target) in enumerate(some):
            groups = {"target_top": top[target], "source_top": top[given[i]]}
            groups["other"] = np.setdiff1d(
                np.arange(change.shape[1]), np.concatenate(list(groups.values()))
            )
            if not found.success[j]:
                groups = {"failed": np.zeros(0, int)}
            for group, units in groups.items() if first + j >= examples else ():
                of = change[j, units]
                lines.append({
                    "image": dataset.key(i), "source": names[given[i]], "target": names[target],
                    "distance": float(found.distance[j]), "group": group, "values": len(of),
                    "sum": of.sum(), "squares": np.square(of).sum(),
                })  # fmt: skip
        if first == 0:
            succeeded = found.success[:examples].nonzero()[:, 0].tolist()
            if not succeeded:
                raise DissectionError(
                    f"rows.{row}: the attack on the example failed; raise steps or iterations"
                )
            n = succeeded[0]
            _write_example(out, subject.preprocess.order, pixels[n], found.images[n])
            roles = [("source", top[pair[0]]), ("target", top[pair[1]])]
            example = [
                {"unit": u, "role": role, "rank": k,
                 "peak_before": peaks[0][n, u], "peak_after": peaks[1][n, u]}
                for role, units in roles
                for k, u in enumerate(units, start=1)
            ]  # fmt: skip
            shown = list(dict.fromkeys(u for _, units in roles for u in units))
            table = map_table(maps[0][n], shown).rename(columns={"activation": "before"})
            after = map_table(maps[1][n], shown)["activation"]
            write_csv(pd.DataFrame(example), out / "example.csv")
            write_csv(table.assign(after=after), out / "maps.csv")
    if not lines:
        raise DissectionError(f"rows.{row}: no attack succeeded; raise steps or iterations")
    write_csv(pd.DataFrame(lines), out / "changes.csv")


def top_units(config: Config, names: tuple[str, ...], top: int) -> list[np.ndarray]:
    """The units most important to each class, the most important first, as `importance` ranked them."""
    single = pd.read_csv(paths.intervention(config.profile, "pnas_fig_2") / "single.csv")
    ranked = single[(single["split"] == "train") & single["rank"].between(1, top)].sort_values(
        "rank"
    )
    units = ranked.groupby("class")["unit"].agg(np.array)
    return [units[name] for name in names]


def _right(dataset, given: list[int], number: int, row: str) -> list[int]:
    found = [i for i, said in enumerate(given) if said == number == dataset.target(i)]
    if not found:
        raise DissectionError(
            f"rows.{row}.example: no image of the first class is classified rightly"
        )
    return found


def _write_example(out: Path, order: str, original: Tensor, adversarial: Tensor) -> None:
    change = adversarial - original
    shown = {
        "original": original,
        "adversarial": adversarial,
        "difference": 0.5 + 0.5 * change / change.abs().max(),
    }
    for name, x in shown.items():
        write_png(out / f"{name}.png", (255 * x[None]).round().byte(), order=order)
