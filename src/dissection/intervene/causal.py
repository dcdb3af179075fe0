"""Which units of a generator cause a class, and how much (thesis 4.3.2, A.4, A.5; PNAS 2020, figure 4).

    found = survey(generator, segmenter, z, [tree])             # where trees are, and their constant k
    causal = find_units(generator, segmenter, tree, z_present, z_candidates, iou, Search())
    causal.order[:20], causal.alpha, causal.value               # the units that cause trees, the first the most

    effects(sweep(generator, segmenter, z, removals(causal.order, range(31)), concepts), concepts)
    average_causal_effect(generator, segmenter, z, [only(causal.order[:20], units)], causal.value, [tree])

    doors = insert_each(generator, segmenter, z, Intervention(alpha, k), door)
    by_context(doors, segmenter.concepts)                       # how easily a door is added to what is there
    trace(network, "layer4", ["layer5", "layer14"], z, Intervention(alpha, k))

`concepts` are numbers of the segmenter's concepts. The seeds decide z, places and order of training alone.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor, nn
from tqdm import tqdm

from dissection.adam import Adam
from dissection.config import Search
from dissection.errors import DissectionError
from dissection.intervene.generator import (
    BATCH,
    Counts,
    Generator,
    Intervention,
    Segmenter,
    blend,
    cell_area,
    cell_of,
    cell_pixels,
    heads,
    label_maps,
    locations,
    only,
    sweep,
)
from dissection.probe import Probe
from dissection.stats import TopFraction

INTERVAL = 2.58  # standard errors to either side: 99 %


class Survey(NamedTuple):
    """Where concepts are in generated images, and which features the layer has there."""

    pixels: Tensor  # (images, concepts, h, w) int64 pixels of the concept, by cell
    value: Tensor  # (concepts, units) k of A.4; NaN for a concept that no image has
    cell: Tensor  # (h, w) int64 pixels of each cell


@torch.no_grad()
def survey(generator: Generator, segmenter: Segmenter, z: Tensor, concepts: Sequence[int],
           batch: int = BATCH, progress: bool = False) -> Survey:  # fmt: skip
    """k: the mean activation where the concept is, each location weighted by the share of it that the concept
    covers (A.4). z: (images, size)."""
    numbers = torch.tensor(concepts, device=generator.device)
    parts, weighted, weight = [], torch.zeros(()), torch.zeros(())
    for _, state in heads(generator, z, batch, progress):
        _, _, h, w = state[0].shape
        maps = label_maps(segmenter, generator.images(state))
        pixels = cell_pixels(maps, numbers, h, w)
        cell = cell_area(maps, h, w)
        covered = pixels.double() / cell
        weighted = weighted + torch.einsum("nchw,nuhw->cu", covered, state[0].double()).cpu()
        weight = weight + covered.sum((0, 2, 3)).cpu()
        parts.append(pixels.cpu())
    return Survey(torch.cat(parts), (weighted / weight[:, None]).float(), cell.cpu())


@torch.no_grad()
def high_values(generator: Generator, z: Tensor, fraction: float, batch: int = BATCH) -> Tensor:
    """(units,) what each unit exceeds at this fraction of all locations: the constants that PNAS 2020 inserts."""
    top: TopFraction | None = None
    for _, state in heads(generator, z, batch):
        values = state[0].permute(0, 2, 3, 1).flatten(0, 2)  # (locations, units)
        if top is None:
            locations = len(values) // len(state[0])
            samples = locations * len(z)
            top = TopFraction(values.shape[1], fraction, samples, device=generator.device)
        top.add_dense(values)
    assert top is not None
    return top.threshold().cpu()


# ---------------------------------------------------------------- effects of sets of units


def removals(
    order: Tensor, sizes: Iterable[int], alpha: Tensor | None = None
) -> list[Intervention]:
    """Ablations of the first n units of an order everywhere, for each n; with alpha as of `only`."""
    return [Intervention(only(order[:n], len(order), alpha)) for n in sizes]


def effects(counts: Counts, concepts: Sequence[int]) -> pd.DataFrame:
    """
    intervention, concept, before and after (mean pixels an image), change (of the mean, as a share of the mean
    before: -0.6 where 60 % of the pixels are gone), interval (to either side, 99 %, over images).

    A concept that no unedited image has gets NaN.
    """
    before, after = counts.before.double(), counts.after.double()
    base = before.mean(0)  # (concepts,)
    change = (after - before[:, None]) / base
    error = change.std(0) / len(before) ** 0.5
    rows = [
        {
            "intervention": i, "concept": concept, "before": float(base[c]),
            "after": float(after[:, i, c].mean()), "change": float(change[:, i, c].mean()),
            "interval": INTERVAL * float(error[i, c]),
        }
        for i in range(after.shape[1]) for c, concept in enumerate(concepts)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def average_causal_effect(
    generator: Generator, segmenter: Segmenter, z: Tensor, alphas: Sequence[Tensor], value: Tensor,
    concepts: Sequence[int], seed: int, size: tuple[int, int] = (1, 1), batch: int = BATCH, progress: bool = False,
) -> tuple[pd.DataFrame, Counts]:  # fmt: skip
    """
    delta of eq. 4.4, evaluated as in A.4: the ablation everywhere, the insertion of `value` (units,) at one location
    of each image, drawn evenly among those of `size` cells. `present` is E[s_c(x)], which normalises: set, concept,
    present, ablated, inserted (shares of the pixels at P), effect = (inserted - ablated) / present, removed = 1 -
    ablated / present. And the pixels behind it, each set being ablated, then inserted.

    alphas: (units,) each, the strength of each set. Raises DissectionError if no image has the concept.
    """
    h, w = generator.head(z[:1])[0].shape[2:]
    draw = torch.Generator().manual_seed(seed)
    every = locations(h, w, size)
    where = every[torch.randint(len(every), (len(z),), generator=draw)]
    changes = [
        c for alpha in alphas for c in (Intervention(alpha), Intervention(alpha, value, where))
    ]
    counts = sweep(generator, segmenter, z, changes, concepts, batch, progress)
    image = int(counts.area[:, 0].sum())  # pixels of all images: the first is everywhere
    rows = []
    for s in range(len(alphas)):
        for c, concept in enumerate(concepts):
            present = _present(counts.before[:, c], concept, segmenter) / image
            ablated = int(counts.after[:, 2 * s, c].sum()) / image
            at = int(counts.area[:, 2 * s + 1].sum())
            inserted = int(counts.after_inside[:, 2 * s + 1, c].sum()) / at
            rows.append({
                "set": s, "concept": concept, "present": present, "ablated": ablated, "inserted": inserted,
                "effect": (inserted - ablated) / present, "removed": 1 - ablated / present,
            })  # fmt: skip
    return pd.DataFrame(rows), counts


def _present(pixels: Tensor, concept: int, segmenter: Segmenter) -> int:
    if not (total := int(pixels.sum())):
        name = segmenter.concepts["name"][concept]
        raise DissectionError(
            f"concept {name!r}: in none of {len(pixels)} generated images; generate more, or choose another concept"
        )
    return total


# ---------------------------------------------------------------- the units that cause a class


class Causal(NamedTuple):
    alpha: Tensor  # (units,) the best on the locations held out
    order: Tensor  # (units,) units by alpha, then by the alpha they began with
    value: Tensor  # (units,) k
    history: pd.DataFrame  # epoch, loss (eq. 4.6) and effect (eq. 4.5) on the locations held out
    places: tuple[int, int]  # locations learned from and held out, of either kind


@dataclass(frozen=True)
class Places:
    """Single locations, one an image."""

    z: Tensor  # (n, size)
    where: Tensor  # (n, h, w) bool

    def __getitem__(self, some: slice) -> "Places":
        return Places(self.z[some], self.where[some])


def find_units(
    generator: Generator, segmenter: Segmenter, concept: int, z_present: Tensor, z_candidates: Tensor, iou: Tensor,
    search: Search, batch: int = BATCH, progress: bool = False,
) -> Causal:  # fmt: skip
    """
    The alpha that maximises the causal effect on a concept (eqs. 4.5, 4.6, A.1, A.4).

    Learned from single locations P: those with the class (in each image the one that it covers most; images where
    it covers more come first), where the units are ablated, and as many candidates without it, where they are
    inserted. A candidate has no pixel of the class, and gets the most of the `tries` of its image when all units are
    set to k. s_c is the mean of the segmenter's `scores` over the pixels at P, which has a gradient; the effects
    that are reported (`effects`, `average_causal_effect`) count its labels. Each step draws `batch` locations of
    either kind, follows Adam, and clamps alpha to [0, 1]. The alpha of the epoch with the least loss on the
    locations held out is returned.

    z_present, z_candidates: (images, size), drawn apart; iou: (units,) of the concept, from dissection.
    Raises DissectionError if fewer than two locations of either kind are found.
    """
    found = survey(generator, segmenter, z_present, [concept], batch, progress)
    value = found.value[0]
    wanted = search.places + search.held_out
    every = locations(found.cell.shape[0], found.cell.shape[1], search.size)
    present = present_places(found.pixels[:, 0], z_present, every, wanted)
    _enough(present, z_present, "have it", concept, segmenter)
    candidates = candidate_places(
        generator, segmenter, z_candidates, concept, value, present, every, wanted, search, batch, progress
    )  # fmt: skip
    _enough(candidates, z_candidates, "get it when all units are set to k", concept, segmenter)
    n = min(len(present.z), len(candidates.z))
    held = max(1, n * search.held_out // wanted)
    history: list[dict[str, float]] = []
    objective = Objective(generator, segmenter, concept, value)
    train = objective.prepare(present[: n - held], candidates[: n - held], batch)
    test = objective.prepare(present[n - held : n], candidates[n - held : n], batch)
    start = initial(iou).to(generator.device)
    alpha = start.clone().requires_grad_()
    adam = Adam([alpha], search.learning_rate)
    draw = torch.Generator().manual_seed(search.seed)
    best, least = start, torch.inf
    steps = tqdm(range(search.epochs + 1), "alpha", unit="epoch", disable=not progress)
    for epoch in steps:  # epoch 0 is the alpha from IoU
        for some in torch.randperm(n - held, generator=draw).split(search.batch) if epoch else ():
            penalty = search.l2 * alpha.square().sum()
            loss = penalty - objective.effect(alpha, train, some).mean()
            (alpha.grad,) = torch.autograd.grad(loss, alpha)  # and none for the segmenter's weights
            adam.step()
            alpha.data.clamp_(0, 1)
        with torch.no_grad():
            parts = torch.arange(held).split(search.batch)
            effect = float(
                torch.cat([objective.effect(alpha, test, some) for some in parts]).mean()
            )
            held_out = search.l2 * float(alpha.square().sum()) - effect
        history.append({"epoch": epoch, "loss": held_out, "effect": effect})
        if held_out < least:
            best, least = alpha.detach().clone(), held_out
    order = sorted(range(len(best)), key=lambda u: (-float(best[u]), -float(start[u]), u))
    return Causal(best.cpu(), torch.tensor(order), value, pd.DataFrame(history), (n - held, held))


def initial(iou: Tensor) -> Tensor:
    """(units,) alpha to begin with: IoU as a share of the largest (A.1)."""
    if not (largest := iou.max()) > 0:
        raise DissectionError(
            "alpha: no unit's IoU with the concept is above 0 (A.1); dissect more images"
        )
    return (iou / largest).float()


class Prepared(NamedTuple):
    """Locations to ablate at, then as many to insert at, with the features of their images."""

    state: tuple[Tensor, ...]  # (2 n, ...) each
    where: Tensor  # (2 n, h, w) bool


@dataclass(frozen=True)
class Objective:
    """s_c(x_i') - s_c(x_a') of eq. 4.5, where s_c is the mean of the concept's score over the pixels at P."""

    generator: Generator
    segmenter: Segmenter
    concept: int
    value: Tensor

    def prepare(self, present: Places, candidates: Places, batch: int) -> Prepared:
        z = torch.cat([present.z, candidates.z])
        states = [state for _, state in heads(self.generator, z, batch)]
        state = tuple(torch.cat(s) for s in zip(*states, strict=True))
        return Prepared(state, torch.cat([present.where, candidates.where]).to(state[0].device))

    def effect(self, alpha: Tensor, places: Prepared, some: Tensor) -> Tensor:
        """(n,) for the pairs numbered `some`; differentiable in alpha (units,)."""
        half = len(places.where) // 2
        rows = torch.cat([some, some + half]).to(alpha.device)
        state, where = tuple(s[rows] for s in places.state), places.where[rows]
        value = torch.stack([torch.zeros_like(self.value), self.value]).to(alpha.device)
        forced = value.repeat_interleave(len(some), 0)
        pixels = self.generator.pixels(state, blend(state[0], alpha[None], forced, where))
        scores = self.segmenter.scores(pixels, self.concept)
        (height, width), (h, w) = scores.shape[1:], where.shape[1:]
        inside = where[:, cell_of(height, h, where.device)][:, :, cell_of(width, w, where.device)]
        score = (scores * inside).sum((1, 2)) / inside.sum((1, 2))
        return score[len(some) :] - score[: len(some)]


def present_places(pixels: Tensor, z: Tensor, every: Tensor, n: int) -> Places:
    """Of each image the location that a concept covers most, for the n images where it covers most, in their order.

    pixels: (images, h, w) of the concept; every: (locations, h, w).
    """
    most, place = _inside(pixels, every).max(1)
    return _strongest(most, place, z, every, n)


def candidate_places(
    generator: Generator, segmenter: Segmenter, z: Tensor, concept: int, value: Tensor, present: Places,
    every: Tensor, n: int, search: Search, batch: int = BATCH, progress: bool = False,
) -> Places:  # fmt: skip
    """
    Locations without a concept that would have it if all units were set to `value` (A.4): of each image the best of
    `tries`, for the n images that gain most, in their order.

    Locations are drawn among `every` (locations, h, w) in proportion to how often `present` covers their cells, plus a
    tenth of its mean, without regard to the batch.
    """
    covered = _inside(present.where.sum(0)[None], every)[0]
    chance = (covered + covered.mean() / 10).expand(len(z), -1)
    draw = torch.Generator().manual_seed(search.seed)
    tried = torch.multinomial(chance, min(search.tries, len(every)), generator=draw)
    every_unit = torch.ones(len(value))
    tries = [Intervention(every_unit, value, every[place]) for place in tried.T]
    counts = sweep(generator, segmenter, z, tries, [concept], batch, progress)
    gain = counts.after_inside[..., 0].masked_fill(counts.before_inside[..., 0] > 0, 0)
    most, best = gain.max(1)
    return _strongest(most, tried.gather(1, best[:, None])[:, 0], z, every, n)


def _inside(amounts: Tensor, every: Tensor) -> Tensor:
    """(n, h, w) -> (n, locations) float64: sums over the cells of each location."""
    return amounts.flatten(1).double() @ every.flatten(1).double().T


def _enough(places: Places, z: Tensor, do: str, concept: int, segmenter: Segmenter) -> None:
    if len(places.z) < 2:  # one to learn from, one held out
        raise DissectionError(
            f"concept {segmenter.concepts['name'][concept]!r}: {len(places.z)} of {len(z)} images {do}; two are "
            "needed: generate more, or choose another concept"
        )


def _strongest(most: Tensor, place: Tensor, z: Tensor, every: Tensor, n: int) -> Places:
    image = most.argsort(descending=True, stable=True)[:n]
    image = image[most[image] > 0].sort().values
    return Places(z[image], every[place[image]])


# ---------------------------------------------------------------- where an insertion has an effect


class Insertions(NamedTuple):
    """The same insertion at every location of every image, one at a time."""

    concept: int
    change: Tensor  # (images, rows, columns) int64 pixels of the concept that it adds, to the whole image or there
    before: Tensor  # (images,) int64 pixels of the concept without it
    there: Tensor  # (images, rows, columns) int64 those of them at the location
    context: Tensor  # (images, maps, h, w) int32 labels at the centre of each cell, without it


def insert_each(
    generator: Generator, segmenter: Segmenter, z: Tensor, change: Intervention, concept: int,
    size: tuple[int, int] = (1, 1), inside: bool = False, batch: int = BATCH, progress: bool = False,
) -> Insertions:  # fmt: skip
    """Thesis figure 4-11, PNAS figure 4D. change: its `where` is not looked at; z: (images, size); size: cells of a
    location; inside: whether pixels are counted there alone, as by s_c of eq. 4.4, or in the whole image (PNAS)."""
    h, w = generator.head(z[:1])[0].shape[2:]
    grid = h - size[0] + 1, w - size[1] + 1
    changes = [replace(change, where=where) for where in locations(h, w, size)]
    counts = sweep(generator, segmenter, z, changes, [concept], batch, progress)
    before, there = counts.before[:, 0], counts.before_inside[..., 0]
    added = (
        counts.after_inside[..., 0] - there if inside else counts.after[..., 0] - before[:, None]
    )
    return Insertions(
        concept, added.unflatten(1, grid), before, there.unflatten(1, grid), counts.context
    )


def by_context(insertions: Insertions, concepts: pd.DataFrame, least: int = 1) -> pd.DataFrame:
    """
    One row a concept that stands at `least` locations, the largest effect first: concept, name, category,
    locations, images, effect (pixels added, as a multiple of the mean before), deviation, interval (99 %).

    A concept stands at a location if the centres of all its cells carry it. Locations that have some of the inserted
    concept already count for no other. deviation is the standard deviation over locations. The interval takes images,
    not the locations of one image, as independent: its standard error is the root of the sum over images of
    (sum of x - effect)^2, by the number of locations. Raises DissectionError if no image has what was inserted.
    """
    mean = insertions.before.double().mean().item()
    if mean == 0:
        raise DissectionError(
            f"insertion: the concept is in none of {len(insertions.before)} generated images, whose mean the effects "
            "are measured by; generate more, or choose another concept"
        )
    context = insertions.context
    images, rows, columns = insertions.change.shape
    place = torch.arange(images * rows * columns).view(images, 1, rows, columns)
    corners = [
        (y, x)
        for y in range(context.shape[2] - rows + 1)
        for x in range(context.shape[3] - columns + 1)
    ]
    cells = []  # of each location: what one of its cells carries
    for cell, (y, x) in enumerate(corners):
        labels = context[:, :, y : y + rows, x : x + columns]
        cells.append(pd.DataFrame({
            "place": place.expand_as(labels).flatten(), "concept": labels.flatten(), "cell": cell
        }))  # fmt: skip
    carried = pd.concat(cells).query("concept > 0").drop_duplicates()
    number = carried.groupby(["place", "concept"], as_index=False).size()
    lines = number.loc[number["size"] == len(corners), ["place", "concept"]]
    at = lines["place"].to_numpy()
    lines = lines.assign(
        x=insertions.change.flatten().numpy()[at] / mean, image=at // (rows * columns)
    )
    free = insertions.there.flatten().numpy()[at] == 0
    lines = lines[free | (lines["concept"] == insertions.concept)]
    sums = lines.groupby(["concept", "image"])["x"].agg(["sum", "size"]).reset_index("image")
    found = lines.groupby("concept").agg(
        locations=("x", "size"), images=("image", "nunique"), effect=("x", "mean"), deviation=("x", "std")
    )  # fmt: skip
    residual = (sums["sum"] - found["effect"] * sums["size"]) ** 2
    n = found["images"]
    error = (residual.groupby("concept").sum() * n / (n - 1)) ** 0.5 / found["locations"]
    found["interval"] = INTERVAL * error.where(n > 1)
    found = found[found["locations"] >= least].join(concepts[["name", "category"]]).reset_index()
    found = found.sort_values(["effect", "concept"], ascending=[False, True])
    first = ["concept", "name", "category"]
    return found[first + [c for c in found if c not in first]].reset_index(drop=True)


@torch.no_grad()
def trace(network: nn.Module, layer: str, later: Sequence[str], z: Tensor, change: Intervention,
          size: tuple[int, int] = (1, 1), batch: int = BATCH, progress: bool = False) -> Tensor:  # fmt: skip
    """
    (images, layers, rows, columns) float32: how much an intervention at each location of `layer`, of `size` cells,
    changes each of the `later` layers (A.5, figure A-6): the mean over its places and units of |change|, each unit's
    divided by its mean |activation| over all unedited images. A unit that is always 0 is left out.

    change: its `where` is not looked at; z: (images, size). A map of one image and layer is a heat map.
    """
    network.eval()
    device = next(network.parameters()).device
    starts, norms = range(0, len(z), batch), [torch.zeros((), device=device) for _ in later]
    with Probe(network, later) as probe:
        for start in starts:
            probe(z[start : start + batch].to(device))
            sums = [probe.kept[name].abs().double().mean((2, 3)).sum(0) for name in later]
            norms = [norm + s / len(z) for norm, s in zip(norms, sums, strict=True)]
    found = []
    for start in tqdm(starts, "traces", unit="batch", mininterval=1, disable=not progress):
        some = z[start : start + batch].to(device)
        with Probe(network, [layer, *later]) as probe:
            probe(some)
            plain = probe.kept
        h, w = plain[layer].shape[2:]
        every = locations(h, w, size, device)
        effect = torch.zeros(len(some) * len(every), len(later), device=device)
        for pair in torch.arange(len(effect), device=device).split(batch):
            image, where = pair // len(every), every[pair % len(every)]
            force = Intervention(change.alpha, change.value, where)
            with Probe(network, later, {layer: force}) as probe:
                probe(some[image])
                for j, (name, norm) in enumerate(zip(later, norms, strict=True)):
                    moved = (probe.kept[name] - plain[name][image]).abs().mean((2, 3))
                    effect[pair, j] = (moved / norm)[:, norm > 0].mean(1).float()
        shape = len(some), h - size[0] + 1, w - size[1] + 1, len(later)
        found.append(effect.view(shape).permute(0, 3, 1, 2).cpu())
    return torch.cat(found)


def by_visibility(traces: Tensor, layers: Sequence[str], visible: Tensor) -> pd.DataFrame:
    """
    Figure A-6, right: layer, visible (whether the insertion shows in the image), locations, effect (mean over them),
    interval (99 %).

    traces: (images, layers, rows, columns) of `trace`; visible: (images, rows, columns) bool, as where `insert_each`
    changes pixels.
    """
    rows = []
    for j, layer in enumerate(layers):
        for shown in (True, False):
            effect = traces[:, j][visible == shown].double()
            error = float(effect.std()) / len(effect) ** 0.5 if len(effect) > 1 else float("nan")
            mean = float(effect.mean()) if len(effect) else float("nan")
            rows.append({"layer": layer, "visible": shown, "locations": len(effect), "effect": mean,
                         "interval": INTERVAL * error})  # fmt: skip
    return pd.DataFrame(rows)
