"""Work shared by several jobs: what is whose, that nothing is left out, and the bytes of one job."""

import re
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from conftest import copy_repository
from dissection.cli import _jobs, _run
from dissection.config import load
from dissection.errors import DissectionError
from dissection.parts import Part, gathered, joined, save

SHARED = {"pnas_fig_5": "interventions", "fig_5_6": "inversions", "fig_b_7": "edits"}


@given(images=st.integers(0, 200), batch=st.integers(1, 30), parts=st.integers(1, 12))
def test_parts_are_runs_of_the_same_batches(images: int, batch: int, parts: int) -> None:
    shared = [Part(i + 1, parts).images(images, batch) for i in range(parts)]
    assert [i for part in shared for i in part] == list(range(images))
    assert all(part.start % batch == 0 for part in shared)
    sizes = [len(part[::batch]) for part in shared]
    assert max(sizes) - min(sizes) <= 1


def test_parts_are_gathered_in_order_and_all_of_them(tmp_path: Path) -> None:
    found, files = torch.arange(14.0).view(7, 2), []
    for i in range(1, 4):
        part = Part.of(f"{i}-of-3")
        files.append(tmp_path / str(part))
        batches = [found[k : k + 3] for k in part.images(7, 3)[::3]]
        save(joined({"x": x, "first": x[: 1 - k]} for k, x in enumerate(batches[:1])), part, files[-1])  # fmt: skip
    assert_close(gathered(files), {"x": found, "first": found[::3]}, rtol=0, atol=0)
    for wrong, text in ((files[:2], "1-of-3, expected 1-of-2"), (files[::-1], "3-of-3, expected 1-of-3")):  # fmt: skip
        with pytest.raises(DissectionError, match=f"part {text}; give every part once, in order"):
            gathered(wrong)
    for wrong_name in ("0-of-3", "4-of-3", "1", "a-of-3"):
        with pytest.raises(DissectionError, match=f"part {wrong_name}: expected one as 1-of-3"):
            Part.of(wrong_name)
    smoke = load(Path("config/smoke.yaml"))
    alone = _jobs(smoke, "rewrite", "fig_6_6", "")
    with pytest.raises(DissectionError, match="row fig_6_6: one job does it all"):
        _run(alone, (smoke, "fig_6_6"), tmp_path / "never", (), "1-of-3", None)


def few(profile: dict) -> dict:
    """Three batches at least of what a row does, on the networks of the profile."""
    rows = {row: profile["rows"][row] for row in ("pnas_fig_2", *SHARED)}
    rows["pnas_fig_5"] |= {"images": 41, "steps": 1, "iterations": 40}
    rows["fig_5_6"] |= {"images": 6}
    rows["fig_b_7"] |= {"images": 60}
    for asset in ("places_train_part", "places_val_part"):
        profile["assets"][asset]["scenes"]["images"] = 260
    profile["assets"]["broden"]["scenes"]["images"] = 40
    how = profile["reconstruction"] | {"batch": 3, "steps": 10, "z_steps": 5}
    return profile | {"rows": rows, "reconstruction": how}


@pytest.mark.smoke
def test_three_jobs_leave_the_bytes_of_one(tmp_path: Path) -> None:
    workspace = copy_repository(tmp_path / "repository", few)
    tables = [f"results/smoke/tables/{row}.csv" for row in SHARED]
    assert not [rule for rule in workspace.planned(*tables) if rule.endswith("_part")]
    workspace.run("snakemake", *tables)
    once = workspace.results("tables/*") | workspace.results("[ei]*/*/*")
    assert {"edits/fig_b_7/distances.csv", "tables/pnas_fig_5.csv"} <= once.keys()
    for row, folder in SHARED.items():
        shutil.rmtree(workspace.folder / "results/smoke" / folder / row)
    workspace.edit("config/smoke.yaml", "shards: 1", "shards: 3")
    workspace.run("snakemake", *tables)
    assert workspace.results("tables/*") | workspace.results("[ei]*/*/*") == once
    assert workspace.planned(*tables) == set()
    for job in ("intervene/pnas_fig_5", "invert/fig_5_6", "edit/fig_b_7"):
        logs = (workspace.folder / "logs/smoke" / job).glob("*-of-3.log")
        assert [bool(re.search(r"(attack|invert|patches): 100%", f.read_text())) for f in logs] == [
            True
        ] * 3, f"{job}: a part had nothing to do"
