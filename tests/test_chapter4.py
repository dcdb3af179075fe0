"""The rows of chapter 4 that dissections answer: values by hand, one unit as a classifier, and all as a DAG."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import save_file

from conftest import EVERY_ROW4, every_row
from dissection import paths, published
from dissection.config import Config
from dissection.dissected import iou_of
from dissection.errors import DissectionError
from dissection.generated import to_pixels
from dissection.intervene.detector import areas_and_peaks
from dissection.published.claims import FAILS, HOLDS, judge
from dissection.report.rows import ROWS
from planted_gan import SIZE, ColourSegmenter, PlantedGAN, latents

UNITS = [  # category, label, iou
    ("object", "tree", 0.3),
    ("part", "tree-t", 0.2),
    ("object", "tree", 0.06),
    ("object", "sky", 0.05),  # at the limit is below it
    ("material", "wood", 0.07),
]
SEEN = [("object", "tree"), ("object", "sky"), ("object", "oven"), ("part", "tree-t")]


def write_units(network: str, layers: dict[str, list[tuple[str, str, float]]], dataset: str = "z",
                protocol: str = "iclr2019") -> None:  # fmt: skip
    folder = paths.units("smoke", dataset, network)
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        {"network": network, "layer": layer, "unit": i, "protocol": protocol, "threshold": 1.0,
         "label": label, "category": category, "iou": iou}
        for layer, units in layers.items() for i, (category, label, iou) in enumerate(units)
    ]  # fmt: skip
    pd.DataFrame(lines).to_csv(folder / "units.csv", index=False)
    concepts = pd.DataFrame([(n, c, 5) for c, n in SEEN] + [("never", "object", 0)],
                            columns=["name", "category", "images"])  # fmt: skip
    concepts.to_csv(folder / "concepts.csv", index_label="number")
    for layer, units in layers.items():
        pages = folder / "pages" / layer / protocol
        pages.mkdir(parents=True, exist_ok=True)
        for i in range(len(units)):
            (pages / f"{i}.jpg").write_bytes(b"strip")


def test_units_by_layer(config: Config) -> None:
    layers = ("layer1", "layer3", "layer4", "layer5", "layer6", "layer8")
    write_units("a", {name: UNITS if name == "layer4" else UNITS[3:4] for name in layers})
    table = ROWS["fig_a_8"].table(config, 1)
    of = table[table["layer"] == "layer4"]
    assert of[["label", "units"]].values.tolist() == [
        ["tree", 2], ["tree-t", 1], ["wood", 1], ["", 1], ["oven", 0], ["sky", 0],
    ]  # fmt: skip
    assert of["mean_iou"].iloc[0] == pytest.approx(0.18)
    values = ROWS["fig_a_8"].values(table)
    assert values["total_units"]["layer4"] == 5
    assert [values[c]["layer4"] for c in ("object", "part", "material", "total")] == [2, 1, 1, 4]
    assert values["total"]["layer1"] == 0
    claims = {c["id"]: judge(c["expr"], values) for c in published.entry("fig_a_8")["claims"]}
    assert claims["a8_peak_total"].outcome == claims["a8_peak_objects"].outcome == HOLDS
    table = ROWS["fig_4_6"].table(config, 1)
    assert table["layer"].unique().tolist() == ["layer1", "layer4", "layer7", "layer10"]
    assert table["strip"].notna().sum() == 2  # nothing is matched but in layer4
    values = ROWS["fig_4_6"].values(table)
    assert values["layer4_objects"] == {"tree": 2}
    assert values["classes"]["layer4"] == {"object": 1, "part": 1, "material": 1}


def test_units_by_scene(config: Config) -> None:
    write_units("a", {"layer4": UNITS})
    write_units("b", {"layer4": UNITS[3:]})
    values = ROWS["fig_4_5"].values(ROWS["fig_4_5"].table(config, 1))
    assert values["units"]["conference"] == {"object": 2, "part": 1, "material": 1}
    assert values["classes"]["church"] == {"object": 0, "part": 0, "material": 1}
    assert values["church_objects"] == {"tree": 0}  # shown, asked for and matched by none
    (claim,) = (c for c in published.entry("fig_4_5")["claims"] if c["id"] == "church_has_trees")
    assert judge(claim["expr"], values).outcome == FAILS


def test_emergence(config: Config) -> None:
    write_units("a", {"layer4": UNITS[3:]})
    write_units("b", {"layer4": UNITS})
    values = ROWS["fig_a_7"].values(ROWS["fig_a_7"].table(config, 1))
    assert (values["units_first"], values["units_last"]) == (1, 4)
    assert (values["classes_first"], values["classes_last"]) == (1, 3)
    assert values["mean_iou_first"] == pytest.approx(0.06)  # of all units, whatever they match
    assert values["mean_iou_last"] == pytest.approx(0.136)
    assert (values["iteration_first"], values["iteration_last"]) == (10, 100)


def test_the_best_unit_of_a_concept(tmp_path: Path) -> None:
    pd.DataFrame({"name": ["tree", "sky", "tree"]}).to_csv(tmp_path / "concepts.csv")
    iou = np.array([[0.1, 0.9, 0.2], [0.3, 0.0, 0.1]], np.float32)
    save_file({"layer4.iclr2019": iou}, tmp_path / "iou.safetensors")
    assert iou_of(tmp_path, "layer4", "iclr2019", "tree").tolist() == pytest.approx([0.2, 0.3])
    with pytest.raises(DissectionError, match="concept 'bed': not in"):
        iou_of(tmp_path, "layer4", "iclr2019", "bed")


def test_areas_and_peaks_equal_brute_force() -> None:
    network, z = PlantedGAN(), latents(1, 130)
    segmenter = ColourSegmenter()
    areas, peaks = areas_and_peaks(
        network, "layer2", 4, z, segmenter, torch.tensor([2, 9]), torch.device("cpu")
    )
    for i in (0, 50, 129):
        image = to_pixels(network(z[i : i + 1]))
        labels = segmenter.labels(image)
        there = (labels["object"] == 2).any(1) | (labels["material"] == 9).any(1)
        pixels = range(1, SIZE, 2)
        assert areas[i] == pytest.approx(
            np.mean([bool(there[0, y, x]) for y in pixels for x in pixels])
        )
        assert peaks[i] == network.layer2(network.layer1(z_of(z[i])))[0, 4].max()
    assert len(areas) == len(peaks) == 130


def z_of(z: torch.Tensor) -> torch.Tensor:
    return (z.view(1, -1, 1, 1) * 4).round() / 4


@pytest.mark.smoke
def test_every_row(tmp_path: Path) -> None:
    workspace = every_row(tmp_path / "repository", EVERY_ROW4, "chapter4")
    table = pd.read_csv(workspace.folder / "results/smoke/tables/pnas_fig_3.csv", low_memory=False)
    peaks = table[(table["part"] == "peak") & (table["role"] == "test")]
    (tested,) = table[(table["part"] == "detector") & (table["role"] == "test")].to_dict("records")
    above, present = peaks["peak"] > tested["threshold"], peaks["present"] == 1
    assert (peaks["area"].astype(float) > 0.55).equals(present)
    balanced = (above[present].mean() + (~above)[~present].mean()) / 2
    assert tested["balanced_accuracy"] == pytest.approx(balanced, abs=1e-5)
    shown = set(table.loc[table["part"] == "image", "name"])
    missed = min(4, int((present & ~above).sum()))
    assert shown == {f"right_{i}" for i in range(4)} | {f"missed_{i}" for i in range(missed)}
    assert workspace.planned("chapter4", "report") == set()
