"""Remove units of a layer, one by one or in sets, and see what the network says without them.

    ablation = Ablation(network, "relu5")
    state = ablation.run(images)           # up to the layer, once
    state.scores                           # (images, classes) with all units
    ablation.each(state)                   # (images, units, classes) without one unit
    ablation.sets(state, removed)          # (images, sets, classes); removed: (sets, units) bool

A removed unit puts out 0 (PNAS 2020, "The Role of Units in a Classifier"). Where a linear layer follows,
only through operations that treat every channel by itself, its sums for the image are taken once, and a
unit's part in them W[:, columns of the unit] (f(unit) - f(0)) is taken away: then only what comes after
is run for each unit. A unit that feeds nothing into the sums leaves the scores as they are, exactly. Any
other network runs all that follows the layer, except for units that are 0 on the image already.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from dissection.probe import layer_module, split, trace

MODULES = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.Sigmoid, nn.Tanh, nn.BatchNorm2d, nn.MaxPool2d, nn.AvgPool2d,
    nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.Dropout, nn.Dropout2d, nn.Flatten, nn.Identity,
)  # fmt: skip
FUNCTIONS = (
    torch.flatten, torch.relu, F.relu, F.max_pool2d, F.avg_pool2d, F.adaptive_avg_pool2d, F.dropout
)  # fmt: skip
METHODS = ("flatten", "relu", "relu_")
VALUES = 1 << 24  # numbers in the activations that are kept at a time for sets of units

Operation = Callable[[Tensor], Tensor]


class State(NamedTuple):
    """What the network makes of some images up to the layer, and with all units."""

    before: tuple[Tensor, ...]  # the layer's output first, then what else the rest needs
    scores: Tensor  # (images, classes)
    fed: Tensor | None  # (images, units, cells) what a unit feeds the linear layer beyond its f(0)
    sums: Tensor | None  # (images, outputs) of the linear layer

    @property
    def activations(self) -> Tensor:
        """(images, units, h, w)"""
        return self.before[0]


class Ablation:
    """A network in eval mode, cut behind a layer; results are the same for any batch of images."""

    def __init__(self, network: nn.Module, layer: str):
        self.head, self.tail = split(network, layer)
        self.linear: Any = None  # an nn.Linear
        if (found := _linear_after(network, layer)) is not None:
            self.through, name = found
            self.linear = layer_module(network, name)
            self.rest = split(network, name)[1]

    @torch.no_grad()
    def run(self, images: Tensor) -> State:
        """images: (images, 3, h, w), the input of the network."""
        before = self.head(images)
        if self.linear is None or len(before) > 1:  # something else leads around the layer
            return State(before, self.tail(before, before[0]), None, None)
        columns = self._flat(before[0])
        sums = self.linear(columns)
        units = before[0].shape[1]
        fed = columns - self._flat(torch.zeros_like(before[0][:1]))
        return State(before, self.rest((sums,), sums), fed.unflatten(1, (units, -1)), sums)

    @torch.no_grad()
    def each(self, state: State) -> Tensor:
        """(images, units, classes): the scores without each unit alone."""
        units = state.activations.shape[1]
        scores = state.scores[:, None].repeat(1, units, 1)
        if state.fed is None or state.sums is None:
            single = torch.eye(units, dtype=torch.bool, device=scores.device)
            values = state.activations.flatten(1).unflatten(1, (units, -1))
            for image, active in enumerate(values.any(2)):
                scores[image, active] = self._tail(state, image, single[active])
        else:
            parts = self._parts(state.fed)
            for image, active in enumerate(state.fed.any(2)):
                scores[image, active] = self._rest(state.sums[image] - parts[active, image])
        return scores

    @torch.no_grad()
    def sets(self, state: State, removed: Tensor) -> Tensor:
        """(images, sets, classes): the scores without each set of units together."""
        if state.fed is None or state.sums is None:
            return torch.stack([self._tail(state, i, removed) for i in range(len(state.scores))])
        parts = self._parts(state.fed).unbind(1)
        share = removed.to(state.sums.dtype)
        return torch.stack([
            torch.cat([self._rest(s - some @ p) for some in share.split(_at_a_time(s))])
            for s, p in zip(state.sums, parts, strict=True)
        ])  # fmt: skip

    def _flat(self, activations: Tensor) -> Tensor:
        return self.through(activations.clone())  # an in-place operation may follow

    def _parts(self, fed: Tensor) -> Tensor:
        """(units, images, outputs): what each unit adds to the sums of the linear layer."""
        weight = self.linear.weight.unflatten(1, fed.shape[1:])  # (outputs, units, cells)
        return torch.bmm(fed.transpose(0, 1), weight.permute(1, 2, 0))

    def _rest(self, sums: Tensor) -> Tensor:
        return self.rest((sums,), sums)

    def _tail(self, state: State, image: int, removed: Tensor) -> Tensor:
        """(sets, classes) of one image by all that follows the layer."""
        one = [s[image : image + 1] for s in state.before]
        scores = [state.scores[:0]]
        for some in removed.split(_at_a_time(one[0])):
            a = one[0].masked_fill(some.view(*some.shape, *[1] * (one[0].dim() - 2)), 0)
            scores.append(self.tail(tuple(s.expand(len(a), *s.shape[1:]) for s in one), a))
        return torch.cat(scores)


def _at_a_time(activations: Tensor) -> int:
    return max(1, min(512, VALUES // math.prod(activations.shape)))


def _linear_after(network: nn.Module, layer: str) -> tuple[Operation, str] | None:
    """What leads from the layer to the linear layer that it feeds, and that layer's name."""
    graph = trace(network, layer)
    node = next((n for n in graph.nodes if n.target == layer), None) if graph else None
    modules, steps = dict(network.named_modules()), list[Operation]()
    while node is not None and len(node.users) == 1:
        before, (node,) = node, node.users
        if node.all_input_nodes != [before] or not node.args or node.args[0] is not before:
            return None
        module = modules.get(str(node.target)) if node.op == "call_module" else None
        if isinstance(module, nn.Linear):
            return (lambda a: _chain(steps, a)), str(node.target)
        step = _step(node, module)
        if step is None:
            return None
        steps.append(step)
    return None


def _step(node: fx.Node, module: nn.Module | None) -> Operation | None:
    """The operation of a node if it treats every channel by itself."""
    if isinstance(module, MODULES):
        return module
    known = node.op == "call_function" and node.target in FUNCTIONS
    if known or (node.op == "call_method" and node.target in METHODS):
        return partial(_call, node.target, node.args[1:], node.kwargs)
    return None


def _call(function: Any, args: tuple, kwargs: dict[str, Any], a: Tensor) -> Tensor:
    function = getattr(Tensor, function) if isinstance(function, str) else function
    return function(a, *args, **kwargs)


def _chain(steps: list[Operation], a: Tensor) -> Tensor:
    for step in steps:
        a = step(a)
    return a
