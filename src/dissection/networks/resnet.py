"""ResNet-152 as converted from torch7, nested as its published state dict is; Caffe's loads too.

Modules are numbered: 0 convolution, 1 batch norm, 2 rectifier, 3 pool, 4 to 7 the stages of residual
blocks (res2 to res5), 8 mean over all positions, 10.1 the scores (10 in Torch 7). Block b of stage s is s.b: within
it, 0.0 the bottleneck, 0.1 the shortcut, 2 the rectifier after their sum. torchvision, which took the
architecture from torch7, has other names for the same tensors; these load too.
"""

import re
from collections.abc import Sequence
from functools import cached_property

import torch
from torch import nn


class Residual(nn.Sequential):
    """The sum of a bottleneck (0) and a shortcut (1), both of the same input."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self[0](x) + self[1](x)


BRANCHES = {"1": "1.0", "2a": "0.0", "2b": "0.3", "2c": "0.6"}  # Caffe's name -> convolution here


class ResNet(nn.Sequential):
    """(n, 3, h, w) -> (n, classes) scores before the softmax; see `resnet152`."""

    @staticmethod
    def adapted(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Caffe's ResNet-50 alone has a bias before its first batch norm; the mean there may as well be lower by it."""
        bias, mean = state.get("conv1.bias"), state.get("bn_conv1.running_mean")
        if bias is None or mean is None:
            return state
        kept = {key: tensor for key, tensor in state.items() if key != "conv1.bias"}
        return kept | {"bn_conv1.running_mean": mean - bias}

    @cached_property
    def numbered(self) -> list[str]:
        """
        Modules by the numbers that they had when Torch's network was converted to Caffe: caffe.Eltwise_510, 510th of
        the layers that do something. Sums are those of the second module of a block.
        """
        return [
            name
            for name, module in self.named_modules()
            if not list(module.children())
            and (not isinstance(module, nn.Identity) or re.fullmatch(r"[4-7]\.\d+\.1", name))
        ]

    def own_key(self, key: str) -> str:
        """
        Of torchvision's layer3.4.conv2.weight, Caffe's res4b4_branch2b.weight or caffe.SpatialConvolution_163.weight,
        converted from Torch's: 6.4.0.0.3.weight.
        """
        layer, _, kind = key.rpartition(".")
        if layer.startswith("caffe.InnerProduct_"):
            return f"10.1.{kind}"
        if found := re.fullmatch(r"caffe\.(?:SpatialConvolution|BN)_(\d+)", layer):
            names = self.numbered[int(found[1]) :]
            return f"{names[0]}.{kind}" if names else key
        if layer == "conv1":
            return f"0.{kind}"
        if layer in ("bn1", "bn_conv1", "scale_conv1"):
            return f"1.{kind}"
        if re.fullmatch(r"fc\d*|10", layer):
            return f"10.1.{kind}"
        if found := re.fullmatch(r"layer(\d)\.(\d+)\.(conv|bn)(\d)", layer):
            stage, block, name, number = found.groups()
            return f"{int(stage) + 3}.{block}.0.0.{3 * (int(number) - 1) + (name == 'bn')}.{kind}"
        if found := re.fullmatch(r"layer(\d)\.(\d+)\.downsample\.(\d)", layer):
            return f"{int(found[1]) + 3}.{found[2]}.0.1.{found[3]}.{kind}"
        if found := re.fullmatch(r"(res|bn|scale)([2-5])([a-z])(\d*)_branch(1|2[abc])", layer):
            name, stage, letter, number, branch = found.groups()
            block = int(number) if number else ord(letter) - ord("a")
            place, _, module = BRANCHES[branch].partition(".")
            return f"{int(stage) + 2}.{block}.0.{place}.{int(module) + (name != 'res')}.{kind}"
        return key


def _convolution(
    channels: int, width: int, kernel: int, stride: int = 1
) -> tuple[nn.Module, nn.Module]:
    conv = nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=False)
    return conv, nn.BatchNorm2d(width)


def _block(channels: int, width: int, out: int, strides: tuple[int, int]) -> nn.Sequential:
    """(n, channels, h, w) -> (n, out, h / stride, w / stride). strides: of the bottleneck's first two convolutions."""
    first, second = strides
    if out == width:
        bottleneck = nn.Sequential(
            *_convolution(channels, out, 3, first * second), nn.ReLU(), *_convolution(out, out, 3)
        )
    else:
        bottleneck = nn.Sequential(
            *_convolution(channels, width, 1, first),
            nn.ReLU(),
            *_convolution(width, width, 3, second),
            nn.ReLU(),
            *_convolution(width, out, 1),
        )
    shortcut = (
        nn.Identity()
        if channels == out and first * second == 1
        else nn.Sequential(*_convolution(channels, out, 1, first * second))
    )
    return nn.Sequential(Residual(bottleneck, shortcut), nn.Identity(), nn.ReLU())


def resnet152(
    classes: int = 365,
    stem: int = 64,
    kernel: int = 7,
    widths: Sequence[int] = (64, 128, 256, 512),
    blocks: Sequence[int] = (3, 8, 36, 3),
    strides: Sequence[int] = (1, 2, 2, 2),
    expansion: int = 4,
    caffe: bool = False,
) -> ResNet:
    """(n, 3, h, w) -> (n, classes) scores before the softmax; published for 224 pixels.

    stem, kernel: width and kernel of the first convolution. widths, blocks, strides: of the four
    stages; a stage puts out `expansion` times its width; with 1, its blocks are two convolutions of 3 x 3, as in
    ResNet-18 (blocks 2, 2, 2, 2; ResNet-50 has 3, 4, 6, 3 bottlenecks). caffe: stages stride in the first
    convolution of a bottleneck, not in the second, and the first pool rounds its size up instead of padding, as
    Caffe's do.
    """
    modules = [
        *_convolution(3, stem, kernel, 2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, ceil_mode=True) if caffe else nn.MaxPool2d(3, 2, 1),
    ]
    channels = stem
    for width, count, stride in zip(widths, blocks, strides, strict=True):
        stage = nn.Sequential()
        for i in range(count):
            out = expansion * width
            step = stride if i == 0 else 1
            stage.append(_block(channels, width, out, (step, 1) if caffe else (1, step)))
            channels = out
        modules.append(stage)
    scores = nn.Sequential(nn.Identity(), nn.Linear(channels, classes))
    return ResNet(*modules, nn.AdaptiveAvgPool2d(1), nn.Flatten(), scores)
