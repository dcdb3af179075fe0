"""An edit as a small file, and models that carry several (thesis 6.3.4: W_S = W_0 + Lambda_S D_S^T).

    edit = Edit.load(Path("hat.safetensors"))
    rewritten = Rewritten(network)
    rewritten.add(edit)
    rewritten.remove(edit)                           # restores the bytes, for the weight itself was kept
    export(Path("stylegan2_horse.pt"), network, [edit], Path("stylegan2_horse_hat.pt"))

Edits of one weight add up, each to the weight as it was before any of them, and in an order of their own: which was
added first, or removed in between, does not matter.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from dissection.errors import DissectionError
from dissection.networks import read_weights
from dissection.paths import replacing


@dataclass(frozen=True, eq=False)
class Edit:
    """weight: name of the parameter, (units, inputs, kh, kw); directions: D^T, (rank, inputs); change: Lambda,
    (units, rank, kh, kw); provenance: what it was made from, in words.
    """

    weight: str
    directions: Tensor
    change: Tensor
    provenance: Mapping[str, str] = field(default_factory=dict)

    @property
    def rank(self) -> int:
        return len(self.directions)

    def delta(self) -> Tensor:
        """Lambda D^T as float64, (units, inputs, kh, kw): of that rank, its taps side by side."""
        return torch.einsum("urhw,ri->uihw", self.change.double(), self.directions.double())

    @property
    def identity(self) -> str:
        """Of its numbers alone."""
        parts = (self.directions.double(), self.change.double())
        data = [part.cpu().contiguous().numpy().tobytes() for part in parts]
        return hashlib.sha256(self.weight.encode() + b"".join(data)).hexdigest()

    def save(self, path: Path) -> None:
        tensors = {"directions": self.directions, "lambda": self.change}
        tensors = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
        # in one piece: several are written in an order that differs from run to run
        about = json.dumps({"weight": self.weight, **self.provenance}, sort_keys=True)
        with replacing(path) as beside:
            save_file(tensors, beside, {"edit": about})

    @classmethod
    def load(cls, path: Path) -> "Edit":
        """Raises DissectionError if the file is not an edit."""
        try:
            with safe_open(path, "pt") as file:
                provenance = dict(json.loads((file.metadata() or {})["edit"]))
                found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            weight, directions, change = (
                provenance.pop("weight"), found.pop("directions"), found.pop("lambda")
            )  # fmt: skip
            right = directions.dim() == 2 and change.dim() == 4 and not found
            right = right and len(directions) == change.shape[1]
            right = right and bool(directions.isfinite().all() and change.isfinite().all())
        except FileNotFoundError:
            raise DissectionError(f"edit {path}: no such file") from None
        except (SafetensorError, KeyError, ValueError, TypeError, OSError) as error:
            raise DissectionError(f"edit {path}: cannot be read as an edit ({error})") from None
        if not right:
            raise DissectionError(
                f"edit {path}: expected finite directions (rank, inputs) and lambda (units, rank, kh, kw)"
            )
        return cls(weight, directions, change, provenance)


def edited(weight: Tensor, edits: Sequence[Edit]) -> Tensor:
    """The weight (as stored, of any number of leading ones) with edits of it, summed in float64, rounded once."""
    total = weight.double()
    changes = [edit.delta() for edit in sorted(edits, key=lambda edit: edit.identity)]
    for edit, change in zip(edits, changes, strict=True):
        if tuple(change.shape) != tuple(weight.shape[-4:]) or change.numel() != weight.numel():
            raise DissectionError(
                f"edit of {edit.weight}: changes {tuple(change.shape)}, the weight is {tuple(weight.shape)};"
                " it was made for another network"
            )
    if changes:
        total = total + sum(changes).reshape(weight.shape).to(weight.device)  # type: ignore[union-attr]
    return total.to(weight.dtype)


class Rewritten:
    """A network and the edits that it carries."""

    def __init__(self, network: nn.Module):
        self.network, self.edits = network, list[Edit]()
        self.original: dict[str, Tensor] = {}

    def add(self, *edits: Edit) -> None:
        """Raises DissectionError, and changes nothing, if an edit is of another network's weight."""
        self._write([*self.edits, *edits])

    def remove(self, *edits: Edit) -> None:
        for edit in edits:
            if edit not in self.edits:
                raise DissectionError(f"edit of {edit.weight}: the network does not carry it")
        self._write([edit for edit in self.edits if edit not in edits])

    @torch.no_grad()
    def _write(self, edits: list[Edit]) -> None:
        parameters = dict(self.network.named_parameters())
        written = {}
        for name in {edit.weight for edit in [*edits, *self.edits]}:
            if name not in parameters:
                raise DissectionError(f"edit of {name}: the network has no such weight")
            original = self.original.get(name, parameters[name].detach())
            written[name] = edited(original, [edit for edit in edits if edit.weight == name])
        for name, value in written.items():
            self.original.setdefault(name, parameters[name].detach().clone())
            # the very bytes, NaN and -0 too, if nothing changes it any more
            changed = any(edit.weight == name for edit in edits)
            parameters[name].copy_(value if changed else self.original[name])
        self.edits = edits


def export(weights: Path, network: nn.Module, edits: Sequence[Edit], out: Path) -> None:
    """A copy of a file of weights, of the same layout, in which the edits are made.

    weights: .safetensors, .pt or .pth, for the network of that module; out: of the same suffix. The rewritten tensor
    is stored as float32.
    """
    if weights.suffix != out.suffix or weights.suffix not in (".safetensors", ".pt", ".pth"):
        raise DissectionError(
            f"{out}: expected the suffix of {weights.name}, one of .safetensors, .pt, .pth"
        )
    state = read_weights(weights)
    own = network.state_dict()
    own_key = getattr(network, "own_key", lambda key: key)
    names = {re.sub(r"(^|\.)module\.", r"\1", key): key for key in state}
    theirs = {key if key in own else own_key(key): name for key, name in names.items()}
    made = {}
    for name in {edit.weight for edit in edits}:
        if name not in theirs:
            raise DissectionError(f"weights {weights}: no tensor of the edited {name}")
        made[theirs[name]] = edited(
            state[theirs[name]], [edit for edit in edits if edit.weight == name]
        )
    with replacing(out) as beside:
        if weights.suffix == ".safetensors":
            save_file(load_file(weights) | made, beside)
        else:
            saved = torch.load(weights, map_location="cpu", weights_only=True)
            torch.save(_replaced(saved, made), beside)


def _replaced(saved: Any, made: Mapping[str, Tensor]) -> Any:
    """The tensors of those names, wherever in nested dictionaries the state dict is."""
    if made.keys() <= saved.keys():
        return {**saved, **made}
    return {k: _replaced(v, made) if isinstance(v, dict) else v for k, v in saved.items()}
