"""Dissect a network: thresholds in one pass over the images, overlaps in another (thesis 3.2.2, 4.3.1).

    sample = Sample(lambda i: preprocess(dataset.image(i)), len(dataset), Labels(dataset, preprocess.labels))
    result = measure(network, layers, sample, [CVPR2017], ...)
    result.layers["conv5"].overlap["cvpr2017"].iou()     # (units, concepts)

Where the activations fit in the stated memory, the network runs once. A generator is given z for images; what it
draws goes to a segmenter, once. Thresholds by concept are chosen on a sample of images of their own.
"""

import json
import math
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

from dissection.config import Basis, Config, Dissection
from dissection.data import dataset_of
from dissection.data.stream import ahead
from dissection.dissect.basis import basis_name, power, random_rotation
from dissection.dissect.labels import Concepts, Labels, Segmented
from dissection.dissect.protocols import PROTOCOLS, Protocol
from dissection.errors import DissectionError
from dissection.files import write_csv
from dissection.networks import check_layers, network_of, to_pixels
from dissection.paths import replacing
from dissection.probe import Centres, Probe, receptive_field_centres
from dissection.stats import LevelCounts, Overlap, TopFraction, TopImages
from dissection.stats.levels import Informative, most_informative, prefix, top_levels
from dissection.stats.quantile import Bracket
from dissection.stats.upsample import Upsampling

# printed name -> (layer, rotation (units, units)): the layer as seen in another basis
Bases = dict[str, tuple[str, np.ndarray]]


@dataclass(frozen=True)
class Sample:
    """What a network is given, by index, and the labels of the images: (channels, size, size) float32 images; or,
    where the labels are a segmenter's, z, (channels, 1, 1), of images that the network draws."""

    given: Callable[[int], Tensor]
    images: int
    labels: Labels | Segmented


class Activations:
    """The activations of all layers, batch by batch, as often as asked; computed once if they fit in memory."""

    def __init__(self, network: nn.Module, layers: dict[str, str], bases: Bases, sample: Sample,
                 protocols: Sequence[Protocol], batch: int, device: torch.device, memory: float,
                 threads: int):  # fmt: skip
        """layers: printed name -> module; memory: bytes."""
        self.network = network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.layers, self.sample, self.protocols, self.batch = layers, sample, protocols, batch
        self.images, self.device, self.threads, self.memory = sample.images, device, threads, memory
        self.passes, self._cache = 0, dict[str, Tensor]()
        first = sample.given(0)[None].to(device)
        with Probe(network, layers.values()) as probe, torch.inference_mode():
            output = probe(
                first
            )  # as a whole, once: a layer that runs twice or not at all is found here
            self.shapes = {}
            for layer, module in layers.items():
                if probe.kept[module].dim() != 4:
                    raise DissectionError(f"layer {layer!r} ({module}): puts out {tuple(probe.kept[module].shape)}, "
                                          "not (images, units, h, w)")  # fmt: skip
                _, units, h, w = probe.kept[module].shape
                self.shapes[layer] = (h, w, units)
        if isinstance(sample.labels, Segmented):
            self.size = output.shape[-1]
            self.centres = {
                n: equal_cells(self.size / h, self.size / w) for n, (h, w, _) in self.shapes.items()
            }
        else:
            self.size = first.shape[-1]
            centres = receptive_field_centres(network, layers.values(), first)
            self.centres = {layer: centres[module] for layer, module in layers.items()}
        self.bases = {
            n: (layer, torch.from_numpy(q).float().to(device)) for n, (layer, q) in bases.items()
        }
        size = 4 * self.images * sum(h * w * units for h, w, units in self.shapes.values())
        self.fits = size <= memory / 2

    def keep(self, progress: bool) -> None:
        """Run the network once over all images and keep the activations, if they fit."""
        if not self.fits:
            return
        cache = {
            layer: torch.empty(self.images, *s, device=self.device)
            for layer, s in self.shapes.items()
        }
        for images, kept in tqdm(self, "activations", self.batches, disable=not progress):
            for layer in cache:
                cache[layer][images.start : images.stop] = kept[layer]
        self._cache = cache

    @property
    def batches(self) -> int:
        return -(-self.images // self.batch)

    def __iter__(self) -> Iterator[tuple[range, dict[str, Tensor]]]:
        """Yields (images, layer -> (images, h, w, units))."""
        if not self._cache:
            self.passes += 1
        images = range(self.images)
        yield from zip(self.split(images), self.of(images, self.passes == 1), strict=True)

    def split(self, images: range) -> list[range]:
        return [images[i : i + self.batch] for i in range(0, len(images), self.batch)]

    def of(self, images: range, whole: bool = False) -> Iterator[dict[str, Tensor]]:
        """Layer -> (batch, h, w, units) of the images, batch by batch. whole: run the network to its end, and let
        the segmenter, if there is one, see what it puts out."""
        batches, labels = self.split(images), self.sample.labels
        if self._cache:
            for batch in batches:
                chosen = slice(batch.start, batch.stop, batch.step)
                yield self._with_bases({layer: a[chosen] for layer, a in self._cache.items()})
            return

        def load(batch: range) -> Tensor:
            return torch.stack([self.sample.given(i) for i in batch])

        show = labels if whole and isinstance(labels, Segmented) else None
        with Probe(self.network, self.layers.values(), stop=show is None) as probe:
            # the next images are read while the network works on the last
            for batch, x in zip(batches, ahead(load, batches, self.threads), strict=True):
                with torch.inference_mode():
                    output = probe(x.to(self.device, memory_format=torch.channels_last))
                    if show is not None:
                        show.see(batch, to_pixels(output), self.protocols)
                kept = {n: probe.kept[m].permute(0, 2, 3, 1) for n, m in self.layers.items()}
                for layer, a in kept.items():
                    if a.shape[1:] != self.shapes[layer]:
                        raise DissectionError(
                            f"layer {layer!r}: image {batch[0]} gives {tuple(a.shape[1:])}, "
                            f"image 0 gave {self.shapes[layer]} (h, w, units)"
                        )
                yield self._with_bases(kept)

    def _with_bases(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """The layers, and those seen in another basis: unit k is row k of the rotation."""
        return batch | {name: batch[layer] @ q.T for name, (layer, q) in self.bases.items()}


@dataclass
class Layer:
    """What was measured of one layer; units are rows everywhere."""

    shape: tuple[int, int, int]  # h, w, units
    centres: Centres
    top: TopImages
    maps: Tensor  # (units, k, h, w) activations of the top images
    # protocol -> (units,), or (units, concepts) where each concept has its own, infinite if none tells of it
    threshold: dict[str, Tensor] = field(default_factory=dict)
    quality: dict[str, Tensor] = field(
        default_factory=dict
    )  # protocol -> (units, concepts) I / H there
    overlap: dict[str, Overlap] = field(default_factory=dict)
    least: float = math.inf  # smallest activation

    def add_peaks(self, name: str, start: int, a: Tensor) -> None:
        """a: (n, h, w, units), of the images from `start` on. Raises DissectionError if one is not finite."""
        highest = a.amax((1, 2))
        if not highest.isfinite().all():
            image, unit = (~highest.isfinite()).nonzero()[0].tolist()
            raise DissectionError(
                f"layer {name!r}: unit {unit} is not finite on image {start + image}; "
                "check the weights and the input normalisation"
            )
        self.top.add(torch.arange(start, start + len(a), device=a.device), highest)
        self.least = min(self.least, a.min().item())


@dataclass
class Result:
    layers: dict[str, Layer]
    images: np.ndarray  # (concepts,) images that carry the concept
    forward_passes: int


def equal_cells(height: float, width: float) -> Centres:
    """Centres of cells of so many pixels."""
    return (height / 2 - 0.5, width / 2 - 0.5), (height, width)


def upsampling(
    protocol: Protocol,
    shape: tuple[int, int, int],
    centres: Centres,
    size: int,
    device: torch.device,
) -> Upsampling:
    """From a layer's activations to the protocol's label pixels, for inputs of `size` pixels."""
    h, w, _ = shape
    pixels = (np.arange(size // protocol.downsample) + 0.5) * protocol.downsample - 0.5
    offset, stride = centres if protocol.anchored else equal_cells(size / h, size / w)
    rows, columns = ((pixels - offset[i]) / stride[i] for i in (0, 1))
    return Upsampling(rows, columns, h, w, protocol.padding, device)


@torch.no_grad()
def measure(network: nn.Module, layers: dict[str, str], sample: Sample, protocols: Sequence[Protocol], *,
            batch: int, top_images: int, memory_gb: float, device: torch.device, threads: int,
            separate: Sample | None = None, bases: Bases | None = None, progress: bool = True) -> Result:  # fmt: skip
    """Thresholds, overlaps and top images of all units of all layers and bases under all protocols.

    separate: where thresholds by concept are chosen. Raises DissectionError if a layer does not exist, puts out no
    maps, or gives NaN, or if a separate sample is needed and not given.
    """

    def run(sample: Sample, chosen: Sequence[Protocol]) -> Activations:
        return Activations(
            network, layers, bases or {}, sample, chosen, batch, device, memory_gb * 2**30, threads
        )

    activations = run(sample, protocols)
    seen = {n: n for n in layers} | {n: layer for n, (layer, _) in activations.bases.items()}
    found = {}
    for name, layer in seen.items():
        h, w, units = shape = activations.shapes[layer]
        maps = torch.zeros(units, min(top_images, sample.images), h, w, device=device)
        found[name] = Layer(
            shape, activations.centres[layer], TopImages(units, top_images, device), maps
        )
    up = {(layer, p.name): upsampling(p, x.shape, x.centres, activations.size, device)
          for layer, x in found.items() for p in protocols}  # fmt: skip
    by_concept = [p for p in protocols if p.by_concept]
    best: dict[tuple[str, str], Informative] = {}
    passes = 0
    if by_concept:
        if separate is None:
            raise DissectionError(f"protocol {by_concept[0].name}: chooses thresholds on images of their own; "
                                  "give `separate`")  # fmt: skip
        others = run(separate, by_concept)
        best, passes = thresholds_by_concept(others, by_concept, up, progress), others.passes
    thresholds(activations, found, [p for p in protocols if not p.by_concept], up, progress)
    carriers = overlaps(activations, found, protocols, up, best, progress)
    return Result(found, carriers, activations.passes + passes)


SAMPLE = 128  # images that a threshold is guessed from, at up to twice as many places in each
# A guess spans the fractions q / g to q g; where it was wrong, the next g is tried. A wide one has more to sort, a
# narrow one is wrong more often, which is dear if the network has to run again.
GUESSES = {
    True: (1.3, 4.0, torch.inf),
    False: (2.0, 8.0, torch.inf),
}  # by whether the activations are in memory


def thresholds(
    activations: Activations,
    found: dict[str, Layer],
    protocols: Sequence[Protocol],
    up: dict[tuple[str, str], Upsampling],
    progress: bool,
) -> None:
    """Each unit's threshold under each protocol, and its top images.

    A guess from a sample of the images says which activations can matter; it is checked against all, and made
    again, wider, for the units that it failed. The thresholds found are exact.
    """
    images = activations.images
    jobs = {
        (layer, p.name): Threshold(
            p, up[layer, p.name], images, found[layer].shape, GUESSES[activations.fits]
        )
        for layer in found
        for p in protocols
    }
    activations.keep(progress)
    if jobs:
        for batch in activations.of(spread(images)):
            for (layer, _), job in jobs.items():
                job.sample(batch[layer], len(spread(images)))
    first = True
    while first or any(len(job.open) for job in jobs.values()):
        sizes = [0.0, *(job.guess() for job in jobs.values())]
        narrow = 12 * sum(sizes) + TopFraction.BYTES * max(sizes) > activations.memory / 2
        for job in jobs.values():
            job.start(narrow)
        bar = tqdm(activations, "thresholds", activations.batches, disable=not progress)
        for batch_images, batch in bar:
            for layer, a in batch.items():
                if first:
                    found[layer].add_peaks(layer, batch_images.start, a)
                for p in protocols:
                    jobs[layer, p.name].add(a)
        for (layer, _), job in jobs.items():
            job.finish(found[layer].least)
        first = False
    for (layer, name), job in jobs.items():
        found[layer].threshold[name] = job.value


def spread(images: int) -> range:
    """Some of the images, the same whatever the batch."""
    return range(0, images, max(1, images // SAMPLE))


def thresholds_by_concept(
    activations: Activations,
    protocols: Sequence[Protocol],
    up: dict[tuple[str, str], Upsampling],
    progress: bool,
) -> dict[tuple[str, str], Informative]:
    """(layer, protocol) -> the most informative thresholds (eq. 4.2), of the levels that `top_levels` finds in a
    part of the images and places; on all images and at all pixels."""
    samples: dict[tuple[str, str], list[Tensor]] = {
        key: [] for key in up if PROTOCOLS[key[1]] in protocols
    }
    for batch in activations.of(spread(activations.images)):
        for key, parts in samples.items():
            step = sample_step(up[key].height * up[key].width)
            parts.append(prefix(up[key].every(step).dense(batch[key[0]])).flatten(0, 2))
    counts = {key: LevelCounts(top_levels(torch.cat(parts))) for key, parts in samples.items()}
    samples.clear()
    bar = tqdm(activations, "thresholds by concept", activations.batches, disable=not progress)
    for images, batch in bar:
        _, labels = activations.sample.labels.load(images, protocols)
        for p, concepts in zip(protocols, labels, strict=True):
            maps = concepts.maps.to(activations.device)
            for layer, a in batch.items():
                counts[layer, p.name].add(a, up[layer, p.name], maps)
    return {(layer, name): most_informative(c, PROTOCOLS[name].accuracy, PROTOCOLS[name].coverage)
            for (layer, name), c in counts.items()}  # fmt: skip


def sample_step(pixels: int) -> int:
    """Every how many rows and columns to take at most 2 SAMPLE of an image's pixels."""
    return math.ceil((pixels / (2 * SAMPLE)) ** 0.5)


class Threshold:
    """The thresholds of one layer under one protocol while they are being found, pass by pass."""

    def __init__(
        self,
        protocol: Protocol,
        up: Upsampling,
        images: int,
        shape: tuple[int, int, int],
        guesses: Sequence[float],
    ):
        h, w, units = shape
        self.protocol, self.up, self.images = protocol, up, images
        self.raw = protocol.samples == "raw"
        self.cells = h * w if self.raw else up.height * up.width
        self.rank = int(protocol.fraction * images * self.cells) + 1
        self._step = sample_step(self.cells)
        self.open = torch.arange(units, device=up.y.device)  # units still to do
        self.value = torch.full((units,), torch.nan, device=up.y.device)
        self._sample = torch.empty(0, units, device=up.y.device)
        self._sampled = 0
        self._guesses = iter(guesses)
        self._low: Tensor | None = None
        self._high: Tensor | None = None
        self._statistic: TopFraction | Bracket | None = None

    def sample(self, a: Tensor, images: int) -> None:
        """Take samples of an evenly spread part of the places, and keep the top of all `images`."""
        step = self._step
        values = a[:, ::step, ::step] if self.raw else self.up.every(step).dense(a)
        values = values.reshape(-1, a.shape[3])
        self._sampled += len(values)
        top = int(len(values) / len(a) * images * self.protocol.fraction * GUESSES[False][1]) + 1
        values = torch.cat([self._sample, values])
        self._sample = values.topk(min(top, len(values)), dim=0).values

    def guess(self) -> float:
        """Guess anew where a guess failed. Returns how many samples of all units lie in the guessed brackets."""
        if not len(self.open):
            return 0
        if isinstance(self._statistic, Bracket):
            self._low, self._high = self._statistic.narrowed()
            return 2 * self.rank * len(self.open) / Bracket.BINS
        g, q, top = next(self._guesses), self.protocol.fraction, self._sample[:, self.open]
        if g == torch.inf:
            self._low = self._high = None
            return 2 * self.rank * len(self.open)
        self._low = top[min(int(self._sampled * q * g), len(top) - 1)]
        self._high = top[int(self._sampled * q / g)]
        return self.rank * (g - 1 / g) * len(self.open)

    def start(self, narrow: bool) -> None:
        """Look in the guessed brackets, or, to save memory, only narrow them down first."""
        if not len(self.open):
            return
        low, high = self._low, self._high
        if (
            narrow
            and low is not None
            and high is not None
            and not isinstance(self._statistic, Bracket)
        ):
            self._statistic = Bracket(self.rank, low, high)
        else:
            self._statistic = TopFraction(
                len(self.open), self.protocol.fraction, self.images * self.cells, self._low, self._high,
                self.value.device,
            )  # fmt: skip

    def add(self, a: Tensor) -> None:
        if not len(self.open) or self._statistic is None:
            return
        a = a if len(self.open) == a.shape[3] else a[..., self.open]
        if self.raw:
            self._statistic.add_dense(a.reshape(-1, a.shape[3]))
        else:
            _, unit, _, value = self.up.above(self.up.corners(a), self._statistic.floor)
            self._statistic.add(unit, value, len(a) * self.cells)

    def finish(self, least: float) -> None:
        """least: the smallest activation of the layer; a threshold cannot lie lower."""
        top = self._statistic
        if not len(self.open) or not isinstance(top, TopFraction):
            return
        value = top.threshold()
        # With a rectifier, many a unit's threshold is 0: fewer than `rank` samples lie above, the rest are 0.
        lowest = value.isnan() & (top.above < top.rank) & (top.low == least)
        self.value[self.open] = torch.where(lowest, top.low, value)
        self.open = self.value.isnan().nonzero()[:, 0]


def overlaps(activations: Activations, found: dict[str, Layer], protocols: Sequence[Protocol],
             up: dict[tuple[str, str], Upsampling], best: dict[tuple[str, str], Informative],
             progress: bool) -> np.ndarray:  # fmt: skip
    """Pixel counts of every unit with every concept. Returns (concepts,) images that carry each concept."""
    device, labels = activations.device, activations.sample.labels
    category = torch.from_numpy(labels.category).to(device)
    size = {name: u.height * u.width for (_, name), u in up.items()}
    counts = {key: LevelCounts(x.levels, x.concepts) for key, x in best.items()}
    for layer in found.values():
        for p in protocols:
            group = category if p.within_category else torch.zeros_like(category)
            if p.by_concept:
                group = torch.arange(len(category), device=device)
            layer.overlap[p.name] = Overlap(layer.shape[2], group)
    carriers = np.zeros(len(category), np.int64)
    loaded = ahead(
        lambda images: labels.load(images, protocols),
        activations.split(range(activations.images)),
        activations.threads,
    )
    bar = tqdm(activations, "overlaps", activations.batches, disable=not progress)
    for (images, batch), (carried, by_protocol) in zip(bar, loaded, strict=True):
        carriers += carried
        for p, concepts in zip(protocols, by_protocol, strict=True):
            maps, whole, categories = concepts.to(device)
            member = categories if p.within_category else torch.ones_like(categories[:, :1])
            for layer, a in batch.items():
                upsample, overlap = up[layer, p.name], found[layer].overlap[p.name]
                overlap.add_labels(maps, whole, size[p.name])
                if p.by_concept:
                    counts[layer, p.name].add(a, upsample, maps)
                else:
                    above = upsample.above(upsample.corners(a), found[layer].threshold[p.name])
                    overlap.add(above.image, above.unit, above.pixel, maps, whole, member)
        for layer, a in batch.items():
            top = found[layer].top.images
            unit, rank = ((top >= images.start) & (top < images.stop)).nonzero(as_tuple=True)
            found[layer].maps[unit, rank] = a[top[unit, rank] - images.start, :, :, unit]
    for (name, protocol), x in best.items():
        layer, columns = found[name], x.concepts - 1
        shape = layer.overlap[protocol].intersection.shape
        layer.threshold[protocol] = torch.full(shape, torch.inf, device=device)
        layer.quality[protocol] = torch.zeros(shape, dtype=torch.float64, device=device)
        layer.threshold[protocol][:, columns] = x.threshold
        layer.quality[protocol][:, columns] = x.quality
        layer.overlap[protocol].put(columns, *counts[name, protocol].at(x.level))
    return carriers


def dissect(
    config: Config, entry: Dissection, out: Path, device: torch.device, threads: int
) -> None:
    """Dissect a network of the profile on one of its datasets; the files are those of `dissect_sample`."""
    network, preprocess = network_of(config, entry.network, device)
    dataset = dataset_of(config, entry.dataset)
    if name := config.segmenter(entry.dataset):
        from dissection.segment import Labelled, segmenter_of

        dataset = Labelled(dataset, segmenter_of(config, name, device))
    labels = Labels(dataset, preprocess.labels)
    sample = Sample(lambda i: preprocess(dataset.image(i)), len(dataset), labels)
    dissect_sample(config, entry, network, sample, None, out, device, threads)


def dissect_sample(config: Config, entry: Dissection, network: nn.Module, sample: Sample, separate: Sample | None,
                   out: Path, device: torch.device, threads: int) -> None:  # fmt: skip
    """Dissect a network on a sample of images and write the results to the folder `out`.

    units.csv      a row a unit and protocol: threshold, best concept and IoU, also by category
    concepts.csv   the concepts in the order of the arrays, with the images and label pixels that carry them
    iou.safetensors, counts.safetensors, top.safetensors   the full IoU matrix, the counts behind it, top images
    summary.json   what it took
    """
    started = time.perf_counter()
    layers = config.networks[entry.network].layers
    check_layers(network, layers.values())
    protocols = [PROTOCOLS[name] for name in entry.protocols]
    result = measure(
        network, layers, sample, protocols, separate=separate,
        bases=random_bases(network, layers, entry.bases, sample.given(0).to(device)),
        batch=entry.batch, top_images=entry.top_images, memory_gb=config.memory_gb, device=device, threads=threads,
    )  # fmt: skip
    write(result, entry, sample.labels, protocols, out)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
        2**20 if sys.platform == "darwin" else 2**10
    )
    summary = {
        "network": entry.network,
        "dataset": entry.dataset,
        "images": sample.images,
        "seconds": round(time.perf_counter() - started, 3),
        "peak_memory_mb": round(peak),
        "forward_passes": result.forward_passes,
        "layers": {n: {"units": x.shape[2], "height": x.shape[0], "width": x.shape[1]}
                   for n, x in result.layers.items()},
    }  # fmt: skip
    with replacing(out / "summary.json") as beside:
        beside.write_text(json.dumps(summary, indent=2) + "\n")


@torch.no_grad()
def random_bases(
    network: nn.Module, layers: dict[str, str], wanted: Sequence[Basis], image: Tensor
) -> Bases:
    """Every power of every rotation that the configuration asks for (thesis 3.3.2)."""
    bases: Bases = {}
    if not wanted:
        return bases
    with Probe(network, [layers[basis.layer] for basis in wanted]) as probe:
        probe(image[None])
    for basis in wanted:
        for seed in basis.seeds:
            q = random_rotation(probe.kept[layers[basis.layer]].shape[1], seed)
            for alpha in basis.powers:
                bases[basis_name(basis.layer, alpha, seed)] = (basis.layer, power(q, alpha))
    return bases


def write(result: Result, entry: Dissection, labels: Concepts, protocols: Sequence[Protocol],
          out: Path) -> None:  # fmt: skip
    """The files of `dissect`, but for the summary."""
    table = labels.concepts[["name", "category"]].assign(images=result.images)
    rows, iou, counts, top, centres = [], {}, {}, {}, {}
    for layer, x in result.layers.items():
        top[f"{layer}.images"] = x.top.images.cpu().contiguous()
        top[f"{layer}.peaks"] = x.top.peaks.cpu().contiguous()
        top[f"{layer}.maps"] = x.maps.cpu().half()
        centres[layer] = {"offset": x.centres[0], "stride": x.centres[1]}
        for p in protocols:
            overlap, name = x.overlap[p.name], f"{layer}.{p.name}"
            score = overlap.iou().cpu().numpy()
            iou[name] = torch.from_numpy(score).float()
            counts[f"{name}.intersection"] = overlap.intersection.cpu().contiguous()
            counts[f"{name}.activation"] = overlap.activation.cpu().contiguous()
            counts[f"{name}.threshold"] = x.threshold[p.name].cpu()
            counts[f"{p.name}.label"] = overlap.label.cpu().contiguous()
            table[f"pixels_{p.name}"] = overlap.label.cpu().numpy()
            rows.append(unit_table(score, x.threshold[p.name].cpu().numpy(), labels)
                        .assign(network=entry.network, layer=layer, protocol=p.name))  # fmt: skip
            if p.name in x.quality:
                counts[f"{name}.iqr"] = x.quality[p.name].cpu()
                quality = x.quality[p.name].cpu().numpy()
                rows[-1]["iqr"] = quality[np.arange(len(score)), score.argmax(1)]
    units = pd.concat(rows)
    first = ["network", "layer", "unit", "protocol", "threshold", "label", "category", "iou", "iqr"]
    units = units[[c for c in first if c in units] + [c for c in units if c not in first]]
    with replacing(out / "concepts.csv") as beside:
        table.to_csv(beside, index_label="number")
    for file, arrays, metadata in (
        ("iou", iou, None),
        ("counts", counts, None),
        ("top", top, {"centres": json.dumps(centres)}),  # several keys would come in random order
    ):
        with replacing(out / f"{file}.safetensors") as beside:
            save_file(arrays, beside, metadata)
    write_csv(units, out / "units.csv")


def unit_table(iou: np.ndarray, threshold: np.ndarray, labels: Concepts) -> pd.DataFrame:
    """One row a unit: its best concept overall and in each category; of equal IoU the lower concept number.

    iou: (units, concepts); threshold: (units,), or (units, concepts), of which the best concept's is taken.
    A unit that overlaps with no concept has an empty label and IoU 0.
    """
    units, concepts = np.arange(len(iou)), labels.concepts

    def best(columns: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        at = columns[iou[:, columns].argmax(1)]
        score = iou[units, at]
        return at, np.where(score > 0, concepts.name.to_numpy()[at], ""), score

    at, label, score = best(np.arange(iou.shape[1]))
    category = np.where(score > 0, concepts.category.to_numpy()[at], "")
    threshold = threshold if threshold.ndim == 1 else threshold[units, at]
    table = pd.DataFrame(
        {"unit": units, "threshold": threshold, "label": label, "category": category, "iou": score}
    )
    for index, name in enumerate(labels.categories):
        _, table[f"{name}_label"], table[f"{name}_iou"] = best(
            np.flatnonzero(labels.category == index)
        )
    return table
