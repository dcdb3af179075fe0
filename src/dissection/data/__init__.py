"""Datasets: images in a fixed order, with labels where there are any.

    dataset = open_dataset(config.datasets["broden"], folder)
    dataset.image(3)      # (height, width, 3) uint8 RGB
    dataset.labels(3)     # {"object": (maps, h, w) int32, "scene": (1, 1, 1) int32, ...}

Label maps may have any size; a whole-image label is a map of one pixel. Several maps of one category, or of
several, may name several concepts at one pixel. 0 is no label. A category that an image was not annotated
for is absent from its dictionary.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from dissection import paths
from dissection.assets import asset_path
from dissection.data.images import read_image
from dissection.errors import DissectionError

if TYPE_CHECKING:
    from dissection import config


class Dataset(ABC):
    """Images by index, and what is known of them.

    concepts: one row a concept, index `number` (1, 2, ...), columns `name` and `category` (its primary one);
        empty where the dataset has no labels.
    classes: names of the image classes, in the order of `target`; empty where there are none.
    """

    concepts: pd.DataFrame = pd.DataFrame(
        {"name": pd.Series(dtype=str), "category": pd.Series(dtype=str)},
        index=pd.Index([], name="number"),
    )
    classes: tuple[str, ...] = ()

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def key(self, index: int) -> str:
        """A name that stays with the image: its path below the dataset's root, or its key."""

    @abstractmethod
    def image(self, index: int) -> np.ndarray:
        """(height, width, 3) uint8 RGB. Raises DissectionError naming an unreadable file."""

    def labels(self, index: int) -> dict[str, np.ndarray]:
        """Category -> (maps, h, w) int32 concept numbers, (maps, 1, 1) for whole-image labels."""
        return {}

    def target(self, index: int) -> int | None:
        """Index into `classes`, or None."""
        return None


class ImageFiles(Dataset):
    """Images that are files, `files` below `root`, in that order."""

    root: Path
    files: list[str]

    def __len__(self) -> int:
        return len(self.files)

    def key(self, index: int) -> str:
        return self.files[index]

    def image(self, index: int) -> np.ndarray:
        return read_image(self.root / self.files[index])


def open_dataset(spec: "config.Dataset", root: Path) -> Dataset:
    """The dataset that `spec` describes, in the format of its reader, from the files at `root`."""
    from dissection.data.broden import Broden
    from dissection.data.folder import Folder
    from dissection.data.labelmefacade import LabelMeFacade
    from dissection.data.lsun import LSUN
    from dissection.data.places import Places

    readers: dict[str, Callable[[Path, str | None, int | None], Dataset]] = {
        "broden": Broden,
        "folder": Folder,
        "labelmefacade": LabelMeFacade,
        "lsun": LSUN,
        "places": Places,
    }
    if not root.is_dir():
        raise DissectionError(f"{root}: not a folder; the {spec.reader} reader expects one")
    return readers[spec.reader](root, spec.split, spec.images)


def dataset_of(profile: "config.Config", name: str) -> Dataset:
    """The profile's dataset of that name, once its asset is there."""
    spec = profile.datasets[name]
    return open_dataset(spec, asset_path(paths.asset_record(profile.profile, spec.asset)))


def join(datasets: Sequence[Dataset]) -> Dataset:
    """The datasets one after the other; concepts and classes of the same name are one."""
    return datasets[0] if len(datasets) == 1 else _Joined(datasets)


class _Joined(Dataset):
    def __init__(self, datasets: Sequence[Dataset]) -> None:
        self._datasets = datasets
        self._starts = np.cumsum([0, *map(len, datasets)])
        concepts = pd.concat([d.concepts for d in datasets]).drop_duplicates("name")
        self.concepts = concepts.set_axis(pd.RangeIndex(1, len(concepts) + 1, name="number"))
        number = {name: number for number, name in self.concepts["name"].items()}
        self.classes = tuple(dict.fromkeys(name for d in datasets for name in d.classes))
        self._numbers = []  # of the concepts, by their number in each dataset
        for dataset in datasets:
            table = np.zeros(dataset.concepts.index.max() + 1, np.int32)
            table[dataset.concepts.index] = dataset.concepts["name"].map(number)
            self._numbers.append(table)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def _locate(self, index: int) -> tuple[int, int]:
        """Which dataset, and the index there."""
        which = int(np.searchsorted(self._starts, index, side="right")) - 1
        return which, index - int(self._starts[which])

    def key(self, index: int) -> str:
        which, index = self._locate(index)
        return self._datasets[which].key(index)

    def image(self, index: int) -> np.ndarray:
        which, index = self._locate(index)
        return self._datasets[which].image(index)

    def labels(self, index: int) -> dict[str, np.ndarray]:
        which, index = self._locate(index)
        found = self._datasets[which].labels(index)
        return {category: self._numbers[which][maps] for category, maps in found.items()}

    def target(self, index: int) -> int | None:
        which, index = self._locate(index)
        target = self._datasets[which].target(index)
        return None if target is None else self.classes.index(self._datasets[which].classes[target])
