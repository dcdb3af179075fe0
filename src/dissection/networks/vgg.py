"""VGG-16 with the research names of its layers: features.conv1_1 ... conv5_3, classifier.fc6, fc7, fc8a; VGG-19 too.

The defaults are the published network of 224-pixel inputs; a smaller one is a matter of arguments.
"""

from collections.abc import Sequence

from torch import nn

from dissection.errors import DissectionError

DEPTHS = (2, 2, 3, 3, 3)


class VGG16(nn.Sequential):
    """(n, 3, size, size) -> (n, classes) scores before the softmax; see `vgg16`."""

    def own_key(self, key: str) -> str:
        """The key here of a parameter that Caffe (conv1_1, fc8) or torchvision (features.0) calls `key`."""
        path, _, kind = key.rpartition(".")
        group, _, name = path.rpartition(".")
        if group in ("features", "classifier") and name.isdigit():
            names = [child for child, _ in self.get_submodule(group).named_children()]
            name = names[int(name)] if int(name) < len(names) else name
        elif name.startswith("fc8"):
            name = "fc8a"
        return f"{'classifier' if name.startswith('fc') else 'features'}.{name}.{kind}"


def vgg16(
    classes: int = 365,
    size: int = 224,
    widths: Sequence[int] = (64, 128, 256, 512, 512),
    hidden: int = 4096,
    stride: int = 1,
    pools: Sequence[int] = (1, 2, 3, 4, 5),
    batch_norm: bool = False,
    dropout: float = 0.5,
    depths: Sequence[int] = DEPTHS,
) -> VGG16:
    """widths, depths: of the five groups of convolutions; VGG-19 has depths 2, 2, 4, 4, 4. hidden: of fc6
    and fc7. stride: of conv1_1.

    pools: groups that end in a max pool. batch_norm: after each convolution (without it, so deep a
    network trains slowly from scratch). dropout: after fc6 and fc7; 0 for none.
    """
    features, classifier = nn.Sequential(), nn.Sequential()
    channels = 3
    size = (size - 1) // stride + 1
    for group, (width, depth) in enumerate(zip(widths, depths, strict=True), start=1):
        for i in range(1, depth + 1):
            name = f"{group}_{i}"
            step = stride if name == "1_1" else 1
            features.add_module(f"conv{name}", nn.Conv2d(channels, width, 3, step, padding=1))
            if batch_norm:
                features.add_module(f"bn{name}", nn.BatchNorm2d(width))
            features.add_module(f"relu{name}", nn.ReLU())
            channels = width
        if group in pools:
            features.add_module(f"pool{group}", nn.MaxPool2d(2, 2))
            size //= 2
    if size < 1:
        raise DissectionError("vgg16: the input is too small for its pools; raise size")
    channels *= size * size
    for i in (6, 7):
        classifier.add_module(f"fc{i}", nn.Linear(channels, hidden))
        classifier.add_module(f"relu{i}", nn.ReLU())
        if dropout:
            classifier.add_module(f"drop{i}", nn.Dropout(dropout))
        channels = hidden
    classifier.add_module("fc8a", nn.Linear(channels, classes))
    network = VGG16()
    network.add_module("features", features)
    network.add_module("flatten", nn.Flatten())
    network.add_module("classifier", classifier)
    return network
