"""The profile that the README shows for a network of one's own, run as it stands there."""

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import save_file

from colour_parser import parser
from conftest import REPOSITORY, Workspace, copy_repository
from dissection.config import Input
from dissection.data.images import read_image
from dissection.networks import Preprocess
from dissection.segment import Segmenter
from dissection.segment.classes import read_classes

MODULE = """
from torch import nn


def build():
    network = nn.Sequential()
    for i, channels in ((1, 3), (2, 2)):
        network.add_module(f"conv{i}", nn.Conv2d(channels, 2, 1))
        network.add_module(f"relu{i}", nn.ReLU())
    return network
"""


def mine(tmp_path: Path) -> Workspace:
    """A repository with the profile. One unit answers to red, the other to its absence; a concept is a red square."""
    workspace = copy_repository(tmp_path / "repository", None)
    images, random = tmp_path / "my_images", np.random.default_rng(1)
    for folder in ("images", "labels/object"):
        (images / folder).mkdir(parents=True)
    (images / "labels.csv").write_text("number,name,category\n1,red square,object\n2,rest,object\n")
    for i in range(20):
        image = np.repeat(random.integers(60, 200, (64, 64, 1), np.uint8), 3, axis=2)
        labels = np.full((64, 64), 2, np.uint8)
        y, x = random.integers(0, 58, 2)
        image[y : y + 6, x : x + 6], labels[y : y + 6, x : x + 6] = (250, 10, 10), 1
        Image.fromarray(image).save(images / f"images/{i:02d}.jpg", quality=95)
        Image.fromarray(labels).save(images / f"labels/object/{i:02d}.png")
    (tmp_path / "my_network.py").write_text(MODULE)
    red = torch.tensor([[1.0, -0.5, -0.5], [-1.0, 0.5, 0.5]])[:, :, None, None]
    weights = {"conv1.weight": red, "conv2.weight": torch.eye(2)[:, :, None, None]}
    weights |= {f"conv{i}.bias": torch.zeros(2) for i in (1, 2)}
    save_file({k: v.contiguous() for k, v in weights.items()}, tmp_path / "my_weights.safetensors")

    (text,) = re.findall(
        r"```yaml\n(profile: mine.*?)```", (REPOSITORY / "README.md").read_text(), re.S
    )
    assert len(text.splitlines()) <= 18
    text = re.sub(r"/(?:data|code)/", f"{tmp_path}/", text)
    (workspace.folder / "config/mine.yaml").write_text(text)
    assert yaml.safe_load(text)["profile"] == "mine"

    return workspace


@pytest.mark.smoke
def test_the_readme_profile_dissects_a_network_of_ones_own(tmp_path: Path) -> None:
    workspace = mine(tmp_path)
    workspace.run("snakemake", "--configfile", "config/mine.yaml")
    results = workspace.folder / "results/mine"
    units = pd.read_csv(results / "units/mine/mine/units.csv").set_index(
        ["layer", "unit", "protocol"]
    )
    for layer in ("first", "last"):
        for protocol in ("cvpr2017", "pnas2020"):
            assert units.label[layer, 0, protocol] == "red square"
            assert units.iou[layer, 0, protocol] > 0.3
            assert units.label[layer, 1, protocol] == "rest"
    counts = pd.read_csv(results / "tables/fig_3_5.csv")
    assert set(counts["layer"]) == {"first", "last"}
    assert "Unique detectors by layer" in (results / "report.html").read_text()


@pytest.mark.smoke
def test_a_segmenter_labels_images_that_have_no_labels(tmp_path: Path) -> None:
    workspace, here = mine(tmp_path), Path(__file__).parent
    images = tmp_path / "my_images"
    shutil.rmtree(images / "labels")
    (images / "labels.csv").unlink()
    profile = yaml.safe_load((workspace.folder / "config/mine.yaml").read_text())
    profile["assets"]["names"] = {"path": str(here / "labels.json")}
    profile["datasets"]["mine"]["segmenter"] = "colours"
    profile["segmenters"] = {
        "colours": {"network": "parser", "labels": "names", "vocabulary": "net"}
    }
    spec = {"size": 64, "mean": [0, 0, 0], "std": [255, 255, 255]}
    parsing = {
        "module": f"{here}/colour_parser.py:parser",
        "input": spec,
        "layers": {"spread": "spread"},
    }
    profile["networks"]["parser"] = parsing
    (workspace.folder / "config/mine.yaml").write_text(yaml.safe_dump(profile))
    workspace.run("snakemake", "--configfile", "config/mine.yaml")

    segmenter = Segmenter(
        parser(), Preprocess(Input(**spec)), read_classes(here / "labels.json"), "net"
    )
    pixels = np.zeros(len(segmenter.concepts) + 1, np.int64)
    for path in sorted((images / "images").iterdir()):
        seen = segmenter(torch.from_numpy(read_image(path).transpose(2, 0, 1))[None])
        at = np.concatenate(
            [maps.numpy()[0, :, 2::4, 2::4] for maps in seen.values()]
        )  # centres of labels
        for number in range(1, len(pixels)):
            pixels[number] += (at == number).any(0).sum()
    concepts = pd.read_csv(workspace.folder / "results/mine/units/mine/mine/concepts.csv")
    assert list(concepts["name"]) == list(segmenter.concepts["name"])
    assert concepts["pixels_pnas2020"].tolist() == pixels[1:].tolist()
    assert (pixels[1:] > 0).sum() > 3
