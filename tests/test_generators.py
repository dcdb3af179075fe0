"""Generators: published layouts, layer numbering, z; their training, its losses and its growth."""

import json
import math
import re

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.functional import conv2d, interpolate, leaky_relu

from dissection import config as model
from dissection.config import Config
from dissection.data import Dataset
from dissection.data.stream import Streamed
from dissection.errors import DissectionError
from dissection.networks import load_network
from dissection.networks.adversarial import (
    CHECKPOINT,
    GROUP,
    Convolution,
    Critic,
    Growing,
    Training,
    lipschitz,
    load_images,
    r1,
    stage,
    train,
    variation,
)  # fmt: skip
from dissection.networks.progan import STYLES, PixelNorm, ProGAN, latents
from dissection.networks.train import ship
from dissection.probe import Probe, split

CPU = torch.device("cpu")
# Units of the published generators of 256 and 1024 pixels, and of the 128 pixels of the variants.
PUBLISHED = {
    256: [512, 512, 512, 256, 128, 64, 32],
    1024: [512, 512, 512, 512, 256, 128, 64, 32, 16],
}
VARIANT = [512, 512, 256, 128, 64, 32]


def published_shapes(widths, old, latent=512):
    """Key -> shape of the published state dicts, written down from their description."""
    side, layers = 4 * 2 ** (len(widths) - 1), [w for w in widths for _ in range(2)]
    shapes, inputs = {}, latent
    for n, units in enumerate(layers, start=1):
        block, kernel = f"features.{n - 1}" if old else f"layer{n}", 4 if n == 1 else 3
        shapes[f"{block}.conv.weight"] = (units, inputs, kernel, kernel)
        shapes[f"{block}.wscale.b"] = (units,)
        inputs = units
    output = "output" if old else f"output_{side}x{side}"
    return shapes | {f"{output}.conv.weight": (3, inputs, 1, 1), f"{output}.wscale.b": (3,)}


def spec(arguments=None, variant=None, latent=512):
    arguments = (arguments or {}) | ({"variant": variant} if variant else {})
    return model.Network(
        module="dissection.networks.progan:ProGAN",
        arguments=arguments,
        latent={"size": latent},
        layers={"layer4": "layer4"},
    )


# ---------------------------------------------------------------------------------------------- published layouts


@pytest.mark.parametrize("side", PUBLISHED)
@pytest.mark.parametrize("old", [False, True])
def test_sizes_are_read_from_published_shapes(side, old):
    state = {
        key: torch.empty(shape, device="meta")
        for key, shape in published_shapes(PUBLISHED[side], old).items()
    }
    sizes = ProGAN.sizes_of(state)
    assert sizes == {"latent": 512, "widths": PUBLISHED[side]}
    with torch.device("meta"):
        network = ProGAN(**sizes)
    own = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
    assert own == published_shapes(PUBLISHED[side], old=False)
    keys = [network.own_key(key) if key not in own else key for key in state]
    assert keys == list(own)


@pytest.mark.parametrize("old", [False, True])
def test_both_layouts_load_by_sizes_alone(tmp_path, old):
    """Same tensors under either layout: the same images; the wrapper and unused keys do not matter."""
    generator = torch.Generator().manual_seed(1)
    widths = [24, 16, 8]
    tensors = [
        torch.randn(shape, generator=generator)
        for shape in published_shapes(widths, old, 12).values()
    ]
    state = dict(zip(published_shapes(widths, old, 12), tensors, strict=True))
    if old:
        state |= {f"features.{n}.wscale.scale": torch.ones(1) for n in range(6)}
        state |= {"output.wscale.scale": torch.ones(1), "to_rgb_lod3.weight": torch.ones(2, 2)}
    torch.save({"state_dict": state}, tmp_path / "published.pth")
    network = load_network(spec(latent=12), tmp_path / "published.pth", 1)
    assert next(iter(network.state_dict().values())).equal(tensors[0])
    reference = ProGAN(12, widths)
    reference.load_state_dict(dict(zip(reference.state_dict(), tensors, strict=True)))
    z = latents(1, 0, 2, 12)
    assert network(z).equal(reference(z))
    assert network(z).shape == (2, 3, 16, 16)


@pytest.mark.parametrize(
    "key", ["to_rgb_lod3.weight", "layer3.conv.other", "output_16x16.wscale.c", "layers"]
)
def test_unknown_keys_of_the_newer_layout_are_listed(tmp_path, key):
    state = {k: torch.zeros(s) for k, s in published_shapes([8, 8, 8], False, 4).items()}
    save_file(state | {key: torch.ones(2)}, tmp_path / "published.safetensors")
    with pytest.raises(DissectionError, match=rf"1 unexpected \({key}\)"):
        load_network(spec(latent=4), tmp_path / "published.safetensors", 1)


def test_a_layer_too_many_is_an_error(tmp_path):
    state = {k: torch.zeros(s) for k, s in published_shapes([8, 8], True, 4).items()}
    torch.save(state, tmp_path / "published.pth")
    with pytest.raises(DissectionError, match=r"4 unexpected \(features\.2"):
        load_network(spec({"latent": 4, "widths": [8]}, latent=4), tmp_path / "published.pth", 1)


def test_a_state_dict_of_something_else_is_named(tmp_path):
    save_file({"conv.weight": torch.zeros(3, 3)}, tmp_path / "other.safetensors")
    with pytest.raises(DissectionError, match=r"other\.safetensors: expected convolutions layer1"):
        load_network(spec(), tmp_path / "other.safetensors", 1)


@pytest.mark.parametrize(
    ("variant", "latent", "per_block", "of_output"),
    [
        ("base", 128, {"conv.weight", "norm.weight", "norm.bias", "norm.running_mean",
                       "norm.running_var", "norm.num_batches_tracked"}, {"conv.weight", "conv.bias"}),
        ("minibatch-stddev", 512, {"conv.weight", "conv.bias"}, {"conv.weight", "conv.bias"}),
        ("equalized-learning-rate", 512, {"conv.weight", "wscale.scale", "wscale.b"},
         {"conv.weight", "wscale.scale", "wscale.b"}),
        ("pixelwise-normalization", 512, {"conv.weight", "wscale.scale", "wscale.b"},
         {"conv.weight", "wscale.scale", "wscale.b"}),
    ],
)  # fmt: skip
def test_variants_have_the_published_keys(variant, latent, per_block, of_output):
    with torch.device("meta"):
        network = ProGAN(latent, VARIANT, variant)
    own = network.state_dict()
    published = [f"features.{n}.{key}" for n in range(12) for key in per_block]
    published += [f"output.{key}" for key in of_output]
    assert {network.own_key(key) for key in published} == set(own)
    assert own["layer1.conv.weight"].shape == (512, latent, 4, 4)
    units = [own[f"layer{n}.conv.weight"].shape[0] for n in range(1, 13)]
    assert units == [512, 512, 512, 512, 256, 256, 128, 128, 64, 64, 32, 32]
    if "layer1.wscale.scale" in own:
        assert own["layer1.wscale.scale"].shape == (1,)


# ---------------------------------------------------------------------------------------------- definition


def brute_force(state, z, widths):
    """The published generator, spelled out: normalise, double, convolve, scale, add, leak."""
    x = z.double()[:, :, None, None]
    for n in range(1, 2 * len(widths) + 1):
        x = x / torch.sqrt(torch.mean(x**2, dim=1, keepdim=True) + 1e-8)
        if n % 2 and n > 1:
            x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
        weight = state[f"layer{n}.conv.weight"].double()
        inputs, kernel = weight.shape[1:3]
        y = conv2d(x, weight, padding=3 if n == 1 else 1) * (
            math.sqrt(2) / kernel / math.sqrt(inputs)
        )
        y = y + state[f"layer{n}.wscale.b"].double()[:, None, None]
        x = torch.where(y > 0, y, 0.2 * y)
        yield f"layer{n}", x
    x = x / torch.sqrt(torch.mean(x**2, dim=1, keepdim=True) + 1e-8)
    side = 4 * 2 ** (len(widths) - 1)
    weight = state[f"output_{side}x{side}.conv.weight"].double()
    y = conv2d(x, weight) / math.sqrt(widths[-1])
    yield (
        f"output_{side}x{side}",
        y + state[f"output_{side}x{side}.wscale.b"].double()[:, None, None],
    )


def test_every_layer_is_as_published():
    torch.manual_seed(2)
    widths, z = [20, 16, 12], latents(3, 0, 4, 10)
    network = ProGAN(10, widths).eval()
    for name, parameter in network.named_parameters():
        if name.endswith("wscale.b"):
            nn.init.normal_(parameter)
    expected = dict(brute_force(network.state_dict(), z, widths))
    with torch.no_grad(), Probe(network, list(expected)) as probe:
        images = probe(z)
    assert list(expected) == [name for name, _ in network.named_children()]
    sides = {
        "layer1": 4, "layer2": 4, "layer3": 8, "layer4": 8, "layer5": 16, "layer6": 16,
        "output_16x16": 16,
    }  # fmt: skip
    for name, value in expected.items():
        assert probe.kept[name].shape[2:] == (sides[name], sides[name])
        torch.testing.assert_close(probe.kept[name].double(), value, rtol=1e-5, atol=1e-5)
    assert images.equal(probe.kept["output_16x16"])
    torch.testing.assert_close(network(z[:, :, None, None]), images)


def test_the_output_is_clamped_where_it_was_published_so():
    z = latents(1, 0, 8, 16)
    for variant in STYLES:
        torch.manual_seed(1)
        free = ProGAN(16, [16, 16], variant, clamp=False).eval()
        clamped = ProGAN(16, [16, 16], variant, clamp=True).eval()
        default = ProGAN(16, [16, 16], variant).eval()
        for network in (clamped, default):
            network.load_state_dict(free.state_dict())
        assert free(z).abs().max() > 1
        assert clamped(z).equal(free(z).clamp(-1, 1))
        assert default(z).equal(free(z) if variant == "progressive" else clamped(z))


@pytest.mark.parametrize("variant", STYLES)
def test_what_follows_a_layer_can_be_run_alone(variant):
    """torch.fx traces every variant, so that interventions need not start from z."""
    torch.manual_seed(1)
    network = ProGAN(8, [8, 8, 8], variant).eval()
    z = latents(1, 0, 3, 8)
    with torch.no_grad():
        head, tail = split(network, "layer4")
        state = head(z)
        assert tail(state, state[0]).equal(network(z))
        assert tail(state, state[0] * 0).shape == (3, 3, 16, 16)
    assert len(state) == 1  # and not z, from which all would be run again


def test_pixel_norm_and_variation_by_hand():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(8, 5, 3, 2))
    expected = np.empty_like(x)
    for i, a, b in np.ndindex(8, 3, 2):
        expected[i, :, a, b] = x[i, :, a, b] / np.sqrt(np.mean(x[i, :, a, b] ** 2) + 1e-8)
    torch.testing.assert_close(PixelNorm()(torch.tensor(x)).numpy(), expected)

    found = variation(torch.tensor(x)).numpy()
    for i in range(8):
        members = x[i // GROUP * GROUP :][:GROUP]
        value = np.sqrt(members.var(0) + 1e-8).mean()
        np.testing.assert_allclose(found[i], np.full((1, 3, 2), value), rtol=1e-6)
    assert variation(torch.tensor(x[:3])).shape == (3, 1, 3, 2)  # one group of three


def test_learning_rates_are_equal():
    """A layer's output has about unit variance whatever its width, with weights of unit variance."""
    torch.manual_seed(0)
    for inputs in (4, 64, 512):
        layer = Convolution(inputs, 64, 3, 1, active=False)
        assert layer.weight.std().item() == pytest.approx(1, abs=0.1)
        x = torch.randn(16, inputs, 12, 12)
        y = layer(x)
        expected = conv2d(x, layer.weight / math.sqrt(9 * inputs), padding=1)
        torch.testing.assert_close(y, expected, rtol=1e-4, atol=1e-4)
        assert y[:, :, 1:-1, 1:-1].std().item() == pytest.approx(1, abs=0.15)
        # a step along the gradient's sign changes the output as much, relative to its width
    block = ProGAN(64, [32]).layer2
    x = PixelNorm()(torch.randn(4, 32, 4, 4))
    weight = block.conv.weight * (math.sqrt(2) / 3 / math.sqrt(32))
    torch.testing.assert_close(block(x), leaky_relu(conv2d(x, weight, padding=1), 0.2))


# ---------------------------------------------------------------------------------------------- z


def test_z_is_drawn_as_published_whatever_the_batch():
    expected = np.random.RandomState(1).standard_normal(50 * 7).reshape(50, 7).astype(np.float32)
    whole = latents(1, 0, 50, 7)
    assert whole.dtype == torch.float32
    assert np.array_equal(whole.numpy(), expected)
    for first, count in ((0, 1), (3, 4), (13, 1), (29, 21)):
        assert latents(1, first, count, 7).equal(whole[first : first + count])
    assert not latents(2, 0, 50, 7).equal(whole)


# ---------------------------------------------------------------------------------------------- growth


def test_stages():
    assert [stage(i, 10, 3) for i in (0, 9, 10, 15, 20, 29)] == [
        (0, 1), (0, 1), (1, 0), (1, 0.5), (1, 1), (1, 1)]  # fmt: skip
    assert [stage(i, 10, 3) for i in (30, 39, 40, 10**6)] == [(2, 0), (2, 0.9), (2, 1), (2, 1)]
    assert stage(0, 0, 4) == (3, 1.0)
    assert stage(0, 5, 1) == stage(99, 5, 1) == (0, 1.0)


@pytest.mark.parametrize("level", [1, 2, 3])
def test_fading_in_starts_where_the_coarser_resolution_was(level):
    torch.manual_seed(3)
    generator = Growing(ProGAN(8, [12, 12, 8, 8]))
    z = latents(1, 0, 8, 8)
    before = generator(z, level - 1, 1.0)
    assert before.shape[2] == 2 ** (level + 1)
    doubled = interpolate(before, scale_factor=2.0)
    torch.testing.assert_close(generator(z, level, 0.0), doubled)
    own = generator(z, level, 1.0)
    torch.testing.assert_close(generator(z, level, 0.25), 0.75 * doubled + 0.25 * own)

    critic = Critic([12, 12, 8, 8], stddev=True)
    coarse = torch.randn(8, 3, *before.shape[2:])
    expected = critic(coarse, level - 1, 1.0)
    torch.testing.assert_close(critic(interpolate(coarse, scale_factor=2.0), level, 0.0), expected)


def test_a_snapshot_has_the_resolution_of_its_time():
    torch.manual_seed(3)
    generator = Growing(ProGAN(8, [12, 10, 8]))
    z = latents(1, 0, 5, 8)
    for level, side in enumerate((4, 8, 16)):
        state = generator.grown(level).state_dict()
        network = ProGAN(**ProGAN.sizes_of(state))
        assert network.widths == [12, 10, 8][: level + 1]
        network.load_state_dict(state)
        assert network(z).equal(generator(z, level, 1.0))
        assert network(z).shape[2] == side
    assert generator.grown(2) is generator.generator


# ---------------------------------------------------------------------------------------------- losses


def test_penalties_by_hand():
    """Of a quadratic critic, whose gradient A x + b is known; its own gradient flows to A."""
    torch.manual_seed(0)
    n, shape = 6, (3, 4, 4)
    size = math.prod(shape)
    a = torch.randn(size, size, dtype=torch.float64)
    a = ((a + a.T) / 2).requires_grad_()
    b = torch.randn(size, dtype=torch.float64)
    real, fake = (torch.randn(n, *shape, dtype=torch.float64) for _ in range(2))

    def scores(images):
        x = images.flatten(1)
        return ((x @ a) * x).sum(1) / 2 + x @ b

    value = r1(scores, real)
    gradient = real.flatten(1) @ a + b
    torch.testing.assert_close(value, (gradient**2).sum(1).mean() / 2)
    (found,) = torch.autograd.grad(value, a)
    (expected,) = torch.autograd.grad((gradient**2).sum(1).mean() / 2, a)
    torch.testing.assert_close(found + found.T, expected + expected.T)

    share = torch.rand(n, 1, 1, 1, dtype=torch.float64)
    value = lipschitz(scores, real, fake, share)
    between = (share * real + (1 - share) * fake).flatten(1)
    norms = (between @ a + b).norm(dim=1)
    torch.testing.assert_close(value, ((norms - 1) ** 2).mean())
    (found,) = torch.autograd.grad(value, a)
    (expected,) = torch.autograd.grad(((norms - 1) ** 2).mean(), a)
    torch.testing.assert_close(found + found.T, expected + expected.T)


# ---------------------------------------------------------------------------------------------- training


class Flags(Dataset):
    """Two colours, one above the other."""

    def __init__(self, images=60, size=16):
        self.images, self.size = images, size

    def __len__(self):
        return self.images

    def key(self, index):
        return str(index)

    def image(self, index):
        colours = np.random.default_rng(index).integers(0, 256, (2, 1, 1, 3))
        return np.broadcast_to(
            colours.repeat(self.size // 2, 1).reshape(-1, 1, 3), (self.size, self.size, 3)
        ).astype(np.uint8)


def profile(arguments=None, **recipe) -> Config:
    network = spec({"latent": 8, "widths": [16, 16]} | (arguments or {}), latent=8)
    recipe = {
        "dataset": "d", "iterations": 30, "growth": 6, "batch": 8, "penalty": 0.1, "critic": [16, 16],
        "snapshots": [6, 20],
    } | recipe  # fmt: skip
    network = network.model_copy(update={"adversarial": model.Adversarial(**recipe)})
    drawn = model.Asset(scenes=model.Scenes(format="lsun", images=60))
    return Config.model_construct(
        profile="test",
        seed=3,
        memory_gb=1.0,
        assets={"drawn": drawn},
        datasets={"d": model.Dataset(reader="lsun", asset="drawn")},
        networks={"gan": network},
    )


def results(folder):
    """Path -> content; of metrics.json, all but the time it took."""
    found = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    metrics = json.loads(found.pop("metrics.json"))
    assert metrics.pop("seconds") >= 0
    return found, metrics


@pytest.fixture
def short_rounds(monkeypatch):
    monkeypatch.setattr("dissection.networks.adversarial.ROUND", 7)


VARIANTS = {
    "progressive": ({}, {}),
    "wgan-gp": ({"variant": "base"}, {"loss": "wgan-gp", "every": 1, "stddev": False}),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_training_is_the_same_every_time_and_resumes(tmp_path, short_rounds, monkeypatch, variant):
    arguments, recipe = VARIANTS[variant]
    config = profile(arguments, **recipe)
    train(config, "gan", Flags(), tmp_path / "once", CPU)
    torch.manual_seed(99)  # nothing outside matters
    calls, step = [], Training.step

    def interrupted(self, iteration, real):
        calls.append(iteration)
        if len(calls) == 18:
            raise KeyboardInterrupt
        return step(self, iteration, real)

    monkeypatch.setattr(Training, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(config, "gan", Flags(), tmp_path / "twice", CPU)
    assert (tmp_path / "twice" / CHECKPOINT).exists()
    train(config, "gan", Flags(), tmp_path / "twice", CPU)
    assert calls[18] == 14  # from the last checkpoint, not from the start
    assert results(tmp_path / "once") == results(tmp_path / "twice")
    found, metrics = results(tmp_path / "once")
    assert set(found) == {
        "weights.safetensors", "snapshots/6.safetensors", "snapshots/20.safetensors", "curve.csv",
        "samples.png",
    }  # fmt: skip
    assert metrics["images_shown"] == 30 * 8
    assert metrics["images"] == 60


def test_a_checkpoint_of_another_recipe_is_no_start(tmp_path, short_rounds, monkeypatch):
    step = Training.step

    def stop(self, iteration, real):
        if iteration == 10:
            raise KeyboardInterrupt
        return step(self, iteration, real)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "step", stop)
        with pytest.raises(KeyboardInterrupt):
            train(profile(penalty=1.0), "gan", Flags(), tmp_path / "out", CPU)
    train(profile(), "gan", Flags(), tmp_path / "out", CPU)
    train(profile(), "gan", Flags(), tmp_path / "new", CPU)
    assert results(tmp_path / "out") == results(tmp_path / "new")


class Plain(Flags):
    """One colour."""

    def image(self, index):
        return np.broadcast_to(super().image(index)[:1, :1], (self.size, self.size, 3))


def test_it_learns(tmp_path):
    """To paint the whole image in one colour, and not always the same."""
    config = profile({"widths": [32]}, critic=[32], growth=0, iterations=400, snapshots=[],
                     averaging=300, learning_rate=5e-3)  # fmt: skip

    def looks(network):
        with torch.no_grad():
            images = network.eval()(latents(5, 0, 200, 8))
        return images.std((2, 3)).mean().item(), images.mean((2, 3)).std(0).mean().item()

    within, _ = looks(load_network(config.networks["gan"], None, 3))
    train(config, "gan", Plain(200, 4), tmp_path, CPU)
    network = load_network(config.networks["gan"], tmp_path / "weights.safetensors", 1)
    found, between = looks(network)
    assert found < within / 3
    assert between > 0.25  # 0.57 of the real images


def test_weights_and_snapshots_are_shipped(tmp_path):
    config = profile()
    train(config, "gan", Flags(), tmp_path / "trained", CPU)
    ship(config, "gan", tmp_path / "trained", tmp_path / "shipped")
    manifest = json.loads((tmp_path / "shipped" / "manifest.json").read_text())
    assert set(manifest) == {"gan", "gan.6", "gan.20"}
    assert manifest["gan"]["adversarial"]["batch"] == 8
    assert manifest["gan"]["latent"] == {"size": 8}
    state = load_file(tmp_path / "shipped" / "gan.6.safetensors")
    assert state["layer1.conv.weight"].dtype == torch.float16
    z = latents(1, 0, 2, 8)
    for entry, side in (("gan", 8), ("gan.6", 4), ("gan.20", 8)):
        network = load_network(spec(latent=8), tmp_path / "shipped" / manifest[entry]["file"], 1)
        assert network(z).shape == (2, 3, side, side)


def test_images_fit_the_generator_or_are_streamed():
    images = load_images(Flags(5, 32), 16, 1.0)
    assert images.shape == (5, 3, 16, 16)
    assert images.dtype == torch.uint8
    np.testing.assert_array_equal(images[2, :, 0, 0], Flags().image(2)[0, 0])
    streamed = load_images(Flags(5, 32), 16, 1e-6)
    assert isinstance(streamed, Streamed)
    assert torch.equal(streamed[torch.tensor([3, 0, 3])], images[[3, 0, 3]])


class Wide(Flags):
    """White to the left and to the right of a square."""

    def image(self, index):
        return np.pad(super().image(index), ((0, 0), (7, 8), (0, 0)), constant_values=255)


def test_a_generator_learns_the_middle_of_images():
    assert torch.equal(load_images(Wide(5), 16, 1.0), load_images(Flags(5), 16, 1.0))


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"critic": [16]}, "adversarial.critic: 1 widths for the 2 resolutions"),
        ({"snapshots": [31]}, "snapshots beyond 30 iterations"),
        ({"batch": 61}, "too few images for a batch of 61"),
    ],
)
def test_recipes_that_do_not_fit(tmp_path, recipe, message):
    with pytest.raises(DissectionError, match=re.escape(message)):
        train(profile(**recipe), "gan", Flags(), tmp_path, CPU)


def test_config_takes_an_input_or_a_latent():
    size = {"size": 8}
    with pytest.raises(ValueError, match="missing input"):
        model.Network(module="m:f", layers={"a": "a"})
    with pytest.raises(ValueError, match="missing input"):
        model.Network(module="m:f", layers={"a": "a"}, latent=size, input=size)
    recipe = {"dataset": "d", "iterations": 1, "penalty": 1, "critic": [8]}
    with pytest.raises(ValueError, match="adversarial for one of latent"):
        model.Network(module="m:f", layers={"a": "a"}, input=size, adversarial=recipe)
    network = model.Network(module="m:f", layers={"a": "a"}, latent=size, adversarial=recipe)
    assert network.training is network.adversarial
