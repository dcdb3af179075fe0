"""Adversarial images, and the units that they change (PNAS 2020, figure 5).

    found = carlini_wagner(scores, images, targets, steps=5, iterations=1000, learning_rate=5e-3, constant=1e-2)
    found.images, found.success, found.distance
    attack(config, "pnas_fig_5", out, device, threads)       # changes.csv, example.csv, maps.csv, PNGs
    attacked(config, "pnas_fig_5", Part.of("2-of-3"), device, threads)     # what one of several jobs does of it

The attack is the L2 attack of Carlini and Wagner (2017, section VI A): Adam on w with x = (tanh w + 1) / 2,
which keeps pixels between 0 and 1, on |x - image|^2 + c max(max_{i != t} Z(x)_i - Z(x)_t, -confidence), and a
binary search for the smallest c that succeeds, for every image by itself: what else is in the batch has no
influence. An image is done for a c when its loss no longer falls by a ten-thousandth in a tenth of the iterations.
"""

from collections.abc import Callable, Sequence
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
from dissection.parts import Part, gathered, joined
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


def attacked(
    config: Config, row: str, part: Part, device: torch.device, threads: int
) -> dict[str, Tensor]:
    """
    For each target class, images of other classes that are not given it already, evenly spread over the dataset; before
    them, what may become the example. Of a part of these attacks:

    image, source, target: (attacks,) numbers of the image and of classes; distance: infinite if it failed; before,
    after: (attacks, units) peaks. Of candidates for the example original, adversarial: (n, 3, h, w) pixels from 0 to 1;
    map_before, map_after: (n, units, h, w).
    """
    spec = getattr(config.rows, row)
    subject = load_subject(config, spec.network, device, threads)
    dataset = dataset_of(config, spec.validation)
    names = subject.classes(dataset)
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

    def batch(first: int) -> dict[str, Tensor]:
        numbers, aims = zip(*jobs[first : first + BATCH], strict=True)
        pixels = subject.images(dataset, numbers).float() / 255
        found = carlini_wagner(
            scores, pixels, torch.tensor(aims, device=device), steps=spec.steps,
            iterations=spec.iterations, learning_rate=spec.learning_rate, constant=spec.constant,
            confidence=spec.confidence, progress=True,
        )  # fmt: skip
        if first == 0 and not found.success[:examples].any():
            raise DissectionError(
                f"rows.{row}: the attack on the example failed; raise steps or iterations"
            )
        with Probe(subject.network, [subject.layer], stop=True) as probe, torch.no_grad():
            maps = []
            for x in (pixels, found.images):
                probe(subject.preprocess.normalise(255 * x))
                maps.append(probe.kept[subject.layer])
        shown = slice(max(0, examples - first))
        return {
            "image": torch.tensor(numbers), "source": torch.tensor([given[i] for i in numbers]),
            "target": torch.tensor(aims), "distance": found.distance,
            "before": maps[0].amax((2, 3)), "after": maps[1].amax((2, 3)),
            "original": pixels[shown], "adversarial": found.images[shown],
            "map_before": maps[0][shown], "map_after": maps[1][shown],
        }  # fmt: skip

    return joined(map(batch, part.images(len(jobs), BATCH)[::BATCH]))


def attack(
    config: Config, row: str, out: Path, device: torch.device, threads: int, parts: Sequence[Path] = ()
) -> None:  # fmt: skip
    """
    What the attacks change. parts: files of what `attacked` finds, all of it in order; without them it is found here.

    changes.csv: image, source (the class it was given), target, distance, group (target_top, source_top: the units
    most important to the class; other; failed: no adversarial image was found), values (units), sum and squares of
    |peak(adversarial) - peak(original)|.
    example.csv: unit, role (source, target), rank, peak_before, peak_after for one image of the first class of the
    example; maps.csv: unit, y, x, before, after. original.png, adversarial.png, difference.png (magnified).
    """
    spec = getattr(config.rows, row)
    dataset = dataset_of(config, spec.validation)
    names = dataset.classes
    top = top_units(config, names, spec.top)
    found = gathered(parts) if parts else attacked(config, row, Part(), device, threads)
    before, after = (found[name].double().numpy() for name in ("before", "after"))
    change, failed = np.abs(after - before), found["distance"].isinf()
    jobs = zip(*(found[name].tolist() for name in ("image", "source", "target")), strict=True)
    lines: list[dict[str, object]] = []
    for j, (i, source, target) in enumerate(jobs):
        groups = {"target_top": top[target], "source_top": top[source]}
        groups["other"] = np.setdiff1d(
            np.arange(change.shape[1]), np.concatenate(list(groups.values()))
        )
        if failed[j]:
            groups = {"failed": np.zeros(0, int)}
        for group, units in groups.items() if j >= len(found["original"]) else ():
            of = change[j, units]
            lines.append({
                "image": dataset.key(i), "source": names[source], "target": names[target],
                "distance": float(found["distance"][j]), "group": group, "values": len(of),
                "sum": of.sum(), "squares": np.square(of).sum(),
            })  # fmt: skip
    if not lines:
        raise DissectionError(f"rows.{row}: no attack succeeded; raise steps or iterations")
    n = int((~failed).nonzero()[0])
    given = config.networks[spec.network].input
    assert given is not None  # else it would not have been attacked
    _write_example(out, given.order, found["original"][n], found["adversarial"][n])
    roles = [("source", top[found["source"][n]]), ("target", top[found["target"][n]])]
    example = [
        {"unit": u, "role": role, "rank": k, "peak_before": before[n, u], "peak_after": after[n, u]}
        for role, units in roles
        for k, u in enumerate(units, start=1)
    ]
    shown = list(dict.fromkeys(u for _, units in roles for u in units))
    table = map_table(found["map_before"][n], shown).rename(columns={"activation": "before"})
    after_table = map_table(found["map_after"][n], shown)["activation"]
    write_csv(pd.DataFrame(example), out / "example.csv")
    write_csv(table.assign(after=after_table), out / "maps.csv")
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
