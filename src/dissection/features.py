"""Feature vectors of images, whose means and covariances the Fréchet distance compares.

    extractor = load_extractor(config, device)      # of the profile's `features`
    gaussian = Gaussian(extractor.units)
    for vectors in features(extractor, batches):    # of (n, 3, h, w) uint8 RGB
        gaussian.add(vectors)

One path for the published FID Inception and for the small network of the smoke profile; `extractor.name` is what a
table calls the features, for only the first gives an FID.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dissection.config import Config
from dissection.errors import DissectionError
from dissection.networks import Preprocess, check_layers, network_of
from dissection.probe import Probe


@dataclass(frozen=True)
class Extractor:
    """layer: path of the module whose units' means over all positions are the features."""

    name: str
    network: nn.Module
    layer: str
    preprocess: Preprocess
    device: torch.device

    @property
    def units(self) -> int:
        size = self.preprocess.resize
        return self(torch.zeros(1, 3, size, size, dtype=torch.uint8)).shape[1]

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        """(n, 3, h, w) uint8 RGB -> (n, units) float32. Raises DissectionError for anything but uint8."""
        if images.dtype != torch.uint8:
            raise DissectionError(f"features {self.name}: images of {images.dtype}; expected uint8")
        prepare = self.preprocess
        pixels = stretch(images.to(self.device).float(), prepare.resize)
        crop = slice(prepare.offset, prepare.offset + prepare.size)
        pixels = pixels[..., crop, crop]
        if prepare.order == "BGR":
            pixels = pixels.flip(1)
        with Probe(self.network, [self.layer], stop=True) as probe:
            probe(prepare.normalise(pixels))
            return probe.kept[self.layer].mean((2, 3))


def features(extractor: Extractor, images: Iterable[Tensor]) -> Iterator[Tensor]:
    """Batches of (n, 3, h, w) uint8 RGB -> batches of (n, units) float32, one at a time."""
    return map(extractor, images)


def load_extractor(config: Config, device: torch.device) -> Extractor:
    """Of the profile's `features`. Raises DissectionError if it has none, or the network no such layer."""
    spec = config.features
    if spec is None:
        raise DissectionError("features: the profile names no network; add `features`")
    network, preprocess = network_of(config, spec.network, device)
    layer = config.networks[spec.network].layers[spec.layer]
    check_layers(network, [layer])
    return Extractor(spec.name, network.requires_grad_(False), layer, preprocess, device)


def stretch(images: Tensor, size: int) -> Tensor:
    """(n, c, h, w) float -> (n, c, size, size), bilinear as in TensorFlow 1 (ResizeBilinear, align_corners=False),
    in which the FID was defined: pixel i is read at i h / size, from the two pixels beside it. There is no shift by
    half a pixel and no filter against aliasing, other than in Pillow or torch, which give another FID.
    """
    for axis in (-1, -2):  # in TensorFlow's order and precision
        length = images.shape[axis]
        position = torch.arange(size, device=images.device) * torch.tensor(length / size)
        low = position.long()
        weight = position - low
        left = images.index_select(axis, low)
        right = images.index_select(axis, (low + 1).clamp(max=length - 1))
        images = left + (right - left) * (weight if axis == -1 else weight[:, None])
    return images


class Features:
    """V: what a layer of a network of images says of images of any size."""

    def __init__(self, network: nn.Module, layer: str, preprocess: Preprocess, raw: bool = False):
        """raw: the network is shown images from -1 to 1, as by the authors' code, not normalised as it was trained."""
        self.network, self.layer = network.eval().requires_grad_(False), layer
        self.preprocess, self.raw = preprocess, raw

    def __call__(self, images: Tensor) -> Tensor:
        if not self.raw:
            pixels = images.add(1).mul(127.5)
            images = self.preprocess.normalise(
                pixels if self.preprocess.order == "RGB" else pixels.flip(1)
            )
        with Probe(self.network, [self.layer], stop=True) as probe:
            probe(images)
            return probe.kept[self.layer]


class Target:
    """l(x, .) = |x - .| + lambda_V |V(x) - V(.)| (eq. 5.5) of images x; without V, of pixels alone."""

    def __init__(
        self,
        images: Tensor,
        features: Callable[[Tensor], Tensor] | None = None,
        weight: float = 1.0,
        squared: bool = False,
    ):
        """squared: |V(x) - V(.)|^2 instead. The authors' loss of method e has this with the encoder as V, and 0.25."""
        self.images, self.features, self.weight, self.squared = images, features, weight, squared
        with torch.no_grad():
            self.wanted = None if features is None else features(images)

    def __call__(self, made: Tensor) -> Tensor:
        """(n, 3, h, h) -> (n,), each image against its own."""
        found = (made - self.images).abs().flatten(1).mean(1)
        if self.features is not None and self.wanted is not None:
            apart = (self.features(made) - self.wanted).flatten(1)
            apart = apart.square() if self.squared else apart.abs()
            found = found + self.weight * apart.mean(1)
        return found
