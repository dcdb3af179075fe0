"""Figure 4-7: the values of its table by hand, and distances of images by brute force."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from conftest import REPOSITORY
from dissection import paths
from dissection.config import Config, load
from dissection.data import Dataset
from dissection.errors import DissectionError
from dissection.intervene import variants
from dissection.networks import module_of
from dissection.networks.progan import latents
from dissection.report.rows import ROWS
from dissection.stats import Patches, sliced_wasserstein
from test_chapter4 import UNITS, write_units

CPU = torch.device("cpu")


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """The profile of every row of chapter 4, in an empty folder."""
    profile = load(REPOSITORY / "tests" / "every_row4.yaml")
    monkeypatch.chdir(tmp_path)
    return profile


class Noise(Dataset):
    """Images of 40 x 32 pixels."""

    def __init__(self, images: int = 60):
        self.pixels = np.random.default_rng(5).integers(0, 256, (images, 40, 32, 3), np.uint8)

    def __len__(self) -> int:
        return len(self.pixels)

    def key(self, index: int) -> str:
        return str(index)

    def image(self, index: int) -> np.ndarray:
        return self.pixels[index]


def test_distances_by_brute_force(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(variants, "dataset_of", lambda profile, name: Noise())
    variants.distances(config, "fig_4_7", Path("out"), CPU, 1)
    found = pd.read_csv("out/distances.csv")
    assert found["network"].unique().tolist() == ["real", "base", "batch_stddev"]
    with torch.no_grad():
        images = module_of(config, "b", CPU)(latents(3, 0, 30, 8))
    made, real, others = Patches(3), Patches(3), Patches(3)
    made.add(((images + 1) * 127.5).clamp(0, 255).round())
    middle = torch.from_numpy(Noise().pixels[:, 4:36]).permute(0, 3, 1, 2)
    real.add(middle[:30])
    others.add(middle[30:])
    for name, patches in (("batch_stddev", made), ("real", others)):
        expected = sliced_wasserstein(real, patches)
        of = found[found["network"] == name].set_index("level")["swd"]
        assert of.index.tolist() == [32, 16]
        for level, distance in expected.items():
            assert of[level] == pytest.approx(1000 * distance, rel=1e-4)


def test_too_few_real_images(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(variants, "dataset_of", lambda profile, name: Noise(59))
    with pytest.raises(DissectionError, match="real has 59 images"):
        variants.distances(config, "fig_4_7", Path("out"), CPU, 1)


def test_squares_are_scaled_by_area() -> None:
    image = np.random.default_rng(0).integers(0, 256, (16, 8, 3), np.uint8)
    expected = image[4:12].reshape(4, 2, 4, 2, 3).mean((1, 3))
    assert np.abs(variants.square(image, 4) - expected).max() <= 0.5
    assert np.array_equal(variants.square(image, 8), image[4:12])


def test_values(config: Config) -> None:
    write_units("a", {"layer4": UNITS})
    write_units("b", {"layer4": UNITS[2:]})
    for network, scores in (("a", [0.1, 0.3]), ("b", [0.4, 0.2])):
        folder = paths.units("smoke", "z", network)
        save(folder / "iou.safetensors", scores)
        table = pd.read_csv(folder / "concepts.csv", index_col=0)
        assert table["name"].iloc[0] == "tree"
    folder = paths.intervention("smoke", "fig_4_7")
    folder.mkdir(parents=True)
    lines = "base,30,32,9\nbase,30,16,5\nreal,30,32,1\nreal,30,16,2\n"
    (folder / "distances.csv").write_text("network,images,level,swd\n" + lines)
    values = ROWS["fig_4_7"].values(ROWS["fig_4_7"].table(config, 1))
    assert values["total"] == {"base": 4, "batch_stddev": 2}
    assert values["object"] == {"base": 2, "batch_stddev": 1}
    assert values["class_types"] == {"base": 3, "batch_stddev": 2}
    assert values["swd"] == {"base": 7}
    assert values["swd_real"] == 1.5
    assert values["best_tree_unit"] == pytest.approx({"base_1": 0.3, "batch_stddev_0": 0.4})


def save(path: Path, scores: list[float]) -> None:
    from safetensors.numpy import save_file

    concepts = len(pd.read_csv(path.with_name("concepts.csv")))
    iou = np.zeros((len(scores), concepts), np.float32)
    iou[:, 0] = scores
    save_file({"layer4.iclr2019": iou}, path)
