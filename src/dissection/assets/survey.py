"""What of the assets is there, and which of their addresses answer, before anything is fetched."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import requests

from dissection.assets.fetch import in_downloads
from dissection.assets.registry import Download, Entry

TIMEOUT = (10, 20)  # seconds to connect, and for the headers
AT_ONCE = 8  # addresses asked at the same time


class State(NamedTuple):
    """state: present, missing, to draw, or not released; bytes: on disk, or else to download; None: not known.

    about: the size is a rough one. source: where it lies or comes from.
    """

    state: str
    bytes: int | None
    about: bool
    source: str


class Answer(NamedTuple):
    """bytes: as the headers say; None: they do not. problem: empty if the file is there."""

    asset: str
    url: str
    bytes: int | None
    problem: str


def state(
    entry: Entry, folder: Path, downloads: Path | None, own: Path | None, drawn: bool = False
) -> State:
    """Where an asset is, by its files and without reading them: verifying them is left to `fetch`.

    folder: where it is downloaded to; downloads, own: the user's copies, as for `fetch`; drawn: `own` is drawn.
    """
    own = own or (in_downloads(entry, downloads) if downloads else None)
    if own is not None:
        own = own.expanduser()
        if own.exists():
            return State("present", _size(own), False, f"{own}")
        return State("to draw" if drawn else "missing", None, False, f"{own}")
    if entry.status != "published":
        return State("not released", None, False, entry.note)
    parts: list[Download] = entry.parts or [entry]
    given = [downloads.expanduser() / part.file for part in entry.parts] if downloads else []
    places = [
        [folder / part.file, *([folder / part.stem] if part.unpack != "none" else [])]
        for part in parts
    ]
    for place, path in zip(places, given, strict=False):
        place.append(path)
    there = [next(filter(Path.exists, place), None) for place in places]
    if all(there):
        return State("present", sum(map(_size, filter(None, there))), False, f"{folder}")
    sizes = [part.bytes or part.about for part in parts]
    known = None if None in sizes else sum(filter(None, sizes))
    about = any(part.bytes is None for part in parts)
    more = f" and {len(parts) - 1} more" if len(parts) > 1 else ""
    return State("missing", known, about, parts[0].urls[0] + more)


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size


def check(entries: Iterable[Entry]) -> list[Answer]:
    """Ask every address of the entries for its headers; the order of the answers is that of the addresses."""
    asked = [
        (entry.id, part, url)
        for entry in entries
        for part in (entry.parts or [entry])
        for url in part.urls
    ]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(lambda one: Answer(one[0], one[2], *_ask(one[1], one[2])), asked))


def unanswered(entries: Iterable[Entry], answers: Iterable[Answer]) -> list[str]:
    """Names of the entries that have a file of which no address answers."""
    good = {answer.url for answer in answers if not answer.problem}
    return [
        entry.id
        for entry in entries
        if any(part.urls and good.isdisjoint(part.urls) for part in (entry.parts or [entry]))
    ]


def _ask(part: Download, url: str) -> tuple[int | None, str]:
    """Bytes, and what is wrong. Not every server answers HEAD; then the first byte is asked for."""
    problem = ""
    for method, range_ in (("HEAD", {}), ("GET", {"Range": "bytes=0-0"})):
        headers = {"User-Agent": "dissection", "Accept-Encoding": "identity", **range_}
        try:
            with requests.request(
                method, url, headers=headers, timeout=TIMEOUT, allow_redirects=True, stream=True
            ) as response:
                status, answer = response.status_code, response.headers
        except requests.RequestException as error:
            reason = " ".join(str(error).split()).rpartition("Caused by ")[2]
            plain = re.fullmatch(
                r"\w+\([\"'].*?\): (.*)[\"']\)+", reason
            )  # class and address left out
            return None, (plain[1] if plain else reason)[:200]  # as GET would end
        if status not in (200, 206):
            problem = f"HTTP {status} {response.reason}"
            continue
        if answer.get("Content-Type", "").startswith("text/html"):
            problem = "a web page in place of the file"
            continue
        length = answer.get("Content-Length", "")
        if status == 206:
            length = answer.get("Content-Range", "").rpartition("/")[2]
        offered = int(length) if length.isdigit() else None
        if part.bytes and offered not in (None, part.bytes):
            return offered, f"offers {offered:,} bytes where {part.bytes:,} are expected"
        return offered, ""
    return None, problem


def listing(states: dict[str, State], rows: dict[str, list[str]]) -> str:
    """A line for each asset."""
    lines = [
        (name, found.state, readable(found.bytes, found.about), found.source, ", ".join(rows[name]))
        for name, found in states.items()
    ]
    return columns(("asset", "state", "size", "source", "needed by"), lines)


def total(states: dict[str, State]) -> str:
    """How many assets are there, how many are not, and what is to be downloaded."""
    counts = Counter(found.state for found in states.values())
    missing = [found for found in states.values() if found.state == "missing"]
    size = sum(found.bytes or 0 for found in missing)
    unknown = sum(found.bytes is None for found in missing)
    text = ", ".join(f"{count} {kind}" for kind, count in counts.items()) or "none"
    if missing:
        text += f"; to download: about {readable(size)}"
        text += f", and {unknown} of unknown size" if unknown else ""
    if counts["not released"]:
        text += "; what was not released can be given in the profile: `assets: {<name>: {path: <file or folder>}}`"
    return text


def answers(found: Sequence[Answer]) -> str:
    """A line for each address."""
    lines = [(one.asset, one.problem or "answers", readable(one.bytes), one.url) for one in found]
    return columns(("asset", "answer", "size", "address"), lines)


def readable(size: int | None, about: bool = False) -> str:
    if size is None:
        return "unknown"
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{'about ' if about else ''}{size / factor:.3g} {unit}"
    return f"{size} B"


def columns(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Text in aligned columns."""
    widths = [max(map(len, column)) for column in zip(head, *lines, strict=True)]
    rows = ("  ".join(map(str.ljust, line, widths)).rstrip() for line in (head, *lines))
    return "\n".join(rows)
