"""The two bridges between Snakemake, which runs, and DVC, which records.

record: make everything of the smoke profile, then let DVC take down what is there, and copy to
docs/results what people should see on the repository's page.
restore: let DVC fetch and verify what was recorded, then tell Snakemake that it is up to date.

The engines judge a file differently, Snakemake by its time first, DVC by its content, so neither may
believe what the other has not just seen.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from dissection import paths
from dissection.config import load
from dissection.errors import DissectionError

PROFILE = Path("config/smoke.yaml")  # the one that dvc.yaml is about
SHOWN = Path("docs/results")


def record() -> None:
    """Run all, commit to DVC, copy figures and tables. Raises DissectionError at the first failure."""
    _run("snakemake", "all")
    _run("dvc", "commit", "--force")
    results = paths.results(load(PROFILE).profile)
    shutil.rmtree(SHOWN, ignore_errors=True)
    SHOWN.mkdir(parents=True)
    for pattern in ("figures/*.png", "tables/*.csv", "metrics.json"):
        for file in results.glob(pattern):
            shutil.copyfile(file, SHOWN / file.name)
    print(f"recorded: commit dvc.lock and {SHOWN}, and `dvc push` the results")


def restore() -> None:
    """Fetch the recorded results and mark them as up to date, if DVC vouches for every byte of them
    and of what they were made from. Raises DissectionError if it does not."""
    _run("dvc", "pull")
    if not _succeeds("dvc", "status", "--quiet"):
        raise DissectionError(
            "the workspace is not what dvc.lock records (see `dvc status`), so nothing was marked "
            "as up to date; undo the changes, or run snakemake"
        )
    _run("snakemake", "all", "--touch", "--forceall", "--quiet")
    print("restored: `snakemake --dry-run` has nothing to do")


def _run(module: str, *arguments: str) -> None:
    if not _succeeds(module, *arguments):
        raise DissectionError(f"`{module} {' '.join(arguments)}` failed; see above")


def _succeeds(module: str, *arguments: str) -> bool:
    return subprocess.run([sys.executable, "-m", module, *arguments]).returncode == 0
