"""Streaming statistics against numpy on all the data at once."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dissection.errors import DissectionError
from dissection.stats import Overlap, SecondMoment, TopFraction, TopImages
from dissection.stats.quantile import kth_largest
from dissection.stats.upsample import Upsampling

# few distinct values, so that ties abound, beside arbitrary ones
values = st.one_of(
    st.integers(-2, 3).map(float),
    st.floats(-(2.0**100), 2.0**100, width=32),
)
matrices = hnp.arrays(
    np.float32, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40), elements=values
)


def expected_threshold(samples, fraction):
    """(units,) by sorting: the (floor(fraction n) + 1)-th largest."""
    return np.sort(samples, axis=0)[::-1][int(fraction * len(samples))]


def cut(n, draw):
    """Random boundaries of batches."""
    inner = draw(st.lists(st.integers(0, n), max_size=4))
    edges = sorted({0, n, *inner})
    return list(itertools.pairwise(edges))


@given(matrices, st.floats(0, 0.99), st.data())
@settings(max_examples=80, deadline=None)
def test_threshold_is_exact_in_any_batches(samples, fraction, data):
    top = TopFraction(samples.shape[1], fraction, len(samples))
    batches = data.draw(st.permutations(cut(len(samples), data.draw)))
    for start, stop in batches:
        top.add_dense(torch.from_numpy(samples[start:stop]))
        if data.draw(st.booleans()):
            top._thin_out()
    assert np.array_equal(top.threshold().numpy(), expected_threshold(samples, fraction))


@given(matrices, st.floats(0, 0.99), st.data())
@settings(max_examples=80, deadline=None)
def test_a_guess_gives_the_exact_threshold_or_is_found_out(samples, fraction, data):
    units = samples.shape[1]
    low = data.draw(hnp.arrays(np.float32, units, elements=values))
    high = np.maximum(low, data.draw(hnp.arrays(np.float32, units, elements=values)))
    top = TopFraction(units, fraction, len(samples), torch.from_numpy(low), torch.from_numpy(high))
    for start, stop in cut(len(samples), data.draw):
        top.add_dense(torch.from_numpy(samples[start:stop]))
    expected = expected_threshold(samples, fraction)
    right = (low < expected) & (expected <= high)
    assert np.array_equal(
        top.threshold().numpy(), np.where(right, expected, np.nan), equal_nan=True
    )


@given(samples=matrices, fraction=st.floats(0, 0.99), middle=st.integers(0, 40))
@settings(max_examples=50, deadline=None)
def test_threshold_merges_saves_and_loads(tmp_path_factory, samples, fraction, middle):
    path = tmp_path_factory.mktemp("stats") / "top.safetensors"
    parts = [TopFraction(samples.shape[1], fraction, len(samples)) for _ in range(2)]
    parts[0].add_dense(torch.from_numpy(samples[:middle]))
    parts[1].add_dense(torch.from_numpy(samples[middle:]))
    parts[1].save(path)
    parts[0].merge(TopFraction.load(path))
    assert np.array_equal(parts[0].threshold().numpy(), expected_threshold(samples, fraction))


def test_exactly_the_fraction_exceeds_the_threshold():
    samples = torch.randperm(1000, generator=torch.Generator().manual_seed(0)).float()[:, None]
    top = TopFraction(1, 0.005, 1000)
    top.add_dense(samples)
    assert (samples > top.threshold()).sum() == 5


def test_a_missing_sample_is_an_error():
    top = TopFraction(1, 0.5, 3)
    top.add_dense(torch.zeros(2, 1))
    with pytest.raises(DissectionError, match="2 samples a unit were added, 3 expected"):
        top.threshold()


@given(matrices, st.data())
@settings(max_examples=80, deadline=None)
def test_kth_largest(samples, data):
    n, units = samples.shape
    rank = data.draw(hnp.arrays(np.int64, units, elements=st.integers(-1, n + 2)))
    unit = torch.arange(units).repeat(n)
    order = torch.randperm(n * units)
    found = kth_largest(
        unit[order], torch.from_numpy(samples).flatten()[order], torch.from_numpy(rank)
    )
    ordered = np.sort(samples, axis=0)[::-1]
    expected = [ordered[r - 1, u] if 1 <= r <= n else -np.inf for u, r in enumerate(rank)]
    assert found.tolist() == expected


@given(matrices, st.integers(1, 8), st.data())
@settings(max_examples=50, deadline=None)
def test_top_images_in_any_order(peaks, k, data):
    parts = [TopImages(peaks.shape[1], k) for _ in range(2)]
    for index, (start, stop) in enumerate(data.draw(st.permutations(cut(len(peaks), data.draw)))):
        parts[index % 2].add(torch.arange(start, stop), torch.from_numpy(peaks[start:stop]))
    parts[0].merge(parts[1])
    for unit in range(peaks.shape[1]):
        best = sorted(range(len(peaks)), key=lambda i: (-peaks[i, unit], i))[:k]
        assert parts[0].images[unit].tolist() == best
        assert np.array_equal(parts[0].peaks[unit].numpy(), peaks[best, unit])


def test_top_images_and_moments_save_and_load(tmp_path):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(20, 5, generator=generator)
    top, moment = TopImages(5, 3), SecondMoment(5)
    top.add(torch.arange(20), x)
    moment.add(x[:7])
    other = SecondMoment(5)
    other.add(x[7:])
    moment.merge(other)
    for statistic in (top, moment):
        statistic.save(tmp_path / "s.safetensors")
        loaded = type(statistic).load(tmp_path / "s.safetensors")
        for name, value in vars(statistic).items():
            same = (
                torch.equal(value, vars(loaded)[name])
                if torch.is_tensor(value)
                else value == vars(loaded)[name]
            )
            assert same, name
    assert torch.allclose(moment.moment(), x.double().T @ x.double() / 20)


geometry = st.tuples(st.integers(1, 7), st.integers(1, 7), st.integers(1, 20), st.integers(1, 20))


def interpolate(a, y, x, padding):
    """One value by the definition, float32 step by step; (h, w) array, position in activations."""
    h, w = a.shape
    if padding == "edge":
        y, x = min(max(y, 0), h - 1), min(max(x, 0), w - 1)
    y, x = np.float32(np.clip(y + 1, 0, h + 1)), np.float32(np.clip(x + 1, 0, w + 1))
    ring = np.zeros((h + 2, w + 2), np.float32)
    ring[1:-1, 1:-1] = a
    i, j = min(int(y), h), min(int(x), w)
    fy, fx = y - np.float32(i), x - np.float32(j)
    top = ring[i, j] + fx * (ring[i, j + 1] - ring[i, j])
    bottom = ring[i + 1, j] + fx * (ring[i + 1, j + 1] - ring[i + 1, j])
    return top + fy * (bottom - top)


@given(
    geometry,
    st.sampled_from(["edge", "zeros"]),
    st.floats(-3, 3),
    st.floats(0.1, 3),
    st.integers(0, 99),
)
@settings(max_examples=50, deadline=None)
def test_upsampling_finds_exactly_the_pixels_above(shape, padding, offset, stride, seed):
    h, w, height, width = shape
    rng = np.random.default_rng(seed)
    a = rng.integers(-3, 4, (2, h, w, 3)).astype(np.float32) * np.float32(rng.choice([1, 0.1]))
    rows = (np.arange(height) - offset) / stride
    columns = (np.arange(width) + offset) * stride
    up = Upsampling(rows, columns, h, w, padding, "cpu")
    expected = np.array(
        [
            [
                [[interpolate(a[n, :, :, u], y, x, padding) for u in range(3)] for x in columns]
                for y in rows
            ]
            for n in (0, 1)
        ]
    )
    assert np.array_equal(up.dense(torch.from_numpy(a)).numpy(), expected)
    threshold = rng.choice(expected.reshape(-1, 3)[:, 0], 3)  # often a tie
    found = up.above(up.corners(torch.from_numpy(a)), torch.from_numpy(threshold))
    got = {(n, u, p): v for n, u, p, v in zip(*(t.tolist() for t in found), strict=True)}
    assert len(got) == len(found.value)
    want = {
        (n, u, y * width + x): float(expected[n, y, x, u])
        for n, y, x, u in zip(*np.nonzero(expected > threshold), strict=True)
    }
    assert got == want


def test_upsampling_of_a_constant_is_the_constant():
    up = Upsampling((np.arange(56) - 1.5) / 4, (np.arange(56) - 1.5) / 4, 13, 13, "edge", "cpu")
    assert (up.dense(torch.full((1, 13, 13, 2), 0.1)) == 0.1).all()


@given(st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_overlap_counts_pixels(seed):
    """Against a loop over every pixel; merged from two parts."""
    rng = np.random.default_rng(seed)
    images, units, concepts, pixels, levels, groups = 3, 4, 5, 6, 2, 2
    group = rng.integers(0, groups, concepts)
    group[0] = groups - 1
    maps = rng.integers(0, concepts + 1, (images, levels, pixels))
    maps[:, 1][maps[:, 1] == maps[:, 0]] = 0
    whole = rng.integers(0, concepts + 1, (images, 2))
    whole[:, 1][whole[:, 1] == whole[:, 0]] = 0
    for i in range(images):
        maps[i][np.isin(maps[i], whole[i])] = 0
    member = rng.random((images, groups)) < 0.7
    mask = rng.random((images, units, pixels)) < 0.5
    parts = [Overlap(units, torch.from_numpy(group)) for _ in range(2)]
    for i in range(images):
        n, u, p = map(torch.from_numpy, np.nonzero(mask[i : i + 1]))
        m, w = torch.from_numpy(maps[i : i + 1]), torch.from_numpy(whole[i : i + 1])
        parts[i % 2].add_labels(m, w, pixels)
        parts[i % 2].add(n, u, p, m, w, torch.from_numpy(member[i : i + 1]))
    parts[0].merge(parts[1])
    carries = np.array(
        [[[c in maps[i, :, p] or c in whole[i] for p in range(pixels)] for i in range(images)]
         for c in range(1, concepts + 1)]
    )  # fmt: skip
    for u in range(units):
        for c in range(concepts):
            assert parts[0].intersection[u, c] == (mask[:, u] & carries[c]).sum()
            assert parts[0].activation[u, c] == mask[member[:, group[c]], u].sum()
            assert parts[0].label[c] == carries[c].sum()
