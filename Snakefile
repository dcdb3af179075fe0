"""The one DAG, from assets to the report, for every profile.

snakemake                                        # the smoke profile, offline, all of it
snakemake --configfile config/street.yaml        # another profile: its file replaces the default
snakemake chapter3                               # or: chapter4 ... chapter6, report, weights (trains networks anew)

Settings of Snakemake itself are in workflow/profiles/default/config.yaml.
"""

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from snakemake.utils import min_version

from dissection import paths, plan
from dissection.assets import in_downloads, load_registry
from dissection.config import load
from dissection.errors import DissectionError
from dissection.sources import sources

min_version("9.0")

if workflow.config_settings.config:
    sys.exit("error: --config: a profile is one file; copy it, change it, give it by --configfile")
if len(workflow.configfiles) > 1:
    sys.exit("error: --configfile: a profile is one file; give one")
CONFIGFILE = os.path.relpath(
    workflow.configfiles[0] if workflow.configfiles else "config/smoke.yaml"
)
try:
    CONFIG = load(CONFIGFILE)
    REGISTRY = load_registry(paths.REGISTRY)
except DissectionError as problem:
    sys.exit(f"error: {problem}")
PROFILE = CONFIG.profile
HAS_GPU = shutil.which("nvidia-smi") is not None
GPU = int(CONFIG.device == "cuda" or (CONFIG.device == "auto" and HAS_GPU))
MEM_MB = int(1000 * CONFIG.memory_gb) + 2000  # what a dissection may keep, and what torch needs

# Jobs inherit these. Spinning threads make a shared machine up to a hundred times slower, and giving
# memory back to the system between batches doubles a forward pass.
os.environ.setdefault("GOMP_SPINCOUNT", "2000")
os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", str(2**30))
os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(2**31))
os.environ["DISSECTION_RUN"] = str(os.getpid())  # a job ends with its run, however that ends


MOST_THREADS = 16  # that a job makes use of; Snakemake gives it as many of them as there are cores
# many networks: side by side, for torch starts on one core; few: one by one, each on all cores. On a GPU one by one,
# with as many threads as read images fast enough for it (`plan.READ`)
THREADS = 8 if GPU else 1 if len(CONFIG.dissections) > 3 else MOST_THREADS
LOOKS = sorted(map(str, Path("src/dissection/pages").iterdir()))  # what all pages extend
ROWS = []  # the tables and figures to make; each chapter adds its own
NEEDED = set()  # the assets behind them; likewise


def settings(**sections) -> str:
    """What decides a job's result beside its inputs, by the keys of the profile: a change reruns it."""

    def plain(value):
        return value.model_dump(mode="json") if hasattr(value, "model_dump") else str(value)

    return json.dumps(sections, default=plain, sort_keys=True)


def record(asset: str) -> str:
    return str(paths.asset_record(PROFILE, asset))


def held(asset: str) -> list[str]:
    """What a job needs of an asset: its record, by whose content it is judged, and the drawn files."""
    drawn = ancient(str(paths.generated_asset(PROFILE, asset)))
    return [record(asset), *([drawn] if asset in DRAWN else [])]


def obtainable(*assets: str) -> bool:
    """False if one was never released and the user has none. Its row then says so in the report."""
    return all(
        asset in CONFIG.assets or REGISTRY[asset].status != "not_released" for asset in assets
    )


def table(row: str) -> str:
    return str(paths.table(PROFILE, row))


def figure(row: str, extension: str) -> str:
    return str(paths.figure(PROFILE, row, extension))


def any_of(names) -> str:
    """A wildcard constraint: one of the names; never, if there are none."""
    return "|".join(map(re.escape, names)) or "(?!)"


def log_of(*parts) -> str:
    return "/".join(["logs", PROFILE, *parts])


def module_sources(network: str) -> list[str]:
    """The file that builds a network: of this package with all it imports, or the user's own."""
    source = CONFIG.networks[network].module.rpartition(":")[0]
    if source.startswith("dissection."):
        return sources(source)
    return [source] if source.endswith(".py") else []


def check_layers() -> None:
    """Ask the networks for their layers, and what they cost, before any job runs. That takes the seconds in
    which torch starts, so the answer is kept until the networks or the files that build them change.
    """
    files = [f for n in CONFIG.networks for f in module_sources(n)] + sources("dissection.networks")
    asked = settings(networks=CONFIG.networks) + "".join(
        Path(f).read_text() for f in sorted(set(files)) if Path(f).is_file()
    )
    digest = hashlib.sha256(asked.encode()).hexdigest()
    kept = paths.costs(PROFILE)
    if not kept.exists() or json.loads(kept.read_text())["of"] != digest:
        beside = kept.with_suffix(".new")
        check = ["dissection", "config", "check", "--config", CONFIGFILE, "--costs", str(beside)]
        if subprocess.run(check, stdout=subprocess.DEVNULL).returncode:
            sys.exit(1)
        costs = json.loads(beside.read_text())
        with paths.replacing(kept) as path:
            path.write_text(json.dumps({"of": digest, "costs": costs}))
        beside.unlink()


if workflow.is_main_process:
    check_layers()
COSTS = plan.read_costs(paths.costs(PROFILE))


def runtime(rule):
    """A job's time limit on a cluster, in minutes, by what it computes."""
    return lambda wildcards: plan.minutes(CONFIG, COSTS, rule, wildcards, GPU == 1)


onstart:
    # Snakemake's own lock outlives a killed run; the kernel gives this one back. Hence `nolock`.
    global LOCK  # held as long as the process lives
    LOCK = open(".snakemake/dissection.lock", "w")
    if workflow.is_main_process:
        try:
            fcntl.flock(LOCK, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit("error: another run is at work in this folder; wait for it, or end it")


include: "workflow/rules/assets.smk"
include: "workflow/rules/networks.smk"
include: "workflow/rules/dissections.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/chapter3.smk"
include: "workflow/rules/interventions.smk"
include: "workflow/rules/chapter4.smk"
include: "workflow/rules/chapter5.smk"
include: "workflow/rules/chapter6.smk"
include: "workflow/rules/report.smk"


rule all:
    """Every table and figure of the profile, unit pages, and the report."""
    default_target: True
    input:
        rules.chapter3.input,
        rules.chapter4.input,
        rules.chapter5.input,
        rules.chapter6.input,
        rules.report.output,
