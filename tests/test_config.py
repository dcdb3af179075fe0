"""Profiles: each file is valid, each mistake is one line, the schema is the models'."""

import difflib
import hashlib
import json
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel
from typer.testing import CliRunner

from dissection import config as configuration
from dissection.assets import asset_path
from dissection.cli import app
from dissection.config import Config, load, schema
from dissection.errors import DissectionError

PROFILES = sorted(path.stem for path in Path("config").glob("*.yaml") if path.stem != "assets")


@pytest.fixture
def smoke():
    return yaml.safe_load(Path("config/smoke.yaml").read_text())


def problem(profile: dict, tmp_path: Path) -> str:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(profile))
    with pytest.raises(DissectionError) as caught:
        load(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_is_valid_down_to_its_layers(profile):
    assert load(f"config/{profile}.yaml").profile == profile
    done = CliRunner().invoke(app, ["config", "check", "--config", f"config/{profile}.yaml"])
    assert done.exception is None, done.exception


def test_schema_has_not_drifted():
    written = Path("config/schema.json").read_text()
    drift = difflib.unified_diff(written.splitlines(), schema().splitlines(), "written", "models")
    assert written == schema(), (
        "run `dissection config schema > config/schema.json`:\n" + "\n".join(drift)
    )


def test_every_field_is_described():
    models = [m for m in vars(configuration).values() if isinstance(m, type)]
    for model in models:
        if issubclass(model, BaseModel) and model.__module__ == configuration.__name__:
            assert model.__doc__ or model is configuration.Section, f"{model.__name__} says nothing"
            for name, field in model.model_fields.items():
                assert field.description, f"{model.__name__}.{name} is not described"


def test_unknown_key_suggests_the_nearest(smoke, tmp_path):
    smoke["networks"]["alexnet_scenes"]["layrs"] = {}
    line = problem(smoke, tmp_path)
    assert "networks.alexnet_scenes.layrs: unknown key" in line
    assert "did you mean layers?" in line
    assert "choices: module, arguments" in line


def test_missing_key_says_what_it_is(smoke, tmp_path):
    del smoke["networks"]["alexnet_scenes"]["input"]
    assert "networks.alexnet_scenes: missing input (input convention)" in problem(smoke, tmp_path)


def test_wrong_type_and_wrong_choice(smoke, tmp_path):
    line = problem(smoke | {"seed": "one"}, tmp_path)
    assert "seed: " in line
    assert "found 'one'" in line
    line = problem(smoke | {"device": "gpu"}, tmp_path)
    assert "device: Input should be 'auto', 'cpu' or 'cuda', found 'gpu'" in line


def test_several_problems_are_counted(smoke, tmp_path):
    assert "(and 1 more)" in problem(smoke | {"seed": -1, "device": "gpu"}, tmp_path)


@pytest.mark.parametrize(
    ("path", "key"),
    [
        (("datasets", "broden", "asset"), "datasets.broden.asset"),
        (("networks", "alexnet_scenes", "weights"), "networks.alexnet_scenes.weights"),
        (("dissections", 0, "network"), "dissections.0.network"),
        (("dissections", 0, "dataset"), "dissections.0.dataset"),
        (("rows", "table_3_1", "dataset"), "rows.table_3_1.dataset"),
        (("rows", "fig_3_5", "networks", "places205"), "rows.fig_3_5.networks.places205"),
    ],
)
def test_unknown_names(smoke, tmp_path, path, key):
    section = smoke
    for part in path[:-1]:
        section = section[part]
    section[path[-1]] = "brodem"
    line = problem(smoke, tmp_path)
    assert f"{key}: found 'brodem'" in line
    assert "choices: " in line


def test_a_figure_needs_its_dissection(smoke, tmp_path):
    smoke["dissections"][0]["protocols"] = ["pnas2020"]
    smoke["rows"] = {"fig_3_5": smoke["rows"]["fig_3_5"]}
    assert "rows.fig_3_5.networks.places205: found 'alexnet_scenes'" in problem(smoke, tmp_path)


def test_an_asset_has_one_source(smoke, tmp_path):
    smoke["assets"]["broden"] = {}
    assert "assets.broden: " in problem(smoke, tmp_path)
    smoke["assets"]["broden"] = {"path": "a", "scenes": {"format": "broden", "images": 1}}
    assert "give either path or scenes" in problem(smoke, tmp_path)


def test_shipped_weights_are_assets_by_their_manifest(smoke, tmp_path):
    entry = {"file": "n.safetensors", "sha256": hashlib.sha256(b"weights").hexdigest()}
    (tmp_path / "manifest.json").write_text(json.dumps({"mine": entry}))
    (tmp_path / "n.safetensors").write_bytes(b"weights")
    smoke = {key: smoke[key] for key in ("profile", "networks")} | {"shipped": str(tmp_path)}
    network = next(iter(smoke["networks"].values()))
    del network["recipe"]
    smoke["networks"] = {"net": network | {"weights": "mine"}}
    profile, record = tmp_path / "mine.yaml", tmp_path / "mine.json"
    profile.write_text(yaml.safe_dump(smoke))
    assert load(profile).assets["mine"].path == tmp_path / "n.safetensors"

    fetch = ["fetch", "--asset", "mine", "--out", str(tmp_path), "--records", str(tmp_path)]
    fetch += ["--config", str(profile)]
    assert CliRunner().invoke(app, fetch).exception is None
    assert asset_path(record) == tmp_path / "n.safetensors"
    (tmp_path / "n.safetensors").write_bytes(b"altered")
    found = CliRunner().invoke(app, fetch).exception
    assert isinstance(found, DissectionError)
    assert entry["sha256"] in str(found)

    recipe = {"dataset": "d", "validation": "d", "epochs": 1, "learning_rate": 1, "snapshots": [7]}
    smoke["datasets"] = {"d": {"reader": "folder", "asset": "mine"}}
    smoke["networks"]["own"] = {k: v for k, v in network.items() if k != "weights"} | {
        "recipe": recipe
    }
    smoke["networks"]["early"] = network | {"weights": "own.7"}
    profile.write_text(yaml.safe_dump(smoke))
    how = ["weights of own (snakemake weights trains them)"]
    assert load(profile).missing(["early"]) == load(profile).missing(["own"]) == how
    manifest = {"mine": entry, "own": entry, "own.7": entry}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    shipped = load(profile)
    assert [shipped.networks[n].weights for n in ("own", "early")] == ["own", "own.7"]
    assert not shipped.missing(["own", "early"])
    del smoke["networks"]["own"], smoke["networks"]["early"]
    (tmp_path / "manifest.json").write_text(json.dumps({"mine": entry}))

    network["weights"] = smoke["networks"]["net"]["weights"] = "theirs"
    assert "choices: mine" in problem(smoke, tmp_path)
    (tmp_path / "manifest.json").unlink()
    assert "no manifest of weights" in problem(smoke, tmp_path)


def test_names_become_files(smoke, tmp_path):
    smoke["datasets"]["../broden"] = smoke["datasets"]["broden"]
    assert "../broden" in problem(smoke, tmp_path)


@pytest.mark.parametrize("text", ["a: [", "just words", ""])
def test_what_is_no_profile(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(DissectionError, match=r"mine.yaml: \w[^\n]*$"):
        load(path)


def test_absent_file(tmp_path):
    with pytest.raises(DissectionError, match=r"none\.yaml: cannot be read"):
        load(tmp_path / "none.yaml")


def test_unknown_layer_names_the_key_and_the_choices(smoke, tmp_path):
    path = tmp_path / "mine.yaml"
    smoke["networks"]["alexnet_scenes"]["layers"] = {"conv5": "conv9"}
    path.write_text(yaml.safe_dump(smoke))
    done = CliRunner().invoke(app, ["config", "check", "--config", str(path)])
    assert isinstance(done.exception, DissectionError)
    assert "networks.alexnet_scenes" in str(done.exception)
    assert "conv9" in str(done.exception)
    assert "relu5" in str(done.exception)


def test_defaults_stay_out_of_the_way():
    minimal = Config.model_validate({"profile": "mine"})
    assert minimal.device == "auto"
    assert minimal.dissections == []
