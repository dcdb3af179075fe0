"""The Inception of the Fréchet Inception Distance (pt_inception-2015-12-05), by its published keys.

Conv2d_1a_3x3.conv ... Mixed_5b.branch1x1.conv ... Mixed_7c.branch_pool.bn, fc. What the FID calls pool_3, 2048
features, is the mean of Mixed_7c over all positions. Padding is not averaged by its mean pools, and its last block
has a maximum pool where the published architecture has a mean: so it was trained.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

Kernel = int | tuple[int, int]
# A branch is a chain of convolutions (width, kernel); a list of them at its end are side by side.
Chain = Sequence[Any]


class Convolution(nn.Module):
    """Convolution `conv`, batch norm `bn`, rectifier."""

    def __init__(
        self, channels: int, width: int, kernel: Kernel, stride: int = 1, padded: bool = True
    ):
        super().__init__()
        size = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (size[0] // 2, size[1] // 2) if padded else (0, 0)
        self.conv = nn.Conv2d(channels, width, size, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(width, eps=1e-3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.bn(self.conv(x)))


class Mixed(nn.Module):
    """(n, channels, h, w) -> (n, units, h, w): branches and a pool, concatenated. With a stride, the last
    convolution of each branch and the pool halve h and w, without padding."""

    def __init__(
        self, channels: int, branches: Mapping[str, Chain], pool: nn.Module, stride: int = 1
    ):
        super().__init__()
        self.pool, self.units = pool, 0
        self.chains: list[list[list[str]]] = []  # branch -> steps -> modules side by side
        for name, chain in branches.items():
            width, steps = channels, []
            for number, step in enumerate(chain, 1):
                last = number == len(chain) and stride > 1
                sides = step if isinstance(step, list) else [step]
                names = [name + f"_{number}" * (len(chain) > 1) + "ab"[i] * (len(sides) > 1)
                         for i in range(len(sides))]  # fmt: skip
                for side, (out, kernel) in zip(names, sides, strict=True):
                    convolution = Convolution(width, out, kernel, stride if last else 1, not last)
                    self.add_module(side, convolution)
                width = sum(out for out, _ in sides)
                steps.append(names)
            self.chains.append(steps)
            self.units += width
        if "branch_pool" not in branches:
            self.units += channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        outputs = []
        for steps in self.chains:
            y = self.pool(x) if steps == [["branch_pool"]] else x
            for names in steps:
                sides = [self.get_submodule(name)(y) for name in names]
                y = sides[0] if len(sides) == 1 else torch.cat(sides, 1)
            outputs.append(y)
        if [["branch_pool"]] not in self.chains:
            outputs.append(self.pool(x))
        return torch.cat(outputs, 1)


def _a(pooled: int) -> dict[str, Chain]:
    return {
        "branch1x1": [(64, 1)],
        "branch5x5": [(48, 1), (64, 5)],
        "branch3x3dbl": [(64, 1), (96, 3), (96, 3)],
        "branch_pool": [(pooled, 1)],
    }


def _c(width: int) -> dict[str, Chain]:
    row, column = (1, 7), (7, 1)
    return {
        "branch1x1": [(192, 1)],
        "branch7x7": [(width, 1), (width, row), (192, column)],
        "branch7x7dbl": [(width, 1), (width, column), (width, row), (width, column), (192, row)],
        "branch_pool": [(192, 1)],
    }


B: dict[str, Chain] = {"branch3x3": [(384, 3)], "branch3x3dbl": [(64, 1), (96, 3), (96, 3)]}
D: dict[str, Chain] = {
    "branch3x3": [(192, 1), (320, 3)],
    "branch7x7x3": [(192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3)],
}
SIDES = [(384, (1, 3)), (384, (3, 1))]
E: dict[str, Chain] = {
    "branch1x1": [(320, 1)],
    "branch3x3": [(384, 1), SIDES],
    "branch3x3dbl": [(448, 1), (384, 3), SIDES],
    "branch_pool": [(192, 1)],
}


def fid_inception(classes: int = 1008) -> nn.Sequential:
    """(n, 3, 299, 299) -> (n, classes) scores before the softmax."""
    modules: dict[str, nn.Module] = {
        "Conv2d_1a_3x3": Convolution(3, 32, 3, 2, padded=False),
        "Conv2d_2a_3x3": Convolution(32, 32, 3, padded=False),
        "Conv2d_2b_3x3": Convolution(32, 64, 3),
        "maxpool1": nn.MaxPool2d(3, 2),
        "Conv2d_3b_1x1": Convolution(64, 80, 1),
        "Conv2d_4a_3x3": Convolution(80, 192, 3, padded=False),
        "maxpool2": nn.MaxPool2d(3, 2),
    }
    mixed: dict[str, dict[str, Chain]] = {
        "5b": _a(32), "5c": _a(64), "5d": _a(64), "6a": B, "6b": _c(128), "6c": _c(160), "6d": _c(160),
        "6e": _c(192), "7a": D, "7b": E, "7c": E,
    }  # fmt: skip
    channels = 192
    for name, branches in mixed.items():
        if branches in (B, D):
            block = Mixed(channels, branches, nn.MaxPool2d(3, 2), stride=2)
        elif name == "7c":
            block = Mixed(channels, branches, nn.MaxPool2d(3, 1, 1))
        else:
            block = Mixed(channels, branches, nn.AvgPool2d(3, 1, 1, count_include_pad=False))
        modules[f"Mixed_{name}"] = block
        channels = block.units
    modules |= {"avgpool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten()}
    network = nn.Sequential()
    for name, module in (modules | {"fc": nn.Linear(channels, classes)}).items():
        network.add_module(name, module)
    return network
