"""Any folder of images, with or without labels of one's own concepts."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, UnidentifiedImageError

from dissection.data import ImageFiles
from dissection.data.images import EXTENSIONS, check_numbers, known_numbers
from dissection.errors import DissectionError


class Folder(ImageFiles):
    """Images in a folder and in the folders below it; nothing else is needed. To add concepts of one's own:

        <root>/images/<any>/<name>.jpg              the images
        <root>/labels.csv                           number,name,category: the concepts, numbered from 1
        <root>/labels/<category>/<any>/<name>.png   a label map of the image: indexed or grey with the number
                                                    as value, or RGB with number = R + 256 G; 0 is no label

    A map may have any size; an image without a file in labels/<category> was not annotated for the category.
    Order: sorted by path. split: only the images below images/<split>, or below the root's folder <split>.
    """

    def __init__(self, root: Path, split: str | None = None, images: int | None = None) -> None:
        self.root = root / "images" if (root / "images").is_dir() else root
        self._labels = root / "labels"
        below = self.root / split if split else self.root
        if not below.is_dir():
            raise DissectionError(f"{below} is not a folder of images")
        paths = [
            path.relative_to(self.root).as_posix()
            for path in below.rglob("*")
            if path.suffix.lower() in EXTENSIONS and not path.name.startswith(".")
        ]
        if self.root == root:
            paths = [path for path in paths if not path.startswith("labels/")]
        self.files = sorted(paths)[:images]
        if not self.files:
            raise DissectionError(f"{below}: no images ({', '.join(EXTENSIONS)}) in it")
        if (root / "labels.csv").is_file():
            self.concepts = _concepts(root / "labels.csv")
            self._known = known_numbers(self.concepts.index)
        elif self._labels.is_dir():
            raise DissectionError(
                f"{root}: labels/ is there, labels.csv (number,name,category) is not"
            )

    def labels(self, index: int) -> dict[str, np.ndarray]:
        result = {}
        for category in dict.fromkeys(self.concepts["category"]):
            path = (self._labels / category / self.files[index]).with_suffix(".png")
            if path.is_file():
                result[category] = check_numbers(_label_map(path), self._known, path)[None]
        return result


def _concepts(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(
            path, dtype={"number": int, "name": str, "category": str}, keep_default_na=False
        )
        table = table.set_index("number")[["name", "category"]]
    except (OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise DissectionError(f"{path}: expected columns number,name,category: {reason}") from None
    if table.index.has_duplicates or not table.index.to_series().between(1, 65535).all():
        raise DissectionError(f"{path}: every number must be there once, from 1 to 65535")
    unsafe = table["category"].str.contains(r"[/\\]|^\.*$")
    if unsafe.any():
        raise DissectionError(
            f"{path}: `{table['category'][unsafe].iloc[0]}` cannot be the name of a folder"
        )
    return table


def _label_map(path: Path) -> np.ndarray:
    """(h, w) int32. Pillow, as it alone gives the indices of an indexed PNG."""
    try:
        with Image.open(path) as image:
            pixels = np.asarray(image)
    except (OSError, UnidentifiedImageError, SyntaxError) as error:
        raise DissectionError(f"{path}: not a label map, or damaged: {error}") from None
    if pixels.ndim == 3:
        return pixels[..., 0].astype(np.int32) + 256 * pixels[..., 1].astype(np.int32)
    return pixels.astype(np.int32)
