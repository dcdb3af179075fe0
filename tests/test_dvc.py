"""Snakemake runs, DVC records: the bridges between them, in a clone with a folder as remote."""

import json
import re
import shutil
from ast import literal_eval
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from conftest import Workspace, copy_repository

pytestmark = pytest.mark.smoke
STAGES = yaml.safe_load(Path("dvc.yaml").read_text())["stages"]


def commit(workspace: Workspace, message: str) -> None:
    workspace.run("git", "add", "--all")
    who = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    workspace.run("git", *who, "commit", "--quiet", "--message", message)


@pytest.fixture(scope="module")
def recorded(finished, tmp_path_factory) -> Workspace:
    """The finished workspace as a git repository, recorded by DVC and pushed to a folder."""
    folder = tmp_path_factory.mktemp("recorded")
    shutil.copytree(finished.folder, folder / "repository", symlinks=True)
    workspace = Workspace(folder / "repository")
    (workspace.folder / "dvc.lock").unlink(missing_ok=True)
    workspace.run("git", "init", "--quiet")
    workspace.run("dvc", "remote", "add", "--default", "folder", str(folder / "remote"))
    workspace.run("dissection", "record")
    commit(workspace, "recorded")
    workspace.run("dvc", "push")
    return workspace


@pytest.fixture
def clone(recorded, tmp_path) -> Workspace:
    recorded.run("git", "clone", "--quiet", str(recorded.folder), str(tmp_path / "clone"))
    return Workspace(tmp_path / "clone")


def test_nothing_that_a_rule_makes_is_in_git(recorded):
    tracked = recorded.run("git", "ls-files").split()
    assert "dvc.lock" in tracked
    assert not [name for name in tracked if name.startswith(("results/", "assets/", "logs/"))]
    assert "docs/results/fig_3_5.png" in tracked  # a copy for the repository's page


def test_recorded_is_up_to_date_for_both(recorded):
    said = recorded.run("dvc", "repro")
    assert "Running stage" not in said
    assert recorded.planned() == set()


def test_restored_is_up_to_date_and_still_knows_what_it_depends_on(clone):
    assert not (clone.folder / "results").exists()
    clone.run("dissection", "restore")
    assert clone.planned() == set()
    assert "Running stage" not in clone.run("dvc", "repro")
    changed = clone.profile() | {"seed": 7}
    (clone.folder / "config/smoke.yaml").write_text(yaml.safe_dump(changed))
    every = {"scenes", "dissect", "page", "table_3_1", "fig_3_5", "figure", "report"}
    assert every <= clone.planned()


def test_restore_refuses_what_dvc_has_not_verified(clone):
    clone.run("dvc", "pull")
    source = clone.folder / "src/dissection/stats/quantile.py"
    source.write_text(source.read_text() + "\n# edited\n")
    assert "nothing was marked as up to date" in clone.run("dissection", "restore", fails=True)
    clone.run("git", "checkout", "--quiet", str(source))
    table = clone.folder / "results/smoke/tables/fig_3_5.csv"
    table.write_text(table.read_text().replace("conv5", "conv6"))
    said = clone.run("dissection", "restore", fails=True)
    assert "error: " in said
    assert not (clone.folder / ".snakemake/metadata").exists()  # Snakemake was told nothing


def test_an_edited_source_reruns_only_the_stages_it_affects(clone):
    clone.run("dissection", "restore")
    page = clone.folder / "src/dissection/report/report.html"
    page.write_text(page.read_text().replace("</footer>", "<!-- edited --></footer>"))
    said = clone.run("dvc", "repro")
    assert re.findall(r"Running stage '(\w+)'", said) == ["report"]
    assert "edited" in (clone.folder / "results/smoke/report.html").read_text()
    assert "Running stage" not in clone.run("dvc", "repro")
    assert clone.planned() == set()


def test_metrics_and_plots(clone):
    clone.run("dissection", "restore")
    metrics = clone.folder / "results/smoke/metrics.json"
    content = json.loads(metrics.read_text())
    content["table_3_1"]["total_classes"] += 1
    metrics.write_text(json.dumps(content))
    assert re.search(
        r"table_3_1\.total_classes\s+\d+\s+\d+\s+1\b", clone.run("dvc", "metrics", "diff")
    )
    clone.run("dvc", "plots", "diff", "--out", "plots")
    page = (clone.folder / "plots/index.html").read_text()
    assert "unique_detectors" in page
    assert "fig_3_5.png" in page


def test_dvc_yaml_and_the_rules_are_honest(tmp_path, finished):
    """Each stage's command is a target; what its rules make lies under its outs, what they read
    under its deps, and the settings that they carry under its params."""
    workspace = copy_repository(tmp_path / "repository", profile=None)
    made = [(name, out) for name, stage in STAGES.items() for out in outs(stage)]
    assert not any(isinstance(out, dict) for _, out in made), "outs keep their defaults"
    for _, out in made:
        assert sum(within(out, [other]) for _, other in made) == 1, f"{out} lies under two outs"
    settings = carried(finished)
    programs, targets = zip(*(stage["cmd"].split() for stage in STAGES.values()), strict=True)
    assert set(programs) == {"snakemake"}
    for rule, inputs, outputs in jobs(workspace, *targets):
        (owner,) = {n for o in outputs for n, out in made if within(o, [out])}
        stage = STAGES[owner]
        assert all(within(o, outs(stage)) for o in outputs), f"outs of {owner}: {outputs}"
        unseen = [i for i in inputs if not within(i, stage["deps"] + outs(stage))]
        assert unseen == [], f"{rule} reads what is no dep of {owner}"
        used = settings.get(rule, set()) - {"registry", "downloads"}
        (params,) = stage["params"]
        assert used <= set(params["config/smoke.yaml"]), f"params of {owner}: {used}"


def jobs(workspace: Workspace, *targets: str) -> Iterator[tuple[str, list[str], list[str]]]:
    """Rule, inputs and outputs of every job behind targets."""
    plan = workspace.run("snakemake", *targets, "--dry-run", "--forceall")
    for block in re.split(r"^(?:local)?rule ", plan, flags=re.M)[1:]:
        files = dict(re.findall(r"^    (input|output): (.+)$", block, flags=re.M))
        if "output" in files:
            inputs, outputs = (files.get(k, "").split(", ") for k in ("input", "output"))
            yield block.partition(":")[0], inputs, outputs


def carried(workspace: Workspace) -> dict[str, set[str]]:
    """The keys of the profile in the params that Snakemake noted of each rule's jobs."""
    found: dict[str, set[str]] = {}
    for file in (workspace.folder / ".snakemake" / "metadata").rglob("*"):
        if file.is_file():
            noted = json.loads(file.read_text())
            for param in noted["params"]:
                if "{" in param:
                    found.setdefault(noted["rule"], set()).update(json.loads(literal_eval(param)))
    return found


def within(path: str, folders: list[str]) -> bool:
    return any(path == f or path.startswith(f.rstrip("/") + "/") for f in folders)


def outs(stage: dict) -> list[str]:
    return [*stage.get("outs", []), *stage.get("metrics", [])]
