"""Accuracy of shipped networks: on scenes, objects, and both."""

from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml

from conftest import REPOSITORY
from dissection import paths
from dissection.assets import write_record
from dissection.config import Config, load
from dissection.data.scenes import write_scenes
from dissection.errors import DissectionError
from dissection.evaluate import accuracies


@pytest.fixture
def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A hybrid of the smoke profile, with scenes drawn to measure it on."""
    monkeypatch.chdir(tmp_path)
    smoke = yaml.safe_load((REPOSITORY / "config" / "smoke.yaml").read_text())
    smoke["shipped"] = str(REPOSITORY / smoke["shipped"])
    lines = smoke["rows"]["table_3_2"]["networks"]
    smoke["rows"] = {"table_3_2": {"networks": [n for n in lines if n["task"] == "Hybrid"]}}
    smoke["assets"]["places_val_part"]["scenes"]["images"] = 26
    Path("profile.yaml").write_text(yaml.safe_dump(smoke))
    monkeypatch.setattr(paths, "REGISTRY", REPOSITORY / paths.REGISTRY)
    config = load("profile.yaml")
    for name in ("objects_val_part", "places_val_part"):
        folder, scenes = paths.generated_asset("smoke", name), config.assets[name].scenes
        assert scenes is not None
        write_scenes(scenes, config.seed, folder, 1)
        write_record(paths.asset_record("smoke", name), name, folder)
    weights = config.assets["alexnet_hybrid"].path
    assert weights is not None
    write_record(paths.asset_record("smoke", "alexnet_hybrid"), "alexnet_hybrid", weights)
    return config


def test_a_hybrid_is_measured_on_scenes_and_objects(profile: Config, tmp_path: Path) -> None:
    accuracies(profile, tmp_path / "accuracy.csv", torch.device("cpu"))
    (line,) = pd.read_csv(tmp_path / "accuracy.csv").to_dict("records")
    assert line["images"] > 512  # scenes beside the objects
    assert line["classes"] == 49
    assert line["top1"] > 0.5


def test_classes_that_a_network_was_not_trained_for_are_named(
    profile: Config, tmp_path: Path
) -> None:
    """A scene and an object may share their name, as `house` does: that is no common class."""
    (line,) = profile.rows.table_3_2.networks  # type: ignore[union-attr]
    rows = {"networks": [line.model_copy(update={"validation": "places_val_part"})]}
    table = profile.rows.table_3_2.model_copy(update=rows)  # type: ignore[union-attr]
    other = profile.model_copy(
        update={"rows": profile.rows.model_copy(update={"table_3_2": table})}
    )
    with pytest.raises(DissectionError, match="alexnet_hybrid: places_val_part has a class"):
        accuracies(other, tmp_path / "accuracy.csv", torch.device("cpu"))
