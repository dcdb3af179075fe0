"""Banner units: the detector on drawn scenes, units that draw a planted banner, and the values of the row."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from conftest import REPOSITORY
from dissection import paths
from dissection.config import Banner, Config, load
from dissection.data import Dataset
from dissection.data.scenes.painter import draw
from dissection.data.scenes.world import NUMBER
from dissection.errors import DissectionError
from dissection.intervene import banner
from dissection.intervene.generator import Generator
from dissection.report.rows import ROWS, write_table
from test_chapter4 import write_units

SIDE = 32


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """The profile of every row of chapter 4, in an empty folder."""
    profile = load(REPOSITORY / "tests" / "every_row4.yaml")
    monkeypatch.chdir(tmp_path)
    return profile


class Churches(Dataset):
    """Drawn scenes with their labels; those with words across the middle have text too, but no banner."""

    concepts = pd.DataFrame({"name": ["text"], "category": ["object"]},
                            index=pd.Index([NUMBER["text"]], name="number"))  # fmt: skip

    def __init__(self, images: int):
        self.scenes = [
            draw("church-outdoor", 1, 700000 + i, SIDE, close=True) for i in range(images)
        ]

    def __len__(self) -> int:
        return len(self.scenes)

    def key(self, index: int) -> str:
        return str(index)

    def image(self, index: int) -> np.ndarray:
        return self.scenes[index].rgb

    def labels(self, index: int) -> dict[str, np.ndarray]:
        return {"object": self.scenes[index].labels["object"]}


@pytest.fixture(scope="module")
def churches() -> Churches:
    return Churches(600)


@pytest.fixture(scope="module")
def learned(churches: Churches) -> banner.Banners:
    images, rows = banner.labelled(churches, "text", SIDE)
    return banner.Banners(images[:400], rows[:400])


def test_banners_of_other_scenes_are_found(churches: Churches, learned: banner.Banners) -> None:
    images, rows = banner.labelled(churches, "text", SIDE)
    kinds = [scene.attributes["watermark"] for scene in churches.scenes]
    assert [bool(r.any()) for r in rows] == [kind == "bar" for kind in kinds]
    assert rows[rows.any(1)].sum(1).tolist() == [5] * rows.any(1).sum()
    found = banner.told(learned(images[400:]), rows[400:])
    assert found["recall"] > 0.9
    assert found["precision"] > 0.6
    with pytest.raises(DissectionError, match="concept 'ghost'"):
        banner.labelled(churches, "ghost", SIDE)
    with pytest.raises(DissectionError, match="all or none"):
        banner.Banners(images, np.zeros_like(rows))


def test_features_by_hand() -> None:
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 3, 5, 4), np.uint8))
    found = banner.features(images)
    pixels = images.numpy() / 255
    for y in range(5):
        expected = []
        for row in (max(y - 1, 0), y, min(y + 1, 4)):
            expected += [pixels[1, c, row].mean() for c in range(3)]
            expected += [pixels[1, c, row].std() for c in range(3)]
        expected += [pixels[1, c].mean() for c in range(3)]
        expected += [pixels[1, c].std() for c in range(3)]
        assert found[1, y] == pytest.approx([*expected, y / 5], abs=1e-5)


class Planted(nn.Module):
    """z -> 6 units at 8 x 8 -> a grey-green image; unit 4 darkens the lowest rows and writes on them."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.ConvTranspose2d(3, 6, 8, bias=False)
        nn.init.constant_(self.layer.weight, 0.0)
        self.layer.weight.data[0, 4, 7] = 1.0  # the lowest row of cells
        self.layer.weight.data[1, 2] = 0.2  # another: how bright all is
        self.draws = Draws()

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return self.draws(self.layer(z.view(len(z), 3, 1, 1)))


class Draws(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        up = nn.functional.interpolate(x, scale_factor=4.0)
        grass = torch.tensor([-0.5, 0.1, -0.6]).view(1, 3, 1, 1) + 0.3 * up[:, 2:3]
        words = torch.zeros(SIDE, SIDE)
        words[29:31, ::3] = 1.6
        share = up[:, 4:5].clamp(0, 1)
        return share * (words - 0.87) + (1 - share) * grass


def test_the_planted_unit_is_found_and_ablated(learned: banner.Banners) -> None:
    generator = Generator(nn.Sequential(Planted().layer, Draws()), "0")
    z = torch.randn(60, 3, generator=torch.Generator().manual_seed(2))[:, :, None, None]
    order, effect = banner.find(generator, learned, z, 10)
    assert order[0] == 4
    assert effect[4] > 0.9
    assert (effect[[0, 1, 3, 5]] == 0).all()
    spec = Banner(dataset="z", network="a", train="t", counts=[1], draws=3, seeds=(1, 3))
    shown = z[(z[:, 0, 0, 0] > 1)]

    def dark(images: torch.Tensor) -> float:
        return float((images < 40).all(1).float().mean())

    orders = {"found": order, "iou": torch.tensor([2, 4])}
    table = banner.removal(generator, learned, dark, shown, orders, 6, spec).set_index("order")
    assert table["after"]["iou"] == pytest.approx(table["before"]["iou"], abs=0.02)
    assert table["before"]["found"] == table["before"]["random"] > 0.1
    assert table["after"]["found"] < 0.02
    plain = banner.images_of(generator, shown)
    rows = learned(plain) > 0.5
    assert table["before"]["found"] == pytest.approx(rows.mean())
    zeroed = shown.clone()
    zeroed[:, 0] = 0
    moved = (banner.images_of(generator, zeroed).float() - plain.float()).abs().mean((1, 3)).numpy()
    assert table["text_before"]["found"] == pytest.approx(dark(plain))
    assert table["text_after"]["found"] == 0
    assert table["change"]["found"] == pytest.approx(moved[~rows].mean(), abs=1e-4)


def test_values(config: Config) -> None:
    write_units("a", {"layer4": [("object", "tree", 0.1), ("object", "sky", 0.2)]})
    folder = paths.intervention("smoke", "fig_slides_banner")
    folder.mkdir(parents=True)
    (folder / "before.png").write_bytes(b"")
    (folder / "units.csv").write_text("unit,effect,rank\n1,0.5,1\n0,0.2,2\n")
    (folder / "removal.csv").write_text(
        "order,units,images,before,after,text_before,text_after,change\n"
        "found,1,4,.2,.1,.1,.1,3\nrandom,1,4,.2,.2,.1,.1,1\n"
        "found,2,4,.2,.05,.1,.02,4\niou,2,4,.2,.1,.1,.03,4\nrandom,2,4,.2,.15,.1,.1,1\n"
    )
    (folder / "detector.csv").write_text(
        "sample,images,banners,precision,recall\ntested,200,.06,.9,1\ngenerated,30,.1,,\n"
    )
    row = ROWS["fig_slides_banner"]
    write_table(config, row.id, paths.table("smoke", row.id))
    table = pd.read_csv(paths.table("smoke", row.id), keep_default_na=False, na_values={})
    values = row.values(table)
    assert values["watermark_units_layer4"] == {"named": [1, 0]}
    assert values["banner"]["removed"] == pytest.approx(0.75)
    assert values["banner"]["removed_random"] == pytest.approx(0.25)
    assert values["banner"]["removed_by_iou"] == pytest.approx(0.5)
    assert values["banner"]["text_after"] == pytest.approx(0.02)
    assert values["images_with_banner"] == {"tested": 0.06, "generated": 0.1}
    units = table[table["part"] == "unit"]
    assert units["label"].tolist() == ["sky", "tree"]


def test_units_that_are_known(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without labelled scenes there are the pictures, of the images on which the units are most active."""
    spec = Banner(dataset="z", network="a", given=[3, 5], images=20, shown=4)
    given = config.model_copy(
        update={"rows": config.rows.model_copy(update={"fig_slides_banner": spec})}
    )
    banner.remove_banner(given, "fig_slides_banner", Path("out"), torch.device("cpu"), 1)
    assert pd.read_csv("out/units.csv").to_dict("list") == {"unit": [3, 5], "rank": [1, 2]}
    assert {path.name for path in Path("out").iterdir()} == {"units.csv", "before.png", "after.png"}
    with pytest.raises(ValueError, match="missing train"):
        Banner(dataset="z", network="a")
