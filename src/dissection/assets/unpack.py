"""Archives: unpacked inside their folder, or refused."""

import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from tqdm import tqdm

from dissection.errors import DissectionError

SPLITS = ("train", "val", "test")


class ArchiveError(DissectionError):
    """The archive itself is at fault: damaged, or refused."""


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip or (compressed) tar into the new `folder`.

    Only plain files and folders are written, with the permissions of new files. Raises ArchiveError, naming archive
    and member, for an absolute path, `..`, a link, a device or a damaged archive; DissectionError for a full disk.
    """
    folder.mkdir(parents=True)
    try:
        for name, content in tqdm(
            _members(archive), desc=f"unpack {archive.name}", unit=" files", disable=None
        ):
            path = folder / _inside(archive, name)
            if content is None:
                path.mkdir(parents=True, exist_ok=True)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                shutil.copyfileobj(content, file, 1 << 20)
    except (
        zipfile.BadZipFile,
        tarfile.TarError,
        zlib.error,
        EOFError,
        RuntimeError,
        NotImplementedError,
    ) as error:
        raise ArchiveError(f"{archive}: damaged archive: {error}") from None
    except OSError as error:
        raise DissectionError(f"{archive}: cannot unpack to {folder}: {error}") from None


def sole_folder(folder: Path) -> Path:
    """The folder itself, or the one that wraps all it holds; one that is called as a split is no wrapper."""
    inside = [path for path in folder.iterdir() if not path.name.startswith(".")]
    wraps = len(inside) == 1 and inside[0].is_dir() and inside[0].name not in SPLITS
    return sole_folder(inside[0]) if wraps else folder


def _members(archive: Path) -> Iterator[tuple[str, IO[bytes] | None]]:
    """Name and content of every member in order; no content: a folder."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as packed:
            need, free = (
                sum(info.file_size for info in packed.infolist()),
                shutil.disk_usage(archive.parent).free,
            )
            if need > free:
                raise DissectionError(
                    f"{archive}: needs {need:,} bytes unpacked, {free:,} are free on its disk"
                )
            for info in packed.infolist():
                kind = stat.S_IFMT(info.external_attr >> 16)
                if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                    raise ArchiveError(
                        f"{archive}: refused: `{info.filename}` is a link or a device"
                    )
                if info.is_dir():
                    yield info.filename, None
                else:
                    with packed.open(info) as content:
                        yield info.filename, content
    else:
        with tarfile.open(
            archive, "r|*"
        ) as stream:  # one pass: a compressed tar is decompressed only once
            for member in stream:
                if not (member.isreg() or member.isdir()):
                    raise ArchiveError(f"{archive}: refused: `{member.name}` is a link or a device")
                yield member.name, None if member.isdir() else stream.extractfile(member)


def _inside(archive: Path, name: str) -> Path:
    parts = PurePosixPath(name).parts
    if not parts and name not in ("", ".", "./"):
        raise ArchiveError(f"{archive}: refused: a member has the name `{name}`")
    if (
        name.startswith("/")
        or ".." in parts
        or "\\" in name
        or "\0" in name
        or os.path.splitdrive(name)[0]
    ):
        raise ArchiveError(f"{archive}: refused: `{name}` leads out of the folder")
    return Path(*parts)
