"""Fréchet and sliced Wasserstein distances, and the features of images, against brute force."""

import itertools
import math

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.torch import save_file
from scipy.linalg import sqrtm
from scipy.ndimage import convolve
from scipy.stats import ortho_group, wasserstein_distance
from torch import nn

from dissection import config as model
from dissection.errors import DissectionError
from dissection.features import Extractor, features, load_extractor, stretch
from dissection.intervene import quality
from dissection.intervene.generator import Generator
from dissection.networks import Preprocess, load_network
from dissection.networks.inception import fid_inception
from dissection.probe import Probe
from dissection.stats import Gaussian, Patches, frechet_distance, sliced_wasserstein
from dissection.stats.wasserstein import laplacian_pyramid
from test_architectures import field

CPU = torch.device("cpu")


def fitted(vectors: np.ndarray) -> Gaussian:
    gaussian = Gaussian(vectors.shape[1])
    gaussian.add(torch.from_numpy(vectors))
    return gaussian


def sample(n: int, units: int, seed: int) -> np.ndarray:
    """Correlated vectors whose covariance has eigenvalues within two orders of magnitude, if n > units."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, units)) @ rng.uniform(-1, 1, (units, units)) + rng.uniform(
        -1, 1, units
    )


# -------------------------------------------------------------------------------------- mean and covariance

vectors = hnp.arrays(
    np.float64,
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=12),
    elements=st.floats(-100, 100, width=32),
)


@given(vectors, st.data())
@settings(max_examples=60, deadline=None)
def test_any_batches_and_merges_give_the_mean_and_covariance_of_all(samples, data):
    n, units = samples.shape
    inner = data.draw(st.lists(st.integers(0, n), max_size=3))
    parts = [Gaussian(units), Gaussian(units)]
    for start, stop in itertools.pairwise([0, *sorted(inner), n]):
        parts[data.draw(st.integers(0, 1))].add(torch.from_numpy(samples[start:stop]))
    parts[0].merge(parts[1])
    assert parts[0].count == n
    close = {"rtol": 1e-9, "atol": 1e-9}
    np.testing.assert_allclose(parts[0].mean.numpy(), samples.mean(0), **close)
    np.testing.assert_allclose(
        parts[0].covariance().numpy(), np.cov(samples, rowvar=False).reshape(units, units), **close
    )


def test_a_mean_far_from_zero_costs_no_digits():
    samples = sample(200, 5, 0)
    far = Gaussian(5)
    for batch in (samples + 2.0**30).reshape(20, 10, 5):
        far.add(torch.from_numpy(batch))
    near = fitted((samples + 2.0**30) - 2.0**30)  # rounded as the far ones are
    torch.testing.assert_close(far.covariance(), near.covariance(), rtol=1e-7, atol=0)


def test_a_gaussian_is_its_state():
    gaussian = fitted(sample(9, 4, 0))
    loaded = Gaussian.of({key: t.clone() for key, t in gaussian.state().items()})
    more = torch.from_numpy(sample(5, 4, 1))
    for each in (gaussian, loaded):
        each.add(more)
    assert loaded.count == 14
    assert torch.equal(loaded.mean, gaussian.mean)
    assert torch.equal(loaded.covariance(), gaussian.covariance())


# -------------------------------------------------------------------------------------- Fréchet distance


@pytest.mark.parametrize(("n", "units"), [(50, 1), (400, 8), (2000, 64)])
def test_agrees_with_the_reference_definition_where_its_square_root_is_well_conditioned(n, units):
    a, b = sample(n, units, 1), sample(n, units, 2)
    means = np.sum((a.mean(0) - b.mean(0)) ** 2)
    covariances = [np.atleast_2d(np.cov(x, rowvar=False)) for x in (a, b)]
    root = sqrtm(covariances[0] @ covariances[1]).real
    spread = np.trace(covariances[0] + covariances[1] - 2 * root)
    found = frechet_distance(fitted(a), fitted(b))
    assert found.mean == pytest.approx(means, rel=1e-12)
    assert found.covariance == pytest.approx(spread, rel=1e-9)
    assert found.total == pytest.approx(means + spread, rel=1e-9)


@given(n=st.integers(2, 30), m=st.integers(2, 30), units=st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_agrees_with_the_samples_themselves_however_singular_the_covariances(n, m, units):
    # tr (A^T A B^T B)^1/2 is the sum of the singular values of A B^T: no covariance, no root
    a, b = sample(n, units, n), sample(m, units, 100 + m)
    centred = [(x - x.mean(0)) / np.sqrt(len(x) - 1) for x in (a, b)]
    common = np.linalg.svd(centred[0] @ centred[1].T, compute_uv=False).sum()
    size = sum((c**2).sum() for c in centred)
    found = frechet_distance(fitted(a), fitted(b))
    assert found.covariance == pytest.approx(size - 2 * common, abs=1e-6 * size)
    back = frechet_distance(fitted(b), fitted(a))
    assert back.covariance == pytest.approx(found.covariance, abs=1e-12 * size)
    assert back.mean == found.mean


@given(n=st.integers(2, 40), units=st.integers(1, 30), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_zero_for_the_same_and_the_square_of_a_shift(n, units, seed):
    a = sample(n, units, seed)
    size = np.square(a).sum() / n
    same = frechet_distance(fitted(a), fitted(a[::-1].copy()))
    assert same.total == pytest.approx(0, abs=1e-11 * size)
    shift = np.random.default_rng(seed).uniform(-9, 9, units)
    moved = frechet_distance(fitted(a), fitted(a + shift))
    assert moved.mean == pytest.approx((shift**2).sum(), rel=1e-9)
    assert moved.covariance == pytest.approx(0, abs=1e-11 * size)


def test_independent_units_add_up_and_a_rotation_changes_nothing():
    rng = np.random.default_rng(0)
    basis = np.concatenate([np.eye(6), -np.eye(6)])  # its covariance is a multiple of the identity
    spreads = rng.uniform(0, 5, (2, 6))
    spreads[0, 0] = spreads[1, :2] = 0  # units that do not vary in one sample, or in both
    a, b = (basis * s for s in spreads)
    expected = (np.subtract(*spreads) ** 2).sum() * 2 / 11
    assert frechet_distance(fitted(a), fitted(b)).covariance == pytest.approx(expected, rel=1e-12)
    turn = ortho_group.rvs(6, random_state=1)
    turned = frechet_distance(fitted(a @ turn), fitted(b @ turn))
    assert turned.covariance == pytest.approx(expected, rel=1e-6)


def test_samples_in_unrelated_subspaces_have_nothing_in_common():
    a, b = np.zeros((20, 8)), np.zeros((20, 8))
    a[:, :3], b[:, 3:7] = sample(20, 3, 0), sample(20, 4, 1)
    expected = a.var(0, ddof=1).sum() + b.var(0, ddof=1).sum()
    assert frechet_distance(fitted(a), fitted(b)).covariance == pytest.approx(expected, rel=1e-12)


def test_what_cannot_be_compared_is_named():
    with pytest.raises(DissectionError, match="3 units against 4"):
        frechet_distance(fitted(sample(9, 3, 0)), fitted(sample(9, 4, 0)))
    with pytest.raises(DissectionError, match="1 vectors; it takes at least 2"):
        frechet_distance(fitted(sample(9, 3, 0)), fitted(sample(1, 3, 0)))


# -------------------------------------------------------------------------------------- Inception


def published_shapes() -> dict[str, tuple[int, ...]]:
    """Key -> shape of pt_inception-2015-12-05, convolution by convolution."""
    table = """
        Conv2d_1a_3x3 3 32 3 3, Conv2d_2a_3x3 32 32 3 3, Conv2d_2b_3x3 32 64 3 3, Conv2d_3b_1x1 64 80 1 1,
        Conv2d_4a_3x3 80 192 3 3
    """
    for name, channels, pooled in (("5b", 192, 32), ("5c", 256, 64), ("5d", 288, 64)):
        table += f""", Mixed_{name}.branch1x1 {channels} 64 1 1, Mixed_{name}.branch5x5_1 {channels} 48 1 1,
        Mixed_{name}.branch5x5_2 48 64 5 5, Mixed_{name}.branch3x3dbl_1 {channels} 64 1 1,
        Mixed_{name}.branch3x3dbl_2 64 96 3 3, Mixed_{name}.branch3x3dbl_3 96 96 3 3,
        Mixed_{name}.branch_pool {channels} {pooled} 1 1"""
    table += """, Mixed_6a.branch3x3 288 384 3 3, Mixed_6a.branch3x3dbl_1 288 64 1 1,
        Mixed_6a.branch3x3dbl_2 64 96 3 3, Mixed_6a.branch3x3dbl_3 96 96 3 3"""
    for name, w in (("6b", 128), ("6c", 160), ("6d", 160), ("6e", 192)):
        table += f""", Mixed_{name}.branch1x1 768 192 1 1, Mixed_{name}.branch7x7_1 768 {w} 1 1,
        Mixed_{name}.branch7x7_2 {w} {w} 1 7, Mixed_{name}.branch7x7_3 {w} 192 7 1,
        Mixed_{name}.branch7x7dbl_1 768 {w} 1 1, Mixed_{name}.branch7x7dbl_2 {w} {w} 7 1,
        Mixed_{name}.branch7x7dbl_3 {w} {w} 1 7, Mixed_{name}.branch7x7dbl_4 {w} {w} 7 1,
        Mixed_{name}.branch7x7dbl_5 {w} 192 1 7, Mixed_{name}.branch_pool 768 192 1 1"""
    table += """, Mixed_7a.branch3x3_1 768 192 1 1, Mixed_7a.branch3x3_2 192 320 3 3,
        Mixed_7a.branch7x7x3_1 768 192 1 1, Mixed_7a.branch7x7x3_2 192 192 1 7,
        Mixed_7a.branch7x7x3_3 192 192 7 1, Mixed_7a.branch7x7x3_4 192 192 3 3"""
    for name, channels in (("7b", 1280), ("7c", 2048)):
        table += f""", Mixed_{name}.branch1x1 {channels} 320 1 1, Mixed_{name}.branch3x3_1 {channels} 384 1 1,
        Mixed_{name}.branch3x3_2a 384 384 1 3, Mixed_{name}.branch3x3_2b 384 384 3 1,
        Mixed_{name}.branch3x3dbl_1 {channels} 448 1 1, Mixed_{name}.branch3x3dbl_2 448 384 3 3,
        Mixed_{name}.branch3x3dbl_3a 384 384 1 3, Mixed_{name}.branch3x3dbl_3b 384 384 3 1,
        Mixed_{name}.branch_pool {channels} 192 1 1"""
    shapes: dict[str, tuple[int, ...]] = {"fc.weight": (1008, 2048), "fc.bias": (1008,)}
    for line in table.split(","):
        name, *numbers = line.split()
        channels, width, *kernel = map(int, numbers)
        shapes[f"{name}.conv.weight"] = (width, channels, *kernel)
        for key in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.bn.{key}"] = (width,)
    return shapes


def inception_spec() -> model.Network:
    return model.Network(
        module="dissection.networks.inception:fid_inception",
        input=model.Input(size=299, mean=[128] * 3, std=[128] * 3),
        layers={"pool_3": "Mixed_7c"},
    )


def test_inception_takes_the_published_state_dict(tmp_path):
    generator = torch.Generator().manual_seed(0)
    shapes = published_shapes()
    state = {
        key: torch.rand(shape, generator=generator) * 0.1 + 0.01 for key, shape in shapes.items()
    }
    # as published, without a scale in batch norm that differs from 1 and with a count of batches
    state |= {
        key.replace("running_mean", "num_batches_tracked"): torch.tensor(0)
        for key in shapes
        if key.endswith("running_mean")
    }
    torch.save(state, tmp_path / "pt_inception.pth")
    network = load_network(inception_spec(), tmp_path / "pt_inception.pth", 0)
    own = network.state_dict()
    assert {k: tuple(t.shape) for k, t in own.items() if "num_batches" not in k} == shapes
    assert all(torch.equal(own[key], state[key]) for key in shapes)
    assert sum(p.numel() for p in network.parameters()) == 23_850_960
    assert network.get_submodule("Mixed_6c.branch7x7dbl_4.bn").eps == 1e-3


def original_names() -> dict[str, str]:
    """Convolution of the port to torch -> scope of the graph of 2015, written down from its description."""
    scopes = {
        "a": {"branch1x1": "conv", "branch5x5_1": "tower/conv", "branch5x5_2": "tower/conv_1",
              "branch3x3dbl_1": "tower_1/conv", "branch3x3dbl_2": "tower_1/conv_1", "branch3x3dbl_3": "tower_1/conv_2",
              "branch_pool": "tower_2/conv"},
        "b": {"branch3x3": "conv", "branch3x3dbl_1": "tower/conv", "branch3x3dbl_2": "tower/conv_1",
              "branch3x3dbl_3": "tower/conv_2"},
        "c": {"branch1x1": "conv", "branch7x7_1": "tower/conv", "branch7x7_2": "tower/conv_1",
              "branch7x7_3": "tower/conv_2", "branch7x7dbl_1": "tower_1/conv", "branch7x7dbl_2": "tower_1/conv_1",
              "branch7x7dbl_3": "tower_1/conv_2", "branch7x7dbl_4": "tower_1/conv_3",
              "branch7x7dbl_5": "tower_1/conv_4", "branch_pool": "tower_2/conv"},
        "d": {"branch3x3_1": "tower/conv", "branch3x3_2": "tower/conv_1", "branch7x7x3_1": "tower_1/conv",
              "branch7x7x3_2": "tower_1/conv_1", "branch7x7x3_3": "tower_1/conv_2", "branch7x7x3_4": "tower_1/conv_3"},
        "e": {"branch1x1": "conv", "branch3x3_1": "tower/conv", "branch3x3_2a": "tower/mixed/conv",
              "branch3x3_2b": "tower/mixed/conv_1", "branch3x3dbl_1": "tower_1/conv",
              "branch3x3dbl_2": "tower_1/conv_1", "branch3x3dbl_3a": "tower_1/mixed/conv",
              "branch3x3dbl_3b": "tower_1/mixed/conv_1", "branch_pool": "tower_2/conv"},
    }  # fmt: skip
    names = {"Conv2d_1a_3x3": "conv", "Conv2d_2a_3x3": "conv_1", "Conv2d_2b_3x3": "conv_2",
             "Conv2d_3b_1x1": "conv_3", "Conv2d_4a_3x3": "conv_4"}  # fmt: skip
    kinds = zip(
        ["5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c"],
        "aaabccccdee",
        strict=True,
    )
    for number, (block, kind) in enumerate(kinds):
        scope = f"mixed_{number}" if number else "mixed"
        names |= {f"Mixed_{block}.{k}": f"{scope}/{v}" for k, v in scopes[kind].items()}
    return names


def constant(name: str, array: np.ndarray) -> bytes:
    """A node of a GraphDef."""
    kind = {"f": 1, "i": 3}[array.dtype.kind]  # DT_FLOAT, DT_INT32
    shape = b"".join(field(2, field(1, n)) for n in array.shape)
    content = field(4, array.tobytes())
    if array.size and (array == array.flat[0]).all():
        content = field(5, array.ravel()[:1].tobytes())  # float_val: one for all
    tensor = field(1, kind) + field(2, shape) + content
    value = field(1, b"value") + field(2, field(8, tensor))
    dtype = field(1, b"dtype") + field(2, field(6, kind))
    return field(
        1, field(1, name.encode()) + field(2, b"Const") + field(5, dtype) + field(5, value)
    )


def test_inception_takes_the_original_graph(tmp_path):
    """classify_image_graph_def.pb, beside which the archive has other files."""
    generator = np.random.default_rng(0)
    originals, state, graph = original_names(), {}, b""
    for key, shape in published_shapes().items():
        # values that tell the elements apart at little cost
        values = (
            np.arange(math.prod(shape), dtype=np.float32) * 1e-3 + generator.random()
        ).reshape(shape)
        place, _, kind = key.rpartition(".")
        if place == "fc":
            name = f"softmax/{'weights' if kind == 'weight' else 'biases'}"
        elif place.endswith(".conv"):
            name = f"{originals[place.removesuffix('.conv')]}/conv2d_params"
        else:
            kinds = {
                "weight": "gamma",
                "bias": "beta",
                "running_mean": "moving_mean",
                "running_var": "moving_variance",
            }
            name = f"{originals[place.removesuffix('.bn')]}/batchnorm/{kinds[kind]}"
            values = np.ones_like(values) if kind == "weight" else values
        state[key] = torch.from_numpy(values)
        graph += constant(
            name, values.transpose({1: (0,), 2: (1, 0), 4: (2, 3, 1, 0)}[values.ndim])
        )
    rest = field(1, field(1, b"pool_3") + field(2, b"AvgPool") + field(3, b"mixed_10/join"))
    rest += constant("pool_3/_reshape/shape", np.array([-1, 2048], np.int32))
    rest += constant("Sub/y", np.array(128, np.float32)) + field(4, field(1, 8))
    folder = tmp_path / "inception-2015-12-05"
    folder.mkdir()
    (folder / "LICENSE").write_text("Apache License 2.0")
    path = folder / "classify_image_graph_def.pb"
    path.write_bytes(graph + rest)
    own = load_network(inception_spec(), folder, 0).state_dict()
    assert all(torch.equal(own[key], tensor) for key, tensor in state.items())
    extra = constant("mixed_11/conv/conv2d_params", np.ones((1, 1, 2, 2), np.float32))
    path.write_bytes(extra)
    with (
        torch.device("meta"),
        pytest.raises(DissectionError, match=r"1 unexpected \(mixed_11\.conv\.conv2d_params\)"),
    ):
        load_network(inception_spec(), folder, 0)
    path.write_bytes(extra[:-1])
    with pytest.raises(DissectionError, match=r"graph_def\.pb: not a complete TensorFlow graph"):
        load_network(inception_spec(), path, 0)


def test_inception_has_the_published_maps_and_pools():
    with torch.device("meta"):
        network = fid_inception().eval()
    x, maps = torch.empty(2, 3, 299, 299, device="meta"), {}
    for name, module in network.named_children():
        x = module(x)
        maps[name] = tuple(x.shape[1:])
    expected = {
        "Conv2d_1a_3x3": (32, 149, 149),
        "maxpool1": (64, 73, 73),
        "maxpool2": (192, 35, 35),
    }
    expected |= {"Mixed_5b": (256, 35, 35), "Mixed_5d": (288, 35, 35), "Mixed_6a": (768, 17, 17)}
    expected |= {"Mixed_6e": (768, 17, 17), "Mixed_7a": (1280, 8, 8), "Mixed_7c": (2048, 8, 8)}
    expected |= {"fc": (1008,)}
    assert {name: maps[name] for name in expected} == expected
    corner = torch.zeros(1, 1, 4, 4)
    corner[..., 0, 0] = 36
    blocks = {
        name: network.get_submodule(f"Mixed_{name}").pool for name in ("5b", "6e", "7b", "7c")
    }
    # a mean over the four pixels that there are at a corner, nine inside; a maximum in the last block
    pooled = {name: pool(corner)[0, 0].diagonal()[:2].tolist() for name, pool in blocks.items()}
    assert pooled == {"5b": [9, 4], "6e": [9, 4], "7b": [9, 4], "7c": [36, 36]}


def test_a_pooling_branch_pools_before_it_convolves():
    block = fid_inception().eval().get_submodule("Mixed_7c")
    x = torch.randn(1, 2048, 3, 3, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        branch = block.get_submodule("branch_pool")(block.pool(x))
        assert torch.equal(block(x)[:, -192:], branch)
        three = block.get_submodule("branch3x3_1")(x)
        sides = [block.get_submodule(f"branch3x3_2{side}")(three) for side in "ab"]
        assert torch.equal(block(x)[:, 320 : 320 + 768], torch.cat(sides, 1))


# -------------------------------------------------------------------------------------- features


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 60))
@settings(max_examples=40, deadline=None)
def test_stretching_reads_from_the_two_pixels_beside(height, width, size):
    image = np.random.default_rng(0).integers(0, 256, (height, width)).astype(np.float64)
    expected = np.empty((size, size))
    for i, j in itertools.product(range(size), range(size)):
        y, x = i * height / size, j * width / size
        y0, x0 = int(y), int(x)
        y1, x1 = min(y0 + 1, height - 1), min(x0 + 1, width - 1)
        top = image[y0, x0] * (1 - x + x0) + image[y0, x1] * (x - x0)
        bottom = image[y1, x0] * (1 - x + x0) + image[y1, x1] * (x - x0)
        expected[i, j] = top * (1 - y + y0) + bottom * (y - y0)
    found = stretch(torch.from_numpy(image).float()[None, None], size)[0, 0]
    np.testing.assert_allclose(found.numpy(), expected, atol=0.01)  # grey levels


def small(**convention) -> Extractor:
    spec = model.Network(
        module="dissection.networks.alexnet:alexnet",
        arguments={"classes": 3, "size": 32, "widths": [4, 6, 8, 8, 6], "hidden": 8}
        | {"kernel": 5, "stride": 1, "padding": 2, "lrn": False},
        input=model.Input(size=32, **convention),
        layers={"conv5": "relu5"},
    )
    network = load_network(spec, None, 0)
    return Extractor("mini features", network, "relu5", Preprocess(spec.input), CPU)


def test_features_are_the_units_means_whatever_the_batches():
    extractor = small(mean=[10, 20, 30], std=[50, 60, 70])
    images = torch.from_numpy(
        np.random.default_rng(0).integers(0, 256, (7, 3, 32, 32), dtype=np.uint8)
    )
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in ([10.0, 20, 30], [50.0, 60, 70]))
    with torch.inference_mode():
        upto = list(dict(extractor.network.named_children())).index("relu5") + 1
        expected = extractor.network[:upto]((images.float() - mean) / std).mean((2, 3))
    assert expected.abs().sum() > 0
    for size in (1, 3, 7):
        found = torch.cat(list(features(extractor, images.split(size))))
        torch.testing.assert_close(found, expected)
    assert extractor.units == 6


def test_features_follow_the_input_convention():
    images = torch.from_numpy(
        np.random.default_rng(0).integers(0, 256, (2, 3, 20, 20), dtype=np.uint8)
    )
    larger = stretch(images.float(), 40)[..., 4:36, 4:36].flip(1)
    cropped = small(resize=40, order="BGR")(images)
    with torch.inference_mode():
        network = small().network
        expected = network[: list(dict(network.named_children())).index("relu5") + 1](larger / 255)
    torch.testing.assert_close(cropped, expected.mean((2, 3)))
    with pytest.raises(DissectionError, match=r"mini features: images of torch\.float32"):
        small()(images.float())


def profile(tmp_path, **features):
    content = {
        "profile": "test",
        "assets": {"mini": {"path": str(tmp_path / "mini.safetensors")}},
        "networks": {
            "mini": {
                "module": "dissection.networks.resnet:resnet152",
                "arguments": {"stem": 4, "widths": [2, 2, 2, 2], "blocks": [1, 1, 1, 1]},
                "weights": "mini",
                "input": {"size": 32},
                "layers": {"res5c": "7"},
            }
        },
        "features": {"name": "mini features", "network": "mini", "layer": "res5c"} | features,
    }
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(content))
    return model.load(tmp_path / "test.yaml")


def test_the_profile_says_which_features(tmp_path, monkeypatch):
    config = profile(tmp_path)
    spec = config.networks["mini"]
    network = load_network(spec, None, 5)
    save_file(network.state_dict(), tmp_path / "mini.safetensors")
    monkeypatch.setattr("dissection.networks.asset_path", lambda _: tmp_path / "mini.safetensors")
    extractor = load_extractor(config, CPU)
    images = torch.full((1, 3, 32, 32), 99, dtype=torch.uint8)
    expected = Extractor("mini features", network, "7", Preprocess(spec.input), CPU)(images)
    assert extractor.name == "mini features"
    torch.testing.assert_close(extractor(images), expected)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"network": "minis"}, r"features\.network: found 'minis', did you mean mini\?"),
        ({"layer": "res5"}, r"features\.layer: found 'res5', did you mean res5c\?"),
    ],
)
def test_a_wrong_name_in_features_is_named(tmp_path, wrong, error):
    with pytest.raises(DissectionError, match=error):
        profile(tmp_path, **wrong)


def test_a_profile_without_features_is_told(tmp_path):
    config = profile(tmp_path).model_copy(update={"features": None})
    with pytest.raises(DissectionError, match="the profile names no network"):
        load_extractor(config, CPU)


# -------------------------------------------------------------------------------------- sliced Wasserstein distance


def images(n: int, seed: int, size: int = 32) -> torch.Tensor:
    """Smooth noise, (n, 3, size, size) uint8."""
    rough = np.random.default_rng(seed).normal(128, 200, (n, 3, size, size))
    smooth = (rough + np.roll(rough, 1, 2) + np.roll(rough, 1, 3)) / 3
    return torch.from_numpy(smooth.clip(0, 255).astype(np.uint8))


def patches(images: torch.Tensor, batch: int = 5, count: int = 16) -> Patches:
    found = Patches(seed=3, patches=count)
    for part in images.split(batch):
        found.add(part)
    return found


def test_pyramid_against_scipy():
    kernel = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1])[None, None] / 256
    level = images(2, 0, 64).double().numpy()
    expected = []
    for _ in range(2):
        half = convolve(level, kernel, mode="mirror")[..., ::2, ::2]
        spread = np.zeros_like(level)
        spread[..., ::2, ::2] = half
        expected.append(level - convolve(spread, 4 * kernel, mode="mirror"))
        level = half
    found = laplacian_pyramid(images(2, 0, 64))
    assert [tuple(f.shape[2:]) for f in found] == [(64, 64), (32, 32), (16, 16)]
    for mine, theirs in zip(found, [*expected, level], strict=True):
        np.testing.assert_allclose(mine.numpy(), theirs, atol=1e-3)


def test_patches_are_windows_of_the_levels_at_any_place():
    shown = images(40, 0)
    found = patches(shown, count=250)
    assert found.counts() == {32: 10000, 16: 10000}
    for level in laplacian_pyramid(shown):
        size = level.shape[2]
        windows = np.lib.stride_tricks.sliding_window_view(level.numpy(), (3, 7, 7), (1, 2, 3))
        windows = windows[:, 0].reshape(40, (size - 6) ** 2, -1)
        seen = set()
        for image, group in enumerate(found.level(size).reshape(40, 250, -1).numpy()):
            apart = np.abs(windows[image, :, None, :9] - group[None, :, :9]).max(2)
            place = apart.argmin(0)
            assert np.array_equal(windows[image, place], group)
            seen |= set(place.tolist())
        assert len(seen) == (size - 6) ** 2  # every place, the corners too


def test_patches_depend_neither_on_batches_nor_on_parts():
    shown = images(11, 0)
    whole = patches(shown)
    one_by_one = patches(shown, batch=1)
    first, second = Patches(3, 16), Patches(3, 16, first=4)
    first.add(shown[:4])
    second.add(shown[4:])
    first.merge(second)
    for size in whole.counts():
        for other in (one_by_one, first):
            torch.testing.assert_close(other.level(size), whole.level(size), rtol=0, atol=1e-4)


def test_distance_against_sorted_projections_one_by_one():
    a, b = patches(images(6, 0)), patches(images(6, 1) // 2)
    found = sliced_wasserstein(a, b, directions=20, seed=4)
    rng = np.random.default_rng(4)
    for size in (32, 16):
        sets = []
        for source in (a, b):
            raw = source.level(size).double().numpy()
            axes = (0, 2, 3)
            raw = (raw - raw.mean(axes, keepdims=True)) / raw.std(axes, keepdims=True)
            sets.append(raw.reshape(len(raw), -1))
        towards = rng.standard_normal((20, 147))
        towards /= np.linalg.norm(towards, axis=1, keepdims=True)
        expected = np.mean([wasserstein_distance(*(s @ d for s in sets)) for d in towards])
        assert found[size] == pytest.approx(expected, rel=1e-4)


def test_distance_is_zero_for_the_same_symmetric_and_blind_to_contrast():
    shown = images(8, 0)
    a, b = patches(shown), patches(images(8, 1))
    assert sliced_wasserstein(a, a, 10) == {32: 0, 16: 0}
    assert sliced_wasserstein(a, b, 10) == sliced_wasserstein(b, a, 10)
    fainter = patches(shown.float() / 300 + 7)
    for size, distance in sliced_wasserstein(a, fainter, 10).items():
        assert distance < 1e-4 < sliced_wasserstein(a, b, 10)[size]


def test_distance_grows_with_distortion_at_the_level_that_it_changes():
    shown = images(60, 0)
    real = patches(images(60, 1), count=32)
    fine = []
    for share in (0, 0.5, 1):
        stripes = shown.clone()
        stripes[: int(60 * share), :, ::2] = 0
        fine.append(sliced_wasserstein(real, patches(stripes, count=32), 32)[32])
    assert fine[0] < fine[1] < fine[2]


def test_constant_images_have_a_distance():
    flat = patches(torch.full((4, 3, 16, 16), 9, dtype=torch.uint8))
    assert sliced_wasserstein(flat, flat, 4) == {16: 0}
    assert np.isfinite(sliced_wasserstein(flat, patches(images(4, 0, 16)), 4)[16])


def test_images_that_have_no_such_distance_are_refused():
    with pytest.raises(DissectionError, match="at least 16"):
        patches(images(1, 0, 8))
    with pytest.raises(DissectionError, match=r"\(33, 33\) pixels cannot be halved"):
        patches(images(1, 0, 33))
    with pytest.raises(DissectionError, match="as many images of the same size"):
        sliced_wasserstein(patches(images(2, 0)), patches(images(3, 0)))
    with pytest.raises(DissectionError, match="as many images of the same size"):
        sliced_wasserstein(patches(images(2, 0)), patches(images(2, 0, 16)))


# -------------------------------------------------------------------------------------- realism of units

UNITS = 6


def generator() -> nn.Sequential:
    """Unit 5 is never on; unit 4 draws bright stripes over whatever the others draw."""
    network = nn.Sequential()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        grid = nn.Sequential(nn.Linear(8, UNITS * 16), nn.Unflatten(1, (UNITS, 4, 4)), nn.ReLU())
        network.add_module("layer1", grid)
        network.add_module("up", nn.Upsample(scale_factor=8))
        network.add_module("layer2", nn.Conv2d(UNITS, 3, 5, padding=2))
        network.add_module("layer3", nn.Tanh())
    with torch.no_grad():
        grid[0].weight.view(UNITS, 16, 8)[5] = 0
        grid[0].bias.view(UNITS, 16)[5] = -1
        grid[0].bias.view(UNITS, 16)[4] -= 1.2  # on in some of the images only
        network.layer2.weight[:, 4] = 0
        network.layer2.weight[:, 4, :, 2] = 3
    return network.eval()


def z(n: int, seed: int) -> torch.Tensor:
    return torch.randn(n, 8, generator=torch.Generator().manual_seed(seed))


def pixels(network, latents, edits=None) -> torch.Tensor:
    with Probe(network, edits=edits) as probe, torch.no_grad():
        return ((probe(latents) + 1) * 127.5).round().to(torch.uint8)


def without(units):
    def ablate(a):
        a = a.clone()
        a[:, units] = 0
        return a

    return ablate


def test_distances_of_units_and_of_ablations_against_brute_force():
    network, shown = generator(), z(60, 0)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        eye = nn.Sequential(nn.Conv2d(3, 8, 5), nn.ReLU())
    extractor = Extractor("mini features", eye, "1", Preprocess(model.Input(size=32)), CPU)
    vectors = extractor(pixels(network, shown))
    real = fitted(extractor(pixels(network, z(80, 1), {"layer1": without([4])})).double().numpy())
    cut = Generator(network, "layer1")
    sample = quality.draw(cut, extractor, shown, batch=7)
    peaks = network.layer1(shown).amax((2, 3))
    torch.testing.assert_close(sample.peaks, peaks)
    torch.testing.assert_close(sample.vectors, vectors, rtol=1e-4, atol=1e-6)

    table = quality.unit_distances(real, sample, images=15)
    assert list(table.index) == list(range(UNITS))
    for unit in range(UNITS):
        order = sorted(range(60), key=lambda i, unit=unit: (-float(sample.peaks[i, unit]), i))
        expected = frechet_distance(real, fitted(sample.vectors[order[:15]].double().numpy()))
        assert table.distance[unit] == pytest.approx(expected.total, rel=1e-9)
        assert table["mean"][unit] == pytest.approx(expected.mean, rel=1e-9)
    assert table.distance.idxmax() == 4

    sets = {"original": [], "artifacts": [4], "idle": [5], "random": [0, 2]}
    found = quality.ablated_distances(real, cut, extractor, shown, sets, batch=7)
    for name, units in sets.items():
        edited = extractor(pixels(network, shown, {"layer1": without(units)}))
        expected = frechet_distance(real, fitted(edited.double().numpy()))
        assert found.distance[name] == pytest.approx(expected.total, rel=1e-4)
    assert found.distance["idle"] == found.distance["original"]
    assert found.distance["artifacts"] < 0.2 * found.distance["original"]
    with pytest.raises(DissectionError, match="images of a unit: 61; expected 2 to 60"):
        quality.unit_distances(real, sample, images=61)


def test_images_on_which_units_are_active_together():
    peaks = torch.tensor([[0.0, 900], [3, 100], [2, 0], [0, 500], [3, 100]])
    assert quality.most_active(peaks, [0], 5).tolist() == [1, 4, 2, 0, 3]
    # ranks 0 4, 3 1, 2 0, 0 3, 3 1
    assert quality.most_active(peaks, [0, 1], 4).tolist() == [0, 1, 4, 3]
