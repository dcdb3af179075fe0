"""Units removed, attacked and taken as detectors, against the network run as a whole."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dissection.intervene.ablation import Ablation
from dissection.networks.alexnet import alexnet
from dissection.networks.vgg import vgg16
from dissection.probe import Probe


class Skip(nn.Module):
    """A residual block behind the layer, and one connection that leads around the layer."""

    def __init__(self, around: bool) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.layer = nn.Conv2d(6, 6, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.block = nn.Conv2d(6, 6, 3, padding=1)
        self.fc = nn.Linear(6, 5)
        self.around = around

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        y = self.relu(self.layer(x))
        y = y + x if self.around else y + self.block(y)
        return self.fc(y.mean((2, 3)))


class Functional(nn.Module):
    """Batch norm moves what a removed unit puts out away from 0; pooling by functions."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 8, 3)
        self.norm = nn.BatchNorm2d(8)
        self.fc1, self.fc2 = nn.Linear(8 * 9, 7), nn.Linear(7, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.max_pool2d(F.relu(self.norm(self.layer(x))), 2)
        x = torch.flatten(F.adaptive_avg_pool2d(x, (3, 3)), 1)
        return self.fc2(torch.tanh(self.fc1(x)))


class Loose(nn.Module):
    """Control flow that depends on data: no graph can be traced."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.relu, self.fc = nn.Conv2d(3, 6, 5), nn.ReLU(inplace=True), nn.Linear(6, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.layer(x)).amax((2, 3))
        return self.fc(x if float(x.sum()) > 0 else -x)


def small(**more) -> nn.Sequential:
    return alexnet(5, 32, (6, 6, 8, 8, 9), 10, kernel=3, stride=1, groups=(1, 1, 1, 1, 1), **more)


def in_place() -> nn.Sequential:
    relu, pool = nn.ReLU(inplace=True), nn.MaxPool2d(2)
    return nn.Sequential(nn.Conv2d(3, 7, 3), relu, pool, nn.Flatten(), nn.Linear(7 * 225, 5))


NETWORKS = {  # name -> (network, layer, whether only the linear layer's part is run)
    "alexnet": (small, "relu5", True),
    "before the rectifier": (small, "conv5", True),
    "normalised": (lambda: small(batch_norm=True), "conv5", True),
    "an inner layer": (small, "relu3", False),
    "gap": (lambda: small(gap=True), "relu5", True),
    "vgg16": (lambda: vgg16(5, 32, (3, 4, 5, 6, 8), 9), "features.conv5_3", True),
    "in place": (in_place, "0", True),
    "skip": (lambda: Skip(False), "layer", False),
    "skip around": (lambda: Skip(True), "layer", False),
    "functional": (Functional, "layer", True),
    "loose": (Loose, "layer", False),
    "a linear layer's units": (small, "fc6", True),
}


@torch.no_grad()
def without(network: nn.Module, layer: str, images: torch.Tensor, units: list[int]) -> torch.Tensor:
    """A full forward pass with some units of the layer set to 0."""

    def edit(a: torch.Tensor) -> torch.Tensor:
        a = a.clone()
        a[:, units] = 0
        return a

    with Probe(network, edits={layer: edit}) as probe:
        return probe(images)


@pytest.mark.parametrize("name", NETWORKS)
def test_ablation_equals_full_forward_passes(name: str) -> None:
    torch.manual_seed(2)
    build, layer, low_rank = NETWORKS[name]
    network = build().eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(), module.bias.data.normal_()
    images = torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        dead = network.get_submodule(layer.replace("relu", "conv"))
        dead.bias[:2] = -50  # two units that never pass a rectifier
    ablation = Ablation(network, layer)
    state = ablation.run(images)
    assert (state.fed is not None) == low_rank
    units = state.activations.shape[1]
    assert torch.allclose(state.scores, without(network, layer, images, []), atol=1e-5)
    expected = torch.stack([without(network, layer, images, [u]) for u in range(units)], 1)
    assert torch.allclose(ablation.each(state), expected, atol=1e-5)
    removed = torch.rand(4, units) < torch.tensor([0, 0.3, 0.7, 1])[:, None]
    together = [without(network, layer, images, s.nonzero()[:, 0].tolist()) for s in removed]
    expected = torch.stack(together, 1)
    assert torch.allclose(ablation.sets(state, removed), expected, atol=1e-5)


def test_a_unit_that_is_zero_changes_nothing_at_all() -> None:
    network = vgg16(5, 32, (3, 4, 5, 6, 8), 9).eval()
    with torch.no_grad():
        network.get_submodule("features.conv5_3").bias[3] = -50
    ablation = Ablation(network, "features.conv5_3")
    state = ablation.run(torch.randn(2, 3, 32, 32))
    assert torch.equal(ablation.each(state)[:, 3], state.scores)
