"""A copy of this repository to run the workflow in, on a profile small enough for a test."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from dissection.config import Config, load

REPOSITORY = Path(__file__).parent.parent
EVERY_ROW4 = REPOSITORY / "tests" / "every_row4.yaml"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Fast first: what runs the DAG or a browser comes last."""
    items.sort(key=lambda item: item.get_closest_marker("smoke") is not None)


class Workspace:
    """A folder that holds the repository's files, where commands run with that copy's package."""

    def __init__(self, folder: Path):
        self.folder = folder
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        inherited = {
            k: v for k, v in os.environ.items() if not k.startswith(("SNAKEMAKE_", "GIT_"))
        }
        self.environment = inherited | {
            "PATH": path,
            "PYTHONPATH": str(folder / "src"),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "DVC_NO_ANALYTICS": "1",
            "DVC_GLOBAL_CONFIG_DIR": str(folder / ".dvc" / "tmp"),
            "DVC_SITE_CACHE_DIR": str(folder / ".dvc" / "tmp" / "site"),
        }

    def run(self, *command: str, fails: bool = False) -> str:
        """What the command prints, stderr included; it must succeed, or fail."""
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert (done.returncode != 0) == fails, f"{' '.join(command)}\n{done.stdout}"
        return done.stdout

    def planned(self, *arguments: str) -> set[str]:
        """Rules that Snakemake would run now."""
        lines = self.run("snakemake", "--dry-run", *arguments).splitlines()
        words = [line.split() for line in lines]
        return {w[1].rstrip(":") for w in words if len(w) == 2 and w[0] in ("rule", "localrule")}

    def edit(self, path: str, old: str, new: str) -> None:
        file = self.folder / path
        text = file.read_text()
        assert old in text, f"{path} has no {old!r}"
        file.write_text(text.replace(old, new))

    def profile(self) -> dict:
        return yaml.safe_load((self.folder / "config" / "smoke.yaml").read_text())

    def results(self, pattern: str) -> dict[str, bytes]:
        """Path below results/smoke -> content."""
        root = self.folder / "results" / "smoke"
        return {str(p.relative_to(root)): p.read_bytes() for p in root.glob(pattern) if p.is_file()}


ROWS = ("table_3_1", "fig_3_5")


def tiny(profile: dict) -> dict:
    """As little of a profile as will exercise every kind of job: two rows, and few images for them."""
    rows = {row: profile["rows"][row] for row in ROWS}
    rows["fig_3_5"]["networks"] = {"places205": "alexnet_scenes"}
    names = {"alexnet_scenes"}
    networks = {name: profile["networks"][name] for name in names}
    for network in networks.values():
        if "recipe" in network:
            network["recipe"] |= {"epochs": 1, "snapshots": []}
    for asset in profile["assets"].values():
        if "scenes" in asset:
            asset["scenes"]["images"] = 200 if asset["scenes"].get("split") == "train" else 40
    dissections = [e | {"top_images": 2} for e in profile["dissections"] if e["network"] in names]
    cut = {"rows": rows, "networks": networks, "dissections": dissections}
    without = {
        "features": None,
        "segmenters": {},
        "generated": {},
        "omission": None,
        "quality": {},
        "reconstruction": None,
        "judging": None,
    }  # of networks that are left out
    return profile | cut | without


def copy_repository(folder: Path, profile: Callable[[dict], dict] | None = tiny) -> Workspace:
    """The tracked and the new files of this repository, with a profile made from its smoke profile."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=REPOSITORY, check=True, capture_output=True, text=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        source, target = REPOSITORY / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_symlink():
            target.unlink(missing_ok=True)
            target.symlink_to(source.readlink())
        elif source.is_file():
            shutil.copy2(source, target)
    if profile is not None:
        file = folder / "config" / "smoke.yaml"
        file.write_text(yaml.safe_dump(profile(yaml.safe_load(file.read_text())), sort_keys=False))
        file = folder / "dvc.yaml"  # an output that no rule makes is an error to DVC
        content = yaml.safe_load(file.read_text())
        for stage in content["stages"].values():
            for key in ("deps", "outs"):
                stage[key] = [path for path in stage.get(key, []) if _concerns(path)]
        content["stages"] = {n: s for n, s in content["stages"].items() if s["outs"]}
        file.write_text(yaml.safe_dump(content, sort_keys=False))
    return Workspace(folder)


def every_row(folder: Path, file: Path, chapter: str, *without: str) -> Workspace:
    """A repository in which all rows of a profile but some were made, which are all that its report has."""
    profile = yaml.safe_load(file.read_text())
    profile["rows"] = {row: of for row, of in profile["rows"].items() if row not in without}
    workspace = copy_repository(folder, lambda _: profile)
    workspace.run("snakemake", chapter, "report")
    metrics = json.loads((folder / "results/smoke/metrics.json").read_text())
    assert metrics.keys() == profile["rows"].keys()
    for row in profile["rows"]:
        assert workspace.results(f"figures/{row}.png")
    assert "not made in this run" not in (folder / "results/smoke/report.html").read_text()
    return workspace


def _concerns(path: str) -> bool:
    """Whether a path in dvc.yaml is about the rows of the tiny profile, or about none."""
    row = re.search(r"\b((?:pnas_)?(?:table|fig|sec)_\w+?)\.(csv|ipynb|png|svg)", path)
    others = re.search(
        r"results/smoke/(interventions|causal|quality|omit|inversions|edits|accuracy|transfer|units/(iclr|pnas))",
        path,
    )
    return others is None and (row is None or row[1] in ROWS)


@pytest.fixture
def config(request: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """The profile of every row of a chapter, the test module's EVERY or else the fourth, in an empty folder."""
    profile = load(getattr(request.module, "EVERY", EVERY_ROW4))
    monkeypatch.chdir(tmp_path)
    return profile


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return copy_repository(tmp_path / "repository")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace in which all of the tiny profile was made. Leave it as it is: use `copy_of`."""
    made = copy_repository(tmp_path_factory.mktemp("finished") / "repository")
    made.run("snakemake", "all")
    return made


@pytest.fixture
def copy_of_finished(finished: Workspace, tmp_path: Path) -> Workspace:
    shutil.copytree(finished.folder, tmp_path / "copy", symlinks=True)
    return Workspace(tmp_path / "copy")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium; without one, what needs it is skipped."""
    chromium = shutil.which("chromium") or "/usr/bin/chromium"
    if not Path(chromium).exists():
        pytest.skip("chromium is not installed: pages are not tried in a browser")
    from playwright.sync_api import sync_playwright

    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        yield browser
        browser.close()
