"""VGG-16, GoogLeNet, ResNet-152 and CaffeNet: published keys, sizes and sums; weights of Caffe models."""

import re
import struct

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from dissection.config import Input, Network
from dissection.errors import DissectionError
from dissection.networks import caffe, load_network
from dissection.networks.alexnet import alexnet
from dissection.networks.googlenet import googlenet
from dissection.networks.resnet import ResNet, resnet152
from dissection.networks.vgg import vgg16
from dissection.probe import Probe, split

MINI = {
    "vgg:vgg16": {
        "size": 64,
        "widths": [4, 6, 8, 8, 10],
        "hidden": 12,
        "stride": 2,
        "pools": [1, 2, 5],
    },
    "googlenet:googlenet": {"width": 0.05, "pools": [1, 2]},
    "resnet:resnet152": {
        "stem": 8,
        "kernel": 5,
        "widths": [4, 6, 8, 10],
        "blocks": [1, 2, 2, 1],
        "strides": [1, 2, 1, 1],
    },
    "alexnet:alexnet": {"size": 67, "widths": [4, 6, 8, 8, 6], "hidden": 8},
}
BN = ("weight", "bias", "running_mean", "running_var")


def spec(module: str, classes: int = 5, **arguments) -> Network:
    return Network(
        module=f"dissection.networks.{module}",
        arguments=MINI[module] | {"classes": classes} | arguments,
        input=Input(size=64),
        layers={"any": "any"},
    )


def on_meta(build, *arguments) -> nn.Module:
    with torch.device("meta"):
        return build(*arguments).eval()


def maps(network: nn.Module, size: int, layers: list[str]) -> dict[str, tuple[int, ...]]:
    with Probe(network, layers) as probe:
        probe(torch.empty(1, 3, size, size, device=next(network.parameters()).device))
    return {layer: tuple(kept.shape[1:]) for layer, kept in probe.kept.items()}


@pytest.mark.parametrize(
    ("build", "parameters"),
    [(alexnet, 60_965_224), (vgg16, 138_357_544), (googlenet, 6_998_552), (resnet152, 60_192_808)],
)
def test_published_parameter_counts_with_1000_classes(build, parameters):
    assert sum(p.numel() for p in on_meta(build, 1000).parameters()) == parameters


def shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {k: tuple(t.shape) for k, t in network.state_dict().items() if "num_batches" not in k}


def test_vgg16_has_the_published_layout():
    convs = [
        "1_1",
        "1_2",
        "2_1",
        "2_2",
        "3_1",
        "3_2",
        "3_3",
        "4_1",
        "4_2",
        "4_3",
        "5_1",
        "5_2",
        "5_3",
    ]
    widths = [64, 64, 128, 128, *3 * [256], *6 * [512]]
    expected: dict[str, tuple[int, ...]] = {}
    for name, before, width in zip(convs, [3, *widths], widths, strict=False):
        expected[f"features.conv{name}.weight"] = (width, before, 3, 3)
        expected[f"features.conv{name}.bias"] = (width,)
    for name, before, width in (("fc6", 25088, 4096), ("fc7", 4096, 4096), ("fc8a", 4096, 365)):
        expected[f"classifier.{name}.weight"] = (width, before)
        expected[f"classifier.{name}.bias"] = (width,)
    network = on_meta(vgg16)
    assert shapes(network) == expected
    assert maps(network, 224, ["features.relu1_2", "features.relu5_3", "features.pool5"]) == {
        "features.relu1_2": (64, 224, 224),
        "features.relu5_3": (512, 14, 14),
        "features.pool5": (512, 7, 7),
    }


def test_resnet152_has_the_published_layout():
    """As torch7's ConcatTable nests: stage, block, 0, branch (0 the bottleneck, 1 the shortcut), module."""
    expected: dict[str, tuple[int, ...]] = {"0.weight": (64, 3, 7, 7)}
    expected |= {f"1.{kind}": (64,) for kind in BN}
    channels = 64
    for stage, (width, blocks) in enumerate([(64, 3), (128, 8), (256, 36), (512, 3)], start=4):
        for block in range(blocks):
            convs = [
                ("0.0", width, channels, 1),
                ("0.3", width, width, 3),
                ("0.6", 4 * width, width, 1),
            ]
            if block == 0:
                convs.append(("1.0", 4 * width, channels, 1))
            for name, out, into, kernel in convs:
                path = f"{stage}.{block}.0.{name}"
                expected[f"{path}.weight"] = (out, into, kernel, kernel)
                norm = f"{path[:-1]}{int(path[-1]) + 1}"
                expected |= {f"{norm}.{kind}": (out,) for kind in BN}
            channels = 4 * width
    expected |= {"10.1.weight": (365, 2048), "10.1.bias": (365,)}
    network = on_meta(resnet152)
    assert shapes(network) == expected
    assert maps(network, 224, ["0", "4", "5", "6", "7"]) == {
        "0": (64, 112, 112),
        "4": (256, 56, 56),
        "5": (512, 28, 28),
        "6": (1024, 14, 14),
        "7": (2048, 7, 7),
    }


def test_resnet152_has_torchvisions_keys_too():
    """conv1, bn1, layer1 ... layer4 of bottlenecks with a downsample in the first, fc."""
    theirs = {"conv1.weight", "fc.weight", "fc.bias", *(f"bn1.{kind}" for kind in BN)}
    for layer, blocks in enumerate([3, 8, 36, 3], start=1):
        for block in range(blocks):
            path = f"layer{layer}.{block}"
            norms = [f"{path}.bn{i}" for i in (1, 2, 3)]
            theirs |= {f"{path}.conv{i}.weight" for i in (1, 2, 3)}
            if block == 0:
                theirs.add(f"{path}.downsample.0.weight")
                norms.append(f"{path}.downsample.1")
            theirs |= {f"{norm}.{kind}" for norm in norms for kind in BN}
    network = on_meta(resnet152, 1000)
    assert isinstance(network, ResNet)
    own = [network.own_key(key) for key in theirs]
    assert len(set(own)) == len(theirs)
    assert set(own) == shapes(network).keys()
    assert network.own_key("layer3.35.conv3.weight") == "6.35.0.0.6.weight"
    assert shapes(network)["6.35.0.0.6.weight"] == (1024, 256, 1, 1)
    assert network.own_key("layer2.0.downsample.1.bias") == "5.0.0.1.1.bias"


def test_googlenet_has_the_sizes_of_caffe():
    """Its pools round up: 112 -> 56 -> 28 -> 14 -> 7, where rounding down would end in 6."""
    network = on_meta(googlenet)
    layers = [
        "conv1",
        "pool1",
        "conv2.norm2",
        "inception_3a",
        "inception_3b",
        "inception_4e",
        "inception_5b",
    ]
    assert maps(network, 224, layers) == {
        "conv1": (64, 112, 112),
        "pool1": (64, 56, 56),
        "conv2.norm2": (192, 56, 56),
        "inception_3a": (256, 28, 28),
        "inception_3b": (480, 28, 28),
        "inception_4e": (832, 14, 14),
        "inception_5b": (1024, 7, 7),
    }
    found = shapes(network)
    assert found["conv1.7x7_s2.weight"] == (64, 3, 7, 7)
    assert found["conv2.3x3_reduce.weight"] == (64, 64, 1, 1)
    assert found["inception_4d.5x5_reduce.weight"] == (32, 512, 1, 1)
    assert found["inception_5b.pool_proj.weight"] == (128, 832, 1, 1)
    assert found["loss3.classifier.weight"] == (365, 1024)
    assert len(found) == 2 * (3 + 9 * 6 + 1)


def test_pools_of_caffenet_divide_evenly():
    """Rounding up as Caffe does changes nothing at 227 pixels."""
    for before, after in ((55, 27), (27, 13), (13, 6)):
        assert (before - 3) % 2 == 0
        assert (before - 3) // 2 + 1 == after
    assert maps(on_meta(alexnet), 227, ["pool1", "pool2", "pool5"]) == {
        "pool1": (96, 27, 27),
        "pool2": (256, 13, 13),
        "pool5": (256, 6, 6),
    }


@pytest.mark.parametrize(
    ("module", "layer", "expected"),
    [
        ("vgg:vgg16", "features.relu5_3", (10, 8, 8)),
        ("googlenet:googlenet", "inception_5b", (50, 8, 8)),
        ("resnet:resnet152", "7", (40, 8, 8)),
    ],
)
def test_small_ones_can_be_dissected_and_cut(module, layer, expected):
    norm = {} if "resnet" in module else {"batch_norm": True}
    network = load_network(spec(module, **norm), None, 1)
    assert maps(network, 64, [layer])[layer] == expected
    images = torch.rand(2, 3, 64, 64)
    with Probe(network, [layer]) as probe:
        scores = probe(images)
    assert scores.shape == (2, 5)
    assert probe.kept[layer].min() == 0  # after the rectifier
    head, tail = split(network, layer)
    assert torch.allclose(tail(head(images), probe.kept[layer]), scores, atol=1e-6)


def test_too_small_an_input_is_refused():
    with pytest.raises(DissectionError, match="raise size"):
        vgg16(size=16)


# The sums, from the published description and the published keys


def norm(x: Tensor, state: dict[str, Tensor], key: str) -> Tensor:
    weight, bias, mean, variance = (state[f"{key}.{kind}"] for kind in BN)
    return F.batch_norm(x, mean, variance, weight, bias)


def randomised(network: nn.Module) -> dict[str, Tensor]:
    """Its state dict, with batch norms that do something."""
    generator = torch.Generator().manual_seed(3)
    state = network.state_dict()
    for tensor in state.values():
        if tensor.ndim == 1 and tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    return state


def test_resnet152_computes_residual_bottlenecks():
    network = load_network(spec("resnet:resnet152"), None, 1)
    state = randomised(network)
    images = torch.rand(2, 3, 64, 64)
    x = F.relu(norm(F.conv2d(images, state["0.weight"], stride=2, padding=2), state, "1"))
    x = F.max_pool2d(x, 3, 2, 1)
    for stage, (blocks, first) in enumerate([(1, 1), (2, 2), (2, 1), (1, 1)], start=4):
        for block in range(blocks):
            stride = first if block == 0 else 1
            key = f"{stage}.{block}.0"
            y = F.relu(norm(F.conv2d(x, state[f"{key}.0.0.weight"]), state, f"{key}.0.1"))
            y = F.conv2d(y, state[f"{key}.0.3.weight"], stride=stride, padding=1)
            y = F.relu(norm(y, state, f"{key}.0.4"))
            y = norm(F.conv2d(y, state[f"{key}.0.6.weight"]), state, f"{key}.0.7")
            if block == 0:
                x = F.conv2d(x, state[f"{key}.1.0.weight"], stride=stride)
                x = norm(x, state, f"{key}.1.1")
            x = F.relu(x + y)
    expected = F.linear(x.mean((2, 3)), state["10.1.weight"], state["10.1.bias"])
    with torch.inference_mode():
        assert torch.allclose(network(images), expected, rtol=1e-4, atol=1e-4)


def test_googlenet_computes_as_its_prototxt_says():
    network = load_network(spec("googlenet:googlenet", pools=[1, 2, 3, 4]), None, 1)
    state = network.state_dict()

    def conv(x: Tensor, key: str, padding: int = 0, stride: int = 1) -> Tensor:
        return F.relu(
            F.conv2d(x, state[f"{key}.weight"], state[f"{key}.bias"], stride, padding=padding)
        )

    def pool(x: Tensor) -> Tensor:
        return F.max_pool2d(x, 3, 2, ceil_mode=True)

    def lrn(x: Tensor) -> Tensor:
        """Caffe's: x / (1 + alpha / 5 * the sum of 5 squares) ^ beta."""
        squares = F.pad(x**2, (0, 0, 0, 0, 2, 2)).unfold(1, 5, 1).sum(-1)
        return x / (1 + 1e-4 / 5 * squares) ** 0.75

    images = 100 * torch.rand(2, 3, 64, 64)
    x = lrn(pool(conv(images, "conv1.7x7_s2", 3, 2)))
    x = pool(lrn(conv(conv(x, "conv2.3x3_reduce"), "conv2.3x3", 1)))
    for name in ["3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"]:
        key = f"inception_{name}"
        if name in ("4a", "5a"):
            x = pool(x)
        x = torch.cat(
            [
                conv(x, f"{key}.1x1"),
                conv(conv(x, f"{key}.3x3_reduce"), f"{key}.3x3", 1),
                conv(conv(x, f"{key}.5x5_reduce"), f"{key}.5x5", 2),
                conv(F.max_pool2d(x, 3, 1, 1), f"{key}.pool_proj"),
            ],
            1,
        )
    expected = F.linear(
        x.mean((2, 3)), state["loss3.classifier.weight"], state["loss3.classifier.bias"]
    )
    with torch.inference_mode():
        assert torch.allclose(network(images), expected, rtol=1e-4, atol=1e-5)


# Caffe models, written by an encoder of the protobuf wire format


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value % 128 + 128)
        value //= 128
    return bytes(out) + bytes([value])


def field(number: int, content: bytes | int) -> bytes:
    if isinstance(content, int):
        return varint(8 * number) + varint(content)
    return varint(8 * number + 2) + varint(len(content)) + content


def blob(array: np.ndarray, form: str = "shape") -> bytes:
    if form == "old":
        sizes = (1, 1, 1, 1, *array.shape)[-4:]
        header = b"".join(field(i, n) for i, n in enumerate(sizes, start=1))
    else:
        header = field(7, field(1, b"".join(varint(n) for n in array.shape)))
    if form == "double":
        return header + field(8, array.astype("<f8").tobytes())
    if form == "single":  # values that are not packed, with dimensions that are not, after them
        values = b"".join(b"\x2d" + struct.pack("<f", v) for v in array.ravel())
        return values + field(7, b"".join(field(1, n) for n in array.shape))
    return header + field(5, array.astype("<f4").tobytes())


def caffemodel(layers: dict[str, list[np.ndarray]], form: str = "shape") -> bytes:
    """A NetParameter with a layer that has no weights, and fields that a reader has to pass over."""
    number, name, blobs = (2, 4, 6) if form == "old" else (100, 1, 7)
    out = field(1, b"a net") + field(3, b"data") + field(number, field(name, b"data"))
    for key, arrays in layers.items():
        header = field(name, key.encode()) + field(2, b"other") + b"\x5d" + struct.pack("<f", 1)
        out += field(number, header + b"".join(field(blobs, blob(a, form)) for a in arrays))
    return out


@st.composite
def models(draw) -> dict[str, list[np.ndarray]]:
    generator = np.random.default_rng(draw(st.integers(0, 99)))
    size = st.integers(2, 4)
    out = {}
    for name in draw(
        st.lists(st.sampled_from(["conv1/7x7", "fc6", "é", "a/b/c"]), min_size=1, unique=True)
    ):
        shape = tuple(draw(st.lists(size, min_size=1, max_size=4)))
        out[name] = [generator.random(shape, np.float32), generator.random(shape[0], np.float32)]
    return out


@given(models(), st.sampled_from(["shape", "old", "double", "single"]))
@settings(max_examples=100, deadline=None)
def test_layers_come_back_as_they_were_written(tmp_path_factory, layers, form):
    path = tmp_path_factory.getbasetemp() / "net.caffemodel"
    path.write_bytes(caffemodel(layers, form))
    found = caffe.read_layers(path)
    assert found.keys() == layers.keys()
    for key, arrays in layers.items():
        assert all(np.array_equal(a, b) for a, b in zip(found[key], arrays, strict=True))
        assert all(a.dtype == np.float32 for a in found[key])
        assert f"{key.replace('/', '.')}.weight" in caffe.read_state(path)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_damaged_models_end_in_an_error_that_names_them(tmp_path_factory, data):
    """Cut anywhere, with bytes changed anywhere, or of any bytes at all."""
    whole = caffemodel(data.draw(models()))
    damaged = bytearray(
        data.draw(
            st.integers(0, len(whole) - 1).map(lambda n: whole[:n]) | st.just(whole) | st.binary()
        )
    )
    for _ in range(data.draw(st.integers(0, 3)) if damaged else 0):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.caffemodel"
    path.write_bytes(damaged)
    try:
        layers = caffe.read_layers(path)
    except DissectionError as error:
        layers, message = {}, str(error)
    assert layers or str(path) in message
    assert all(a.dtype == np.float32 for arrays in layers.values() for a in arrays)


def test_a_truncated_model_is_refused(tmp_path):
    whole = caffemodel({"conv1": [np.ones((2, 3, 5, 5)), np.ones(2)]})
    path = tmp_path / "net.caffemodel"
    path.write_bytes(whole[:-1])
    with pytest.raises(
        DissectionError, match=r"net\.caffemodel: not a complete Caffe model .*left"
    ):
        load_network(spec("alexnet:alexnet"), path, 1)


def caffe_layers(state: dict[str, Tensor], rename) -> dict[str, list[np.ndarray]]:
    """A state dict as Caffe has it: {rename(module): [weight, bias]}."""
    out: dict[str, list[np.ndarray]] = {}
    for key, tensor in state.items():
        out.setdefault(rename(key.rpartition(".")[0]), []).append(tensor.numpy())
    return out


@pytest.mark.parametrize("form", ["shape", "old"])
@pytest.mark.parametrize(
    ("module", "rename", "names"),
    [
        ("alexnet:alexnet", lambda key: key, {"conv1", "conv5", "fc6", "fc8"}),
        (
            "vgg:vgg16",
            lambda key: key.split(".")[1].replace("fc8a", "fc8"),
            {"conv1_1", "conv5_3", "fc6", "fc8"},
        ),
        (
            "googlenet:googlenet",
            lambda key: key.replace(".", "/"),
            {"conv1/7x7_s2", "inception_5b/pool_proj", "loss3/classifier"},
        ),
    ],
)
def test_the_caffe_zoo_loads_by_its_own_names(tmp_path, module, rename, names, form):
    published = load_network(spec(module), None, 1)
    layers = caffe_layers(published.state_dict(), rename)
    assert names <= layers.keys()
    if "googlenet" in module:  # as trained, with the classifiers that training alone needs
        layers |= {
            "loss1/conv": [np.ones((2, 3))],
            "loss2/classifier": [np.ones((2, 3)), np.ones(2)],
        }
    path = tmp_path / "zoo.caffemodel"
    path.write_bytes(caffemodel(layers, form))
    network = load_network(spec(module), path, 2)
    assert all(torch.equal(t, published.state_dict()[k]) for k, t in network.state_dict().items())


def test_vgg16_takes_the_keys_of_torchvision(tmp_path):
    state, numbers = {}, {"features": -1, "classifier": -1}
    pooled = {"conv2_1", "conv3_1", "conv4_1", "conv5_1"}  # each follows a pool there
    network = vgg16(**MINI["vgg:vgg16"] | {"classes": 5, "pools": [1, 2, 3, 4, 5], "stride": 1})
    for key, tensor in network.state_dict().items():
        group, name, kind = key.split(".")
        if kind == "weight":
            step = 3 if group == "classifier" else 2 + (name in pooled)
            numbers[group] += 1 if numbers[group] < 0 else step
        state[f"{group}.{numbers[group]}.{kind}"] = tensor
    torchvision = "0 2 5 7 10 12 14 17 19 21 24 26 28 0 3 6"  # how it numbers the modules
    assert " ".join(re.findall(r"\d+", " ".join(k for k in state if "weight" in k))) == torchvision
    path = tmp_path / "vgg16.pth"
    torch.save(state, path)
    loaded = load_network(spec("vgg:vgg16", pools=[1, 2, 3, 4, 5], stride=1), path, 2)
    assert all(torch.equal(t, network.state_dict()[k]) for k, t in loaded.state_dict().items())


def resnet_layers(widths, blocks, classes, stem=64, kernel=7) -> dict[str, list[tuple[int, ...]]]:
    """Layer -> shapes of its blobs, as in the published ResNet-152-deploy.prototxt."""

    def convolution(name, norm, *shape):
        width = shape[0]
        return {
            name: [shape], f"bn{norm}": [(width,), (width,), (1,)], f"scale{norm}": [(width,), (width,)]
        }  # fmt: skip

    layers = convolution("conv1", "_conv1", stem, 3, kernel, kernel)
    channels = stem
    for stage, (width, count) in enumerate(zip(widths, blocks, strict=True), start=2):
        letters = count < 4 and "abc"
        for b in range(count):
            block = f"{stage}{letters[b] if letters else 'a' if b == 0 else f'b{b}'}_branch"
            convolutions = [
                ("2a", width, channels, 1),
                ("2b", width, width, 3),
                ("2c", 4 * width, width, 1),
            ]
            if b == 0:
                convolutions.append(("1", 4 * width, channels, 1))
            for branch, out, into, side in convolutions:
                layers |= convolution(
                    f"res{block}{branch}", f"{block}{branch}", out, into, side, side
                )
            channels = 4 * width
    return layers | {f"fc{classes}": [(classes, channels), (classes,)]}


@pytest.mark.parametrize("biased", [False, True])
def test_resnet152_of_caffe(tmp_path, biased):
    """
    Its own names, weighted sums in batch norm, strides in the first convolution, a pool that rounds up; biased: as the
    first convolution of ResNet-50 is.
    """
    arguments = {"blocks": [2, 4, 2, 2], "caffe": True}
    generator = np.random.default_rng(0)
    shapes = resnet_layers(MINI["resnet:resnet152"]["widths"], [2, 4, 2, 2], 5, stem=8, kernel=5)
    layers = {
        name: [generator.random(shape, np.float32) + 0.5 for shape in found]
        for name, found in shapes.items()
    }
    layers["conv1"] += [generator.random(8, np.float32)] * biased
    path = tmp_path / "ResNet-152-model.caffemodel"
    path.write_bytes(caffemodel(layers))
    network = load_network(spec("resnet:resnet152", **arguments), path, 1)

    def normed(x, name, stride=1, pad=0):
        own = map(torch.from_numpy, layers["conv1" if name == "_conv1" else f"res{name}"])
        x = F.conv2d(x, *own, stride=stride, padding=pad)
        mean, variance, weight = map(torch.from_numpy, layers[f"bn{name}"])
        gamma, beta = map(torch.from_numpy, layers[f"scale{name}"])
        return F.batch_norm(x, mean / weight, variance / weight, gamma, beta)

    images = torch.rand(2, 3, 33, 33, generator=torch.Generator().manual_seed(0))
    x = F.max_pool2d(normed(images, "_conv1", 2, 2).relu(), 3, 2, ceil_mode=True)
    assert x.shape[2] == 8
    for stage, names in ((2, "a b"), (3, "a b1 b2 b3"), (4, "a b"), (5, "a b")):
        for block in names.split():
            name, stride = f"{stage}{block}_branch", 2 if (stage, block) == (3, "a") else 1
            y = normed(x, f"{name}2a", stride).relu()
            y = normed(normed(y, f"{name}2b", 1, 1).relu(), f"{name}2c")
            x = (y + (normed(x, f"{name}1", stride) if block == "a" else x)).relu()
    weight, bias = map(torch.from_numpy, layers["fc5"])
    with torch.inference_mode():
        assert torch.allclose(network(images), x.mean((2, 3)) @ weight.T + bias, rtol=1e-4)


PUBLISHED = {  # deploy prototxts of the Places365 networks: layer, shape of its weight; all with a bias but ResNet's
    "alexnet:alexnet": """
        conv1 96 3 11 11, conv2 256 48 5 5, conv3 384 256 3 3, conv4 384 192 3 3, conv5 256 192 3 3,
        fc6 4096 9216, fc7 4096 4096, fc8 365 4096""",
    "vgg:vgg16": """
        conv1_1 64 3 3 3, conv1_2 64 64 3 3, conv2_1 128 64 3 3, conv2_2 128 128 3 3, conv3_1 256 128 3 3,
        conv3_2 256 256 3 3, conv3_3 256 256 3 3, conv4_1 512 256 3 3, conv4_2 512 512 3 3, conv4_3 512 512 3 3,
        conv5_1 512 512 3 3, conv5_2 512 512 3 3, conv5_3 512 512 3 3, fc6 4096 25088, fc7 4096 4096, fc8a 365 4096""",
    "googlenet:googlenet": "conv1/7x7_s2 64 3 7 7, conv2/3x3_reduce 64 64 1 1, conv2/3x3 192 64 3 3,"
    + ",".join(
        f"""inception_{name}/1x1 {a} {n} 1 1, inception_{name}/3x3_reduce {b} {n} 1 1, inception_{name}/3x3 {c} {b} 3 3,
        inception_{name}/5x5_reduce {d} {n} 1 1, inception_{name}/5x5 {e} {d} 5 5,
        inception_{name}/pool_proj {f} {n} 1 1"""
        for name, n, a, b, c, d, e, f in (
            ("3a", 192, 64, 96, 128, 16, 32, 32), ("3b", 256, 128, 128, 192, 32, 96, 64),
            ("4a", 480, 192, 96, 208, 16, 48, 64), ("4b", 512, 160, 112, 224, 24, 64, 64),
            ("4c", 512, 128, 128, 256, 24, 64, 64), ("4d", 512, 112, 144, 288, 32, 64, 64),
            ("4e", 528, 256, 160, 320, 32, 128, 128), ("5a", 832, 256, 160, 320, 32, 128, 128),
            ("5b", 832, 384, 192, 384, 48, 128, 128),
        )
    ) + ", loss3/classifier 365 1024",
}  # fmt: skip


def published_layers(module: str) -> dict[str, list[tuple[int, ...]]]:
    if module not in PUBLISHED:
        return resnet_layers([64, 128, 256, 512], [3, 8, 36, 3], 365)
    lines = (line.split() for line in PUBLISHED[module].split(","))
    return {name: [tuple(map(int, shape)), (int(shape[0]),)] for name, *shape in lines}


def sparse_caffemodel(layers: dict[str, list[tuple[int, ...]]], path) -> None:
    """A model of zeros, which take no place on disk."""
    with path.open("wb") as file:
        for name, shapes in layers.items():
            heads = []
            for shape in shapes:
                size = 4 * int(np.prod(shape))
                inside = (
                    field(7, field(1, b"".join(varint(n) for n in shape)))
                    + varint(42)
                    + varint(size)
                )
                heads.append((varint(58) + varint(len(inside) + size) + inside, size))
            layer = field(1, name.encode())
            file.write(
                varint(802) + varint(len(layer) + sum(len(h) + size for h, size in heads)) + layer
            )
            for head, size in heads:
                file.write(head)
                file.seek(size, 1)
        file.truncate()


@pytest.mark.filterwarnings("ignore:.*copying from a non-meta parameter")
@pytest.mark.parametrize("module", [*PUBLISHED, "resnet:resnet152"])
def test_published_models_fit_at_their_full_size(tmp_path, module):
    path = tmp_path / "full.caffemodel"
    layers = published_layers(module)
    sparse_caffemodel(layers, path)
    arguments = {"caffe": True} if "resnet" in module else {}
    full = Network(module=f"dissection.networks.{module}", arguments=arguments,
                   input=Input(size=224), layers={"any": "any"})  # fmt: skip
    with torch.device("meta"):
        network = load_network(full, path, 1)
    named = {name: kind for name, kind in network.state_dict().items() if "num_batches" not in name}
    counted = sum(len(shapes) - (len(shapes) == 3) for shapes in layers.values())
    assert len(named) == counted


def test_resnet152_takes_its_published_file(tmp_path):
    """Wrapped or not; with the batch counts of later versions of torch or without."""
    published = load_network(spec("resnet:resnet152"), None, 1)
    state = {k: t for k, t in published.state_dict().items() if "num_batches" not in k}
    for saved in (
        state,
        {"state_dict": {f"module.{k}": t for k, t in published.state_dict().items()}},
    ):
        torch.save(saved, tmp_path / "resnet152.pth")
        network = load_network(spec("resnet:resnet152"), tmp_path / "resnet152.pth", 2)
        assert all(torch.equal(t, state[k]) for k, t in network.state_dict().items() if k in state)


def test_keys_that_no_network_knows_are_named(tmp_path):
    layers = caffe_layers(vgg16(**MINI["vgg:vgg16"]).state_dict(), lambda key: key.split(".")[1])
    path = tmp_path / "zoo.caffemodel"
    path.write_bytes(caffemodel(layers | {"loss1/conv": [np.ones(3)]}))
    with pytest.raises(DissectionError, match=r"1 unexpected \(loss1\.conv\.weight\)"):
        load_network(spec("vgg:vgg16", 365), path, 1)
