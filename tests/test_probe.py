"""Keeping, editing and cutting, on networks with in-place activations, skips and control flow."""

import pytest
import torch
from torch import nn

from dissection.errors import DissectionError
from dissection.probe import Probe, receptive_field_centres, split


class Branching(nn.Module):
    """In-place modules and functions, a skip connection, a concatenation."""

    def __init__(self) -> None:
        super().__init__()
        self.c1 = nn.Conv2d(3, 8, 5, stride=2)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(3, 2)
        self.c2 = nn.Conv2d(8, 8, 3, padding=1)
        self.c3 = nn.Conv2d(8, 8, 1)
        self.fc = nn.Linear(8, 4)

    def forward(self, x):
        a = self.pool(self.relu(self.c1(x)))
        b = torch.relu_(self.c2(a))
        y = torch.cat([b, self.c3(a)], 1)[:, 4:12]
        y += a
        return self.fc(y.mean((2, 3)))


class Deciding(Branching):
    """Control flow that depends on data: torch.fx cannot trace it."""

    def forward(self, x):
        a = self.c1(x)
        if a.mean() > 1e9:
            return x
        return self.fc(self.relu(self.c3(self.pool(a))).mean((2, 3)))


@pytest.fixture(params=[Branching, Deciding])
def network(request):
    torch.manual_seed(0)
    return request.param().eval()


@pytest.fixture
def images():
    return torch.randn(3, 3, 37, 37, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_kept_is_the_output_before_an_in_place_activation(network, images):
    with Probe(network, ["c1"]) as probe:
        output = probe(images)
        expected = nn.functional.conv2d(images, network.c1.weight, network.c1.bias, stride=2)
        assert torch.allclose(probe.kept["c1"], expected, atol=1e-6)
        assert (probe.kept["c1"] < 0).any()
    assert torch.equal(output, network(images))  # hooks are gone, and changed nothing


@torch.no_grad()
def test_stop_runs_no_further(network, images):
    ran = []
    network.fc.register_forward_hook(lambda *_: ran.append(1))
    with Probe(network, ["c1", "pool"], stop=True) as probe:
        assert probe(images) is None
    assert set(probe.kept) == {"c1", "pool"}
    assert not ran


@torch.no_grad()
def test_edit_reaches_the_output_and_what_is_kept(network, images):
    def ablate(a):
        return a * (torch.arange(8) != 2)[:, None, None]

    with Probe(network, ["c3"], {"c3": ablate}) as probe:
        edited = probe(images)
        assert (probe.kept["c3"][:, 2] == 0).all()
    with torch.no_grad():
        network.c3.weight[2] = 0
        network.c3.bias[2] = 0
    assert torch.allclose(edited, network(images), atol=1e-6)


@pytest.mark.parametrize("layer", ["c1", "pool", "c3"])
@torch.no_grad()
def test_tail_of_head_is_the_network(network, images, layer):
    head, tail = split(network, layer)
    state = head(images)
    before = [s.clone() for s in state]
    assert torch.equal(tail(state, state[0]), network(images))
    changed = state[0] + 1
    with Probe(network, edits={layer: lambda a: a + 1}) as probe:
        assert torch.equal(tail(state, changed), probe(images))
    assert all(torch.equal(a, b) for a, b in zip(state, before, strict=True))  # nothing written


@torch.no_grad()
def test_tail_does_not_run_what_comes_before(images):
    torch.manual_seed(0)
    network = Branching().eval()
    head, tail = split(network, "c2")
    state = head(images)
    ran = []
    network.c1.register_forward_hook(lambda *_: ran.append(1))
    tail(state, state[0])
    assert not ran


def test_a_wrong_layer_lists_the_choices(network):
    with pytest.raises(DissectionError, match=r"'c9': no such layer; choices: c1, relu"):
        Probe(network, ["c9"]).__enter__()
    with pytest.raises(DissectionError, match="no such layer"):
        split(network, "")


@torch.no_grad()
def test_a_layer_that_runs_twice_or_never_is_refused(images):
    twice = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU())
    twice.append(twice[1])
    with Probe(twice, ["1"]) as probe, pytest.raises(DissectionError, match="more than once"):
        probe(images)
    network = Deciding().eval()
    with Probe(network, ["c2"]) as probe, pytest.raises(DissectionError, match="did not run"):
        probe(images)


def test_receptive_field_centres_are_where_the_gradient_is_centred():
    """Independently: with positive weights and no rectifier, the gradient of one activation covers its
    receptive field, whose middle is the centre."""
    network = nn.Sequential(
        nn.Conv2d(1, 2, 7, stride=2, padding=2),
        nn.AvgPool2d(3, 2),
        nn.Conv2d(2, 2, (3, 5), padding=(1, 2), dilation=(2, 1)),
        nn.Conv2d(2, 2, 2, stride=2),
    )
    for p in network.parameters():
        p.data = p.data.abs() + 0.1
    image = torch.ones(1, 1, 96, 96, requires_grad=True)
    (offset, stride) = receptive_field_centres(network, ["3"], image)["3"]
    output = network(image)
    row, column = output.shape[2] // 2, output.shape[3] // 2
    (gradient,) = torch.autograd.grad(output[0, 0, row, column], image)
    rows = gradient[0, 0].sum(1).nonzero().double()
    columns = gradient[0, 0].sum(0).nonzero().double()
    assert (rows.min() + rows.max()).item() / 2 == offset[0] + stride[0] * row
    assert (columns.min() + columns.max()).item() / 2 == offset[1] + stride[1] * column
