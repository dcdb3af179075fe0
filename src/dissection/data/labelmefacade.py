"""LabelMeFacade: 945 street photographs with pixel labels of eight concepts (Fröhlich, Rodner, Denzler 2010)."""

from pathlib import Path, PurePosixPath

import cv2
import numpy as np
import pandas as pd

from dissection.data import ImageFiles
from dissection.errors import DissectionError

COLOURS = {  # concept: R, G, B; 0, 0, 0 is no label
    "building": (128, 0, 0),
    "car": (128, 0, 128),
    "door": (128, 128, 0),
    "pavement": (128, 128, 128),
    "road": (128, 64, 0),
    "sky": (0, 128, 128),
    "vegetation": (0, 128, 0),
    "window": (0, 0, 128),
}
# Every channel is 0, 64 or 128, so that a colour is a number of three ternary digits; 27 in any place is no colour.
_DIGITS = np.full((256, 3), 27, np.uint8)  # rows by value, columns B, G, R
_DIGITS[[0, 64, 128]] = np.outer([0, 1, 2], [9, 3, 1])
_NUMBERS = np.full(3 * 27 + 1, -1, np.int32)
for _number, _colour in enumerate([(0, 0, 0), *COLOURS.values()]):
    _NUMBERS[sum(int(_DIGITS[value, 2 - channel]) for channel, value in enumerate(_colour))] = (
        _number
    )


class LabelMeFacade(ImageFiles):
    """images/*.jpg, labels/*.png (colours), train.txt and test.txt. split: `train` (100), `test` (845) or None (945).

    Order: sorted by path. Every pixel is annotated for the one category `object`; unlabelled pixels are 0.
    """

    concepts = pd.DataFrame(
        {"name": list(COLOURS), "category": "object"},
        index=pd.RangeIndex(1, len(COLOURS) + 1, name="number"),
    )

    def __init__(self, root: Path, split: str | None = None, images: int | None = None) -> None:
        self.root = root
        if split not in (None, "train", "test"):
            raise DissectionError(
                f"{root}: no split `{split}`: choose train or test, or none for all images"
            )
        files: set[str] = set()
        for each in (split,) if split else ("train", "test"):
            listing = root / f"{each}.txt"
            try:
                files.update(
                    line.strip()
                    for line in listing.read_text(encoding="utf-8").splitlines()
                    if line.strip()
                )
            except OSError as error:
                raise DissectionError(f"{listing}: cannot be read: {error.strerror}") from None
        for file in files:
            if (
                len(PurePosixPath(file).parts) != 2
                or not file.startswith("images/")
                or ".." in file
            ):
                raise DissectionError(
                    f"{root}: `{file}` in the list of images is not images/<name>.jpg"
                )
        self.files = sorted(files)[:images]

    def labels(self, index: int) -> dict[str, np.ndarray]:
        path = self.root / "labels" / f"{PurePosixPath(self.files[index]).stem}.png"
        pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)  # B, G, R
        if pixels is None:
            raise DissectionError(f"{path}: missing or damaged label map")
        digits = cv2.LUT(pixels, _DIGITS[None])
        numbers = _NUMBERS[digits[..., 0] + digits[..., 1] + digits[..., 2]]
        if numbers.min() < 0:
            blue, green, red = pixels[numbers < 0][0]
            raise DissectionError(f"{path}: colour {red},{green},{blue} is no concept's")
        return {"object": numbers[None]}
