"""AlexNet in the CaffeNet layout: pooling before normalisation, groups in conv2, conv4 and conv5.

The defaults are the published network of 227-pixel inputs; a smaller one is a matter of arguments.
Modules have the names of the published state dict: conv1 ... conv5, fc6, fc7, fc8.
"""

import re
from collections.abc import Sequence

from torch import nn

from dissection.errors import DissectionError

# places of the layers in torchvision's state dict, where there is no normalisation in between
TORCHVISION = {
    "features.0": "conv1", "features.3": "conv2", "features.6": "conv3", "features.8": "conv4", "features.10": "conv5",
    "classifier.1": "fc6", "classifier.4": "fc7", "classifier.6": "fc8",
}  # fmt: skip


class AlexNet(nn.Sequential):
    """(n, 3, size, size) -> (n, classes) scores before the softmax; see `alexnet`."""

    def own_key(self, key: str) -> str | None:
        """The key here of a parameter that torchvision calls `key`."""
        path, _, kind = key.rpartition(".")
        return f"{TORCHVISION.get(path, path)}.{kind}"


class Trunk(AlexNet):
    """conv1 to relu5 of an AlexNet, for a self-supervised model: (n, 3, h, w) -> (n, units, h', w')."""

    def own_key(self, key: str) -> str | None:
        """
        Such Caffe models have cls_conv1 (egomotion) and conv1_s1 (puzzle), of whose towers the others, of the same
        weights, are left out. So are fully connected layers, on purpose: they are the task's head.
        """
        path, _, kind = key.rpartition(".")
        name = path.removeprefix("cls_")
        if name.startswith(("fc", "classifier.")) or re.fullmatch(r"conv\d_s[2-9]", name):
            return None
        return super().own_key(f"{name.removesuffix('_s1')}.{kind}")


def torchvision_alexnet(classes: int = 365) -> AlexNet:
    """torchvision's: narrower, one group, no normalisation; for 224 pixels."""
    return alexnet(classes, 224, (64, 192, 384, 256, 256), padding=2, groups=(1,) * 5, lrn=False)


def alexnet(
    classes: int = 365,
    size: int = 227,
    widths: Sequence[int] = (96, 256, 384, 384, 256),
    hidden: int = 4096,
    kernel: int = 11,
    stride: int = 4,
    padding: int = 0,
    groups: Sequence[int] = (1, 2, 1, 2, 2),
    lrn: bool = True,
    batch_norm: bool = False,
    dropout: float = 0.5,
    gap: bool = False,
) -> AlexNet:
    """(n, 3, size, size) -> (n, classes) scores before the softmax.

    widths, groups: of conv1 to conv5. kernel, stride, padding: of conv1. hidden: of fc6 and fc7.
    lrn: local response normalisation after pool1 and pool2. batch_norm: after each convolution.
    dropout: after fc6 and fc7; 0 for none. gap: the mean of conv5 over all positions goes straight
    to fc8 (AlexNet-GAP-Wide with widths 96, 256, 384, 384, 768).
    """
    modules: dict[str, nn.Module] = {}
    channels = 3
    for i, (width, group) in enumerate(zip(widths, groups, strict=True), start=1):
        if i == 1:
            conv = nn.Conv2d(channels, width, kernel, stride, padding, groups=group)
            size = (size + 2 * padding - kernel) // stride + 1
        else:
            conv = nn.Conv2d(channels, width, 5 if i == 2 else 3, padding="same", groups=group)
        modules[f"conv{i}"] = conv
        if batch_norm:
            modules[f"bn{i}"] = nn.BatchNorm2d(width)
        modules[f"relu{i}"] = nn.ReLU()
        if i in (1, 2) or (i == 5 and not gap):
            modules[f"pool{i}"] = nn.MaxPool2d(3, 2)
            size = (size - 3) // 2 + 1
        if i in (1, 2) and lrn:
            modules[f"norm{i}"] = nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75)
        channels = width
    if size < 1:
        raise DissectionError(
            "alexnet: the input is too small for conv1 and three pools; raise size"
        )
    if gap:
        modules["pool5"] = nn.AdaptiveAvgPool2d(1)
        modules["flatten"] = nn.Flatten()
    else:
        modules["flatten"] = nn.Flatten()
        channels *= size * size
        for i in (6, 7):
            modules[f"fc{i}"] = nn.Linear(channels, hidden)
            modules[f"relu{i}"] = nn.ReLU()
            if dropout:
                modules[f"drop{i}"] = nn.Dropout(dropout)
            channels = hidden
    modules["fc8"] = nn.Linear(channels, classes)
    network = AlexNet()
    for name, module in modules.items():
        network.add_module(name, module)
    return network
