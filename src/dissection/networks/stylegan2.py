"""StyleGAN2 generators (Karras et al. 2020), in the form in which a layer is a key, a linear map and a value.

    network = StyleGAN2()                            # sizes of the published churches: 256 px, layers 1 to 14
    images = network(latents(seed=1, first=0, count=10, size=512))             # (10, 3, 256, 256), -1 to 1

    before = network.run(network.start(z), until="layer7")         # a State: features, w, seed, rgb
    layer = network.layer8
    key = layer.key(before)                          # (n, inputs, h, w): features times the styles
    value = layer.dconv(key)                         # (n, units, h, w): the linear map, weight layer.dconv.weight
    after = layer.finish(value, before)              # demodulation, noise, bias, activation
    images = network.run(after, after="layer8").rgb

Karras et al. modulate the weights; here the style multiplies the features that come in and divides, by the
norm of the modulated weights, what goes out. It is the same function, and one weight for all images (thesis
6.3). A hook on `layer8.dconv` sees keys and values, one on `layer8.activate` the layer's output.

layer1 is the constant, layer2 ... the convolutions, the odd ones doubling the size; after each even one, rgb1,
rgb2 ... add to the image. State dicts of rosinality's layout and of rewriting's load (`own_key`), and sizes are
read from them (`sizes_of`). The published noise buffers are not used: noise comes from each image's own seed.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dissection.errors import DissectionError
from dissection.networks.stylegan import GAIN, Dense

# published name, ours, and what is added to its number, 1 if it has none
PUBLISHED = (
    (r"input()\.", "layer", 0), (r"conv1()\.", "layer", 1), (r"convs\.(\d+)\.", "layer", 3),
    (r"to_rgbs\.(\d+)\.", "rgb", 2), (r"to_rgb(\d+)\.", "rgb", 0),
)  # fmt: skip
WRAPPERS = ("conv", "sconv", "mconv", "dconv", "rgb")  # modules that hold ours in published names
SMOOTH = torch.tensor([1.0, 3, 3, 1]) / 4  # filter of what doubles a size, along each axis


class State(NamedTuple):
    """What layers hand on.

    features: (n, units, h, w), none before layer1. w: (n, layers, style), that of layer l at l - 2.
    seed: (n,) int64, of each image's noise; none: the authors' noise, by the place in the batch.
    rgb: (n, 3, h, w), none before rgb1.
    """

    features: Tensor
    w: Tensor
    seed: Tensor | None
    rgb: Tensor | None = None


def seeds(z: Tensor) -> Tensor:
    """z (n, latent) -> (n,) int64, from the bytes of each as float32; of shapes alone, 0."""
    if z.is_meta:
        return torch.zeros(len(z), dtype=torch.int64, device="cpu")
    rows = z.detach().float().cpu().numpy()
    found = [hashlib.blake2b(row.tobytes(), digest_size=7).digest() for row in rows]
    return torch.tensor([int.from_bytes(digest, "little") for digest in found])


def noise_of(seed: Tensor | None, count: int, layer: int, height: int, width: int) -> Tensor:
    """(count, 1, height, width) float32: normal deviates by (seed, layer), or the authors' (all layers alike)."""
    if seed is None:
        rows = np.random.RandomState(0).randn(count, height, width)
    else:
        streams = [np.random.Philox(key=[int(one), layer]) for one in seed]
        rows = np.stack([np.random.Generator(s).standard_normal((height, width)) for s in streams])
    return torch.from_numpy(rows.astype(np.float32))[:, None]


def doubled(rgb: Tensor) -> Tensor:
    """(n, c, h, w) -> (n, c, 2 h, 2 w), smoothed; it is 0 beyond the border."""
    padded = F.pad(
        rgb, (1, 1, 1, 1)
    )  # beside a border of zeros, bilinear weights are those of SMOOTH
    return F.interpolate(padded, scale_factor=2.0, mode="bilinear")[..., 2:-2, 2:-2]


class LinearMap(nn.Module):
    """A convolution at an equal learning rate: keys (n, inputs, h, w) -> values (n, units, h, w).

    up: values of twice that size, by a transposed convolution of stride 2 and the smoothing of what it gives.
    """

    def __init__(self, inputs: int, units: int, kernel: int, up: bool):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(units, inputs, kernel, kernel))
        self.scale, self.up = (inputs * kernel**2) ** -0.5, up

    def scaled(self) -> Tensor:
        return self.weight * self.scale

    def forward(self, key: Tensor) -> Tensor:
        weight = self.scaled()
        if not self.up:
            return F.conv2d(key, weight, padding=weight.shape[-1] // 2)
        # both filters make one of 6 x 6, each output pixel meets every other row and column of it
        units, inputs = weight.shape[:2]
        smooth = torch.outer(SMOOTH, SMOOTH).to(weight)[None, None]
        both = F.conv2d(weight.reshape(-1, 1, 3, 3), smooth, padding=3)
        parts = both.reshape(units, inputs, 3, 2, 3, 2).flip(2, 4).permute(0, 3, 5, 1, 2, 4)
        values = F.conv2d(key, parts.reshape(4 * units, inputs, 3, 3), padding=1)
        return F.pixel_shuffle(values, 2)


class Modulated(nn.Module):
    """Styles of w, by which the features that come in are multiplied, and a linear map."""

    def __init__(self, inputs: int, units: int, kernel: int, style: int, number: int, up: bool = False):  # fmt: skip
        """number: which of the state's w."""
        super().__init__()
        self.modulation = Dense(style, inputs, gain=1)
        nn.init.ones_(self.modulation.bias)
        self.dconv = LinearMap(inputs, units, kernel, up)
        self.number = number

    def styles(self, state: State) -> Tensor:
        """(n, inputs, 1, 1)"""
        return self.modulation(state.w[:, self.number])[:, :, None, None]

    def key(self, state: State) -> Tensor:
        """(n, inputs, h, w)"""
        return state.features * self.styles(state).to(state.features.dtype)


class Noise(nn.Module):
    """One weight for the noise of all units."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """x: (n, units, h, w); noise: (n, 1, h, w)."""
        return x + (self.weight * noise.to(x.device)).to(x.dtype)


class Activation(nn.Module):
    """Bias and leaky rectifier, (n, units, h, w)."""

    def __init__(self, units: int):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(units))

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(x + self.bias[:, None, None].to(x.dtype), 0.2) * GAIN


class Styled(Modulated):
    """layer2 ...: State -> State."""

    def __init__(self, inputs: int, units: int, style: int, number: int, up: bool):
        super().__init__(inputs, units, 3, style, number, up)
        self.noise = Noise()
        self.activate = Activation(units)

    def demodulation(self, state: State) -> Tensor:
        """(n, units, 1, 1): 1 / norm of each unit's modulated weights."""
        power = self.dconv.scaled().square().sum((2, 3))
        return torch.rsqrt(self.styles(state)[..., 0, 0].square() @ power.T + 1e-8)[:, :, None, None]  # fmt: skip

    def finish(self, value: Tensor, state: State, noise: Tensor | None = None) -> State:
        """value: (n, units, h, w), of `dconv`; state: what went in; noise: another, (n, 1, h, w)."""
        count, _, height, width = value.shape
        if noise is None and self.training:
            noise = torch.randn(count, 1, height, width)
        elif noise is None:
            noise = noise_of(state.seed, count, self.number + 2, height, width)
        x = self.noise(value * self.demodulation(state).to(value.dtype), noise)
        return state._replace(features=self.activate(x))

    def forward(self, state: State) -> State:
        return self.finish(self.dconv(self.key(state)), state)


class ToRGB(Modulated):
    """rgb1 ...: State -> State, its image twice as large as before, and more added to it."""

    def __init__(self, inputs: int, style: int, number: int):
        super().__init__(inputs, 3, 1, style, number)
        self.bias = nn.Parameter(torch.zeros(3))

    def forward(self, state: State) -> State:
        rgb = self.dconv(self.key(state)).to(self.bias.dtype) + self.bias[:, None, None]
        return state._replace(rgb=rgb if state.rgb is None else rgb + doubled(state.rgb))


class Constant(nn.Module):
    """layer1: State -> State."""

    def __init__(self, units: int):
        super().__init__()
        self.input = nn.Parameter(torch.randn(1, units, 4, 4))

    def forward(self, state: State) -> State:
        return state._replace(features=self.input.expand(len(state.w), -1, -1, -1))


class PixelNorm(nn.Module):
    """Divide (n, latent) by its root mean square."""

    def forward(self, z: Tensor) -> Tensor:
        return z * torch.rsqrt(z.square().mean(1, keepdim=True) + 1e-8)


class Mapped(Dense):
    """A layer of the mapping network."""

    def __init__(self, inputs: int, units: int):
        super().__init__(inputs, units, gain=1, rate=0.01)

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(super().forward(x), 0.2) * GAIN


class StyleGAN2(nn.Module):
    """z (n, latent) or (n, latent, 1, 1) float32 -> (n, 3, h, h), h = 4 * 2 ** (len(widths) - 1), about [-1, 1].

    truncation: psi, which may be set; w' = mean + psi (w - mean) for all layers.
    """

    latent_avg: Tensor  # (style,) mean of w

    def __init__(
        self,
        latent: int = 512,
        widths: Sequence[int] = (512, 512, 512, 512, 512, 256, 128),
        style: int = 512,
        depth: int = 8,
        truncation: float = 1.0,
        noise: Literal["image", "authors"] = "image",
    ):
        """
        widths: units at 4, 8, 16 ... pixels; style: numbers in w; depth: layers of the mapping network.
        noise: from each image's seed, or the same for all layers by the place in the batch, as the authors
        drew it.
        """
        super().__init__()
        self.latent, self.widths, self.depth = latent, list(widths), depth
        self.truncation, self.authors = truncation, noise == "authors"
        dense = [Mapped(style if n else latent, style) for n in range(depth)]
        self.style = nn.Sequential(PixelNorm(), *dense)
        self.layer1 = Constant(widths[0])
        inputs = widths[0]
        for level, units in enumerate(widths):
            if level:
                self.add_module(f"layer{2 * level + 1}", Styled(inputs, units, style, 2 * level - 1, True))  # fmt: skip
            even = Styled(units, units, style, 2 * level, False)
            self.add_module(f"layer{2 * level + 2}", even)
            self.add_module(f"rgb{level + 1}", ToRGB(units, style, 2 * level + 1))
            inputs = units
        self.register_buffer("latent_avg", torch.zeros(style))

    def start(self, z: Tensor, seed: Tensor | None = None) -> State:
        """The state before layer1. seed: (n,) int64, of the noise; none: from z (`seeds`)."""
        z = z.flatten(1)
        if seed is None and not self.authors and not self.training:
            seed = seeds(z)
        w = torch.lerp(self.latent_avg, self.style(z).to(self.latent_avg.dtype), self.truncation)
        w = w[:, None].expand(-1, 2 * len(self.widths), -1)
        return State(torch.empty(0), w, None if self.authors else seed)

    def run(self, state: State, after: str = "style", until: str | None = None) -> State:
        """Through the layers after `after`, up to and with `until`, or the last."""
        names = [name for name, _ in self.named_children()]
        stop = names.index(until) + 1 if until else len(names)
        for name in names[names.index(after) + 1 : stop]:
            state = self.get_submodule(name)(state)
        return state

    def forward(self, z: Tensor, seed: Tensor | None = None) -> Tensor:
        rgb = self.run(self.start(z, seed)).rgb
        assert rgb is not None
        return rgb

    @staticmethod
    def own_key(key: str) -> str | None:
        """Of the published tensors, fixed kernels and the unused noise are not needed.

        Known are rosinality's names (convs.5.conv.weight) and rewriting's (layer8.sconv.mconv.dconv.weight).
        """
        if key.startswith("noises.") or key.endswith(".kernel"):
            return None
        for pattern, prefix, offset in PUBLISHED:
            if found := re.match(pattern, key):
                key = f"{prefix}{int(found[1] or 1) + offset}.{key[found.end() :]}"
        parts = [part for part in key.split(".") if part not in WRAPPERS]
        if re.fullmatch(r"(layer|rgb)\d+\.weight", ".".join(parts)):
            parts.insert(1, "dconv")
        return ".".join(parts)

    @classmethod
    def sizes_of(cls, state: Mapping[str, Tensor]) -> dict[str, Any]:
        """Arguments of the generator that a state dict is of."""
        shapes = {cls.own_key(key): tensor.shape for key, tensor in state.items()}
        dense = [k for k in shapes if k and re.fullmatch(r"style\.\d+\.weight", k)]
        found = {int(m[1]): shape[-4] for k, shape in shapes.items()
                 if k and (m := re.fullmatch(r"layer(\d*[02468])\.dconv\.weight", k))}  # fmt: skip
        if "style.1.weight" not in dense or sorted(found) != [
            2 * n + 2 for n in range(len(found) or 1)
        ]:
            raise DissectionError(
                "expected style.1.weight ... and conv1.conv.weight, convs.1.conv.weight, convs.3.conv.weight"
                f" ...; found {len(dense)} and {len(found)} of these"
            )
        style, latent = shapes["style.1.weight"]
        widths = [found[number] for number in sorted(found)]
        return {"latent": latent, "widths": widths, "style": style, "depth": len(dense)}
