"""The Inception of the Fréchet Inception Distance (inception-2015-12-05), by the keys of its port to torch.

    read_graph(Path("classify_image_graph_def.pb"))      # the original's weights, by TensorFlow's names

Conv2d_1a_3x3.conv ... Mixed_5b.branch1x1.conv ... Mixed_7c.branch_pool.bn, fc. What the FID calls pool_3, 2048
features, is the mean of Mixed_7c over all positions. Padding is not averaged by its mean pools, and its last block
has a maximum pool where the published architecture has a mean: so it was trained.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from dissection.errors import DissectionError
from dissection.networks.protobuf import fields, message, read

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


# what the original calls a weight -> what it is here
KINDS = {
    "conv2d_params": "conv.weight", "batchnorm.gamma": "bn.weight", "batchnorm.beta": "bn.bias",
    "batchnorm.moving_mean": "bn.running_mean", "batchnorm.moving_variance": "bn.running_var",
    "weights": "weight", "biases": "bias",
}  # fmt: skip


class Inception(nn.Sequential):
    """(n, 3, 299, 299) -> (n, classes) scores before the softmax; see `fid_inception`."""

    def own_key(self, key: str) -> str:
        """The key here of what the original calls mixed_3.tower.conv_1.batchnorm.gamma, softmax.weights, ..."""
        for name, own in self._originals():
            if key.startswith(f"{name}."):
                kind = key.removeprefix(f"{name}.")
                return f"{own}.{KINDS.get(kind, kind)}"
        return key

    def _originals(self) -> Iterator[tuple[str, str]]:
        """The original's name of each convolution, and its name here: both count the same branches and steps."""
        yield "softmax", "fc"
        blocks = [name for name, module in self.named_children() if isinstance(module, Mixed)]
        stem = [name for name, module in self.named_children() if isinstance(module, Convolution)]
        for i, name in enumerate(stem):
            yield _numbered("conv", i), name
        for i, block in enumerate(blocks):
            towers = 0
            for steps in self.get_submodule(block).chains:  # type: ignore[union-attr]
                place = _numbered("mixed", i)
                # a branch of one convolution is no tower, unless it pools before
                if len(steps) > 1 or steps == [["branch_pool"]]:
                    place = f"{place}.{_numbered('tower', towers)}"
                    towers += 1
                for j, names in enumerate(steps):
                    for k, name in enumerate(names):
                        conv = (
                            _numbered("conv", j)
                            if len(names) == 1
                            else f"mixed.{_numbered('conv', k)}"
                        )
                        yield f"{place}.{conv}", f"{block}.{name}"


def _numbered(name: str, number: int) -> str:
    """As TensorFlow tells names of one scope apart."""
    return f"{name}_{number}" if number else name


def read_graph(path: Path) -> dict[str, torch.Tensor]:
    """
    The arrays of numbers among the constants of a TensorFlow graph (GraphDef), by name with `.` for `/`, weights in
    torch's order. Raises DissectionError if the file is truncated or something else.
    """
    state = {}
    try:
        for number, node in fields(read(path)):
            parts = list(fields(message(node))) if number == 1 else []  # GraphDef.node
            if (2, b"Const") not in parts:  # NodeDef.op
                continue
            name = next(bytes(message(value)).decode() for n, value in parts if n == 1)
            attributes = [dict(fields(message(value))) for n, value in parts if n == 5]
            value = next(message(each[2]) for each in attributes if each[1] == b"value")
            array = _array(message(dict(fields(value))[8]))  # AttrValue.tensor
            if array.ndim:
                axes = {2: (1, 0), 4: (3, 2, 0, 1)}.get(array.ndim, range(array.ndim))
                state[name.replace("/", ".")] = torch.from_numpy(array.transpose(axes).copy())
    except (ValueError, KeyError, StopIteration) as error:
        raise DissectionError(
            f"weights {path}: not a complete TensorFlow graph ({error})"
        ) from None
    if not state:
        raise DissectionError(f"weights {path}: this TensorFlow graph has no weights")
    return state


def _array(tensor: memoryview) -> np.ndarray:
    """float32 of a TensorProto; one number, if it is of another type."""
    parts = list(fields(tensor))
    if (1, 1) not in parts:  # dtype: DT_FLOAT
        return np.zeros(())
    sizes = [
        size for n, value in parts if n == 2 for size in fields(message(value))
    ]  # tensor_shape
    shape = [int(dict(fields(message(size))).get(1, 0)) for n, size in sizes if n == 2]
    # tensor_content, or float_val, where one number may stand for all
    values = np.concatenate([np.frombuffer(message(v), "<f4") for n, v in parts if n in (4, 5)])
    return np.full(shape, values[0]) if values.size == 1 else values.reshape(shape)


def fid_inception(classes: int = 1008) -> Inception:
    """The published network."""
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
    network = Inception()
    for name, module in (modules | {"fc": nn.Linear(channels, classes)}).items():
        network.add_module(name, module)
    return network
