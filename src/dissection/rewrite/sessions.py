"""What a person selected in a generator's images to rewrite it: copy, paste, context (thesis 6.4).

    session = read_session(Path("hat.json"), network="stylegan2_horse", layer="layer8")
    session.mask("paste", (32, 32))                              # (32, 32), 0 to 1
    Path("mine.json").write_text(session.model_dump_json(indent=1))

A mask is a data URL of a PNG of the image, white where it is selected. The authors' files are read as they are: there a
selection is [image, mask], the context is called `key`, and nothing names the network, the layer or the truncation.
"""

import base64
import binascii
import io
import json
import struct
import zlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from pydantic import Field, ValidationError, model_validator
from torch import Tensor

from dissection.config import Section
from dissection.errors import DissectionError

PREFIX = "data:image/png;base64,"
SIGNATURE = b"\x89PNG\r\n\x1a\n"
LIMIT = 2048  # pixels of a mask's sides: twice the largest published generator's
CHARACTERS = 16 << 20  # of a mask: more than one of that size takes, uncompressed
BYTES = 256 << 20  # of a file


class Selection(Section):
    """A region of an image."""

    image: int = Field(ge=0, lt=100_000, description="number of the image: its row of z")
    mask: str = Field(
        max_length=CHARACTERS,
        pattern="^data:image/png;base64,",
        description="data URL of a PNG; its red channel is the region",
    )

    @model_validator(mode="before")
    @classmethod
    def _pair(cls, given: Any) -> Any:
        """The authors' [image, mask]."""
        if isinstance(given, list | tuple) and len(given) == 2:
            return {"image": given[0], "mask": given[1]}
        return given


class Settings(Section):
    """How the edit is made (thesis B.5)."""

    method: Literal["pgd", "lambda", "layer"] = Field(
        default="pgd",
        description="projected gradient descent, optimisation of Lambda, or of the layer's weight without directions",
    )
    keys: Literal["zca", "mean", "axis"] = Field(
        default="zca",
        description="directions: by whitening and rank reduction (B.3), of the mean key, of single units (B.4)",
    )
    rank: int = Field(default=1, ge=1, description="number of directions")
    steps: int = Field(default=2001, ge=1, description="of Adam")
    learning_rate: float = Field(default=0.05, gt=0, description="of Adam")
    every: int = Field(default=10, ge=1, description="steps from one projection to the next")
    low_rank_gradient: bool = Field(default=False, description="project each step's gradient too")
    single: int | None = Field(
        default=None, ge=0, description="use this one of the context's selections only, from 0"
    )
    padded: bool = Field(
        default=False,
        description="as in the authors' code, the patch is surrounded by zeros, not by its neighbours",
    )
    erase: int | None = Field(
        default=None,
        ge=1,
        description="instead of a copy: the values without so many units of the context (B.4)",
    )
    whole: bool = Field(
        default=False,
        description="erase all over the image, as the authors' code does, not in the box of `paste` only",
    )
    repeats: int = Field(default=1, ge=1, description="edit so many times, each from the last")
    patience: int | None = Field(
        default=None, ge=1, description="end once the loss has not fallen for so many steps"
    )


class Session(Section):
    """A request to rewrite a network."""

    network: str = Field(description="generator of the profile")
    layer: str = Field(description="printed name of its layer")
    seed: int = Field(default=1, ge=0, description="of z")
    truncation: float = Field(
        default=1.0, ge=0, description="psi of the images, of a StyleGAN2; 1: none"
    )
    object: Selection | None = Field(default=None, description="what to copy; not to erase")
    paste: Selection = Field(description="where to put it, in whose box's centre")
    context: list[Selection] = Field(
        default=[], description="where else the same is meant; none: at `paste`"
    )
    settings: Settings = Settings()

    @model_validator(mode="after")
    def _one_goal(self) -> "Session":
        if self.object is None and self.settings.erase is None:
            raise ValueError("give an object to copy, or settings.erase")
        if self.settings.single is not None and self.settings.single >= len(self.contexts):
            raise ValueError(f"settings.single: the context has {len(self.contexts)} selections")
        return self

    @property
    def contexts(self) -> list[Selection]:
        return self.context or [self.paste]


def read_session(path: Path, **given: Any) -> Session:
    """A session of ours or of the authors'. given: values for its keys, those of `settings` too; none if None.

    Raises DissectionError if it is not one, or a mask cannot be read.
    """
    try:
        if path.stat().st_size > BYTES:
            raise DissectionError(f"session {path}: more than {BYTES >> 20} MB")
        data = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise DissectionError(f"session {path}: cannot be read ({error})") from None
    if not isinstance(data, dict):
        raise DissectionError(f"session {path}: expected an object with paste and object")
    data.pop("query", None)  # a search in the authors' interface
    if "key" in data:
        data["context"] = data.pop("key")
    given = {name: value for name, value in given.items() if value is not None}
    settings = {name: given.pop(name) for name in Settings.model_fields if name in given}
    data |= given
    if settings:
        data["settings"] = {**data.get("settings", {}), **settings}
    try:
        session = Session(**data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise DissectionError(f"session {path}: {key}: {first['msg']}") from None
    named = {"object": session.object, "paste": session.paste}
    named |= {f"context.{i}": selection for i, selection in enumerate(session.context)}
    for key, selection in named.items():
        if selection is not None:
            try:
                _image(selection.mask)
            except DissectionError as error:
                raise DissectionError(f"session {path}: {key}: {error}") from None
    return session


def read_mask(mask: str, height: int, width: int) -> Tensor:
    """(height, width) float32, 0 to 1: the share of each cell that is selected, averaged as the authors do.

    Raises DissectionError unless it is a PNG of at most LIMIT x LIMIT, which is judged before it is decoded.
    """
    resized = _image(mask).resize((width, height), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.asarray(resized, np.float32) / 255)


def _image(mask: str) -> Image.Image:
    if not mask.startswith(PREFIX) or len(mask) > CHARACTERS:
        raise DissectionError(f"mask: expected {PREFIX}... of at most {CHARACTERS >> 20} MB")
    try:
        data = base64.b64decode(mask.removeprefix(PREFIX), validate=True)
    except binascii.Error as error:
        raise DissectionError(f"mask: not base64 ({error})") from None
    if not data.startswith(SIGNATURE) or len(data) < 24:
        raise DissectionError("mask: not a PNG")
    width, height = struct.unpack(">II", data[16:24])
    if not 0 < width <= LIMIT or not 0 < height <= LIMIT:
        raise DissectionError(f"mask: {width} x {height} pixels; expected at most {LIMIT} x {LIMIT}")  # fmt: skip
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            return image.convert("RGB").getchannel("R")
    except (OSError, SyntaxError, ValueError, EOFError, zlib.error, struct.error) as error:
        raise DissectionError(f"mask: broken PNG ({error})") from None


def mask_url(where: np.ndarray) -> str:
    """A mask of (h, w) bool."""
    grey = Image.fromarray(where.astype(np.uint8) * 255)
    image = Image.merge("RGBA", (grey, grey, grey, Image.new("L", grey.size, 255)))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return PREFIX + base64.b64encode(buffer.getvalue()).decode()
