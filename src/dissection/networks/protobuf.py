"""The wire format of protobuf, in which Caffe and TensorFlow keep networks.

    for number, value in fields(read(path)):      # field numbers are those of the .proto
        dict(fields(message(value)))              # a message within

Nothing of a file is run.
"""

import mmap
from collections.abc import Iterator
from pathlib import Path

FIXED = {1: 8, 5: 4}  # wire type -> bytes


def read(path: Path) -> memoryview:
    """The bytes of a file, of which only those that are used are loaded. Raises ValueError if it is empty."""
    with path.open("rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """(field number, value) of a message: an integer, or the bytes of anything else. Raises ValueError."""
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


def packed(value: int | memoryview) -> Iterator[int]:
    """The integers of a repeated field, packed or one by one."""
    if isinstance(value, int):
        yield value
        return
    position = 0
    while position < len(value):
        integer, position = _varint(value, position)
        yield integer


def message(value: int | memoryview) -> memoryview:
    """The bytes of a value that is not to be an integer."""
    if isinstance(value, int):
        raise ValueError("an integer in place of a message")
    return value
