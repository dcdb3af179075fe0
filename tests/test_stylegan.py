"""Pickles of TensorFlow GANs, read without running anything of them; StyleGAN: definition; training of both kinds."""

import io
import math
import os
import pickle
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy.ndimage import convolve
from torch.nn.functional import conv2d, conv_transpose2d, leaky_relu, pad

from dissection import config as model
from dissection.assets import Entry, asset_path, fetch, load_registry
from dissection.assets.tensorflow import _ordered, _progressive, convert
from dissection.assets.unpack import ArchiveError
from dissection.errors import DissectionError
from dissection.networks import load_network
from dissection.networks.adversarial import GrowingStyle, GrowingStyle2, train
from dissection.networks.progan import ProGAN, latents
from dissection.networks.stylegan import StyleGAN, blur
from dissection.networks.stylegan2 import StyleGAN2, doubled
from dissection.networks.train import ship
from dissection.probe import Probe, split
from test_generators import Flags, profile, results

CPU = torch.device("cpu")
REPOSITORY = Path(__file__).parents[1]
BEDROOMS = [512, 512, 512, 512, 256, 128, 64]
SMALL = {"latent": 8, "widths": [16, 12], "style": 10, "depth": 3}


def spec(kind=StyleGAN, **arguments):
    return model.Network(
        module=f"{kind.__module__}:{kind.__name__}",
        arguments=arguments,
        latent={"size": 8},
        layers={"layer4": "synthesis.8x8.Conv1" if kind is StyleGAN else "layer4.activate"},
    )


def published_shapes(latent, widths, style, depth):
    """Variable of Gs -> shape, in TensorFlow's order of axes, written down from their description."""
    shapes = {"lod": (), "dlatent_avg": (style,)}
    for n in range(depth):
        shapes[f"mapping/Dense{n}/weight"] = (style if n else latent, style)
        shapes[f"mapping/Dense{n}/bias"] = (style,)
    shapes["synthesis/lod"] = ()
    inputs = widths[0]
    for level, units in enumerate(widths):
        side = 4 * 2**level
        lod = f"synthesis/ToRGB_lod{len(widths) - 1 - level}"
        shapes |= {f"{lod}/weight": (1, 1, units, 3), f"{lod}/bias": (3,)}
        for n, layer in enumerate(["Conv0_up", "Conv1"] if level else ["Const", "Conv"]):
            name = f"synthesis/{side}x{side}/{layer}"
            shapes[f"synthesis/noise{2 * level + n}"] = (1, 1, side, side)
            if layer == "Const":
                shapes[f"{name}/const"] = (1, units, 4, 4)
            else:
                shapes[f"{name}/weight"] = (3, 3, inputs if n == 0 else units, units)
            shapes |= {f"{name}/Noise/weight": (units,), f"{name}/bias": (units,),
                       f"{name}/StyleMod/weight": (style, 2 * units),
                       f"{name}/StyleMod/bias": (2 * units,)}  # fmt: skip
        inputs = units
    return shapes


def drawn(shapes, seed=1):
    rng = np.random.default_rng(seed)
    # a number alone is numpy's scalar there, not an array
    return {
        k: rng.standard_normal(s).astype(np.float32) if s else np.float32(0)
        for k, s in shapes.items()
    }


# ---------------------------------------------------------------------------------------------- pickles


def dnnlib_modules(monkeypatch):
    """The modules whose classes the pickle names, with classes that must never be run when it is read."""

    def refuse(self, state):
        raise AssertionError("their code was run")

    names = ("dnnlib", "dnnlib.tflib", "dnnlib.tflib.network", "dnnlib.util", "tfutil")
    modules = {name: types.ModuleType(name) for name in names}
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    for module, name, bases in (
        ("dnnlib.tflib.network", "Network", ()),
        ("dnnlib.util", "EasyDict", (dict,)),
        ("tfutil", "Network", ()),
    ):
        made = type(name, bases, {"__setstate__": refuse, "__module__": module})
        setattr(modules[module], name, made)
    return modules


@pytest.fixture
def dnnlib(monkeypatch):
    return dnnlib_modules(monkeypatch)


def network_of(dnnlib, name, variables, **components):
    made = dnnlib["dnnlib.tflib.network"].Network()
    made.__dict__ = {
        "version": 3, "name": name, "static_kwargs": dnnlib["dnnlib.util"].EasyDict(resolution=8),
        "components": components,
        "build_module_src": "raise SystemExit('their code was run')", "build_func_name": "G_style",
        "variables": list(variables.items()),
    }  # fmt: skip
    return made


def published(dnnlib, variables, protocol=4):
    """A pickle as it is published: G, D and Gs, the last made of a mapping and a synthesis network."""

    def part(prefix):
        return {k.removeprefix(prefix): v for k, v in variables.items() if k.startswith(prefix)}

    own = {k: v for k, v in variables.items() if "/" not in k}
    parts = {n: network_of(dnnlib, n, part(f"{n}/")) for n in ("mapping", "synthesis")}
    networks = (
        network_of(dnnlib, "G", {}),
        network_of(dnnlib, "D", {}),
        network_of(dnnlib, "Gs", own, **parts),
    )
    data = pickle.dumps(networks, protocol)
    if protocol < 4:  # names are lines there; as numpy 1 has them
        data = data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    return data


@pytest.mark.parametrize("protocol", [3, 4])
def test_a_published_pickle_becomes_safetensors(tmp_path, dnnlib, protocol):
    variables = drawn(published_shapes(**SMALL))
    (tmp_path / "gan.pkl").write_bytes(published(dnnlib, variables, protocol))
    convert(tmp_path / "gan.pkl", tmp_path / "gan")
    state = load_file(tmp_path / "gan" / "Gs.safetensors")
    assert state.keys() == {name.replace("/", ".") for name in variables}
    weight = variables["synthesis/8x8/Conv0_up/weight"]
    found = state["synthesis.8x8.Conv0_up.weight"]
    for y, x, i, o in np.ndindex(*weight.shape):
        assert found[o, i, y, x] == weight[y, x, i, o]
    assert np.array_equal(state["mapping.Dense0.weight"], variables["mapping/Dense0/weight"].T)
    for name in ("synthesis/4x4/Const/const", "synthesis/noise2", "dlatent_avg", "lod"):
        assert np.array_equal(state[name.replace("/", ".")], variables[name])


def test_arrays_of_any_order_and_endianness(tmp_path, dnnlib):
    array = np.arange(6.0).reshape(2, 3)
    odd = {
        "a": np.asfortranarray(array),
        "b": array.astype(">f8"),
        "c": array.astype(np.float16),
        "d": array > 2,
    }
    (tmp_path / "gan.pkl").write_bytes(published(dnnlib, odd))
    convert(tmp_path / "gan.pkl", tmp_path)
    state = load_file(tmp_path / "Gs.safetensors")
    assert all(np.array_equal(state[k], v) for k, v in odd.items())
    assert [state[k].dtype for k in "abcd"] == [
        torch.float64,
        torch.float64,
        torch.float16,
        torch.bool,
    ]


# Progressive GANs of 2018


def progressive_shapes(latent, widths, up):
    """Variable of Gs -> shape, in TensorFlow's order of axes; up: name of the layers that double the size."""
    shapes, inputs = {"lod": ()}, latent
    for level, units in enumerate(widths):
        block = f"{4 * 2**level}x{4 * 2**level}"
        if level == 0:
            shapes[f"{block}/Dense/weight"] = (latent, 16 * units)
        else:
            pair = (units, inputs) if up == "Conv0_up" else (inputs, units)
            shapes[f"{block}/{up}/weight"] = (3, 3, *pair)
        shapes[f"{block}/{up if level else 'Dense'}/bias"] = (units,)
        shapes[f"{block}/{'Conv1' if level else 'Conv'}/weight"] = (3, 3, units, units)
        shapes[f"{block}/{'Conv1' if level else 'Conv'}/bias"] = (units,)
        lod = f"ToRGB_lod{len(widths) - 1 - level}"
        shapes |= {f"{lod}/weight": (1, 1, units, 3), f"{lod}/bias": (3,)}
        inputs = units
    return shapes


def progressive_images(variables, z, widths, up):
    """The definition of Karras et al. (2018), by the operations of their code."""

    def norm(x):
        return x / (x.square().mean(1, keepdim=True) + 1e-8).sqrt()

    def weight(name, gain=2**0.5, fan=None):
        array = torch.from_numpy(variables[f"{name}/weight"])
        return array * gain / (fan or math.prod(array.shape[:-1])) ** 0.5

    def active(x, name):
        return norm(leaky_relu(x + torch.from_numpy(variables[f"{name}/bias"])[:, None, None], 0.2))

    def convolved(x, name, gain=2**0.5):
        w = weight(name, gain).permute(3, 2, 0, 1)
        return conv2d(x, w, padding=w.shape[2] // 2)

    x = (norm(z) @ weight("4x4/Dense", 2**0.5 / 4)).reshape(len(z), widths[0], 4, 4)
    x = active(x, "4x4/Dense")
    x = active(convolved(x, "4x4/Conv"), "4x4/Conv")
    for level in range(1, len(widths)):
        block = f"{4 * 2**level}x{4 * 2**level}"
        if (
            up == "Conv0_up"
        ):  # each value adds a kernel of 4 x 4, the sum of four shifted ones of 3 x 3
            w = pad(weight(f"{block}/{up}", fan=9 * widths[level - 1]), (0, 0, 0, 0, 1, 1, 1, 1))
            w = w[1:, 1:] + w[:-1, 1:] + w[1:, :-1] + w[:-1, :-1]
            x = conv_transpose2d(x, w.permute(3, 2, 0, 1), stride=2, padding=1)
        else:
            x = convolved(x.repeat_interleave(2, 2).repeat_interleave(2, 3), f"{block}/{up}")
        x = active(x, f"{block}/{up}")
        x = active(convolved(x, f"{block}/Conv1"), f"{block}/Conv1")
    bias = torch.from_numpy(variables["ToRGB_lod0/bias"])[:, None, None]
    return convolved(x, "ToRGB_lod0", 1) + bias


@pytest.mark.parametrize("up", ["Conv0_up", "Conv0"])
def test_a_progressive_gan_of_2018_draws_as_it_did(tmp_path, dnnlib, up):
    widths = [12, 10, 6]
    variables = drawn(progressive_shapes(8, widths, up))
    networks = []
    for name in ("G", "D", "Gs"):
        made = dnnlib["tfutil"].Network()
        made.__dict__ = {
            "version": 2, "name": name, "static_kwargs": {"resolution": 16, "fused_scale": up == "Conv0_up"},
            "build_module_src": "raise SystemExit('their code was run')", "build_func_name": "G_paper",
            "variables": list(variables.items()),
        }  # fmt: skip
        networks.append(made)
    path = tmp_path / "karras2018iclr-lsun-bedroom-256x256.pkl"
    path.write_bytes(pickle.dumps(tuple(networks), 4))
    progan = model.Network(
        module="dissection.networks.progan:ProGAN", latent={"size": 8}, layers={"layer4": "layer4"}
    )
    network = load_network(progan, path, 1)
    assert (network.latent, network.widths) == (8, widths)
    z = latents(1, 0, 3, 8)
    with torch.inference_mode():
        expected = progressive_images(variables, z, widths, up)
        assert torch.allclose(network(z), expected, rtol=1e-4, atol=1e-5)
    convert(path, tmp_path / "gan")
    again = load_network(progan, tmp_path / "gan", 2)
    assert all(torch.equal(t, network.state_dict()[k]) for k, t in again.state_dict().items())
    del variables["8x8/Conv1/bias"]
    networks[2].variables = list(variables.items())
    path.write_bytes(pickle.dumps(tuple(networks), 4))
    with pytest.raises(DissectionError, match=r"1 missing \(layer4\.wscale\.b\)"):
        load_network(progan, path, 1)


@pytest.mark.parametrize(
    "widths", [[512, 512, 512, 256, 128, 64, 32], [512] * 4 + [256, 128, 64, 32, 16]]
)
def test_the_published_sizes_of_2018(widths):
    """Of 256 and 1024 pixels; the widths are those of fmap_base 8192."""
    shapes = progressive_shapes(512, widths, "Conv0_up")
    state = {k.replace("/", "."): _ordered(k, np.zeros(s, np.bool_)) for k, s in shapes.items()}
    found = {k: torch.empty(array.shape, device="meta") for k, array in _progressive(state).items()}
    sizes = ProGAN.sizes_of(found)
    assert sizes == {"latent": 512, "widths": widths}
    with torch.device("meta"):
        own = ProGAN(**sizes).state_dict()
    assert {k: t.shape for k, t in own.items()} == {k: t.shape for k, t in found.items()}


class Evil:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def malicious(dnnlib, out):
    """Name -> pickle that would do something, or would be something else."""
    good = drawn(published_shapes(**SMALL))
    shell = Evil(os.system, f"touch {out}")
    stack = io.BytesIO()  # the function by its name in parts, as protocol 4 allows
    stack.write(
        b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c"
        + bytes([len(f"touch {out}")])
        + f"touch {out}".encode()
        + b"\x85R."
    )
    networks = pickle.loads  # by a name that is known, of a module that is not
    return {
        "a command": pickle.dumps(shell),
        "a command by parts of its name": stack.getvalue(),
        "a command beside networks": published(dnnlib, good | {"x": shell}),
        "a nested name": b"\x80\x04\x8c\x05numpy\x8c\x0cndarray.dump\x93.",
        "eval": pickle.dumps(Evil(eval, f"open({str(out)!r}, 'w')")),
        "another pickle": pickle.dumps(Evil(networks, pickle.dumps(shell))),
        "a file's content": pickle.dumps(Evil(np.load, str(out))),
        "an extension": b"\x80\x02\x82\x01.",
        "a persistent object": b"\x80\x02X\x01\x00\x00\x00aQ.",
        "a class changed": b"\x80\x02cdnnlib.tflib.network\nNetwork\nN}X\x05\x00\x00\x00stateK\x01s\x86b.",
        "nothing": b"",
        "half of it": published(dnnlib, good)[:2000],
        "a web page": b"<!DOCTYPE html><html>Google Drive can't scan this file for viruses.</html>",
        "a list": pickle.dumps([1, 2, 3]),
        "three numbers": pickle.dumps((1, 2, 3)),
        "objects in arrays": published(dnnlib, {"a": np.array([{}, []], object)}),
        "text in arrays": published(dnnlib, {"a": np.array(["a", "b"])}),
        "a name that is a path": published(dnnlib, {"synthesis/../a": np.zeros(2)}),
        "an array that is none": published(dnnlib, {"a": [1, 2]}),
        "an array without its bytes": published(dnnlib, {"a": Evil(np.ndarray, (2, 2))}),
    }  # fmt: skip


CASES = (
    "a command", "a command by parts of its name", "a command beside networks", "a nested name", "eval",
    "another pickle", "a file's content", "an extension", "a persistent object", "a class changed", "nothing",
    "half of it", "a web page", "a list", "three numbers", "objects in arrays", "text in arrays",
    "a name that is a path", "an array that is none", "an array without its bytes",
)  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_nothing_of_a_pickle_is_run(tmp_path, dnnlib, case):
    out = tmp_path / "touched"
    (tmp_path / "gan.pkl").write_bytes(malicious(dnnlib, out)[case])
    with pytest.raises(ArchiveError, match=r"gan\.pkl: not a pickle of TensorFlow networks \(.+\)"):
        convert(tmp_path / "gan.pkl", tmp_path / "gan")
    assert [path.name for path in tmp_path.iterdir()] == ["gan.pkl"]


def test_it_is_fetched_as_an_asset(tmp_path, dnnlib):
    """From the user's own copy: the pickle is converted once, and what is left is safetensors."""
    variables = drawn(published_shapes(**SMALL))
    own, record = tmp_path / "own.pkl", tmp_path / "record.json"
    own.write_bytes(published(dnnlib, variables))
    registered = load_registry(REPOSITORY / "config" / "assets.yaml")["stylegan_bedrooms"]
    entry = Entry(**registered.model_dump() | {"md5": None, "checksum": "none"})
    fetch(entry, tmp_path / "out", None, own, record)
    folder = asset_path(record)
    assert [path.name for path in folder.iterdir()] == ["Gs.safetensors"]
    network = load_network(spec(), folder, 1)
    assert (network.latent, network.widths, network.style, network.depth) == tuple(SMALL.values())
    own.write_bytes(b"not a pickle")
    with pytest.raises(DissectionError, match=r"stylegan_bedrooms.*not a pickle of TensorFlow"):
        fetch(entry, tmp_path / "out", None, own, record)


def test_the_published_sizes():
    shapes = published_shapes(512, BEDROOMS, 512, 8)

    def torch_order(name, shape):
        if not name.endswith("weight"):
            return shape
        return (shape[3], shape[2], *shape[:2]) if len(shape) == 4 else shape[::-1]

    state = {
        k.replace("/", "."): torch.empty(torch_order(k, s), device="meta")
        for k, s in shapes.items()
    }
    sizes = StyleGAN.sizes_of(state)
    assert sizes == {"latent": 512, "widths": BEDROOMS, "style": 512, "depth": 8}
    with torch.device("meta"):
        network = StyleGAN(**sizes)
    own = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
    assert own == {k: tuple(t.shape) for k, t in state.items() if network.own_key(k) == k}
    assert len(network.synthesis.layers()) == 14
    left = {k for k in state if network.own_key(k) is None}
    assert left == {"lod", "synthesis.lod"} | {
        f"synthesis.ToRGB_lod{n}.{part}" for n in range(1, 7) for part in ("weight", "bias")
    }
    with pytest.raises(DissectionError, match=r"expected mapping\.Dense0\.weight"):
        StyleGAN.sizes_of({"conv.weight": torch.zeros(3, 3)})


# ---------------------------------------------------------------------------------------------- definition


def brute_force(variables, z, psi=1.0, cutoff=8, fused=128):
    """Gs, spelled out on TensorFlow's variables in float64; its double-size convolutions as TensorFlow has them."""
    v = {k: np.asarray(a, np.float64) for k, a in variables.items()}

    def dense(x, name, gain, rate=1.0):
        w = v[f"{name}/weight"]
        return x @ (w * gain * rate / math.sqrt(len(w))) + v[f"{name}/bias"] * rate

    def conv(x, w):
        w = w * math.sqrt(2 / np.prod(w.shape[:3]))
        h, side = x.shape[2:]
        padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
        return sum(np.einsum("nihw,io->nohw", padded[:, :, a : a + h, b : b + side], w[a, b])
                   for a in range(3) for b in range(3))  # fmt: skip

    def transposed(x, w):
        """Each input pixel adds the kernel's 4 x 4 sums of shifts to the output, two pixels apart."""
        w = np.pad(w * math.sqrt(2 / np.prod(w.shape[:3])), ((1, 1), (1, 1), (0, 0), (0, 0)))
        w = w[1:, 1:] + w[:-1, 1:] + w[1:, :-1] + w[:-1, :-1]
        n, _, h, side = x.shape
        y = np.zeros((n, w.shape[3], 2 * h + 2, 2 * side + 2))
        for i in range(h):
            for j in range(side):
                y[:, :, 2 * i : 2 * i + 4, 2 * j : 2 * j + 4] += np.einsum(
                    "ni,abio->noab", x[:, :, i, j], w
                )
        return y[:, :, 1:-1, 1:-1]

    leak = lambda x: np.maximum(x, 0.2 * x)  # noqa: E731
    w = z / np.sqrt((z**2).mean(1, keepdims=True) + 1e-8)
    for n in range(sum("mapping" in k for k in v) // 2):
        w = leak(dense(w, f"mapping/Dense{n}", math.sqrt(2), 0.01))
    x, level, layers = None, 0, {}
    while f"synthesis/noise{2 * level}" in v:
        side = 4 * 2**level
        for n, layer in enumerate(["Conv0_up", "Conv1"] if level else ["Const", "Conv"]):
            name = f"synthesis/{side}x{side}/{layer}"
            if layer == "Const":
                x = v[f"{name}/const"].repeat(len(z), 0)
            else:
                kernel = v[f"{name}/weight"]
                if layer == "Conv0_up" and side < fused:
                    x = conv(x.repeat(2, 2).repeat(2, 3), kernel)
                else:
                    x = transposed(x, kernel) if layer == "Conv0_up" else conv(x, kernel)
                if layer == "Conv0_up":
                    taps = np.outer([1, 2, 1], [1, 2, 1])[None, None] / 16
                    x = convolve(x, taps, mode="constant")
            number = 2 * level + n
            x = x + v[f"synthesis/noise{number}"] * v[f"{name}/Noise/weight"][:, None, None]
            x = leak(x + v[f"{name}/bias"][:, None, None])
            x = x - x.mean((2, 3), keepdims=True)
            x = x / np.sqrt((x**2).mean((2, 3), keepdims=True) + 1e-8)
            truncated = v["dlatent_avg"] + (psi if number < cutoff else 1) * (w - v["dlatent_avg"])
            style = dense(truncated, f"{name}/StyleMod", 1).reshape(len(z), 2, -1)
            x = x * (style[:, 0, :, None, None] + 1) + style[:, 1, :, None, None]
            layers[name.replace("/", ".")] = x
        level += 1
    rgb = v["synthesis/ToRGB_lod0/weight"][0, 0]
    image = np.einsum("nihw,io->nohw", x, rgb / math.sqrt(len(rgb)))
    return layers, image + v["synthesis/ToRGB_lod0/bias"][:, None, None]


@pytest.fixture
def weights(tmp_path, dnnlib):
    """Draw variables of these sizes -> them, and a folder with them converted."""

    def make(**sizes):
        variables = drawn(published_shapes(**sizes))
        for key, value in variables.items():
            if key.startswith("mapping") and key.endswith("weight"):
                variables[key] = value * 100  # as it is scaled by the learning rate
        (tmp_path / "gan.pkl").write_bytes(published(dnnlib, variables))
        convert(tmp_path / "gan.pkl", tmp_path / "gan")
        return variables, tmp_path / "gan"

    return make


@pytest.mark.parametrize(("psi", "cutoff"), [(1.0, 8), (0.7, 3)])
def test_every_layer_is_as_published(weights, psi, cutoff):
    variables, folder = weights(latent=8, widths=[16, 12, 8], style=10, depth=3)
    z = latents(3, 0, 4, 8)
    expected, image = brute_force(variables, z.double().numpy(), psi, cutoff)
    network = load_network(spec(truncation=psi, cutoff=cutoff), folder, 1)
    with torch.no_grad(), Probe(network, list(expected)) as probe:
        found = probe(z)
    assert len(expected) == 6
    for name, value in expected.items():
        np.testing.assert_allclose(probe.kept[name], value, rtol=1e-3, atol=1e-4, err_msg=name)
    np.testing.assert_allclose(found, image, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(network(z[:, :, None, None]), found)
    torch.testing.assert_close(network(z[1:2]), found[1:2])  # of its z alone


def test_large_layers_turn_their_kernels(weights, monkeypatch):
    """From 128 pixels on, TensorFlow doubles the size by a transposed convolution; here, from 16."""
    variables, folder = weights(latent=8, widths=[8, 6, 6], style=10, depth=2)
    monkeypatch.setattr("dissection.networks.stylegan.FUSED", 16)
    z = latents(3, 0, 2, 8)
    _, image = brute_force(variables, z.double().numpy(), fused=16)
    network = load_network(spec(), folder, 1)
    with torch.no_grad():
        np.testing.assert_allclose(network(z), image, rtol=1e-3, atol=1e-4)
        _, plain = brute_force(variables, z.double().numpy())
        assert np.abs(plain - image).max() > 0.01


def test_noise_is_given_or_kept(weights):
    _, folder = weights(**SMALL)
    network, z = load_network(spec(), folder, 1), latents(1, 0, 3, 8)
    kept = [getattr(network.synthesis, f"noise{n}") for n in range(4)]
    with torch.no_grad():
        image = network(z)
        assert network(z, kept).equal(image)
        other = [torch.zeros(3, 1, *field.shape[2:]) for field in kept]
        assert not network(z, other).allclose(image)
        assert not network.train()(z).allclose(image)  # drawn anew


def test_blur_by_hand():
    x = torch.arange(2.0 * 3 * 4 * 5).view(2, 3, 4, 5).double()
    taps = np.outer([1, 2, 1], [1, 2, 1])[None, None] / 16
    np.testing.assert_allclose(blur(x), convolve(x.numpy(), taps, mode="constant"))


def test_what_follows_a_layer_can_be_run_alone():
    torch.manual_seed(1)
    network = StyleGAN(8, [8, 8, 8], 8, 2).eval()
    z = latents(1, 0, 3, 8)
    with torch.no_grad():
        head, tail = split(network, "synthesis.8x8.Conv1")
        state = head(z)
        assert tail(state, state[0]).equal(network(z))
        assert not tail(state, state[0] * 0).allclose(network(z))


# ---------------------------------------------------------------------------------------------- training


def styled(kind, widths, **recipe):
    """A recipe for a StyleGAN or a StyleGAN2."""
    config = profile(**recipe)
    network = spec(kind, latent=8, widths=widths, style=8, depth=2)
    config.networks["gan"] = network.model_copy(
        update={"adversarial": config.networks["gan"].adversarial}
    )
    return config


@pytest.mark.parametrize("kind", [StyleGAN, StyleGAN2])
def test_a_stylegan_is_trained(tmp_path, monkeypatch, kind):
    """The same every time; its weights and snapshots load by their sizes."""
    monkeypatch.setattr("dissection.networks.adversarial.ROUND", 7)
    config = styled(kind, [16, 16], iterations=20, snapshots=[6, 18])
    for run in ("once", "twice"):
        train(config, "gan", Flags(), tmp_path / run, CPU)
    assert results(tmp_path / "once") == results(tmp_path / "twice")
    ship(config, "gan", tmp_path / "once", tmp_path / "shipped")
    z = latents(1, 0, 2, 8)
    for name, side in (("gan", 8), ("gan.6", 4), ("gan.18", 8)):
        network = load_network(spec(kind), tmp_path / "shipped" / f"{name}.safetensors", 1)
        assert network(z).shape == (2, 3, side, side)
    start = load_network(config.networks["gan"], None, 3).state_dict()
    for key, tensor in load_file(tmp_path / "once" / "weights.safetensors").items():
        same = tensor.equal(start[key].to(tensor.dtype))
        kept = kind is StyleGAN and "noise" in key
        assert same == kept, key  # every parameter learns, and the mean of w


def twice(images):
    return images.repeat_interleave(2, 2).repeat_interleave(2, 3)


@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize(
    ("kind", "grow", "larger"),
    [(StyleGAN, GrowingStyle, twice), (StyleGAN2, GrowingStyle2, doubled)],
)
def test_a_snapshot_draws_what_the_growing_one_draws(kind, grow, larger, level):
    torch.manual_seed(3)
    growing = grow(kind(8, [12, 10, 8], 6, 2)).eval()
    z = latents(1, 0, 5, 8)
    network = kind(**kind.sizes_of(growing.grown(level).state_dict())).eval()
    network.load_state_dict(growing.grown(level).state_dict())
    with torch.no_grad():
        torch.testing.assert_close(network(z), growing(z, level, 1.0))  # before noise has a weight
        if level:
            before = larger(growing(z, level - 1, 1.0))
            torch.testing.assert_close(growing(z, level, 0.0), before)


def test_a_wasserstein_gan_is_trained_without_growth(tmp_path):
    """Convolutions with batch norm, as its network was published; at one size from the start."""
    config = profile({"variant": "base"}, loss="wgan-gp", every=1, growth=0, stddev=False, iterations=20,
                     penalty=10, learning_rate=5e-4, critic_rate=1e-3, snapshots=[20])  # fmt: skip
    train(config, "gan", Flags(), tmp_path, CPU)
    found, metrics = results(tmp_path)
    assert metrics["images_shown"] == 160
    curve = found["curve.csv"].decode().splitlines()
    assert curve[1].startswith("20,8,1,")
    assert np.isfinite(
        [float(value) for value in curve[1].split(",")]
    ).all()  # the penalty is due each time
    network = load_network(config.networks["gan"], tmp_path / "weights.safetensors", 1)
    whole = network(latents(1, 0, 4, 8))
    assert whole.shape == (4, 3, 8, 8)
    torch.testing.assert_close(network(latents(1, 2, 1, 8)), whole[2:3])  # by running statistics
    state = load_file(tmp_path / "weights.safetensors")
    assert state["layer2.norm.running_var"].ne(1).all()


class Plain(Flags):
    """One colour."""

    def image(self, index):
        return np.broadcast_to(super().image(index)[:1, :1], (self.size, self.size, 3))


def test_it_learns(tmp_path):
    """To paint the whole image in one colour, and not always the same."""
    config = styled(StyleGAN, [32], critic=[32], growth=0, iterations=300, snapshots=[],
                    averaging=300, learning_rate=5e-3)  # fmt: skip

    def looks(network):
        with torch.no_grad():
            images = network(latents(5, 0, 200, 8))
        return images.std((2, 3)).mean().item(), images.mean((2, 3)).std(0).mean().item()

    within, _ = looks(load_network(config.networks["gan"], None, 3))
    train(config, "gan", Plain(200, 4), tmp_path, CPU)
    found, between = looks(
        load_network(config.networks["gan"], tmp_path / "weights.safetensors", 1)
    )
    assert found < within / 3
    assert between > 0.25  # 0.57 of the real images
