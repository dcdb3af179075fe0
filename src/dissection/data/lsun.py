"""LSUN: encoded photographs in LMDB databases, one for each category and split."""

import os
from pathlib import Path

import lmdb
import numpy as np

from dissection.data import Dataset
from dissection.data.images import decode_image
from dissection.errors import DissectionError


class LSUN(Dataset):
    """One database (a folder with data.mdb), or a folder of databases <category>_<split>_lmdb.

    Order: by category, then by key, which is LMDB's own. classes: the categories of a folder of databases.
    Images are decoded by content (the published ones are WebP or JPEG).
    """

    def __init__(self, root: Path, split: str | None = None, images: int | None = None) -> None:
        if (root / "data.mdb").is_file():
            self._folders = [root]
        else:
            self._folders = sorted(
                path.parent for path in root.glob(f"*_{split or '*'}_lmdb/data.mdb")
            )
            self.classes = tuple(folder.name.rsplit("_", 2)[0] for folder in self._folders)
        if not self._folders:
            raise DissectionError(
                f"{root}: expected data.mdb, or folders <category>_{split or '<split>'}_lmdb"
            )
        if len(set(self.classes)) < len(self.classes):
            raise DissectionError(
                f"{root}: several splits of {self.classes[0]}: choose one by `split`"
            )
        self._keys: list[np.ndarray] = []
        for folder in self._folders:
            left = None if images is None else images - sum(map(len, self._keys))
            self._keys.append(_keys(folder, left))
        self._starts = np.cumsum([0, *map(len, self._keys)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def key(self, index: int) -> str:
        database, key = self._locate(index)
        name = key.decode("ascii", "backslashreplace")
        return f"{self._folders[database].name}/{name}" if self.classes else name

    def image(self, index: int) -> np.ndarray:
        database, key = self._locate(index)
        folder = self._folders[database]
        with _environment(folder).begin(buffers=True) as transaction:
            data = transaction.get(key)
            if data is None:
                raise DissectionError(
                    f"{folder}: key {key!r} is gone: the database was changed while it was read"
                )
            return decode_image(np.frombuffer(data, np.uint8), f"{folder}: key {self.key(index)}")

    def target(self, index: int) -> int | None:
        return self._locate(index)[0] if self.classes else None

    def _locate(self, index: int) -> tuple[int, bytes]:
        """Database and key of an image."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        database = int(np.searchsorted(self._starts, index, side="right")) - 1
        return database, bytes(self._keys[database][index - self._starts[database]])


def _keys(folder: Path, limit: int | None) -> np.ndarray:
    keys: list[bytes] = []
    with _environment(folder).begin() as transaction:
        for key in transaction.cursor().iternext(values=False):
            if limit is not None and len(keys) >= limit:
                break
            keys.append(key)
    return np.array(keys, dtype=bytes) if keys else np.empty(0, "S1")


_OPEN: dict[
    Path, lmdb.Environment
] = {}  # LMDB allows a process to open a database once, and not to inherit it


def _environment(folder: Path) -> lmdb.Environment:
    """The database, opened at its first use in this process."""
    if folder not in _OPEN:
        try:
            _OPEN[folder] = lmdb.open(
                str(folder), readonly=True, lock=False, readahead=False, create=False
            )
        except lmdb.Error as error:
            raise DissectionError(f"{folder}: not an LMDB database: {error}") from None
    return _OPEN[folder]


def _forget() -> None:
    while _OPEN:
        _OPEN.popitem()[1].close()


os.register_at_fork(after_in_child=_forget)
