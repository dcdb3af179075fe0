"""Assets against a real HTTP server that misbehaves, and against archives that should not be trusted."""

import hashlib
import io
import itertools
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from dissection import assets
from dissection.assets import Entry, asset_path, download, fetch, load_registry
from dissection.errors import DissectionError

CONTENT = random.Random(0).randbytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MD5 = hashlib.md5(CONTENT).hexdigest()
REGISTRY = Path(__file__).parents[1] / "config" / "assets.yaml"


class Server(ThreadingHTTPServer):
    """`/<behaviour>/<anything>` answers as the behaviour says; `requests` counts, `ranges` lists what was asked."""

    daemon_threads = True
    files: dict[str, bytes]
    requests: Counter[str]
    ranges: list[str | None]

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{path}"


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        behaviour, _, name = self.path.lstrip("/").partition("/")
        self.server.requests[behaviour] += 1
        self.server.ranges.append(self.headers.get("Range"))
        content = self.server.files.get(name, CONTENT)
        first, status = 0, 200
        asked = self.headers.get("Range")
        etag = '"2"' if behaviour == "changes" and self.server.requests[behaviour] > 1 else '"1"'
        if behaviour == "changes" and etag == '"2"':
            content = content[::-1]
        if behaviour == "404":
            return self.send_error(404)
        if behaviour in ("500once", "503") and (
            behaviour == "503" or self.server.requests[behaviour] == 1
        ):
            return self.send_error(int(behaviour[:3]))
        if behaviour == "wrong":
            content = bytes(len(content))
        if behaviour == "shorter":
            content = content[:-1]
        if asked and behaviour != "noranges" and self.headers.get("If-Range") in (None, etag):
            first, status = int(asked.removeprefix("bytes=").rstrip("-")), 206
            if first >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.send_header("Content-Length", "0")
                return self.end_headers()
        body = content[first:]
        self.send_response(status)
        if behaviour != "nolength":
            self.send_header("Content-Length", str(len(body)))
        if behaviour != "noetag":
            self.send_header("ETag", etag)
        if status == 206:
            self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        if behaviour == "html":
            self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        cut = len(body)
        if behaviour == "always_short":
            cut = min(1000, cut) if first == 0 else 0
        elif (
            behaviour in ("truncates", "noranges", "noetag", "changes")
            and self.server.requests[behaviour] < 3
        ):
            cut = min(100_000, cut)
        if behaviour == "slow":
            for start in range(0, cut, 3000):
                self.wfile.write(body[start : start + 3000])
                time.sleep(0.02)
        else:
            self.wfile.write(body[:cut])


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(download, "BACKOFF", 0.001)
    server = Server(("127.0.0.1", 0), Handler)
    server.files, server.requests, server.ranges = {}, Counter(), []
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def entry(*urls: str, **keys: object) -> Entry:
    if not any(
        key in keys
        for key in ("sha256", "md5", "sha256_prefix", "checksum", "files", "parts", "status")
    ):
        keys["sha256"] = SHA256
    return Entry.model_validate(
        {"id": "thing", "urls": urls, "licence": "x", "needed_by": ["tests"], **keys}
    )


def get(
    tmp_path: Path, what: Entry, own: Path | None = None, downloads: Path | None = None
) -> Path:
    fetch(what, tmp_path / "assets" / what.id, downloads, own, tmp_path / "record.json")
    return asset_path(tmp_path / "record.json")


def hidden(tmp_path: Path) -> set[str]:
    names = {path.name for path in (tmp_path / "assets/thing").iterdir()}
    return {name for name in names if name.endswith((".part", ".part.json"))}


# ------------------------------------------------------------------------------------------------ downloads


@pytest.mark.parametrize(
    "behaviour", ["plain", "500once", "truncates", "noranges", "noetag", "nolength"]
)
def test_ends_in_the_same_bytes_and_record(server: Server, tmp_path: Path, behaviour: str) -> None:
    path = get(tmp_path, entry(server.url(f"{behaviour}/file.bin")))
    assert path == tmp_path / "assets/thing/file.bin"
    assert path.read_bytes() == CONTENT
    record = json.loads((tmp_path / "record.json").read_text())
    assert record == {
        "asset": "thing",
        "path": path.as_posix(),
        "sha256": SHA256,
        "bytes": len(CONTENT),
    }
    assert not hidden(tmp_path)
    requests = server.requests.copy()
    get(tmp_path, entry(server.url(f"{behaviour}/file.bin")))
    assert server.requests == requests, "a second fetch asks nothing of the server"


def test_resumes_where_the_connection_ended(server: Server, tmp_path: Path) -> None:
    get(tmp_path, entry(server.url("truncates/file.bin")))
    assert server.ranges == [None, "bytes=100000-", "bytes=200000-"]


def test_a_file_that_changes_between_two_pieces_is_not_mixed(
    server: Server, tmp_path: Path
) -> None:
    path = get(tmp_path, entry(server.url("changes/file.bin"), checksum="none"))
    assert path.read_bytes() == CONTENT[::-1]


@pytest.mark.parametrize(
    ("behaviour", "reason", "requests"),
    [
        ("404", "HTTP 404", 1),
        ("503", "HTTP 503", 4),
        ("html", "a web page", 1),
        ("always_short", "ended after 1,000", 4),
    ],
)
def test_a_dead_address_is_named_and_the_mirror_used(
    server: Server, tmp_path: Path, behaviour: str, reason: str, requests: int
) -> None:
    bad = server.url(f"{behaviour}/file.bin")
    with pytest.raises(DissectionError) as error:
        get(tmp_path, entry(bad))
    assert server.requests[behaviour] == requests
    message = str(error.value)
    assert "\n" not in message
    for part in (
        "`thing`",
        bad,
        reason,
        "`assets: {thing: {path: <file or folder>}}`",
        "downloads",
        "file.bin",
    ):
        assert part in message
    assert not (tmp_path / "record.json").exists()
    assert get(tmp_path, entry(bad, server.url("plain/file.bin"))).read_bytes() == CONTENT


@pytest.mark.parametrize(
    "checksum",
    [
        {"sha256": SHA256},
        {"md5": MD5},
        {"sha256_prefix": SHA256[:8]},
        {"sha256": SHA256, "md5": MD5, "bytes": len(CONTENT)},
    ],
)
def test_wrong_bytes_are_refused(
    server: Server, tmp_path: Path, checksum: dict[str, object]
) -> None:
    bad = server.url("wrong/file.bin")
    with pytest.raises(DissectionError) as error:
        get(tmp_path, entry(bad, **checksum))
    kind, expected = next(iter(checksum.items()))
    found = hashlib.new(kind.removesuffix("_prefix"), bytes(len(CONTENT))).hexdigest()
    assert all(part in str(error.value) for part in (bad, str(expected), found))
    assert not (tmp_path / "assets/thing/file.bin").exists()
    assert not hidden(tmp_path)
    assert (
        get(tmp_path, entry(bad, server.url("plain/file.bin"), **checksum)).read_bytes() == CONTENT
    )


def test_size_is_checked_before_the_download(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DissectionError, match="offers 299,999 bytes where 300,000 are expected"):
        get(tmp_path, entry(server.url("shorter/file.bin"), bytes=len(CONTENT)))
    with pytest.raises(
        DissectionError, match=r"needs 1,000,000,000,000,000 bytes, [\d,]+ are free"
    ):
        get(tmp_path, entry(server.url("nolength/file.bin"), bytes=10**15))


def test_an_error_of_the_disk_is_one_line(server: Server, tmp_path: Path) -> None:
    (tmp_path / "assets").write_text("a file in the way")
    with pytest.raises(DissectionError, match=r"asset `thing`: \[Errno \d+\].*assets"):
        get(tmp_path, entry(server.url("plain/file.bin")))


def test_pieces_that_do_not_fit_are_fetched_anew(server: Server, tmp_path: Path) -> None:
    what, out = entry(server.url("plain/file.bin")), tmp_path / "assets/thing"
    out.mkdir(parents=True)
    (out / ".file.bin.part").write_bytes(b"rubbish")
    (out / ".file.bin.part.json").write_text(json.dumps({"url": what.urls[0], "validator": None}))
    assert get(tmp_path, what).read_bytes() == CONTENT
    assert server.ranges == ["bytes=7-", None]


def test_killed_between_last_byte_and_rename(server: Server, tmp_path: Path) -> None:
    what, out = entry(server.url("plain/file.bin")), tmp_path / "assets/thing"
    out.mkdir(parents=True)
    (out / ".file.bin.part").write_bytes(CONTENT)
    (out / ".file.bin.part.json").write_text(json.dumps({"url": what.urls[0], "validator": '"1"'}))
    assert get(tmp_path, what).read_bytes() == CONTENT
    assert server.ranges == ["bytes=300000-"]


def test_first_download_without_a_checksum_is_remembered(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    what = entry(server.url("plain/file.bin"), checksum="none")
    path = get(tmp_path, what)
    assert SHA256 in caplog.text
    assert "trusted on first download" in caplog.text
    path.unlink()
    server.files["file.bin"] = b"something else"
    with pytest.raises(
        DissectionError, match=f"expected sha256 {SHA256}, as at first download, found"
    ):
        get(tmp_path, what)


def test_altered_after_the_download(server: Server, tmp_path: Path) -> None:
    what = entry(server.url("plain/file.bin"))
    get(tmp_path, what).write_bytes(b"altered")
    with pytest.raises(DissectionError, match=f"expected sha256 {SHA256}, found"):
        get(tmp_path, what)


def _fetch(url: str, tmp_path: Path, record: str) -> None:
    fetch(entry(url), tmp_path / "assets/thing", None, None, tmp_path / record)


def test_two_processes_at_once(server: Server, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    jobs = [
        context.Process(target=_fetch, args=(server.url("slow/file.bin"), tmp_path, f"{i}.json"))
        for i in range(2)
    ]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
        assert job.exitcode == 0
    assert (tmp_path / "0.json").read_bytes() == (tmp_path / "1.json").read_bytes()
    assert server.requests["slow"] == 1


def test_killed_and_started_again(server: Server, tmp_path: Path) -> None:
    url = server.url("slow/file.bin")
    job = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from pathlib import Path; import test_assets;"
            "test_assets._fetch(sys.argv[1], Path(sys.argv[2]), 'record.json')",
            url,
            str(tmp_path),
        ],
        cwd=Path(__file__).parent,
    )
    part = tmp_path / "assets/thing/.file.bin.part"
    while not (part.exists() and part.stat().st_size > 0):
        time.sleep(0.01)
        assert job.poll() is None
    time.sleep(0.3)
    job.send_signal(signal.SIGKILL)
    job.wait()
    assert not (tmp_path / "assets/thing/file.bin").exists()
    assert get(tmp_path, entry(url)).read_bytes() == CONTENT


# ------------------------------------------------------------------------------------------------ archives

FILES = {"index.csv": b"a,b\n", "images/one.jpg": b"1" * 1000, "images/two.jpg": b"2" * 2000}
DIGEST = hashlib.sha256(
    "".join(
        f"{hashlib.sha256(FILES[name]).hexdigest()}  {name}\n" for name in sorted(FILES)
    ).encode()
).hexdigest()
MANIFEST = {"include": ["index.csv", "images/*.jpg"], "count": 3, "bytes": 3004, "sha256": DIGEST}


def packed(kind: str, files: dict[str, bytes], wrapper: str = "") -> bytes:
    buffer = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                info = zipfile.ZipInfo(wrapper + name)  # of no date: the same bytes every time
                archive.writestr(info, content, zipfile.ZIP_DEFLATED)
    else:
        with tarfile.open(fileobj=buffer, mode="w:gz" if kind == "tar.gz" else "w") as archive:
            for name, content in files.items():
                info = tarfile.TarInfo(wrapper + name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("wrapper", ["", "set-1.0/"])
@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_archive_is_unpacked_and_deleted(
    server: Server, tmp_path: Path, kind: str, wrapper: str
) -> None:
    server.files[f"set.{kind}"] = packed(kind, FILES, wrapper)
    what = entry(
        server.url(f"truncates/set.{kind}"), unpack=kind.removesuffix(".gz"), files=MANIFEST
    )
    folder = get(tmp_path, what)
    assert tree(folder) == FILES
    assert folder == tmp_path / "assets/thing/set"
    assert {path.name for path in folder.parent.iterdir()} == {"set", ".lock", f".set.{kind}.json"}
    record = json.loads((tmp_path / "record.json").read_text())
    files = {"count": 3, "sha256": DIGEST}
    assert record == {"asset": "thing", "path": folder.as_posix(), "files": files, "bytes": 3004}
    requests = server.requests.copy()
    assert get(tmp_path, what) == folder
    assert server.requests == requests
    (folder / "images/one.jpg").write_bytes(b"3" * 1000)
    with pytest.raises(
        DissectionError, match=f"altered after it was unpacked.*expected digest {DIGEST}, found"
    ):
        get(tmp_path, what)


def test_a_split_is_no_wrapper(server: Server, tmp_path: Path) -> None:
    """As the publisher packs the photographs of one split: places/val/<class>/<file>.jpg."""
    server.files["set.zip"] = packed("zip", FILES, "places/val/")
    what = entry(server.url("fine/set.zip"), unpack="zip", checksum="none")
    assert tree(get(tmp_path, what) / "val") == FILES


def _fetch_and_die(what: Entry, home: Path, step: int) -> int:
    """Fetch in a process that dies before its change number `step` of a file's name or existence; its exit status."""
    if process := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    steps = itertools.count(1)

    def dying(original: Callable[..., object]) -> Callable[..., object]:
        return lambda *args, **keys: os._exit(9) if next(steps) == step else original(*args, **keys)

    for owner, name in ((os, "replace"), (os, "rmdir"), (Path, "unlink"), (Path, "mkdir")):
        setattr(owner, name, dying(getattr(owner, name)))
    status = 1
    try:
        get(home, what)
        status = 0
    finally:
        os._exit(status)


def test_killed_while_unpacking(server: Server, tmp_path: Path) -> None:
    """After every step, a run that starts again ends alike."""
    archive = server.files["set.zip"] = packed("zip", FILES, "set/")
    what = entry(
        server.url("plain/set.zip"), unpack="zip", sha256=hashlib.sha256(archive).hexdigest()
    )
    for step in itertools.count(1):
        home = tmp_path / str(step)
        status = _fetch_and_die(what, home, step)
        if status == 0:
            break
        assert status == 9
        folder = get(home, what)
        assert tree(folder) == FILES
        assert {path.name for path in folder.parent.iterdir()} == {"set", ".lock", ".set.zip.json"}
    assert step > 12


def _tar(**keys: object) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("good.txt", keys.pop("name", "evil")):
            info = tarfile.TarInfo(str(name))
            if name != "good.txt":
                for key, value in keys.items():
                    setattr(info, key, value)
            archive.addfile(info)
    return buffer.getvalue()


def _zip(name: str, mode: int = 0) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        archive.writestr("good.txt", b"")
        archive.writestr(info, b"/etc/passwd")
    return buffer.getvalue()


def test_a_damaged_archive_sends_to_the_mirror(server: Server, tmp_path: Path) -> None:
    server.files |= {
        "bad.tar": packed("tar", FILES)[:900],
        "set.tar": packed("tar", FILES | {"index.csv": b"b,a\n"}),
    }
    server.files["good.tar"] = packed("tar", FILES)
    urls = [server.url(f"plain/{name}.tar") for name in ("bad", "set", "good")]
    with pytest.raises(
        DissectionError, match=r"bad\.tar: .*damaged archive.*set\.tar: .*expected digest"
    ):
        get(tmp_path, entry(*urls[:2], unpack="tar", files=MANIFEST))
    assert {path.name for path in (tmp_path / "assets/thing").iterdir()} == {".lock"}
    assert tree(get(tmp_path, entry(*urls, unpack="tar", files=MANIFEST))) == FILES


@pytest.mark.parametrize(
    ("kind", "content", "reason"),
    [
        ("tar", _tar(name="../evil"), r"`\.\./evil` leads out of the folder"),
        ("tar", _tar(name="/tmp/evil"), "`/tmp/evil` leads out"),
        ("tar", _tar(name="a/../../evil"), "leads out"),
        ("tar", _tar(type=tarfile.SYMTYPE, linkname="/etc"), "`evil` is a link or a device"),
        ("tar", _tar(type=tarfile.LNKTYPE, linkname="../../x"), "link"),
        ("tar", _tar(type=tarfile.CHRTYPE, devmajor=1, devminor=3), "device"),
        ("tar", _tar(type=tarfile.FIFOTYPE), "device"),
        ("zip", _zip("../evil"), "leads out"),
        ("zip", _zip("/tmp/evil"), "leads out"),
        ("zip", _zip("a\\..\\evil"), "leads out"),
        ("zip", _zip("evil", 0o120777), "`evil` is a link"),
        ("zip", packed("zip", FILES)[:-300], "damaged archive|cannot"),
        ("tar", packed("tar.gz", FILES)[:-200], "damaged archive"),
        ("zip", b"not an archive at all", "damaged archive"),
    ],
)
def test_archive_is_refused(tmp_path: Path, kind: str, content: bytes, reason: str) -> None:
    archive = tmp_path / f"set.{kind}"
    archive.write_bytes(content)
    with pytest.raises(DissectionError, match=reason) as error:
        get(tmp_path, entry("http://127.0.0.1:1/set", unpack=kind, checksum="none"), own=archive)
    assert str(archive) in str(error.value)
    left = {path.name for path in tmp_path.rglob("*")}
    assert "evil" not in left
    assert "set" not in left
    assert archive.read_bytes() == content


# ------------------------------------------------------------------------------------------------ the user's copies


def test_own_file_is_verified_and_left_where_it_is(tmp_path: Path) -> None:
    own = tmp_path / "mine.bin"
    own.write_bytes(CONTENT)
    what = entry("http://127.0.0.1:1/file.bin")
    assert get(tmp_path, what, own=own) == own
    assert not (tmp_path / "assets").exists()
    own.write_bytes(CONTENT[1:])
    found = hashlib.sha256(CONTENT[1:]).hexdigest()
    with pytest.raises(
        DissectionError, match=f"`thing`.* {SHA256}, found {found}.*{own} is your own copy"
    ):
        get(tmp_path, what, own=own)
    with pytest.raises(DissectionError, match="does not exist"):
        get(tmp_path, what, own=tmp_path / "nowhere")


def test_own_archive_and_own_folder(tmp_path: Path) -> None:
    own, what = (
        tmp_path / "mine.tar",
        entry("http://127.0.0.1:1/set.zip", unpack="zip", files=MANIFEST),
    )
    own.write_bytes(packed("tar", FILES, "anything/"))  # packed otherwise than the published one
    folder = get(tmp_path, what, own=own)
    assert tree(folder) == FILES
    assert own.exists()
    record = json.loads((tmp_path / "record.json").read_text())
    assert get(tmp_path, what, own=folder.parent) == folder, "the folder around it will do"
    assert json.loads((tmp_path / "record.json").read_text()) == record
    (folder / "images/one.jpg").unlink()
    with pytest.raises(
        DissectionError, match=r"expected 3 files .* of 3,004 bytes together, found 2 of 2,004"
    ):
        get(tmp_path, what, own=folder)
    own.write_bytes(packed("tar", FILES | {"images/one.jpg": b"3" * 1000}))
    with pytest.raises(DissectionError, match=f"expected digest {DIGEST} of its files .*, found"):
        get(tmp_path, what, own=own)


def test_downloads_folder(server: Server, tmp_path: Path) -> None:
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    what = entry(server.url("plain/file.bin"))
    assert get(tmp_path, what, downloads=downloads) == tmp_path / "assets/thing/file.bin", (
        "not there: downloaded"
    )
    (downloads / "file.bin").write_bytes(CONTENT)
    assert get(tmp_path, what, downloads=downloads) == downloads / "file.bin"
    (downloads / "thing.tar").write_bytes(packed("tar", FILES))
    archive = entry(server.url("404/xyz.zip"), unpack="zip", files=MANIFEST)
    assert tree(get(tmp_path, archive, downloads=downloads)) == FILES
    with pytest.raises(DissectionError, match="not a folder"):
        get(tmp_path, what, downloads=tmp_path / "nowhere")


def test_asset_of_several_parts(server: Server, tmp_path: Path) -> None:
    server.files |= {"set.zip": packed("zip", FILES), "names.txt": b"names"}
    names = {"urls": [server.url("plain/names.txt")], "md5": hashlib.md5(b"names").hexdigest()}
    what = entry(
        parts=[{"urls": [server.url("plain/set.zip")], "unpack": "zip", "checksum": "none"}, names]
    )
    folder = get(tmp_path, what)
    expected = {f"set/{name}": content for name, content in FILES.items()} | {"names.txt": b"names"}
    assert {
        name: content for name, content in tree(folder).items() if not name.startswith(".")
    } == expected
    record = json.loads((tmp_path / "record.json").read_text())
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    (downloads / "names.txt").write_bytes(b"names")
    get(tmp_path, what, downloads=downloads)
    assert json.loads((tmp_path / "record.json").read_text()) == record
    assert get(tmp_path, what, own=folder) == folder
    (downloads / "names.txt").write_bytes(b"other")
    with pytest.raises(DissectionError, match=r"names\.txt: expected md5"):
        get(tmp_path, what, downloads=downloads)


def test_local_and_unreleased_assets(tmp_path: Path) -> None:
    with pytest.raises(DissectionError, match="asset `thing`: not available: never released"):
        get(tmp_path, entry(status="not_released"))
    with pytest.raises(DissectionError, match="`mine`: not in the registry"):
        get(tmp_path, Entry.local("mine"))
    photos = tmp_path / "photos.zip"
    photos.write_bytes(packed("zip", FILES))
    assert tree(get(tmp_path, Entry.local("mine"), own=photos)) == FILES
    weights = tmp_path / "weights.pth"  # a zip inside, but no archive to unpack
    weights.write_bytes(packed("zip", FILES))
    assert get(tmp_path, Entry.local("mine"), own=weights) == weights


# ------------------------------------------------------------------------------------------------ registry and records


def test_the_registry_of_the_project() -> None:
    registry = load_registry(REGISTRY)
    for name in (
        "broden1_224",
        "broden1_227",
        "lsun_bedroom_train",
        "netdissect_vgg16_places205",
        "labelmefacade",
    ):
        assert name in registry
    assert registry["imagenet"].status == "not_released"
    assert not any(
        "{" in part.file + part.stem for item in registry.values() for part in (item, *item.parts)
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: {urls: [http://x/y], licence: x, needed_by: [x]}", "a: .*checksum: none"),
        ("a: {urls: [http://x/y], sha256: zz, licence: x, needed_by: [x]}", r"a\.sha256"),
        (
            "a: {urls: [http://x/y], checksum: none, licence: x, needed_by: [x], colour: red}",
            r"a\.colour",
        ),
        ("a: {licence: x, needed_by: [x]}", "a: .*contradict"),
        ("a: {urls: [http://x/y], checksum: none}", "a: .*licence"),
        ("a: {urls: [http://x/], checksum: none, licence: x, needed_by: [x]}", "a: .*file"),
        ("a: 3", "a: expected a mapping"),
        ("[", "cannot read"),
    ],
)
def test_a_mistake_in_the_registry_is_one_line(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "assets.yaml"
    path.write_text(text)
    with pytest.raises(DissectionError, match=reason) as error:
        load_registry(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


def test_record_of_a_generated_folder(tmp_path: Path) -> None:
    for name in ("one", "two"):
        for file, content in FILES.items():
            path = tmp_path / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        assets.write_record(tmp_path / f"{name}.json", "scenes", tmp_path / name)
    one, two = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("one", "two"))
    assert one["files"] == two["files"] == {"count": 3, "sha256": DIGEST}
    assert asset_path(tmp_path / "one.json") == tmp_path / "one"
    (tmp_path / "gone.json").write_text(json.dumps(one | {"path": str(tmp_path / "gone")}))
    with pytest.raises(DissectionError, match="is gone"):
        asset_path(tmp_path / "gone.json")
    with pytest.raises(DissectionError, match="not a record"):
        asset_path(tmp_path / "three.json")
