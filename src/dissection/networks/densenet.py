"""DenseNet-161 (Huang et al. 2017) in torchvision's names: features.denseblock1.denselayer1.conv1 ... classifier.

The defaults are the published network of 224-pixel inputs; a smaller one is a matter of arguments.
"""

import re
from collections.abc import Sequence

import torch
from torch import nn


class Layer(nn.Sequential):
    """(n, channels, h, w) -> (n, channels + growth, h, w): what it finds, behind what came in."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, super().forward(x)], 1)


class DenseNet(nn.Sequential):
    """(n, 3, h, w) -> (n, classes) scores before the softmax; see `densenet161`."""

    @staticmethod
    def own_key(key: str) -> str:
        """Before torch 0.4.1, denselayer1.norm1 was called denselayer1.norm.1."""
        return re.sub(r"(denselayer\d+\.(?:norm|conv))\.(\d)\.", r"\1\2.", key)


def _layer(channels: int, growth: int) -> Layer:
    layer = Layer()
    for i, width, out, kernel in ((1, channels, 4 * growth, 1), (2, 4 * growth, growth, 3)):
        layer.add_module(f"norm{i}", nn.BatchNorm2d(width))
        layer.add_module(f"relu{i}", nn.ReLU())
        conv = nn.Conv2d(width, out, kernel, padding=kernel // 2, bias=False)
        layer.add_module(f"conv{i}", conv)
    return layer


def densenet161(
    classes: int = 365, stem: int = 96, growth: int = 48, blocks: Sequence[int] = (6, 12, 36, 24)
) -> DenseNet:
    """stem: width of the first convolution; growth: what each layer adds; blocks: layers of each.

    The last feature maps are those of the module `relu5`.
    """
    features = nn.Sequential()
    features.add_module("conv0", nn.Conv2d(3, stem, 7, 2, 3, bias=False))
    features.add_module("norm0", nn.BatchNorm2d(stem))
    features.add_module("relu0", nn.ReLU())
    features.add_module("pool0", nn.MaxPool2d(3, 2, 1))
    channels = stem
    for number, count in enumerate(blocks, start=1):
        if number > 1:
            transition = nn.Sequential()
            transition.add_module("norm", nn.BatchNorm2d(channels))
            transition.add_module("relu", nn.ReLU())
            transition.add_module("conv", nn.Conv2d(channels, channels // 2, 1, bias=False))
            transition.add_module("pool", nn.AvgPool2d(2))
            features.add_module(f"transition{number - 1}", transition)
            channels //= 2
        block = nn.Sequential()
        for i in range(1, count + 1):
            block.add_module(f"denselayer{i}", _layer(channels, growth))
            channels += growth
        features.add_module(f"denseblock{number}", block)
    features.add_module("norm5", nn.BatchNorm2d(channels))
    network = DenseNet()
    network.add_module("features", features)
    network.add_module("relu5", nn.ReLU())
    network.add_module("pool5", nn.AdaptiveAvgPool2d(1))
    network.add_module("flatten", nn.Flatten())
    network.add_module("classifier", nn.Linear(channels, classes))
    return network
