"""A rule between things that are apart, inverted: windows and reflections (thesis 6.5.3, B.6, figure 6-6).

    rule = Rule(network, units, "layer4", "layer8", on=10, off=-5)
    pairs = rule.pairs(z, windows)                               # the same scenes with windows and without
    edit, losses = invert(rule, pairs, reflections, "layer6", steps=10001, rate=0.01, every=10)

Units of a layer that match windows are forced on and off where windows are. The target are the features of a later
layer, those with windows and those without swapped where reflections are. Of the layers up to it, the one whose weight
comes nearest to the target by a change of rank one is rewritten: Adam on all of the weight, its change put back to
rank one every so many steps.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from dissection import paths
from dissection.adam import Adam
from dissection.config import Config, Reflected
from dissection.dissected import iou_of
from dissection.errors import DissectionError
from dissection.files import write_csv, write_png
from dissection.networks import asset_of, module_of, to_pixels
from dissection.networks.progan import ProGAN, latents
from dissection.paths import replacing
from dissection.rewrite.counts import shows
from dissection.rewrite.edits import Edit, Rewritten
from dissection.rewrite.sessions import mask_url, read_mask
from dissection.segment import segmenter_of

BATCH = 50
LEAST = 0.05  # of an image's pixels that a window, and a surface, take where it is used
GAIN = 4  # by which the pictures amplify changes


class Pairs(NamedTuple):
    """Scenes with windows, then the same without: (2 n, size) z, (2 n, 1, h, w) where, and (2 n, 1, 1, 1) values of
    the units there."""

    z: Tensor
    where: Tensor
    value: Tensor

    def batches(self) -> list["Pairs"]:
        return [Pairs(*part) for part in zip(*(x.split(BATCH) for x in self), strict=True)]


class Rule:
    def __init__(
        self, network: ProGAN, units: Sequence[int], layer: str, target: str, on: float, off: float
    ):
        """units: of `layer`, which make windows; target: a later layer."""
        self.network = network.eval().requires_grad_(False)
        names = [name for name, _ in network.named_children()]
        self.at, self.target = names.index(layer), names.index(target)
        self.blocks: list[Any] = list(network)
        self.layers = names[: self.target + 1]
        self.units, self.values = torch.tensor(list(units)), (on, off)
        self.device = next(network.parameters()).device

    def pairs(self, z: Tensor, where: Tensor) -> Pairs:
        """z: (n, size); where: (n, h, w) from 0 to 1, at the layer's size."""
        value = torch.tensor(self.values).repeat_interleave(len(z))[:, None, None, None]
        double = (z.repeat(2, 1), where[:, None].repeat(2, 1, 1, 1), value)
        return Pairs(*(x.to(self.device) for x in double))

    def size(self, layer: str) -> Sequence[int]:
        """Height and width of its features."""
        number = self.layers.index(layer)
        with torch.no_grad():
            x = torch.zeros(1, self.network.latent, 1, 1, device=self.device)
            for block in self.blocks[: number + 1]:
                x = block(x)
        return x.shape[2:]

    def run(self, x: Tensor, pairs: Pairs, first: int, last: int) -> Tensor:
        """Through blocks `first` ... `last`, x being what the first sees."""
        for number in range(first, last + 1):
            x = self.blocks[number](x)
            if number == self.at:
                forced = pairs.where * pairs.value + (1 - pairs.where) * x[:, self.units]
                x = x.index_copy(1, self.units.to(x.device), forced)
        return x

    @torch.no_grad()
    def images(self, pairs: Pairs) -> Tensor:
        """(2 n, 3, H, W), -1 to 1."""
        last = len(self.blocks) - 1
        return torch.cat([
            self.run(some.z[:, :, None, None], some, 0, last).cpu() for some in pairs.batches()
        ])  # fmt: skip


def invert(
    rule: Rule, pairs: Pairs, reflections: Tensor, layer: str, steps: int, rate: float, every: int
) -> tuple[Edit, Tensor]:
    """The edit of rank one of a layer that swaps what is with and without windows, and the loss of each step and at
    the end, (steps + 1,): mean squares at the target layer.

    reflections: (n, h, w) from 0 to 1, at the target's size, where it is swapped; elsewhere all is to stay.
    """
    number = rule.layers.index(layer)
    area = reflections[:, None].repeat(2, 1, 1, 1).to(rule.device)
    with torch.no_grad():
        before = rule.run(pairs.z[:, :, None, None], pairs, 0, number - 1)
        now = rule.run(before, pairs, number, rule.target)
        target = torch.lerp(now, now.roll(len(now) // 2, 0), area)
    weight = rule.blocks[number].conv.weight
    original, losses = weight.detach().clone(), []
    adam = Adam([weight.requires_grad_(True)], rate)
    try:
        for step in range(1, steps + 1):
            loss = F.mse_loss(rule.run(before, pairs, number, rule.target), target)
            losses.append(loss.detach())
            weight.grad = None
            loss.backward()
            adam.step()
            if step % every == 0 or step == steps:
                direction, change = rank_one(weight.detach() - original)
                edit = Edit(f"{layer}.conv.weight", direction, change, {"layer": layer})
                with torch.no_grad():
                    weight.copy_(original + edit.delta().to(weight))
        with torch.no_grad():
            losses.append(F.mse_loss(rule.run(before, pairs, number, rule.target), target))
    finally:
        with torch.no_grad():
            weight.requires_grad_(False).copy_(original)
    return edit, torch.stack(losses).double()


def rank_one(change: Tensor) -> tuple[Tensor, Tensor]:
    """(units, inputs, kh, kw) -> direction (1, inputs) of norm 1 and (units, 1, kh, kw), whose product is nearest to
    it: of the largest singular value of (inputs, units * kh * kw)."""
    matrix = change.transpose(0, 1).flatten(1).double()
    direction = torch.linalg.eigh(matrix @ matrix.T).eigenvectors[:, -1]
    part = torch.einsum("uihw,i->uhw", change.double(), direction)
    return direction[None].to(change), part[:, None].to(change)


# ------------------------------------------------------------------------------------------------ the row


class Scenes(NamedTuple):
    """Images with a window and a surface: their numbers, z (n, size), and (n, H, W) bool where either is."""

    number: Tensor
    z: Tensor
    window: Tensor
    surface: Tensor

    def of(self, chosen: Tensor) -> "Scenes":
        return Scenes(*(x[chosen] for x in self))


def scenes(
    config: Config, spec: Reflected, network: ProGAN, seed: int, count: int, device: torch.device
) -> Scenes:
    """Those of so many z that show enough of both. Raises DissectionError if none does."""
    assert spec.segmenter is not None
    segmenter = segmenter_of(config, spec.segmenter, device)
    table = segmenter.concepts
    z, found = latents(seed, 0, count, network.latent), []
    for some in z.split(BATCH):
        with torch.inference_mode():
            labels = segmenter(to_pixels(network(some.to(device))))
        parts = []
        for names in ([spec.concept], spec.surfaces):
            lines = table[table["name"].isin(names)]
            if len(lines) < len(names):
                raise DissectionError(
                    f"concepts {', '.join(names)}: not all are labels of segmenter {spec.segmenter}"
                )
            shown = [
                shows(labels[str(c)].cpu(), of.index.tolist())
                for c, of in lines.groupby("category")
            ]
            parts.append(torch.stack(shown).any(0))
        found.append(torch.stack(parts, 1))
    where = torch.cat(found)
    both = (where.flatten(2).float().mean(2) >= LEAST).all(1)
    if not both.any():
        raise DissectionError(
            f"scenes: none of {count} shows {spec.concept} and {' or '.join(spec.surfaces)};"
            " name other surfaces, or draw more"
        )
    return Scenes(torch.arange(count), z, where[:, 0], where[:, 1]).of(both.nonzero()[:, 0])


def areas(masks: Tensor, size: Sequence[int]) -> Tensor:
    """(n, H, W) bool -> (n, h, w) from 0 to 1, as masks of sessions are read."""
    return torch.stack([read_mask(mask_url(mask.numpy()), *size) for mask in masks])


def change_of(rule: Rule, z: Tensor, where: Tensor) -> tuple[Tensor, Tensor]:
    """(n, H, W) brightness with windows less that without, 0 to 255; and the images, (2 n, 3, H, W)."""
    images = rule.images(rule.pairs(z, where))
    on, off = to_pixels(images).float().mean(1).chunk(2)
    return on - off, images


def mean_over(change: Tensor, region: Tensor) -> Tensor:
    """(n, H, W) both -> (n,) mean of the change in the region."""
    return (change * region).flatten(1).sum(1) / region.flatten(1).sum(1)


def write(config: Config, row: str, out: Path, device: torch.device) -> None:
    """Write masks.json (in the authors' layout), layers.csv (loss by layer), changes.csv (of other images than those
    of the masks, by model: mean change of brightness, 0 to 255, where a window is made), edit.safetensors, pictures."""
    spec: Reflected = getattr(config.rows, row)
    network = module_of(config, spec.network, device)
    if not isinstance(network, ProGAN):
        raise DissectionError(f"rows.{row}.network: {spec.network} is no ProGAN")
    dissected = paths.units(config.profile, spec.dataset, spec.network)
    iou = iou_of(dissected, spec.layer, spec.protocol, spec.concept)
    units = np.argsort(-iou, kind="stable")[: spec.units].tolist()
    rule = Rule(network, units, spec.layer, spec.target, spec.on, spec.off)
    with replacing(out) as folder:
        folder.mkdir()
        if spec.masks is None:
            masks = selected(config, spec, rule, device)
        else:
            masks = json.loads((asset_of(config, spec.masks) / "posneg.json").read_text())
        (folder / "masks.json").write_text(json.dumps(masks, indent=1) + "\n")
        numbers = sorted(map(int, masks))
        where, reflections = (
            torch.stack([read_mask(masks[str(n)][key], *rule.size(layer)) for n in numbers])
            for key, layer in (("intervention", spec.layer), ("revert", spec.target))
        )
        pairs = rule.pairs(latents(1, 0, max(numbers) + 1, network.latent)[numbers], where)
        lines = []
        for layer in tqdm(rule.layers, "layers", mininterval=1):
            losses = invert(
                rule, pairs, reflections, layer, spec.search_steps, spec.search_rate, spec.every
            )[1]
            lines.append({"layer": layer, "before": float(losses[0]), "loss": float(losses[-1])})
        best = min(lines, key=lambda line: line["loss"])["layer"]
        edit, losses = invert(rule, pairs, reflections, best, spec.steps, spec.rate, spec.every)
        edit.save(folder / "edit.safetensors")
        layers = pd.DataFrame(lines).assign(chosen=[line["layer"] == best for line in lines])
        layers["rewritten"] = layers["chosen"].map({True: float(losses[-1])})
        write_csv(layers, folder / "layers.csv")

        held = scenes(config, spec, network, 2, spec.images, device)
        where = areas(held.window, rule.size(spec.layer))
        rewritten, rows, drawn = Rewritten(network), [], []
        for model in ("original", "rewritten"):
            if model == "rewritten":
                rewritten.add(edit)
            change, images = change_of(rule, held.z, where)
            regions = {
                "reflection": held.surface, "window": held.window, "elsewhere": ~(held.surface | held.window)
            }  # fmt: skip
            rows.append(
                pd.DataFrame({
                    "model": model, "image": held.number,
                    **{name: mean_over(change, region) for name, region in regions.items()},
                })
            )  # fmt: skip
            drawn += [*images.chunk(2), (GAIN * change / 127.5)[:, None].expand(-1, 3, -1, -1)]
        write_csv(pd.concat(rows), folder / "changes.csv")
        kinds = ("with", "without", "change")
        names = [f"{model} {kind}" for model in ("original", "rewritten") for kind in kinds]
        up = mean_over(drawn[2][:, 0], held.surface).argsort(descending=True, stable=True)
        for name, pictures in zip(names, drawn, strict=True):
            write_png(folder / f"{name}.png", to_pixels(pictures[up[: spec.shown]]))


def selected(
    config: Config, spec: Reflected, rule: Rule, device: torch.device
) -> dict[str, dict[str, str]]:
    """Masks in the authors' layout, by rule: of the scenes whose surfaces windows brighten most, where the windows
    are, and what of the surfaces is brighter with them."""
    some = scenes(config, spec, rule.network, 1, spec.candidates, device)
    change, _ = change_of(rule, some.z, areas(some.window, rule.size(spec.layer)))
    order = mean_over(change, some.surface).argsort(descending=True, stable=True)[: spec.pairs]
    chosen, brighter = some.of(order), change[order] > 0
    return {
        str(int(number)): {
            "value": str(spec.on),
            "intervention": mask_url(window.numpy()),
            "revert": mask_url((surface & more).numpy()),
        }
        for number, _, window, surface, more in sorted(
            zip(*chosen, brighter, strict=True), key=lambda of: int(of[0])
        )
    }
