"""A copy of this repository to run the workflow in, on a profile small enough for a test."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).parent.parent


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


def tiny(profile: dict) -> dict:
    """The same profile with as few images and steps as will do: every rule and every name stays."""
    for asset in profile["assets"].values():
        if "scenes" in asset:
            asset["scenes"]["images"] = 40
    for network in profile["networks"].values():
        if "recipe" in network:
            network["recipe"] |= {"epochs": 1, "batch": 8}
            network["recipe"].pop("snapshots", None)
    for entry in profile["dissections"]:
        entry["top_images"] = 2
    return profile


def copy_repository(folder: Path) -> Workspace:
    """The tracked and the new files of this repository, with the tiny profile as its smoke profile."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=REPOSITORY, check=True, capture_output=True, text=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        source, target = REPOSITORY / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_symlink():
            target.symlink_to(source.readlink())
        elif source.is_file():
            shutil.copy2(source, target)
    profile = folder / "config" / "smoke.yaml"
    profile.write_text(yaml.safe_dump(tiny(yaml.safe_load(profile.read_text())), sort_keys=False))
    return Workspace(folder)


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
