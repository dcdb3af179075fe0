"""Rows, figures and the report, on a made-up run in the formats that a dissection writes."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from dissection import paths, published, style
from dissection.config import Config
from dissection.data import Dataset
from dissection.errors import DissectionError
from dissection.files import write_png
from dissection.report.chapter3 import label_statistics
from dissection.report.figure import run_figure
from dissection.report.page import duration, number_blocks, write_report
from dissection.report.rows import ROWS, write_table

REPOSITORY = Path(__file__).parents[1]
LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5")


class Toy(Dataset):
    """Three images; concept 1 (an object) in all, 2 in one, 3 both as part and as object."""

    concepts = pd.DataFrame(
        {"name": ["sky", "car", "wheel"], "category": ["object", "object", "part"]},
        index=pd.Index([1, 2, 3], name="number"),
    )

    def __len__(self) -> int:
        return 3

    def key(self, index: int) -> str:
        return f"images/{'ab'[index % 2]}/{index}.jpg"

    def image(self, index: int) -> np.ndarray:
        return np.zeros((4, 4, 3), np.uint8)

    def labels(self, index: int) -> dict[str, np.ndarray]:
        sky = np.array([[[0, 1], [1, 0]]], np.int32)
        if index != 1:
            return {"object": sky}
        return {"object": np.concatenate([sky, 2 * sky, 3 * sky]), "part": np.full((1, 1, 1), 3)}


@pytest.fixture
def config() -> Config:
    network = {
        "module": "dissection.networks.alexnet:alexnet",
        "input": {"size": 64},
        "layers": {layer: layer for layer in LAYERS},
    }
    return Config.model_validate(
        {
            "profile": "toy",
            "assets": {"broden": {"scenes": {"format": "broden", "images": 3}}},
            "datasets": {"broden": {"reader": "broden", "asset": "broden"}},
            "networks": {"scenes": network, "things": network},
            "dissections": [
                {"network": n, "dataset": "broden", "protocols": ["cvpr2017", "pnas2020"]}
                for n in ("scenes", "things")
            ],
            "rows": {
                "table_3_1": {"dataset": "broden"},
                "fig_3_5": {
                    "dataset": "broden",
                    "networks": {"places205": "scenes", "imagenet": "things"},
                },
            },
        }
    )


@pytest.fixture
def run(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A folder with what two dissections leave, high layers knowing more objects than low ones."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "figures").symlink_to(REPOSITORY / "figures")
    random = np.random.default_rng(1)
    for network in config.networks:
        folder = paths.units("toy", "broden", network)
        folder.mkdir(parents=True)
        rows = []
        for depth, layer in enumerate(LAYERS):
            for protocol in ("cvpr2017", "pnas2020"):
                for unit in range(24):
                    row = {"network": network, "layer": layer, "unit": unit, "protocol": protocol}
                    best = {
                        c: (f"{c} {random.integers(12)}", round(random.random() * reach, 6))
                        for c, reach in (
                            ("object", 0.02 + 0.02 * depth * (1 + (network == "scenes"))),
                            ("part", 0.02 + 0.01 * depth),
                            ("texture", 0.09),
                            ("color", 0.10 - 0.015 * depth),
                        )
                    }
                    category = max(best, key=lambda c: best[c][1])
                    row |= {"threshold": 1.0, "label": best[category][0]}
                    row |= {"category": category, "iou": best[category][1]}
                    for c, (label, iou) in best.items():
                        row |= {f"{c}_label": label, f"{c}_iou": iou}
                    rows.append(row)
        pd.DataFrame(rows).to_csv(folder / "units.csv", index=False)
        layers = {layer: {"units": 24, "height": 4, "width": 4} for layer in LAYERS}
        (folder / "summary.json").write_text(json.dumps({"images": 300, "layers": layers}))
    return config


def test_label_statistics() -> None:
    table = label_statistics(Toy(), threads=2)
    assert table.to_dict("list") == {
        "category": ["object", "part"],
        "classes": [3, 1],
        "images_per_class": [(3 + 1 + 1) / 3, 1.0],
        "images": [3, 1],
        "sources": ["a;b", "b"],
    }
    values = ROWS["table_3_1"].values(table)
    assert values["classes"] == {"object": 3, "part": 1}
    assert values["sources"]["object"] == ["a", "b"]
    assert values["total_classes"] == 4


def test_fig_3_5(run: Config) -> None:
    out = paths.table("toy", "fig_3_5")
    write_table(run, "fig_3_5", out)
    table = pd.read_csv(out)
    assert list(table["layer"].unique()) == list(LAYERS)
    units = pd.read_csv(paths.units("toy", "broden", "scenes") / "units.csv")
    of_layer = units[(units["layer"] == "conv5") & (units["protocol"] == "cvpr2017")]
    passing = of_layer[of_layer["object_iou"] > 0.04]
    values = ROWS["fig_3_5"].values(table)
    assert values["places205"]["conv5"]["object"] == passing["object_label"].nunique()
    metrics = ROWS["fig_3_5"].metrics(table)
    assert metrics["places205"]["conv5"]["detector_units"] == (of_layer["iou"] > 0.04).sum()
    assert metrics["imagenet"]["conv1"]["unique_by_category"] == sum(
        values["imagenet"]["conv1"].values()
    )
    first = out.read_bytes()
    write_table(run, "fig_3_5", out)
    assert out.read_bytes() == first


def test_missing_input_is_named(config: Config, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DissectionError, match=r"units\.csv \(places205\) is missing"):
        write_table(config, "fig_3_5", Path("out.csv"))
    assert not Path("out.csv").exists()


class Page(HTMLParser):
    """Collects what a page would load, and its links."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        for name in ("src", "srcset", "data", "poster"):
            self.loads += [value] if (value := found.get(name)) else []
        if tag == "link":
            self.loads.append(found["href"] or "")
        elif tag == "a":
            self.links.append(found["href"] or "")


@pytest.mark.smoke
def test_report(run: Config) -> None:
    """The whole of it: table, notebook, report; then again, to the same bytes."""
    files = [paths.figure("toy", "fig_3_5", e) for e in ("png", "svg", "ipynb")]
    write_table(run, "fig_3_5", paths.table("toy", "fig_3_5"))
    drawn = []
    for _ in range(2):
        run_figure("fig_3_5", paths.table("toy", "fig_3_5"), *files)
        drawn.append([f.read_bytes() for f in files])
    assert drawn[0] == drawn[1]
    assert b"image/png" in drawn[0][2]  # the executed notebook keeps its output
    benchmarks = Path("logs/toy")
    for job, seconds in (("fig_3_5", 2), ("figure/fig_3_5", 3.5), ("dissect/broden/scenes", 100)):
        (benchmarks / job).parent.mkdir(parents=True, exist_ok=True)
        (benchmarks / f"{job}.tsv").write_text(f"s\tmax_rss\n{seconds}\t512.5\n")
    out, metrics = paths.report("toy"), paths.results("toy") / "metrics.json"
    write_report(run, out, metrics, benchmarks)
    html = out.read_text()
    page = Page()
    page.feed(html)
    assert all(load.startswith("data:") for load in page.loads)
    for link in page.links:
        if link.startswith("#"):
            assert f'id="{link[1:]}"' in html
        else:
            assert (out.parent / link).exists(), link
    assert "not available: broden" in html  # table 3.1 waits for its asset
    assert "1 min 46 s" in html  # 2 + 3.5 + 100 seconds, rounded to even
    tally = json.loads(metrics.read_text())["fig_3_5"]["claims"]
    assert sum(tally.values()) == len(published.entry("fig_3_5")["claims"])
    values = ROWS["fig_3_5"].values(pd.read_csv(paths.table("toy", "fig_3_5")))
    counts = [values[n]["conv5"]["object"] for n in ("places205", "imagenet")]
    assert re.search(rf"{counts[0]} &gt; {counts[1]}</td>", html)


def test_table_3_1_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    paper = published.entry("table_3_1")["values"]
    table = pd.DataFrame(
        {"classes": paper["classes"], "images_per_class": paper["avg_sample"]}
    ).reset_index(names="category")
    table.to_csv(tmp_path / "table.csv", index=False)
    png, svg, notebook = (tmp_path / f"a.{e}" for e in ("png", "svg", "ipynb"))
    run_figure("table_3_1", tmp_path / "table.csv", png, svg, notebook)
    assert png.read_bytes().startswith(b"\x89PNG")
    assert style.CATEGORIES["texture"] in svg.read_text()
    with pytest.raises(DissectionError, match=r"table_3_1.ipynb failed on .*no_such"):
        run_figure("table_3_1", tmp_path / "no_such.csv", png, svg, notebook)


def test_number_blocks() -> None:
    blocks = number_blocks(
        {"n": 5, "words": {"x": "y"}, "low": {"a": 1, "b": None}, "high": {"a": None, "b": None}},
        {"n": 6, "low": {"a": 2, "b": 3}, "top": {"b": 8, "c": 9}},
    )
    assert blocks == [
        {"columns": ["n"], "lines": [{"name": "", "published": [5], "run": [6]}]},
        {
            "columns": ["a", "b", "c"],
            "lines": [
                {"name": "low", "published": [1, None, None], "run": [2, 3, None]},
                {"name": "top", "published": [None, None, None], "run": [None, 8, 9]},
            ],
        },
    ]
    assert [duration(s) for s in (0.44, 12.4, 185, 7800)] == ["0.4 s", "12 s", "3 min 5 s",
                                                              "2 h 10 min"]  # fmt: skip


def test_an_edit_of_what_is_nowhere_is_drawn(tmp_path):
    """Its source covers no pixel of any image, so that no colour changes there."""
    for name in ("selections", "pairs"):
        write_png(tmp_path / f"{name}.png", torch.zeros(1, 3, 8, 8, dtype=torch.uint8))
    effect = {
        "part": "effect",
        "source_before": 0,
        "source_after": 0,
        "inside": None,
        "outside": 0.5,
    }
    edit = {"part": "edit", "source": "earring", "context": 2}
    images = [
        {"part": "image", "name": name, "file": str(tmp_path / f"{name}.png")}
        for name in ("selections", "pairs")
    ]
    lines = pd.DataFrame([effect, effect, edit, *images])
    label = style.effect(lines).axes[2].get_xlabel()
    assert label == "percent of pixels; colours change by 0.50 elsewhere (0 to 6)"
    lines.loc[0, "inside"] = 0.25
    assert "change by 0.25 there and by 0.50 elsewhere" in style.effect(lines).axes[2].get_xlabel()
