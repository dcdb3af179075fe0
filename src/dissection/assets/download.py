"""HTTP downloads that resume, retry and change to the next mirror.

The libraries for HTTP are imported when there is something to download: every job imports this module.
"""

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from dissection.assets.registry import Download
from dissection.errors import DissectionError
from dissection.paths import replacing

TRIES = 4  # without a byte of progress, for each address
BACKOFF = 1.0  # seconds before the second try; doubles with every further one
TIMEOUT = (10, 60)  # seconds to connect, and between two packets


class Failed(Exception):
    """This address will not give the file: go to the next."""


class Interrupted(Exception):
    """This try failed: wait and go on."""


def download(source: Download, target: Path, verify: Callable[[Path], str]) -> tuple[str, str]:
    """Bring `source` to `target`; return the address it came from and its sha256.

    Bytes gather in a hidden file beside `target` and survive a kill; `verify` returns their sha256 or raises Failed;
    only what it accepts is renamed to `target`. Raises DissectionError with one reason for every address.
    """
    partial = target.with_name(f".{target.name}.part")
    failures = []
    for url in source.urls:
        try:
            pieces = _transfer(source, url, partial)
            try:
                sha256 = verify(partial)
            except Failed:
                _discard(partial)
                if not pieces:
                    raise
                _transfer(
                    source, url, partial
                )  # pieces of two versions of a file: now in one piece
                sha256 = verify(partial)
        except Failed as failure:
            failures.append(f"{url}: {failure}")
            continue
        os.replace(partial, target)
        _discard(partial)
        return url, sha256
    raise DissectionError("; ".join(failures))


def _transfer(source: Download, url: str, partial: Path) -> bool:
    """Bring the whole file to `partial`. True if it was put together from several pieces."""
    from requests import RequestException

    resumed = False
    best, failed = _size(partial), 0
    while True:
        resumed |= _size(partial) > 0
        try:
            _attempt(source, url, partial)
            return resumed
        except (Interrupted, RequestException) as error:
            failed = 1 if _size(partial) > best else failed + 1
            best = max(best, _size(partial))
            if failed == TRIES:
                reason = " ".join(str(error).split()).rpartition("Caused by ")[2]
                raise Failed(f"{reason[:200]} (given up after {TRIES} tries)") from None
            time.sleep(BACKOFF * 2 ** (failed - 1))


def _attempt(source: Download, url: str, partial: Path) -> None:
    """One request, for the bytes that `partial` lacks. Raises Interrupted if more are still missing."""
    import requests
    from urllib3.exceptions import HTTPError

    have, state = _size(partial), _read_state(partial)
    if have and source.bytes == have and state.get("url") == url:
        return
    headers = {"User-Agent": "dissection", "Accept-Encoding": "identity"}
    checked = source.sha256 or source.md5 or source.sha256_prefix or source.files
    if have and state.get("url") == url and (state.get("validator") or checked):
        headers["Range"] = f"bytes={have}-"
        if validator := state.get("validator"):
            headers["If-Range"] = validator
    else:
        have = 0
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        status, answer = response.status_code, response.headers
        if status == 416:
            if answer.get("Content-Range", "").endswith(f"/{have}"):
                return  # killed between the last byte and the rename
            _discard(partial)
            raise Interrupted("HTTP 416: the address has another file than before")
        if status in (408, 425, 429) or status >= 500:
            raise Interrupted(f"HTTP {status} {response.reason}")
        if status not in (200, 206):
            raise Failed(f"HTTP {status} {response.reason}")
        if answer.get("Content-Type", "").startswith("text/html") and not source.file.endswith(
            (".html", ".htm")
        ):
            raise Failed("a web page came instead of the file")
        total = (
            int(answer["Content-Length"]) if answer.get("Content-Length", "").isdigit() else None
        )
        if status == 206:
            unit, _, range_ = answer.get("Content-Range", "").partition(" ")
            first, _, end = range_.partition("-")
            if unit != "bytes" or first != str(have):
                _discard(partial)
                raise Interrupted(f"the server sent range `{range_}`, not from byte {have}")
            total = int(end.rpartition("/")[2]) if end.rpartition("/")[2].isdigit() else None
        else:
            have = 0  # the server ignores Range, or the file has changed
        if source.bytes and total not in (None, source.bytes):
            raise Failed(f"offers {total:,} bytes where {source.bytes:,} are expected")
        expected = total or source.bytes
        free = shutil.disk_usage(partial.parent).free
        if expected and expected - have > free:
            raise DissectionError(
                f"{url}: needs {expected - have:,} bytes, {free:,} are free in {partial.parent}"
            )
        if not have:
            _discard(partial)
            tag = answer.get("ETag", "")
            validator = tag if tag and not tag.startswith("W/") else answer.get("Last-Modified")
            with replacing(_state(partial)) as beside:
                beside.write_text(json.dumps({"url": url, "validator": validator}))
        bar = tqdm(
            desc=source.file, total=expected, initial=have, unit="B", unit_scale=True, disable=None
        )
        broken = False
        with partial.open("ab") as file, bar:
            try:
                for chunk in response.raw.stream(1 << 16, decode_content=False):
                    file.write(chunk)
                    bar.update(len(chunk))
                    if expected and file.tell() > expected:
                        _discard(partial)
                        raise Failed(f"sends more than the expected {expected:,} bytes")
            except HTTPError:
                broken = True
            finally:
                file.flush()
                os.fsync(file.fileno())
    if broken or (expected and _size(partial) < expected):
        of = f"of {expected:,} " if expected else ""
        raise Interrupted(f"the connection ended after {_size(partial):,} {of}bytes")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _state(partial: Path) -> Path:
    return partial.with_name(f"{partial.name}.json")


def _read_state(partial: Path) -> dict[str, str | None]:
    return json.loads(_state(partial).read_text()) if _state(partial).exists() else {}


def clean(folder: Path) -> None:
    """Remove what processes that were killed left in `folder`, but for downloads to be resumed."""
    for path in [*folder.glob(".*.partial"), *folder.glob(".*.part.json")]:
        if path.suffix == ".partial" or not path.with_suffix("").exists():
            path.unlink()


def _discard(partial: Path) -> None:
    partial.unlink(missing_ok=True)
    _state(partial).unlink(missing_ok=True)
