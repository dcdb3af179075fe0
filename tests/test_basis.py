"""Random rotations, their powers along the geodesic, and layers dissected in them."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import expm, logm

from dissection.dissect.basis import power, random_rotation
from dissection.dissect.labels import Labels
from dissection.dissect.protocols import CVPR2017, PNAS2020
from dissection.dissect.run import Sample, measure
from dissection.probe import Probe
from test_dissect import LAYERS, Toy, image_of, network, resample


@given(st.integers(1, 12), st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_a_random_rotation_is_one(n, seed):
    q = random_rotation(n, seed)
    assert np.allclose(q @ q.T, np.eye(n))
    assert np.linalg.det(q) == pytest.approx(1)


def test_rotations_are_uniform():
    """Under the uniform distribution every entry has mean 0 and variance 1/n, the trace mean 0 and variance 1."""
    many = np.stack([random_rotation(6, seed) for seed in range(4000)])
    assert np.abs(many.mean(0)).max() < 0.035
    assert np.abs(many.var(0) - 1 / 6).max() < 0.03
    traces = np.trace(many, axis1=1, axis2=2)
    assert abs(traces.mean()) < 0.08
    assert abs(traces.var() - 1) < 0.12


@given(st.integers(2, 10), st.integers(0, 1000), st.floats(0, 1), st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_powers_lie_on_the_geodesic(n, seed, a, b):
    q = random_rotation(n, seed)
    assert np.allclose(power(q, 0), np.eye(n))
    assert np.allclose(power(q, 1), q)
    assert np.allclose(power(q, a) @ power(q, b), power(q, a + b), atol=1e-8)
    assert np.allclose(power(q, a), expm(a * logm(q)).real, atol=1e-6)


def test_reversed_axes_turn_in_pairs():
    q = np.diag([-1.0, 1.0, -1.0, 1.0])
    half = power(q, 0.5)
    assert np.allclose(half @ half, q)
    assert np.allclose(half @ half.T, np.eye(4))


@torch.no_grad()
def test_the_rotated_network_classifies_as_before():
    """Q in place of the units, and Q^T in front of what follows, leave every score as it was."""
    net = torch.nn.Sequential(
        *network(), torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten(), torch.nn.Linear(24, 5)
    )
    images = torch.stack([image_of(Toy(40))(i) for i in range(40)])
    for alpha in (0.3, 1.0):
        q = torch.from_numpy(power(random_rotation(6, 1), alpha)).float()

        def there_and_back(a, q=q, alpha=alpha):
            rotated = torch.einsum("kc,nchw->nkhw", q, a)
            assert alpha < 1 or (rotated - a).abs().mean() > 0.1 * a.abs().mean()
            return torch.einsum("kc,nkhw->nchw", q, rotated)

        with Probe(net, edits={"4": there_and_back}) as probe:
            scores = probe(images)
        assert torch.equal(scores.argmax(1), net(images).argmax(1))
        assert torch.allclose(scores, net(images), atol=1e-5)


@pytest.mark.parametrize("memory_gb", [1.0, 1e-9])
def test_a_layer_in_a_basis_is_the_layer_rotated(memory_gb):
    """Against a network that ends in a 1 x 1 convolution by Q; and all of it in the same passes."""
    dataset, q = Toy(), random_rotation(6, 3)
    options = {"batch": 7, "top_images": 3, "memory_gb": memory_gb, "device": torch.device("cpu"), "threads": 1,
               "progress": False}  # fmt: skip

    sample = Sample(image_of(dataset), len(dataset), Labels(dataset, resample))

    def run(net, layers, bases=None):
        return measure(net, layers, sample, [CVPR2017, PNAS2020], bases=bases, **options)

    turned = torch.nn.Conv2d(6, 6, 1, bias=False)
    turned.weight.data = torch.from_numpy(q).float()[:, :, None, None]
    expected = run(torch.nn.Sequential(*network(), turned), {"turned": "5"}).layers["turned"]
    result = run(network(), LAYERS, {"late@Q": ("late", q)})
    assert list(result.layers) == ["early", "late", "late@Q"]
    assert memory_gb < 1 or result.forward_passes == 1
    found = result.layers["late@Q"]
    for p in (CVPR2017, PNAS2020):
        assert torch.allclose(found.threshold[p.name], expected.threshold[p.name], atol=1e-5)
        difference = found.overlap[p.name].intersection - expected.overlap[p.name].intersection
        assert difference.abs().sum() <= 4  # a pixel whose last bit decides may fall on either side
    assert found.centres == expected.centres
