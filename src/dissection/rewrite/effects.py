"""What edits do to a generator's images: table 6.3, figures 6-1, 6-2, 6-3 and 6-5, B-1 to B-6 (thesis 6.5.2, B).

    run(config, "table_6_3", out, device)           # out/<row>/..., of all rows that edit this generator

The images, what they show, and C of a layer's keys are made once for all these rows. Each row's edits are written with
the sessions that they were made from. Changes of pixels are `perceptual.pixel_change`: of 0 to 6, summed over colours.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path

import pandas as pd
import torch
from scipy import ndimage
from torch import Tensor

from dissection.config import Changed, Config, Recalled, Rewriting, Stacked, Unmarked
from dissection.data import dataset_of
from dissection.errors import DissectionError
from dissection.files import write_png
from dissection.networks import Preprocess, asset_of, module_of, to_pixels
from dissection.networks.progan import latents
from dissection.rewrite.counts import PARTS, parts, shows, validate, watermarks
from dissection.rewrite.directions import key_units, power
from dissection.rewrite.edits import Edit, Rewritten
from dissection.rewrite.job import latent_of, rewrite, selected_keys, truncate
from dissection.rewrite.layers import Cut, Memory, memory_of, moments
from dissection.rewrite.perceptual import pixel_change
from dissection.rewrite.select import (
    BATCH,
    Region,
    Selections,
    aligned,
    by_size,
    draw,
    filled,
    regions,
    session_by,
    session_of,
    without,
)
from dissection.rewrite.sessions import Session, Settings, read_mask, read_session
from dissection.segment import Segmenter, segmenter_of
from dissection.segment.judges import Finder, load_finder, located

LEAST = 0.003  # share of an image's pixels that a region has at least
OF = 512  # units of the layer whose units the thesis zeroes
REPEATS = 2  # of the erasure, which is of the whole image, as in the authors' script
TOP = 0.01  # share of the places of all images that match a key best


def run(config: Config, row: str, out: Path, device: torch.device) -> None:
    sample = Sample(config, getattr(config.rows, row).network, device)
    specs = {name: getattr(config.rows, name) for name in config.sharing(row)}
    erased = None  # which figure 6-1 goes on from
    for name, spec in sorted(specs.items(), key=lambda item: not isinstance(item[1], Unmarked)):
        folder = out / name
        folder.mkdir(parents=True)
        if isinstance(spec, Unmarked):
            erased = unmarked(sample, spec, folder)
        elif isinstance(spec, Recalled):
            recalled(sample, spec, folder)
        elif isinstance(spec, Changed):
            changed(sample, spec, folder)
        elif isinstance(spec, Stacked):
            stacked(sample, spec, folder, erased)


class Sample:
    """A generator, and what is known of its images: each is drawn and judged once, as it is without edits."""

    def __init__(self, config: Config, name: str, device: torch.device):
        self.config, self.name, self.device = config, name, device
        self.network = module_of(config, name, device)
        self.rewritten = Rewritten(self.network)
        self._images: dict[tuple[int, float], Tensor] = {}
        self._labels: dict[tuple[str, int, float], Tensor] = {}
        self._moments: dict[tuple[str, int, float, int], Tensor] = {}
        self._segmenters: dict[str, Segmenter] = {}
        self._finders: dict[str, Finder] = {}

    def z(self, spec: Rewriting, count: int, first: int = 0) -> Tensor:
        return latents(spec.seed, first, count, latent_of(self.network))

    def images(self, spec: Rewriting, count: int) -> Tensor:
        """(count, 3, h, w) uint8"""
        key = (spec.seed, spec.truncation)
        have = self._images.get(key)
        first = 0 if have is None else len(have)
        if first < count:
            more = draw(self.network, self.z(spec, count - first, first), spec.truncation)
            self._images[key] = more if have is None else torch.cat([have, more])
        return self._images[key][:count]

    def labels(self, spec: Rewriting, segmenter: str) -> Tensor:
        """(spec.images, maps, h, w)"""
        key = (segmenter, spec.seed, spec.truncation)
        have = self._labels.get(key)
        first = 0 if have is None else len(have)
        if first < spec.images:
            more = self.labelled(segmenter, self.images(spec, spec.images)[first:])
            self._labels[key] = more if have is None else torch.cat([have, more])
        return self._labels[key][: spec.images]

    def labelled(self, segmenter: str, images: Tensor) -> Tensor:
        found = self.segmenter(segmenter)(images)
        return torch.cat([found["object"], found["part"]], 1)

    def finder(self, concept: str) -> Finder | None:
        if self.config.finder(concept) is None:
            return None
        if concept not in self._finders:
            self._finders[concept] = load_finder(self.config, concept, self.device)
        return self._finders[concept]

    def showing(self, spec: Rewriting, segmenter: str, concept: str | None) -> Tensor:
        """(spec.images, h, w) bool"""
        images = self.images(spec, spec.images)
        return self.where(segmenter, concept, images, lambda: self.labels(spec, segmenter))

    def where(
        self, segmenter: str, concept: str | None, images: Tensor, labels: Callable[[], Tensor]
    ) -> Tensor:
        """(n, h, w) bool; labels: of the images, asked for if nothing else finds the concept."""
        assert concept is not None
        if finder := self.finder(concept):
            return finder(images).cpu()
        return shows(labels(), self.numbers(segmenter, concept))

    def segmenter(self, name: str) -> Segmenter:
        if name not in self._segmenters:
            self._segmenters[name] = segmenter_of(self.config, name, self.device)
        return self._segmenters[name]

    def numbers(self, segmenter: str, concept: str) -> list[int]:
        """Raises DissectionError if it labels no such object or part."""
        concepts = self.segmenter(segmenter).concepts
        found = concepts[concepts["category"].isin(["object", "part"])]
        numbers = found.index[found["name"] == concept].tolist()
        if not numbers:
            raise DissectionError(f"segmenters.{segmenter}: labels no {concept!r}")
        return numbers

    def path(self, spec: Rewriting) -> str:
        return self.config.networks[self.name].layers[spec.layer]

    def memory(self, spec: Rewriting) -> Memory:
        truncate(self.network, spec.truncation)
        return memory_of(self.network, self.path(spec))

    def moment(self, spec: Rewriting) -> Tensor:
        """C of the keys of the layer, (inputs, inputs) float64."""
        key = (spec.layer, spec.seed, spec.truncation, spec.moments)
        if key not in self._moments:
            found = moments(self.memory(spec), self.z(spec, spec.moments), BATCH)
            self._moments[key] = found.moment()
        return self._moments[key]

    def rewrite(
        self, session: Session, spec: Rewriting, folder: Path, name: str = "edit"
    ) -> tuple[Edit, Tensor]:
        """The edit of the network as it is now, and its losses; its files are written."""
        moment = self.moment(spec)
        edit, losses = rewrite(self.network, self.path(spec), session, moment.to(self.device))
        (folder / f"{name}.json").write_text(session.model_dump_json(indent=1) + "\n")
        edit.save(folder / f"{name}.safetensors")
        return edit, losses

    @contextmanager
    def carrying(self, *edits: Edit) -> Iterator[None]:
        self.rewritten.add(*edits)
        try:
            yield
        finally:
            self.rewritten.remove(*edits)

    def scores(self, spec: Rewriting, direction: Tensor, count: int) -> Tensor:
        """(count, h, w): k^T d at each place."""
        memory, d = self.memory(spec), direction.to(self.device).float()
        parts = [
            torch.einsum("nihw,i->nhw", memory.cut(z).key, d).cpu()
            for z in self.z(spec, count).split(BATCH)
        ]
        return torch.cat(parts)


# ------------------------------------------------------------------------------------------- selections by rule


def selections(sample: Sample, segmenter: str, edit: Rewriting, middle: float = 1.0) -> Selections:
    """Regions of the source, the largest first, that have their middle in the middle part of the image's width, are to
    become the target, or none: as the functions of `select` say. Raises DissectionError if there are too few."""
    source = sample.showing(edit, segmenter, edit.source)
    height, width = source.shape[1:]
    band = (1 - middle) / 2 * width
    found = [
        region
        for region in regions(source, max(1, round(LEAST * height * width)))
        if band <= ndimage.center_of_mass(region.mask)[1] + 0.5 <= width - band
    ]
    if len(found) <= edit.context:
        raise DissectionError(
            f"selections: {len(found)} images show {edit.source}, {edit.context + 1} are needed:"
            " look at more images"
        )
    if edit.target is None:
        return without(sample.images(edit, edit.images), source, found[: edit.context])
    if edit.target == edit.source:  # the smallest become as the largest
        return aligned(found[: -edit.context - 1 : -1], found)
    target = sample.showing(edit, segmenter, edit.target)
    if edit.filled:
        labels = sample.labels(edit, segmenter)
        return filled(found, target & ((labels > 0).sum(1) == 1), edit.context)
    # what shows the target already has nothing to become
    found = [region for region in found if not target[region.image].any()] or found
    rule = aligned if edit.aligned else by_size
    return rule(found[: edit.context], regions(target))


def by_most(where: Tensor) -> Tensor:
    """(n, h, w) bool -> (n,) int64, the images in order of how much of it they show."""
    return where.flatten(1).sum(1).argsort(descending=True, stable=True)


def annotated(text: Tensor, count: int) -> list[Region]:
    """(n, h, w) bool, where there is text -> the images that show most of it: in the middle, at the bottom, ... by
    turns. Raises DissectionError if none has any."""
    orders = [by_most(part).tolist() for part in parts(text)]
    both = [i for pair in zip(*orders, strict=True) for i in pair]
    chosen = [i for i in dict.fromkeys(both) if text[i].any()][:count]
    if not chosen:
        raise DissectionError("watermarks: judging.text finds none in the generator's images")
    return [Region(i, text[i].numpy()) for i in chosen]


# ------------------------------------------------------------------------------------------------ watermarks


def unmarked(sample: Sample, spec: Unmarked, out: Path) -> tuple[list[Edit], Tensor]:
    """Also the last method's edits, and where there was text, (images, h, w).

    rank_1_update is the thesis's: one direction of all annotated images, the goal being what zeroed units leave of a
    watermark. By rule also rank_1_each: a direction for the watermarks of each place, which become what is there in
    an image without any, as in the edits of appendix B.

    counts.csv: method, units, of (those of the layer), annotated (images), place, watermarks, images, change (mean,
    outside of text).
    shown.csv: method, image, text (pixels). detector.csv: as `counts.validate`, by place. <method>.png: images with
    most text.
    """
    finder, edit = load_finder(sample.config, "text", sample.device), spec.edit
    before = sample.images(edit, spec.images)
    text = finder(before).cpu()
    session = _erasing(sample, edit, text[: edit.images])
    memory, moment = sample.memory(edit), sample.moment(edit)
    keys, weights = selected_keys(memory, session)
    inputs = keys.shape[1]
    counts = [max(1, round(count * inputs / OF)) for count in spec.units]
    session = session.model_copy(
        update={"settings": session.settings.model_copy(update={"erase": counts[0]})}
    )
    units = key_units(keys, weights, moment.to(keys.device), counts[-1])
    images = {"unmodified": before}
    for count, zeroed in zip(spec.units, counts, strict=True):
        images[f"zero_{count}_units"] = _zeroed(memory, sample.z(edit, spec.images), units[:zeroed])
    if (
        edit.session is None
    ):  # the goal is an image whose watermark the first units took away (6.5.2)
        left = finder(images[f"zero_{spec.units[0]}_units"]).cpu()
        gone = (text.int() - left.int()).flatten(1).sum(1)
        best = max(session.context, key=lambda one: int(gone[one.image]))
        session = session.model_copy(update={"paste": best})
    asked = {"rank_1_update": {"edit": session}}
    if edit.session is None:
        asked["rank_1_each"] = _replacing(sample, edit, before, text)
    for method, sessions in asked.items():
        made = [sample.rewrite(one, edit, out, name)[0] for name, one in sessions.items()]
        with sample.carrying(*made):
            z = sample.z(edit, spec.images)
            images[method] = draw(sample.network, z, edit.truncation)
    zeroes = dict(zip([f"zero_{count}_units" for count in spec.units], counts, strict=True))
    most = by_most(text)[: spec.shown]
    lines, shown = [], []
    for method, drawn in images.items():
        found = text if method == "unmodified" else finder(drawn).cpu()
        change = pixel_change(before, drawn)[~text].mean()
        for place, number in zip(PARTS, watermarks(found).sum(0).tolist(), strict=True):
            lines.append(
                {"method": method, "units": zeroes.get(method, 0), "of": inputs, "annotated": len(session.contexts),
                 "place": place, "watermarks": number, "images": len(drawn), "change": float(change)}
            )  # fmt: skip
        pixels = found[most].flatten(1).sum(1).tolist()
        shown += [
            {"method": method, "image": i, "text": n}
            for i, n in zip(most.tolist(), pixels, strict=True)
        ]
        write_png(out / f"{method}.png", drawn[most])
    pd.DataFrame(lines).to_csv(out / "counts.csv", index=False)
    pd.DataFrame(shown).to_csv(out / "shown.csv", index=False)
    _validated(sample.config, spec.validation, finder).to_csv(out / "detector.csv", index=False)
    return made, text


def _erasing(sample: Sample, edit: Rewriting, text: Tensor) -> Session:
    """What is selected as watermarks, in the context."""
    settings = Settings(
        erase=1, rank=edit.rank, steps=edit.steps, learning_rate=edit.learning_rate, repeats=REPEATS,
        low_rank_gradient=True, whole=True,
    )  # fmt: skip
    if edit.session is not None:
        place = {"network": sample.name, "layer": edit.layer, "seed": edit.seed}
        return read_session(
            asset_of(sample.config, edit.session), **place, truncation=edit.truncation,
            **settings.model_dump(),
        )  # fmt: skip
    chosen = annotated(text, edit.context)
    return session_by(sample.name, edit, settings, Selections(None, chosen[0], chosen))


def _replacing(sample: Sample, edit: Rewriting, images: Tensor, text: Tensor) -> dict[str, Session]:
    """Of each place that has watermarks, the images with most text there are the context."""
    settings = Settings(
        rank=edit.rank, steps=edit.steps, learning_rate=edit.learning_rate, repeats=REPEATS
    )
    found, shown = {}, text[: edit.images]
    for place, part in zip(PARTS, parts(shown), strict=True):
        order = by_most(part)[: edit.context].tolist()
        marked = [Region(i, part[i].numpy()) for i in order if part[i].any()]
        if marked:
            chosen = without(images[: edit.images], shown, marked)
            found[place] = session_by(sample.name, edit, settings, chosen)
    return found


def _zeroed(memory: Memory, z: Tensor, units: Tensor) -> Tensor:
    """(n, 3, h, w) uint8: without some units of the layer's keys."""
    parts = []
    for some in z.split(BATCH):
        cut = memory.cut(some)
        value = memory.value(cut._replace(key=cut.key.index_fill(1, units.to(cut.key.device), 0)))
        parts.append(to_pixels(memory.images(cut, value)).cpu())
    return torch.cat(parts)


def _validated(config: Config, dataset: str, finder: Finder) -> pd.DataFrame:
    assert config.judging is not None
    assert config.judging.text is not None
    preprocess = Preprocess(config.networks[config.judging.text.network].input)
    images, true = located(dataset_of(config, dataset), ["text"], preprocess, config.memory_gb)
    found = finder(images.permute(0, 3, 1, 2).contiguous()).cpu()
    overlap = float((found & (true > 0)).sum() / (found | (true > 0)).sum())
    return validate(found, true > 0).assign(iou=overlap).rename(columns={"part": "place"})


# ------------------------------------------------------------------------------------------------ keys and values


def recalled(sample: Sample, spec: Recalled, out: Path) -> None:
    """
    matches.csv: concept, image (of the key), share (percent of places that show the concept), matched (of those that
    match the key best), places, key_dim, output_channels, kernel, value_dim.
    <concept>.png: the key's image, the images with its best matches, and how well each place matches.
    value_<concept>.png: the value rendered alone, and the image that it is of.
    """
    edit, lines = spec.edit, []
    memory, moment = sample.memory(edit), sample.moment(edit)
    inverse = power(moment, -1)
    units, inputs, kernel, _ = memory.weight.shape
    images = sample.images(edit, edit.images)
    labels = sample.labels(edit, spec.segmenter)
    for concept in spec.concepts:
        where = shows(labels, sample.numbers(spec.segmenter, concept))
        largest = regions(where)
        if not largest:
            raise DissectionError(f"rows.fig_6_2: no image shows {concept}: look at more images")
        region = largest[0]
        cut = memory.cut(sample.z(edit, 1, region.image))
        cells = (cut.key.shape[2], cut.key.shape[3])
        area = read_mask(region.selection().mask, *cells)
        # the place that has most of it around it
        inside = torch.nn.functional.avg_pool2d(area[None, None], 3, 1, 1)[0, 0] + area
        row, column = divmod(int(inside.argmax()), cells[1])
        key = cut.key[0, :, row, column].double().cpu()
        scores = sample.scores(edit, inverse.cpu() @ key, edit.images)
        share = torch.nn.functional.adaptive_avg_pool2d(where.float(), cells) >= 0.5
        others = torch.arange(len(scores)) != region.image
        best = scores[others].flatten().topk(max(1, round(TOP * scores[others].numel()))).indices
        matched = share[others].flatten()[best].float().mean()
        name = concept.replace(" ", "_")
        lines.append(
            {"concept": concept, "image": region.image, "share": 100 * float(share[others].float().mean()),
             "matched": 100 * float(matched), "places": len(best), "key_dim": inputs, "output_channels": units,
             "kernel": kernel, "value_dim": units * kernel * kernel}
        )  # fmt: skip
        peaks = scores.flatten(1).amax(1)
        peaks[region.image] = torch.inf  # its own first
        top = peaks.argsort(descending=True, stable=True)[: spec.shown]
        maps = (scores[top] / scores[region.image, row, column]).clamp(0, 1)
        grey = (255 * maps).round().to(torch.uint8)[:, None].expand(-1, 3, -1, -1)
        size = images.shape[2] // cells[0]
        heat = grey.repeat_interleave(size, 2).repeat_interleave(size, 3)
        write_png(out / f"{name}.png", images[top], heat)
        write_png(
            out / f"value_{name}.png", _alone(memory, cut, row, column), images[[region.image]]
        )
    pd.DataFrame(lines).to_csv(out / "matches.csv", index=False)


def _alone(memory: Memory, cut: Cut, row: int, column: int) -> Tensor:
    """(1, 3, h, w) uint8: the value of one place's key, with nothing anywhere else."""
    key = torch.zeros_like(cut.key)
    key[:, :, row, column] = cut.key[:, :, row, column]
    before = cut.before
    if before is not None and before.rgb is not None:
        before = before._replace(rgb=torch.zeros_like(before.rgb))
    cut = cut._replace(key=key, before=before)
    value = memory.value(cut)
    times = value.shape[2] // key.shape[2]
    rows, columns = (slice(max(0, (at - 1) * times), (at + 2) * times) for at in (row, column))
    only = torch.zeros_like(value)
    only[:, :, rows, columns] = value[:, :, rows, columns]
    return to_pixels(memory.images(cut, only)).cpu()


# ------------------------------------------------------------------------------------------------ edits


def changed(sample: Sample, spec: Changed, out: Path) -> None:
    """
    images.csv: order, image, score (highest k^T d), source_before, source_after, target_before, target_after (percent
    of pixels), inside, outside (mean change of pixels where there is or was source or target, and elsewhere).
    edit.csv: source, target, network, layer, rank, context, sample, loss_first, loss_last.
    selections.png: object, paste, context; and the same, with all but the selections dimmed. pairs.png: images and,
    below, what became of them.
    """
    edit = spec.edit
    session = _session(sample, spec.segmenter, edit, spec.middle)
    made, losses = sample.rewrite(session, edit, out)
    peaks = sample.scores(edit, made.directions[0], edit.images).flatten(1).amax(1)
    top = peaks.argsort(descending=True, stable=True)[: spec.shown]
    before = sample.images(edit, edit.images)[top]
    after = _drawn(sample, edit, [made], top)
    lines = pd.DataFrame({"order": range(len(top)), "image": top.numpy(), "score": peaks[top].numpy()})  # fmt: skip
    either = _shares(lines, sample, spec.segmenter, edit, before, after)
    _changes(lines, before, after, either).to_csv(out / "images.csv", index=False)
    pd.DataFrame([{
        "source": edit.source, "target": edit.target, "network": sample.name, "layer": edit.layer, "rank": made.rank,
        "context": len(session.contexts), "sample": edit.images, "loss_first": float(losses[0]),
        "loss_last": float(losses[-1]),
    }]).to_csv(out / "edit.csv", index=False)  # fmt: skip
    write_png(out / "selections.png", *_selected(sample, edit, session))
    write_png(out / "pairs.png", before, after)


def stacked(
    sample: Sample, spec: Stacked, out: Path, erased: tuple[list[Edit], Tensor] | None
) -> None:
    """
    steps.csv: step, edit, image, of the edit's concepts source_before, ... (percent of pixels of the image after the
    step before and after this one), inside, outside. unmodified.png, <edit>.png: images with
    watermarks, and most of the sources.

    erased: the first step, and where text was, (n, h, w).
    """
    first = next(iter(spec.edits.values()))
    chosen, seen = {}, torch.zeros(first.images, dtype=torch.int64)
    for name, edit in spec.edits.items():
        chosen[name] = _session(sample, spec.segmenter, edit)
        sample.moment(edit)  # of the keys as they are without edits
        seen += sample.showing(first, spec.segmenter, edit.source).flatten(1).sum(1)
    if erased:
        text = erased[1][: first.images].flatten(1).sum(1)
        seen[: len(text)] += 10**9 * (text > 0)
    top = seen.argsort(descending=True, stable=True)[: spec.shown]
    last = sample.images(first, first.images)[top]
    write_png(out / "unmodified.png", last)
    made, lines = list[Edit](), []
    for step, name in enumerate([*(["watermarks"] if erased else []), *spec.edits], 1):
        if name in spec.edits:
            with sample.carrying(*made):
                made.append(sample.rewrite(chosen[name], spec.edits[name], out, name)[0])
        elif erased:
            made += erased[0]
        images = _drawn(sample, first, made, top)
        table = pd.DataFrame({"step": step, "edit": name, "image": top.numpy()})
        if name in spec.edits:
            where = _shares(table, sample, spec.segmenter, spec.edits[name], last, images)
        elif erased:
            where = erased[1][top]
        lines.append(_changes(table, last, images, where))
        write_png(out / f"{name}.png", images)
        last = images
    pd.concat(lines).to_csv(out / "steps.csv", index=False)


def _session(sample: Sample, segmenter: str, edit: Rewriting, middle: float = 1.0) -> Session:
    return session_of(
        sample.config, sample.name, edit, lambda: selections(sample, segmenter, edit, middle)
    )


def _shares(
    lines: pd.DataFrame, sample: Sample, segmenter: str, edit: Rewriting, *images: Tensor
) -> Tensor:
    """Percent of the pixels of each image, before and after, that show source and target; where any of that is."""
    found, labels = [], [cache(partial(sample.labelled, segmenter, some)) for some in images]
    for what, concept in (("source", edit.source), ("target", edit.target)):
        if concept and (what, concept) != ("target", edit.source):
            for when, some, of in zip(("before", "after"), images, labels, strict=True):
                found.append(sample.where(segmenter, concept, some, of))
                lines[f"{what}_{when}"] = 100 * found[-1].double().mean((1, 2)).numpy()
    return torch.stack(found).any(0)


def _drawn(sample: Sample, spec: Rewriting, edits: Sequence[Edit], which: Tensor) -> Tensor:
    with sample.carrying(*edits):
        return draw(sample.network, sample.z(spec, spec.images)[which], spec.truncation)


def _changes(lines: pd.DataFrame, before: Tensor, after: Tensor, where: Tensor) -> pd.DataFrame:
    """... with the mean change of pixels inside and outside, of each image; nan where there are none."""
    change = pixel_change(before, after).double()
    for name, mask in (("inside", where), ("outside", ~where)):
        sums, counts = (change * mask).sum((1, 2)), mask.sum((1, 2))
        lines[name] = (sums / counts).numpy()
    return lines


def _selected(sample: Sample, spec: Rewriting, session: Session) -> tuple[Tensor, Tensor]:
    """(n, 3, h, w) uint8 images of the object, the paste and the context; the same, dimmed where not selected."""
    chosen = [s for s in (session.object, session.paste, *session.contexts) if s is not None]
    found = torch.cat([
        draw(sample.network, sample.z(spec, 1, s.image), session.truncation) for s in chosen
    ])  # fmt: skip
    masks = torch.stack([read_mask(s.mask, *found.shape[2:]) for s in chosen])[:, None]
    return found, (found * (0.3 + 0.7 * masks)).round().to(torch.uint8)
