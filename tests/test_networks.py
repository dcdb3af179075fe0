"""Networks: published layouts, weights formats and their errors, preprocessing geometry."""

import io
import os
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from dissection.config import Input, Network
from dissection.errors import DissectionError
from dissection.networks import Preprocess, check_layers, load_network, read_mean_image
from dissection.networks.alexnet import alexnet
from dissection.networks.squeezenet import read_params, squeezenet

MINI = {"classes": 5, "size": 64, "widths": [8, 12, 16, 12, 8], "hidden": 16}
MINI |= {"kernel": 5, "stride": 2, "padding": 2}
STREET = Path(__file__).parents[1] / "../shared/street"


def spec(module="dissection.networks.alexnet:alexnet", **arguments) -> Network:
    return Network(
        module=module, arguments=arguments, input=Input(size=64), layers={"conv5": "relu5"}
    )


def shapes(network: nn.Module, x: torch.Tensor) -> dict[str, tuple[int, ...]]:
    """Output shape of every top-level module."""
    found = {}
    for name, module in network.named_children():
        x = module(x)
        found[name] = tuple(x.shape[1:])
    return found


def test_alexnet_full_size_has_the_published_layout():
    network = alexnet()
    assert {k: tuple(t.shape) for k, t in network.state_dict().items() if "weight" in k} == {
        "conv1.weight": (96, 3, 11, 11),
        "conv2.weight": (256, 48, 5, 5),
        "conv3.weight": (384, 256, 3, 3),
        "conv4.weight": (384, 192, 3, 3),
        "conv5.weight": (256, 192, 3, 3),
        "fc6.weight": (4096, 9216),
        "fc7.weight": (4096, 4096),
        "fc8.weight": (365, 4096),
    }
    found = shapes(network.eval(), torch.zeros(1, 3, 227, 227))
    assert found["relu1"] == (96, 55, 55)
    assert found["norm1"] == (96, 27, 27)
    assert found["relu5"] == (256, 13, 13)
    assert found["pool5"] == (256, 6, 6)
    assert found["fc8"] == (365,)


@pytest.mark.parametrize(
    ("changes", "present", "absent"),
    [
        ({}, {"norm1", "norm2", "drop6", "fc7"}, {"bn1"}),
        ({"lrn": False, "batch_norm": True, "dropout": 0}, {"bn1", "bn5"}, {"norm1", "drop6"}),
        ({"gap": True, "widths": [8, 12, 16, 12, 24]}, {"pool5", "fc8"}, {"fc6", "fc7"}),
    ],
)
def test_alexnet_variants(changes, present, absent):
    network = alexnet(**MINI | changes)
    names = {name for name, _ in network.named_children()}
    assert present <= names
    assert not absent & names
    found = shapes(network.eval(), torch.zeros(2, 3, 64, 64))
    assert found["fc8"] == (5,)
    assert found["relu5"][1:] == (7, 7)


def test_random_weights_depend_on_the_seed_alone():
    torch.manual_seed(99)
    one = load_network(spec(**MINI), None, 3).state_dict()
    after = torch.rand(1)
    two = load_network(spec(**MINI), None, 3).state_dict()
    assert all(torch.equal(one[k], two[k]) for k in one)
    three = load_network(spec(**MINI), None, 4).state_dict()
    assert not torch.equal(one["conv1.weight"], three["conv1.weight"])
    torch.manual_seed(99)
    assert torch.equal(after, torch.rand(1))  # the caller's random numbers go on as if nothing was


@pytest.mark.parametrize("form", ["safetensors", "half", "pth", "legacy", "parallel", "wrapped"])
def test_weights_formats(tmp_path, form):
    state = load_network(spec(**MINI), None, 1).state_dict()
    if form in ("safetensors", "half"):
        path = tmp_path / "w.safetensors"
        save_file({k: t.half() if form == "half" else t for k, t in state.items()}, path)
    elif form in ("pth", "legacy", "parallel"):
        path = tmp_path / "w.pth"
        prefix = "module." if form == "parallel" else ""
        # what was published before torch 1.6 is no zip file
        torch.save({f"{prefix}{k}": t for k, t in state.items()}, path,
                   _use_new_zipfile_serialization=form != "legacy")  # fmt: skip
    else:
        path = tmp_path / "w.pth.tar"
        torch.save({"epoch": 3, "state_dict": {f"module.{k}": t for k, t in state.items()}}, path)
    network = load_network(spec(**MINI), path, 2)
    assert not network.training
    for key, tensor in network.state_dict().items():
        assert tensor.dtype == torch.float32
        assert torch.allclose(tensor, state[key], rtol=0, atol=1e-3 if form == "half" else 0)


def test_old_batch_norm_without_counts_is_accepted(tmp_path):
    arguments = MINI | {"batch_norm": True}
    state = alexnet(**arguments).state_dict()
    path = tmp_path / "w.safetensors"
    save_file({k: t for k, t in state.items() if "num_batches" not in k}, path)
    load_network(spec(**arguments), path, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("conv2.bias"), r"1 missing \(conv2.bias\)"),
        (lambda s: s.update(extra=torch.zeros(1)), r"1 unexpected \(extra\)"),
        (lambda s: s.update({"fc8.bias": torch.zeros(7)}), r"fc8.bias \(7,\) instead of \(5,\)"),
    ],
)
def test_mismatching_keys_are_named_in_one_line(tmp_path, change, message):
    state = alexnet(**MINI).state_dict()
    change(state)
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(DissectionError, match=message) as caught:
        load_network(spec(**MINI), tmp_path / "w.safetensors", 1)
    assert "\n" not in str(caught.value)


class Evil:
    def __reduce__(self):
        return os.system, ("touch evil",)


@pytest.mark.parametrize("suffix", [".pth", ".params"])
def test_pickled_code_is_refused(tmp_path, monkeypatch, suffix):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / f"w{suffix}"
    path.write_bytes(pickle.dumps([Evil()], 2))
    with pytest.raises(DissectionError, match=f"w{suffix}"):
        load_network(spec(**MINI), path, 1)
    assert not Path("evil").exists()


@pytest.mark.parametrize("suffix", [".pth", ".params", ".safetensors", ".h5"])
def test_unreadable_weights_are_named(tmp_path, suffix):
    path = tmp_path / f"w{suffix}"
    with pytest.raises(DissectionError, match=str(path)):
        load_network(spec(**MINI), path, 1)
    path.write_bytes(b"neither this nor that")
    with pytest.raises(DissectionError, match=str(path)) as caught:
        load_network(spec(**MINI), path, 1)
    assert "\n" not in str(caught.value)


def test_network_of_a_file_and_wrong_names(tmp_path):
    own = tmp_path / "own.py"
    own.write_text("from torch import nn\ndef net(width):\n    return nn.Linear(width, 2)\n")
    assert load_network(spec(f"{own}:net", width=3), None, 1).in_features == 3
    for module, message in [
        (f"{own}:other", "no function other"),
        (f"{tmp_path}/none.py:net", "no such file"),
        ("dissection.networks.nothing:net", "nothing"),
        ("own.py", "file.py:function"),
    ]:
        with pytest.raises(DissectionError, match=message):
            load_network(spec(module, width=3), None, 1)
    with pytest.raises(DissectionError, match="missing a required argument: 'width'"):
        load_network(spec(f"{own}:net"), None, 1)


def test_unknown_layer_lists_the_choices():
    network = alexnet(**MINI)
    check_layers(network, ["relu1", "relu5"])
    with pytest.raises(DissectionError, match=r"layer relu9.*conv1, relu1, pool1, norm1"):
        check_layers(network, ["relu9"])


# Preprocessing


def test_values_order_mean_and_std():
    image = np.zeros((10, 20, 3), np.uint8)
    image[...] = (10, 20, 30)
    out = Preprocess(Input(size=8, order="BGR", mean=[1, 2, 3], std=[1, 2, 4]))(image)
    assert out.shape == (3, 8, 8)
    assert out.dtype == torch.float32
    assert out[:, 0, 0].tolist() == [29, 9, 1.75]


def test_the_crop_is_the_centre_of_the_stretched_image():
    image = np.random.default_rng(0).integers(0, 256, (61, 90, 3)).astype(np.uint8)
    stretched = np.asarray(Image.fromarray(image).resize((40, 40), Image.Resampling.BILINEAR))
    out = Preprocess(Input(size=30, resize=40)).crop(image).permute(1, 2, 0).numpy()
    assert np.abs(out.astype(int) - stretched[5:35, 5:35]).max() <= 1


def test_mean_image(tmp_path):
    blob = np.random.default_rng(0).random((3, 12, 12), np.float32) * 255
    path = tmp_path / "mean.binaryproto"
    path.write_bytes(b"\x08\x01\x10\x03\x18\x0c\x20\x0c*\xc0\x0d" + blob.tobytes())
    assert np.array_equal(read_mean_image(path, 12), blob)
    with pytest.raises(DissectionError, match=r"mean\.binaryproto"):
        read_mean_image(path, 13)
    image = np.full((12, 12, 3), 200, np.uint8)
    for order, mean in (("BGR", blob), ("RGB", blob[::-1])):
        given = Input(size=8, resize=12, order=order, std=[1, 1, 1], mean_image="mean")
        out = Preprocess(given, path)(image)
        assert np.array_equal(out.numpy(), 200 - mean[:, 2:10, 2:10])
    with pytest.raises(DissectionError, match="mean_image"):
        Preprocess(given)


@given(
    st.integers(20, 90),
    st.integers(20, 90),
    st.integers(16, 48),
    st.integers(0, 9),
    st.integers(1, 4),
)
@settings(max_examples=100, deadline=None)
def test_labels_lie_where_their_pixels_lie(height, width, size, margin, downsample):
    """An image of coordinates and a label map of the same name the same point everywhere."""
    y, x = np.mgrid[:height, :width]
    image = np.stack([2 * y, 2 * x, 0 * x], -1).astype(np.uint8)
    preprocess = Preprocess(Input(size=size, resize=size + margin, std=[1, 1, 1]))
    seen = preprocess(image)[:2].numpy() / 2  # (2, size, size) rows and columns, to half a pixel
    labels = preprocess.labels(np.stack([y, x]).astype(np.int32), downsample)
    cells = size // downsample
    assert labels.shape == (2, cells, cells)
    seen = seen[:, : cells * downsample, : cells * downsample]
    means = seen.reshape(2, cells, downsample, cells, downsample).mean((2, 4))
    scale = np.array([height, width])[:, None, None] / (size + margin)
    # half a pixel for the nearest, a quarter for uint8; near the border the filter leans inwards
    assert (np.abs(labels - means) <= 0.75 + 0.5 * np.maximum(scale, 0.5)).all()


@given(
    st.integers(1, 60), st.integers(1, 60), st.integers(4, 40), st.integers(0, 9), st.integers(1, 4)
)
@settings(max_examples=200, deadline=None)
def test_labels_are_the_nearest_to_each_centre(height, width, size, margin, downsample):
    maps = np.arange(2 * height * width, dtype=np.int32).reshape(2, height, width)
    out = Preprocess(Input(size=size, resize=size + margin)).labels(maps, downsample)
    if height == width == 1:
        assert out.shape == (2, 1, 1)
        return
    for i in range(size // downsample):
        for j in range(size // downsample):
            row, column = (
                int((margin // 2 + (n + 0.5) * downsample) / (size + margin) * length + 1e-9)
                for n, length in ((i, height), (j, width))
            )
            assert (out[:, i, j] == maps[:, row, column]).all()


def test_labels_of_the_full_profile_stay_as_they_are():
    maps = np.arange(113 * 113, dtype=np.int32).reshape(1, 113, 113)  # Broden: half of 227 pixels
    assert np.array_equal(Preprocess(Input(size=227)).labels(maps, 2), maps)


# SqueezeNet


def test_squeezenet_maps():
    found = shapes(squeezenet().eval(), torch.zeros(1, 3, 224, 224))
    assert [found[k][1] for k in ("conv1", "pool1", "pool3", "pool5", "fire9")] == [
        112,
        55,
        27,
        13,
        13,
    ]
    assert found["fire9"] == (512, 13, 13)
    assert found["flatten"] == (365,)


def old_pickle(arrays: list[np.ndarray]) -> bytes:
    """What numpy before 2.0 wrote."""
    return pickle.dumps(arrays, 3).replace(b"numpy._core", b"numpy.core")


def test_squeezenet_takes_the_published_list(tmp_path):
    """Lasagne's: 152 arrays without names; kernels the other way round, deviations inverted."""
    published = load_network(spec("dissection.networks.squeezenet:squeezenet"), None, 1)
    rng = np.random.default_rng(0)
    arrays, expected = [], published.state_dict()
    for name, module in published.named_modules():
        if isinstance(module, nn.Conv2d):
            kernel = rng.standard_normal(module.weight.shape).astype(np.float32)
            arrays += [kernel, rng.random(len(kernel), np.float32)]
            expected[f"{name}.weight"] = torch.from_numpy(kernel[:, :, ::-1, ::-1].copy())
            expected[f"{name}.bias"] = torch.from_numpy(arrays[-1])
        elif isinstance(module, nn.BatchNorm2d):
            beta, gamma, mean, inverse = (
                rng.random(module.num_features, np.float32) + 0.5 for _ in range(4)
            )
            arrays += [beta, gamma, mean, inverse]
            expected |= {f"{name}.bias": torch.from_numpy(beta), f"{name}.weight": torch.from_numpy(gamma),
                         f"{name}.running_mean": torch.from_numpy(mean),
                         f"{name}.running_var": torch.from_numpy(inverse**-2 - 1e-4)}  # fmt: skip
    path = tmp_path / "squeezenet.params"
    path.write_bytes(old_pickle(arrays))
    own = load_network(spec("dissection.networks.squeezenet:squeezenet"), path, 2).state_dict()
    assert all(torch.allclose(own[key], tensor, rtol=1e-5) for key, tensor in expected.items())
    arrays[-1] = arrays[-1][:-1]
    path.write_bytes(old_pickle(arrays))
    with pytest.raises(DissectionError, match=r"1 of another shape \(conv10\.bias \(364,\)"):
        load_network(spec("dissection.networks.squeezenet:squeezenet"), path, 2)


def test_params_of_another_length_are_refused(tmp_path):
    path = tmp_path / "w.params"
    path.write_bytes(old_pickle([np.zeros(3, np.float32)]))
    with pytest.raises(DissectionError, match="list of 152 arrays"):
        read_params(path)


@pytest.mark.skipif(not STREET.exists(), reason="needs ../shared/street")
def test_squeezenet_sees_streets():
    """On photographs of facades and streets the most probable scenes are built ones."""
    given = Input(size=224, resize=256, order="BGR", mean_image="mean")
    street = spec("dissection.networks.squeezenet:squeezenet")
    network = load_network(street, STREET / "squeezenet_weights_places365.params", 1)
    preprocess = Preprocess(given, STREET / "places365CNN_mean.binaryproto")
    lines = (STREET / "categories_places365.txt").read_text().splitlines()
    classes = [line.split()[0][3:] for line in lines]
    images = []
    with tarfile.open(STREET / "labelmefacade.tar") as archive:
        for member in [m for m in archive.getmembers() if m.name.endswith(".jpg")][::40]:
            file = archive.extractfile(member)
            assert file is not None
            images.append(np.asarray(Image.open(io.BytesIO(file.read())).convert("RGB")))
    with torch.inference_mode():
        scores = network(torch.stack([preprocess(image) for image in images])).softmax(1)
    mean = scores.mean(0)
    likeliest = [classes[i] for i in mean.topk(15).indices]
    assert {"street", "crosswalk", "parking_garage/outdoor", "residential_neighborhood"} <= set(
        likeliest
    )
    indoors = ["bedroom", "kitchen", "living_room", "bathroom", "office", "classroom"]
    wild = ["beach", "ocean", "mountain", "forest/broadleaf", "ski_slope", "underwater/ocean_deep"]
    assert sum(mean[classes.index(name)] for name in indoors + wild) < 0.01
