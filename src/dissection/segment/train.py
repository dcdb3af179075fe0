"""Training of a unified parser on densely labelled images, for networks.train.

    train(config, "upernet", train_set, validation_set, out, device, parsing)

What is learnt of an image is what it is annotated for. The classes are those of the training set. Where labels
overlap, as a door on a building does, the whole is the object and the other one its part, unless it lies on
things of many kinds, as text does. Images are degraded as those of generators are: shrunk, bent, noisy.
"""

from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import affine_grid, cross_entropy, grid_sample, interpolate
from tqdm import tqdm

from dissection.config import Config
from dissection.data import Dataset
from dissection.errors import DissectionError
from dissection.networks import Preprocess
from dissection.networks.train import Learner, parts
from dissection.segment import Segmenter, network_input
from dissection.segment.classes import HEADS, NONE, Classes

RARE = 10  # images that a class or a pair must be seen in
KINDS = 5  # what lies on more kinds of things than these is a part of none
# of each head in the loss (Xiao et al. 2018)
SHARE = {"object": 1.0, "part": 0.5, "material": 1.0, "scene": 0.25}
SIDES = (1, 1, 1 / 2, 1 / 2, 3 / 4, 1 / 2, 3 / 8, 1 / 2)  # what eighths of the images are shrunk to
BEND = 0.04  # spread of the bending of images, as a share of half their size
UNKNOWN = -1


class Annotated(NamedTuple):
    """images: (n, s, s, 3) uint8 RGB. maps: (n, 4, s, s) int16 numbers of a dataset's concepts: the thing, what
    it lies on, its part, its material. scene: (n,) number, or 0."""

    images: Tensor
    maps: Tensor
    scene: Tensor


def parsing(
    config: Config,
    name: str,
    network: nn.Module,
    sets: tuple[Dataset, Dataset],
    device: torch.device,
) -> Learner:
    """Raises DissectionError if the heads of the network do not have the sizes that the training set asks for."""
    preprocess = Preprocess(config.networks[name].input)
    annotated, held_out = (annotations(s, preprocess, config.memory_gb) for s in sets)
    classes = find_classes(sets[0], annotated)
    with torch.inference_mode():
        scores = network.eval()(torch.zeros(1, 3, *[preprocess.size] * 2, device=device))
    found = {f"{head}s": scores[head].shape[1] for head in SHARE}
    if found != classes.sizes():
        raise DissectionError(
            f"networks.{name}.arguments: its heads have {found} classes, its training set {classes.sizes()}"
        )
    targets = find_targets(sets[0], annotated, classes)
    truth = find_targets(sets[1], held_out, classes)
    allowed = torch.zeros(len(classes.object), len(classes.channels), dtype=torch.bool)
    for channel, (owner, _) in enumerate(classes.channels):
        allowed[classes.object.index(owner), channel] = True
    allowed = allowed.to(device)
    side = scores["object"].shape[2]

    def step(some: Tensor, target: Tensor, scenes: Tensor) -> tuple[Tensor, Tensor]:
        images, target = bend(some, target, side)
        scenes, target = scenes.to(device), target.to(device)
        pixels = network_input(preprocess, degrade(images)).to(device)
        with torch.autocast(device.type, torch.bfloat16):
            scores = network(pixels.contiguous(memory_format=torch.channels_last))
        return loss_of(scores, target, scenes, allowed)

    segmenter = Segmenter(network, preprocess, classes, "netp")

    def report(size: int) -> dict[str, Any]:
        network.eval()
        return score(segmenter, held_out.images, truth, size)

    def validate() -> tuple[float, float]:
        """Of objects: accuracy, and one minus the mean IoU."""
        found = report(preprocess.size)["object"]
        return found["pixel_accuracy"], 1 - found["mean_iou"]

    def details() -> dict[str, Any]:
        half = report(preprocess.size // 2)
        summary = {head: {k: v for k, v in half[head].items() if k != "classes"} for head in half}
        return {
            "labels": classes.plain(),
            "heads": report(preprocess.size),
            "at_half_size": summary,
        }

    annotated_scenes = scene_targets(sets[0], annotated, classes)
    data = [annotated.images, targets, annotated_scenes]
    return Learner(network, data, step, validate, classes.object[1:], len(held_out.images), details)


def annotations(dataset: Dataset, preprocess: Preprocess, memory_gb: float) -> Annotated:
    """All images of a dataset with their labels, both at the size of the network's input."""
    size, count = preprocess.size, len(dataset)
    if count * size**2 * 11 > memory_gb * 2**30:
        raise DissectionError(
            f"training images: {count} do not fit memory_gb ({memory_gb}); "
            "lower the dataset's images or raise memory_gb"
        )
    images = torch.empty(count, size, size, 3, dtype=torch.uint8)
    maps, scene = np.zeros((count, 4, size, size), np.int16), torch.zeros(count, dtype=torch.int64)
    for index in tqdm(range(count), desc="load images", unit="image"):
        pixels = preprocess.crop(dataset.image(index)).permute(1, 2, 0)
        images[index] = pixels if preprocess.order == "RGB" else pixels.flip(2)
        labels = {k: preprocess.labels(v, 1) for k, v in dataset.labels(index).items()}
        if "object" in labels:
            maps[index, 0] = labels["object"][0]
            maps[index, 1] = labels["object"][-1] * (len(labels["object"]) > 1)
        for place, category in ((2, "part"), (3, "material")):
            if category in labels:
                maps[index, place] = labels[category][0]
        if "scene" in labels:
            scene[index] = int(labels["scene"].flat[0])
    return Annotated(images, torch.from_numpy(maps), scene)


def find_classes(dataset: Dataset, annotated: Annotated) -> Classes:
    """Those seen in at least RARE images, the most frequent first."""
    names, top = dataset.concepts["name"].to_dict(), int(dataset.concepts.index.max()) + 1
    maps = annotated.maps.numpy().astype(np.int32)
    thing, whole, part, material = maps.swapaxes(0, 1)

    def frequent(values: np.ndarray) -> list[int]:
        """Positive values in at least RARE images, by the number of images."""
        images = np.zeros(values.max(initial=0) + 1, np.int64)
        for each in values:
            images[np.unique(each)] += 1
        order = np.argsort(-images, kind="stable").tolist()
        return [value for value in order if value > 0 and images[value] >= RARE]

    on = [divmod(pair, top) for pair in frequent(np.where(whole > 0, whole * top + thing, 0))]
    kinds = {t: sum(t == other for _, other in on) for _, t in on}
    owned = [(w, t) for w, t in on if kinds[t] <= KINDS]
    owned += [
        divmod(pair, top)
        for pair in frequent(
            np.where((whole == 0) & (thing > 0) & (part > 0), thing * top + part, 0)
        )
    ]
    objects = frequent(maps[:, :2].reshape(len(maps), -1))
    object_part = {
        names[o]: [NONE, *dict.fromkeys(names[p] for owner, p in owned if owner == o)]
        for o in objects
        if any(owner == o for owner, _ in owned)
    }
    scenes = [names[s] for s in frequent(annotated.scene.numpy()[:, None])]
    return Classes(
        object=[NONE, *(names[o] for o in objects)],
        part=[NONE, *dict.fromkeys(p for found in object_part.values() for p in found[1:])],
        material=[NONE, *(names[m] for m in frequent(material))],
        scene=scenes,
        object_part=object_part,
    )


def find_targets(dataset: Dataset, annotated: Annotated, classes: Classes) -> Tensor:
    """(n, 3, s, s) int16: number of the object and of the material, 0 where there is none to be learnt, and
    channel of the part head or UNKNOWN, the parts of an object being known where an image shows any."""
    names = dataset.concepts["name"].to_dict()
    top = int(dataset.concepts.index.max()) + 1

    def table(known: list[str]) -> Tensor:
        number = {name: i for i, name in enumerate(known)}
        return torch.tensor([number.get(names.get(i, NONE), 0) for i in range(top)])

    objects, materials = table(classes.object), table(classes.material)
    channel = {pair: i for i, pair in enumerate(classes.channels)}
    # channel of (object, part), UNKNOWN for what is none of its parts; 0 is no part
    parts = [NONE if i == 0 else names.get(i, "") for i in range(top)]
    of_pair = torch.tensor(
        [[channel.get((owner, part), UNKNOWN) for part in parts] for owner in classes.object]
    )
    result = torch.zeros(len(annotated.maps), 3, *annotated.maps.shape[2:], dtype=torch.int16)
    for maps, target in zip(annotated.maps.long(), result, strict=True):
        thing, whole, part, material = maps
        owned = (whole > 0) & (of_pair[objects[whole], thing] != UNKNOWN)
        target[0] = torch.where(owned, objects[whole], objects[thing])
        found = of_pair[target[0].long(), torch.where(owned, thing, part)]
        found[(whole > 0) & ~owned] = UNKNOWN  # what lies on something hides its parts
        shown = found[owned | (part > 0)].unique()
        owners = {classes.channels[c][0] for c in shown.tolist() if c != UNKNOWN}
        known = torch.tensor([name in owners for name in classes.object])
        target[1] = torch.where(known[target[0].long()], found, UNKNOWN)
        target[2] = materials[material]
    return result


def scene_targets(dataset: Dataset, annotated: Annotated, classes: Classes) -> Tensor:
    """(n,) int64 number of the scene, UNKNOWN if there is none."""
    names = dataset.concepts["name"].to_dict()
    number = {name: i for i, name in enumerate(classes.scene)}
    return torch.tensor([number.get(names.get(s, ""), UNKNOWN) for s in annotated.scene.tolist()])


def loss_of(
    scores: dict[str, Tensor], target: Tensor, scenes: Tensor, allowed: Tensor
) -> tuple[Tensor, Tensor]:
    """Loss, and the share of pixels whose object is right. A part is told from the others of its object alone."""
    thing, channel, material = target.long().unbind(1)
    total = SHARE["object"] * cross_entropy(scores["object"].float(), thing, ignore_index=0)
    for head, found, none in (("material", material, 0), ("scene", scenes, UNKNOWN)):
        if (found != none).any():
            loss = cross_entropy(scores[head].float(), found, ignore_index=none)
            total = total + SHARE[head] * loss
    known = channel != UNKNOWN
    if known.any():
        among = scores["part"].float().permute(0, 2, 3, 1)[known]
        among = among.masked_fill(~allowed[thing[known]], -torch.inf)
        total = total + SHARE["part"] * cross_entropy(among, channel[known])
    right = (scores["object"].argmax(1) == thing)[thing > 0].float().mean()
    return total, right.detach()


def bend(images: Tensor, target: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Images (n, s, s, 3) uint8 -> parts of them (n, 3, s, s) float32, mirrored and bent, and their targets
    (n, 3, side, side)."""
    n, size = images.shape[:2]
    view = parts(n)
    bends = torch.randn(n, 2, 5, 5) * BEND * torch.rand(n, 1, 1, 1)
    scale = view[:, 1, 1].view(n, 1, 1, 1)

    def grid(s: int) -> Tensor:
        bent = interpolate(bends * scale, (s, s), mode="bicubic", align_corners=False)
        return affine_grid(view, [n, 3, s, s], align_corners=False) + bent.permute(0, 2, 3, 1)

    look = partial(grid_sample, padding_mode="border", align_corners=False)
    pixels = look(images.permute(0, 3, 1, 2).float(), grid(size))
    return pixels, look(target.float(), grid(side), mode="nearest").short()


def degrade(images: Tensor) -> Tensor:
    """(n, 3, s, s) in units of 0 to 255: other light and colours, fewer pixels, noise, blocks of a JPEG; each
    image as strongly as it happens to be."""
    n, _, size, _ = images.shape
    strength, grey = torch.rand(n, 1, 1, 1), images.mean(1, keepdim=True)
    images = grey + (images - grey) * (1 + strength * torch.empty(n, 1, 1, 1).uniform_(-0.4, 0.4))
    images = (images - 128) * (1 + strength * torch.empty(n, 1, 1, 1).uniform_(-0.3, 0.3)) + 128
    images = images + strength * (14 * torch.randn(n, 1, 1, 1) + 8 * torch.randn(n, 3, 1, 1))
    blotches = strength * 12 * torch.randn(n, 3, 6, 6)
    images = images + interpolate(blotches, (size, size), mode="bicubic")
    noise = 9 * torch.rand(n, 1, 1, 1) ** 2
    result = []
    for some, loud, share in zip(images.chunk(8), noise.chunk(8), SIDES, strict=False):
        small = interpolate(some, (int(size * share),) * 2, mode="bilinear", antialias=True)
        small = small + loud * torch.randn_like(small)
        result.append(interpolate(small, (size, size), mode="bilinear"))
    images = torch.cat(result)
    third = torch.rand(n) < 1 / 3
    images[third] = blocks(
        images[third], torch.empty(int(third.sum()), 1, 1, 1, 1, 1).uniform_(2, 12)
    )
    return images.clamp(0, 255)


def blocks(images: Tensor, step: Tensor) -> Tensor:
    """Images whose 8 x 8 cosine coefficients are rounded to multiples of step (1 + u + v), as by JPEG."""
    n, c, h, w = images.shape
    k = torch.arange(8)
    cosine = torch.cos(torch.pi / 8 * (k + 0.5) * k[:, None]) / 2
    cosine[0] /= 2**0.5
    tiles = images.view(n, c, h // 8, 8, w // 8, 8).transpose(3, 4)
    unit = step * (1 + k + k[:, None])
    found = (cosine @ tiles @ cosine.T / unit).round() * unit
    return (cosine.T @ found @ cosine).transpose(3, 4).reshape(n, c, h, w)


def score(segmenter: Segmenter, images: Tensor, truth: Tensor, size: int) -> dict[str, Any]:
    """Pixel accuracy and IoU of each class of each head, at labels as given, on images shrunk to `size`.

    A class's accuracy is the share of its pixels that are found. A part is right if its object is, too.
    """
    classes = segmenter.classes
    names: dict[str, list[str]] = {
        "object": classes.object,
        "part": [f"{owner}/{part}" for owner, part in classes.channels],
        "material": classes.material,
    }
    counts = {head: np.zeros((len(n) + 1, len(n) + 1), np.int64) for head, n in names.items()}
    for some, target in zip(images.split(64), truth.long().split(64), strict=True):
        pixels = some.permute(0, 3, 1, 2)
        if size != pixels.shape[2]:
            pixels = interpolate(pixels.float(), (size, size), mode="area").round().byte()
        found = segmenter.channels(pixels, list(target.shape[2:]))
        for place, head in enumerate(HEADS):
            right, guess, table = target[:, place], found[head].cpu(), counts[head]
            known = right != UNKNOWN if head == "part" else right > 0
            # -1, no part, is the last column
            pairs = right[known] * len(table) + guess[known].remainder(len(table))
            table += np.bincount(pairs.numpy(), minlength=table.size).reshape(table.shape)
    return {head: summary(counts[head], names[head]) for head in HEADS}


def summary(counts: np.ndarray, names: list[str]) -> dict[str, Any]:
    """counts: (classes + 1, classes + 1) pixels by what they are and what they were found to be."""
    hits, true, found = np.diag(counts), counts.sum(1), counts.sum(0)
    rows = {
        name: {
            "accuracy": round(float(hits[i] / true[i]), 4),
            "iou": round(float(hits[i] / (true[i] + found[i] - hits[i])), 4),
            "share": round(float(true[i] / true.sum()), 5),
        }
        for i, name in enumerate(names)
        if true[i]
    }
    return {
        "pixel_accuracy": round(float(hits.sum() / max(true.sum(), 1)), 4),
        "mean_iou": round(float(np.mean([row["iou"] for row in rows.values()] or [0])), 4),
        "classes": rows,
    }
