"""One way into place for every asset: the user's own copy, or a download; verified, unpacked, recorded."""

import fnmatch
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock
from tqdm import tqdm

from dissection.assets.download import Failed, clean, download
from dissection.assets.registry import Download, Entry, Files
from dissection.assets.tensorflow import convert
from dissection.assets.unpack import ArchiveError, sole_folder, unpack
from dissection.errors import DissectionError
from dissection.paths import replacing

log = logging.getLogger(__name__)
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")


def fetch(entry: Entry, out: Path, downloads: Path | None, own: Path | None, record: Path) -> None:
    """Make `entry` available and write its record.

    out: folder of this asset; may be shared by profiles and by processes that run at once.
    downloads: folder of the user's downloads, looked up by published file name or by asset id.
    own: the user's own copy (a file, an archive, or a folder), used in preference. Neither is changed or copied.
    Safe to kill and to repeat. Raises DissectionError naming the asset, the address or file, expected and found
    checksums, and how to supply it by hand.
    """
    own = own or (in_downloads(entry, downloads) if downloads else None)
    try:
        if own is not None:
            path = _own(entry, own.expanduser(), out)
        elif entry.status == "published":
            path = _folder(entry, out, downloads) if entry.parts else _obtain(entry, out)
        elif entry.status == "not_released":
            raise DissectionError(
                f"not available: never released by its authors. {entry.note}".rstrip(". ")
            )
        else:
            raise DissectionError("not in the registry of assets, and no path is given")
        write_record(record, entry.id, path)
    except (DissectionError, Failed, OSError) as error:
        if own is not None:
            remedy = f"{own} is your own copy: replace it, or remove it to download anew"
        else:
            named = f", or `downloads: <folder>` that holds {entry.file}" if entry.file else ""
            remedy = (
                f"to supply it by hand: `assets: {{{entry.id}: {{path: <file or folder>}}}}`{named}"
            )
        raise DissectionError(f"asset `{entry.id}`: {error}; {remedy}") from None


def write_record(record: Path, asset: str, path: Path) -> None:
    """Write {"asset", "path", "sha256" of a file or "files" of a folder, "bytes"}, also for generated assets.

    "files" is {"count", "sha256"}, the digest of `registry.Files` over all but hidden files. Same bytes, same record.
    """
    content: dict[str, Any] = {"asset": asset, "path": path.as_posix()}
    if path.is_dir():
        digest = _digest(_hashes(path))
        content |= {
            "files": {"count": digest.files, "sha256": digest.sha256},
            "bytes": digest.bytes,
        }
    else:
        content |= {"sha256": _hash(path)["sha256"], "bytes": path.stat().st_size}
    _write(record, content)


def asset_path(record: Path) -> Path:
    """Where the asset of a record lies: a file, or the folder of what was in an archive."""
    try:
        content = json.loads(record.read_text(encoding="utf-8"))
        path = Path(content["path"])
    except (OSError, ValueError, KeyError) as error:
        raise DissectionError(
            f"{record}: not a record of an asset ({error}): fetch it again"
        ) from None
    if not path.exists():
        raise DissectionError(
            f"asset `{content['asset']}`: {path} is gone: delete {record} and run again"
        )
    return path


# ---------------------------------------------------------------------------------------------- ways into place


def _own(entry: Entry, own: Path, out: Path) -> Path:
    """Verify the user's own copy; unpack it into `out` if it is an archive."""
    if not own.exists():
        raise DissectionError(f"{own} does not exist")
    if own.is_file():
        if entry.parts:
            raise DissectionError(
                f"{own} is a file, where a folder with {_list(entry.parts)} is expected"
            )
        if entry.unpack != "none" or (entry.status != "published" and own.name.endswith(ARCHIVES)):
            return _obtain(entry, out, own)
        _verify(own, entry)
        return own
    if entry.files:
        own = sole_folder(own)
        _verify_files(own, entry.files, _hashes(own))
        return own
    for part in entry.parts:
        if part.unpack == "none":
            if not (own / part.file).is_file():
                raise DissectionError(f"{own / part.file} is missing")
            _verify(own / part.file, part)
    if entry.unpack != "none" or any(part.unpack != "none" for part in entry.parts):
        log.warning(
            "asset `%s`: %s is used as it is: there is no checksum of unpacked files", entry.id, own
        )
    elif entry.status == "published" and not entry.parts:
        raise DissectionError(f"{own} is a folder, where the file {entry.file} is expected")
    return own


def _folder(entry: Entry, out: Path, downloads: Path | None) -> Path:
    """An asset of several parts: each under its own name in `out`."""
    for part in entry.parts:
        given = downloads.expanduser() / part.file if downloads else None
        _obtain(part, out, given if given and given.is_file() else None)
    return out


def _obtain(source: Download, out: Path, given: Path | None = None) -> Path:
    """One file or unpacked archive in `out`, from the file `given` or else from its addresses.

    A receipt beside it remembers what was verified: the address and hash of the download and, as the archive is
    deleted once unpacked, the digest of its files. Every step leaves a state from which this function ends alike.
    """
    name = source.file or (given.name if given else "")
    stem = source.stem if source.file else f"{name}.unpacked"
    target, folder, receipt_path = out / name, out / stem, out / f".{name}.json"
    out.mkdir(parents=True, exist_ok=True)
    with FileLock(out / ".lock"):
        fresh, old = out / f".{stem}.unpacking", out / f".{stem}.old"
        _remove(fresh, old)  # left by a process that was killed
        clean(out)
        receipt = json.loads(receipt_path.read_text()) if receipt_path.exists() else {}
        unpacks = source.unpack != "none" or (given is not None and not source.urls)

        def verify(path: Path) -> str:
            sha256 = _verify(path, source)
            if (
                receipt.get("url") in source.urls
                and source.checksum
                and receipt["sha256"] != sha256
            ):
                raise Failed(
                    f"{path.name}: expected sha256 {receipt['sha256']}, as at first download, found {sha256} "
                    f"(if the publisher has changed it, delete {receipt_path})"
                )
            if unpacks:
                _remove(fresh)
                try:
                    (convert if source.unpack == "tensorflow" else unpack)(path, fresh)
                except ArchiveError as error:
                    raise Failed(str(error)) from None
                if source.files:
                    _verify_files(path, source.files, _hashes(sole_folder(fresh)))
            return sha256

        if (
            unpacks
            and folder.exists()
            and receipt
            and (given is None or _hash(given)["sha256"] == receipt["sha256"])
        ):
            found = _digest(_hashes(folder))
            if found.sha256 != receipt["files"]:
                raise DissectionError(
                    f"{folder} was altered after it was unpacked from {receipt['url']}: expected "
                    f"digest {receipt['files']}, found {found.sha256}; delete it to begin again"
                )
            target.unlink(missing_ok=True)
            return folder
        try:
            if given is not None:
                receipt = {"url": str(given), "sha256": verify(given)}
            elif target.exists():
                receipt = {
                    "url": source.urls[0],
                    **receipt,
                    "sha256": _again(target, source, verify),
                }
            else:
                first = not receipt
                receipt = dict(
                    zip(("url", "sha256"), download(source, target, verify), strict=True)
                )
                if source.checksum == "none" and first:
                    log.warning(
                        "%s: the publisher gives no checksum; trusted on first download, with sha256 %s. "
                        "Compare it with someone else's, then put it into config/assets.yaml",
                        receipt["url"],
                        receipt["sha256"],
                    )
            if not unpacks:
                if given is not None:
                    target.unlink(missing_ok=True)
                    target.symlink_to(given.resolve())
                _write(receipt_path, receipt)
                return target
            inside = sole_folder(fresh)
            receipt["files"] = _digest(_hashes(inside)).sha256
            if folder.exists():
                os.replace(folder, old)
            _write(receipt_path, receipt)
            os.replace(inside, folder)
            target.unlink(missing_ok=True)
            return folder
        finally:
            _remove(fresh, old)


def _again(target: Path, source: Download, verify: Callable[[Path], str]) -> str:
    """Verify what an earlier run has left in place."""
    try:
        return verify(target)
    except Failed as failure:
        raise DissectionError(
            f"{failure}: altered after it came from {source.urls[0]}; delete {target} to download it "
            "again"
        ) from None


def _remove(*folders: Path) -> None:
    for folder in folders:
        if folder.exists():
            shutil.rmtree(folder)


def in_downloads(entry: Entry, downloads: Path) -> Path | None:
    """The asset among the user's downloads, if it is there."""
    if entry.parts:
        return None  # looked up one by one
    names = [entry.file, *(url.rsplit("/", 1)[-1] for url in entry.urls)]
    if entry.unpack != "none":
        names += [entry.id + suffix for suffix in ARCHIVES] + [entry.stem, entry.id]
    if not downloads.expanduser().is_dir():
        raise DissectionError(f"downloads: {downloads} is not a folder")
    paths = [downloads.expanduser() / name for name in names if name]
    return next((path for path in paths if path.exists()), None)


# ---------------------------------------------------------------------------------------------- verification


class _Digest(NamedTuple):
    files: int
    bytes: int
    sha256: str


def _verify(path: Path, source: Download) -> str:
    """The file's sha256. Raises Failed, with both sizes or hashes, if it is not the published file."""
    if source.files:
        return _hash(path)[
            "sha256"
        ]  # its files are verified once unpacked; it may be packed in any way
    size = path.stat().st_size
    if source.bytes and size != source.bytes:
        raise Failed(f"{path.name}: expected {source.bytes:,} bytes, found {size:,}")
    found = _hash(path, md5=source.md5 is not None)
    for kind, expected in (
        ("sha256", source.sha256),
        ("sha256", source.sha256_prefix),
        ("md5", source.md5),
    ):
        if expected and not found[kind].startswith(expected):
            raise Failed(f"{path.name}: expected {kind} {expected}, found {found[kind]}")
    return found["sha256"]


def _verify_files(where: Path, expected: Files, hashes: Iterable[tuple[str, str, int]]) -> None:
    found = _digest(
        item
        for item in hashes
        if any(fnmatch.fnmatchcase(item[0], glob) for glob in expected.include)
    )
    if (found.files, found.bytes) != (expected.count, expected.bytes):
        raise Failed(
            f"{where}: expected {expected.count:,} files ({', '.join(expected.include)}) of "
            f"{expected.bytes:,} bytes together, found {found.files:,} of {found.bytes:,}"
        )
    if found.sha256 != expected.sha256:
        raise Failed(
            f"{where}: expected digest {expected.sha256} of its files "
            f"({', '.join(expected.include)}), found {found.sha256}"
        )


def _hashes(folder: Path) -> list[tuple[str, str, int]]:
    """(path below the folder, sha256, bytes) of every file, by path; not of hidden files, nor of LMDB's lock."""
    paths = []
    for directory, subfolders, files in os.walk(folder, followlinks=True):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        below = Path(directory).relative_to(folder)
        paths += [
            (below / name).as_posix()
            for name in files
            if not name.startswith(".") and name != "lock.mdb"
        ]
    return [
        (path, _hash(folder / path)["sha256"], (folder / path).stat().st_size)
        for path in tqdm(sorted(paths), desc=f"verify {folder.name}", unit=" files", disable=None)
    ]


def _digest(hashes: Iterable[tuple[str, str, int]]) -> _Digest:
    total, count, size = hashlib.sha256(), 0, 0
    for path, sha256, length in hashes:
        total.update(f"{sha256}  {path}\n".encode())
        count, size = count + 1, size + length
    return _Digest(count, size, total.hexdigest())


def _hash(path: Path, md5: bool = False) -> dict[str, str]:
    hashes = {"sha256": hashlib.sha256()} | (
        {"md5": hashlib.md5(usedforsecurity=False)} if md5 else {}
    )
    try:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                for each in hashes.values():
                    each.update(chunk)
    except OSError as error:
        raise DissectionError(f"{path}: cannot be read: {error.strerror}") from None
    return {kind: each.hexdigest() for kind, each in hashes.items()}


def _list(parts: list[Download]) -> str:
    return ", ".join(part.file for part in parts)


def _write(path: Path, content: dict[str, Any]) -> None:
    with replacing(path) as beside:
        beside.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")
