"""ResNet-152 as converted from torch7, nested as its published state dict is.

Modules are numbered: 0 convolution, 1 batch norm, 2 rectifier, 3 pool, 4 to 7 the stages of residual
blocks (res2 to res5), 8 mean over all positions, 10.1 the scores. Block b of stage s is s.b: within
it, 0.0 the bottleneck, 0.1 the shortcut, 2 the rectifier after their sum. torchvision, which took the
architecture from torch7, has other names for the same tensors; these load too.
"""

import re
from collections.abc import Sequence

import torch
from torch import nn


class Residual(nn.Sequential):
    """The sum of a bottleneck (0) and a shortcut (1), both of the same input."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self[0](x) + self[1](x)


class ResNet(nn.Sequential):
    @staticmethod
    def own_key(key: str) -> str:
        """Of torchvision's layer3.4.conv2.weight: 6.4.0.0.3.weight."""
        if found := re.fullmatch(r"layer(\d)\.(\d+)\.(conv|bn)(\d)\.(\w+)", key):
            stage, block, kind, number, name = found.groups()
            place = 3 * (int(number) - 1) + (kind == "bn")
            return f"{int(stage) + 3}.{block}.0.0.{place}.{name}"
        if found := re.fullmatch(r"layer(\d)\.(\d+)\.downsample\.(\d\.\w+)", key):
            return f"{int(found[1]) + 3}.{found[2]}.0.1.{found[3]}"
        for theirs, own in (("conv1.", "0."), ("bn1.", "1."), ("fc.", "10.1.")):
            if key.startswith(theirs):
                return own + key.removeprefix(theirs)
        return key


def _convolution(
    channels: int, width: int, kernel: int, stride: int = 1
) -> tuple[nn.Module, nn.Module]:
    conv = nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=False)
    return conv, nn.BatchNorm2d(width)


def _block(channels: int, width: int, out: int, stride: int) -> nn.Sequential:
    """(n, channels, h, w) -> (n, out, h / stride, w / stride)."""
    bottleneck = nn.Sequential(
        *_convolution(channels, width, 1),
        nn.ReLU(),
        *_convolution(width, width, 3, stride),
        nn.ReLU(),
        *_convolution(width, out, 1),
    )
    shortcut = (
        nn.Identity()
        if channels == out and stride == 1
        else nn.Sequential(*_convolution(channels, out, 1, stride))
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
) -> ResNet:
    """(n, 3, h, w) -> (n, classes) scores before the softmax; published for 224 pixels.

    stem, kernel: width and kernel of the first convolution. widths, blocks, strides: of the four
    stages; a stage puts out `expansion` times its width.
    """
    modules = [*_convolution(3, stem, kernel, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    channels = stem
    for width, count, stride in zip(widths, blocks, strides, strict=True):
        stage = nn.Sequential()
        for i in range(count):
            out = expansion * width
            stage.append(_block(channels, width, out, stride if i == 0 else 1))
            channels = out
        modules.append(stage)
    scores = nn.Sequential(nn.Identity(), nn.Linear(channels, classes))
    return ResNet(*modules, nn.AdaptiveAvgPool2d(1), nn.Flatten(), scores)
