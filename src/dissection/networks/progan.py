"""Progressive GAN generators (Karras et al. 2018), as published and in the training variants of figure 4-7.

    network = ProGAN(latent=512, widths=[512, 512, 512, 256, 128, 64, 32])   # 256 px: layer1 ... layer14
    images = network(latents(seed=1, first=0, count=10, size=512))             # (10, 3, 256, 256), -1 to 1
    network.layer4                                                             # the second block at 8 x 8

Each block normalises what comes in, so that a layer's output is what follows its activation. Two layouts of
state dicts were published; both load (`own_key`), and sizes are read from the tensors (`sizes_of`).
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, interpolate

from dissection.errors import DissectionError

Variant = Literal[
    "progressive", "base", "minibatch-stddev", "equalized-learning-rate", "pixelwise-normalization"
]


class Style(NamedTuple):
    """What tells the variants of a generator's blocks apart."""

    pixel_norm: Literal[
        "every", "ends", "first", "none"
    ]  # blocks before which units are normalised
    scale: Literal["constant", "stored", "none"]  # of the weights, for an equal learning rate
    batch_norm: bool  # with a rectifier; without, a leaky one
    clamp: bool  # the output, to -1 ... 1


STYLES: dict[Variant, Style] = {
    "progressive": Style("every", "constant", False, False),
    # the published wgangp, progressive-training and small-minibatch
    "base": Style("none", "none", True, True),
    "minibatch-stddev": Style("first", "none", False, True),  # and minibatch-discrimination
    "equalized-learning-rate": Style("ends", "stored", False, True),
    "pixelwise-normalization": Style("every", "stored", False, True),
}


def latents(seed: int, first: int, count: int, size: int) -> Tensor:
    """(count, size) float32: z of images `first` ... `first + count - 1`, as the authors draw them.

    Row i is the same whatever the count. Their default seed is 1.
    """
    # numpy's normal deviates come in pairs of a stream, so a row cannot be drawn without those before it
    values = np.random.RandomState(seed).standard_normal((first + count) * size)
    return torch.from_numpy(values[first * size :].reshape(count, size).astype(np.float32))


class PixelNorm(nn.Module):
    """Divide (n, units, h, w) at every pixel by the root mean square of its units."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-8)


class Scale(nn.Module):
    """Bias `b`, and the factor of the weights: weights of unit variance learn at an equal rate."""

    def __init__(self, units: int, factor: float, stored: bool):
        super().__init__()
        self.b = nn.Parameter(torch.zeros(units))
        self.scale = nn.Parameter(torch.tensor([factor])) if stored else factor


class Block(nn.Module):
    """(n, inputs, h, w) -> (n, units, h', w'): normalise, perhaps double the size, convolve, activate."""

    def __init__(self, inputs: int, units: int, kernel: int, padding: int, style: Style, normed: bool,
                 up: bool = False, active: bool = True):  # fmt: skip
        super().__init__()
        self.up = up
        scaled = style.scale != "none"
        batch_norm = style.batch_norm and active
        self.norm = (
            PixelNorm() if normed else nn.BatchNorm2d(units) if batch_norm else nn.Identity()
        )
        bias = not scaled and not batch_norm
        self.conv = nn.Conv2d(inputs, units, kernel, padding=padding, bias=bias)
        if scaled:
            nn.init.normal_(self.conv.weight)
            gain = 2**0.5 / kernel if active else 1.0
            self.wscale = Scale(units, gain / inputs**0.5, style.scale == "stored")
        else:
            fan = inputs * (
                1 if padding == 3 else kernel**2
            )  # one tap of layer1 sees its one pixel
            nn.init.normal_(self.conv.weight, std=(2 if active else 1) ** 0.5 / fan**0.5)
            if bias:
                nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]
        activation = nn.ReLU() if style.batch_norm else nn.LeakyReLU(0.2)
        self.act = activation if active else nn.Hardtanh() if style.clamp else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        after = isinstance(self.norm, nn.BatchNorm2d)
        if not after:
            x = self.norm(x)
        if self.up:
            x = interpolate(x, scale_factor=2.0)
        if hasattr(self, "wscale"):
            scaled = self.conv.weight * self.wscale.scale  # cheaper than to scale the output
            x = conv2d(x, scaled, self.wscale.b, padding=self.conv.padding)
        else:
            x = self.conv(x)
        if after:
            x = self.norm(x)
        return self.act(x)


class ProGAN(nn.Sequential):
    """z (n, latent) or (n, latent, 1, 1) float32 -> (n, 3, h, h), h = 4 * 2 ** (len(widths) - 1), in [-1, 1].

    Modules: layer1 ... layerN, two for each resolution, then output_<h>x<h>. Only a clamped output stays
    strictly between -1 and 1.
    """

    def __init__(
        self,
        latent: int = 512,
        widths: Sequence[int] = (512, 512, 512, 256, 128, 64, 32),
        variant: Variant = "progressive",
        clamp: bool | None = None,
    ):
        """widths: units at 4, 8, 16 ... pixels. clamp: the output; by default as the variant does."""
        super().__init__()
        if variant not in STYLES:
            raise DissectionError(f"generator: variant {variant!r}; choices: {', '.join(STYLES)}")
        style = STYLES[variant]
        style = style._replace(clamp=style.clamp if clamp is None else clamp)
        inputs = latent
        for level, units in enumerate(widths):
            first, every = level == 0, style.pixel_norm == "every"
            kernel, padding = (4, 3) if first else (3, 1)
            normed = every or (first and style.pixel_norm != "none")
            self.add_module(
                f"layer{2 * level + 1}",
                Block(inputs, units, kernel, padding, style, normed, up=not first),
            )
            self.add_module(f"layer{2 * level + 2}", Block(units, units, 3, 1, style, every))
            inputs = units
        self.head = f"output_{4 * 2**level}x{4 * 2**level}"
        self.add_module(self.head, self.new_head(inputs, style))
        self.latent, self.widths, self.style = latent, list(widths), style

    @staticmethod
    def new_head(units: int, style: Style) -> Block:
        """An output block: (n, units, h, w) -> (n, 3, h, w)."""
        return Block(units, 3, 1, 0, style, style.pixel_norm in ("every", "ends"), active=False)

    def forward(self, z: Tensor) -> Tensor:
        return super().forward(z.flatten(1)[:, :, None, None])

    @staticmethod
    def adapted(state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Of a state dict in the older layout, its blocks alone."""
        old = any(key.startswith("features.") for key in state)
        return {k: t for k, t in state.items() if not old or re.match(r"features\.|output\.", k)}

    def own_key(self, key: str) -> str | None:
        """The older layout's `features.<N - 1>` and `output`; of it, what blocks do not need is left out."""
        found = re.fullmatch(r"(?:features\.(\d+)|output)\.(.+)", key)
        if found is None:
            return key
        block = self.head if found[1] is None else f"layer{int(found[1]) + 1}"
        own = f"{block}.{found[2]}"
        return own if own in self.state_dict() or not hasattr(self, block) else None

    @staticmethod
    def sizes_of(state: Mapping[str, Tensor]) -> dict[str, Any]:
        """Arguments `latent` and `widths` of the generator that a state dict, in either layout, is of."""
        weights = {}
        for key, tensor in state.items():
            if found := re.search(r"(?:^|\.)(features\.|layer)(\d+)\.conv\.weight$", key):
                weights[int(found[2]) + (found[1] == "features.")] = tensor
        if sorted(weights) != list(range(1, len(weights) + 1)) or len(weights) % 2 or not weights:
            raise DissectionError(
                "expected convolutions layer1 ... layerN, or features.0 ... features.<N - 1>, N even;"
                f" found {len(weights)}"
            )
        return {
            "latent": weights[1].shape[1],
            "widths": [weights[n].shape[0] for n in range(1, len(weights), 2)],
        }
