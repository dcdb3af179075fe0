"""Broden: images densely labelled with objects, parts, materials, textures, colours and scenes (Bau et al. 2017)."""

from pathlib import Path

import numpy as np
import pandas as pd

from dissection.data import Dataset
from dissection.data.images import check_numbers, known_numbers, read_image, read_numbers
from dissection.errors import DissectionError

_FIXED = ["image", "split", "ih", "iw", "sh", "sw"]  # columns of index.csv before the categories


class Broden(Dataset):
    """A Broden directory as published: index.csv, category.csv, label.csv, c_<category>.csv, images/.

    Order: that of index.csv. split: `train`, `val`, or None for all, as the thesis uses it.
    Names keep their suffix (-s scene, -c colour). A whole-image label of 0, dropped by the publisher's frequency
    filter, is no label. classes: the scenes in order of their code; target: the scene of an image that has exactly one.
    """

    def __init__(self, root: Path, split: str | None = None, images: int | None = None) -> None:
        self.root = root
        index = _read_csv(root / "index.csv", dict.fromkeys(_FIXED, str))
        if split is not None:
            splits = sorted(set(index["split"]))
            if split not in splits:
                raise DissectionError(
                    f"{root / 'index.csv'}: no split `{split}`: choose one of {', '.join(splits)}"
                )
            index = index[index["split"] == split]
        index = index[:images]
        self.categories = [column for column in index.columns if column not in _FIXED]
        for column in ["image", *self.categories]:
            outside = index[column].str.contains(r"(?:^|[;/\\])\.\.(?:[;/\\]|$)|(?:^|;)[/\\]")
            if outside.any():
                cell = index.loc[outside, column].iloc[0]
                raise DissectionError(
                    f"{root / 'index.csv'}: column {column}: `{cell}` leads out of images/"
                )
        self._images: list[str] = index["image"].to_list()
        self._cells: dict[str, list[str]] = {
            name: index[name].to_list() for name in self.categories
        }
        self.concepts, codes = _concepts(root)
        self._known = known_numbers(self.concepts.index)
        scenes = codes.get("scene", [])
        self.classes = tuple(self.concepts.loc[scenes, "name"])
        self._class = {number: position for position, number in enumerate(scenes)}

    def __len__(self) -> int:
        return len(self._images)

    def key(self, index: int) -> str:
        return self._images[index]

    def image(self, index: int) -> np.ndarray:
        return read_image(self.root / "images" / self._images[index])

    def labels(self, index: int) -> dict[str, np.ndarray]:
        result = {}
        for category in self.categories:
            if not (cell := self._cells[category][index]):
                continue
            maps = [read_numbers(self.root / "images" / item) for item in _files(cell)]
            if len({each.shape for each in maps}) > 1:
                raise DissectionError(
                    f"{self.root / 'images'}: the label maps {cell} differ in size"
                )
            shape = maps[0].shape if maps else (1, 1)
            maps += [np.full(shape, number, np.int32) for number in self._numbers(cell)]
            if maps:
                result[category] = check_numbers(
                    np.stack(maps), self._known, self.root / "images" / cell
                )
        return result

    def target(self, index: int) -> int | None:
        scenes = self._numbers(self._cells["scene"][index]) if "scene" in self._cells else []
        return self._class.get(scenes[0]) if len(scenes) == 1 else None

    @staticmethod
    def _numbers(cell: str) -> list[int]:
        """Whole-image labels of a cell, without 0."""
        return [int(item) for item in cell.split(";") if item.isdigit() and int(item) > 0]


def _files(cell: str) -> list[str]:
    return [item for item in cell.split(";") if not item.isdigit()]


def _concepts(root: Path) -> tuple[pd.DataFrame, dict[str, list[int]]]:
    """The concepts with their primary category, and for each category its label numbers in order of their code.

    The primary category of a concept is the one where its coverage is largest; of equals, the later one.
    """
    label = _read_csv(root / "label.csv", {"number": int, "name": str, "category": str}).set_index(
        "number"
    )
    label = label[label.index > 0]
    primary = label["category"].str.extract(r"^([^(;]*)")[0].to_dict()  # `cat(n);cat(n)`
    coverage = dict.fromkeys(label.index, -1.0)
    codes: dict[str, list[int]] = {}
    for category in _read_csv(root / "category.csv", {"name": str})["name"]:
        rows = _read_csv(
            root / f"c_{category}.csv", {"code": int, "number": int, "coverage": float}
        )
        rows = rows[rows["number"].isin(label.index)].sort_values("code")
        codes[category] = rows["number"].to_list()
        for number, covered in zip(codes[category], rows["coverage"], strict=True):
            if covered >= coverage[number]:
                coverage[number], primary[number] = covered, category
    return pd.DataFrame(
        {"name": label["name"], "category": [primary[n] for n in label.index]}
    ), codes


def _read_csv(path: Path, columns: dict[str, type]) -> pd.DataFrame:
    """A table with `columns` of the given types; all others are text. Raises DissectionError naming the file."""
    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False).astype(columns)
    except (OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise DissectionError(
            f"{path}: cannot be read, or without {', '.join(columns)}: {reason}"
        ) from None
