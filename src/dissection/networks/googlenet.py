"""GoogLeNet without its training-time classifiers, in Caffe's names with a dot for each slash.

conv1.7x7_s2, pool1.norm1, inception_3a.1x1 ... inception_5b.pool_proj, loss3.classifier. What Caffe
calls inception_5b/output, the concatenation, is the output of the module inception_5b.
"""

import re
from collections.abc import Sequence

import torch
from torch import nn

# 1x1, 3x3_reduce, 3x3, 5x5_reduce, 5x5 and pool_proj channels
INCEPTIONS = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}


def _convolution(
    name: str, channels: int, width: int, kernel: int, stride: int = 1, batch_norm: bool = False
) -> dict[str, nn.Module]:
    """A convolution called `name` and what follows it, by module name."""
    modules: dict[str, nn.Module] = {name: nn.Conv2d(channels, width, kernel, stride, kernel // 2)}
    short = name.removesuffix("_s2")
    if batch_norm:
        modules[f"bn_{short}"] = nn.BatchNorm2d(width)
    return modules | {f"relu_{short}": nn.ReLU()}


def _sequence(modules: dict[str, nn.Module]) -> nn.Sequential:
    sequence = nn.Sequential()
    for name, module in modules.items():
        sequence.add_module(name, module)
    return sequence


class Inception(nn.Module):
    """(n, channels, h, w) -> (n, units, h, w): four branches, concatenated."""

    def __init__(self, channels: int, widths: Sequence[int], batch_norm: bool):
        super().__init__()
        one, reduce3, three, reduce5, five, projection = widths
        self.units = one + three + five + projection
        branches = (
            _convolution("1x1", channels, one, 1, 1, batch_norm),
            _convolution("3x3_reduce", channels, reduce3, 1, 1, batch_norm)
            | _convolution("3x3", reduce3, three, 3, 1, batch_norm),
            _convolution("5x5_reduce", channels, reduce5, 1, 1, batch_norm)
            | _convolution("5x5", reduce5, five, 5, 1, batch_norm),
            {"pool": nn.MaxPool2d(3, 1, 1)}
            | _convolution("pool_proj", channels, projection, 1, 1, batch_norm),
        )
        for branch in branches:
            for name, module in branch.items():
                self.add_module(name, module)
        self.branches = [list(branch) for branch in branches]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        outputs = []
        for branch in self.branches:
            y = x
            for name in branch:
                y = self.get_submodule(name)(y)
            outputs.append(y)
        return torch.cat(outputs, 1)


class GoogLeNet(nn.Sequential):
    """(n, 3, h, w) -> (n, classes) scores before the softmax; see `googlenet`."""

    def own_key(self, key: str) -> str | None:
        """The key here of what a Caffe model calls `key`; None for its training-time classifiers."""
        if key.startswith(("loss1.", "loss2.")):
            return None
        return re.sub(r"^loss3\.classifier\w*", "loss3.classifier", key)


def googlenet(
    classes: int = 365,
    width: float = 1.0,
    stride: int = 2,
    pools: Sequence[int] = (1, 2, 3, 4),
    lrn: bool = True,
    batch_norm: bool = False,
    dropout: float = 0.4,
) -> GoogLeNet:
    """Published for 224 pixels; pools round their size up, as Caffe does.

    width: channels relative to the published ones. stride: of the first convolution. pools: which of
    the four max pools there are. lrn: local response normalisation in pool1 and conv2. batch_norm:
    after each convolution (without it and without the training-time classifiers, so deep a network
    trains slowly from scratch). dropout: before the scores; 0 for none.
    """

    def scaled(channels: int) -> int:
        return max(4, round(width * channels))

    def pool(number: int) -> dict[str, nn.Module]:
        return {"3x3_s2": nn.MaxPool2d(3, 2, ceil_mode=True)} if number in pools else {}

    def norm(name: str) -> dict[str, nn.Module]:
        return {name: nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75)} if lrn else {}

    first, reduced, second = scaled(64), scaled(64), scaled(192)
    stages: dict[str, nn.Module] = {
        "conv1": _sequence(_convolution("7x7_s2", 3, first, 7, stride, batch_norm)),
        "pool1": _sequence(pool(1) | norm("norm1")),
        "conv2": _sequence(
            _convolution("3x3_reduce", first, reduced, 1, 1, batch_norm)
            | _convolution("3x3", reduced, second, 3, 1, batch_norm)
            | norm("norm2")
        ),
        "pool2": _sequence(pool(2)),
    }
    channels = second
    for name, widths in INCEPTIONS.items():
        if name in ("4a", "5a"):
            number = int(name[0]) - 1
            stages[f"pool{number}"] = _sequence(pool(number))
        inception = Inception(channels, [scaled(n) for n in widths], batch_norm)
        stages[f"inception_{name}"] = inception
        channels = inception.units
    mean: dict[str, nn.Module] = {"7x7_s1": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten()}
    stages["pool5"] = _sequence(mean | ({"drop_7x7_s1": nn.Dropout(dropout)} if dropout else {}))
    stages["loss3"] = _sequence({"classifier": nn.Linear(channels, classes)})
    network = GoogLeNet()
    for name, module in stages.items():
        network.add_module(name, module)
    return network
