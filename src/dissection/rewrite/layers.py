"""A generator cut at a layer that is an associative memory (thesis 6.3.2): keys, a linear map of them, values.

    memory = memory_of(network, "layer8")
    cut = memory.cut(z)                              # cut.key (n, inputs, h, w): up to the linear map
    value = memory.value(cut)                        # (n, units, h', w'): the linear map, and what ends the layer
    images = memory.images(cut, value)               # (n, 3, H, W)

The value of a StyleGAN2 is the layer's output; of a ProGAN, as in the authors' code, what the convolution gives,
before its scale, bias and activation: a linear layer. h' = 2 h where a StyleGAN2 doubles the size.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from dissection.errors import DissectionError
from dissection.networks.progan import Block, ProGAN
from dissection.networks.stylegan import GAIN
from dissection.networks.stylegan2 import Styled, StyleGAN2, noise_of
from dissection.probe import layer_module
from dissection.stats import SecondMoment

MARGIN = 1  # cells around a crop that its values depend on: kernels are 3 x 3


class Cut(NamedTuple):
    """Keys (n, inputs, h, w) of images, and what else the generator has of them before the layer."""

    key: Tensor
    before: Any


class Ending(NamedTuple):
    """How a layer goes on after its linear map (eq. 6.17), for one image:

    activation(linear / |W style| + add), |.| being the norm of each unit's weights.

    style: (inputs,), in which the weight's scale is contained; add: (units, h', w').
    """

    style: Tensor
    add: Tensor


class Memory(ABC):
    """Layer `layer` of a generator. weight: (units, inputs, kh, kw), called `name` in the network."""

    def __init__(self, network: nn.Module, layer: str, name: str):
        self.network, self.layer, self.name = network.eval(), layer, f"{layer}.{name}"
        self.weight = network.get_parameter(self.name)
        self.device = self.weight.device

    @abstractmethod
    def cut(self, z: Tensor) -> Cut:
        """z: (n, size)."""

    @abstractmethod
    def linear(self, key: Tensor, weight: Tensor) -> Tensor:
        """(n, inputs, h, w), (units, inputs, kh, kw) -> (n, units, h', w'); linear in either, for any inputs."""

    @abstractmethod
    def value(self, cut: Cut) -> Tensor:
        """(n, units, h', w')"""

    @abstractmethod
    def images(self, cut: Cut, value: Tensor) -> Tensor:
        """(n, 3, H, W), about -1 to 1."""

    @abstractmethod
    def ending(self, cut: Cut, height: int, width: int) -> Ending | None:
        """Of the first image, at height x width values; None: the value is what the linear map gives."""


class ProGANMemory(Memory):
    def __init__(self, network: ProGAN, layer: str):
        super().__init__(network, layer, "conv.weight")
        self.at = list(dict(network.named_children())).index(layer)
        self.blocks: list[Any] = list(network)
        self.block = self.blocks[self.at]
        self.normed_after = isinstance(self.block.norm, nn.BatchNorm2d)

    @torch.no_grad()
    def cut(self, z: Tensor) -> Cut:
        x = z.to(self.device).flatten(1)[:, :, None, None]
        for block in self.blocks[: self.at]:
            x = block(x)
        x = x if self.normed_after else self.block.norm(x)
        return Cut(F.interpolate(x, scale_factor=2.0) if self.block.up else x, None)

    def linear(self, key: Tensor, weight: Tensor) -> Tensor:
        return F.conv2d(key, weight, padding=self.block.conv.padding)

    @torch.no_grad()
    def value(self, cut: Cut) -> Tensor:
        return self.linear(cut.key, self.weight)

    @torch.no_grad()
    def images(self, cut: Cut, value: Tensor) -> Tensor:
        scaled = hasattr(self.block, "wscale")
        bias = self.block.wscale.b if scaled else self.block.conv.bias
        x = value * self.block.wscale.scale if scaled else value
        x = x if bias is None else x + bias[:, None, None]
        x = self.block.act(self.block.norm(x) if self.normed_after else x)
        for block in self.blocks[self.at + 1 :]:
            x = block(x)
        return x

    def ending(self, cut: Cut, height: int, width: int) -> Ending | None:
        return None


class StyleGAN2Memory(Memory):
    def __init__(self, network: StyleGAN2, layer: str):
        super().__init__(network, layer, "dconv.weight")
        self.generator = network
        self.block: Any = layer_module(network, layer)
        names = [name for name, _ in network.named_children()]
        self.previous = names[names.index(layer) - 1]

    @torch.no_grad()
    def cut(self, z: Tensor) -> Cut:
        state = self.generator.start(z.to(self.device))
        before = self.generator.run(state, until=self.previous)
        return Cut(self.block.key(before), before)

    def linear(self, key: Tensor, weight: Tensor) -> Tensor:
        # with the layer's own scale, whatever the number of inputs
        return functional_call(self.block.dconv, {"weight": weight}, key)

    @torch.no_grad()
    def value(self, cut: Cut) -> Tensor:
        return self.block.finish(self.block.dconv(cut.key), cut.before).features

    @torch.no_grad()
    def images(self, cut: Cut, value: Tensor) -> Tensor:
        after = cut.before._replace(features=value)
        rgb = self.generator.run(after, after=self.layer).rgb
        assert rgb is not None
        return rgb

    @torch.no_grad()
    def ending(self, cut: Cut, height: int, width: int) -> Ending | None:
        block, before = self.block, cut.before
        seed = None if before.seed is None else before.seed[:1]
        noise = noise_of(seed, 1, block.number + 2, height, width)[0].to(cut.key)
        add = block.noise.weight * noise + block.activate.bias[:, None, None]
        return Ending(block.styles(before)[0, :, 0, 0] * block.dconv.scale, add)


def memory_of(network: nn.Module, layer: str) -> Memory:
    """layer: path of the module, or of a StyleGAN2's `activate`, which is dissected in its place.

    Raises DissectionError unless it is one of a ProGAN's or StyleGAN2's that convolve.
    """
    layer = layer.removesuffix(".activate")
    module = layer_module(network, layer)
    if isinstance(network, ProGAN) and isinstance(module, Block):
        return ProGANMemory(network, layer)
    if isinstance(network, StyleGAN2) and isinstance(module, Styled):
        return StyleGAN2Memory(network, layer)
    raise DissectionError(
        f"layer {layer}: a {type(module).__name__} of a {type(network).__name__} cannot be rewritten; expected"
        " a layer of a ProGAN, or of a StyleGAN2 after its first"
    )


def activation(linear: Tensor) -> Tensor:
    """The one that ends a layer of a StyleGAN2."""
    return F.leaky_relu(linear, 0.2) * GAIN


Box = tuple[slice, slice]  # rows and columns


def columns(memory: Memory, key: Tensor, box: Box, padded: bool) -> Tensor:
    """(kh * kw * inputs, cells): what `matrix_of` the weight is multiplied by for the linear map's values in a box.

    key: (1, inputs, h, w); box: of its cells. padded: there is nothing but zeros beyond the box, as in the
    authors' code; else its neighbours are there.
    """
    margin = 0 if padded else MARGIN
    starts = [max(side.start - margin, 0) for side in box]
    rows, across = (slice(at, side.stop + margin) for at, side in zip(starts, box, strict=True))
    taps = memory.weight[0, 0].numel()
    # each input by itself meets a weight for each tap that is one there and else zero
    each = torch.eye(taps).to(key).reshape(taps, 1, *memory.weight.shape[2:])
    found = memory.linear(key[:, :, rows, across].transpose(0, 1), each)
    times = found.shape[2] // key[:, :, rows, across].shape[2]
    top, left = ((side.start - at) * times for side, at in zip(box, starts, strict=True))
    height, width = ((side.stop - side.start) * times for side in box)
    inside = found[:, :, top : top + height, left : left + width]
    return inside.transpose(0, 1).reshape(-1, height * width)


def matrix_of(weight: Tensor) -> Tensor:
    """(units, inputs, kh, kw) -> (units, kh * kw * inputs)"""
    return weight.flatten(2).transpose(1, 2).flatten(1)


def weight_of(matrix: Tensor, inputs: int, kernel: Sequence[int]) -> Tensor:
    """The inverse of `matrix_of`."""
    by_tap = matrix.reshape(len(matrix), -1, inputs).transpose(1, 2)
    return by_tap.reshape(len(matrix), inputs, *kernel).contiguous()


@torch.no_grad()
def moments(memory: Memory, z: Tensor, batch: int = 10) -> SecondMoment:
    """C of the keys of all places of the images of z, one matrix product a batch."""
    found = SecondMoment(memory.weight.shape[1], memory.device)
    for part in z.split(batch):
        found.add(memory.cut(part).key.movedim(1, -1).flatten(0, -2))
    return found
