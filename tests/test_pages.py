"""Unit pages, on a made-up dissection of drawn pictures, and in a real browser."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image, ImageDraw
from safetensors.numpy import save_file

from dissection.config import Config
from dissection.data import Dataset, open_dataset
from dissection.dissect.page import SIDE, highlight, interpolation, write_pages
from dissection.dissect.protocols import PROTOCOLS
from dissection.errors import DissectionError

LAYERS = {"conv1": (13, 13, 4.0), "conv5": (4, 4, 16.0)}  # h, w, stride
UNITS, TOP, SIZE = 20, 6, 64
CONCEPTS = [("sun", "object"), ("house", "object"), ("roof", "part"), ("meadow", "scene")]


def draw(path: Path, seed: int) -> tuple[int, int]:
    """A house under a sun; returns the sun's place (y, x) in pixels of the 64 x 64 input."""
    random = np.random.default_rng(seed)
    y, x = (int(v) for v in random.integers(12, 52, 2))
    image = Image.new("RGB", (96, 80), (140 + seed % 60, 180, 225))
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, 56, 96, 80), fill=(110, 160 + seed % 40, 90))
    pen.rectangle((30, 40, 60, 66), fill=(190, 120 + seed % 50, 100))
    pen.polygon([(26, 40), (45, 24), (64, 40)], fill=(120, 60, 50))
    cy, cx = y * 80 / 64, x * 96 / 64
    pen.ellipse((cx - 9, cy - 9, cx + 9, cy + 9), fill=(250, 220, 80))
    image.save(path)
    return y, x


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Dataset, Path]:
    """(config, images, folder of the dissection)."""
    root = tmp_path_factory.mktemp("pages")
    images, folder = root / "images", root / "units"
    images.mkdir(), folder.mkdir()
    places = [draw(images / f"{i:02}.png", i) for i in range(12)]
    random = np.random.default_rng(0)
    arrays, scores, centres, rows = {}, {}, {}, []
    for layer, (h, w, stride) in LAYERS.items():
        offset = (SIZE - 1 - stride * (h - 1)) / 2
        centre = offset + stride * np.arange(h)
        chosen = np.stack([random.permutation(12)[:TOP] for _ in range(UNITS)])
        maps = np.zeros((UNITS, TOP, h, w), np.float16)
        for unit in range(UNITS):
            for k, image in enumerate(chosen[unit]):
                y, x = places[image]
                bump = (centre[:, None] - y) ** 2 + (centre - x) ** 2
                maps[unit, k] = (5 - unit / 10) * np.exp(-bump / (2 * (10 + unit) ** 2))
        arrays[f"{layer}.images"] = chosen.astype(np.int64)
        arrays[f"{layer}.peaks"] = maps.max((2, 3)).astype(np.float32)
        arrays[f"{layer}.maps"] = maps
        centres[layer] = {"offset": [offset] * 2, "stride": [stride] * 2}
        for protocol in ("cvpr2017", "pnas2020"):
            iou = random.random((UNITS, len(CONCEPTS))).astype(np.float32) ** 3 / 3
            iou[-1] = 0  # a unit that knows nothing
            scores[f"{layer}.{protocol}"] = iou
            for unit in range(UNITS):
                best = int(iou[unit].argmax())
                row = {"network": "toy", "layer": layer, "unit": unit, "protocol": protocol}
                row |= {"threshold": 2.0, "label": CONCEPTS[best][0], "category": CONCEPTS[best][1]}
                row |= {"iou": round(float(iou[unit, best]), 6)}
                if not row["iou"]:
                    row |= {"label": "", "category": ""}
                for category in ("object", "part", "scene"):
                    own = [i for i, c in enumerate(CONCEPTS) if c[1] == category]
                    top = own[int(iou[unit, own].argmax())]
                    score = float(iou[unit, top])
                    row[f"{category}_label"] = CONCEPTS[top][0] if score else ""
                    row[f"{category}_iou"] = score
                rows.append(row)
    pd.DataFrame(rows).to_csv(folder / "units.csv", index=False)
    concepts = pd.DataFrame(CONCEPTS, columns=["name", "category"], index=range(1, 5))
    concepts.assign(images=12).to_csv(folder / "concepts.csv", index_label="number")
    save_file(arrays, folder / "top.safetensors", {"centres": json.dumps(centres)})
    save_file(scores, folder / "iou.safetensors")
    config = Config.model_validate(
        {
            "profile": "toy",
            "datasets": {"meadows": {"reader": "folder", "asset": "meadows"}},
            "networks": {
                "toy": {
                    "module": "dissection.networks.alexnet:alexnet",
                    "input": {"size": SIZE, "order": "BGR"},
                    "layers": dict.fromkeys(LAYERS, "conv"),
                }
            },
            "dissections": [
                {
                    "network": "toy",
                    "dataset": "meadows",
                    "protocols": ["cvpr2017", "pnas2020"],
                    "top_images": TOP,
                }
            ],
        }
    )
    dataset = open_dataset(config.datasets["meadows"], images)
    write_pages(config, config.dissections[0], dataset, folder, root / "out", threads=2)
    return config, dataset, folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_same_bytes_with_other_threads(made: tuple[Config, Dataset, Path], tmp_path: Path) -> None:
    config, images, folder = made
    out = tmp_path / "pages"
    out.mkdir()
    (out / "old.html").touch()  # an earlier run's page goes
    write_pages(config, config.dissections[0], images, folder, out, threads=1)
    assert contents(out) == contents(folder.parent / "out")
    assert len(list(out.glob("conv1/cvpr2017/*.jpg"))) == UNITS
    assert [p.name for p in tmp_path.iterdir()] == ["pages"]


def test_missing_file_is_named(made: tuple[Config, Dataset, Path], tmp_path: Path) -> None:
    config, images, _ = made
    with pytest.raises(DissectionError, match=r"units\.csv is missing"):
        write_pages(config, config.dissections[0], images, tmp_path, tmp_path / "out", 1)
    assert not (tmp_path / "out").exists()


def test_strip_lights_up_the_sun(made: tuple[Config, Dataset, Path]) -> None:
    """Where the sun is, the strip is bright; the far corner is dim."""
    folder = made[2]
    strip = np.asarray(Image.open(folder.parent / "out/conv1/cvpr2017/0.jpg").convert("RGB"))
    assert strip.shape[0] == SIDE
    dim = strip[:, :SIDE].reshape(-1, 3).max(1)
    assert (dim > 200).mean() < 0.25  # sun and outline
    assert (dim < 120).mean() > 0.5
    yellow = strip[:, :SIDE].astype(int)
    assert ((yellow[..., 0] > 200) & (yellow[..., 2] < 140)).sum() > 50


@pytest.mark.parametrize("name", sorted(PROTOCOLS))
def test_interpolation_is_that_of_the_dissection(name: str) -> None:
    """At the size of the input, the strips' upsampling equals the one the overlaps are counted with."""
    run = pytest.importorskip("dissection.dissect.run")
    centres: dict[str, Any] = {"offset": [6.5, 5.0], "stride": [9.0, 11.0]}
    maps = torch.from_numpy(np.random.default_rng(3).random((2, 3, 6, 5), np.float32))
    protocol = replace(PROTOCOLS[name], downsample=1)
    both = tuple(centres["offset"]), tuple(centres["stride"])
    upsample = run.upsampling(protocol, (6, 5, 3), both, SIZE, torch.device("cpu"))
    rows, columns = interpolation(protocol, (6, 5), centres, SIZE, SIZE)
    ours = rows @ maps.numpy() @ columns.T
    theirs = upsample.dense(maps.permute(0, 2, 3, 1).contiguous()).permute(0, 3, 1, 2)
    np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-5)


def test_highlight() -> None:
    picture = np.full((3, SIDE, SIDE), 200, np.float32)
    ramp = np.tile(np.linspace(0, 1, SIDE, dtype=np.float32), (SIDE, 1))
    drawn = highlight(picture, ramp, 0.5)
    assert (drawn[..., -20:] == 200).all()
    assert (drawn[..., :20] == 80).all()
    assert drawn[0, 0, 54:58].max() > 230  # the outline
    silent = highlight(picture, np.zeros((SIDE, SIDE), np.float32), 1.0)
    assert (silent == 80).all()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A tab that fails the test on any error and on any request but for files."""
    tab = browser.new_page(viewport={"width": 1280, "height": 900})
    problems: list[str] = []
    tab.on("pageerror", lambda error: problems.append(str(error)))
    tab.on("requestfailed", lambda request: problems.append(f"failed: {request.url}"))
    tab.on("console", lambda m: problems.append(m.text) if m.type in ("error", "warning") else None)
    tab.on("request", lambda r: problems.append(r.url)
           if not r.url.startswith(("file:", "data:")) else None)  # fmt: skip
    yield tab
    tab.close()
    assert not problems


@pytest.mark.smoke
def test_layer_page_in_a_browser(made: tuple[Config, Dataset, Path], page: Any) -> None:
    out = made[2].parent / "out"
    units = pd.read_csv(made[2] / "units.csv", keep_default_na=False)
    units = units[units["layer"] == "conv5"]
    first = units[units["protocol"] == "cvpr2017"].sort_values("iou", ascending=False)
    page.goto((out / "conv5.html").as_uri())

    def shown(attribute: str = "unit") -> list[str]:
        return page.eval_on_selector_all(
            "ol:not([hidden]) > li:not([hidden])", f"all => all.map(x => x.dataset.{attribute})"
        )

    assert [int(u) for u in shown()] == first["unit"].tolist()  # by IoU
    assert page.locator("#count").inner_text() == f"{UNITS} of {UNITS} units"
    page.wait_for_function("document.querySelector('ol:not([hidden]) img').naturalWidth > 0")

    page.check("#detectors")
    assert len(shown()) == (first["iou"] > 0.04).sum()
    page.keyboard.press("/")
    page.keyboard.type("sun")
    assert all("sun" in words for words in shown("words"))
    page.keyboard.press("Escape")
    page.uncheck("#detectors")
    page.select_option("#category", "part")
    assert set(shown("category")) == {"part"}
    page.select_option("#category", "")
    page.select_option("#sort", "unit")
    assert [int(u) for u in shown()] == list(range(UNITS))
    page.locator("#sort").blur()
    page.keyboard.press("j")
    page.keyboard.press("j")
    assert page.evaluate("document.activeElement.dataset.unit") == "1"
    page.keyboard.press("k")
    assert page.evaluate("document.activeElement.id") == "cvpr2017-0"

    page.check("[value=pnas2020]")
    page.select_option("#sort", "iou")
    second = units[units["protocol"] == "pnas2020"].sort_values("iou", ascending=False)
    assert [int(u) for u in shown()] == second["unit"].tolist()


@pytest.mark.smoke
def test_index_leads_to_the_units(made: tuple[Config, Dataset, Path], page: Any) -> None:
    page.goto((made[2].parent / "out/index.html").as_uri())
    link = page.locator("td a[href*='concept=house']").first
    count = int(link.inner_text().split()[-1])
    link.click()
    page.wait_for_load_state()
    assert page.locator("#concept").input_value() == "house"
    labels = page.eval_on_selector_all(
        "ol:not([hidden]) > li:not([hidden])",
        "all => all.filter(x => x.dataset.detector == 1 && x.dataset.label == 'house').length",
    )
    assert labels == count
