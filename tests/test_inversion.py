"""Layer inversion: the published layout of encoders, losses and search by brute force, training that resumes."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.functional import cosine_similarity

from conftest import REPOSITORY
from dissection import config as model
from dissection import paths, published
from dissection.assets import write_record
from dissection.config import Config, Inversion, load
from dissection.data import dataset_of
from dissection.data.scenes import write_scenes
from dissection.errors import DissectionError
from dissection.intervene import objects, photograph
from dissection.networks import load_network, to_pixels
from dissection.networks.encoder import Encoder
from dissection.networks.progan import ProGAN, latents
from dissection.networks.stylegan import StyleGAN
from dissection.networks.train import CHECKPOINT, ship
from dissection.omit import reconstruct
from dissection.omit import train as training
from dissection.omit.compare import choose, squares
from dissection.omit.inversion import (
    Layers,
    Relaxed,
    Steps,
    Target,
    adapt,
    correlation,
    departure,
    refine,
    relax,
)
from dissection.omit.statistics import pixel_counts
from dissection.published.claims import FAILS, HOLDS, judge
from dissection.report.rows import ROWS, write_table
from dissection.segment import segmenter_of

CPU = torch.device("cpu")
SMALL = {
    "latent": 8, "units": [8, 8, 12, 12], "sides": [4, 4, 8, 8], "hidden": [8, 6, 5, 5], "widths": [4, 6],
    "depth": 1, "kernel": 3, "stride": 1, "pool": False,
}  # fmt: skip


def generator(seed: int = 1) -> ProGAN:
    """16 pixels, of six layers."""
    torch.manual_seed(seed)
    return ProGAN(8, [8, 12, 6])


def profile(tmp_path: Path, **recipe) -> Config:
    how = {
        "generator": "g",
        "layer_steps": 4,
        "image_steps": 3,
        "joint_steps": 5,
        "batch": 4,
    } | recipe
    return Config.model_validate({
        "profile": "unit",
        "device": "cpu",
        "networks": {
            "g": {
                "module": "dissection.networks.progan:ProGAN",
                "arguments": {"latent": 8, "widths": [8, 12, 6]},
                "latent": {"size": 8},
                "layers": {"layer4": "layer4"},
            },
            "e": {
                "module": "dissection.networks.encoder:Encoder",
                "arguments": SMALL,
                "input": {"size": 16},
                "layers": {"z": "inv1"},
                "inversion": how,
            },
        },
    })  # fmt: skip


# ---------------------------------------------------------------------------------------------- layout


def published_shapes() -> dict[str, tuple[int, ...]]:
    """Key -> shape of the published state dict, written down from its description."""
    shapes: dict[str, tuple[int, ...]] = {}

    def norm(name: str, units: int) -> None:
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.{part}"] = (units,)
        shapes[f"{name}.num_batches_tracked"] = ()

    shapes["resnet.conv1.weight"] = (64, 3, 7, 7)
    norm("resnet.bn1", 64)
    inputs = 64
    for stage, units in enumerate((64, 128, 256, 512), start=1):
        for block in (0, 1):
            at = f"resnet.layer{stage}.{block}"
            shapes[f"{at}.conv1.weight"] = (units, inputs, 3, 3)
            shapes[f"{at}.conv2.weight"] = (units, units, 3, 3)
            norm(f"{at}.bn1", units)
            norm(f"{at}.bn2", units)
            if inputs != units:
                shapes[f"{at}.downsample.0.weight"] = (units, inputs, 1, 1)
                norm(f"{at}.downsample.1", units)
            inputs = units
    convolutions = {"resnet.layer5.conv5": 1, "inv1.conv1": 4, "inv1.conv2": 1}
    for i in (2, 3, 4):
        convolutions |= {f"inv{i}.conv1": 3, f"inv{i}.conv2": 3}
        norm(f"inv{i}.bn1", 512)
        norm(f"inv{i}.bn2", 512)
    convolutions |= {"inv3.conv3": 1, "inv4.conv3": 1}
    norm("inv1.bn1", 512)
    for name, kernel in convolutions.items():
        shapes[f"{name}.weight"] = (512, 512, kernel, kernel)
        shapes[f"{name}.bias"] = (512,)
    return shapes


def test_published_keys_and_sizes() -> None:
    with torch.device("meta"):
        network = Encoder().eval()
        found = network.estimates(torch.zeros(1, 3, 256, 256))
    assert {k: tuple(t.shape) for k, t in network.state_dict().items()} == published_shapes()
    assert [tuple(x.shape[1:]) for x in found] == [
        (512, 8, 8), (512, 8, 8), (512, 4, 4), (512, 4, 4), (512, 1, 1),
    ]  # fmt: skip


def test_a_published_file_loads_by_its_own_keys(tmp_path: Path) -> None:
    torch.manual_seed(3)
    reference = Encoder(**SMALL).eval()
    state = {f"model.{key}": tensor for key, tensor in reference.state_dict().items()}
    torch.save({"state_dict": state, "epoch": 1000}, tmp_path / "encoder.pth")
    spec = model.Network(
        module="dissection.networks.encoder:Encoder",
        arguments=SMALL,
        input={"size": 16},
        layers={"z": "inv1"},
    )
    network = load_network(spec, tmp_path / "encoder.pth", 1)
    images = torch.randn(2, 3, 16, 16)
    z = network(images)
    assert z.equal(reference(images))
    torch.testing.assert_close(z.square().mean((1, 2, 3)), torch.ones(2))


# ---------------------------------------------------------------------------------------------- layers, losses


def test_a_generator_is_its_layers() -> None:
    network = generator().eval()
    layers = Layers(network, 4)
    z = latents(1, 0, 3, 8)
    features = layers.features(z[:, :, None, None])
    assert [tuple(r.shape[1:]) for r in features] == [(8, 4, 4), (8, 4, 4), (12, 8, 8), (12, 8, 8)]
    assert features[3].equal(nn.Sequential(*list(network)[:4])(z[:, :, None, None]))
    assert layers(z).equal(network(z))
    changes = {2: torch.randn(3, 8, 4, 4), 4: torch.randn(3, 12, 8, 8)}
    by_hand = network[2](network[1](network[0](z[:, :, None, None])) + changes[2])
    by_hand = network[3](by_hand) + changes[4]
    assert layers.features(z, changes)[-1].equal(by_hand)
    with pytest.raises(DissectionError, match=r"more than 4 layers in a row.* found StyleGAN"):
        Layers(StyleGAN(8, [8, 8], 6, 2), 4)
    with pytest.raises(DissectionError, match="more than 7 layers"):
        Layers(generator(), 7)


def test_losses_of_a_layer_by_hand() -> None:
    """Eq. 5.3 for an inner layer, for the first, and for the image; and as the authors' code has them."""
    torch.manual_seed(2)
    layers, encoder = Layers(generator(), 4), Encoder(**SMALL).eval()
    z = latents(1, 0, 5, 8)
    r1, r2, r3, r4 = layers.features(z)
    x = layers.late(r4)
    pairs = [(z[:, :, None, None], r1), (r1, r2), (r2, r3), (r3, r4)]
    for recipe in (Inversion(generator="g"), Inversion(generator="g", loss="released", right=0.5)):
        parts = {part.name: part for part in training._parts(encoder, layers, recipe)}
        assert list(parts) == ["inv1", "inv2", "inv3", "inv4", "resnet", "joint"]
        for i, (before, after) in enumerate(pairs, start=1):
            found = encoder.get_submodule(f"inv{i}")(after)
            again = layers.early[i - 1](found)
            if recipe.loss == "thesis":
                expected = (found - before).abs().mean() + 0.01 * (again - after).abs().mean()
            else:
                left, right = (
                    (1 - cosine_similarity(*pair)).mean()
                    for pair in ((found, before), (again, after))
                )
                expected = left + 0.5 * right
            torch.testing.assert_close(parts[f"inv{i}"].loss(z)[0], expected)
        r = encoder.resnet(x)
        expected = (r - r4).abs().mean() + 0.01 * (layers.late(r) - x).abs().mean()
        if recipe.loss == "released":
            expected = (r - r4).square().mean()
        torch.testing.assert_close(parts["resnet"].loss(z)[0], expected)
        z0 = encoder(x)
        again = layers.features(z0)[-1]
        if recipe.loss == "thesis":
            terms = [(r - r4).abs().mean(), (z0[..., 0, 0] - z).abs().mean()]
            terms += [(again - r4).abs().mean(), (layers.late(again) - x).abs().mean()]
        else:
            terms = [
                (1 - cosine_similarity(a, b)).mean()
                for a, b in ((r, r4), (z0, z[:, :, None, None]), (again, r4))
            ]
            terms.append((layers.late(again) - x).square().mean())
        torch.testing.assert_close(parts["joint"].loss(z)[0], torch.stack(terms).sum())


def test_without_layers_only_the_ends_count() -> None:
    layers, encoder = Layers(generator(), 4), Encoder(**SMALL).eval()
    recipe = Inversion(generator="g", layered=False, joint_steps=7, learning_rate=0.5)
    (part,) = training._parts(encoder, layers, recipe)
    assert (part.steps, part.rate) == (7, 0.5)
    z = latents(1, 0, 5, 8)
    x = layers(z)
    z0 = encoder(x)
    expected = (z0[..., 0, 0] - z).abs().mean() + (layers(z0) - x).abs().mean()
    torch.testing.assert_close(part.loss(z)[0], expected)


# ---------------------------------------------------------------------------------------------- search


def searched(layers: Layers, z: torch.Tensor, x: torch.Tensor, count: int = 30, **more) -> Relaxed:
    return relax(layers, z, Target(x), Steps(count, 0.03), **more)


def test_relaxation_reaches_images_that_the_generator_draws() -> None:
    layers = Layers(generator().double(), 4)
    z = latents(1, 0, 4, 8).double()
    r, x = layers.features(z)[-1], layers(z)
    start = z + 0.3 * latents(2, 0, 4, 8).double()
    before = correlation(layers(start), x)
    found = searched(layers, start, x, 200, weight=1.0)
    assert (correlation(found.images, x) > 0.99).all()
    assert (correlation(found.images, x) > before).all()
    assert (correlation(found.r, r) > correlation(layers.features(start)[-1], r)).all()
    assert found.images.equal(layers.late(found.r))
    assert list(found.changes) == [1, 2, 3, 4]
    assert found.r.equal(layers.features(start, found.changes)[-1])
    closer = refine(layers, start, Target(x), Steps(200, 0.03))
    assert closer.shape == start.shape
    assert (correlation(layers(closer), x) > before).all()


def test_first_step_by_hand() -> None:
    """Adam's first step goes by the rate against the gradient of eq. 5.5, component by component."""
    layers = Layers(generator().double(), 4)
    z, x = latents(1, 0, 2, 8).double(), latents(3, 0, 2, 3 * 256).double().view(2, 3, 16, 16)

    def features(images: torch.Tensor) -> torch.Tensor:
        return images[:, :, ::2, ::2] ** 2

    target = Target(x, features, weight=0.7)
    made = layers(z)
    expected = (made - x).abs().mean((1, 2, 3)) + 0.7 * (features(made) - features(x)).abs().mean(
        (1, 2, 3)
    )
    torch.testing.assert_close(target(made), expected)
    squared = Target(x, features, 0.25, squared=True)(made) - (made - x).abs().mean((1, 2, 3))
    torch.testing.assert_close(
        squared, 0.25 * (features(made) - features(x)).square().mean((1, 2, 3))
    )
    delta = torch.zeros(2, 12, 8, 8, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(
        target(layers.late(layers.features(z)[-1] + delta)).sum(), delta
    )
    found = relax(layers, z, target, Steps(1, 0.01)).changes[4]
    torch.testing.assert_close(found, -0.01 * gradient / (gradient.abs() + 1e-8))
    assert list(relax(layers, z, target, Steps(1, 0.01), perturbed=(1, 2, 3)).changes) == [1, 2, 3]
    free, held = (
        relax(layers, z, target, Steps(20, 0.01), weight=w).changes[4].square().mean()
        for w in (0.0, 100.0)
    )
    assert held < 0.8 * free


def test_search_does_not_depend_on_the_batch() -> None:
    """In float64, after as many steps as to let rounding grow."""
    layers = Layers(generator().double(), 4)
    z = latents(1, 0, 5, 8).double()
    x = layers(latents(2, 0, 5, 8).double())
    together = searched(layers, z, x, 40)
    alone = [searched(layers, z[i : i + 1], x[i : i + 1], 40) for i in range(5)]
    torch.testing.assert_close(
        together.r, torch.cat([found.r for found in alone]), rtol=1e-6, atol=1e-6
    )
    moved = refine(layers, z, Target(x), Steps(40, 0.03))
    parts = [refine(layers, z[i : i + 1], Target(x[i : i + 1]), Steps(40, 0.03)) for i in range(5)]
    torch.testing.assert_close(moved, torch.cat(parts), rtol=1e-6, atol=1e-6)


def test_correlation_is_that_of_numpy() -> None:
    a, b = torch.randn(3, 4, 5), torch.randn(3, 4, 5)
    expected = [np.corrcoef(a[i].flatten(), b[i].flatten())[0, 1] for i in range(3)]
    np.testing.assert_allclose(correlation(a, b), expected, rtol=1e-6)
    torch.testing.assert_close(
        correlation(a, 2 * a + 1), torch.ones(3, dtype=torch.float64), rtol=1e-6, atol=1e-6
    )


# ---------------------------------------------------------------------------------------------- training


def test_training_is_the_same_in_one_run_or_two(tmp_path: Path, monkeypatch) -> None:
    config = profile(tmp_path)
    monkeypatch.setattr(training, "ROUND", 3)
    training.train(config, "e", tmp_path / "once", CPU)
    curve = pd.read_csv(tmp_path / "once" / "curve.csv")
    assert curve.groupby("part", sort=False)["steps"].apply(list).to_dict() == {
        **{f"inv{i}": [3, 1] for i in range(1, 5)}, "resnet": [3], "joint": [3, 2],
    }  # fmt: skip

    rounds = 0
    write = pd.DataFrame.to_csv

    def killed(*arguments, **more):
        nonlocal rounds
        rounds += 1
        if rounds in (2, 5, 12):
            raise KeyboardInterrupt
        return write(*arguments, **more)

    monkeypatch.setattr(pd.DataFrame, "to_csv", killed)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            training.train(config, "e", tmp_path / "broken", CPU)
    training.train(config, "e", tmp_path / "broken", CPU)
    assert not (tmp_path / "broken" / CHECKPOINT).exists()
    for file in ("weights.safetensors", "curve.csv", "samples.png"):
        assert (tmp_path / "once" / file).read_bytes() == (tmp_path / "broken" / file).read_bytes()
    metrics = json.loads((tmp_path / "once" / "metrics.json").read_text())
    state = load_file(tmp_path / "once" / "weights.safetensors")
    assert state["inv4.conv1.weight"].dtype == torch.float16
    encoder = Encoder(**SMALL).eval()
    encoder.load_state_dict(
        {k: t.float() if t.is_floating_point() else t for k, t in state.items()}
    )
    network = load_network(config.networks["g"], None, config.seed)
    z = latents(1, 0, training.TESTED, 8)
    expected = correlation(network(encoder(network(z))), network(z)).mean().item()
    assert metrics["correlation_pixels"] == pytest.approx(expected, abs=1e-5)
    assert metrics["steps"] == 24
    ship(config, "e", tmp_path / "once", tmp_path / "shipped")
    entry = json.loads((tmp_path / "shipped" / "manifest.json").read_text())["e"]
    assert entry["inversion"]["generator"] == "g"
    assert entry["metrics"]["correlation_pixels"] == metrics["correlation_pixels"]


def test_training_lowers_the_losses(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(training, "ROUND", 20)
    config = profile(tmp_path, layer_steps=60, image_steps=60, joint_steps=60, learning_rate=0.01)
    training.train(config, "e", tmp_path / "out", CPU)
    curve = pd.read_csv(tmp_path / "out" / "curve.csv").groupby("part", sort=False)["left"]
    assert (curve.last() < curve.first()).all()


def test_what_cannot_be_trained_is_said(tmp_path: Path) -> None:
    config = profile(tmp_path)
    with pytest.raises(DissectionError, match=r"networks\.g\.inversion: missing"):
        training.train(config, "g", tmp_path, CPU)
    wrong = {**SMALL, "units": [8, 8, 10, 12]}
    encoder = config.networks["e"].model_copy(update={"arguments": wrong})
    changed = config.model_copy(update={"networks": {**config.networks, "e": encoder}})
    with pytest.raises(
        DissectionError, match=r"says \(10, 8, 8\) of the generator's layer3, which is \(12"
    ):
        training.train(changed, "e", tmp_path, CPU)
    recipe = model.Adversarial(dataset="d", iterations=1, penalty=1, critic=[1])
    untrained = config.networks["g"].model_copy(update={"adversarial": recipe})
    changed = config.model_copy(update={"networks": {**config.networks, "g": untrained}})
    with pytest.raises(DissectionError, match="g has no weights yet; train and ship it first"):
        training.train(changed, "e", tmp_path, CPU)
    with pytest.raises(ValueError, match="recipe and inversion are for a network of input"):
        model.Network(
            module="m:f", latent={"size": 1}, layers={"a": "b"}, inversion={"generator": "g"}
        )


def test_shipped_encoders_are_of_the_shipped_generators() -> None:
    manifest = json.loads((REPOSITORY / "weights/smoke/manifest.json").read_text())
    for name, spec in load(REPOSITORY / "config/smoke.yaml").networks.items():
        if spec.inversion and name in manifest:
            metrics = manifest[name]["metrics"]
            assert metrics["generator_sha256"] == manifest[metrics["generator"]]["sha256"], name


# ---------------------------------------------------------------------------------------------- weights


def test_departure_by_brute_force() -> None:
    """Layer by layer, over weights and biases together, the k-th counting k times."""
    torch.manual_seed(4)
    theta = dict(Layers(generator(), 4).late.named_parameters())
    assert list(dict.fromkeys(name.split(".")[0] for name in theta)) == [
        "layer5", "layer6", "output_16x16",
    ]  # fmt: skip
    theta = {name: t + torch.rand_like(t) for name, t in theta.items()}
    changes = {name: torch.randn_like(t) for name, t in theta.items()}
    expected = 0.0
    for k, layer in enumerate(("layer5", "layer6", "output_16x16"), start=1):
        moved, size = 0.0, 0.0
        for name in (f"{layer}.conv.weight", f"{layer}.wscale.b"):
            for delta, value in zip(changes[name].flatten(), theta[name].flatten(), strict=True):
                moved, size = moved + float(delta) ** 2, size + float(value) ** 2
        expected += k * moved / size
    assert float(departure(theta, changes)) == pytest.approx(expected, rel=1e-5)
    assert departure(theta, {name: 0 * t for name, t in theta.items()}) == 0


def test_weights_adapt_to_an_image_as_far_as_the_regulariser_lets_them() -> None:
    layers = Layers(generator(), 4)
    r = layers.features(latents(1, 0, 1, 8))[-1]
    plain = layers.late(r)
    theta = {name: t.clone() for name, t in layers.late.named_parameters()}
    torch.manual_seed(5)
    target = Target(torch.rand(1, 3, 16, 16) * 2 - 1)
    weights, image = adapt(layers, r, target, Steps(0, 0.02))
    assert image.equal(plain)
    assert all(weights[name].equal(t) for name, t in theta.items())
    losses, far = [], []
    for weight in (0.0, 1.0, 1e4):
        weights, image = adapt(layers, r, target, Steps(60, 0.02), weight)
        assert weights.keys() == theta.keys()
        losses.append(float(target(image)))
        far.append(float(departure(theta, {name: weights[name] - t for name, t in theta.items()})))
    assert losses[0] < losses[1] < losses[2] < float(target(plain)) + 1e-3
    assert far[0] > far[1] > 100 * far[2]
    torch.testing.assert_close(image, plain, atol=0.02, rtol=0)
    assert layers.late(r).equal(plain)  # the generator's own weights stay
    network = generator()  # and the adapted ones are of its names
    network.load_state_dict(weights, strict=False)
    assert Layers(network, 4).late(r).equal(image)


# ---------------------------------------------------------------------------------------------- rows


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch) -> Config:
    """The profile of every row, with its photographs drawn."""
    monkeypatch.chdir(REPOSITORY)
    config = load("tests/every_row5.yaml")
    monkeypatch.chdir(tmp_path)
    for asset in ("churches", "bedrooms"):
        scenes = config.assets[asset].scenes
        assert scenes is not None
        write_scenes(scenes, 1, tmp_path / asset, 1)
        write_record(paths.asset_record("smoke", asset), asset, tmp_path / asset)
    (tmp_path / "tests").symlink_to(REPOSITORY / "tests")  # has the segmenter and its labels
    write_record(paths.asset_record("smoke", "labels"), "labels", Path("tests/labels.json"))
    return config


def test_methods_of_figure_5_6(workplace: Config) -> None:
    """In float64 no number depends on the batch; correlations are those of the methods run one by one."""
    tables = []
    for batch in (4, 5):
        how = workplace.reconstruction.model_copy(update={"batch": batch, "double": True})
        reconstruct.methods(
            workplace.model_copy(update={"reconstruction": how}), "fig_5_6", Path(f"b{batch}"), CPU
        )
        tables.append(pd.read_csv(f"b{batch}/images.csv"))
    order = ["sample", "image", "method"]
    one, other = (t.sort_values(order).reset_index(drop=True) for t in tables)
    pd.testing.assert_frame_equal(one, other, rtol=1e-4, check_like=True)
    lines = one[one["sample"] == "generated"]
    assert lines.groupby("method")["image"].apply(list).to_dict() == {
        key: list(range(6)) for key in "abcdef"
    }
    assert lines[lines["method"] == "f"]["z"].isna().all()
    photographs = one[one["sample"] == "photographs"]
    assert photographs[["z", "features"]].isna().all().all()
    assert len(photographs) == 3 * 6
    inverter = reconstruct.Inverter(workplace, "fig_5_6", CPU)
    z = inverter.draw(0, 6)
    assert z.equal(latents(1, 0, 6, 8))
    x = inverter.layers(z)
    z0 = inverter.encoders["layered"](x)
    expected = correlation(inverter.layers(z0), x)
    np.testing.assert_allclose(lines[lines["method"] == "d"]["pixels"], expected, rtol=1e-3)
    relaxed = relax(inverter.layers, z0, Target(x, inverter.features), Steps(8, 0.01))
    expected = correlation(relaxed.r, inverter.layers.features(z)[-1])
    np.testing.assert_allclose(lines[lines["method"] == "f"]["features"], expected, rtol=1e-3)
    points = pd.read_csv("b4/points.csv")
    assert points.groupby(["method", "what"]).size().to_dict() == {
        (method, what): 32 if what == "z" else 200
        for method in "abcdef"
        for what in ("z", "features", "pixels")
        if (method, what) != ("f", "z")
    }
    assert np.asarray(Image.open("b4/generated.png")).shape == (7 * 32, 2 * 32, 3)


def test_methods_without_a_direct_encoder(workplace: Config) -> None:
    row = workplace.rows.fig_5_6.model_copy(update={"networks": {"layered": "encoder"}})
    config = workplace.model_copy(
        update={"rows": workplace.rows.model_copy(update={"fig_5_6": row})}
    )
    inverter = reconstruct.Inverter(config, "fig_5_6", CPU)
    found = dict(inverter.methods(inverter.layers(inverter.draw(0, 1)), 0))
    assert list(found) == ["a", "d", "e", "f"]
    released = config.reconstruction.model_copy(update={"z_loss": "released"})
    inverter.how = released
    other = dict(inverter.methods(inverter.layers(inverter.draw(0, 1)), 0))
    assert other["a"].z.equal(found["a"].z)
    assert not other["e"].z.equal(found["e"].z)


def test_groups_and_the_claims_of_both_figures(workplace: Config) -> None:
    for row in ("fig_5_7", "fig_5_8"):
        out = paths.inversion("smoke", row)
        reconstruct.groups(workplace, row, out, CPU)
        again = out.with_name("again")
        reconstruct.groups(workplace, row, again, CPU)
        for file in out.iterdir():
            assert file.read_bytes() == (again / file.name).read_bytes()
        write_table(workplace, row, paths.table("smoke", row))
    lines = pd.read_csv("results/smoke/inversions/fig_5_7/images.csv")
    assert lines.groupby("group")["image"].size().to_dict() == {
        "holdout": 3,
        "outdoor": 3,
        "train": 3,
    }
    assert lines[lines["group"] == "train"]["image"].tolist() == choose(26, 3, 1, "bedrooms")
    inverter = reconstruct.Inverter(workplace, "fig_5_7", CPU)
    (pixels,) = squares(dataset_of(workplace, "churches"), choose(26, 3, 1, "churches"), 32)
    found = inverter.project(inverter.prepare(pixels)).images.clamp(-1, 1)
    expected = (found - inverter.prepare(pixels)).abs().mean((1, 2, 3)) / 2
    np.testing.assert_allclose(lines[lines["group"] == "outdoor"]["error"], expected, rtol=1e-3)
    tables = {row: pd.read_csv(paths.table("smoke", row)) for row in ("fig_5_7", "fig_5_8")}
    assert set(tables["fig_5_7"]["scene"]) == {"bedroom"}
    values = ROWS["fig_5_8"].texts(tables["fig_5_8"])["fig_5_7_5_8_numbers"]
    assert values["bedroom"] == ROWS["fig_5_7"].values(tables["fig_5_7"])["bedroom"]
    assert set(values["church"]) == {"train", "indoor", "outdoor"}
    claims = {c["id"]: c["expr"] for c in published.entry("fig_5_7_5_8_numbers")["claims"]}
    for name, holds in {
        "bedroom_outdoor_worst": values["bedroom"]["outdoor"]
        > max(values["bedroom"]["train"], values["bedroom"]["holdout"]),
        "church_indoor_worse_than_outdoor": values["church"]["indoor"]
        > values["church"]["outdoor"],
    }.items():
        assert judge(claims[name], values).outcome == (HOLDS if holds else FAILS)


def test_photographs_of_what_is_omitted(workplace: Config) -> None:
    """Counted by hand on the pictures of the job, which are the same every time."""
    labels = REPOSITORY / "tests" / "labels.json"
    write_record(paths.asset_record("smoke", "labels"), "labels", labels)
    dataset, numbers = dataset_of(workplace, "churches"), choose(26, 24, 1, "churches")
    segmenter = segmenter_of(workplace, "colour", CPU)
    (pixels,) = squares(dataset, numbers[:12], 32)
    counts = pixel_counts(segmenter, pixels)
    compared = paths.omission("smoke", "churches")
    compared.mkdir(parents=True)
    save_file(
        {"photographs": counts, "chosen": torch.tensor(numbers)}, compared / "counts.safetensors"
    )
    Path(compared / "classes.csv").write_text(
        "class,network,label,delta,found\n2,a,building,-0.5,omitted\n3,a,tree,-0.9,omitted\n1,a,sky,-1,\n"
    )
    for name in ("once", "twice"):
        reconstruct.pairs(workplace, "fig_5_1", Path(name), CPU)
    for file in Path("once").iterdir():
        assert file.read_bytes() == (Path("twice") / file.name).read_bytes(), file.name
    lines = pd.read_csv("once/pairs.csv")
    chosen = reconstruct.richest(counts, [3, 2], 5)
    assert lines["class"].tolist() == 2 * [3, 2, 3, 2, 3]
    assert lines["image"].tolist() == 2 * [numbers[i] for _, i in chosen]
    assert lines["photograph"].tolist() == 2 * [counts[i, c].item() for c, i in chosen]
    inverter = reconstruct.Inverter(workplace, "fig_5_1", CPU)
    x = inverter.prepare(pixels[[i for _, i in chosen]])
    z = inverter.encoders["layered"](x)
    images = torch.cat([to_pixels(inverter.layers(z)), to_pixels(inverter.project(x).images)])
    before = segmenter.objects(pixels[[i for _, i in chosen]], (32, 32))
    for k, after in enumerate(segmenter.objects(images, (32, 32))):
        line, photograph = lines.iloc[k], before[k % 5]
        pairs = list(zip(photograph.flatten().tolist(), after.flatten().tolist(), strict=True))
        wanted = line["class"]
        assert line["reconstruction"] == sum(b == wanted for _, b in pairs)
        assert line["kept"] == sum(a == b == wanted for a, b in pairs)
        assert line["others"] == sum(a not in (0, wanted) for a, _ in pairs)
        assert line["others_kept"] == sum(a == b and a not in (0, wanted) for a, b in pairs)
    colours = pd.read_csv("once/labels.csv").set_index("class")["colour"]
    picture = np.asarray(Image.open("once/segmented_photographs.png"))
    assert picture.shape == (32, 3 * 32, 3)
    number = int(before[1, 9, 20])
    assert "#" + bytes(picture[9, 32 + 20]).hex() == colours.get(number, "#ffffff")
    assert (np.asarray(Image.open("once/d.png"))[:, :32] == images[0].movedim(0, 2).numpy()).all()


def test_values_of_figure_5_6_by_hand() -> None:
    lines = [
        {
            "part": "correlation",
            "sample": sample,
            "image": i,
            "method": m,
            "features": 0.1 * i,
            "pixels": p,
        }
        | ({"z": 0.5 + i} if m == "a" else {})
        for sample in ("generated", "photographs")
        for i in (1, 3)
        for m, p in (("a", 0.2 * i), ("f", 0.9))
    ]
    found = ROWS["fig_5_6"].values(pd.DataFrame(lines))
    assert found["images"] == 2
    assert found["z"] == {"a": pytest.approx(2.5)}
    assert found["layer4"] == {"a": pytest.approx(0.2), "f": pytest.approx(0.2)}
    assert found["pixels"] == {"a": pytest.approx(0.4), "f": pytest.approx(0.9)}


def test_photographs_are_edited_where_they_have_a_concept(workplace: Config) -> None:
    """What the tables say, from the pictures; and twice the same bytes."""
    row = "fig_slides_photo_edit"
    causes = paths.causal("smoke", "z", "a") / "tree"
    causes.mkdir(parents=True)
    units = pd.DataFrame(
        {"unit": range(12), "alpha": 1.0, "rank": range(1, 13), "value": 2.0, "iou": 0.1}
    )
    units.to_csv(causes / "units.csv", index=False)
    inverted, edited = paths.inversion("smoke", row), paths.intervention("smoke", row)
    for out in (inverted, inverted.with_name("again")):
        reconstruct.adaptations(workplace, row, out, CPU)
    for out in (edited, edited.with_name("again")):
        photograph.edit(workplace, row, out, CPU, 1)
    for out in (inverted, edited):
        for file in out.iterdir():
            assert file.read_bytes() == (out.with_name("again") / file.name).read_bytes()
    pictures = {
        f.stem: np.asarray(Image.open(f)).astype(float)
        for f in [*inverted.glob("*.png"), *edited.glob("*.png")]
    }
    assert {p.shape for p in pictures.values()} == {(32, 3 * 32, 3)}
    stages = pd.read_csv(inverted / "images.csv")
    found = (pictures["theta"] - pictures["photograph"])[:, 32:64]
    assert stages["error"][4] == pytest.approx(np.abs(found).mean() / 255, abs=0.003)
    assert (stages["departure"][3:] > 0).all()
    edits, cells = pd.read_csv(edited / "edits.csv"), pd.read_csv(edited / "cells.csv")
    assert set(edits["edit"]) == {"added", "removed"}
    for _, line in edits.iterrows():
        mask = np.zeros((32, 3 * 32), bool)
        of = cells[(cells["edit"] == line["edit"]) & (cells["example"] == line["example"])]
        for _, cell in of.iterrows():
            y, x = int(32 * cell["y"]), int(32 * (line["example"] + cell["x"]))
            mask[y : y + 4, x : x + 4] = True
        assert len(of) == line["cells"] == mask.sum() / 16
        if line["edit"] == "added":
            assert np.ptp(of["y"]) == np.ptp(of["x"]) == 1 / 8
        before = pictures["theta" if line["generator"] == "adapted" else "z"]
        change = np.abs(pictures[f"{line['edit']}_{line['generator']}"] - before).mean(2) / 255
        part = slice(int(32 * line["example"]), int(32 * line["example"] + 32))
        inside, outside = (change[:, part][m[:, part]] for m in (mask, ~mask))
        assert line["inside"] == pytest.approx(inside.mean(), abs=1e-4)
        assert line["outside"] == pytest.approx(outside.mean(), abs=1e-4)
    for _, line in edits[edits["edit"] == "removed"].iterrows():
        assert 0 < line["present"] <= 1
    write_table(workplace, row, paths.table("smoke", row))
    values = ROWS[row].values(pd.read_csv(paths.table("smoke", row)))
    assert values["error"]["z"] == pytest.approx(stages["error"][:3].mean(), rel=1e-4)
    removed = edits[(edits["edit"] == "removed") & (edits["generator"] == "adapted")]
    assert values["change"]["adapted"]["removed"]["outside"] == pytest.approx(
        removed["outside"].mean(), rel=1e-4
    )


def test_places_of_edits_by_brute_force(workplace: Config) -> None:
    scenes = objects.load_scenes(workplace, "z", "a", CPU)
    draw = torch.Generator().manual_seed(3)
    small = torch.randint(0, 256, (4, 3, 11, 11), dtype=torch.uint8, generator=draw)
    images = small.repeat_interleave(3, 2).repeat_interleave(3, 3)[:, :, :32, :32]
    labels = torch.cat(list(scenes.segmenter(images).values()), 1)
    names = scenes.segmenter.concepts["name"]
    tree, building = ((labels == names.index[names == n][0]).any(1) for n in ("tree", "building"))
    removed = photograph.places(scenes, images, model.Edit(concept="tree"), (8, 8), (2, 2))
    there = model.Edit(concept="tree", onto="building")
    added = photograph.places(scenes, images, there, (8, 8), (2, 3))
    for i in range(4):
        best, at = 0, None
        for y, x in np.ndindex(8, 8):
            cell = np.s_[i, 4 * y : 4 * y + 4, 4 * x : 4 * x + 4]
            assert bool(removed[i, y, x]) == bool(tree[cell].any())
            block = np.s_[i, 4 * y : 4 * y + 8, 4 * x : 4 * x + 12]
            free = int(building[block].sum()) - int(tree[block].sum())
            if y < 7 and x < 6 and free > best:
                best, at = free, (y, x)
        assert at is not None
        expected = torch.zeros(8, 8, dtype=torch.bool)
        expected[at[0] : at[0] + 2, at[1] : at[1] + 3] = True
        assert added[i].equal(expected)
