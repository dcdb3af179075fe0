"""Work that several jobs share: each does a part of it, and the job that gathers them goes on as if it had done it all.

    part = Part.of("2-of-3")
    found = joined(measure(some) for some in batches[part.run(len(batches))])   # tensors by name
    save(found, part, Path("2-of-3.safetensors"))
    gathered([Path("1-of-3.safetensors"), ...])             # what Part() finds, to the byte

A part is a run of whole batches (`images`): the rounding of what a network computes depends on what else is in the
batch, so no image is ever in another one.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Self

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from dissection.errors import DissectionError
from dissection.paths import replacing


class Part(NamedTuple):
    """Number, from 1, of so many; by itself it is all there is."""

    number: int = 1
    parts: int = 1

    @classmethod
    def of(cls, text: str) -> Self:
        """Raises DissectionError unless it is as 1-of-3."""
        found = re.fullmatch(r"(\d+)-of-(\d+)", text)
        number, parts = map(int, found.groups()) if found else (0, 0)
        if not 1 <= number <= parts:
            raise DissectionError(f"part {text}: expected one as 1-of-3, 2-of-3, 3-of-3")
        return cls(number, parts)

    def run(self, count: int) -> slice:
        """Which of `count` things are in the part: none, if there are more parts than things."""
        start, stop = (count * i // self.parts for i in (self.number - 1, self.number))
        return slice(start, stop)

    def images(self, images: int, batch: int) -> range:
        """Numbers of the images of the part: whole batches of the images."""
        some = self.run(-(-images // batch))
        return range(some.start * batch, min(images, some.stop * batch))


def joined(found: Iterable[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Of each name all tensors, in main memory, one behind the other along the first dimension."""
    every: dict[str, list[Tensor]] = {}
    for one in found:
        for name, tensor in one.items():
            every.setdefault(name, []).append(tensor.cpu())
    return {name: torch.cat(tensors) for name, tensors in every.items()}


def save(found: Mapping[str, Tensor], part: Part, out: Path) -> None:
    with replacing(out) as file:
        tensors = {name: tensor.contiguous() for name, tensor in found.items()}
        save_file(tensors, file, {"part": f"{part.number}-of-{part.parts}"})


def gathered(files: Sequence[Path]) -> dict[str, Tensor]:
    """What all parts found, joined. Raises DissectionError unless every part is there, in order."""

    def read(number: int, path: Path) -> dict[str, Tensor]:
        with safe_open(path, "pt") as file:
            own, expected = file.metadata()["part"], f"{number}-of-{len(files)}"
            if own != expected:
                raise DissectionError(
                    f"{path}: part {own}, expected {expected}; give every part once, in order"
                )
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 # no dict

    return joined(read(number, path) for number, path in enumerate(files, start=1))
