"""Weights of networks that Torch 7 saved in binary form (.t7).

    read_state(path)["5.0.0.0.3.weight"]     # modules by their places in their containers, from 0

A file is one object of Lua: numbers, strings, tables, and objects of Torch's classes, each with a number by which
later ones refer to it. It may name the classes below and no functions; nothing of it is run.
"""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dissection.errors import DissectionError
from dissection.networks.protobuf import read

TYPES = {"Float": "<f4", "Cuda": "<f4", "Double": "<f8", "Long": "<i8", "Int": "<i4", "Byte": "u1"}
TENSORS = {f"torch.{name}Tensor" for name in TYPES}
STORAGES = {f"torch.{name}Storage": np.dtype(kind) for name, kind in TYPES.items()}
MODULES = {
    f"{package}.{name}"
    for package in ("nn", "cudnn")
    for name in (
        "Sequential", "ConcatTable", "CAddTable", "Identity", "SpatialConvolution", "SpatialBatchNormalization",
        "ReLU", "SpatialMaxPooling", "SpatialAveragePooling", "View", "Reshape", "Linear", "Dropout", "SoftMax",
        "LogSoftMax",
    )
}  # fmt: skip
NIL, NUMBER, STRING, TABLE, OBJECT, BOOLEAN = range(6)
PARAMETERS = ("weight", "bias", "running_mean", "running_var")


class Module:
    """An object of one of Torch's modules: a table of its fields."""

    fields: Any = None


class Reader:
    def __init__(self, data: memoryview):
        self.data, self.position = data, 0
        self.known: dict[int, Any] = {}  # objects by their number

    def take(self, count: int) -> memoryview:
        if not 0 <= count <= len(self.data) - self.position:
            raise ValueError(f"{count} bytes announced, {len(self.data) - self.position} left")
        self.position += count
        return self.data[self.position - count : self.position]

    def integers(self, count: int, kind: str) -> tuple[int, ...]:
        """kind: `i`, of 4 bytes, or `q`, of 8."""
        size = struct.calcsize(kind)
        return struct.unpack(f"<{count}{kind}", self.take(count * size))

    def integer(self) -> int:
        return self.integers(1, "i")[0]

    def text(self) -> str:
        return bytes(self.take(self.integer())).decode("latin-1")

    def read(self) -> Any:
        """The next object."""
        kind = self.integer()
        if kind == NIL:
            return None
        if kind == NUMBER:
            return struct.unpack("<d", self.take(8))[0]
        if kind == STRING:
            return self.text()
        if kind == BOOLEAN:
            return self.integer() == 1
        if kind not in (TABLE, OBJECT):
            raise ValueError(f"an object of type {kind}; functions are not read")
        number = self.integer()
        if number not in self.known:
            if kind == TABLE:
                table = self.known[number] = {}
                for _ in range(self.integer()):
                    key = self.read()
                    table[key] = self.read()
            else:
                self._object(number)
        return self.known[number]

    def _object(self, number: int) -> None:
        version = self.text()
        name = self.text() if version.startswith("V ") else version
        if name in MODULES:
            module = self.known[number] = Module()
            module.fields = self.read()
        elif name in TENSORS:
            axes = self.integer()
            sizes, strides = self.integers(axes, "q"), self.integers(axes, "q")
            (first,) = self.integers(1, "q")
            storage = self.read()
            if storage is None:
                self.known[number] = torch.zeros(0)
            else:  # as_strided refuses what lies outside
                self.known[number] = storage.as_strided(sizes, strides, first - 1)
        elif name in STORAGES:
            (count,) = self.integers(1, "q")
            values = np.array(self.take(count * STORAGES[name].itemsize), copy=True)
            self.known[number] = torch.from_numpy(values.view(STORAGES[name]))
        else:
            raise ValueError(
                f"it wants {name}; only tensors and modules of image networks are read"
            )


def read_state(path: Path) -> dict[str, torch.Tensor]:
    """The tensors that evaluate a network. Raises DissectionError if it is truncated or something else."""
    state: dict[str, torch.Tensor] = {}
    seen: set[int] = set()

    def walk(module: Any, name: str) -> None:
        if not isinstance(module, Module) or id(module) in seen:
            raise ValueError("expected a tree of modules")
        seen.add(id(module))
        for kind in PARAMETERS:
            if isinstance(tensor := module.fields.get(kind), torch.Tensor):
                state[name + kind] = tensor
        parts = module.fields.get("modules", {})
        for place in range(len(parts)):
            walk(parts[place + 1], f"{name}{place}.")

    try:
        walk(Reader(read(path)).read(), "")
    except (ValueError, TypeError, KeyError, AttributeError, RuntimeError, OverflowError, MemoryError, struct.error
            ) as error:  # fmt: skip
        cause = str(error).partition("\n")[0]
        raise DissectionError(f"weights {path}: no network that Torch 7 saved ({cause})") from None
    return state
