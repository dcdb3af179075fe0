"""How different two images look: LPIPS (Zhang et al. 2018), of the published VGG-16 or AlexNet, or of a small network.

    lpips = load_lpips(config, device)              # of the profile's `judging.perceptual`
    lpips(before, after)                            # (n,), of (n, 3, h, w) uint8 RGB
    change = lpips.spatial(before, after)           # (n, h, w)
    sums, pixels = outside(change, dome)            # (n,) each: what changed where there was no dome
    (sums / pixels).mean()                          # the undesired change of tables 6.1 and 6.2

`lpips.name` is what tables call it. The thesis says AlexNet (B.2), the authors' code computes with VGG-16.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from dissection.config import Config, Layered
from dissection.errors import DissectionError
from dissection.networks import (
    Preprocess,
    asset_of,
    check_layers,
    load_state,
    network_of,
    read_weights,
)
from dissection.probe import Probe


class Pyramid:
    """Images to the outputs of several layers of a network."""

    def __init__(
        self,
        network: nn.Module,
        layers: Sequence[str],
        preprocess: Preprocess,
        size: int | None = None,
    ):
        """layers: module paths. size: that images are scaled to; none: seen as they are."""
        check_layers(network, layers)
        self.network, self.layers = network.eval().requires_grad_(False), list(layers)
        self.preprocess, self.size = preprocess, size

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> list[Tensor]:
        """(n, 3, h, w) uint8 RGB -> (n, units, h', w') of each layer."""
        pixels = images.to(next(self.network.parameters()).device).float()
        if self.size and pixels.shape[2:] != (self.size, self.size):
            pixels = interpolate(pixels, [self.size] * 2, mode="bilinear", antialias=True)
        pixels = self.preprocess.normalise(
            pixels if self.preprocess.order == "RGB" else pixels.flip(1)
        )
        with Probe(self.network, self.layers, stop=True) as probe:
            probe(pixels)
            return [probe.kept[layer] for layer in self.layers]


class LPIPS:
    """d = sum over layers of w . (u - v)^2 where u and v are units scaled to norm 1 at each place (eq. 1 there)."""

    def __init__(self, name: str, pyramid: Pyramid, weights: Sequence[Tensor] | None = None):
        """weights: (units,) of each layer; none: 1 for all."""
        self.name, self.pyramid, self.weights = name, pyramid, weights

    def __call__(self, before: Tensor, after: Tensor) -> Tensor:
        """(n, 3, h, w) uint8 RGB -> (n,), the mean over places of each layer, summed."""
        parts = [part.mean((1, 2)) for part in self._parts(before, after)]
        return torch.stack(parts).sum(0)

    def spatial(self, before: Tensor, after: Tensor) -> Tensor:
        """(n, 3, h, w) uint8 RGB -> (n, h, w), the layers' distances brought to the size of the images and summed."""
        shape = before.shape[2:]
        parts = [
            interpolate(part[:, None], shape, mode="bilinear", align_corners=False)[:, 0]
            for part in self._parts(before, after)
        ]
        return torch.stack(parts).sum(0)

    def _parts(self, before: Tensor, after: Tensor) -> Iterator[Tensor]:
        """Of each layer, (n, h', w')."""
        if before.shape != after.shape or before.dtype != torch.uint8 or after.dtype != torch.uint8:
            raise DissectionError(
                f"LPIPS: expected two (n, 3, h, w) uint8, found {tuple(before.shape)} {before.dtype}"
                f" and {tuple(after.shape)} {after.dtype}"
            )
        both = self.pyramid(torch.cat([before, after]))
        for number, features in enumerate(both):
            unit = features / (features.square().sum(1, keepdim=True).sqrt() + 1e-10)
            first, second = unit.chunk(2)
            apart = (first - second).square()
            if self.weights is not None:
                apart = apart * self.weights[number].to(apart)[:, None, None]
            yield apart.sum(1)


class Heads(nn.Module):
    """The weights as they were published: lin0.model.1.weight ..., (1, units, 1, 1), behind a dropout."""

    def __init__(self, units: Sequence[int]):
        super().__init__()
        for number, count in enumerate(units):
            head = nn.Module()
            head.model = nn.Sequential(nn.Dropout(), nn.Conv2d(count, 1, 1, bias=False))
            self.add_module(f"lin{number}", head)


def load_pyramid(config: Config, spec: Layered, device: torch.device) -> Pyramid:
    network, preprocess = network_of(config, spec.network, device)
    layers = [config.networks[spec.network].layers[name] for name in spec.layers]
    return Pyramid(network, layers, preprocess, spec.size)


def load_lpips(config: Config, device: torch.device) -> LPIPS:
    """Of the profile's `judging.perceptual`. Raises DissectionError if there is none, or its heads do not fit."""
    spec = config.judging.perceptual if config.judging else None
    if spec is None:
        raise DissectionError("judging.perceptual: missing; it says what compares images")
    pyramid = load_pyramid(config, spec, device)
    if spec.heads is None:
        return LPIPS(spec.name, pyramid)
    side = spec.size or pyramid.preprocess.size
    blank = torch.zeros(1, 3, side, side, dtype=torch.uint8)
    heads = Heads([features.shape[1] for features in pyramid(blank)])
    path = asset_of(config, spec.heads)
    load_state(heads, read_weights(path), path)
    return LPIPS(spec.name, pyramid, [weight.detach().flatten() for weight in heads.parameters()])


def pixel_change(before: Tensor, after: Tensor) -> Tensor:
    """(n, 3, h, w) uint8 -> (n, h, w): the sum over colours of what changed, colours being from -1 to 1.

    It is what the authors' scripts measured where the tables say LPIPS.
    """
    return (before.int() - after.int()).abs().sum(1) / 127.5


def outside(change: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
    """(n, h, w) change, and bool where it was wanted -> (n,) sums over the other pixels, and their numbers.

    The authors average LPIPS over images, (sums / pixels).mean(), and colours over pixels, sums.sum() / pixels.sum().
    """
    rest = ~source.to(change.device)
    return (change * rest).flatten(1).sum(1), rest.flatten(1).sum(1)
