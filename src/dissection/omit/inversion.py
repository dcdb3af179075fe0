"""Layer inversion: what a generator's later layers can draw of an image (thesis 5.3.2).

    layers = Layers(generator, 4)                   # g_1 ... g_4, and G_f behind them (eq. 5.1)
    z0 = encoder(images)                            # `networks.encoder`; trained by `omit.train`
    target = Target(images, features)               # l(x, .)
    found = relax(layers, z0, target, steps)        # found.r is r*, found.images G_f(r*) (eq. 5.5)
    z = refine(layers, z0, target, steps)           # z itself is moved, for comparison: methods a, c, e
    adapt(layers, r, target, steps, weight)         # the weights of G_f are moved, for one photograph
    correlation(found.r, r)                         # (n,), over the components of each image

Images are (n, 3, h, h) from -1 to 1. Norms are means over components, as in the authors' code: for those lambda_V and
lambda_reg are what the thesis says. Many images are inverted at once: each has a loss of its own, and Adam goes
component by component, so that none is told of another. That is so but for rounding, which an L1 loss, of whose
gradient only the sign counts, magnifies from step to step; in float64 (generator, z and images) it stays small.
"""

from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from dissection.adam import Adam
from dissection.errors import DissectionError
from dissection.features import Target

FALLS = (800 / 3000, 1200 / 3000, 1800 / 3000)  # of the steps, at which the authors halve the rate


class Layers:
    """A generator cut behind layer n (eq. 5.1): early[i - 1] is g_i, late is G_f. Its weights ask for no gradients.

    Raises DissectionError unless its layers follow one another, as a ProGAN's do, and are more than n.
    """

    def __init__(self, generator: nn.Module, n: int):
        if not isinstance(generator, nn.Sequential) or len(generator) <= n:
            raise DissectionError(
                f"inversion: expected a generator of more than {n} layers in a row, such as a ProGAN; "
                f"found {type(generator).__name__}"
            )
        blocks = dict(generator.eval().requires_grad_(False).named_children())
        self.early = list(blocks.values())[:n]
        self.late = nn.Sequential(OrderedDict(list(blocks.items())[n:]))  # by their own names

    def features(self, z: Tensor, changes: dict[int, Tensor] | None = None) -> list[Tensor]:
        """z (n, size) or (n, size, 1, 1) -> r_1 ... r_n. changes: delta_i, added to r_i, by i."""
        found, x = [], z.flatten(1)[:, :, None, None]
        for i, layer in enumerate(self.early, start=1):
            x = layer(x)
            if changes and i in changes:
                x = x + changes[i]
            found.append(x)
        return found

    def __call__(self, z: Tensor) -> Tensor:
        """G(z)"""
        return self.late(self.features(z)[-1])


class Steps(NamedTuple):
    """How long to search, by Adam, and how fast to begin; the rate is halved three times, as by the authors."""

    number: int
    rate: float


class Relaxed(NamedTuple):
    r: Tensor  # r*, (n, units, h, w)
    images: Tensor  # G_f(r*)
    changes: dict[int, Tensor]  # delta_i


def relax(
    layers: Layers,
    z: Tensor,
    target: Target,
    steps: Steps,
    weight: float = 1.0,
    perturbed: Collection[int] | None = None,
) -> Relaxed:
    """
    r* near what the early layers make of z0, by small perturbations of each (eq. 5.5).

    weight: lambda_reg. perturbed: layers that have a delta; all n of eq. 5.5 by default, all but the n-th in the
    authors' code.
    """
    with torch.no_grad():
        plain = layers.features(z)
    chosen = range(1, len(plain) + 1) if perturbed is None else perturbed
    changes = {i: torch.zeros_like(plain[i - 1], requires_grad=True) for i in chosen}

    def loss() -> Tensor:
        found = target(layers.late(layers.features(z, changes)[-1]))
        for delta in changes.values():
            found = found + weight * delta.square().flatten(1).mean(1)
        return found

    _descend(list(changes.values()), loss, steps)
    with torch.no_grad():
        r = layers.features(z, changes)[-1]
        return Relaxed(r, layers.late(r), {i: delta.detach() for i, delta in changes.items()})


def refine(layers: Layers, z: Tensor, target: Target, steps: Steps) -> Tensor:
    """z, in the shape it came in, moved until the generator draws the images: methods a, c and e of figure 5-6."""
    z = z.detach().clone().requires_grad_()
    _descend([z], lambda: target(layers(z)), steps)
    return z.detach()


def adapt(
    layers: Layers, r: Tensor, target: Target, steps: Steps, weight: float = 1.0
) -> tuple[dict[str, Tensor], Tensor]:
    """
    theta = argmin l(x, G_f(r; theta)) + weight R(theta) (the talk's slides): the weights of G_f with which it draws a
    photograph from the r (1, units, h, w) that inversion found; by name, and the image. Searched as changes of the
    original ones, from 0; `layers` stays as it is.
    """
    theta = dict(layers.late.named_parameters())
    changes = {name: torch.zeros_like(t, requires_grad=True) for name, t in theta.items()}

    def adapted() -> dict[str, Tensor]:
        return {name: t + changes[name] for name, t in theta.items()}

    def loss() -> Tensor:
        made = functional_call(layers.late, adapted(), (r,))
        return target(made) + weight * departure(theta, changes)

    _descend(list(changes.values()), loss, steps)
    with torch.no_grad():
        found = adapted()
        return found, functional_call(layers.late, found, (r,))


def departure(theta: Mapping[str, Tensor], changes: Mapping[str, Tensor]) -> Tensor:
    """
    R(theta) = sum over layers k = 1, 2, ... of k |Delta_k|^2 / |theta_k|^2, the first of them the coarsest: fine layers
    stay the nearest to the original, so that what they make of units stays what it was.

    theta: the original weights and biases, <layer>.<...>, layer by layer; changes: Delta, by the same names.
    """
    names = list(dict.fromkeys(name.partition(".")[0] for name in theta))

    def squares(tensors: Mapping[str, Tensor], layer: str) -> Tensor:
        own = [t for name, t in tensors.items() if name.partition(".")[0] == layer]
        return torch.stack([t.square().sum() for t in own]).sum()

    parts = [
        k * squares(changes, layer) / squares(theta, layer) for k, layer in enumerate(names, 1)
    ]
    return torch.stack(parts).sum()


def _descend(variables: list[Tensor], loss: Callable[[], Tensor], steps: Steps) -> None:
    """Adam on tensors of (n, ...); loss: (n,), of which each depends on its own part of them."""
    adam = Adam(variables, steps.rate)
    for step in range(steps.number):
        adam.rate = steps.rate * 0.5 ** sum(step >= fall * steps.number for fall in FALLS)
        for variable in variables:
            variable.grad = None
        loss().sum().backward()
        adam.step()


def correlation(a: Tensor, b: Tensor) -> Tensor:
    """(n, ...), (n, ...) -> (n,) float64: Pearson's, over each image's components; nan where all are equal."""
    a, b = (x.flatten(1).double() for x in (a, b))
    a, b = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
    return (a * b).sum(1) / (a.square().sum(1) * b.square().sum(1)).sqrt()
