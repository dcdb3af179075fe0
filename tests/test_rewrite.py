"""Rewriting: directions, insertion against the published loop, edits as files, sessions, jobs."""

import base64
import json
import re
import runpy
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as some
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from dissection import paths
from dissection.assets import write_record
from dissection.cli import app
from dissection.errors import DissectionError
from dissection.networks import load_network
from dissection.networks.progan import ProGAN, latents
from dissection.networks.stylegan2 import StyleGAN2
from dissection.rewrite.directions import key_directions, key_units, power
from dissection.rewrite.edits import Edit, Rewritten, export
from dissection.rewrite.insert import Goal, contracted, goal_of, insert, paste, solve
from dissection.rewrite.job import rewrite
from dissection.rewrite.layers import columns, matrix_of, memory_of, moments, weight_of
from dissection.rewrite.sessions import (
    LIMIT,
    PREFIX,
    Selection,
    Session,
    mask_url,
    read_mask,
    read_session,
)
from test_stylegan2 import published_shapes

REPOSITORY = Path(__file__).parents[1]
PUBLISHED = runpy.run_path(str(REPOSITORY / "benchmarks/rewriting_speed.py"))["published_insert"]
Z = latents(1, 0, 2, 16)


def progan():
    torch.manual_seed(1)
    return ProGAN(16, [12, 10, 8]).eval()


def stylegan2():
    torch.manual_seed(1)
    network = StyleGAN2(16, [12, 10, 8], style=14, depth=3).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith(("noise.weight", "bias")):
                parameter.normal_(0.5)
        network.latent_avg.normal_()
    return network


CASES = [(progan, "layer3"), (progan, "layer4"), (stylegan2, "layer3"), (stylegan2, "layer4")]
EDITED = [(progan, "layer4"), (stylegan2, "layer4"), (stylegan2, "layer3")]


def masks(size=16):
    where = np.zeros((3, size, size), bool)
    where[0, 2:7, 4:9], where[1, 6:14, 8:14], where[2, 1:5, 1:6] = True, True, True
    return [mask_url(mask) for mask in where]


def session(**changes):
    copied, pasted, other = masks()
    given = {
        "network": "g", "layer": "layer4", "object": [0, copied], "paste": [1, pasted],
        "context": [[1, pasted], [2, other]], "settings": {"steps": 25},
    }  # fmt: skip
    return Session(**given | changes)


def spread(network, layer):
    """C of the layer's keys."""
    return moments(memory_of(network, layer), latents(1, 0, 12, 16)).moment()


# layers


@pytest.mark.parametrize(("build", "layer"), [*CASES, (progan, "layer1"), (stylegan2, "layer2")])
def test_parts_of_a_generator_make_its_images(build, layer):
    network = build()
    memory = memory_of(network, layer)
    cut = memory.cut(Z)
    with torch.no_grad():
        expected = network(Z)
    assert torch.allclose(memory.images(cut, memory.value(cut)), expected, atol=2e-5)
    key = cut.key[:1]
    height, width = key.shape[2:]
    every = columns(memory, key, (slice(0, height), slice(0, width)), True)
    linear = memory.linear(key, memory.weight)[0]
    assert torch.allclose(matrix_of(memory.weight) @ every, linear.flatten(1), atol=2e-5)
    assert weight_of(matrix_of(memory.weight), key.shape[1], memory.weight.shape[2:]).equal(
        memory.weight
    )


@pytest.mark.parametrize(("build", "layer"), CASES)
def test_a_crop_knows_its_neighbours_or_zeros(build, layer):
    memory = memory_of(build(), layer)
    key = memory.cut(Z).key[:1]
    linear = memory.linear(key, memory.weight)[0]
    times = linear.shape[1] // key.shape[2]
    box = slice(0, 2), slice(1, 3)
    inside = matrix_of(memory.weight) @ columns(memory, key, box, False)
    assert torch.allclose(inside, linear[:, : 2 * times, times : 3 * times].flatten(1), atol=2e-5)
    alone = memory.linear(key[:, :, box[0], box[1]], memory.weight)[0]
    padded = matrix_of(memory.weight) @ columns(memory, key, box, True)
    assert torch.allclose(padded, alone.flatten(1), atol=2e-5)
    assert not torch.allclose(padded, inside, atol=1e-2)


def test_what_cannot_be_cut_is_named():
    for network, layer in ((progan(), "layer4.conv"), (stylegan2(), "layer1")):
        with pytest.raises(DissectionError, match="cannot be rewritten"):
            memory_of(network, layer)


@pytest.mark.parametrize("build", [progan, stylegan2])
def test_second_moments_are_sums_of_outer_products(build):
    memory, z = memory_of(build(), "layer4"), latents(1, 0, 5, 16)
    keys = torch.cat([memory.cut(one[None]).key[0].flatten(1).T for one in z]).double()
    expected = sum(torch.outer(key, key) for key in keys) / len(keys)
    for batch in (1, 2, 5):
        assert torch.allclose(moments(memory, z, batch).moment(), expected, atol=1e-5)


# directions


def context(places=40, units=9, seed=0):
    random = np.random.RandomState(seed)
    mixing = random.randn(units, units)
    keys, weights = random.randn(places, units) @ mixing, random.uniform(0.1, 1, places)
    moment = mixing.T @ mixing
    return torch.from_numpy(keys), torch.from_numpy(weights), torch.from_numpy(moment)


@settings(deadline=None, max_examples=25)
@given(some.integers(0, 10**6), some.integers(1, 4))
def test_whitened_directions_equal_an_independent_computation(seed, rank):
    keys, weights, moment = context(seed=seed)
    # B.5 to B.16: largest eigenvectors of K' K'^T, brought back by Z
    values, vectors = np.linalg.eigh(moment.numpy())
    z = vectors @ np.diag(values**-0.5) @ vectors.T
    whitened = z @ (keys * weights[:, None]).numpy().T
    _, q = np.linalg.eigh(whitened @ whitened.T)
    d = z @ q[:, -rank:]
    expected = d @ np.linalg.pinv(d)  # the projection on their span
    found = key_directions(keys, weights, moment, rank).numpy()
    assert np.allclose(found @ found.T, np.eye(rank), atol=1e-9)
    assert np.allclose(found.T @ found, expected, atol=1e-6)


def test_with_c_white_directions_are_principal_ones_of_the_selection():
    keys, weights, _ = context()
    found = key_directions(keys, weights, torch.eye(9), 2)
    _, _, axes = np.linalg.svd((keys * weights[:, None]).numpy())
    assert np.allclose(found.T @ found, axes[:2].T @ axes[:2], atol=1e-9)
    assert float(found[0] @ (keys * weights[:, None]).sum(0)) > 0


def test_mean_and_axes():
    keys, weights, moment = context()
    mean = np.linalg.solve(moment.numpy(), (keys * weights[:, None]).mean(0).numpy())
    found = key_directions(keys, weights, moment, 1, "mean")
    assert np.allclose(found[0], mean / np.linalg.norm(mean), atol=1e-6)
    scores = [sum(weights * keys[:, i] ** 2) / moment[i, i] for i in range(9)]
    order = np.argsort(scores)[::-1][:3]
    assert key_units(keys, weights, moment, 3).tolist() == order.tolist()
    assert key_directions(keys, weights, moment, 3, "axis").equal(
        torch.eye(9).double()[order.copy()]
    )


def test_a_rank_deficient_c_gives_finite_directions():
    keys, weights, moment = context()
    few = keys[:3].T @ keys[:3] / 3
    few[4], few[:, 4] = 0, 0  # a unit that is always zero
    for method, rank in (("zca", 2), ("mean", 1), ("axis", 3)):
        found = key_directions(keys, weights, few, rank, method)
        assert found.isfinite().all()
        assert np.allclose(found @ found.T, np.eye(rank), atol=1e-9)
    full = power(moment, -0.5)
    assert np.allclose(full @ full @ moment, np.eye(9), atol=1e-6)  # as it is, if of full rank


def test_more_directions_than_places_are_refused():
    keys, weights, moment = context(places=3)
    with pytest.raises(DissectionError, match="3 places"):
        key_directions(keys, weights, moment, 4)
    with pytest.raises(DissectionError, match="one direction"):
        key_directions(keys, weights, moment, 2, "mean")


# insertion


def small_goal(build, layer, padded=True):
    """A patch pasted, in float64; with the keys and target of the crop by themselves."""
    network = build()
    memory = memory_of(network, layer)
    one, two = memory.cut(Z[:1]), memory.cut(Z[1:])
    network.double()
    cuts = [
        cut._replace(
            key=cut.key.double(), before=cut.before and cut.before._replace(w=cut.before.w.double())
        )
        for cut in (one, two)
    ]
    mask = torch.zeros(memory.value(cuts[0]).shape[2:])
    mask[2:5, 1:5] = 1
    goal = paste(memory, cuts[0], mask, cuts[1], mask, padded)
    return memory, goal, cuts[1].key[:, :, 2:5, 1:5]


@pytest.mark.parametrize(("method", "low"), [("pgd", False), ("pgd", True), ("lambda", False)])
@pytest.mark.parametrize("build", [progan, stylegan2])
def test_insertion_equals_the_published_loop(build, method, low):
    memory, goal, key = small_goal(build, "layer4")
    shape = (len(memory.weight), *key.shape[2:])
    ending = goal.ending and goal.ending._replace(add=goal.ending.add.reshape(shape))
    directions = torch.linalg.qr(torch.randn(10, 2, dtype=torch.float64)).Q.T
    for steps in (1, 47):
        expected = PUBLISHED(
            key,
            goal.target.reshape(1, *shape),
            memory.weight,
            ending,
            directions,
            method,
            steps,
            low_rank_gradient=low,
        )
        change, losses = insert(
            goal, memory.weight, directions, method, steps, low_rank_gradient=low
        )
        found = Edit(memory.name, directions, change).delta()
        assert float((found - expected).norm() / expected.norm()) < 1e-6
    assert losses[-1] < losses[0]


def test_units_by_parts_and_early_end(monkeypatch):
    memory, goal, _ = small_goal(stylegan2, "layer4", padded=False)
    directions = torch.linalg.qr(torch.randn(10, 1, dtype=torch.float64)).Q.T
    whole, losses = insert(goal, memory.weight, directions, steps=15)
    monkeypatch.setattr("dissection.rewrite.insert.UNITS", 3)
    parts, same = insert(goal, memory.weight, directions, steps=15)
    assert torch.allclose(whole, parts, rtol=1e-9)
    assert torch.allclose(losses, same, rtol=1e-9)
    _, ended = insert(goal, memory.weight, directions, "lambda", steps=4000, patience=5)
    assert ended.isnan().any()
    assert ended[0] > ended[ended.isfinite()][-1]


def test_closed_form_and_optimisation_agree_on_a_linear_layer():
    torch.manual_seed(0)
    weight, keys = torch.randn(5, 6, 1, 1).double(), torch.randn(6, 1).double()
    d = torch.nn.functional.normalize(torch.randn(1, 6).double())
    goal = Goal(keys, torch.randn(5, 1).double(), None)
    exact = solve(goal, weight, d)
    # the block system (B.4), as it stands
    system = torch.zeros(7, 7).double()
    system[:6, :6], system[:6, 6], system[6, :6] = torch.eye(6), keys[:, 0], -d[0]
    both = torch.cat([weight[:, :, 0, 0], goal.target], 1) @ torch.linalg.inv(system)
    assert torch.allclose(exact[:, 0, 0], both[:, 6:], atol=1e-9)
    changed = weight + Edit("w", d, exact).delta()
    assert torch.allclose(changed[:, :, 0, 0] @ keys, goal.target, atol=1e-9)
    for method in ("lambda", "pgd"):  # Adam hovers about an L1 optimum by about its rate
        change, rate = torch.zeros_like(exact), 0.05
        for _ in range(10):
            more, _ = insert(goal, weight + Edit("w", d, change).delta(), d, method, 400, rate)
            change, rate = change + more, rate / 4
        assert torch.allclose(change, exact, atol=1e-4)


def test_the_closed_form_is_for_linear_layers():
    memory, goal, _ = small_goal(stylegan2, "layer4")
    with pytest.raises(DissectionError, match="not linear"):
        solve(goal, memory.weight, torch.eye(10)[:1])
    memory, goal, _ = small_goal(progan, "layer4")
    exact = solve(goal, memory.weight, torch.eye(10)[:2])
    missing = goal.target - matrix_of(memory.weight) @ goal.keys
    inside = contracted(goal.keys, torch.eye(10).double()[:2])
    left = missing - matrix_of(exact) @ inside
    assert torch.allclose(left @ inside.T, torch.zeros(10, 18).double(), atol=1e-8)


def test_the_target_is_the_value_where_nothing_is_pasted():
    memory = memory_of(stylegan2(), "layer4")
    cut = memory.cut(Z[:1])
    goal = goal_of(memory, cut, memory.value(cut), (slice(2, 5), slice(0, 4)), False)
    _, losses = insert(goal, memory.weight, torch.eye(10)[:1], steps=1)
    assert losses[0] < 1e-6  # with its neighbours and its own noise there is nothing to mend


# edits


@pytest.mark.parametrize(("build", "layer"), EDITED)
@pytest.mark.parametrize("method", ["pgd", "lambda"])
def test_an_edit_changes_by_its_rank_and_is_undone_to_the_byte(build, layer, method):
    network = build()
    z, before = latents(1, 5, 3, 16), {k: v.clone() for k, v in network.state_dict().items()}
    made, losses = rewrite(
        network,
        layer,
        session(settings={"steps": 40, "rank": 2, "method": method}),
        spread(network, layer),
    )
    assert losses[-1] < losses[0]
    assert all(before[k].equal(v) for k, v in network.state_dict().items())
    delta = made.delta().transpose(1, 2).flatten(2).flatten(0, 1)
    matrix = made.delta().transpose(0, 1).flatten(1)
    assert torch.linalg.matrix_rank(matrix) == 2 == made.rank
    assert delta.isfinite().all()
    with torch.no_grad():
        images = network(z)
        rewritten = Rewritten(network)
        rewritten.add(made)
        assert not torch.allclose(network(z), images, atol=1e-3)
        rewritten.remove(made)
        assert network(z).equal(images)
    after = network.state_dict()
    assert all(before[k].numpy().tobytes() == v.numpy().tobytes() for k, v in after.items())


def random_edits(count, weight="layer4.conv.weight"):
    torch.manual_seed(3)
    return [Edit(weight, torch.randn(1, 10), torch.randn(10, 1, 3, 3)) for _ in range(count)]


@settings(deadline=None, max_examples=20)
@given(some.permutations(range(4)), some.sets(some.integers(0, 3)))
def test_edits_stack_in_any_order(order, removed):
    edits, rewritten, others = random_edits(4), Rewritten(progan()), Rewritten(progan())
    for i in order:
        rewritten.add(edits[i])
    rewritten.remove(*(edits[i] for i in removed))
    others.add(*(edits[i] for i in range(4) if i not in removed))
    weights = [r.network.state_dict()["layer4.conv.weight"] for r in (rewritten, others)]
    assert weights[0].equal(weights[1])
    expected = progan().state_dict()["layer4.conv.weight"].double()
    expected = expected + sum(edits[i].delta() for i in range(4) if i not in removed)
    assert torch.allclose(weights[0].double(), expected, atol=1e-5)


def test_an_edit_of_another_network_changes_nothing():
    network = progan()
    before = network.layer4.conv.weight.clone()
    rewritten = Rewritten(network)
    wrong = Edit("layer4.conv.weight", torch.randn(1, 7), torch.randn(8, 1, 3, 3))
    for edit, message in ((wrong, "another network"), (random_edits(1, "layer9.w")[0], "no such")):
        with pytest.raises(DissectionError, match=message):
            rewritten.add(random_edits(1)[0], edit)
        assert network.layer4.conv.weight.equal(before)
    with pytest.raises(DissectionError, match="does not carry"):
        rewritten.remove(wrong)


def test_an_edit_is_read_as_it_was_written(tmp_path):
    edit = Edit("a.weight", torch.randn(2, 8), torch.randn(8, 2, 3, 3), {"network": "church"})
    edit.save(tmp_path / "e.safetensors")
    back = Edit.load(tmp_path / "e.safetensors")
    assert (back.weight, back.provenance) == (edit.weight, edit.provenance)
    assert back.delta().equal(edit.delta())
    assert back.identity == edit.identity
    (tmp_path / "broken.safetensors").write_bytes(b"nothing")
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors", {"weight": "a"})
    Edit("a", torch.full((1, 2), torch.nan), torch.zeros(1, 1, 1, 1)).save(
        tmp_path / "nan.safetensors"
    )
    for name in ("broken", "other", "nan", "none"):
        with pytest.raises(DissectionError, match=f"edit .*{name}"):
            Edit.load(tmp_path / f"{name}.safetensors")


class Spec:
    def __init__(self, module):
        self.module, self.arguments = f"dissection.networks.{module}", {}


@pytest.mark.parametrize("layout", ["own", "rosinality", "features"])
def test_exported_weights_draw_the_same_images(layout, tmp_path):
    """In the layout that they came in, whatever that is."""
    suffix = ".safetensors" if layout == "own" else ".pt"
    weights, out = tmp_path / f"w{suffix}", tmp_path / f"edited{suffix}"
    if layout == "rosinality":
        made, spec, name = stylegan2(), Spec("stylegan2:StyleGAN2"), "layer4.dconv.weight"
        shapes, own = published_shapes(16, [12, 10, 8], 14, 3), made.state_dict()
        state = {k: own[made.own_key(k)].view(shape) for k, shape in shapes.items()
                 if made.own_key(k) and k != "latent_avg"}  # fmt: skip
        torch.save({"g_ema": state, "latent_avg": made.latent_avg}, weights)
    else:
        made, spec, name = progan(), Spec("progan:ProGAN"), "layer4.conv.weight"
        state = made.state_dict()
        if layout == "own":
            save_file({k: v.half() for k, v in state.items()}, weights)
        else:
            number = re.compile(r"layer(\d+)\.|output_\d+x\d+\.")
            old = {k: number.match(k) for k in state}
            state = {
                f"features.{int(m[1]) - 1}.{k[m.end() :]}"
                if m[1]
                else f"output.{k[m.end() :]}": state[k]
                for k, m in old.items()
            }
            torch.save({"state_dict": state, "epoch": 3}, weights)
    network = load_network(spec, weights, 0)
    edits = random_edits(2, name)
    Rewritten(network).add(*edits)
    export(weights, load_network(spec, weights, 0), edits, out)
    again = load_network(spec, out, 0)
    with torch.no_grad():
        assert again(Z).equal(network(Z))
        assert not again(Z).equal(load_network(spec, weights, 0)(Z))
    if layout == "rosinality":
        saved = torch.load(out, weights_only=True)
        assert {k: v.shape for k, v in saved["g_ema"].items()} == {
            k: v.shape for k, v in state.items()
        }
    with pytest.raises(DissectionError, match="suffix"):
        export(weights, network, edits, tmp_path / "edited.bin")


def test_erasing_takes_the_units_of_the_context_away():
    network = stylegan2()
    moment = spread(network, "layer4")
    for settings_ in (
        {"erase": 3, "whole": True},
        {"erase": 3, "low_rank_gradient": True, "repeats": 2},
    ):
        request = session(object=None, settings={"steps": 60, "rank": 2, **settings_})
        made, losses = rewrite(network, "layer4", request, moment)
        assert losses[59] < losses[0]
        assert len(losses) == 60 * request.settings.repeats
    assert made.rank == 2
    assert losses[60] < losses[0]  # the second time starts where the first ended


def test_single_image_and_layer_without_directions():
    network = progan()
    moment = spread(network, "layer4")
    one, _ = rewrite(network, "layer4", session(settings={"steps": 2, "single": 0}), moment)
    all_, _ = rewrite(network, "layer4", session(settings={"steps": 2}), moment)
    assert not torch.allclose(one.directions, all_.directions, atol=1e-4)
    free, losses = rewrite(
        network, "layer4", session(settings={"steps": 30, "method": "layer"}), moment
    )
    assert free.rank == 10
    assert losses[-1] < losses[0]


# sessions


def png(width, height, data=b"", extra=b""):
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", data), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks
    )
    return PREFIX + base64.b64encode(b"\x89PNG\r\n\x1a\n" + body + extra).decode()


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        ("hello", "expected data:image/png"),
        (PREFIX + "%%%", "not base64"),
        (PREFIX + base64.b64encode(b"GIF89a" * 9).decode(), "not a PNG"),
        (png(50000, 50000), "50000 x 50000 pixels"),
        (png(LIMIT + 1, 1), "expected at most"),
        (png(0, 4), "0 x 4"),
        (png(4, 4, zlib.compress(b"\0" * 3)), "broken PNG"),
        (png(4, 4, b"junk"), "broken PNG"),
        (PREFIX + "A" * (17 << 20), "MB"),
    ],
)
def test_malformed_and_oversized_masks(mask, message):
    with pytest.raises(DissectionError, match=message):
        read_mask(mask, 4, 4)


def test_masks_are_averaged_over_cells():
    where = np.zeros((16, 16), bool)
    where[:8, 4:16] = True
    found = read_mask(mask_url(where), 16, 16)
    assert found.equal(torch.from_numpy(where).float())
    small = read_mask(mask_url(where), 4, 4)
    assert small[0].tolist() == pytest.approx([0.14, 0.87, 1, 1], abs=0.01)
    assert 0.8 < small[1, 3] < 0.9  # as in the authors' code, a cell looks a little beyond itself
    with pytest.raises(DissectionError, match="empty"):
        rewrite(progan(), "layer4", session(paste=[0, mask_url(where & False)]), torch.eye(10))


def test_sessions_of_both_kinds(tmp_path):
    ours, theirs = tmp_path / "ours.json", tmp_path / "theirs.json"
    copied, pasted, other = masks()
    expected = session(layer="layer8", truncation=0.5)
    ours.write_text(expected.model_dump_json())
    assert read_session(ours) == expected
    theirs.write_text(json.dumps({
        "object": [0, copied], "paste": [1, pasted], "key": [[1, pasted], [2, other]], "query": [3, other],
    }))  # fmt: skip
    found = read_session(theirs, network="g", layer="layer8", truncation=0.5, steps=25, rank=None)
    assert found == expected
    theirs.write_text(json.dumps({"object": [0, copied], "paste": [1, pasted]}))
    found = read_session(theirs, network="g", layer="layer8")
    assert found.contexts == [Selection(image=1, mask=pasted)]
    with pytest.raises(DissectionError, match=r"theirs.json: network: Field required"):
        read_session(theirs, layer="layer8")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "expected an object"),
        ('{"network": "g", "layer": "l", "paste": [1]}', "paste: "),
        ('{"network": "g", "layer": "l", "paste": {"image": -1, "mask": "data:image/png;base64,"}}', "paste.image"),
        ('{"network": "g", "layer": "l", "paste": [1, "data:image/png;base64,AAAA"], "settings": {"erase": 3}}',
         "paste: mask: not a PNG"),
        (json.dumps({"network": "g", "layer": "l", "paste": [1, masks()[1]]}), "an object to copy"),
        (json.dumps({"network": "g", "layer": "l", "paste": [1, masks()[1]], "ranks": 1}), "ranks: Extra"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_session_is_named(text, message, tmp_path):
    path = tmp_path / "s.json"
    path.write_text(text)
    with pytest.raises(DissectionError, match=message):
        read_session(path)


def test_a_truncation_is_a_stylegans():
    with pytest.raises(DissectionError, match="truncation"):
        rewrite(progan(), "layer4", session(truncation=0.5), torch.eye(10))
    network = stylegan2()
    made = [
        rewrite(network, "layer4", session(truncation=psi), torch.eye(10))[0] for psi in (0.5, 1.0)
    ]
    assert not torch.allclose(made[0].directions, made[1].directions, atol=1e-4)


def test_the_command_line_makes_an_edit_and_weights_that_have_it(tmp_path, monkeypatch):
    # which torch takes once in a process
    monkeypatch.setattr("dissection.cli._use_threads", lambda threads: None)
    monkeypatch.chdir(tmp_path)
    Path("config").symlink_to(REPOSITORY / "config")
    save_file(stylegan2().state_dict(), "g.safetensors")
    write_record(paths.asset_record("p", "weights_g"), "weights_g", Path("g.safetensors"))
    network = {
        "module": "dissection.networks.stylegan2:StyleGAN2", "weights": "weights_g",
        "latent": {"size": 16}, "layers": {"l4": "layer4"},
    }  # fmt: skip
    run = {
        "profile": "p",
        "assets": {"weights_g": {"path": "g.safetensors"}},
        "networks": {"g": network},
    }
    Path("p.yaml").write_text(yaml.safe_dump(run))
    copied, pasted, _ = masks()
    Path("s.json").write_text(json.dumps({"object": [0, copied], "paste": [1, pasted]}))
    asked = ["--network", "g", "--layer", "l4", "--truncation", "0.7"]
    made_by = [*asked, "--session", "s.json", "--steps", "5"]
    calls = [
        ["moments", *asked, "--out", "c.safetensors", "--images", "9"],
        ["rewrite", *made_by, "--moments", "c.safetensors", "--out", "e.safetensors"],
        ["rewrite", *made_by, "--images", "9", "--out", "again.safetensors"],
        ["apply", "--network", "g", "--edit", "e.safetensors", "--out", "edited.safetensors"],
    ]  # fmt: skip
    for verb, *options in calls:
        result = CliRunner().invoke(app, [verb, "--config", "p.yaml", *options])
        assert result.exit_code == 0, result.output + repr(result.exception)
    made = Edit.load(Path("e.safetensors"))
    assert made.provenance["network"] == "g"
    assert made.identity == Edit.load(Path("again.safetensors")).identity
    expected = Rewritten(stylegan2())
    expected.add(made)
    state = load_file("edited.safetensors")
    assert all(state[k].equal(v) for k, v in expected.network.state_dict().items())
    wrong = [
        "--config",
        "p.yaml",
        "--session",
        "s.json",
        "--network",
        "g",
        "--out",
        "e.safetensors",
    ]
    result = CliRunner().invoke(app, ["rewrite", *wrong, "--layer", "l9"])
    assert "choices: l4" in str(result.exception)
