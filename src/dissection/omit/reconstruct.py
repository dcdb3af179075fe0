"""Images inverted: what thesis figures 5-6, 5-7 and 5-8, and the lower half of 5-1 and 5-5, are made of.

methods(config, "fig_5_6", out, device)       # images.csv, points.csv, generated.png, photographs.png
groups(config, "fig_5_7", out, device)        # images.csv, <group>.png
pairs(config, "fig_5_1", out, device)         # pairs.csv, labels.csv, photographs.png, ...
adaptations(config, "fig_slides_photo_edit", out, device)    # images.csv, adapted.safetensors, <stage>.png
"""

import colorsys
from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from tqdm import tqdm

from dissection import paths
from dissection.config import (
    Config,
    InversionMethods,
    InvertedGroups,
    OmittedPairs,
    PhotoEdited,
    Reconstruction,
)
from dissection.data import dataset_of
from dissection.errors import DissectionError
from dissection.features import Features, Target
from dissection.files import write_csv, write_png
from dissection.networks import module_of, network_of, to_pixels
from dissection.networks.encoder import Encoder
from dissection.networks.progan import latents
from dissection.omit.compare import choose, squares
from dissection.omit.inversion import (
    Layers,
    Steps,
    adapt,
    correlation,
    departure,
    refine,
    relax,
)
from dissection.parts import Part, gathered, joined
from dissection.paths import replacing
from dissection.segment import segmenter_of

POINTS = 200  # of each scatter plot


class Found(NamedTuple):
    """z: (n, size), none where it was not kept to; r: of the last inverted layer; images: as reconstructed."""

    z: Tensor | None
    r: Tensor
    images: Tensor


class Inverter:
    """A row's generator and encoders, and the methods of figure 5-6 that they allow, by letter."""

    def __init__(self, config: Config, row: str, device: torch.device):
        spec, how = config.inverted()[row], config.reconstruction
        if how is None:
            raise DissectionError("reconstruction: missing; it says how images are inverted")
        self.how: Reconstruction = how
        self.device, self.dtype = device, torch.float64 if how.double else torch.float32
        self.encoders: dict[str, Encoder] = {}
        for role, name in spec.networks.items():
            encoder = self._place(module_of(config, name, device))
            if not isinstance(encoder, Encoder):
                raise DissectionError(f"rows.{row}: network {name} is no Encoder")
            self.encoders[role] = encoder
        depth = next(iter(self.encoders.values())).layers
        self.layers = Layers(self._place(module_of(config, spec.network, device)), depth)
        network, preprocess = network_of(config, how.network, device)
        layer = config.networks[how.network].layers[how.layer]
        self.features = Features(self._place(network), layer, preprocess, how.raw)
        latent = config.networks[spec.network].latent
        assert latent is not None  # else it would not have loaded as the profile's generator
        self.latent = latent.size
        z = self.draw(0, 1)
        self.size = self.layers(z).shape[-1]

    def _place(self, network: nn.Module):
        network.requires_grad_(False).eval()
        return network.to(self.dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def draw(self, first: int, count: int, further: int = 0) -> Tensor:
        """z of the seed, or of one `further`."""
        z = latents(self.how.seed + further, first, count, self.latent)
        return z.to(self.device, self.dtype)

    def prepare(self, pixels: Tensor) -> Tensor:
        """(n, 3, h, h) uint8 -> -1 to 1"""
        return pixels.to(self.device, self.dtype) / 127.5 - 1

    def methods(self, images: Tensor, first: int) -> Iterator[tuple[str, Found]]:
        """Method -> what it finds in (n, 3, h, h); first: number of the first image, by which method a draws its z."""
        how = self.how
        z_steps = Steps(how.z_steps, how.z_rate)
        target = Target(images, self.features, how.weight)
        yield (
            "a",
            self._drawn(refine(self.layers, self.draw(first, len(images), 1), target, z_steps)),
        )
        for role, alone, refined in (("direct", "b", "c"), ("layered", "d", "e")):
            if role not in self.encoders:
                continue
            z = self.encoders[role](images).flatten(1)
            yield alone, self._drawn(z)
            if how.z_loss == "released":
                target = Target(images, self.encoders[role], 0.25, squared=True)
            yield refined, self._drawn(refine(self.layers, z, target, z_steps))
        if "layered" in self.encoders:
            yield "f", self.project(images)

    def encode(self, images: Tensor) -> Found:
        """Method d: G(E(x))."""
        return self._drawn(self.encoders["layered"](images).flatten(1))

    def project(self, images: Tensor) -> Found:
        """Method f: r* (eq. 5.5)."""
        how = self.how
        target = Target(images, self.features, how.weight)
        found = relax(self.layers, self.encoders["layered"](images), target,
                      Steps(how.steps, how.learning_rate), how.regularization, how.perturbed)  # fmt: skip
        return Found(None, found.r, found.images)

    @torch.no_grad()
    def _drawn(self, z: Tensor) -> Found:
        r = self.layers.features(z)[-1]
        return Found(z, r, self.layers.late(r))


def by_methods(config: Config, row: str, part: Part, device: torch.device) -> dict[str, Tensor]:
    """
    A part of what `methods` measures. <sample> <method> <column>: (images,); of the first images of each sample
    <sample> shown <number>, and points <method> <what> true and found.
    """
    spec: InversionMethods = getattr(config.rows, row)
    inverter = Inverter(config, row, device)
    batch = inverter.how.batch
    numbers = choose(
        len(photographs := dataset_of(config, spec.dataset)),
        spec.photographs, inverter.how.seed, spec.dataset, f"rows.{row}.photographs",
    )  # fmt: skip
    batches = [(n, first) for n, images in _samples(spec) for first in range(0, images, batch)]

    def measured(sample: str, first: int) -> dict[str, Tensor]:
        if sample == "generated":
            z = inverter.draw(first, min(batch, spec.images - first))
            true = Found(z, inverter.layers.features(z)[-1], inverter.layers(z))
        else:
            pixels = torch.cat(
                list(squares(photographs, numbers[first : first + batch], inverter.size))
            )
            images = inverter.prepare(pixels)
            true = Found(None, images, images)  # r is not known
        values: dict[str, Tensor] = {}
        shown = [true.images]
        for method, found in inverter.methods(true.images, first):
            for column, value in _measured(found, true).items():
                values[f"{sample} {method} {column}"] = value
            shown.append(found.images)
            if first == 0 and true.z is not None:
                values |= _points(found, true, method)
        for i, x in enumerate(shown if first == 0 else []):
            values[f"{sample} shown {i}"] = to_pixels(x[: spec.shown])
        return values

    some = tqdm(batches[part.run(len(batches))], "invert", unit="batch")
    return joined(measured(*one) for one in some)


def methods(
    config: Config, row: str, out: Path, device: torch.device, parts: Sequence[Path] = ()
) -> None:
    """
    Figure 5-6: every method on images that the generator draws, of which z and r are known, and on photographs. parts:
    files of what `by_methods` finds, all of it in order; without them it is found here.

    images.csv: sample (generated, photographs), image, method, z, features, pixels (correlations with the true ones,
        over the image's components), error (mean absolute difference of pixels, 0 to 1).
    points.csv: method, what, true, found: some components of the first images, the same for all methods.
    <sample>.png: the first images; below, what each method makes of them, a row each.
    """
    spec: InversionMethods = getattr(config.rows, row)
    assert config.reconstruction is not None  # else there would be nothing to invert by
    batch = config.reconstruction.batch
    found = gathered(parts) if parts else by_methods(config, row, Part(), device)
    lines: list[dict[str, object]] = []
    points = []
    for method in "abcdef":
        for what in ("z", "features", "pixels"):
            prefix = f"points {method} {what} "
            if prefix + "true" in found:
                values = {key: found[prefix + key].numpy() for key in ("true", "found")}
                points.append(pd.DataFrame({"method": method, "what": what} | values))
    with replacing(out) as folder:
        folder.mkdir()
        for sample, images in _samples(spec):
            for first, method in product(range(0, images, batch), "abcdef"):
                prefix = f"{sample} {method} "
                columns = {
                    column: found[prefix + column][first : first + batch].tolist()
                    for column in ("pixels", "features", "z", "error")
                    if prefix + column in found
                }
                lines += [
                    {"sample": sample, "image": first + i, "method": method}
                    | dict(zip(columns, values, strict=True))
                    for i, values in enumerate(zip(*columns.values(), strict=True))
                ]
            shown = [k for k in found if k.startswith(f"{sample} shown ")]
            write_png(folder / f"{sample}.png", *(found[k] for k in sorted(shown)))
        write_csv(pd.DataFrame(lines), folder / "images.csv")
        write_csv(pd.concat(points), folder / "points.csv")


def _samples(spec: InversionMethods) -> list[tuple[str, int]]:
    return [("generated", spec.images), ("photographs", spec.photographs)]


def _measured(found: Found, true: Found) -> dict[str, Tensor]:
    columns = {"pixels": correlation(found.images, true.images)}
    if true.z is not None:
        columns["features"] = correlation(found.r, true.r)
        if found.z is not None:
            columns["z"] = correlation(found.z, true.z)
    return columns | {"error": error(found.images, true.images)}


def error(a: Tensor, b: Tensor) -> Tensor:
    """(n, 3, h, h) from -1 to 1 -> (n,) float64 mean absolute difference, on a scale of 0 to 1; clipped as shown."""
    return (a.clamp(-1, 1) - b.clamp(-1, 1)).abs().double().flatten(1).mean(1) / 2


def _points(found: Found, true: Found, method: str) -> dict[str, Tensor]:
    values = {}
    for what, a, b in zip(("z", "features", "pixels"), found, true, strict=True):
        if a is not None and b is not None:
            chosen = np.random.default_rng(1).permutation(b.numel())[:POINTS]
            for key, x in (("true", b), ("found", a)):
                values[f"points {method} {what} {key}"] = x.flatten().cpu()[chosen]
    return values


def in_groups(config: Config, row: str, part: Part, device: torch.device) -> dict[str, Tensor]:
    """A part of the photographs of `groups`, -1 to 1, and what is made of them: images, made: (n, 3, h, h)."""
    spec: InvertedGroups = getattr(config.rows, row)
    inverter = Inverter(config, row, device)
    batch, pixels = inverter.how.batch, []
    for name, numbers in zip(spec.datasets.values(), _chosen(config, row).values(), strict=True):
        pixels += list(squares(dataset_of(config, name), numbers, inverter.size))
    every = torch.cat(pixels).split(batch)

    def measured(pixels: Tensor) -> dict[str, Tensor]:
        images = inverter.prepare(pixels)
        return {"images": images, "made": inverter.project(images).images}

    return joined(map(measured, tqdm(every[part.run(len(every))], "invert", unit="batch")))


def _chosen(config: Config, row: str) -> dict[str, list[int]]:
    """Group -> numbers of its photographs."""
    spec: InvertedGroups = getattr(config.rows, row)
    assert config.reconstruction is not None  # else there would be nothing to invert by
    seed, key = config.reconstruction.seed, f"rows.{row}.images"
    return {
        group: choose(len(dataset_of(config, name)), spec.images, seed, name, key)
        for group, name in spec.datasets.items()
    }


def groups(
    config: Config, row: str, out: Path, device: torch.device, parts: Sequence[Path] = ()
) -> None:
    """
    Figures 5-7 and 5-8: photographs of several groups as the generator's later layers can draw them; uncurated, the
    first of a random order. parts: files of what `in_groups` finds, all of it in order; without them it is found here.

    images.csv: network, group, image (number in its dataset), error and pixels, as in `methods`.
    <group>.png: photographs, and their reconstructions below.
    """
    spec: InvertedGroups = getattr(config.rows, row)
    chosen = _chosen(config, row)
    found = gathered(parts) if parts else in_groups(config, row, Part(), device)
    made, images = found["made"], found["images"]
    values = pd.DataFrame({
        "network": spec.network,
        "group": [group for group in chosen for _ in chosen[group]],
        "image": [number for numbers in chosen.values() for number in numbers],
        "error": error(made, images).tolist(),
        "pixels": correlation(made, images).tolist(),
    })  # fmt: skip
    with replacing(out) as folder:
        folder.mkdir()
        write_csv(values, folder / "images.csv")
        for i, group in enumerate(chosen):
            part = slice(i * spec.images, i * spec.images + spec.shown)
            rows = [to_pixels(x[part])[: spec.images] for x in (images, made)]
            write_png(folder / f"{group}.png", *rows)


def pairs(config: Config, row: str, out: Path, device: torch.device) -> None:
    """
    Figures 5-1 and 5-5, below: photographs with most of what the generator omits (`omissions`, `richest`), of those
    that `compare` has compared it with; what it makes of them by methods d, G(E(x)), and f; all segmented.

    pairs.csv: class, label, delta, found (as in `compare`), image (number in the dataset), method; of the class the
        pixels in photograph, reconstruction, and both at the same place (kept); of other classes those in the
        photograph (others), and those of the same class in both (others_kept); pixels (all); error, as in `methods`.
    labels.csv: class, label, colour, of the classes in the pictures, that with most pixels first.
    photographs.png, d.png, f.png: the first ones; segmented_<...>.png: their labels.
    """
    spec: OmittedPairs = getattr(config.rows, row)
    assert config.omission is not None  # else there would be no comparison
    compared = paths.omission(config.profile, spec.dataset)
    tally = load_file(compared / "counts.safetensors")
    (generator,) = spec.networks.values()
    omitted = omissions(pd.read_csv(compared / "classes.csv"), generator)
    chosen = richest(tally["photographs"], omitted["class"], spec.pairs)
    lines = omitted.set_index("class").loc[[c for c, _ in chosen], ["label", "delta", "found"]]
    lines["image"] = tally["chosen"][[i for _, i in chosen]].numpy()

    inverter = Inverter(config, row, device)
    photographs = dataset_of(config, spec.dataset)
    pixels = torch.cat(list(squares(photographs, lines["image"].tolist(), inverter.size)))
    images = inverter.prepare(pixels)
    batches = tqdm(images.split(inverter.how.batch), "invert", unit="batch")
    found = [(inverter.encode(batch).images, inverter.project(batch).images) for batch in batches]
    made = dict(zip("df", map(torch.cat, zip(*found, strict=True)), strict=True))

    segmenter = segmenter_of(config, config.omission.segmenter, device)
    side = max(segmenter.sizes)
    shown = {"photographs": pixels} | {m: to_pixels(x).cpu() for m, x in made.items()}
    labels = {name: segmenter.objects(x, (side, side)).cpu() for name, x in shown.items()}
    wanted, before = torch.tensor(lines.index)[:, None, None], labels["photographs"]
    there, others = before == wanted, (before != wanted) & (before > 0)
    tables = []
    for method, images_made in made.items():
        again = labels[method] == before
        counted = {"photograph": there, "reconstruction": labels[method] == wanted, "kept": there & again,
                   "others": others, "others_kept": others & again}  # fmt: skip
        sums = {name: where.flatten(1).sum(1).numpy() for name, where in counted.items()}
        apart = error(images_made, images).numpy(force=True)
        tables.append(lines.assign(method=method, **sums, pixels=side**2, error=apart))

    names = segmenter.classes.object
    legend, colours = _legend(torch.stack([x[: spec.shown] for x in labels.values()]), names)
    shown |= {f"segmented_{name}": colours[x].movedim(3, 1) for name, x in labels.items()}
    with replacing(out) as folder:
        folder.mkdir()
        write_csv(pd.concat(tables).reset_index(), folder / "pairs.csv")
        write_csv(legend, folder / "labels.csv")
        for name, strip in shown.items():
            write_png(folder / f"{name}.png", strip[: spec.shown])


def omissions(classes: pd.DataFrame, network: str) -> pd.DataFrame:
    """
    Of the lines of a generator in classes.csv those of classes found omitted, the most omitted first; if none is, that
    of the most negative delta.
    """
    lines = classes[(classes["network"] == network) & (classes["class"] > 0)]
    lines = lines.sort_values("delta", kind="stable")
    found = lines[lines["found"] == "omitted"]
    return found if len(found) else lines[:1]


def richest(counts: Tensor, classes: Iterable[int], number: int) -> list[tuple[int, int]]:
    """
    (class, image) of `number` images, none twice: for each class in turn, and again from the first, the image that has
    most pixels of it among those left, the first of equals. A class that none of them has is passed over.

    counts: (images, classes) pixels.
    """
    left, turns = counts.numpy().copy(), list(classes)
    found: list[tuple[int, int]] = []
    while turns and len(found) < number:
        wanted = turns.pop(0)
        image = int(left[:, wanted].argmax())
        if left[image, wanted] > 0:
            found.append((wanted, image))
            left[image] = 0
            turns.append(wanted)
    return found


def _legend(shown: Tensor, names: list[str]) -> tuple[pd.DataFrame, Tensor]:
    """Numbers of classes -> labels.csv of `pairs`, and (classes, 3) uint8 RGB. White is none of the classes."""
    counts = torch.bincount(shown.flatten(), minlength=len(names))
    counts[0] = 0
    order = counts.argsort(descending=True, stable=True)[: int((counts > 0).sum())]
    colours = torch.full((len(names), 3), 255, dtype=torch.uint8)
    for i, number in enumerate(order.tolist()):  # neighbours are far apart on the circle of hues
        rgb = colorsys.hls_to_rgb(0.58 + i * 0.382 % 1, (0.45, 0.7, 0.58)[i % 3], 0.55)
        colours[number] = torch.tensor([round(255 * c) for c in rgb], dtype=torch.uint8)
    hexes = ["#" + bytes(colours[number].tolist()).hex() for number in order]
    table = pd.DataFrame({"class": order, "label": [names[i] for i in order], "colour": hexes})
    return table, colours


def adaptations(config: Config, row: str, out: Path, device: torch.device) -> None:
    """
    The slides' photographs, uncurated: z found by method e, then the generator's later weights adapted to each.

    images.csv: image (number in its dataset), stage (z, theta), error and pixels, as in `methods`, departure (R).
    adapted.safetensors: photographs (n, 3, h, h) uint8; z (n, size); the weights, (n, ...), by their names.
    photograph.png, z.png, theta.png: photographs side by side, and what the generator makes of them.
    """
    spec: PhotoEdited = getattr(config.rows, row)
    inverter = Inverter(config, row, device)
    how, layers = inverter.how, inverter.layers
    dataset = dataset_of(config, spec.real)
    key = f"rows.{row}.photographs"
    chosen = choose(len(dataset), spec.photographs, how.seed, spec.real, key)
    pixels = torch.cat(list(squares(dataset, chosen, inverter.size)))
    images = inverter.prepare(pixels)
    z0 = inverter.encoders["layered"](images).flatten(1)
    target = Target(images, inverter.features, how.weight)
    z = refine(layers, z0, target, Steps(how.z_steps, how.z_rate))
    theta = dict(layers.late.named_parameters())
    weights, made, departures = [], [], []
    for image, r in tqdm(zip(images, layers.features(z)[-1], strict=True), "adapt", unit="image"):
        target = Target(image[None], inverter.features, how.weight)
        steps = Steps(spec.steps, spec.learning_rate)
        found, drawn = adapt(layers, r[None], target, steps, spec.weight)
        weights.append(found)
        made.append(drawn)
        changes = {name: found[name] - t for name, t in theta.items()}
        departures.append(float(departure(theta, changes)))
    stages = {"z": layers(z), "theta": torch.cat(made)}
    lines = [
        pd.DataFrame({
            "image": chosen,
            "stage": stage,
            "error": error(x, images).tolist(),
            "pixels": correlation(x, images).tolist(),
            "departure": departures if stage == "theta" else 0.0,
        })
        for stage, x in stages.items()
    ]  # fmt: skip
    kept = {name: torch.stack([found[name] for found in weights]) for name in theta}
    kept = {name: t.float() for name, t in (kept | {"z": z}).items()} | {"photographs": pixels}
    with replacing(out) as folder:
        folder.mkdir()
        write_csv(pd.concat(lines), folder / "images.csv")
        save_file({name: t.cpu().contiguous() for name, t in kept.items()},
                  folder / "adapted.safetensors")  # fmt: skip
        for stage, x in {"photograph": images, **stages}.items():
            write_png(folder / f"{stage}.png", to_pixels(x))
