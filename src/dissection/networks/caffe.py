"""Weights of Caffe models.

    read_layers(path)["conv1/7x7_s2"]        # [weight (64, 3, 7, 7), bias (64,)]
    read_state(path)["conv1.7x7_s2.weight"]  # the same as a state dict

Field numbers are those of Caffe's caffe.proto: NetParameter, LayerParameter (and V1LayerParameter
before 2014), BlobProto, BlobShape.
"""

import math
from pathlib import Path

import numpy as np
import torch

from dissection.errors import DissectionError
from dissection.networks.protobuf import fields, message, packed, read

LAYERS = {100: (1, 7), 2: (4, 6)}  # field of a layer in a network -> fields of its name and blobs
FLOATS = {5: "<f4", 8: "<f8"}  # fields of a blob's values
SHAPE = 7


def read_layers(path: Path) -> dict[str, list[np.ndarray]]:
    """The arrays of every layer that has some, by its name in Caffe.

    Raises DissectionError if the file is truncated or no Caffe model.
    """
    layers: dict[str, list[np.ndarray]] = {}
    try:
        for number, layer in fields(read(path)):
            if number in LAYERS:
                name_field, blob_field = LAYERS[number]
                parts = list(fields(message(layer)))
                names = [bytes(message(value)).decode() for n, value in parts if n == name_field]
                blobs = [_blob(message(value)) for n, value in parts if n == blob_field]
                if blobs:
                    layers[names[-1] if names else ""] = blobs
    except ValueError as error:
        raise DissectionError(
            f"weights {path}: not a complete Caffe model ({error}); fetch it again"
        ) from None
    if not layers:
        raise DissectionError(f"weights {path}: no layer of this Caffe model has weights")
    return layers


def read_state(path: Path) -> dict[str, torch.Tensor]:
    """The state dict of torch modules named as the Caffe layers are, with a dot for each slash.

    A batch norm is two layers in Caffe: running_mean and running_var are of the first, weight and bias of the
    second; or one layer with all four, where Torch's was converted.
    """
    state = {}
    for name, blobs in read_layers(path).items():
        kinds = ["weight", "bias", "running_mean", "running_var"]
        if (
            len(blobs) == 3 and blobs[2].size == 1
        ):  # sums of means and of variances, and of their weights
            *sums, weight = blobs
            blobs = [each / (weight or 1) for each in sums]
            kinds = ["running_mean", "running_var"]
        for i, blob in enumerate(blobs):
            kind = kinds[i] if i < len(kinds) else i
            state[f"{name.replace('/', '.')}.{kind}"] = torch.from_numpy(blob)
    return state


def read_blob(path: Path) -> np.ndarray:
    """The array of a .binaryproto file. Raises DissectionError if it is truncated or something else."""
    try:
        return _blob(read(path))
    except ValueError as error:
        raise DissectionError(f"{path}: not a complete Caffe blob ({error})") from None


def _blob(data: memoryview) -> np.ndarray:
    """float32 of a BlobProto. One without a shape has four axes; leading ones are dropped there."""
    chunks: list[np.ndarray] = []
    old = [0, 0, 0, 0]
    shape = None
    for number, value in fields(data):
        if number in FLOATS:
            chunks.append(np.frombuffer(message(value), FLOATS[number]))
        elif number == SHAPE:
            shape = [
                size for n, sizes in fields(message(value)) if n == 1 for size in packed(sizes)
            ]
        elif 1 <= number <= 4 and isinstance(value, int):
            old[number - 1] = value
    if shape is None:
        shape = old
        while len(shape) > 1 and shape[0] == 1:
            shape = shape[1:]
    values = np.concatenate(chunks, dtype=np.float32) if chunks else np.zeros(0, np.float32)
    if not values.size or values.size != math.prod(shape):
        raise ValueError(f"{values.size} values in a blob of shape {shape}")
    return values.reshape(shape)
