"""The profile that the README shows for a network of one's own, run as it stands there."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import save_file

from conftest import REPOSITORY, copy_repository

MODULE = """
from torch import nn


def build():
    network = nn.Sequential()
    for i, channels in ((1, 3), (2, 2)):
        network.add_module(f"conv{i}", nn.Conv2d(channels, 2, 1))
        network.add_module(f"relu{i}", nn.ReLU())
    return network
"""


@pytest.mark.smoke
def test_the_readme_profile_dissects_a_network_of_ones_own(tmp_path: Path) -> None:
    """One unit answers to red, the other to its absence; the concept is a red square."""
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
