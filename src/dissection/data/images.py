"""Decode images and label maps. EXIF orientation is ignored everywhere, so that images and labels stay aligned."""

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from dissection.errors import DissectionError

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
_RGB = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION


def decode_image(data: bytes | np.ndarray, name: str) -> np.ndarray:
    """(h, w, 3) uint8 RGB of an encoded image, whatever its format. Raises DissectionError naming `name`."""
    buffer = np.frombuffer(data, np.uint8)
    image = cv2.imdecode(buffer, _RGB) if buffer.size else None
    if image is None:
        raise DissectionError(f"{name}: not an image, or damaged: replace the file")
    return image


def read_image(path: Path) -> np.ndarray:
    """(h, w, 3) uint8 RGB."""
    return decode_image(_read(path), str(path))


def read_numbers(path: Path) -> np.ndarray:
    """(h, w) int32 concept numbers R + 256 G of an 8-bit RGB(A) PNG, as in Broden."""
    pixels = cv2.imdecode(_read(path), cv2.IMREAD_UNCHANGED)  # B, G, R
    if pixels is None or pixels.ndim != 3 or pixels.dtype != np.uint8:
        raise DissectionError(f"{path}: expected an 8-bit RGB label map: replace the file")
    return pixels[..., 2].astype(np.int32) + 256 * pixels[..., 1].astype(np.int32)


def known_numbers(numbers: Iterable[int]) -> np.ndarray:
    """Lookup table for `check_numbers`: which of 0 to 65535 may occur; 0, no label, always may."""
    table = np.zeros(1 << 16, bool)
    table[[0, *numbers]] = True
    return table


def check_numbers(maps: np.ndarray, known: np.ndarray, path: Path) -> np.ndarray:
    """`maps` as they are. Raises DissectionError if they hold a number that is no concept."""
    if maps.max() >= len(known) or not known[maps].all():
        number = next(
            number for number in np.unique(maps) if number >= len(known) or not known[number]
        )
        raise DissectionError(f"{path}: label {number} is not among the data set's concepts")
    return maps


def _read(path: Path) -> np.ndarray:
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise DissectionError(f"{path}: cannot be read: {error.strerror}") from None
    if not data.size:
        raise DissectionError(f"{path}: the file is empty")
    return data
