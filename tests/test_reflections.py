"""A rule between things that are apart: pairs of scenes, the target, and the change of rank one."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dissection.networks.progan import ProGAN, latents
from dissection.rewrite.edits import Rewritten
from dissection.rewrite.reflections import Rule, invert, mean_over, rank_one


@pytest.fixture
def rule() -> Rule:
    torch.manual_seed(0)
    return Rule(ProGAN(latent=8, widths=[8, 9, 7]), [3, 1], "layer2", "layer5", 5.0, -2.0)


@pytest.fixture
def where() -> torch.Tensor:
    area = torch.zeros(4, 4, 4)
    area[:, 0, 1:3] = 1
    area[:, 0, 0] = 0.5
    return area


def test_units_are_forced_where_windows_are(rule, where):
    z, layers = latents(1, 0, 4, 8), list(rule.network)
    pairs = rule.pairs(z, where)
    images = rule.images(pairs)
    with torch.no_grad():
        features = nn.Sequential(*layers[:2])(z.view(4, 8, 1, 1))
        for value, found in zip((5.0, -2.0), images.chunk(2), strict=True):
            x = features.clone()
            for unit in (1, 3):
                x[:, unit] = where * value + (1 - where) * x[:, unit]
            torch.testing.assert_close(nn.Sequential(*layers[2:])(x), found)
    assert list(rule.size("layer3")) == [8, 8]


def test_rank_one_by_singular_values():
    change = torch.randn(5, 4, 3, 3, generator=torch.Generator().manual_seed(1))
    direction, part = rank_one(change)
    matrix = change.transpose(0, 1).flatten(1)
    u, s, vh = torch.linalg.svd(matrix, full_matrices=False)
    nearest = (s[0] * u[:, :1] @ vh[:1]).view(4, 5, 3, 3).transpose(0, 1)
    torch.testing.assert_close(torch.einsum("urhw,ri->uihw", part, direction), nearest)
    assert direction.norm() == pytest.approx(1)


@pytest.mark.parametrize("layer", ["layer1", "layer2", "layer4"])
def test_inverting_swaps_what_reflections_are(rule, where, layer):
    """The weight is left as it was; the edit, made in the network, gives the loss that is reported."""
    z = latents(1, 0, 4, 8)
    pairs, reflections = rule.pairs(z, where), torch.zeros(4, 16, 16)
    reflections[:, 8:, 4:12] = 1
    state = {name: x.clone() for name, x in rule.network.state_dict().items()}
    edit, losses = invert(rule, pairs, reflections, layer, steps=25, rate=0.02, every=10)
    assert all(torch.equal(x, state[name]) for name, x in rule.network.state_dict().items())
    assert edit.rank == 1
    assert len(losses) == 26

    def features():
        return rule.run(pairs.z[:, :, None, None], pairs, 0, rule.target)

    with torch.no_grad():
        on, off = features().chunk(2)
        target = torch.cat([on, off])
        target[:4, :, 8:, 4:12], target[4:, :, 8:, 4:12] = off[:, :, 8:, 4:12], on[:, :, 8:, 4:12]
        assert losses[0] == pytest.approx(float(F.mse_loss(features(), target)), rel=1e-5)
        Rewritten(rule.network).add(edit)
        assert losses[-1] == pytest.approx(float(F.mse_loss(features(), target)), rel=1e-4)
    if layer == "layer4":
        assert losses[-1] < losses[0]


def test_mean_over_a_region():
    change = torch.arange(8.0).view(2, 2, 2)
    region = torch.tensor([[[True, False], [True, True]], [[False, False], [False, True]]])
    assert mean_over(change, region).tolist() == [pytest.approx(5 / 3), 7]
