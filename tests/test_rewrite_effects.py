"""What edits do: selections by rule, units zeroed, keys matched, changes measured, by hand; the chapter's rows."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from conftest import REPOSITORY, every_row
from dissection import paths
from dissection.assets import write_record
from dissection.config import Changed, Config, Rewriting, load
from dissection.errors import DissectionError
from dissection.networks import to_pixels
from dissection.networks.stylegan2 import StyleGAN2
from dissection.report.rows import ROWS
from dissection.rewrite.counts import shows
from dissection.rewrite.edits import Edit
from dissection.rewrite.effects import (
    Sample,
    _alone,
    _changes,
    _zeroed,
    annotated,
    changed,
    run,
    selections,
)
from dissection.rewrite.select import regions
from dissection.rewrite.sessions import read_session

EVERY = REPOSITORY / "tests" / "every_row6.yaml"
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """The tiny profile, its assets beside the records that say where they are."""
    config = load(EVERY)
    folder = tmp_path_factory.mktemp("effects")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        (folder / "tests").mkdir()
        for name in ("colour_parser.py", "labels.json"):
            (folder / "tests" / name).write_bytes((REPOSITORY / "tests" / name).read_bytes())
        record = paths.asset_record("smoke", "labels")
        record.parent.mkdir(parents=True)
        write_record(record, "labels", Path("tests/labels.json"))
        run(config, "fig_b_1", paths.edits("smoke", "fig_b_1"), CPU)
    return config


@pytest.fixture
def inside(
    profile: Config, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Config:
    monkeypatch.chdir(sorted(tmp_path_factory.getbasetemp().glob("effects*"))[-1])
    return profile


def test_sharing(inside: Config) -> None:
    """A job makes the rows of one generator, in order; a row that shares nothing is alone."""
    assert inside.sharing("table_6_3") == ["fig_6_1", "fig_6_2", "table_6_3", "fig_b_3", "fig_b_4"]
    assert inside.sharing("fig_b_6") == ["fig_b_1", "fig_b_2", "fig_b_5", "fig_b_6"]
    assert inside.sharing("fig_6_5") == ["fig_6_5"]


def test_sample_is_the_network_drawn(inside: Config) -> None:
    sample = Sample(inside, "church", CPU)
    spec = Rewriting(layer="layer6", images=7)
    few = sample.images(spec, 3)
    more = sample.images(spec, 7)
    assert more[:3].equal(few)
    with torch.inference_mode():
        whole = to_pixels(sample.network(sample.z(spec, 7)))
    assert (more.int() - whole.int()).abs().max() <= 1
    labels = sample.labels(spec, "colour")
    assert labels.equal(sample.labelled("colour", more))
    assert labels.shape[0] == 7
    with pytest.raises(DissectionError, match="labels no 'horse'"):
        sample.numbers("colour", "horse")


def test_removal_takes_what_is_most_alike_without(inside: Config) -> None:
    sample = Sample(inside, "faces", CPU)
    spec = Rewriting(layer="layer6", source="tree", images=20, context=4)
    chosen = selections(sample, "colour", spec)
    trees = shows(sample.labels(spec, "colour"), sample.numbers("colour", "tree")).numpy()
    assert chosen.object is not None
    mask = chosen.paste.mask
    assert (chosen.object.mask == mask).all()
    found = regions(torch.from_numpy(trees))[:4]
    assert [r.image for r in chosen.context] == [r.image for r in found]
    for region, tree in zip(chosen.context, found, strict=True):
        assert region.size == tree.size
        assert (tree.mask <= region.mask).all()
        assert region.mask.sum() == np.prod(region.size)
    assert chosen.paste.image == found[0].image
    images = sample.images(spec, 20).int().numpy()
    keys = [
        (int((trees[i] & mask).sum()), int(np.abs(images[i] - images[chosen.paste.image]).sum(0)[~mask].sum()))
        for i in range(20)
    ]  # fmt: skip
    assert keys.index(min(keys)) == chosen.object.image
    with pytest.raises(DissectionError, match="look at more images"):
        selections(sample, "colour", spec.model_copy(update={"context": 21}))


def test_growth_takes_the_largest_where_it_is(inside: Config) -> None:
    sample = Sample(inside, "faces", CPU)
    spec = Rewriting(layer="layer6", source="tree", target="tree", images=20, context=3)
    chosen = selections(sample, "colour", spec)
    assert chosen.object is not None
    trees = shows(sample.labels(spec, "colour"), sample.numbers("colour", "tree"))
    found = regions(trees, round(0.003 * trees[0].numel()))
    assert chosen.object.image == found[0].image
    assert chosen.paste.image == chosen.context[0].image
    assert [r.image for r in chosen.context] == [r.image for r in found[:-4:-1]]
    for region in (chosen.paste, *chosen.context):
        assert (region.mask == found[0].mask).all()


def test_annotated_by_turns() -> None:
    text = torch.zeros(5, 10, 10, dtype=torch.bool)
    text[1, 2, :4] = True  # middle
    text[3, 2, :7] = True
    text[2, 9, :5] = True  # bottom
    text[3, 8, :2] = True
    assert [r.image for r in annotated(text, 10)] == [3, 2, 1]
    assert [r.image for r in annotated(text, 2)] == [3, 2]
    assert (annotated(text, 1)[0].mask == text[3].numpy()).all()
    with pytest.raises(DissectionError, match="finds none"):
        annotated(torch.zeros_like(text), 10)


def test_zeroed_units_are_weights_without_inputs(inside: Config) -> None:
    """A linear map of keys without some inputs is the map whose weights of these are 0, the norms kept."""
    sample = Sample(inside, "church", CPU)
    spec, units = Rewriting(layer="layer6", images=3), torch.tensor([1, 4])
    memory, z = sample.memory(spec), sample.z(spec, 3)
    found = _zeroed(memory, z, units)
    network = sample.network
    assert isinstance(network, StyleGAN2)
    state = network.run(network.start(z), until="layer5")
    layer = network.get_submodule("layer6")
    key = layer.key(state)  # type: ignore[operator]
    key[:, units] = 0
    after = layer.finish(layer.dconv(key), state)  # type: ignore[operator, union-attr]
    rgb = network.run(after, after="layer6").rgb
    assert rgb is not None
    assert found.equal(to_pixels(rgb.detach()))
    assert not found.equal(sample.images(spec, 3))
    assert _zeroed(memory, z, units[:0]).equal(sample.images(spec, 3))


def test_scores_are_products_of_keys(inside: Config) -> None:
    sample = Sample(inside, "church", CPU)
    spec = Rewriting(layer="layer6", images=3)
    direction = torch.randn(10, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = sample.scores(spec, direction, 3)
    key = sample.memory(spec).cut(sample.z(spec, 3)).key
    np.testing.assert_allclose(found, (key.double() * direction[:, None, None]).sum(1), atol=1e-4)


def test_value_alone_has_nothing_around_it(inside: Config) -> None:
    """Far from the place, every pixel is as if no feature were there."""
    sample = Sample(inside, "church", CPU)
    spec = Rewriting(layer="layer6", images=1)
    memory = sample.memory(spec)
    cut = memory.cut(sample.z(spec, 1))
    one, other = _alone(memory, cut, 2, 2), _alone(memory, cut, 13, 13)
    assert one[..., 16:, 16:].equal(_alone(memory, cut, 2, 5)[..., 16:, 16:])
    assert other[..., :16, :16].equal(_alone(memory, cut, 13, 10)[..., :16, :16])
    assert not one.equal(other)


def test_changes_by_hand() -> None:
    before = torch.zeros(2, 3, 2, 2, dtype=torch.uint8)
    after, where = before.clone(), torch.zeros(2, 2, 2, dtype=torch.bool)
    after[0, :, 0, 0], after[0, 0, 1, 1], where[0, 0] = 255, 51, True
    lines = _changes(pd.DataFrame({"image": [0, 1]}), before, after, where)
    np.testing.assert_allclose(lines["inside"], [3, np.nan])
    np.testing.assert_allclose(lines["outside"], [0.2, 0])


def test_changed_measures_the_edit_that_it_saved(inside: Config, tmp_path: Path) -> None:
    """Scores, shares and changes are those of the written edit; its session leads to the same edit; bytes repeat."""
    spec = inside.rows.fig_b_1
    assert isinstance(spec, Changed)
    folder = paths.edits("smoke", "fig_b_1") / "fig_b_1"
    lines = pd.read_csv(folder / "images.csv")
    sample = Sample(inside, "faces", CPU)
    made = Edit.load(folder / "edit.safetensors")
    assert made.rank == 1
    best = sample.scores(spec.edit, made.directions[0], 20).flatten(1).amax(1)
    np.testing.assert_allclose(lines["score"], best.sort(descending=True).values[:4], rtol=1e-5)
    top = torch.tensor(lines["image"].tolist())
    with sample.carrying(made), torch.inference_mode():
        after = to_pixels(sample.network(sample.z(spec.edit, 20)[top]))
    sky = sample.numbers("colour", "sky")
    shares = 100 * shows(sample.labelled("colour", after), sky).double().mean((1, 2))
    np.testing.assert_allclose(lines["target_after"], shares, atol=0.5)
    session = read_session(folder / "edit.json")
    again, _ = sample.rewrite(session, spec.edit, tmp_path)
    assert again.identity == made.identity
    (tmp_path / "again").mkdir()
    changed(sample, spec, tmp_path / "again")
    for file in folder.iterdir():
        assert (tmp_path / "again" / file.name).read_bytes() == file.read_bytes()


@pytest.mark.smoke
def test_every_row(tmp_path: Path) -> None:
    """One of each kind: its table has its numbers, and those that the published ones are compared with."""
    alike = [f"fig_b_{n}" for n in (1, 2, 4, 5, 6, 7, 8, 12)]
    alike += ["table_6_2", *(f"fig_6_{n}" for n in (2, 3, 4, 5))]
    workspace = every_row(tmp_path / "repository", EVERY, "chapter6", *alike)
    values, tables = {}, workspace.folder / "results/smoke/tables"
    for file in tables.glob("*.csv"):
        table = pd.read_csv(file)
        values[file.stem] = ROWS[file.stem].values(table)
        if "file" in table:
            files = table.loc[table["part"] == "image", "file"]
            assert len(files)
            assert all((workspace.folder / file).is_file() for file in files)
    counts = values["table_6_3"]
    assert counts["images"] == 20
    assert list(counts["middle"]) == [
        "unmodified", "zero_30_units", "zero_60_units", "rank_1_update", "rank_1_each",
    ]  # fmt: skip
    assert values["fig_b_3"]["pairs_shown"] == 4
    assert list(values["fig_6_1"]) == ["watermarks", "buildings", "trees"]
    patches = pd.read_csv(tables / "fig_b_10.csv")
    # a patch of 8 pixels is one cell of layer2, and two of layer4
    assert set(patches["layer"]) == {"image", "layer2", "layer4", "layer5", "layer6"}
    assert (patches["distance"] > 0).all()
