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
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from dissection import paths
from dissection.config import Config, Reflected
from dissection.dissected import iou_of
from dissection.errors import DissectionError
from dissection.networks import asset_of, brightness, module_of, to_pixels
from dissection.networks.progan import ProGAN, latents
from dissection.paths import replacing
from dissection.rewrite.edits import Edit, Rewritten
from dissection.rewrite.sessions import mask_url, read_mask
from dissection.segment import segmenter_of

BATCH = 50
LEAST = 0.05  # of an image's pixels that a window, and a surface, take where it is used
SHARE = 0.3  # of a cell, from which on it is a window
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
        self.blocks, self.at, self.target = list(network), names.index(layer), names.index(target)
        self.layers = names[: self.target + 1]
        self.units, self.values = torch.tensor(list(units)), (on, off)
        self.device = next(network.parameters()).device

    def pairs(self, z: Tensor, where: Tensor) -> Pairs:
        """z: (n, size); where: (n, h, w) from 0 to 1, at the layer's size."""
        value = torch.tensor(self.values).repeat_interleave(len(z))[:, None, None, None]
        double = (z.repeat(2, 1), where[:, None].repeat(2, 1, 1, 1), value)
        return Pairs(*(x.to(self.device) for x in double))

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
    adam = torch.optim.Adam([weight.requires_grad_(True)], rate)
    try:
        for step in range(1, steps + 1):
            loss = F.mse_loss(rule.run(before, pairs, number, rule.target), target)
            losses.append(loss.detach())
            adam.zero_grad()
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
    """Images with a window and a surface; z (n, size), and (n, H, W) bool where either is."""

    numbers: list[int]
    z: Tensor
    window: Tensor
    surface: Tensor

    def of(self, chosen: Tensor) -> "Scenes":
        numbers = [self.numbers[i] for i in chosen.tolist()]
        return Scenes(numbers, *(x[chosen] for x in self[1:]))


def write(config: Config, row: str, out: Path, device: torch.device) -> None:
    """Write masks.json (in the authors' layout), layers.csv (loss of each layer), changes.csv (of each image: mean
    change of brightness by a window, from 0 to 255), edit.safetensors and pictures."""
    spec: Reflected = getattr(config.rows, row)
    network = module_of(config, spec.network, device)
    if not isinstance(network, ProGAN):
        raise DissectionError(f"rows.{row}.network: {spec.network} is no ProGAN")
    found = paths.units(config.profile, spec.dataset, spec.network)
    iou = iou_of(found, spec.layer, "iclr2019", spec.concept)
    units = np.argsort(-iou, kind="stable")[: spec.units].tolist()
    rule = Rule(network, units, spec.layer, spec.target, spec.on, spec.off)
    blank = torch.zeros(1, network.latent, 1, 1, device=device)
    sizes = [rule.run_size(blank, name) for name in (spec.layer, spec.target)]

    with replacing(out) as folder:
        folder.mkdir()
        if spec.masks is None:
            masks = chosen(config, spec, rule, device)
        else:
            masks = json.loads(asset_of(config, spec.masks).read_text())
        (folder / "masks.json").write_text(json.dumps(masks, indent=1) + "\n")
        numbers = sorted(map(int, masks))
        z = latents(1, 0, max(numbers) + 1, network.latent)[numbers]
        where, area = (
            torch.stack([read_mask(masks[str(n)][key], *size) for n in numbers])
            for key, size in zip(("intervention", "revert"), sizes, strict=True)
        )
        pairs = rule.pairs(z, where)
