"""Segmenters: images to label maps, with the names and categories of the labels.

    segmenter = load_segmenter(config, "upernet", weights, labels, torch.device("cpu"))
    labels = segmenter(images)                     # (n, 3, h, w) uint8 RGB
    labels["object"]                               # (n, 1, h, w) int32 numbers of segmenter.concepts
    segmenter.concepts.loc[4]                      # name: tree, category: object
    segmenter.scores(images.float(), 4)            # (n, h, w) its probability, with a gradient

The labels are those of a dataset: several maps, of one category or of several, may name several concepts at
one pixel, and 0 is none. A part that is an object elsewhere (a door of a building) has the object's number.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from dissection.config import Config
from dissection.data import Dataset
from dissection.data.scenes import world
from dissection.errors import DissectionError
from dissection.networks import Preprocess, asset_of, load_network
from dissection.segment.classes import HEADS, NONE, Classes, read_classes
from dissection.segment.upernet import UPerNet

FEW = ("sky", "building", "person")  # whose parts are labelled without `p`
HALVES = ("t", "l", "b", "r")  # top, left, bottom, right


def load_segmenter(
    config: Config, name: str, weights: Path | None, labels: Path, device: torch.device
) -> "Segmenter":
    """The segmenter of a profile, from the files of its network's weights and of its labels.

    Raises DissectionError if they do not fit one another.
    """
    spec = config.segmenters[name]
    network = load_network(config.networks[spec.network], weights, config.seed)
    if isinstance(network, UPerNet):
        network.fold()
    preprocess = Preprocess(config.networks[spec.network].input)
    return Segmenter(
        network.to(device), preprocess, read_classes(labels), spec.vocabulary, spec.sizes
    )


def segmenter_of(config: Config, name: str, device: torch.device) -> "Segmenter":
    """The profile's segmenter of that name, once its assets are there."""
    spec = config.segmenters[name]
    weights = config.networks[spec.network].weights
    return load_segmenter(
        config, name, asset_of(config, weights) if weights else None, asset_of(config, spec.labels), device
    )  # fmt: skip


class Labelled(Dataset):
    """A dataset whose images a segmenter labels, at their own size."""

    def __init__(self, dataset: Dataset, segmenter: "Segmenter"):
        self._dataset, self._segmenter = dataset, segmenter
        self.concepts, self.classes = segmenter.concepts, dataset.classes

    def __len__(self) -> int:
        return len(self._dataset)

    def key(self, index: int) -> str:
        return self._dataset.key(index)

    def image(self, index: int) -> np.ndarray:
        return self._dataset.image(index)

    def target(self, index: int) -> int | None:
        return self._dataset.target(index)

    def labels(self, index: int) -> dict[str, np.ndarray]:
        pixels = torch.from_numpy(self.image(index).transpose(2, 0, 1))
        return {
            category: maps[0].numpy() for category, maps in self._segmenter(pixels[None]).items()
        }


class Segmenter:
    """A unified parser with a vocabulary (see `config.Segmenter`): what the authors call netpqc and the like.

    concepts: one row a concept, index `number` (1, 2, ...), columns `name` and `category`: objects; their
        halves (q), all of -t, then of -l, -b, -r, category part; materials; parts; colours (c).
    """

    def __init__(
        self,
        network: nn.Module,
        preprocess: Preprocess,
        classes: Classes,
        vocabulary: str = "netpqc",
        sizes: Sequence[int] = (),
        batch: int = 16,
    ):
        """network: (n, 3, s, s) -> scores by head, as `upernet`. sizes: each s to look at, scores of several
        being averaged as probabilities; none: the size of `preprocess`. batch: images at a time.
        """
        self.network = network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.preprocess, self.classes, self.batch = preprocess, classes, batch
        self.sizes = list(sizes) or [preprocess.size]
        self.halves, self.colours = "q" in vocabulary, "c" in vocabulary
        self._device = next(network.parameters()).device

        objects, materials = classes.object[1:], classes.material[1:]
        self._owners = [o for o in classes.owners if "p" in vocabulary or o in FEW]
        # parts are numbered in the order in which labels.json comes to them
        named = [
            p for o in classes.object_part if o in self._owners for p in classes.object_part[o]
        ]
        parts = [p for p in dict.fromkeys(named) if p != NONE and p not in objects]
        rows = [(name, "object") for name in objects]
        if self.halves:
            rows += [(f"{name}-{half}", "part") for half in HALVES for name in objects]
        self._first_material = len(rows) + 1
        rows += [(name, "material") for name in materials]
        number = {name: i for i, name in enumerate(parts, start=len(rows) + 1)}
        number |= {name: i for i, name in enumerate(classes.object)}  # `-` is 0
        rows += [(name, "part") for name in parts]
        self._first_colour = len(rows) + 1
        if self.colours:
            rows += [(name, "color") for name in world.CATEGORY["color"]]
        self.concepts = pd.DataFrame(rows, columns=["name", "category"]).set_index(
            pd.RangeIndex(1, len(rows) + 1, name="number")
        )
        self._part_number = torch.tensor(
            [number.get(part, 0) for _, part in classes.channels], dtype=torch.int32
        )
        self._runs = _runs(classes)
        self._check()

    def _check(self) -> None:
        size = self.sizes[0]
        with torch.inference_mode():
            scores = self.network(torch.zeros(1, 3, size, size, device=self._device))
        found = {f"{head}s": scores[head].shape[1] for head in (*HEADS, "scene")}
        if found != self.classes.sizes():
            raise DissectionError(
                f"segmenter: its labels have {self.classes.sizes()}, its network has {found} classes; "
                "give the labels that the network was trained with"
            )

    @torch.inference_mode()
    def __call__(self, images: Tensor, downsample: int = 1) -> dict[str, Tensor]:
        """(n, 3, h, w) uint8 RGB -> category -> (n, maps, h // downsample, w // downsample) int32, on the CPU.

        object: one map. part: the part of the object at each pixel; with halves, whether it is the upper or
        the lower half of its object, the left or the right one, objects being 8-connected components and cut
        in the middle of their bounding boxes (the authors' code leaves the last of each image whole; here all
        are cut). material: one. color: one.
        """
        if images.ndim != 4 or images.shape[1] != 3 or images.dtype != torch.uint8:
            raise DissectionError(
                f"images: expected (n, 3, h, w) uint8, found {tuple(images.shape)} {images.dtype}"
            )
        shape = [side // downsample for side in images.shape[2:]]
        found = self.channels(images, shape)
        thing, part, material = (found[head].int().cpu() for head in HEADS)
        part = torch.where(part < 0, 0, self._part_number[part])
        material = torch.where(material > 0, material - 1 + self._first_material, 0).int()
        parts = [part]
        if self.halves:
            parts += map(torch.from_numpy, halves(thing.numpy(), len(self.classes.object) - 1))
        labels = {
            "object": thing[:, None],
            "part": torch.stack(parts, 1),
            "material": material[:, None],
        }
        if self.colours:
            centres = images[..., downsample // 2 :: downsample, downsample // 2 :: downsample]
            rgb = centres[..., : shape[0], : shape[1]].permute(0, 2, 3, 1).cpu().numpy()
            first = world.NUMBER[world.CATEGORY["color"][0]]
            colours = world.colour_names(rgb) - first + self._first_colour
            labels["color"] = torch.from_numpy(colours.astype(np.int32))[:, None]
        return labels

    @torch.inference_mode()
    def channels(self, images: Tensor, shape: Sequence[int]) -> dict[str, Tensor]:
        """(n, 3, h, w) uint8 RGB -> head -> (n, *shape) int64 channel of the highest score; of part the highest
        among those of the object, -1 where it has no parts in the vocabulary."""
        found: dict[str, list[Tensor]] = {head: [] for head in HEADS}
        for some in images.split(self.batch):
            scores = self._scores(some.to(self._device), list(shape))
            thing, material = _highest(scores["object"]), _highest(scores["material"])
            part = torch.full_like(thing, -1)
            for owner, run in self._runs.items():
                here = thing == self.classes.object.index(owner)
                if owner in self._owners and here.any():
                    part[here] = _highest(scores["part"][:, run])[here] + run.start
            for head, best in zip(HEADS, (thing, part, material), strict=True):
                found[head].append(best)
        return {head: torch.cat(parts) for head, parts in found.items()}

    @torch.inference_mode()
    def objects(self, images: Tensor, shape: Sequence[int]) -> Tensor:
        """(n, 3, h, w) uint8 RGB -> (n, *shape) int64 object channels of `channels`, without the other heads."""
        found = [
            _highest(self._scores(some.to(self._device), list(shape), HEADS[:1])["object"])
            for some in images.split(self.batch)
        ]
        return torch.cat(found)

    def scores(self, images: Tensor, concept: int) -> Tensor:
        """
        (n, 3, h, w) RGB from 0 to 255 -> (n, h, w) probability of an object, a part or a material, differentiable.

        Of a part: of some object having it there. What is an object and a part counts as either. All images are run
        at once. Raises DissectionError for a half or a colour, which are decided from labels and pixels.
        """
        found = self._scores(images.to(self._device), list(images.shape[2:]))

        def share(scores: Tensor) -> Tensor:
            several = len(self.sizes) > 1
            return scores / scores.sum(1, keepdim=True) if several else scores.softmax(1)

        objects, material = len(self.classes.object), concept - self._first_material + 1
        if 0 < material < len(self.classes.material):
            return share(found["material"])[:, material]
        thing = share(found["object"])
        scores = [thing[:, concept]] if concept < objects else []
        for owner in self._owners:
            run = self._runs[owner]
            for channel in (self._part_number[run] == concept).nonzero()[:, 0].tolist():
                part = share(found["part"][:, run])[:, channel]
                scores.append(thing[:, self.classes.object.index(owner)] * part)
        if not scores:
            raise DissectionError(
                f"concept {self.concepts.name[concept]!r}: has no probability; choose an object, a part or a material"
            )
        return torch.stack(scores).sum(0)

    def _scores(
        self, images: Tensor, shape: list[int], heads: Sequence[str] = HEADS
    ) -> dict[str, Tensor]:
        """Scores of each of these heads at the size of the labels: of one size as they are, of several the sum of their
        probabilities, of parts within their object."""
        total: dict[str, Tensor] = {}
        for size in self.sizes:
            found = self.network(network_input(self.preprocess, _scaled(images, size)))
            for head in heads:
                scores = found[head]
                if list(scores.shape[2:]) != shape:
                    scores = interpolate(scores, shape, mode="bilinear", align_corners=False)
                if len(self.sizes) > 1:
                    runs = self._runs.values() if head == "part" else [slice(None)]
                    scores = torch.cat([scores[:, run].softmax(1) for run in runs], 1)
                total[head] = total[head] + scores if head in total else scores
        return total


def _highest(scores: Tensor) -> Tensor:
    """(n, channels, h, w) -> (n, h, w), as argmax in half its time; of equals the first."""
    return scores.max(1).indices


def _runs(classes: Classes) -> dict[str, slice]:
    """Object -> its channels of the part head."""
    ends = np.cumsum([0, *(len(classes.object_part[owner]) for owner in classes.owners)]).tolist()
    return {owner: slice(*ends[i : i + 2]) for i, owner in enumerate(classes.owners)}


def network_input(preprocess: Preprocess, rgb: Tensor) -> Tensor:
    """(n, 3, size, size) RGB in units of 0 to 255, reordered and normalised."""
    return preprocess.normalise(rgb if preprocess.order == "RGB" else rgb.flip(1))


def _scaled(images: Tensor, size: int) -> Tensor:
    """(n, 3, h, w) uint8 -> (n, 3, size, size) float32: averaged over areas, or enlarged."""
    pixels = images.float()
    if min(images.shape[2:]) >= size:
        return adaptive_avg_pool2d(pixels, size)
    return interpolate(pixels, (size, size), mode="bilinear", align_corners=False)


def halves(things: np.ndarray, objects: int) -> tuple[np.ndarray, np.ndarray]:
    """(n, h, w) object numbers 1 ... objects, 0 for none -> upper or lower half, left or right half of the
    8-connected component that a pixel lies in: number + objects times 1 (-t) or 3 (-b), and 2 (-l) or 4 (-r).

    A component's bounding box from a to b is cut before row, or column, (a + b + 1) // 2.
    """
    component = _components(things).ravel()
    count = component.max(initial=-1) + 1
    result = []
    for axis, (first, second) in ((1, (1, 3)), (2, (2, 4))):
        at = np.broadcast_to(
            np.arange(things.shape[axis]).reshape(-1, *[1] * (2 - axis)), things.shape
        )
        low, high = np.full(count, things.size), np.full(count, -1)
        np.minimum.at(low, component, at.ravel())
        np.maximum.at(high, component, at.ravel())
        middle = ((low + high + 1) // 2)[component].reshape(things.shape)
        half = things + objects * np.where(at < middle, first, second)
        result.append(np.where(things > 0, half, 0).astype(np.int32))
    return result[0], result[1]


def _components(things: np.ndarray) -> np.ndarray:
    """(n, h, w) -> (n, h, w) number of the 8-connected component of equal values, over all images."""
    pixel = np.arange(things.size).reshape(things.shape)
    ends = []
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
        height, width = things.shape[1] - dy, things.shape[2] - abs(dx)
        left, right = max(-dx, 0), max(dx, 0)
        here = (slice(None), slice(height), slice(left, left + width))
        there = (slice(None), slice(dy, dy + height), slice(right, right + width))
        same = things[here] == things[there]
        ends.append((pixel[here][same], pixel[there][same]))
    rows, columns = map(np.concatenate, zip(*ends, strict=True))
    graph = coo_array((np.ones(len(rows), bool), (rows, columns)), shape=(things.size,) * 2)
    return connected_components(graph, directed=False)[1].reshape(things.shape)
