"""StyleGAN generators (Karras et al. 2019, the first version), as published for bedrooms and others.

    network = StyleGAN()                             # sizes of the published bedrooms: 256 px, 14 layers
    images = network(latents(seed=1, first=0, count=10, size=512))             # (10, 3, 256, 256), -1 to 1
    network.get_submodule("synthesis.8x8.Conv1")     # layer4, by the thesis's numbers

z becomes a style w by the mapping network; each of the synthesis network's layers convolves, adds noise,
activates, normalises every unit over its image, and gives it the scale and the mean that w asks for.

Names of modules and tensors are those of the published variables (`assets.tensorflow` converts them), so that
a state dict loads as it is. Sizes are read from its tensors (`sizes_of`). Noise in eval mode is the published
one, the same for all images, by which an image depends on its z alone; in training it is drawn anew.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dissection.errors import DissectionError

SLOW = 0.01  # learning rate of the mapping network, relative to that of the others
FUSED = (
    128  # pixels from which on the published kernels that double the size are turned by 180 degrees
)
DECAY = 0.995  # of the running mean of w
GAIN = 2**0.5


class Weighted(nn.Module):
    """A weight of unit variance, scaled for an equal learning rate, and a bias. rate: relative learning rate."""

    def __init__(self, shape: Sequence[int], gain: float = GAIN, rate: float = 1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(*shape) / rate)
        self.bias = nn.Parameter(torch.zeros(shape[0]))
        self.factor, self.rate = rate * gain / self.weight[0].numel() ** 0.5, rate

    def scaled(self) -> Tensor:
        return self.weight * self.factor


class Dense(Weighted):
    """(n, inputs) -> (n, units)."""

    def __init__(self, inputs: int, units: int, gain: float = GAIN, rate: float = 1.0):
        super().__init__((units, inputs), gain, rate)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.scaled(), self.bias * self.rate)


class ToRGB(Weighted):
    """(n, units, h, w) -> (n, 3, h, w)."""

    def __init__(self, units: int):
        super().__init__((3, units, 1, 1), gain=1)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.scaled(), self.bias)


class Noise(nn.Module):
    """How much noise each unit is given."""

    def __init__(self, units: int):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(units))

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """x: (n, units, h, w); noise: (n or 1, 1, h, w)."""
        return x + (noise * self.weight[:, None, None]).to(x.dtype)


class Styled(nn.Module):
    """What ends each layer: noise, bias, leaky rectifier, normalisation, and the style of w."""

    def __init__(self, units: int, style: int):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(units))
        self.Noise = Noise(units)
        self.StyleMod = Dense(style, 2 * units, gain=1)

    def finished(self, x: Tensor, w: Tensor, noise: Tensor) -> Tensor:
        """x: (n, units, h, w); w: (n, style); noise: (n or 1, 1, h, w)."""
        x = self.Noise(x, noise) + self.bias[:, None, None].to(x.dtype)
        x = F.instance_norm(F.leaky_relu(x, 0.2), eps=1e-8)
        scale, mean = self.StyleMod(w)[:, :, None, None].to(x.dtype).chunk(2, 1)
        return x * (scale + 1) + mean


class Constant(Styled):
    """The first layer: a learned image of 4 pixels, with noise and style."""

    def __init__(self, units: int, style: int):
        super().__init__(units, style)
        self.const = nn.Parameter(torch.ones(1, units, 4, 4))

    def forward(self, w: Tensor, noise: Tensor) -> Tensor:
        return self.finished(self.const.expand(len(w), -1, -1, -1), w, noise)


class Convolution(Styled):
    """(n, inputs, h, w) -> (n, units, h, w), or twice that size, then blurred."""

    def __init__(self, inputs: int, units: int, style: int, up: int = 0):
        """up: pixels that it doubles the size to."""
        super().__init__(units, style)
        self.weight = nn.Parameter(torch.randn(units, inputs, 3, 3))
        self.factor, self.up = GAIN / (9 * inputs) ** 0.5, up

    def forward(self, x: Tensor, w: Tensor, noise: Tensor) -> Tensor:
        weight = self.weight * self.factor
        if self.up >= FUSED:
            weight = weight.flip(2, 3)
        if self.up:
            x = F.interpolate(x, scale_factor=2.0)
        x = F.conv2d(x, weight, padding=1)
        return self.finished(blur(x) if self.up else x, w, noise)


def blur(x: Tensor) -> Tensor:
    """(n, units, h, w), each unit smoothed by 1 2 1 along both axes; it is 0 beyond the border."""
    twice = F.avg_pool2d(F.pad(x, (1, 1, 1, 1)), 2, 1)  # 1 1 and once more 1 1 is 1 2 1
    return F.avg_pool2d(twice, 2, 1)


class MappingNetwork(nn.Module):
    """z (n, latent) -> w (n, style)."""

    def __init__(self, latent: int, style: int, depth: int):
        super().__init__()
        for number in range(depth):
            self.add_module(f"Dense{number}", Dense(style if number else latent, style, rate=SLOW))

    def forward(self, z: Tensor) -> Tensor:
        x = z * torch.rsqrt(z.square().mean(1, keepdim=True) + 1e-8)
        for layer in self.children():
            x = F.leaky_relu(layer(x), 0.2)
        return x.float()


class SynthesisNetwork(nn.Module):
    """w of each layer -> the layers' features, and the image."""

    def __init__(self, widths: Sequence[int], style: int):
        super().__init__()
        inputs = widths[0]
        for level, units in enumerate(widths):
            side = 4 * 2**level
            block = nn.Module()
            if level:
                block.add_module("Conv0_up", Convolution(inputs, units, style, up=side))
                block.add_module("Conv1", Convolution(units, units, style))
            else:
                block.add_module("Const", Constant(units, style))
                block.add_module("Conv", Convolution(units, units, style))
            self.add_module(f"{side}x{side}", block)
            for number in (2 * level, 2 * level + 1):
                self.register_buffer(f"noise{number}", torch.randn(1, 1, side, side))
            inputs = units
        self.ToRGB_lod0 = ToRGB(inputs)
        self.levels = len(widths)

    def layers(self) -> list[nn.Module]:
        sides = [4 * 2**level for level in range(self.levels)]
        return [layer for side in sides for layer in getattr(self, f"{side}x{side}").children()]

    def features(
        self, w: Tensor, level: int, noise: Sequence[Tensor] | None = None
    ) -> list[Tensor]:
        """w: (n, layers, style) -> what each layer up to `level` puts out; noise: of each layer, (n or 1, 1, h, w)."""
        found: list[Tensor] = []
        for number, layer in enumerate(self.layers()[: 2 * level + 2]):
            field = getattr(self, f"noise{number}") if noise is None else noise[number]
            if noise is None and self.training:
                field = torch.randn(len(w), *field.shape[1:]).to(field.device)
            found.append(layer(*found[-1:], w[:, number], field))
        return found

    def forward(self, w: Tensor, noise: Sequence[Tensor] | None = None) -> Tensor:
        return self.ToRGB_lod0(self.features(w, self.levels - 1, noise)[-1])


class StyleGAN(nn.Module):
    """z (n, latent) or (n, latent, 1, 1) float32 -> (n, 3, h, h), h = 4 * 2 ** (len(widths) - 1), about [-1, 1]."""

    dlatent_avg: Tensor  # (style,) mean of w
    psi: Tensor  # (layers, 1)

    def __init__(
        self,
        latent: int = 512,
        widths: Sequence[int] = (512, 512, 512, 512, 256, 128, 64),
        style: int = 512,
        depth: int = 8,
        truncation: float = 1.0,
        cutoff: int = 8,
    ):
        """
        widths: units at 4, 8, 16 ... pixels; style: numbers in w; depth: layers of the mapping network.
        truncation: psi, by which w is drawn towards its mean in the first `cutoff` layers: 1 leaves it, as where
        the FID is measured; pictures were published with 0.7.
        """
        super().__init__()
        self.mapping = MappingNetwork(latent, style, depth)
        self.synthesis = SynthesisNetwork(widths, style)
        self.register_buffer("dlatent_avg", torch.zeros(style))
        self.latent, self.widths, self.style, self.depth = latent, list(widths), style, depth
        psi = torch.ones(2 * len(widths), 1)
        psi[:cutoff] = truncation
        self.register_buffer("psi", psi, persistent=False)

    def forward(self, z: Tensor, noise: Sequence[Tensor] | None = None) -> Tensor:
        """noise: of each layer, (n or 1, 1, h, w); none: that of the state dict."""
        w = self.mapping(z.flatten(1))[:, None]
        return self.synthesis(torch.lerp(self.dlatent_avg, w, self.psi), noise)

    def own_key(self, key: str) -> str | None:
        """Of the published variables, those of growing are not needed: the level, and outputs of coarser levels."""
        growing = re.fullmatch(r"(synthesis\.)?lod|synthesis\.ToRGB_lod[1-9]\d*\.\w+", key)
        return None if growing else key

    @staticmethod
    def sizes_of(state: Mapping[str, Tensor]) -> dict[str, Any]:
        """Arguments of the generator that a state dict is of."""
        dense = [k for k in state if re.fullmatch(r"mapping\.Dense\d+\.weight", k)]
        found = {int(m[1]): state[k].shape[0] for k in state
                 if (m := re.fullmatch(r"synthesis\.(\d+)x\1\.Conv1?\.weight", k))}  # fmt: skip
        sides = [4 * 2**level for level in range(len(found))]
        if sorted(found) != sides or not found or "mapping.Dense0.weight" not in dense:
            raise DissectionError(
                "expected mapping.Dense0.weight ... and synthesis.4x4.Conv.weight,"
                f" synthesis.8x8.Conv1.weight ...; found {len(dense)} and {len(found)} of these"
            )
        style, latent = state["mapping.Dense0.weight"].shape
        return {
            "latent": latent, "widths": [found[side] for side in sides], "style": style, "depth": len(dense),
        }  # fmt: skip
