"""What a profile will take: costs of networks, times of jobs, and rows, by hand."""

import json
import re
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

from conftest import REPOSITORY, copy_repository
from dissection import plan
from dissection.config import Config, Network
from dissection.networks.cost import cost
from dissection.plan import Cost, Job, jobs, seconds

SMALL = {
    "profile": "small",
    "assets": {"drawn": {"scenes": {"format": "broden", "images": 300}}},
    "datasets": {
        "drawn": {"reader": "broden", "asset": "drawn"},
        "few": {"reader": "broden", "asset": "drawn", "images": 40},
        "broden": {"reader": "broden", "asset": "broden1_227"},
    },
    "networks": {
        "net": {"module": "m:f", "input": {"size": 8}, "layers": {"last": "conv"}},
        "made": {"module": "m:f", "latent": {"size": 8}, "layers": {"layer4": "conv"}},
        "parser": {"module": "m:f", "input": {"size": 8}, "layers": {"last": "conv"}},
    },
    "segmenters": {"names": {"network": "parser", "labels": "drawn"}},
    "generated": {"z": {"segmenter": "names", "images": 1000}},
    "reconstruction": {"network": "net", "layer": "last", "steps": 10},
    "dissections": [
        {"network": "net", "dataset": "drawn", "protocols": ["cvpr2017"]},
        {"network": "made", "dataset": "z", "protocols": ["iclr2019"]},
    ],
    "rows": {
        "fig_4_4": {"dataset": "z", "network": "made", "concept": "tree", "counts": [0, 4]},
        "fig_4_11": {"dataset": "z", "network": "made", "concept": "door"},
        "fig_5_7": {
            "network": "made",
            "networks": {"layered": "net"},
            "datasets": {"train": "drawn", "holdout": "few"},
        },
    },
}
COSTS = {
    "net": Cost(10, 8e9, {"last": (5, 2, 2)}),
    "made": Cost(10, 16e9, {"layer4": (96, 8, 8)}),
    "parser": Cost(10, 80e9, {}),
}


@pytest.fixture
def small() -> Config:
    return Config.model_validate(SMALL)


class Looks(nn.Module):
    """A network that asks for a value."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if float(x.mean()) > 0 else self.conv(x)


def test_cost_of_a_network() -> None:
    spec = Network.model_validate(SMALL["networks"]["net"])
    with torch.device("meta"):
        network = nn.Sequential()
        network.add_module("conv", nn.Conv2d(3, 5, 3, stride=2))
        network.add_module("flat", nn.Flatten())
        network.add_module("linear", nn.Linear(45, 7, bias=False))
        looks = Looks()
    flop = 2 * 3 * 3 * 3 * 5 * 3 * 3 + 2 * 45 * 7
    assert cost(network, spec) == {"parameters": 455, "flop": flop, "units": {"last": [5, 3, 3]}}
    assert cost(looks, spec) == {"parameters": 140, "flop": None, "units": {}}


def test_time_of_a_job(small: Config) -> None:
    rate = plan.RATE[True]
    job = {"dataset": "drawn", "network": "net"}
    expected = plan.START + max(600 * 8e9 / rate, 600 / plan.READ)  # read ahead
    assert seconds(small, COSTS, "dissect", job) == pytest.approx(expected)
    # 1000 z and as many for the thresholds, each drawn twice and labelled once
    made = seconds(small, COSTS, "dissect", {"dataset": "z", "network": "made"})
    assert made == pytest.approx(plan.START + (4000 * 16e9 + 2000 * 80e9) / rate)
    removed = seconds(
        small, COSTS, "intervene", {"row": "fig_4_4"}
    )  # as they are; 2 numbers, 2 orders
    assert removed == pytest.approx(plan.START + 5 * 1000 * 96e9 / rate)
    inserted = seconds(small, COSTS, "intervene", {"row": "fig_4_11"})  # at each of 64 places
    assert inserted == pytest.approx(plan.START + 65 * 1000 * 96e9 / rate)
    # 100 photographs of two groups each, 10 steps forwards and backwards
    inverted = seconds(small, COSTS, "invert", {"row": "fig_5_7"})
    passes = 2 * 100 * 10 * 3
    assert inverted == pytest.approx(plan.START + passes * 24e9 / rate)
    shared, row = small.model_copy(update={"shards": 4}), {"row": "fig_5_7"}
    part = seconds(shared, COSTS, "invert_part", row | {"scatteritem": "1-of-4"})
    assert part == pytest.approx(plan.START + (inverted - plan.START) / 4)
    assert seconds(shared, COSTS, "invert", row) == plan.START  # gathers what they did
    assert seconds(small, COSTS, "rewrite", {}) is None
    unknown = COSTS | {"net": Cost(10, None, {})}
    assert seconds(small, unknown, "dissect", job) is None
    assert plan.minutes(small, unknown, "dissect", job, True) == 1440
    slow = plan.minutes(small, COSTS, "intervene", {"row": "fig_4_11"}, False)
    assert slow == -(-3 * (plan.START + 65 * 1000 * 96e9 / plan.RATE[False]) // 60)


def test_what_is_to_be_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    recipe = {
        "dataset": "drawn",
        "validation": "few",
        "epochs": 1000,
        "learning_rate": 1,
        "snapshots": [5],
    }
    networks = SMALL["networks"] | {
        "own": SMALL["networks"]["net"] | {"recipe": recipe},
        "early": SMALL["networks"]["net"] | {"weights": "own.5"},
    }
    found = {"label": "own", "first": "early", "other": "net"}
    rows = SMALL["rows"] | {"fig_3_13": {"dataset": "drawn", "networks": found}}
    config = Config.model_validate(SMALL | {"networks": networks, "rows": rows})
    config = config.without(set(), config.untrained())
    assert config.rows.fig_3_13.networks == {"other": "net"}
    costs = COSTS | {"own": Cost(10, 6e12, {}), "early": COSTS["net"]}
    head, _, line = plan.training(config, costs).splitlines()
    hours = (plan.START + 1000 * 940 * 6e12 / plan.RATE[True]) / 3600
    assert line.split() == ["own", f"{hours:.0f}", "0", "B", "fig_3_13"]
    assert "dissection ship" in head
    there = Config.model_validate(
        SMALL
        | {
            "networks": networks,
            "assets": SMALL["assets"] | {"own": {"path": "w"}, "own.5": {"path": "v"}},
        }
    )
    assert plan.training(there, costs) == ""


def test_rows_that_wait_for_a_copy_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    needs = {"fig_3_12": ["broden1_224", "action40"], "fig_3_5": ["broden1_227", "drawn"]}
    (line,) = plan.unreleased(Config.model_validate(SMALL), needs)
    assert line == (
        "fig_3_12 is not available without action40; "
        "your own copy can be given: `assets: {action40: {path: <file or folder>}}`"
    )
    given = SMALL | {"assets": SMALL["assets"] | {"action40": {"path": "mine"}}}
    assert plan.unreleased(Config.model_validate(given), needs) == []


def test_images_of_a_dataset(small: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    found = {name: plan.images(small, name) for name in ("drawn", "few", "z")}
    assert found == {"drawn": 300, "few": 40, "z": 1000}


PRINTED = """Building DAG of jobs...
[Sun Nov 22 2026]
rule fetch:
    input: src/a.py, src/b.py
    output: results/small/assets/weights.json
    log: logs/x.log
    wildcards: asset=weights
    resources: tmpdir=/tmp, gpu=0
Shell command: dissection fetch

[Sun Nov 22 2026]
rule dissect:
    input: results/small/assets/weights.json, src/a.py
    output: units/drawn/net/units.csv, units/drawn/net/iou.safetensors
    wildcards: dataset=drawn, network=net

[Sun Nov 22 2026]
rule fig_4_4:
    input: units/drawn/net/units.csv
    output: tables/fig_4_4.csv

[Sun Nov 22 2026]
rule fig_4_11:
    input: units/drawn/net/iou.safetensors
    output: tables/fig_4_11.csv

[Sun Nov 22 2026]
rule rewrite:
    input: tables/fig_4_11.csv
    output: edit

[Sun Nov 22 2026]
localrule all:
    input: tables/fig_4_4.csv, tables/fig_4_11.csv, edit
Job stats:
"""


def test_rows_share_jobs(small: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    found = jobs(PRINTED)
    assert found[1] == Job(
        "dissect",
        {"dataset": "drawn", "network": "net"},
        frozenset(["results/small/assets/weights.json", "src/a.py"]),
        frozenset(["units/drawn/net/units.csv", "units/drawn/net/iou.safetensors"]),
    )
    slow = COSTS | {"net": Cost(10, 3600 * plan.RATE[True] / 600, {})}  # the two passes: an hour
    lines = plan.table(small, slow, found, ["fig_4_4", "fig_4_11", "fig_a_6"]).splitlines()
    cells = {line.split()[0]: line.split()[1:3] for line in lines[1:4]}
    assert cells == {"fig_4_4": ["3", "1.0"], "fig_4_11": ["3", "1.0"], "all": ["5", "1.0"]}
    assert lines[-1] == "Time unknown: rewrite."


def test_jobs_state_what_they_take() -> None:
    for path in Path(REPOSITORY, "workflow", "rules").glob("*.smk"):
        for rule in re.split(r"^rule ", path.read_text(), flags=re.M)[1:]:
            name = rule.partition(":")[0]
            stated = re.findall(r'runtime=runtime\("(\w+)"\)', rule)
            assert stated == ([name] if name in plan.WORK else []), name
            assert not stated or "gpu=GPU" in rule
            if "shell:" in rule:
                assert all(f"{key}=" in rule for key in ("gpu", "mem_mb", "runtime")), name


@pytest.mark.smoke
def test_plan_of_the_full_profile(tmp_path: Path) -> None:
    """`make full-dry`, offline and in a fresh clone: every row that can be made, with what it takes."""
    fresh = copy_repository(tmp_path / "repository", None)
    printed = fresh.run("dissection", "plan", "--config", "config/full.yaml")
    lines = printed.splitlines()
    cells = {line.split()[0]: line.split() for line in lines[1 : lines.index("")]}
    profile = yaml.safe_load((fresh.folder / "config/full.yaml").read_text())
    assert cells.keys() - {"all"} <= profile["rows"].keys()
    assert {"fig_3_5", "pnas_fig_2", "fig_4_10", "table_5_1"} <= cells.keys()
    assert float(cells["pnas_fig_2"][2]) > float(cells["pnas_fig_1"][2]) > 0
    assert int(cells["all"][1]) > 150
    kept = json.loads((fresh.folder / ".snakemake/dissection/full.json").read_text())["costs"]
    assert kept["vgg16_places365"]["flop"] == pytest.approx(30.9e9, rel=0.01)  # as published
    assert not (fresh.folder / "results").exists()
    resources = fresh.run("snakemake", "--configfile", "config/full.yaml", "--dry-run", "accuracy")
    assert "runtime=" in resources
