"""SqueezeNet 1.1 with batch norm, as trained on Places365, and its published weights.

Their file is a pickled list of numpy arrays from Lasagne, read by an unpickler that knows numpy
arrays and nothing else.
"""

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from dissection.errors import DissectionError

SLOPE = 0.55
EPSILON = 1e-4  # in Lasagne's inverse standard deviation
# squeeze, expand1x1 and expand3x3 channels of fire2 ... fire9
FIRES = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))


class Convolution(nn.Sequential):
    """Convolution, batch norm, leaky rectifier."""

    def __init__(self, channels: int, width: int, kernel: int, stride: int = 1):
        super().__init__(
            OrderedDict(
                conv=nn.Conv2d(channels, width, kernel, stride, kernel // 2),
                bn=nn.BatchNorm2d(width, eps=EPSILON),
                relu=nn.LeakyReLU(SLOPE),
            )
        )


class Fire(nn.Module):
    """(n, channels, h, w) -> (n, 2 * expand, h, w)."""

    def __init__(self, channels: int, squeeze: int, expand: int):
        super().__init__()
        self.squeeze1x1 = Convolution(channels, squeeze, 1)
        self.expand1x1 = Convolution(squeeze, expand, 1)
        self.expand3x3 = Convolution(squeeze, expand, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.squeeze1x1(x)
        return torch.cat([self.expand1x1(x), self.expand3x3(x)], 1)


def squeezenet(classes: int = 365) -> nn.Sequential:
    """(n, 3, 224, 224) -> (n, classes) scores before the softmax."""
    network = nn.Sequential(OrderedDict(conv1=Convolution(3, 64, 3, 2), pool1=nn.MaxPool2d(3, 2)))
    channels = 64
    for number, (squeeze, expand) in enumerate(FIRES, start=2):
        network.add_module(f"fire{number}", Fire(channels, squeeze, expand))
        if number in (3, 5):
            network.add_module(f"pool{number}", nn.MaxPool2d(3, 2))
        channels = 2 * expand
    network.add_module("conv10", nn.Conv2d(channels, classes, 1))
    network.add_module("relu10", nn.LeakyReLU(SLOPE))
    network.add_module("pool10", nn.AdaptiveAvgPool2d(1))
    network.add_module("flatten", nn.Flatten())
    return network


class ArrayUnpickler(pickle.Unpickler):
    """Rebuilds numpy arrays and refuses every other object."""

    def find_class(self, module: str, name: str) -> Any:
        allowed = {
            ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
        }
        if (module, name) not in allowed:
            raise pickle.UnpicklingError(f"it wants {module}.{name}; only numpy arrays are allowed")
        return allowed[module, name]


def _reconstruct(subtype: type, shape: tuple[int, ...], dtype: bytes) -> np.ndarray:
    """The empty array whose state the pickle sets next."""
    return np.ndarray((0,), np.uint8)


def read_params(path: Path) -> dict[str, torch.Tensor]:
    """The state dict of `squeezenet()` from a published .params file.

    Of every convolution: W, b, beta, gamma, mean, inverse standard deviation; of conv10: W, b.
    Lasagne's kernels are those of a true convolution, so both axes are flipped.
    Raises DissectionError.
    """
    with path.open("rb") as file:
        try:
            arrays = ArrayUnpickler(file).load()
        except (pickle.UnpicklingError, EOFError, ValueError, TypeError) as error:
            raise DissectionError(f"weights {path}: not a list of arrays: {error}") from None
    names = ["conv1"]
    for number in range(2, 2 + len(FIRES)):
        names += [f"fire{number}.{part}" for part in ("squeeze1x1", "expand1x1", "expand3x3")]
    keys: list[str] = []
    for name in names:
        keys += [f"{name}.conv.weight", f"{name}.conv.bias", f"{name}.bn.bias", f"{name}.bn.weight"]
        keys += [f"{name}.bn.running_mean", f"{name}.bn.running_var"]
    keys += ["conv10.weight", "conv10.bias"]
    if not isinstance(arrays, list) or len(arrays) != len(keys):
        raise DissectionError(f"weights {path}: expected a list of {len(keys)} arrays")
    state = {}
    for key, array in zip(keys, arrays, strict=True):
        if not isinstance(array, np.ndarray) or array.dtype != np.float32:
            raise DissectionError(f"weights {path}: expected float32 arrays")
        if array.ndim == 4:
            array = array[:, :, ::-1, ::-1]
        elif key.endswith("running_var"):
            array = (array.astype(np.float64) ** -2 - EPSILON).astype(np.float32)
        state[key] = torch.from_numpy(array.copy())
    return state
