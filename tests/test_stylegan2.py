"""StyleGAN2: its definition, published layouts of its weights, truncation and noise."""

import itertools
import math
from functools import partial

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import test_stylegan
from dissection.assets.tensorflow import _modulated, _ordered, convert
from dissection.errors import DissectionError
from dissection.networks import load_network, load_state
from dissection.networks.progan import latents
from dissection.networks.stylegan2 import StyleGAN2, doubled, noise_of, seeds
from dissection.probe import Probe, split

CHURCHES = {"latent": 512, "widths": [512, 512, 512, 512, 512, 256, 128], "style": 512, "depth": 8}
spec = partial(test_stylegan.spec, StyleGAN2)
SMALL = {"latent": 8, "widths": [12, 10, 6], "style": 8, "depth": 3}


def published_shapes(latent, widths, style, depth):
    """Name in rosinality's state dict -> shape, written down from its description."""
    shapes = {"input.input": (1, widths[0], 4, 4), "latent_avg": (style,)}
    for n in range(depth):
        shapes[f"style.{n + 1}.weight"] = (style, style if n else latent)
        shapes[f"style.{n + 1}.bias"] = (style,)

    def modulated(name, inputs, units, kernel):
        shapes[f"{name}.conv.weight"] = (1, units, inputs, kernel, kernel)
        shapes[f"{name}.conv.modulation.weight"] = (inputs, style)
        shapes[f"{name}.conv.modulation.bias"] = (inputs,)
        if kernel == 3:
            shapes[f"{name}.noise.weight"] = (1,)
            shapes[f"{name}.activate.bias"] = (units,)
        else:
            shapes[f"{name}.bias"] = (1, 3, 1, 1)

    modulated("conv1", widths[0], widths[0], 3)
    modulated("to_rgb1", widths[0], 3, 1)
    shapes["noises.noise_0"] = (1, 1, 4, 4)
    for n, (inputs, units) in enumerate(itertools.pairwise(widths)):
        modulated(f"convs.{2 * n}", inputs, units, 3)
        shapes[f"convs.{2 * n}.conv.blur.kernel"] = (4, 4)
        modulated(f"convs.{2 * n + 1}", units, units, 3)
        modulated(f"to_rgbs.{n}", units, 3, 1)
        shapes[f"to_rgbs.{n}.upsample.kernel"] = (4, 4)
        for k in (1, 2):
            shapes[f"noises.noise_{2 * n + k}"] = (1, 1, 8 * 2**n, 8 * 2**n)
    return shapes


def drawn(shapes, seed=1):
    torch.manual_seed(seed)
    state = {key: torch.randn(shape) for key, shape in shapes.items()}
    # the mapping network's are scaled by their learning rate
    return {k: t * 100 if k.startswith("style.") else t for k, t in state.items()}


def rewritten(key):
    """Name in rewriting's models, of a key in rosinality's."""
    name, _, rest = key.partition(".")
    if name in ("convs", "to_rgbs"):
        number, _, rest = rest.partition(".")
        name = f"layer{int(number) + 3}" if name == "convs" else f"to_rgb{int(number) + 2}"
    if name.startswith("layer") or name == "conv1":
        name = "layer2.conv" if name == "conv1" else f"{name}.sconv"
        rest = rest.replace("conv.", "mconv.").replace("mconv.weight", "mconv.dconv.weight")
        return f"{name}.{rest}"
    return f"{name}.rgb.{rest}" if name.startswith("to_rgb") else key


def brute_force(state, z, noise, psi=1.0):
    """(features of each layer, image), float64: weights modulated and demodulated for each image.

    noise: layer, side -> (n, 1, side, side).
    """
    v = {k: t.double() for k, t in state.items()}
    taps = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64

    def dense(x, name, rate=1.0):
        w = v[f"{name}.weight"]
        return x @ w.T * rate / math.sqrt(w.shape[1]) + v[f"{name}.bias"] * rate

    def smoothed(x):
        """(n, c, h, w) -> (n, c, h + 3, w + 3)"""
        found = F.pad(torch.zeros_like(x), (0, 3, 0, 3))
        for (i, j), tap in np.ndenumerate(taps):
            found[:, :, i : i + x.shape[2], j : j + x.shape[3]] += tap * x
        return found

    def modulated(x, w, name, up=False, normal=True):
        kernel, n = v[f"{name}.conv.weight"], len(x)
        kernel = kernel / math.sqrt(kernel[0, 0].numel())
        kernel = kernel * dense(w, f"{name}.conv.modulation")[:, None, :, None, None]
        if normal:
            kernel = kernel / (kernel.square().sum((2, 3, 4), keepdim=True) + 1e-8).sqrt()
        x = x.reshape(1, -1, *x.shape[2:])
        if up:
            kernel = kernel.transpose(1, 2).flatten(0, 1)
            x = F.conv_transpose2d(x, kernel, stride=2, groups=n).unflatten(1, (n, -1))[0]
            return 4 * smoothed(x)[:, :, 2:-2, 2:-2]
        x = F.conv2d(x, kernel.flatten(0, 1), padding=kernel.shape[-1] // 2, groups=n)
        return x.unflatten(1, (n, -1))[0]

    leak = lambda x: torch.maximum(x, 0.2 * x) * math.sqrt(2)  # noqa: E731
    w = z / (z.square().mean(1, keepdim=True) + 1e-8).sqrt()
    for n in range(sum(k.startswith("style.") for k in v) // 2):
        w = leak(dense(w, f"style.{n + 1}", 0.01))
    w = v["latent_avg"] + psi * (w - v["latent_avg"])
    x, features, rgb = v["input.input"].repeat(len(z), 1, 1, 1), {}, 0
    names = ["conv1", *(f"convs.{n}" for n in range(len(v)) if f"convs.{n}.conv.weight" in v)]
    for number, name in enumerate(names):
        x = modulated(x, w, name, up=number % 2 == 1)
        field = noise(number + 2, x.shape[2])
        x = leak(x + v[f"{name}.noise.weight"] * field + v[f"{name}.activate.bias"].view(-1, 1, 1))
        features[f"layer{number + 2}"] = x
        if number % 2 == 0:
            if number:
                spread = torch.zeros(*rgb.shape[:2], 2 * rgb.shape[2], 2 * rgb.shape[3]).double()
                spread[:, :, ::2, ::2] = rgb
                rgb = 4 * smoothed(spread)[:, :, 1:-2, 1:-2]
            name = f"to_rgbs.{number // 2 - 1}" if number else "to_rgb1"
            rgb = rgb + modulated(x, w, name, normal=False) + v[f"{name}.bias"].view(-1, 1, 1)
    return features, rgb


def saved(state, path):
    """As it is published: the mean of w beside the averaged generator."""
    averaged = {key: tensor for key, tensor in state.items() if key != "latent_avg"}
    torch.save({"g_ema": averaged, "latent_avg": state["latent_avg"]}, path)
    return path


@pytest.fixture
def published(tmp_path):
    state = drawn(published_shapes(**SMALL))
    return state, saved(state, tmp_path / "gan.pt")


# ---------------------------------------------------------------------------------------------- layouts


def test_published_shapes():
    state = {k: torch.empty(s, device="meta") for k, s in published_shapes(**CHURCHES).items()}
    assert StyleGAN2.sizes_of(state) == CHURCHES
    with torch.device("meta"):
        network = StyleGAN2()
    own = network.state_dict()
    published = {StyleGAN2.own_key(key): tensor for key, tensor in state.items()}
    assert published.keys() - {None} == set(own)
    left = {key for key in state if StyleGAN2.own_key(key) is None}
    assert all(key.startswith("noises.") or key.endswith(".kernel") for key in left)
    for key, tensor in own.items():
        assert StyleGAN2.own_key(key) == key
        assert tensor.numel() == published[key].numel()
    assert own["layer8.dconv.weight"].shape == (512, 512, 3, 3)
    assert StyleGAN2.own_key("convs.5.conv.weight") == "layer8.dconv.weight"
    names = [name for name, _ in network.named_children()]
    assert names == ["style", "layer1", "layer2", "rgb1"] + [
        name for n in range(2, 8) for name in (f"layer{2 * n - 1}", f"layer{2 * n}", f"rgb{n}")
    ]
    with pytest.raises(DissectionError, match=r"expected style\.1\.weight"):
        StyleGAN2.sizes_of({"conv.weight": torch.zeros(3, 3)})


def test_rewritings_names_load_as_rosinalitys(published, tmp_path):
    state, path = published
    other = {rewritten(key): tensor for key, tensor in state.items()}
    assert "layer6.sconv.mconv.dconv.weight" in other
    assert "to_rgb2.rgb.conv.modulation.weight" in other
    # an older layout: the bias has axes of length 1
    other["layer6.sconv.activate.bias"] = other["layer6.sconv.activate.bias"].view(1, -1, 1, 1)
    networks = [load_network(spec(), p, 1) for p in (path, saved(other, tmp_path / "other.pt"))]
    given = {StyleGAN2.own_key(key): tensor for key, tensor in state.items()}
    for key, tensor in networks[0].state_dict().items():
        assert tensor.equal(networks[1].state_dict()[key]), key
        assert tensor.flatten().equal(given[key].flatten()), key


@pytest.mark.parametrize("key", ["convs.2.conv.modulation.bias", "latent_avg"])
def test_a_missing_key_is_named(published, tmp_path, key):
    state, _ = published
    del state[key]
    torch.save(state, tmp_path / "part.pt")
    with pytest.raises(DissectionError, match=rf"1 missing \({StyleGAN2.own_key(key)}\)"):
        load_network(spec(), tmp_path / "part.pt", 1)


# ---------------------------------------------------------------------------------------------- definition


@pytest.mark.parametrize(("psi", "noise"), [(1.0, "image"), (0.5, "image"), (1.0, "authors")])
def test_every_layer_modulates_its_weights(published, psi, noise):
    state, path = published
    network = load_network(spec(truncation=psi, noise=noise), path, 1).double()
    z = latents(3, 0, 4, 8).double()
    seed = seeds(z) if noise == "image" else None
    expected, image = brute_force(state, z, lambda k, side: noise_of(seed, 4, k, side, side), psi)
    with torch.no_grad():
        found = network(z)
        assert list(expected) == [f"layer{n}" for n in range(2, 7)]
        for name, features in expected.items():
            value = network.run(network.start(z), until=name).features
            torch.testing.assert_close(value, features, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(found, image, rtol=1e-10, atol=1e-10)
        assert network(z[:, :, None, None]).equal(found)


def test_images_are_doubled_by_hand():
    row = torch.tensor([1.0, 5, 2]).double()
    found = doubled(row.view(1, 1, 1, 3))[0, 0] / 0.75  # one row, beside a border of zeros
    expected = [0.75, 0.75 + 1.25, 0.25 + 3.75, 3.75 + 0.5, 1.25 + 1.5, 1.5]
    torch.testing.assert_close(found, torch.tensor([expected, expected]).double())


def test_a_layer_is_a_key_a_map_and_a_value(published):
    network, z = load_network(spec(), published[1], 1), latents(1, 0, 3, 8)
    with torch.no_grad(), Probe(network, ["layer4.dconv", "layer4.activate"]) as probe:
        image = probe(z)
        before = network.run(network.start(z), until="layer3")
        layer = network.layer4
        key = layer.key(before)
        value = layer.dconv(key)
        assert value.equal(probe.kept["layer4.dconv"])
        shared = F.conv2d(key, layer.dconv.weight * layer.dconv.scale, padding=1)
        torch.testing.assert_close(value, shared)
        after = layer.finish(value, before)
        assert after.features.equal(probe.kept["layer4.activate"])
        assert network.run(after, after="layer4").rgb.equal(image)
        field = noise_of(before.seed, 3, 4, 8, 8)
        assert layer.finish(value, before, field).features.equal(after.features)
        assert not layer.finish(value, before, field * 2).features.allclose(after.features)
        head, tail = split(network, "layer4.activate")
        state = head(z)
        assert tail(state, state[0]).equal(image)
        assert not tail(state, state[0] * 0).allclose(image)


def test_truncation(published):
    state, path = published
    network, z = load_network(spec(truncation=0), path, 1), latents(1, 0, 3, 8)
    with torch.no_grad():
        seed = torch.tensor([5, 5, 5])
        images = network(z, seed)
        assert images[0].equal(images[1])
        start = network.start(z, seed)
        assert start.w.equal(state["latent_avg"].expand(3, 6, 8))
        network.truncation = 0.7
        whole = load_network(spec(), path, 1).start(z).w
        expected = 0.3 * state["latent_avg"] + 0.7 * whole
        torch.testing.assert_close(network.start(z).w, expected)


def test_noise_is_the_images_own(published):
    network, z = load_network(spec(), published[1], 1), latents(1, 0, 5, 8)
    with torch.no_grad():
        whole = network(z)
        assert network(z.flip(0)).flip(0).equal(whole)
        torch.testing.assert_close(network(z[3:4]), whole[3:4], rtol=1e-5, atol=1e-4)
        assert not network(z, seeds(z) + 1).allclose(whole, atol=1e-2)
        assert not network.train()(z).allclose(whole, atol=1e-2)  # drawn anew
    assert seeds(z).equal(torch.cat([seeds(z[:2].double()), seeds(z[2:])]))
    a, b = (noise_of(seeds(z), 5, layer, 16, 16) for layer in (3, 4))
    assert abs(a.mean()) < 0.1
    assert abs(a.std() - 1) < 0.1
    assert abs((a * b).mean()) < 0.1


def test_the_authors_noise_is_by_place(published):
    network = load_network(spec(noise="authors"), published[1], 1)
    z = latents(1, 0, 1, 8).expand(3, -1)
    with torch.no_grad():
        images = network(z)
        assert not images[0].allclose(images[1], atol=1e-2)
        torch.testing.assert_close(network(z[:2]), images[:2])
    rows = np.random.RandomState(0).randn(3, 16).astype(np.float32)
    np.testing.assert_array_equal(noise_of(None, 3, 2, 4, 4).reshape(3, 16), rows)


# ---------------------------------------------------------------------------------------------- the official ones


def official_shapes(latent, widths, style, depth):
    """Variable of NVIDIA's Gs -> shape, in TensorFlow's order of axes, written down from their description."""
    shapes = {"lod": (), "dlatent_avg": (style,), "synthesis/4x4/Const/const": (1, widths[0], 4, 4)}
    for n in range(depth):
        shapes[f"mapping/Dense{n}/weight"] = (style if n else latent, style)
        shapes[f"mapping/Dense{n}/bias"] = (style,)
    inputs = widths[0]
    for level, units in enumerate(widths):
        side = 4 * 2**level
        layers = [("Conv0_up", inputs, units, 3), ("Conv1", units, units, 3)]
        if level == 0:
            layers = [("Conv", units, units, 3)]
        for kind, into, to, kernel in (*layers, ("ToRGB", units, 3, 1)):
            name = f"synthesis/{side}x{side}/{kind}"
            shapes |= {f"{name}/weight": (kernel, kernel, into, to), f"{name}/mod_weight": (style, into),
                       f"{name}/mod_bias": (into,), f"{name}/bias": (to,)}  # fmt: skip
            if kind != "ToRGB":
                number = 2 * level - (kind == "Conv0_up")
                shapes |= {f"{name}/noise_strength": (), f"synthesis/noise{number}": (1, 1, side, side)}  # fmt: skip
        inputs = units
    return shapes


def official_images(variables, z, noise):
    """Gs spelled out on TensorFlow's variables in float64; noise: layer, side -> (n, 1, side, side)."""
    v = {k: np.asarray(a, np.float64) for k, a in variables.items()}
    taps = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 16  # 4 times their mean, for a size that doubles

    def dense(x, weight, rate=1.0):
        return x @ (v[weight] * rate / math.sqrt(len(v[weight])))

    def act(x):
        return np.maximum(x, 0.2 * x) * math.sqrt(2)

    def transposed(x, kernels, step=2):
        """Each pixel adds an image's kernel, (n, h, w, inputs, units), two pixels apart."""
        size, (h, side) = kernels.shape[1], x.shape[2:]
        out = np.zeros((len(x), kernels.shape[4], step * h - step + size, step * side - step + size))  # fmt: skip
        for i, j in np.ndindex(h, side):
            added = np.einsum("ni,nabio->noab", x[:, :, i, j], kernels)
            out[:, :, step * i : step * i + size, step * j : step * j + size] += added
        return out

    def filtered(x, before, after):
        """Padded and convolved by the taps, which are symmetric."""
        x = np.pad(x, ((0, 0), (0, 0), (before, after), (before, after)))
        h, side = x.shape[2] - 3, x.shape[3] - 3
        return sum(taps[a, b] * x[:, :, a : a + h, b : b + side] for a, b in np.ndindex(4, 4))

    def modulated(x, name, normal=True, up=False):
        weight = v[f"{name}/weight"]
        weight = weight / math.sqrt(weight[..., 0].size)
        styles = dense(w, f"{name}/mod_weight") + v[f"{name}/mod_bias"] + 1
        kernels = weight[None] * styles[:, None, None, :, None]
        if normal:
            kernels = kernels / np.sqrt((kernels**2).sum((1, 2, 3), keepdims=True) + 1e-8)
        if up:
            return filtered(transposed(x, kernels[:, ::-1, ::-1]), 1, 1)
        half = len(weight) // 2  # a correlation is a transposed convolution by the turned kernel
        y = transposed(x, kernels[:, ::-1, ::-1], 1)
        return y[:, :, half : y.shape[2] - half, half : y.shape[3] - half]

    w = z / np.sqrt((z**2).mean(1, keepdims=True) + 1e-8)
    for n in range(sum("mapping" in k for k in v) // 2):
        w = act(dense(w, f"mapping/Dense{n}/weight", 0.01) + 0.01 * v[f"mapping/Dense{n}/bias"])
    x, rgb = v["synthesis/4x4/Const/const"].repeat(len(z), 0), 0
    for level in range(sum("ToRGB/bias" in k for k in v)):
        side = 4 * 2**level
        for kind in ("Conv0_up", "Conv1") if level else ("Conv",):
            name, up = f"synthesis/{side}x{side}/{kind}", kind == "Conv0_up"
            x = modulated(x, name, up=up)
            x = x + v[f"{name}/noise_strength"] * noise(2 * level + 2 - up, side)
            x = act(x + v[f"{name}/bias"][:, None, None])
        if level:
            spread = np.zeros((len(z), 3, side, side))
            spread[:, :, ::2, ::2] = rgb
            rgb = filtered(spread, 2, 1)
        name = f"synthesis/{side}x{side}/ToRGB"
        rgb = rgb + modulated(x, name, normal=False) + v[f"{name}/bias"][:, None, None]
    return rgb


def test_the_official_pickle_draws_as_it_did(tmp_path, monkeypatch):
    modules = test_stylegan.dnnlib_modules(monkeypatch)
    variables = test_stylegan.drawn(official_shapes(**SMALL))
    for key in variables:
        if "noise_strength" in key:
            variables[key] = np.float32(0.3 + len(key) / 100)
        elif key.startswith("mapping"):
            variables[key] = variables[key] * 100  # as they are scaled by the learning rate
    path = tmp_path / "stylegan2-church-config-f.pkl"
    path.write_bytes(test_stylegan.published(modules, variables))
    network = load_network(spec(), path, 1).double()
    assert (network.latent, network.widths, network.depth) == (8, [12, 10, 6], 3)
    z = latents(3, 0, 3, 8).double()
    expected = official_images(
        variables, z.numpy(), lambda layer, side: noise_of(seeds(z), 3, layer, side, side).numpy()
    )
    with torch.no_grad():
        np.testing.assert_allclose(network(z), expected, rtol=1e-5, atol=1e-5)
    convert(path, tmp_path / "gan")
    again = load_network(spec(), tmp_path / "gan", 2).double()
    assert all(t.equal(network.state_dict()[k]) for k, t in again.state_dict().items())
    variables["synthesis/8x8/Conv1/another"] = np.ones(2, np.float32)
    del variables["synthesis/8x8/ToRGB/bias"]
    path.write_bytes(test_stylegan.published(modules, variables))
    message = r"1 missing \(rgb2\.bias\); 1 unexpected \(layer4\.another\)"
    with pytest.raises(DissectionError, match=message):
        load_network(spec(), path, 1)


@pytest.mark.parametrize(
    "widths",
    [
        CHURCHES["widths"],  # church, horse, cat
        [*CHURCHES["widths"], 64],  # car
        [*CHURCHES["widths"], 64, 32],  # ffhq
    ],
)
def test_the_official_sizes_fit(tmp_path, widths):
    shapes = official_shapes(**CHURCHES | {"widths": widths})
    variables = {k.replace("/", "."): _ordered(k, np.zeros(s, np.bool_)) for k, s in shapes.items()}
    state = {k: torch.empty(a.shape, device="meta") for k, a in _modulated(variables).items()}
    sizes = StyleGAN2.sizes_of(state)
    assert sizes == CHURCHES | {"widths": widths}
    with torch.device("meta"):
        network = StyleGAN2(**sizes)
    assert state.keys() == network.state_dict().keys()
    load_state(network, state, tmp_path)
