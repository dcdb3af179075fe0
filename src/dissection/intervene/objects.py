"""Objects removed from what a generator draws, and inserted into it, by a few units: what thesis figures 4-4, 4-9,
4-10, 4-11 and A-6, and PNAS 2020, figure 4, are made of.

    search(config, "churches", "progan_church", ["tree"], out, device)  # tree/units.csv, tree/history.csv
    remove(config, "fig_4_4", out, device, threads)                 # removal.csv, removal.png

Tables count label pixels. A PNG shows a few images side by side.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor, nn

from dissection import paths
from dissection.config import Config
from dissection.dissected import iou_of
from dissection.errors import DissectionError
from dissection.files import write_csv, write_png
from dissection.intervene.causal import (
    Insertions,
    average_causal_effect,
    by_context,
    by_visibility,
    effects,
    find_units,
    high_values,
    insert_each,
    removals,
    trace,
)
from dissection.intervene.generator import Generator, Intervention, locations, only, sweep
from dissection.networks import module_of
from dissection.networks.progan import latents
from dissection.segment import Segmenter, segmenter_of

SHOWN = 5  # images of a picture
BATCH = 32


class Scenes(NamedTuple):
    """A generator, cut behind the layer of the profile's search, and what labels its images."""

    network: nn.Module
    generator: Generator
    segmenter: Segmenter
    latent: int

    def z(self, seed: int, images: int) -> Tensor:
        return latents(seed, 0, images, self.latent)


class Units(NamedTuple):
    """What `search` found."""

    order: Tensor  # (units,) those that cause the concept first
    alpha: Tensor  # (units,)
    value: Tensor  # (units,) k
    iou: Tensor  # (units,) with the concept

    def strongest(self, n: int) -> Tensor:
        """(units,) alpha clipped to its n largest (A.4)."""
        return only(self.order[:n], len(self.alpha), self.alpha)


def load_scenes(config: Config, dataset: str, network: str, device: torch.device) -> Scenes:
    """dataset: of the profile's `generated`, whose segmenter it is."""
    spec, layer = config.networks[network], config.search.layer
    if spec.latent is None or layer not in spec.layers:
        raise DissectionError(
            f"networks.{network}: search.layer is {layer!r}; expected a generator that has it"
        )
    module = module_of(config, network, device)
    generator = Generator(module, spec.layers[layer])
    segmenter = segmenter_of(config, config.generated[dataset].segmenter, device)
    return Scenes(module, generator, segmenter, spec.latent.size)


def number_of(concepts: pd.DataFrame, name: str) -> int:
    """The first concept of that name: an object before a part. Raises DissectionError if there is none."""
    found = concepts.index[concepts["name"] == name]
    if not len(found):
        raise DissectionError(f"concept {name!r}: not one of the segmenter's {len(concepts)}")
    return int(found[0])


def read_iou(config: Config, dataset: str, network: str, protocol: str, concept: str) -> Tensor:
    """(units,) IoU of the searched layer's units with a concept, from the generator's dissection."""
    folder = paths.units(config.profile, dataset, network)
    return torch.from_numpy(iou_of(folder, config.search.layer, protocol, concept)).float()


def read_units(config: Config, dataset: str, network: str, concept: str) -> Units:
    """What `search` wrote."""
    lines = pd.read_csv(paths.causal(config.profile, dataset, network) / concept / "units.csv")
    order = torch.tensor(lines.sort_values("rank")["unit"].to_numpy())
    alpha, value, iou = (
        torch.tensor(lines[c].to_numpy()).float() for c in ("alpha", "value", "iou")
    )
    return Units(order, alpha, value, iou)


def search(
    config: Config,
    dataset: str,
    network: str,
    names: Sequence[str],
    out: Path,
    device: torch.device,
) -> None:
    """
    Of each concept of these names, in a folder of its own:

    units.csv: unit, alpha, rank (from 1, by alpha), value (k), iou. history.csv: epoch, loss, effect on the locations
    held out, and how many locations of either kind were learned from and held_out.
    """
    scenes, spec = load_scenes(config, dataset, network, device), config.search
    z_present, z_candidates = (scenes.z(seed, spec.images) for seed in spec.seeds)
    for name in names:
        number = number_of(scenes.segmenter.concepts, name)
        iou = read_iou(config, dataset, network, spec.protocol, name)
        found = find_units(
            scenes.generator, scenes.segmenter, number, z_present, z_candidates, iou, spec, BATCH, True
        )  # fmt: skip
        columns = {
            "alpha": found.alpha, "rank": found.order.argsort() + 1, "value": found.value, "iou": iou,
        }  # fmt: skip
        lines = pd.DataFrame({column: tensor.numpy() for column, tensor in columns.items()})
        write_csv(lines.rename_axis("unit").reset_index(), out / name / "units.csv")
        learned, held = found.places
        history = found.history.assign(learned=learned, held_out=held)
        write_csv(history, out / name / "history.csv")


# ---------------------------------------------------------------- units ablated


def remove(config: Config, row: str, out: Path, device: torch.device, threads: int) -> None:
    """Figure 4-4: the files of `_removal`, units by alpha (order ace) and by IoU (iou); images by alpha."""
    spec = getattr(config.rows, row)
    scenes = load_scenes(config, spec.dataset, spec.network, device)
    found = read_units(config, spec.dataset, spec.network, spec.concept)
    orders = {"ace": (found.order, found.alpha), "iou": (_by_iou(found.iou), None)}
    _removal(scenes, spec, spec.concept, orders, out)


def _removal(
    scenes: Scenes, spec, concept: str, orders: dict[str, tuple[Tensor, Tensor | None]], out: Path
) -> None:
    """
    removal.csv: order, units (ablated everywhere), concept (the one removed, then `others`), images, present (share
    of the pixels of unedited images), removed (share of its pixels), interval (99 %). ablated_<units>.png: the images
    with most of the concept, with each number of `shown` units of the first order ablated.
    """
    concepts = [concept, *spec.others]
    numbers = [number_of(scenes.segmenter.concepts, name) for name in concepts]
    z = scenes.z(spec.seed, spec.images)
    changes = [c for order, alpha in orders.values() for c in removals(order, spec.counts, alpha)]
    counts = sweep(scenes.generator, scenes.segmenter, z, changes, numbers, BATCH, True)
    table = effects(counts, numbers)
    names = [(order, n) for order in orders for n in spec.counts]
    table["order"] = [names[i][0] for i in table["intervention"]]
    table["units"] = [names[i][1] for i in table["intervention"]]
    table["concept"] = table["concept"].map(dict(zip(numbers, concepts, strict=True)))
    state = scenes.generator.head(z[most(counts.before[:, 0])])
    first, alpha = next(iter(orders.values()))
    for n, change in zip(spec.shown, removals(first, spec.shown, alpha), strict=True):
        images = scenes.generator.images(state, change)
        write_png(out / f"ablated_{n:03d}.png", images)
    present = table["before"] / images[0, 0].numel()
    table = table.assign(images=len(z), present=present, removed=0.0 - table["change"])
    columns = ["order", "units", "concept", "images", "present", "removed", "interval"]
    write_csv(table[columns], out / "removal.csv")


def remove_each(config: Config, row: str, out: Path, device: torch.device, threads: int) -> None:
    """
    Figures 4-9 and 4-10: several concepts of one generator, or one of several.

    removal.csv: name (as published), network, concept, units, images, present (share of pixels), removed (share of
    the concept's pixels by ablating the units everywhere), effect (eq. 4.4, as a multiple of present).
    <name>_before.png, <name>_after.png: the images with most of it, as they are and ablated.
    """
    spec, rows = getattr(config.rows, row), []
    for name, (network, concept) in spec.caused().items():
        scenes = load_scenes(config, spec.dataset, network, device)
        number = number_of(scenes.segmenter.concepts, concept)
        found = read_units(config, spec.dataset, network, concept)
        alpha, z = found.strongest(spec.units), scenes.z(spec.seed, spec.images)
        caused, counts = average_causal_effect(
            scenes.generator, scenes.segmenter, z, [alpha], found.value, [number], spec.seed,
            config.search.size, BATCH, True,
        )  # fmt: skip
        rows.append({
            "name": name, "network": network, "concept": concept, "units": spec.units, "images": len(z),
            **caused.iloc[0][["present", "removed", "effect"]],
        })  # fmt: skip
        state = scenes.generator.head(z[most(counts.before[:, 0])])
        for part, change in ("before", None), ("after", Intervention(alpha)):
            images = scenes.generator.images(state, change)
            write_png(out / f"{name}_{part}.png", images)
    write_csv(pd.DataFrame(rows), out / "removal.csv")


# ---------------------------------------------------------------- units forced on at one location


def insert(config: Config, row: str, out: Path, device: torch.device, threads: int) -> None:
    """Figure 4-11: the files of `_insertion`, by alpha."""
    spec = getattr(config.rows, row)
    scenes = load_scenes(config, spec.dataset, spec.network, device)
    z, size = scenes.z(spec.seed, spec.images), config.search.size
    change = _forced(config, spec, scenes, z)
    number = number_of(scenes.segmenter.concepts, spec.concept)
    found = insert_each(
        scenes.generator, scenes.segmenter, z, change, number, size, True, BATCH, True
    )  # fmt: skip
    _insertion(scenes, found, change, z, size, spec.least, out)


def _forced(config: Config, spec, scenes: Scenes, z: Tensor) -> Intervention:
    """The units that cause the row's concept, at the mean where it is (A.4), or as high as the row says."""
    units = read_units(config, spec.dataset, spec.network, spec.concept)
    value = high_values(scenes.generator, z, spec.high, BATCH) if spec.high else units.value
    return Intervention(units.strongest(spec.units), value)


def _insertion(
    scenes: Scenes, found: Insertions, change: Intervention, z: Tensor, size: tuple[int, int], least: int, out: Path
) -> None:  # fmt: skip
    """
    contexts.csv: as of `by_context`, by the name of the concept that stands where the units are forced on; sample, the
    number of images.
    maps.csv: as of `map_lines`, change being pixels of the concept that are added, as a multiple of their mean number.
    before.png, after.png: the images where a location adds most, as they are and with the units forced on there.
    """
    table = by_context(found, scenes.segmenter.concepts, least).drop(columns="concept")
    table = table.rename(columns={"name": "concept"}).assign(sample=len(z))
    write_csv(table, out / "contexts.csv")
    best, place = found.change.flatten(1).max(1)
    chosen = most(best)
    state = scenes.generator.head(z[chosen])
    h, w = state[0].shape[2:]
    where = locations(h, w, size)[place[chosen]]
    there = Intervention(change.alpha, change.value, where)
    for name, force in ("before", None), ("after", there):
        write_png(out / f"{name}.png", scenes.generator.images(state, force))
    share = found.change[chosen].double() / found.before.double().mean()
    write_csv(map_lines(share, "change", size), out / "maps.csv")


def remove_and_insert(
    config: Config, row: str, out: Path, device: torch.device, threads: int
) -> None:
    """PNAS 2020, figure 4: as `_removal` and `_insertion`, both by IoU, the units being forced to what each exceeds
    at the fraction `high` of all locations."""
    spec = getattr(config.rows, row)
    scenes = load_scenes(config, spec.dataset, spec.network, device)

    def order(concept: str) -> Tensor:
        return _by_iou(read_iou(config, spec.dataset, spec.network, spec.protocol, concept))

    _removal(scenes, spec, spec.concept, {"iou": (order(spec.concept), None)}, out)
    z, by_iou = scenes.z(spec.seed, spec.images), order(spec.inserted)
    value = high_values(scenes.generator, z, spec.high, BATCH)
    change = Intervention(only(by_iou[: spec.units], len(by_iou)), value)
    z, size = z[: spec.insertions], config.search.size
    number = number_of(scenes.segmenter.concepts, spec.inserted)
    found = insert_each(
        scenes.generator, scenes.segmenter, z, change, number, size, False, BATCH, True
    )  # fmt: skip
    _insertion(scenes, found, change, z, size, spec.least, out)


def follow(config: Config, row: str, out: Path, device: torch.device, threads: int) -> None:
    """
    Figure A-6. layers.csv of `by_visibility`, an insertion being visible if it adds pixels of the concept; maps.csv:
    as of `map_lines`, effect on the last layer; before.png: the examples, those with the largest range of effects.
    """
    spec = getattr(config.rows, row)
    scenes = load_scenes(config, spec.dataset, spec.network, device)
    number = number_of(scenes.segmenter.concepts, spec.concept)
    z = scenes.z(spec.seed, spec.images)
    change, size = _forced(config, spec, scenes, z), config.search.size
    layers = config.networks[spec.network].layers
    names = list(layers)[list(layers).index(config.search.layer) :]
    modules = [layers[name] for name in names]
    traces = trace(scenes.network, modules[0], modules, z, change, size, BATCH, True)
    seen = insert_each(
        scenes.generator, scenes.segmenter, z, change, number, size, False, BATCH,
        True,
    )  # fmt: skip
    write_csv(by_visibility(traces, names, seen.change > 0), out / "layers.csv")
    last = traces[:, -1]
    chosen = most(last.amax((1, 2)) - last.amin((1, 2)))
    write_csv(map_lines(last[chosen], "effect", size), out / "maps.csv")
    images = scenes.generator.images(scenes.generator.head(z[chosen]))
    write_png(out / "before.png", images)


def _by_iou(iou: Tensor) -> Tensor:
    return iou.argsort(descending=True, stable=True)


def most(amount: Tensor, n: int = SHOWN) -> Tensor:
    """Numbers of the images that have most of something, the most first."""
    return amount.argsort(descending=True, stable=True)[:n]


def map_lines(maps: Tensor, column: str, size: tuple[int, int]) -> pd.DataFrame:
    """maps: (examples, rows, columns), a value for every location of `size` cells. Returns example; y, x, high and wide
    of the location, as shares of the image; and the value."""
    examples, rows, columns = maps.shape
    high, wide = 1 / (rows + size[0] - 1), 1 / (columns + size[1] - 1)  # of a cell
    places = torch.cartesian_prod(torch.arange(examples), torch.arange(rows), torch.arange(columns))
    lines = pd.DataFrame(places.numpy(), columns=["example", "y", "x"])
    lines = lines.assign(
        y=lines["y"] * high, x=lines["x"] * wide, high=size[0] * high, wide=size[1] * wide
    )
    return lines.assign(**{column: maps.flatten().cpu().numpy()})
