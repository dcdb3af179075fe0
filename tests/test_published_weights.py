"""Published weights by their own names: of torchvision, of Torch 7, of Python 2, of self-supervised Caffe models."""

import pickle
import struct
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from dissection.config import Input, Network
from dissection.errors import DissectionError
from dissection.networks import load_network, load_state
from dissection.networks.alexnet import torchvision_alexnet
from dissection.networks.densenet import densenet161
from dissection.networks.pretext import trunk
from dissection.networks.resnet import Residual, resnet152
from dissection.networks.torch7 import read_state
from test_architectures import BN, caffemodel, maps, norm, on_meta, randomised

pytestmark = pytest.mark.filterwarnings("ignore:.*copying from a non-meta parameter")
Shapes = dict[str, tuple[int, ...]]
BLOCKS = {18: [2, 2, 2, 2], 50: [3, 4, 6, 3], 152: [3, 8, 36, 3]}


def spec(module: str, **arguments) -> Network:
    return Network(module=f"dissection.networks.{module}", arguments=arguments, input=Input(size=64),
                   layers={"any": "any"})  # fmt: skip


# ---------------------------------------------------------------------------------------------- torchvision


def resnet(depth: int, classes: int = 365) -> Shapes:
    """Of torchvision: layer1 ... layer4 of basic blocks (18) or of bottlenecks."""
    found: Shapes = {"conv1.weight": (64, 3, 7, 7)} | {f"bn1.{kind}": (64,) for kind in BN}
    channels, expansion = 64, 1 if depth == 18 else 4
    for stage, count in enumerate(BLOCKS[depth]):
        width = 64 * 2**stage
        for block in range(count):
            path, out = f"layer{stage + 1}.{block}", expansion * width
            convolutions = (
                [(width, channels, 3), (width, width, 3)]
                if depth == 18
                else [(width, channels, 1), (width, width, 3), (out, width, 1)]
            )
            for i, (to, into, side) in enumerate(convolutions, start=1):
                found[f"{path}.conv{i}.weight"] = (to, into, side, side)
                found |= {f"{path}.bn{i}.{kind}": (to,) for kind in BN}
            if block == 0 and (stage or depth != 18):
                found[f"{path}.downsample.0.weight"] = (out, channels, 1, 1)
                found |= {f"{path}.downsample.1.{kind}": (out,) for kind in BN}
            channels = out
    return found | {"fc.weight": (classes, channels), "fc.bias": (classes,)}


def densenet(old: bool) -> Shapes:
    """DenseNet-161 of torchvision; old: as its modules were called before torch 0.4.1."""
    found: Shapes = {"features.conv0.weight": (96, 3, 7, 7)}
    found |= {f"features.norm0.{kind}": (96,) for kind in BN}
    channels, dot = 96, "." if old else ""
    for number, count in enumerate((6, 12, 36, 24), start=1):
        for i in range(1, count + 1):
            path = f"features.denseblock{number}.denselayer{i}"
            found |= {f"{path}.norm{dot}1.{kind}": (channels,) for kind in BN}
            found |= {f"{path}.norm{dot}2.{kind}": (192,) for kind in BN}
            found[f"{path}.conv{dot}1.weight"] = (192, channels, 1, 1)
            found[f"{path}.conv{dot}2.weight"] = (48, 192, 3, 3)
            channels += 48
        if number < 4:
            path = f"features.transition{number}"
            found |= {f"{path}.norm.{kind}": (channels,) for kind in BN}
            found[f"{path}.conv.weight"] = (channels // 2, channels, 1, 1)
            channels //= 2
    found |= {f"features.norm5.{kind}": (channels,) for kind in BN}
    return found | {"classifier.weight": (365, channels), "classifier.bias": (365,)}


ALEXNET: Shapes = {
    "features.0.weight": (64, 3, 11, 11), "features.3.weight": (192, 64, 5, 5), "features.6.weight": (384, 192, 3, 3),
    "features.8.weight": (256, 384, 3, 3), "features.10.weight": (256, 256, 3, 3),
    "classifier.1.weight": (4096, 9216), "classifier.4.weight": (4096, 4096), "classifier.6.weight": (365, 4096),
}  # fmt: skip
ALEXNET |= {k.replace("weight", "bias"): shape[:1] for k, shape in ALEXNET.items()}
ResNet18 = {"blocks": BLOCKS[18], "expansion": 1}
PUBLISHED: dict[
    str, tuple[Callable[[], nn.Module], Shapes, str]
] = {  # and where a data-parallel wrapper stands
    "resnet18_places365.pth.tar": (lambda: resnet152(**ResNet18), resnet(18), "^"),
    "resnet18_places365-2f475921.pth": (lambda: resnet152(**ResNet18), resnet(18), ""),
    "resnet50_places365.pth.tar": (lambda: resnet152(blocks=BLOCKS[50]), resnet(50), "^"),
    "resnet50_imagenet": (lambda: resnet152(1000, blocks=BLOCKS[50]), resnet(50, 1000), ""),
    "resnet152_imagenet": (lambda: resnet152(1000), resnet(152, 1000), ""),
    "alexnet_places365.pth.tar": (torchvision_alexnet, ALEXNET, "features."),
    "densenet161_places365.pth.tar": (densenet161, densenet(old=True), "^"),
    "densenet161 of today": (densenet161, densenet(old=False), ""),
}


def wrapped(key: str, where: str) -> str:
    return f"module.{key}" if where == "^" else key.replace(where, f"{where}module.") if where else key  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_shapes_fit_and_others_are_listed(tmp_path, name):
    build, shapes, where = PUBLISHED[name]
    network = on_meta(build)
    state = {wrapped(k, where): torch.empty(s, device="meta") for k, s in shapes.items()}
    load_state(network, dict(state), tmp_path)
    own = [k for k in network.state_dict() if "num_batches" not in k]
    assert len(own) == len(state)
    key, last = list(state)[-2:]
    del state[last]
    with pytest.raises(DissectionError, match=r"1 missing \("):
        load_state(network, dict(state), tmp_path)
    state |= {last: torch.empty(7, device="meta"), "another.weight": torch.empty(2, device="meta")}
    with pytest.raises(DissectionError, match=r"1 unexpected \(another\.weight\); 1 of another shape \("):  # fmt: skip
        load_state(network, state, tmp_path)
    assert key in state


def test_their_layers_have_the_published_sizes():
    assert maps(on_meta(lambda: resnet152(**ResNet18)), 224, ["0", "4", "5", "6", "7"]) == {
        "0": (64, 112, 112), "4": (64, 56, 56), "5": (128, 28, 28), "6": (256, 14, 14), "7": (512, 7, 7)
    }  # fmt: skip
    assert maps(on_meta(densenet161), 224, ["features.pool0", "features.transition2", "relu5"]) == {
        "features.pool0": (96, 56, 56), "features.transition2": (384, 14, 14), "relu5": (2208, 7, 7)
    }  # fmt: skip
    sizes = maps(on_meta(torchvision_alexnet), 224, ["relu1", "relu2", "relu5", "pool5"])
    assert list(sizes.values()) == [(64, 55, 55), (192, 27, 27), (256, 13, 13), (256, 6, 6)]


def test_resnet18_computes_basic_blocks():
    network = resnet152(5, 8, 5, (8, 6, 4, 4), (2, 1, 1, 1), expansion=1).eval()
    state = randomised(network)
    images = torch.rand(2, 3, 64, 64)
    x = F.relu(norm(F.conv2d(images, state["0.weight"], stride=2, padding=2), state, "1"))
    x = F.max_pool2d(x, 3, 2, 1)
    for stage, blocks in ((4, 2), (5, 1), (6, 1), (7, 1)):
        for block in range(blocks):
            key, stride = f"{stage}.{block}.0", 1 + (stage > 4)
            y = F.conv2d(x, state[f"{key}.0.0.weight"], stride=stride, padding=1)
            y = F.conv2d(norm(y, state, f"{key}.0.1").relu(), state[f"{key}.0.3.weight"], padding=1)
            if stage > 4:
                x = norm(F.conv2d(x, state[f"{key}.1.0.weight"], stride=stride), state, f"{key}.1.1")  # fmt: skip
            x = F.relu(x + norm(y, state, f"{key}.0.4"))
    expected = F.linear(x.mean((2, 3)), state["10.1.weight"], state["10.1.bias"])
    with torch.no_grad():
        torch.testing.assert_close(network(images), expected, rtol=1e-4, atol=1e-4)


def test_densenet_computes_as_it_is_published():
    network = densenet161(5, 6, 4, (2, 1)).eval()
    state = randomised(network)
    images = torch.rand(2, 3, 64, 64)

    def active(x: Tensor, key: str) -> Tensor:
        return F.relu(norm(x, state, f"features.{key}"))

    def conv(x: Tensor, key: str, padding: int = 0) -> Tensor:
        return F.conv2d(x, state[f"features.{key}.weight"], padding=padding)

    x = F.conv2d(images, state["features.conv0.weight"], stride=2, padding=3)
    x = F.max_pool2d(active(x, "norm0"), 3, 2, 1)
    layers = "denseblock1.denselayer1 denseblock1.denselayer2 transition1 denseblock2.denselayer1"
    for layer in layers.split():
        if "transition" in layer:
            x = F.avg_pool2d(conv(active(x, f"{layer}.norm"), f"{layer}.conv"), 2)
            continue
        y = conv(active(x, f"{layer}.norm1"), f"{layer}.conv1")
        x = torch.cat([x, conv(active(y, f"{layer}.norm2"), f"{layer}.conv2", 1)], 1)
    features = active(x, "norm5").mean((2, 3))
    expected = F.linear(features, state["classifier.weight"], state["classifier.bias"])
    with torch.no_grad():
        torch.testing.assert_close(network(images), expected, rtol=1e-4, atol=1e-5)


class Python2:
    """As pickle, but text is written as Python 2 wrote its strings."""

    class Pickler(pickle._Pickler):  # type: ignore[name-defined]
        dispatch = pickle._Pickler.dispatch.copy()  # type: ignore[attr-defined]

        def save_str(self, text):
            self.write(pickle.SHORT_BINSTRING + bytes([len(text)]) + text.encode("latin-1"))
            self.memoize(text)

        dispatch[str] = save_str

    @classmethod
    def dump(cls, value, file, protocol):
        cls.Pickler(file, protocol).dump(value)


def test_a_checkpoint_that_python_2_saved(tmp_path):
    """With what a training script keeps beside the state dict, in the format before zip files."""
    network = resnet152(5, 4, 3, (4, 4, 4, 4), (1, 1, 1, 1), expansion=1)
    state = {f"module.{k}": t for k, t in network.state_dict().items() if "num_batches" not in k}
    checkpoint = {"epoch": 90, "arch": "resnet18", "state_dict": state, "best_prec1": 54.7}
    path = tmp_path / "resnet18_places365.pth.tar"
    torch.save(checkpoint, path, pickle_module=Python2, _use_new_zipfile_serialization=False)
    assert b"U\x04arch" in path.read_bytes()
    sizes = {"stem": 4, "kernel": 3, "widths": [4] * 4, "blocks": [1] * 4, "expansion": 1}
    loaded = load_network(spec("resnet:resnet152", classes=5, **sizes), path, 2)
    assert all(t.equal(network.state_dict()[k]) for k, t in loaded.state_dict().items())


# ---------------------------------------------------------------------------------------------- Torch 7


class Storage:
    def __init__(self, values: np.ndarray):
        self.values = values


class Lua:
    """Writes objects as Torch 7 does: arrays as tensors, (class, fields) as modules."""

    def __init__(self):
        self.out, self.known, self.kept = bytearray(), {}, []

    def integer(self, *values: int, kind: str = "i"):
        self.out += struct.pack(f"<{len(values)}{kind}", *values)
        return self

    def text(self, value: str):
        self.integer(len(value)).out += value.encode()
        return self

    def write(self, value):
        if value is None:
            return self.integer(0)
        if isinstance(value, bool):
            return self.integer(5, value)
        if isinstance(value, int | float):
            self.integer(1).out += struct.pack("<d", value)
            return self
        if isinstance(value, str):
            return self.integer(2).text(value)
        seen = id(value) in self.known
        self.kept.append(value)  # or another object would have its id
        self.integer(3 if isinstance(value, dict) else 4)
        self.integer(self.known.setdefault(id(value), len(self.known) + 1))
        if seen:
            return self
        if isinstance(value, dict):
            self.integer(len(value))
            for key, item in value.items():
                self.write(key).write(item)
        elif isinstance(value, tuple):
            self.text("V 1").text(value[0]).write(value[1])
        elif isinstance(value, Storage):
            name = {"f": "Float", "d": "Double", "l": "Long"}[value.values.dtype.char]
            self.text(f"torch.{name}Storage").integer(
                len(value.values), kind="q"
            )  # as old as no version
            self.out += value.values.tobytes()
        else:
            base = value.base if isinstance(value.base, np.ndarray) else value
            name = {"f": "Float", "d": "Double"}[value.dtype.char]
            starts = [array.__array_interface__["data"][0] for array in (base, value)]
            first = (starts[1] - starts[0]) // value.itemsize
            self.text("V 1").text(f"torch.{name}Tensor").integer(value.ndim)
            self.integer(*value.shape, *(s // value.itemsize for s in value.strides), first + 1, kind="q")  # fmt: skip
            flat = np.lib.stride_tricks.as_strided(base, (base.size,), (base.itemsize,))
            self.write(Storage(flat) if value.size else None)
        return self


def numbered(parts) -> dict:
    return {
        "modules": dict(enumerate(parts, start=1)),
        "train": False,
        "_type": "torch.FloatTensor",
    }


def torch7(module: nn.Module) -> tuple:
    """The module as fb.resnet.torch builds it."""
    if isinstance(module, Residual):
        return "nn.ConcatTable", numbered(map(torch7, module))
    if isinstance(module, nn.Sequential):
        parts = list(module)
        if isinstance(parts[-1], nn.Linear):
            return torch7(parts[-1])
        if isinstance(parts[0], Residual):
            return "nn.Sequential", numbered(
                [torch7(parts[0]), ("nn.CAddTable", {"inplace": True}), torch7(parts[2])]
            )
        return "nn.Sequential", numbered(map(torch7, parts))
    arrays = {k: t.numpy().copy() for k, t in module.state_dict().items() if t.ndim}
    fields = {"gradInput": np.zeros(0, np.float32), "nInputPlane": 3, "gradBias": None} | arrays
    kind = {nn.Conv2d: "cudnn.SpatialConvolution", nn.BatchNorm2d: "nn.SpatialBatchNormalization", nn.ReLU: "nn.ReLU",
            nn.MaxPool2d: "nn.SpatialMaxPooling", nn.AdaptiveAvgPool2d: "cudnn.SpatialAveragePooling",
            nn.Identity: "nn.Identity", nn.Flatten: "nn.View", nn.Linear: "nn.Linear"}[type(module)]  # fmt: skip
    if kind == "nn.View":
        fields["size"] = Storage(np.array([2048]))
    return kind, fields


TINY = {"classes": 5, "stem": 4, "kernel": 3, "widths": [2, 3, 4, 2], "blocks": [1, 2, 1, 1]}


def test_a_network_of_torch7(tmp_path):
    network = resnet152(**TINY)
    randomised(network)
    path = tmp_path / "resnet50_places365.t7"
    path.write_bytes(Lua().write(torch7(network)).out)
    state = read_state(path)
    assert {"0.weight", "1.running_var", "5.1.0.0.6.weight", "4.0.0.1.1.bias", "10.bias"} <= set(state)  # fmt: skip
    loaded = load_network(spec("resnet:resnet152", **TINY), path, 2)
    for key, tensor in network.state_dict().items():
        assert tensor.equal(loaded.state_dict()[key]), key
    with pytest.raises(DissectionError, match=r"15 missing \(5\.2\.0\.0\.0\.weight"):  # fmt: skip
        load_network(spec("resnet:resnet152", **TINY | {"blocks": [1, 3, 1, 1]}), path, 2)


@pytest.mark.parametrize("depth", [50, 152])
def test_the_published_networks_of_torch7_fit(tmp_path, depth):
    """The numbers that fb.resnet.torch gives, of its bottlenecks and shortcuts."""
    network = on_meta(lambda: resnet152(blocks=BLOCKS[depth]))
    expected = {}
    for key, shape in resnet(depth).items():
        expected[network.own_key(key).replace("10.1.", "10.")] = torch.empty(shape, device="meta")  # fmt: skip
    assert "10.1.weight" not in expected
    load_state(network, expected, tmp_path)


def test_tensors_share_storages_and_have_strides(tmp_path):
    flat = np.arange(24.0)
    views = {"weight": flat[4:20].reshape(4, 4).T, "bias": flat[20:22], "running_mean": flat[22:]}
    (tmp_path / "a.t7").write_bytes(Lua().write(("nn.Linear", views)).out)
    state = read_state(tmp_path / "a.t7")
    assert all(np.array_equal(state[k], v) for k, v in views.items())


def function(lua: Lua) -> None:
    lua.integer(8, 1).text("code").write({})


def outside(lua: Lua) -> None:
    lua.known = dict.fromkeys("abc")  # numbers that are taken
    lua.integer(4, 1).text("V 1").text("nn.Linear").integer(3, 2, 1).write("weight")
    lua.integer(4, 3).text("V 1").text("torch.FloatTensor").integer(1).integer(9, 1, 1, kind="q")
    lua.write(Storage(np.zeros(8, np.float32)))


def endless(lua: Lua) -> None:
    lua.integer(4, 1).text("V 1").text("nn.Sequential").integer(3, 2, 1).write("modules")
    lua.integer(3, 3, 1).write(1).integer(4, 1)


def deep(lua: Lua) -> None:
    for number in range(50_000):
        lua.integer(3, number, 1)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (function, "an object of type 8; functions are not read"),
        (outside, "out of bounds"),
        (endless, "a tree of modules"),
        (lambda lua: lua.write(("os.execute", {"command": "true"})), "it wants os.execute; only tensors"),
        (lambda lua: lua.write(("nn.SpatialFullConvolution", {})), "it wants nn.SpatialFullConvolution"),
        (lambda lua: lua.write({"model": 1}), "a tree of modules"),
        (deep, "recursion"),
        (lambda lua: lua.write(("nn.Linear", {"weight": np.ones(9)})).out.__delitem__(slice(-1, None)), "left"),
    ],
)  # fmt: skip
def test_nothing_of_torch7_is_run(tmp_path, write, message):
    lua = Lua()
    write(lua)
    (tmp_path / "a.t7").write_bytes(lua.out)
    with pytest.raises(
        DissectionError, match=rf"a\.t7: no network that Torch 7 saved \(.*{message}"
    ):
        load_network(spec("resnet:resnet152", **TINY), tmp_path / "a.t7", 1)


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_damaged_files_of_torch7_end_in_an_error_that_names_them(tmp_path_factory, data):
    damaged = Lua().write(torch7(nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2)))).out
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.t7"
    path.write_bytes(damaged[: data.draw(st.integers(0, len(damaged)))] or b"\0")
    try:
        state, message = read_state(path), str(path)
    except DissectionError as error:
        state, message = {}, str(error)
    assert str(path) in message
    assert all(isinstance(tensor, Tensor) for tensor in state.values())


def converted(blocks: list[int]) -> tuple[dict[str, str], dict[str, int]]:
    """
    Layers with weights of a ResNet of Torch that was converted to Caffe -> their names here, and the ends of blocks ->
    their numbers: convolutions, batch norms, rectifiers, pools and sums are counted as they come, identities are not.
    """
    names, ends = {"caffe.SpatialConvolution_0": "0", "caffe.BN_1": "1"}, {}
    number = 4  # after a rectifier and a pool
    for stage, count in enumerate(blocks, start=4):
        for block in range(count):
            for place in (0, 3, 6):  # of which a rectifier follows the first two
                names[f"caffe.SpatialConvolution_{number}"] = f"{stage}.{block}.0.0.{place}"
                names[f"caffe.BN_{number + 1}"] = f"{stage}.{block}.0.0.{place + 1}"
                number += 3 if place < 6 else 2
            if block == 0:
                names[f"caffe.SpatialConvolution_{number}"] = f"{stage}.{block}.0.1.0"
                names[f"caffe.BN_{number + 1}"] = f"{stage}.{block}.0.1.1"
                number += 2
            ends[f"{stage}.{block}"] = number
            number += 2
    return names | {f"caffe.InnerProduct_{number + 2}": "10.1"}, ends


def test_the_converted_network_of_torch7_fits(tmp_path):
    """resnet-152-torch-*.caffemodel, which the thesis dissected; numbers as in the names of its layers."""
    names, ends = converted(BLOCKS[152])
    dissected = {"4.2": 34, "5.7": 116, "6.11": 238, "6.23": 358, "6.35": 478, "7.2": 510}
    assert {block: ends[block] for block in dissected} == dissected
    network = on_meta(resnet152)
    state = {}
    for name, own in names.items():
        for kind in BN:
            if (tensor := network.state_dict().get(f"{own}.{kind}")) is not None:
                one = [1] if "BN" in name else []  # an axis before those of a batch norm
                state[f"{name}.{kind}"] = torch.empty(*one, *tensor.shape, device="meta")
    load_state(network, dict(state), tmp_path)
    state["caffe.SpatialConvolution_0.bias"] = torch.empty(64, device="meta")
    del state["caffe.BN_509.running_var"]
    with pytest.raises(
        DissectionError, match=r"1 missing \(7\.2\.0\.0\.7\.running_var\); 1 unexpected"
    ):
        load_state(network, state, tmp_path)


def test_a_converted_network_of_torch7(tmp_path):
    network = resnet152(**TINY)
    own = randomised(network)
    layers = {
        name: [own[f"{path}.{kind}"].numpy()[None if "BN" in name else ...]
               for kind in BN if f"{path}.{kind}" in own]
        for name, path in converted(TINY["blocks"])[0].items()
    }  # fmt: skip
    assert [blob.shape for blob in layers["caffe.BN_1"]] == [(1, 4)] * 4
    (tmp_path / "resnet-152-torch-places365.caffemodel").write_bytes(caffemodel(layers))
    (tmp_path / "resnet-152-torch-places365.prototxt").write_text("name: 'a net'")
    loaded = load_network(spec("resnet:resnet152", **TINY), tmp_path, 2)
    assert all(t.equal(own[k]) for k, t in loaded.state_dict().items())


# ---------------------------------------------------------------------------------------------- self-supervised

WIDTHS = {"widths": [4, 4, 4, 4, 6]}
SHAPES = [(4, 3, 11, 11), (4, 2, 5, 5), (4, 4, 3, 3), (4, 2, 3, 3), (6, 2, 3, 3)]
TRUNK = {
    f"conv{n}": [np.random.default_rng(n).random(s, np.float32), np.zeros(s[0], np.float32)]
    for n, s in enumerate(SHAPES, start=1)
}
HEAD = [np.ones((3, 9), np.float32), np.ones(3, np.float32)]


@pytest.mark.parametrize(
    ("name", "heads"),
    [
        ("{}", ["fc6", "fc7", "fc8"]),  # most of them
        ("cls_{}", ["cls_fc6", "fc_egomotion"]),  # egomotion
        ("{}_s1", ["fc6_s1", "fc7", "fc8"]),  # puzzle, the first of nine towers
    ],
)
def test_trunks_of_self_supervised_caffe_models(tmp_path, name, heads):
    """Convolutions of Caffe's names load; fully connected layers are a task's, and left out; others are listed."""
    layers = {name.format(key): blobs for key, blobs in TRUNK.items()} | dict.fromkeys(heads, HEAD)
    if name == "{}_s1":
        layers |= {f"{key}_s9": blobs for key, blobs in TRUNK.items()}
    path = tmp_path / "weakly.caffemodel"
    path.write_bytes(caffemodel(layers))
    network = load_network(spec("pretext:trunk", **WIDTHS), path, 1)
    for key, (weight, _) in TRUNK.items():
        assert np.array_equal(network.state_dict()[f"{key}.weight"], weight)
    path.write_bytes(caffemodel(layers | {"motion_conv": HEAD}))
    with pytest.raises(DissectionError, match=r"2 unexpected \(motion_conv\.weight, motion_conv\.bias\)"):  # fmt: skip
        load_network(spec("pretext:trunk", **WIDTHS), path, 1)
    del layers[name.format("conv5")]
    path.write_bytes(caffemodel(layers))
    with pytest.raises(DissectionError, match=r"2 missing \(conv5\.weight, conv5\.bias\)"):
        load_network(spec("pretext:trunk", **WIDTHS), path, 1)


def test_the_trunk_has_the_published_size():
    assert maps(on_meta(trunk), 227, ["relu5"]) == {"relu5": (256, 13, 13)}
