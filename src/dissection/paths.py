"""Where things are. Every path below the repository root is made here and nowhere else."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

REGISTRY = Path("config/assets.yaml")
DOWNLOADED = Path("assets")  # files from outside, shared by all profiles


def results(profile: str) -> Path:
    return Path("results") / profile


def asset_records(profile: str) -> Path:
    return results(profile) / "assets"


def asset_record(profile: str, asset: str) -> Path:
    """JSON written once an asset is there and verified: {"asset", "path", "sha256" | "files", "bytes"}."""
    return asset_records(profile) / f"{asset}.json"


def generated_asset(profile: str, asset: str) -> Path:
    """Folder of an asset that is drawn rather than fetched."""
    return asset_records(profile) / asset


def costs(profile: str) -> Path:
    """JSON of what an image costs each network, and the hash of what that was computed from."""
    return Path(".snakemake/dissection") / f"{profile}.json"


def trained(profile: str, network: str) -> Path:
    """Folder of a training run: weights, curve, metrics, snapshots, checkpoint."""
    return results(profile) / "trained" / network


def units(profile: str, dataset: str, network: str) -> Path:
    """Folder of one dissection: units.csv, counts, IoU, top images."""
    return results(profile) / "units" / dataset / network


def accuracy(profile: str) -> Path:
    """Parameters and accuracy of the networks, which several rows read."""
    return results(profile) / "accuracy.csv"


def transfer(profile: str) -> Path:
    """Accuracy of linear classifiers of the networks' features on another task."""
    return results(profile) / "transfer.csv"


def intervention(profile: str, row: str) -> Path:
    """Folder of what a row found by removing units, attacking a network or testing a detector."""
    return results(profile) / "interventions" / row


def causal(profile: str, dataset: str, network: str) -> Path:
    """Folder of the search for a generator's units that cause concepts; each concept has its own in it."""
    return results(profile) / "causal" / dataset / network


def quality(profile: str, network: str) -> Path:
    """Folder of how realistic a generator's images are, and of the pairs that raters compare."""
    return results(profile) / "quality" / network


def omission(profile: str, dataset: str) -> Path:
    """Folder of photographs compared with what generators draw of them."""
    return results(profile) / "omit" / dataset


def inversion(profile: str, row: str) -> Path:
    """Folder of images inverted for a row."""
    return results(profile) / "inversions" / row


def edits(profile: str, row: str) -> Path:
    """Folder of a row's edits of generators, and of what they do."""
    return results(profile) / "edits" / row


def table(profile: str, row: str) -> Path:
    return results(profile) / "tables" / f"{row}.csv"


def figure(profile: str, row: str, extension: str) -> Path:
    return results(profile) / "figures" / f"{row}.{extension}"


def report(profile: str) -> Path:
    return results(profile) / "report.html"


def metrics(profile: str) -> Path:
    """A few numbers of every row, for `dvc metrics`."""
    return results(profile) / "metrics.json"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside `path` to write a file or a folder to; it takes the place of `path` only if the block
    ends well. What a killed job left there is cleared away."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.partial")
    _clear(beside)
    try:
        yield beside
        if beside.is_dir():  # a folder cannot take the place of one that has files
            _clear(path)
        os.replace(beside, path)
    finally:
        _clear(beside)


def _clear(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
