"""Weights of Caffe models, read from their protobuf wire format. No code of the file is run.

    read_layers(path)["conv1/7x7_s2"]        # [weight (64, 3, 7, 7), bias (64,)]
    read_state(path)["conv1.7x7_s2.weight"]  # the same as a state dict

Field numbers are those of Caffe's caffe.proto: NetParameter, LayerParameter (and V1LayerParameter
before 2014), BlobProto, BlobShape.
"""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from dissection.errors import DissectionError

LAYERS = {100: (1, 7), 2: (4, 6)}  # field of a layer in a network -> fields of its name and blobs
FLOATS = {5: "<f4", 8: "<f8"}  # fields of a blob's values
SHAPE = 7
FIXED = {1: 8, 5: 4}  # wire type -> bytes


def read_layers(path: Path) -> dict[str, list[np.ndarray]]:
    """The arrays of every layer that has some, by its name in Caffe.

    Raises DissectionError if the file is truncated or no Caffe model.
    """
    layers: dict[str, list[np.ndarray]] = {}
    try:
        for number, layer in _fields(memoryview(path.read_bytes())):
            if number in LAYERS:
                name_field, blob_field = LAYERS[number]
                fields = list(_fields(_message(layer)))
                names = [bytes(_message(value)).decode() for n, value in fields if n == name_field]
                blobs = [_blob(_message(value)) for n, value in fields if n == blob_field]
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
    """The state dict of torch modules named as the Caffe layers are, with a dot for each slash."""
    kinds = ("weight", "bias")
    return {
        f"{name.replace('/', '.')}.{kinds[i] if i < len(kinds) else i}": torch.from_numpy(blob)
        for name, blobs in read_layers(path).items()
        for i, blob in enumerate(blobs)
    }


def read_blob(path: Path) -> np.ndarray:
    """The array of a .binaryproto file. Raises DissectionError if it is truncated or something else."""
    try:
        return _blob(memoryview(path.read_bytes()))
    except ValueError as error:
        raise DissectionError(f"{path}: not a complete Caffe blob ({error})") from None


def _blob(data: memoryview) -> np.ndarray:
    """float32 of a BlobProto. One without a shape has four axes; leading ones are dropped there."""
    chunks: list[np.ndarray] = []
    old = [0, 0, 0, 0]
    shape = None
    for number, value in _fields(data):
        if number in FLOATS:
            chunks.append(np.frombuffer(_message(value), FLOATS[number]))
        elif number == SHAPE:
            shape = [
                size for n, sizes in _fields(_message(value)) if n == 1 for size in _packed(sizes)
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


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """(field number, value) of a message: an integer, or the bytes of anything else."""
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        wire = key & 7
        if wire == 0:
            value, position = _varint(data, position)
            yield key >> 3, value
            continue
        if wire == 2:
            size, position = _varint(data, position)
        elif wire in FIXED:
            size = FIXED[wire]
        else:
            raise ValueError(f"wire type {wire}")
        if size > len(data) - position:
            raise ValueError(f"{size} bytes announced, {len(data) - position} left")
        yield key >> 3, data[position : position + size]
        position += size


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    """An integer of 7 bits a byte, the lowest first, and the position after it."""
    value = 0
    for i, byte in enumerate(data[position : position + 10]):
        value |= (byte & 127) << (7 * i)
        if byte < 128:
            return value, position + i + 1
    raise ValueError("an integer without end")


def _packed(value: int | memoryview) -> Iterator[int]:
    """The integers of a repeated field, packed or one by one."""
    if isinstance(value, int):
        yield value
        return
    position = 0
    while position < len(value):
        integer, position = _varint(value, position)
        yield integer


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("an integer in place of a message")
    return value
