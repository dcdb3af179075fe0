"""Slim-CNN (Sharma and Foroosh 2020), which tells attributes of faces, laid out as its published weights are.

conv1.0 ... slim1.sse1.squeeze.0 ... slim4.expand3_dw.4, fc. Each micro-architecture `slim` squeezes, expands by
convolutions of one pixel and separable ones of three, twice, with a shortcut around the first.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def _convolution(
    inputs: int, units: int, kernel: int = 1, stride: int = 1, bias: bool = True
) -> list[nn.Module]:
    conv = nn.Conv2d(inputs, units, kernel, stride, bias=bias)
    return [conv, nn.BatchNorm2d(units), nn.ReLU()]


def _separable(inputs: int, units: int) -> nn.Sequential:
    apart = nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False)
    mixed = _convolution(inputs, units, bias=False)
    return nn.Sequential(apart, nn.BatchNorm2d(inputs), nn.ReLU(), *mixed)


class Squeezed(nn.Module):
    """(n, inputs, h, w) -> (n, 8 width, h, w)"""

    def __init__(self, inputs: int, width: int):
        super().__init__()
        self.squeeze = nn.Sequential(*_convolution(inputs, width))
        self.expand1 = nn.Sequential(*_convolution(width, 4 * width))
        self.expand3_dw = _separable(width, 4 * width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.squeeze(x)
        return torch.cat([self.expand3_dw(x), self.expand1(x)], 1)


class Slim(nn.Module):
    """(n, inputs, h, w) -> (n, 3 width, h, w)"""

    def __init__(self, inputs: int, width: int):
        super().__init__()
        self.skip_projection = nn.Sequential(*_convolution(inputs, 8 * width, bias=False))
        self.sse1, self.sse2 = Squeezed(inputs, width), Squeezed(8 * width, width)
        self.expand3_dw = _separable(8 * width, 3 * width)

    def forward(self, x: Tensor) -> Tensor:
        return self.expand3_dw(self.sse2(self.sse1(x) + self.skip_projection(x)))


class SlimCNN(nn.Module):
    def __init__(self, attributes: int, stem: Sequence[int], widths: Sequence[int]):
        super().__init__()
        inputs, kernel, stride = stem
        self.conv1 = nn.Sequential(*_convolution(3, inputs, kernel, stride))
        for number, width in enumerate(widths, 1):
            self.add_module(f"max_pool{number}", nn.MaxPool2d(3, 2))
            self.add_module(f"slim{number}", Slim(inputs, width))
            inputs = 3 * width
        self.add_module(f"max_pool{len(widths) + 1}", nn.MaxPool2d(3, 2))
        self.global_pool, self.flatten = nn.AdaptiveAvgPool2d(1), nn.Flatten()
        self.fc = nn.Linear(inputs, attributes)

    def forward(self, images: Tensor) -> Tensor:
        for module in self.children():
            images = module(images)
        return images


def slim_cnn(
    attributes: int = 40, stem: Sequence[int] = (96, 7, 2), widths: Sequence[int] = (16, 32, 48, 64)
) -> SlimCNN:
    """(n, 3, h, w) -> (n, attributes) scores; above 0 an attribute is more likely there than not.

    The published network by default. stem: units, kernel and stride of the first convolution. widths: of each slim.
    """
    return SlimCNN(attributes, stem, widths)
