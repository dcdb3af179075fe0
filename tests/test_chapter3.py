"""The rows of chapter 3: counts, rotations, the evaluation of labels, the other task, and all of them as a DAG."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from conftest import REPOSITORY, Workspace, copy_repository
from dissection import paths, published
from dissection.assets import load_registry
from dissection.config import Config, Scenes, load
from dissection.data.scenes import NUMBER, draw, write_scenes
from dissection.dissect.labels import ImageLabels
from dissection.dissect.survey import agreement, shares
from dissection.errors import DissectionError
from dissection.published.claims import HOLDS, UNTESTED, judge
from dissection.report.rows import ROWS

EVERY = REPOSITORY / "tests" / "every_row.yaml"
CATEGORIES = ("object", "part", "scene", "material", "texture", "color")


def write_units(config: Config, network: str, layers: dict[str, list[dict[str, tuple]]]) -> None:
    """layers: name -> for each unit, category -> (label, iou)."""
    rows = []
    for layer, units in layers.items():
        for number, best in enumerate(units):
            category = max(best, key=lambda c: best[c][1], default="")
            label, iou = best.get(category, ("", 0.0))
            row = {"network": network, "layer": layer, "unit": number, "protocol": "cvpr2017"}
            row |= {"threshold": 1.0, "label": label, "category": category, "iou": iou}
            for c in CATEGORIES:
                row[f"{c}_label"], row[f"{c}_iou"] = best.get(c, ("", 0.0))
            rows.append(row)
    folder = paths.units(config.profile, "broden", network)
    folder.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(folder / "units.csv", index=False)


TREES = [
    {"object": ("tree", 0.2), "texture": ("dotted", 0.05)},
    {"object": ("tree", 0.1)},
    {"object": ("sky", 0.04), "color": ("blue-c", 0.039)},  # at the limit is below it
    {"part": ("wheel", 0.06), "object": ("car", 0.05)},
]


def test_unique_detectors(config: Config) -> None:
    write_units(config, "a", {"conv1": [{"color": ("red-c", 0.3)}], "conv5": TREES})
    write_units(config, "b", {"conv5": TREES[:2]})
    values = ROWS["fig_3_7"].values(ROWS["fig_3_7"].table(config, 1))
    assert values["object"] == {"vgg_places205": 2, "vgg_places365": 2, "vgg_imagenet": 1}
    assert values["texture"]["vgg_imagenet"] == values["part"]["vgg_places365"] == 1
    assert values["color"]["vgg_places365"] == 0  # of another layer
    assert values["total"] == {"vgg_places205": 4, "vgg_places365": 4, "vgg_imagenet": 2}


@pytest.mark.parametrize("network", ["caffe_reference_places205", "ResNet-152-model_places365"])
def test_the_published_units_give_the_published_totals(config: Config, network: str) -> None:
    released = published.table(f"netdissect_units/{network}_by_category")
    units = [
        {c: (row[c], float(row[f"{c}_iou"])) for c in CATEGORIES}
        for row in released.to_dict("records")
    ]
    for name in "ab":
        write_units(config, name, {"conv5": units})
    counts = ROWS["fig_3_7"].values(ROWS["fig_3_7"].table(config, 1))["total"]
    entry = {"caffe_reference_places205": "alexnet_places205"}.get(network, "resnet152_places365")
    assert counts["vgg_places205"] == published.entry("fig_3_7")["values"]["total"][entry]


def test_snapshots_are_put_on_the_published_scale(config: Config) -> None:
    """10,000 of 300,000 iterations are a thirtieth: of 1000, the last snapshot up to 33."""
    for network, units in (("a", []), ("b", TREES[:1]), ("c", TREES)):
        write_units(config, network, {"conv5": units or [{}]})
    values = ROWS["fig_3_10"].values(ROWS["fig_3_10"].table(config, 1))
    assert values["snapshots"] == [1, 10, 1000]
    assert (values["object_part_before_onset"], values["object_part_at_300k"]) == (1, 3)


def test_rotations_are_averaged(config: Config) -> None:
    bases = {"conv5@a0.50s1": TREES[:2], "conv5@a0.50s2": TREES, "conv5@a1.00s1": [{}],
             "conv5@a1.00s2": TREES[:1]}  # fmt: skip
    write_units(config, "a", {"conv1": TREES, "conv5": TREES, **bases})
    table = ROWS["fig_3_4"].table(config, 1)
    values = ROWS["fig_3_4"].values(table)
    assert values["unique"] == {"a000": 4, "a050": 3, "a100": 1}
    assert values["relative_drop_at_1"] == 0.75
    both = ROWS["fig_1_4"].values(ROWS["fig_1_4"].table(config, 1))
    assert both == {"learned_basis": 2, "random_basis": 0.5, "reduction": 0.75}  # best label only


def test_regularisation_and_width(config: Config) -> None:
    for network, units in (("a", TREES), ("b", TREES[:2]), ("c", TREES[:1])):
        write_units(config, network, {"conv5": units})
    pd.DataFrame(
        {
            "network": ["a", "b", "c"],
            "parameters": 9,
            "dataset": "places",
            "top1": [0.5, 0.49, 0.505],
        }
    ).to_csv(paths.accuracy(config.profile), index=False)
    values = ROWS["fig_3_11"].values(ROWS["fig_3_11"].table(config, 1))
    assert values["total"]["baseline"] == 4
    assert values["detector_units"]["baseline"] == 3
    claims = {c["id"]: judge(c["expr"], values) for c in published.entry("fig_3_11")["claims"]}
    assert claims["batchnorm_lowers"].outcome == HOLDS
    assert claims["accuracy_spread_small"].outcome != UNTESTED
    width = ROWS["fig_3_13"].values(ROWS["fig_3_13"].table(config, 1))
    assert width["unique"] == {"alexnet": 4, "gap_wide": 2, "w1024": 2}
    assert width["unique_wider"] == {"w1024": 2}
    assert width["top1_loss"] == pytest.approx(0.01)


def test_what_was_never_released_is_left_out_and_named() -> None:
    full = load(REPOSITORY / "config" / "full.yaml")
    assert set(full.rows.fig_3_13.networks) == {"alexnet"}
    assert "netdissect_weakly_audio_weights" in full.lacking("fig_3_8")
    assert full.lacking("fig_3_5") == []
    for row in ("fig_3_9", "fig_3_10", "fig_3_11"):  # of these, nothing was
        assert full.missing(ROWS[row].uses(full)[1])
    assert "action40" in ROWS["fig_3_12"].assets(full)
    left_out = full.missing(full.networks)
    assert all(not full.missing([e.network]) for e in full.dissections)
    registry = load_registry(REPOSITORY / "config" / "assets.yaml")
    assert {registry[a].status for a in left_out if a in registry} == {"not_released"}
    # the others have recipes here
    recipes = [name for name, network in full.networks.items() if network.training]
    assert {"alexnet_repeat1", "alexnet_puzzle", "encoder_church_direct"} <= set(recipes)
    how = {f"weights of {name} (snakemake weights trains them)" for name in recipes}
    assert {a for a in left_out if a not in registry} == how


def test_images_by_what_they_show(tmp_path: Path) -> None:
    spec = Scenes(format="places", domains=["park"], attributes=["person", "flower"], images=30)
    write_scenes(spec, 1, tmp_path / "drawn")
    folders = {p.name: len(list(p.iterdir())) for p in (tmp_path / "drawn/val").iterdir()}
    for name in folders:
        assert set(name.split("+")) <= {"none", "person", "flower"}
    person = NUMBER["person"]
    shown = [
        (draw("park", 1, i).labels["object"] == person).any(0).mean() >= 0.003 for i in range(30)
    ]
    assert sum(n for name, n in folders.items() if "person" in name) == sum(shown)
    with pytest.raises(DissectionError, match="park has no 'glases'"):
        write_scenes(spec.model_copy(update={"attributes": ["glases"]}), 1, tmp_path / "no")


# Table 3.3


def test_shares_equal_brute_force() -> None:
    random = np.random.default_rng(1)
    maps = random.integers(0, 5, (2, 64)).astype(np.int32)
    maps[1][maps[1] == maps[0]] = 0  # no concept stands twice at a pixel
    labels = ImageLabels(maps, [5], np.array([True]))
    region = random.random(64) < 0.3
    pixels = np.flatnonzero(region)
    expected = [
        sum(c in (*maps[:, p], 5 if c == 5 else -1) for p in pixels) / len(pixels)
        for c in range(1, 7)
    ]
    assert shares(labels, region, 6).tolist() == expected
    assert not shares(labels, np.zeros(64, bool), 6).any()


def test_agreement() -> None:
    """Three raters, two layers: the majority decides what is interpretable, then what is descriptive."""
    answers = [
        (layer, unit, source, answer)
        for layer, unit, written, label in (
            ("conv1", 0, "yyn", "nny"), ("conv1", 1, "ynn", "yyy"), ("conv5", 0, "yyy", "yyn"),
            ("conv5", 1, "yny", "nnn"),
        )
        for source, given in (("written", written), ("dissection", label))
        for answer in given
    ]  # fmt: skip
    table = pd.DataFrame(answers, columns=["layer", "unit", "source", "answer"])
    table = table.assign(rater="r", answer=table["answer"].map({"y": "yes", "n": "no"}))
    own = pd.DataFrame(
        [("r", "conv1", 0, "own", None)], columns=["rater", "layer", "unit", "source", "answer"]
    )
    second = table[(table["source"] == "written")].assign(
        answer=lambda t: np.where(t["unit"] == 0, "yes", "no")
    )
    found = agreement(pd.Series({"conv1": 8, "conv5": 8}), pd.concat([table, own]), second)
    assert found["interpretable"].tolist() == [1, 2]
    assert found["network_dissection"].tolist() == [0.0, 0.5]
    assert found["human_consistency"].tolist() == [1.0, 0.5]


# All rows


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = copy_repository(
        tmp_path_factory.mktemp("rows") / "repository", lambda _: yaml.safe_load(EVERY.read_text())
    )
    workspace.run("snakemake", "chapter3", "report")
    return workspace


@pytest.mark.smoke
def test_every_row(made: Workspace) -> None:
    rows = yaml.safe_load(EVERY.read_text())["rows"]
    for row in rows:
        assert made.results(f"figures/{row}.png")
    assert (
        json.loads((made.folder / "results/smoke/metrics.json").read_text()).keys() == rows.keys()
    )
    assert "not made in this run" not in (made.folder / "results/smoke/report.html").read_text()
    transfer = pd.read_csv(made.folder / "results/smoke/transfer.csv")
    assert transfer["features"].tolist() == [8, 12, 16]
    assert made.planned("chapter3", "report") == set()


@pytest.mark.smoke
def test_the_other_task_is_deterministic(made: Workspace) -> None:
    for name in ("transfer", "accuracy"):
        row = ["--row", "fig_3_12"] if name == "transfer" else []
        made.run("dissection", name, "--config", "config/smoke.yaml", *row, "--out", "again.csv")
        again = (made.folder / "again.csv").read_bytes()
        assert again == (made.folder / f"results/smoke/{name}.csv").read_bytes()


@pytest.mark.smoke
def test_ground_truth_rater_by_brute_force(
    made: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A unit's regions, drawn and compared with the labels pixel by pixel."""
    from safetensors.numpy import load_file

    from dissection.data import open_dataset
    from dissection.networks import Preprocess

    monkeypatch.chdir(made.folder)
    config = load("config/smoke.yaml")
    folder = paths.units("smoke", "broden", "a")
    answers = pd.read_csv(folder / "survey/ground_truth.csv", keep_default_na=False)
    answers = answers.set_index(["layer", "unit", "source"])
    dataset = open_dataset(config.datasets["broden"], paths.generated_asset("smoke", "broden"))
    preprocess = Preprocess(config.networks["a"].input)
    top, counts = load_file(folder / "top.safetensors"), load_file(folder / "counts.safetensors")
    layer, size = "conv1", 32
    h = top[f"{layer}.maps"].shape[2]
    category = dataset.concepts["category"].to_dict()
    for unit in range(8):
        shown: dict[str, int] = {}
        for image, cells in zip(
            top[f"{layer}.images"][unit], top[f"{layer}.maps"][unit], strict=True
        ):
            assert h == size  # as many cells as label pixels, and their centres half a pixel apart
            labels = dataset.labels(int(image))
            share: dict[str, float] = {}
            above = np.zeros((size, size), bool)
            for y in range(size):
                for x in range(size):
                    above[y, x] = (
                        bilinear(cells.astype(np.float32), y, x)
                        > counts[f"{layer}.cvpr2017.threshold"][unit]
                    )
            for number, name in dataset.concepts["name"].items():
                if category[number] in labels:
                    there = np.zeros((size, size), bool)
                    for maps in labels.values():
                        for one in preprocess.labels(maps, 2):
                            there |= np.broadcast_to(one == number, (size, size))
                    share[name] = there[above].mean() if above.any() else 0
            for name, of in share.items():
                shown[name] = shown.get(name, 0) + (of > 0.5)
        label = answers.loc[(layer, unit, "dissection")]
        assert label["answer"] == ("yes" if shown.get(label["phrase"], 0) > 2 else "no")
        written = answers.loc[(layer, unit, "written")]
        assert shown[written["phrase"]] == max(shown.values())
        assert written["answer"] == ("yes" if max(shown.values()) > 2 else "no")


def bilinear(cells: np.ndarray, y: int, x: int) -> float:
    """Label pixel (y, x), centre 2 y + 0.5, among cells centred at the even input pixels, edges repeated."""
    position = [min(max((2 * p + 0.5) / 2, 0), len(cells) - 1) for p in (y, x)]
    (i, u), (j, v) = ((int(p), p - int(p)) for p in position)
    i2, j2 = min(i + 1, len(cells) - 1), min(j + 1, len(cells) - 1)
    return ((1 - u) * (1 - v) * cells[i, j] + (1 - u) * v * cells[i, j2]
            + u * (1 - v) * cells[i2, j] + u * v * cells[i2, j2])  # fmt: skip


@pytest.mark.smoke
def test_answers_are_saved_as_csv(made: Workspace, browser: Any, tmp_path: Path) -> None:
    """The sheets in a browser: two answers, by key and by button, and a phrase of one's own."""
    page = browser.new_page(viewport={"width": 900, "height": 900})
    failed: list[str] = []
    page.on("requestfailed", lambda request: failed.append(request.url))
    page.goto((made.folder / "results/smoke/units/broden/a/survey/index.html").as_uri())
    page.fill("#rater", "Ada")
    page.locator("#phrase").click()
    page.keyboard.press("y")
    page.fill("#own", 'sky, or "blue"')
    page.click("[data-answer=no]")
    page.reload()  # answers stay
    page.screenshot(path=tmp_path / "survey.png")
    with page.expect_download() as download:
        page.click("#save")
    download.value.save_as(tmp_path / "answers.csv")
    page.close()
    assert failed == []
    assert download.value.suggested_filename == "answers_Ada.csv"
    saved = pd.read_csv(tmp_path / "answers.csv")
    assert saved["rater"].tolist() == ["Ada"] * 3
    assert sorted(saved["answer"].dropna()) == ["no", "yes"]
    assert saved.loc[saved["source"] == "own", "phrase"].tolist() == ['sky, or "blue"']
    assert set(saved["source"]) == {"dissection", "own"}
