"""Correspondences, the motion that they make, and blending, against brute force and exact cases."""

from itertools import pairwise

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from dissection import config as model
from dissection.networks import Preprocess
from dissection.rewrite.buddies import (
    Search,
    Transfer,
    buddies,
    correspondences,
    laplace_blend,
    moving_least_squares,
    spread,
    warped,
)
from dissection.rewrite.perceptual import Pyramid

# ------------------------------------------------------------------------------------------------ correspondences


def features(units: int, size: int, seed: int) -> torch.Tensor:
    return torch.randn(units, size, size, generator=torch.Generator().manual_seed(seed))


def brute(a, b, here, there, side, reach):
    """Mutual nearest neighbours by loops over cells, and over the cells beside them."""
    a, b, m = a.double().numpy(), b.double().numpy(), side // 2

    def box(x, window):
        rows, columns = window
        return x[:, rows.start : rows.stop, columns.start : columns.stop]

    changed = [a, b]
    if reach is None:
        means = [box(x, w).mean((1, 2), keepdims=True) for x, w in ((a, here), (b, there))]
        spreads = [box(x, w).std((1, 2), keepdims=True) for x, w in ((a, here), (b, there))]
        changed = [
            (x - n) / (s + 1e-5) * sum(spreads) / 2 + sum(means) / 2
            for x, n, s in zip((a, b), means, spreads, strict=True)
        ]

    def around(x, cell):
        found = []
        for dy in range(-m, m + 1):
            for dx in range(-m, m + 1):
                y, z = np.clip(np.add(cell, (dy, dx)), 0, np.array(x.shape[1:]) - 1)
                found.append(x[:, y, z] / (np.linalg.norm(x[:, y, z]) + 1e-5))
        return np.stack(found)

    def best(x, cell, y, window):
        one = around(x, cell)
        cells = [(r, c) for r in window[0] for c in window[1]
                 if reach is None or max(abs(r - cell[0]), abs(c - cell[1])) <= reach]  # fmt: skip
        return max(cells, key=lambda other: (one * around(y, other)).sum())

    pairs = []
    for cell in [(r, c) for r in here[0] for c in here[1]]:
        other = best(changed[0], cell, changed[1], there)
        if best(changed[1], other, changed[0], here) == cell:
            pairs.append((cell, other))
    return pairs


@pytest.mark.parametrize("reach", [None, 2, 9])
@pytest.mark.parametrize("side", [3, 5])
def test_buddies_are_each_other_s_nearest(side, reach):
    a, b = features(6, 7, 0), features(6, 7, 1)
    here, there = (range(1, 6), range(3)), (range(3, 7), range(4))
    if reach is not None:
        here = there = (range(7), range(7))
    found = list(buddies(a, b, here, there, side, reach))
    assert found == brute(a, b, here, there, side, reach)
    assert found
    everywhere = (range(7), range(7))
    assert list(buddies(a, a, everywhere, everywhere, side, reach)) == [
        ((r, c), (r, c)) for r in range(7) for c in range(7)
    ]


def test_what_is_elsewhere_is_found_elsewhere():
    """An image moved by 8 pixels: every pair of its pyramid is as far apart."""
    image = features(16, 48, 2)[None]
    pyramid = [image]
    for _ in range(3):
        pyramid.append(nn.functional.avg_pool2d(pyramid[-1], 2))
    search = Search(patches=(3, 3, 3), radii=(2, 2, 2), most=10, border=0.1)
    a, b = ([level[0, :, c : c + n, c : c + n] for level, c, n in zip(pyramid, at, (32, 16, 8), strict=False)][::-1]
            for at in ((0, 0, 0), (8, 4, 2)))  # fmt: skip
    first, second = correspondences(a, b, search)
    assert len(first) > 3
    np.testing.assert_allclose(first - second, 8 / 32)
    assert ((first >= 0.1) & (first <= 0.9)).all()


def test_nothing_in_common_is_no_correspondence():
    assert correspondences([torch.ones(2, 4, 4)], [torch.ones(2, 4, 4)], Search()).shape == (2, 0, 2)  # fmt: skip


def test_the_best_of_each_cluster_stays():
    rng = np.random.default_rng(0)
    centres = np.array([[0, 0, 0, 0], [90, 0, 0, 0], [0, 90, 9, 0]])
    pairs = np.concatenate([centres + rng.integers(0, 9, 4) for _ in range(5)])
    assert spread(pairs, 3).tolist() == [0, 1, 2]
    assert spread(pairs, 20).tolist() == list(range(15))


# ------------------------------------------------------------------------------------------------ motion

POINTS = np.array([[3.0, 4], [20, 6], [9, 17], [25, 25]])
PLACES = np.stack(np.indices((30, 30)), -1).reshape(-1, 2).astype(float)


@given(st.floats(-3, 3), st.tuples(st.floats(-9, 9), st.floats(-9, 9)))
@settings(max_examples=20, deadline=None)
def test_rigid_motions_are_reproduced(angle, shift):
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    found = moving_least_squares(POINTS, POINTS @ turn + shift, PLACES)
    np.testing.assert_allclose(found, PLACES @ turn + shift, atol=1e-6)
    one = moving_least_squares(POINTS[:1], POINTS[:1] + shift, PLACES)
    np.testing.assert_allclose(one, PLACES + shift, atol=1e-9)


def test_affine_motions_are_reproduced_by_the_affine_form_only():
    matrix, shift = np.array([[1.3, 0.2], [-0.4, 0.8]]), np.array([2.0, -1])
    targets, expected = POINTS @ matrix + shift, PLACES @ matrix + shift
    np.testing.assert_allclose(
        moving_least_squares(POINTS, targets, PLACES, rigid=False), expected, atol=1e-5
    )
    assert np.abs(moving_least_squares(POINTS, targets, PLACES) - expected).max() > 1


@pytest.mark.parametrize("rigid", [True, False])
def test_points_go_to_their_targets(rigid):
    targets = POINTS + np.random.default_rng(0).uniform(-3, 3, POINTS.shape)
    found = moving_least_squares(POINTS, targets, POINTS, rigid)
    np.testing.assert_allclose(found, targets, atol=1e-6)


def test_a_motion_fits_best_by_its_weights():
    """At one place, the rigid motion of least weighted error, searched over all angles."""
    targets = POINTS + np.random.default_rng(1).uniform(-3, 3, POINTS.shape)
    place = np.array([[12.0, 9]])
    weight = 1 / ((place - POINTS) ** 2).sum(1) ** 2
    weight /= weight.sum()
    p, q = weight @ POINTS, weight @ targets

    def error(angle):
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        return weight @ (((POINTS - p) @ turn + q - targets) ** 2).sum(1), (place - p) @ turn + q

    best = min((error(a) for a in np.linspace(-np.pi, np.pi, 20001)), key=lambda found: found[0])
    np.testing.assert_allclose(moving_least_squares(POINTS, targets, place), best[1], atol=2e-3)


def test_the_example_lies_where_its_points_say():
    goal = np.random.default_rng(0).integers(1, 256, (30, 30, 3), dtype=np.uint8)
    mask = np.zeros((30, 30), bool)
    mask[10:20, 5:15] = True
    front, there = warped(goal, mask, POINTS, POINTS + np.array([4, -2]))
    np.testing.assert_array_equal(front[:26, 2:], goal[4:, :28])
    np.testing.assert_array_equal(there[:26, 2:], mask[4:, :28])
    assert not front[26:].any()
    assert not there[:, :2].any()


# ------------------------------------------------------------------------------------------------ blending


def test_blending_mixes_laplacian_pyramids():
    rng = np.random.default_rng(0)
    front, back = rng.uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)
    share = np.zeros((32, 32, 1), np.float32)
    share[8:20, 6:26] = 1

    def gaussian(x, levels=6):
        found = [x]
        for _ in range(levels - 1):
            found.append(cv2.pyrDown(found[-1]))
        return found

    def laplacian(x):
        steps = gaussian(x)
        details = [fine - cv2.pyrUp(rough) for fine, rough in pairwise(steps)]
        return [*details, steps[-1]]

    shares = gaussian(np.repeat(share, 3, 2))
    result = None
    for s, f, b in reversed(list(zip(shares, laplacian(front), laplacian(back), strict=True))):
        mixed = s * f + (1 - s) * b
        result = mixed if result is None else mixed + cv2.pyrUp(result)
    np.testing.assert_allclose(laplace_blend(front, back, share), result, atol=1e-3)
    np.testing.assert_allclose(laplace_blend(front, back, share * 0), back, atol=1e-3)
    np.testing.assert_allclose(laplace_blend(front, back, share * 0 + 1), front, atol=1e-3)
    np.testing.assert_allclose(laplace_blend(back, back, share), back, atol=1e-3)
    odd = laplace_blend(front[:21, :13], back[:21, :13], share[:21, :13])
    assert odd.shape == (21, 13, 3)


def test_an_edit_goes_to_an_image_that_is_like_the_example():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2),
                            nn.Conv2d(32, 32, 3, padding=1), nn.ReLU())  # fmt: skip
    pyramid = Pyramid(network, ["1", "4"], Preprocess(model.Input(size=32, mean=[120] * 3)))
    search = Search((3, 3), (4, 2), border=0.1, finest=0)
    image = torch.from_numpy(
        np.random.default_rng(0).integers(0, 256, (1, 3, 40, 40), dtype=np.uint8)
    )
    mask = torch.zeros(32, 32, dtype=torch.bool)
    mask[12:18, 10:16] = True
    goal = image[0, :, 4:36, 4:36].clone()
    goal[:, mask] = 255
    same, off = image[:, :, 4:36, 4:36], image[:, :, 8:40, 4:36]
    found = Transfer(pyramid, goal, mask, search)(torch.cat([same, off]))
    assert torch.equal(found["copy"][0], goal)
    assert (found["laplace"][0].int() - goal.int()).abs().float().mean() < 12
    edited, expected = (found["copy"][1] != off[0]).any(0), mask.roll(-4, 0)
    assert edited[expected].float().mean() > 0.9
    assert edited[~expected].float().mean() < 0.05
    assert found["laplace"].dtype == torch.uint8
    alone = Transfer(pyramid, goal, mask, search)(off)
    assert torch.equal(alone["laplace"][0], found["laplace"][1])
    flat = torch.full((1, 3, 32, 32), 7, dtype=torch.uint8)
    nothing = Transfer(pyramid, flat[0], mask, search)(flat)
    assert torch.equal(nothing["copy"], flat)
