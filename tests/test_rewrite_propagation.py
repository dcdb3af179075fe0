"""Tables 6.1 and 6.2 and figure 6-4: selections by rule, the methods, and what the tables say of them."""

import copy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from dissection import paths
from dissection.config import Config, Propagated, Rewriting, load
from dissection.errors import DissectionError
from dissection.networks import load_network, module_of, to_pixels
from dissection.networks.progan import latents
from dissection.omit.inversion import Target
from dissection.report.rows import ROWS, write_table
from dissection.rewrite import propagate
from dissection.rewrite.counts import parts
from dissection.rewrite.insert import placed
from dissection.rewrite.propagate import METHODS, example, finetune, run, variant
from dissection.rewrite.select import (
    Region,
    Selections,
    aligned,
    by_size,
    draw,
    filled,
    regions,
    session_of,
    without,
)
from dissection.rewrite.sessions import read_mask, read_session

EVERY = Path(__file__).parent / "every_row6.yaml"
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def config() -> Config:
    return load(EVERY)


def masks(*boxes: tuple[int, int, int, int] | None) -> Tensor:
    """(n, 8, 8) bool with a box each."""
    found = torch.zeros(len(boxes), 8, 8, dtype=torch.bool)
    for mask, box in zip(found, boxes, strict=True):
        if box:
            top, left, high, wide = box
            mask[top : top + high, left : left + wide] = True
    return found


def test_regions_are_the_largest_of_each_image() -> None:
    where = masks((0, 0, 2, 2), None, (3, 3, 3, 4))
    where[2, 0, 0] = True  # another, smaller
    where[0, 2, 2] = True  # touches at a corner
    found = regions(where)
    assert [(r.image, r.size, int(r.mask.sum())) for r in found] == [
        (2, (3, 4), 12),
        (0, (3, 3), 5),
    ]
    assert [r.image for r in regions(where, least=6)] == [2]


def test_the_copy_has_the_size_of_what_it_covers() -> None:
    source = regions(masks((0, 0, 4, 3), (0, 0, 2, 2), (0, 0, 2, 1)))
    target = regions(masks((1, 1, 4, 3), (0, 0, 8, 8), (0, 0, 4, 2)))
    found = by_size(source[:2], target)
    assert found.paste.image == 0
    assert [r.image for r in found.context] == [0, 1]
    assert found.object is not None
    assert found.object.image == 2
    with pytest.raises(DissectionError, match="0 images show what is to change"):
        by_size([], target)
    with pytest.raises(DissectionError, match="and 0 what it is to become"):
        by_size(source, [])


def test_what_is_aligned_keeps_its_place() -> None:
    source = regions(masks((0, 0, 5, 5), (2, 2, 4, 4)))
    target = regions(masks((4, 4, 3, 3), None, (0, 3, 2, 2)))
    found = aligned(source, target)
    assert found.object is not None
    assert (found.object.image, found.paste.image) == (
        2,
        0,
    )  # not of the image that it is pasted into
    assert [r.image for r in found.context] == [0, 1]
    for region in (found.paste, *found.context):
        np.testing.assert_array_equal(region.mask, target[1].mask)


def test_a_place_is_filled_with_the_nearest_of_the_target() -> None:
    window, wall = masks((3, 3, 2, 2), (3, 3, 2, 2)), masks((0, 0, 8, 8), (0, 0, 8, 8))
    window[1, 4, 4] = False  # its box is not all window, and it is smaller
    wall[0, :, 1:] = False
    found = filled(regions(window), wall & ~window, 2)
    assert found.object is not None
    assert [r.image for r in found.context] == [1, 0]
    assert found.object.image == found.paste.image == 1  # the first has no such place
    assert found.object.size == (2, 2)
    assert wall[1][found.object.mask].all()
    assert not window[1][found.object.mask].any()
    assert abs(np.argwhere(found.object.mask)[0] - (3, 3)).sum() == 2
    with pytest.raises(DissectionError, match="shows the target alone"):
        filled(regions(window), torch.zeros_like(wall), 2)


def test_what_goes_becomes_the_most_similar_image_without_it() -> None:
    images = torch.full((4, 3, 8, 8), 100, dtype=torch.uint8)
    images[1] += 9
    images[2] += 2
    shown = masks((2, 2, 3, 2), None, None, (2, 2, 1, 1))
    shown[0, 4, 4] = True
    found = without(images, shown, regions(shown)[:1])
    assert found.object is not None
    assert found.object.image == 2  # 3 is more similar, but shows some
    assert found.paste.image == 0
    assert found.paste.mask.sum() == found.context[0].mask.sum() == 9  # its box


@given(st.integers(0, 2**32 - 1))
def test_text_is_split_by_place(seed: int) -> None:
    text = torch.from_numpy(np.random.default_rng(seed).random((3, 11, 5)) < 0.1)
    middle, bottom = parts(text)
    assert torch.equal(middle | bottom, text)
    assert not (middle & bottom).any()
    assert not middle[:, 9:].any()
    assert not bottom[:, :9].any()


def test_session_by_rule_and_from_a_file(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mask = masks((1, 2, 4, 4))[0].numpy()
    chosen = Selections(Region(3, mask), Region(1, mask), [Region(1, mask), Region(5, mask)])
    spec = Rewriting(layer="layer6", rank=2, steps=7, seed=4)
    made = session_of(config, "faces", spec, lambda: chosen)
    assert (made.layer, made.seed, made.settings.rank, made.settings.steps) == ("layer6", 4, 2, 7)
    assert [c.image for c in made.contexts] == [1, 5]
    np.testing.assert_array_equal(read_mask(made.paste.mask, 8, 8).bool().numpy(), mask)
    file = tmp_path / "asked.json"
    file.write_text(made.model_dump_json())
    assert read_session(file) == made
    monkeypatch.setattr("dissection.rewrite.select.asset_of", lambda config, asset: file)
    given = spec.model_copy(update={"session": "asked", "layer": "layer5", "steps": 9})
    read = session_of(config, "faces", given, lambda: pytest.fail("the rule was asked"))
    assert (read.layer, read.settings.steps, read.paste) == ("layer5", 9, made.paste)

    alone = variant(made, "single_image_direction")
    assert alone.contexts == [made.paste]
    assert alone.settings == made.settings
    methods = {"ours": "pgd", "direct_lambda": "lambda", "single_layer_no_direction": "layer"}
    for name, method in methods.items():
        assert variant(made, name).settings.method == method
        assert variant(made, name).contexts == made.contexts


def test_example_is_the_object_on_the_other_image(config: Config) -> None:
    network = module_of(config, "faces", CPU).requires_grad_(False)
    small, large = (np.zeros((32, 32), bool) for _ in range(2))
    small[4:8, 6:14] = True
    large[10:20, 10:26] = True
    spec = Rewriting(layer="layer6")
    chosen = Selections(Region(0, small), Region(2, large), [])
    session = session_of(config, "faces", spec, lambda: chosen)
    z, before, goal, mask = example(network, session)
    assert torch.equal(z, latents(1, 2, 1, 8))
    with torch.no_grad():
        first, other = network(latents(1, 0, 1, 8)), network(latents(1, 2, 1, 8))
    expected = other.clone()
    expected[..., 13:17, 14:22] = first[..., 4:8, 6:14]  # about (15, 18), the middle of the larger
    torch.testing.assert_close(goal, expected.clamp(-1, 1))
    assert torch.equal(before, to_pixels(torch.cat([first, other])))
    assert mask.nonzero().amin(0).tolist() == [13, 14]
    assert int(mask.sum()) == 4 * 8


def test_a_copy_at_the_border_stays_inside() -> None:
    one, other = torch.rand(1, 2, 8, 8), torch.rand(1, 2, 8, 8)
    copied, onto = (m.float() for m in masks((2, 2, 4, 4), (0, 7, 1, 1)))
    whole, (rows, across), area = placed(one, copied, other, onto)
    assert (rows, across) == (slice(0, 4), slice(4, 8))
    assert bool((area == 1).all())
    assert torch.equal(whole[..., rows, across], one[..., 2:6, 2:6])
    whole[..., rows, across] = other[..., rows, across]
    assert torch.equal(whole, other)


def test_all_weights_are_tuned_and_none_of_the_original(config: Config) -> None:
    network = module_of(config, "faces", CPU).requires_grad_(False)
    kept = copy.deepcopy(network.state_dict())
    z = latents(1, 0, 1, 8)
    goal = network(latents(1, 1, 1, 8)).clamp(-1, 1)
    edits = {"a": Rewriting(layer="layer6")}
    spec = Propagated(network="faces", edits=edits, finetune_steps=30, finetune_rate=0.01)
    target = Target(goal)
    tuned = finetune(network, z, target, spec)
    assert float(target(tuned(z))) < 0.6 * float(target(network(z)))
    assert all(torch.equal(t, kept[k]) for k, t in network.state_dict().items())
    assert all(not torch.equal(p, kept[k]) for k, p in tuned.named_parameters())


def test_smiles_are_chosen_by_score() -> None:
    scores = torch.tensor([0.5, -2.0, 3.0, -1.0, 0.0])
    found = masks((1, 1, 2, 3), (4, 1, 1, 3), None, (5, 2, 1, 3), (4, 4, 1, 2))
    smiles = object.__new__(propagate.Smiles)
    smiles.edit = Rewriting(layer="layer6", context=2)
    smiles.mouth = lambda images: found  # type: ignore[assignment]
    smiles.smile = SimpleNamespace(scores=lambda images: scores)  # type: ignore[assignment]
    chosen = smiles.selections(torch.zeros(5, 3, 8, 8, dtype=torch.uint8))
    assert chosen.object is not None
    assert chosen.object.image == 0
    assert chosen.paste.image == 1
    assert [r.image for r in chosen.context] == [1, 3]


@pytest.fixture(scope="module")
def made(config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder in which table 6.2's job ran."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dissection.segment.asset_of", lambda config, asset: EVERY.parent / "labels.json")  # fmt: skip
        patch.setattr(paths, "results", lambda profile: folder / profile)
        for again in ("edits", "again"):
            run(config, "table_6_2", folder / again, CPU)
    return folder


def test_every_method_is_measured_on_the_same_images(made: Path) -> None:
    lines = pd.read_csv(made / "edits" / "images.csv")
    assert len(lines) == 2 * 6 * len(METHODS)
    by = lines.groupby(["edit", "method"], sort=False)
    assert {method for _, method in by.groups} == set(METHODS)
    assert (by["source"].sum().groupby("edit").nunique() == 1).all()
    assert (lines["source"] + lines["rest"] == 32 * 32).all()
    assert (lines["achieved"] <= lines["source"]).all()
    assert (lines.loc[lines["method"] == "unmodified", "change"] == 0).all()
    changed = by["change"].sum().drop("unmodified", level="method")
    assert (changed.drop(["nbb_copy", "nbb_laplace"], level="method") > 0).all()
    assert len(list((made / "edits").glob("*.png"))) == 2 * (1 + len(METHODS))
    for edit in ("spire", "tree"):
        assert read_session(made / "edits" / f"{edit}.json").object is not None


def test_the_same_again(made: Path) -> None:
    first, second = ({p.name: p.read_bytes() for p in (made / f).iterdir()} for f in ("edits", "again"))  # fmt: skip
    assert first == second


def test_tables(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "edits", lambda profile, row: tmp_path / row)
    lines = pd.DataFrame({
        "method": ["ours", "ours", "unmodified", "unmodified"], "image": [0, 1, 0, 1],
        "source": [10, 30, 10, 30], "achieved": [1, 1, 0, 1], "change": [9.0, 7.0, 0, 0],
        "rest": [90, 70, 90, 70], "measure": "mini",
    })  # fmt: skip
    for row, edit in (("table_6_1", "smile"), ("table_6_2", "spire")):
        (tmp_path / row).mkdir()
        lines.assign(edit=edit).to_csv(tmp_path / row / "images.csv", index=False)
        write_table(config, row, tmp_path / f"{row}.csv")
    table = pd.read_csv(tmp_path / "table_6_1.csv", keep_default_na=False)  # as the report does
    smiles = ROWS["table_6_1"].values(table)
    assert smiles["smiling"] == {"ours": 100, "unmodified": 50}
    assert smiles["lpips"] == {"ours": pytest.approx(0.1), "unmodified": None}
    assert smiles["more_realistic_than_ours"] == {"ours": None, "unmodified": None}
    assert smiles["n"] == {"images": 2, "judgements": 0}
    domes = ROWS["table_6_2"].values(pd.read_csv(tmp_path / "table_6_2.csv"))
    assert domes["spire_correct"] == {"ours": 5, "unmodified": None}  # 2 of 40 pixels


def test_the_layer_of_an_activation(config: Config) -> None:
    network = load_network(config.networks["church"], None, 1)
    by_name, by_activation = (propagate.memory_of(network, n) for n in ("layer6", "layer6.activate"))  # fmt: skip
    assert by_name.name == by_activation.name == "layer6.dconv.weight"
    assert draw(network, latents(1, 0, 3, 8)).shape == (3, 3, 32, 32)
