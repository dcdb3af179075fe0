"""The DAG: what runs, what is spared, and how it fails. Commands run in copies of the repository."""

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from dissection.sources import sources

pytestmark = pytest.mark.smoke
RULES = [Path("Snakefile"), *Path("workflow/rules").glob("*.smk")]
TARGETS = {"all", "assets", "chapter3", "chapter4", "chapter5", "chapter6", "weights"}


def test_every_job_is_complete():
    for path in RULES:
        for block in re.split(r"^rule ", path.read_text(), flags=re.M)[1:]:
            name = block.partition(":")[0]
            assert re.match(r'\w+:\n    """\w', block), f"{name} says nothing"
            parts = set() if name in TARGETS else {
                "output", "log", "benchmark", "threads", "resources", "shell"
            }  # fmt: skip
            for part in parts | {"input"}:
                assert f"\n    {part}:" in block, f"{name} has no {part}"


def test_all_is_made_and_nothing_twice(finished):
    assert finished.planned() == set()
    report = finished.folder / "results" / "smoke" / "report.html"
    assert "Unique detectors by layer" in report.read_text()
    assert {"tables/table_3_1.csv", "tables/fig_3_5.csv"} <= finished.results("tables/*").keys()
    assert finished.results("units/*/*/pages/index.html")


def test_no_ordinary_target_trains(finished):
    forced = finished.planned("all", "--forceall")
    assert {"dissect", "page", "figure", "report", "table_3_1", "fig_3_5"} <= forced
    assert "train" not in forced
    assert "train" in finished.planned("weights")


def test_a_changed_seed_reruns_what_depends_on_it(copy_of_finished):
    changed = copy_of_finished.profile() | {"seed": 7}
    (copy_of_finished.folder / "config/smoke.yaml").write_text(yaml.safe_dump(changed))
    planned = copy_of_finished.planned()
    assert {"scenes", "dissect", "table_3_1", "fig_3_5"} <= planned
    assert not {"fetch", "shipped"} & planned


def test_jobs_queue_for_an_accelerator_only_where_there_is_one(workspace, tmp_path):
    planned = workspace.run("snakemake", "--dry-run", "all")
    if shutil.which("nvidia-smi") is None:
        assert "gpu=0" in planned
        assert "gpu=1" not in planned
    tool = tmp_path / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    workspace.environment["PATH"] += os.pathsep + str(tool.parent)
    assert "gpu=1" in workspace.run("snakemake", "--dry-run", "all")
    workspace.edit("config/smoke.yaml", "device: auto", "device: cpu")
    assert "gpu=1" not in workspace.run("snakemake", "--dry-run", "all")


def test_a_changed_section_reruns_what_depends_on_it(copy_of_finished):
    path = copy_of_finished.folder / "config/smoke.yaml"
    profile = copy_of_finished.profile()
    profile["rows"]["fig_3_5"]["networks"] = {"another name": "alexnet_scenes"}
    path.write_text(yaml.safe_dump(profile))
    assert copy_of_finished.planned("chapter3") == {"fig_3_5", "figure", "chapter3"}
    profile["memory_gb"] = 1  # decides how, not what
    path.write_text(yaml.safe_dump(profile))
    assert copy_of_finished.planned("chapter3") == {"fig_3_5", "figure", "chapter3"}


def test_an_edited_source_reruns_what_it_decides(copy_of_finished):
    page = copy_of_finished.folder / "src/dissection/report/page.py"
    page.touch()
    assert copy_of_finished.planned() == set()  # judged by content
    page.write_text(page.read_text() + "\n# edited\n")
    assert copy_of_finished.planned() == {"report", "all"}
    stats = copy_of_finished.folder / "src/dissection/stats/quantile.py"
    stats.write_text(stats.read_text() + "\n# edited\n")
    planned = copy_of_finished.planned()
    assert "dissect" in planned
    assert "scenes" not in planned


def test_sources_are_followed_through_imports():
    found = sources("dissection.dissect.run")
    assert "src/dissection/dissect/run.py" in found
    assert "src/dissection/stats/quantile.py" in found
    assert "src/dissection/data/broden.py" in sources("dissection.data")
    assert "src/dissection/networks/train.py" not in found
    assert all(Path(path).is_file() for path in found)


def test_a_profile_replaces_the_default_one(workspace):
    mine = {"profile": "mine", "assets": {"broden": {"scenes": {"format": "broden", "images": 4}}}}
    (workspace.folder / "config/mine.yaml").write_text(yaml.safe_dump(mine))
    assert workspace.planned("--configfile", "config/mine.yaml") == {"report", "all"}
    said = workspace.run("snakemake", "--dry-run", "--config", "seed=2", fails=True)
    assert "error: --config: a profile is one file" in said


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("asset: broden", "asset: brodem", "datasets.broden.asset: found 'brodem', did you mean"),
        ("conv5: relu5", "conv5: relu9", "layer relu9: no such module; choose from conv1"),
        ("profile: smoke", "profile: smoke\nsede: 2", "sede: unknown key, found 'sede', did you"),
    ],
)
def test_a_mistake_is_one_line_before_any_job(workspace, old, new, expected):
    workspace.edit("config/smoke.yaml", old, new)
    lines = workspace.run("snakemake", fails=True).strip().splitlines()
    assert lines[0].startswith("Using workflow specific profile")
    (line,) = lines[1:]
    assert line.startswith("error: config/smoke.yaml: ")
    assert expected in line
    assert not (workspace.folder / "results").exists()


def test_killed_at_any_moment_it_ends_in_the_same_bytes(workspace, finished):
    """Kill the whole run, or Snakemake alone, again and again, at later and later moments."""
    seconds = 3.0
    for attempt in range(20):
        run = subprocess.Popen(
            ["snakemake", "all"], cwd=workspace.folder, env=workspace.environment,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        try:
            assert run.wait(seconds) == 0
            break
        except subprocess.TimeoutExpired:
            kill = os.kill if attempt % 2 else os.killpg
            kill(run.pid, signal.SIGKILL)
            run.wait()
            seconds *= 1.4
    assert workspace.planned() == set()
    for pattern in ("tables/*.csv", "units/*/*/*.csv", "units/*/*/*.safetensors", "figures/*"):
        made, expected = workspace.results(pattern), finished.results(pattern)
        assert made.keys() == expected.keys()
        assert [name for name in made if made[name] != expected[name]] == []
    assert not list((workspace.folder / "results").rglob("*.partial"))


def test_a_second_run_waits_its_turn(workspace):
    environment = workspace.environment
    first = subprocess.Popen(
        ["snakemake", "all"], cwd=workspace.folder, env=environment, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        lock = workspace.folder / ".snakemake" / "dissection.lock"
        while not lock.exists():
            assert first.poll() is None
            time.sleep(0.1)
        time.sleep(0.2)
        assert "error: another run is at work" in workspace.run("snakemake", "all", fails=True)
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()


def test_weights_are_trained_on_demand(copy_of_finished):
    if not any("recipe" in n for n in copy_of_finished.profile()["networks"].values()):
        pytest.skip("no recipe in the profile")
    copy_of_finished.run("snakemake", "weights")
    assert copy_of_finished.results("trained/*/weights.safetensors")
    assert copy_of_finished.planned("weights") == set()
