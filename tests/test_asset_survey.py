"""Which assets are there, by their files; and which addresses answer, of a real HTTP server."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from conftest import REPOSITORY
from dissection import paths
from dissection.assets import Entry, load_registry, survey
from dissection.cli import app
from dissection.config import load
from dissection.report.rows import needed

SIZE = 1234


class Handler(BaseHTTPRequestHandler):
    """`/<behaviour>`: ok; nohead (405 to HEAD); 404; html; shorter; nolength; moved."""

    def log_message(self, *args: object) -> None:
        pass

    def answer(self) -> None:
        behaviour, ranged = self.path.lstrip("/"), self.headers.get("Range")
        if behaviour == "404" or (behaviour == "nohead" and self.command == "HEAD"):
            return self.send_error(404 if behaviour == "404" else 405)
        if behaviour == "moved":
            self.send_response(302)
            self.send_header("Location", "/ok")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        size = SIZE - (behaviour == "shorter")
        self.send_response(206 if ranged else 200)
        if ranged:
            self.send_header("Content-Range", f"bytes 0-0/{size}")
        if behaviour != "nolength":
            self.send_header("Content-Length", "1" if ranged else str(size))
        if behaviour == "html":
            self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        if self.command == "GET":
            assert ranged == "bytes=0-0"  # never the whole file
            self.wfile.write(b"x")

    do_GET = do_HEAD = answer


@pytest.fixture
def site() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def entry(name: str, *urls: str, **keys: object) -> Entry:
    values = {"licence": "x", "needed_by": ["tests"], "checksum": "none" if urls else None}
    return Entry.model_validate({"id": name, "urls": urls, **values, **keys})


def test_what_every_address_answers(site: str) -> None:
    kinds = ["ok", "nohead", "404", "html", "shorter", "nolength", "moved"]
    entries = [entry(kind, f"{site}/{kind}", bytes=SIZE) for kind in kinds]
    dead = "http://127.0.0.1:9/x"  # the port of `discard`: nobody listens
    entries.append(entry("mirrored", dead, f"{site}/ok"))
    part = {"urls": [f"{site}/ok"], "checksum": "none"}
    parts = [part, part | {"urls": [f"{site}/404"]}]
    entries.append(entry("folder", parts=parts, checksum=None))
    found = survey.check(entries)

    assert [(one.asset, one.problem) for one in found[:-4]] == [
        ("ok", ""),
        ("nohead", ""),
        ("404", "HTTP 404 Not Found"),
        ("html", "a web page in place of the file"),
        ("shorter", "offers 1,233 bytes where 1,234 are expected"),
        ("nolength", ""),
        ("moved", ""),
    ]
    assert [one.bytes for one in found[:2]] == [SIZE, SIZE]
    assert found[5].bytes is None
    assert "refused" in found[7].problem
    assert survey.unanswered(entries, found) == ["404", "html", "shorter", "folder"]
    assert "nohead    answers" in survey.answers(found)


def test_check_fails_in_one_line(
    site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "assets.yaml"
    text = "{name}: {{urls: [{url}], checksum: none, licence: x, needed_by: [y]}}\n"
    file.write_text(text.format(name="good", url=f"{site}/ok"))
    monkeypatch.setattr(paths, "REGISTRY", file)
    done = CliRunner().invoke(app, ["assets", "check"])
    assert done.exit_code == 0, done.output
    assert f"good   answers  1.23 kB  {site}/ok" in done.output
    file.write_text(file.read_text() + text.format(name="lost", url=f"{site}/404"))
    done = CliRunner().invoke(app, ["assets", "check"])
    assert done.exit_code
    assert "no address answers for 1 assets: lost" in str(done.exception)


def test_states(tmp_path: Path) -> None:
    folder, downloads = tmp_path / "assets", tmp_path / "downloads"
    folder.mkdir()
    downloads.mkdir()
    file = entry("file", "http://x/file.pth", about=2_000_000)
    archive = entry("archive", "http://x/archive.zip", unpack="zip")
    one, two = ({"urls": [f"http://x/{n}"], "checksum": "none", "bytes": 5} for n in "ab")
    parts = entry("parts", parts=[one, two], checksum=None)
    unreleased = entry("secret", status="not_released", checksum=None, note="ask them")

    def state(what: Entry, **own: Path) -> survey.State:
        return survey.state(what, folder / what.id, own.get("downloads"), own.get("own"))

    assert state(file) == ("missing", 2_000_000, True, "http://x/file.pth")
    assert state(archive) == ("missing", None, True, "http://x/archive.zip")
    assert state(parts) == ("missing", 10, False, "http://x/a and 1 more")
    assert state(unreleased) == ("not released", None, False, "ask them")
    assert state(file, own=tmp_path / "no").state == "missing"
    assert survey.state(file, folder, None, tmp_path / "no", drawn=True).state == "to draw"
    assert survey.total({n: state(e) for n, e in {"f": file, "a": archive}.items()}) == (
        "2 missing; to download: about 2 MB, and 1 of unknown size"
    )

    for name in ("file/file.pth", "archive/archive/a", "archive/archive/b", "parts/a"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"abc")
    assert state(file) == ("present", 3, False, str(folder / "file"))
    assert state(archive) == ("present", 6, False, str(folder / "archive"))
    assert state(parts).state == "missing"
    (downloads / "b").write_bytes(b"abcde")
    assert state(parts, downloads=downloads) == ("present", 8, False, str(folder / "parts"))
    (downloads / "secret.zip").write_bytes(b"ab")
    assert state(unreleased, downloads=downloads).state == "not released"  # by its id alone
    assert state(unreleased, own=downloads / "secret.zip").bytes == 2


@pytest.mark.parametrize("profile", ["street", "full"])
def test_assets_of_a_profile(profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    config = load(f"config/{profile}.yaml")
    rows = needed(config)
    done = CliRunner().invoke(app, ["assets", "--config", f"config/{profile}.yaml"])
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert [line.split()[0] for line in lines[1:-1]] == list(rows)
    asked = {network.weights for network in config.networks.values() if network.weights}
    assert rows.keys() >= {config.networks[e.network].weights for e in config.dissections} - {None}
    assert rows.keys() & asked
    if profile == "full":
        assert "fig_3_7" in rows["broden1_224"]
        assert "fig_3_8" in rows["netdissect_weakly_audio_weights"]  # goes without


def test_the_registry_names_the_rows_of_the_full_profile() -> None:
    rows = needed(load(REPOSITORY / "config/full.yaml"))
    known = load_registry(REPOSITORY / "config/assets.yaml")
    unnamed = {name: set(of) - set(known[name].needed_by) for name, of in rows.items()}
    assert {name: lacking for name, lacking in unnamed.items() if lacking} == {}
