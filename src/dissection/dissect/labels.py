"""Labels as dissection counts them: concepts as columns 1, 2, ... (0: none), at the pixels of a protocol.

labels = Labels(dataset, preprocess.labels)          # a dataset's own
labels = Segmented(segmenter)                        # of images that a generator draws, as they come
carriers, maps = labels.load(range(0, 10), protocols)
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from typing import Protocol as Interface

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from dissection.data import Dataset
from dissection.dissect.protocols import Protocol
from dissection.errors import DissectionError
from dissection.style import CATEGORIES


class Segmenter(Interface):
    """Images to labels. concepts: one row a concept, index `number` (1, 2, ...), columns `name` and `category`."""

    concepts: pd.DataFrame

    def __call__(self, images: Tensor, downsample: int) -> Mapping[str, Tensor]:
        """(n, 3, h, w) uint8 RGB -> category -> (n, maps, h / downsample, w / downsample) concept numbers, 0 for
        none."""
        ...


DOWNSAMPLE = (
    2  # image pixels per label pixel that a segmenter is asked for, whichever the protocols
)


class ConceptMaps(NamedTuple):
    """Concepts of a batch of images by column, at a protocol's pixels."""

    maps: Tensor  # (images, maps, pixels); no concept stands twice at one pixel
    whole: Tensor  # (images, labels) concepts of whole images, padded with 0
    categories: Tensor  # (images, categories) bool, those that an image was annotated for

    def to(self, device: torch.device) -> "ConceptMaps":
        return ConceptMaps(*(t.to(device) for t in self))


class Concepts:
    """Which column each concept number has, and its category.

    concepts: one row a concept, index `number`; categories: their names, in the thesis's order;
    category: (concepts,) index into them; column: (numbers,) column of each concept number.
    """

    def __init__(self, concepts: pd.DataFrame):
        if concepts.empty:
            raise DissectionError(
                "dataset: has no labels, so there is nothing to compare units with"
            )
        self.concepts = concepts
        known = [c for c in CATEGORIES if (concepts.category == c).any()]
        self.categories = known + sorted(set(concepts.category) - set(CATEGORIES))
        self.column = np.zeros(int(concepts.index.max()) + 1, np.int32)
        self.column[concepts.index] = np.arange(1, len(concepts) + 1)
        self.category = np.array([self.categories.index(c) for c in concepts.category])


@dataclass
class ImageLabels:
    """One image's concepts by column, at the size of a protocol's labels."""

    maps: np.ndarray  # (maps, pixels); no concept stands twice at one pixel
    whole: list[int]  # concepts of the whole image
    categories: np.ndarray  # (categories,) whether the image was annotated for it


class Labels(Concepts):
    """Labels of a dataset, read image by image."""

    def __init__(self, dataset: Dataset, resample: Callable[[np.ndarray, int], np.ndarray]):
        """resample: (maps, h, w), downsample -> (maps, height, width), in the geometry of the network's input."""
        super().__init__(dataset.concepts)
        self.dataset, self.resample = dataset, resample

    def load(
        self, images: range, protocols: Sequence[Protocol]
    ) -> tuple[np.ndarray, list[ConceptMaps]]:
        """(concepts,) how many of the images carry each, and what each protocol counts."""
        read = [self.read(i) for i in images]
        carried = [np.unique(np.concatenate([s.ravel() for s in x.values()])) for x in read if x]
        carriers = np.bincount(
            np.concatenate([np.zeros(0, np.int64), *carried]), minlength=len(self.concepts) + 1
        )
        return carriers[1:], [stack_labels([self.fit(x, p) for x in read]) for p in protocols]

    def read(self, index: int) -> dict[str, np.ndarray]:
        """Category -> (maps, h, w) columns of an image's concepts at their own size."""
        labels = self.dataset.labels(index)
        for category, stack in labels.items():
            if stack.min() < 0 or stack.max() >= len(self.column):
                raise DissectionError(
                    f"{self.dataset.key(index)}: {category!r} has label {stack.max()}; "
                    f"the dataset's concepts end at {len(self.column) - 1}"
                )
        return {category: self.column[stack] for category, stack in labels.items()}

    def fit(self, columns: dict[str, np.ndarray], protocol: Protocol) -> ImageLabels:
        """What `read` gave, as the protocol wants it."""
        present = np.array([c in columns for c in self.categories])
        # eq. 3.1: the sums run over the images that have a label of the concept's category
        counted = np.append(True, present[self.category] | (not protocol.within_category))
        maps: list[np.ndarray] = []
        whole: set[int] = set()
        for stack in columns.values():
            stack = stack if counted.all() else np.where(counted[stack], stack, 0)
            if stack.shape[1:] == (1, 1):
                whole.update(stack.ravel().tolist())
            else:
                resampled = self.resample(stack, protocol.downsample)
                maps.extend(resampled.reshape(len(stack), -1))
        whole.discard(0)
        distinct: list[np.ndarray] = []
        for m in maps:
            for other in distinct:
                m = np.where(m == other, 0, m)
            m = np.where(np.isin(m, list(whole)), 0, m) if whole else m
            if m.any():
                distinct.append(m)
        return ImageLabels(np.array(distinct), sorted(whole), present)


def stack_labels(labels: Sequence[ImageLabels]) -> ConceptMaps:
    """Labels of several images, those with fewer maps padded with 0."""
    levels, names = max(len(x.maps) for x in labels), max(len(x.whole) for x in labels)
    pixels = max((x.maps.shape[1] for x in labels if len(x.maps)), default=0)
    maps = np.zeros((len(labels), levels, pixels), np.int32)
    whole = np.zeros((len(labels), names), np.int32)
    for i, x in enumerate(labels):
        if len(x.maps):
            maps[i, : len(x.maps)] = x.maps
        whole[i, : len(x.whole)] = x.whole
    categories = np.stack([x.categories for x in labels])
    return ConceptMaps(*map(torch.from_numpy, (maps, whole, categories)))


class Segmented(Concepts):
    """What a segmenter finds in images, looked at once and kept at the size that the protocols want."""

    def __init__(self, segmenter: Segmenter):
        super().__init__(segmenter.concepts)
        self.segmenter = segmenter
        self._kept: dict[range, tuple[np.ndarray, dict[int, Tensor]]] = {}

    def see(self, images: range, pixels: Tensor, protocols: Sequence[Protocol]) -> None:
        """pixels: (n, 3, side, side) uint8 RGB, of the images of these numbers. Raises DissectionError if a label
        is none of the segmenter's concepts."""
        size, column = pixels.shape[-1] // DOWNSAMPLE, torch.from_numpy(self.column)
        stacks = []
        for category, stack in self.segmenter(pixels, DOWNSAMPLE).items():
            if stack.min() < 0 or stack.max() >= len(column):
                raise DissectionError(
                    f"segmenter: {category!r} has label {stack.max()}; "
                    f"its concepts end at {len(column) - 1}"
                )
            stacks.append(column[stack.long().cpu()].expand(-1, -1, size, size))
        maps = torch.cat(stacks, 1).to(pixels.device)
        maps = maps[:, maps.flatten(2).any(2).any(0)]
        carried = torch.zeros(
            len(maps), len(self.concepts) + 1, dtype=torch.bool, device=maps.device
        )
        carried.scatter_(1, maps.flatten(1).long(), True)
        kept = {}
        for downsample in {p.downsample for p in protocols}:
            step = downsample // DOWNSAMPLE
            distinct = maps[:, :, step // 2 :: step, step // 2 :: step].flatten(2)
            for j in range(distinct.shape[1]):
                for k in range(j):
                    distinct[:, j].masked_fill_(distinct[:, j] == distinct[:, k], 0)
            compact = torch.int16 if len(self.concepts) < 2**15 else torch.int32
            kept[downsample] = distinct.to(compact)
        self._kept[images] = carried[:, 1:].sum(0).cpu().numpy(), kept

    def load(
        self, images: range, protocols: Sequence[Protocol]
    ) -> tuple[np.ndarray, list[ConceptMaps]]:
        """As of `Labels`, of a batch of images that were seen together; they are not kept any longer."""
        carriers, kept = self._kept.pop(images)
        n = len(images)
        whole, categories = torch.zeros(n, 0).int(), torch.ones(n, len(self.categories)).bool()
        return carriers, [ConceptMaps(kept[p.downsample], whole, categories) for p in protocols]
