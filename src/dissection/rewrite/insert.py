"""Give keys new values, by a change of the weight that other keys hardly notice (thesis 6.3.3, 6.3.4, B.1).

    goal = paste(memory, copied, copied_mask, target, target_mask)     # K* -> V*
    change, losses = insert(goal, memory.weight, directions, "lambda", steps=2001)
    Edit(memory.name, directions, change, {})                         # W_0 + Lambda D^T

A loop knows only the keys below the pasted patch, unfolded once, and their target. What is before and after the
layer is not run. Directly for Lambda, the keys are contracted with the directions once, and the norms of a StyleGAN2's
weights are a quadratic form in Lambda, so that a step costs nothing of the weight's size.

Projected gradient descent is the published loop: Adam on all of W, and every so many steps W is put back on
W_0 + Lambda D^T. Loss, Adam and projection take each unit of the layer by itself, so a few units at a time go through
all steps while they stay in the processor's cache.
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from dissection.adam import Adam
from dissection.errors import DissectionError
from dissection.networks.stylegan import GAIN
from dissection.rewrite.layers import (
    Box,
    Cut,
    Ending,
    Memory,
    activation,
    columns,
    matrix_of,
    weight_of,
)

UNITS = 256  # at a time, on a processor

Descent = Literal["pgd", "lambda", "layer"]


class Goal(NamedTuple):
    """K* -> V*, at the cells of a patch.

    keys: (taps * inputs, cells); target: (units, cells); ending: what follows the linear map, its `add` (units, cells).
    """

    keys: Tensor
    target: Tensor
    ending: Ending | None

    def double(self) -> "Goal":
        ending = self.ending and Ending(*(part.double() for part in self.ending))
        return Goal(self.keys.double(), self.target.double(), ending)


def box_of(mask: Tensor) -> Box:
    """Rows and columns of (h, w) that hold all that is above 0. Raises DissectionError if nothing is."""
    ends = []
    for axis in (1, 0):
        some = (mask > 0).any(axis).nonzero()[:, 0]
        if not len(some):
            height, width = mask.shape
            raise DissectionError(
                f"mask: empty at the layer's {height} x {width}; select a larger region"
            )
        ends.append(slice(int(some[0]), int(some[-1]) + 1))
    return ends[0], ends[1]


def goal_of(memory: Memory, cut: Cut, target: Tensor, box: Box | None, padded: bool) -> Goal:
    """The values `target` (1, units, h', w') for one image's keys, in a box of key cells or everywhere."""
    height, width = target.shape[2:]
    every = (slice(0, cut.key.shape[2]), slice(0, cut.key.shape[3]))
    box = box or every
    times = height // every[0].stop
    rows, across = (slice(side.start * times, side.stop * times) for side in box)
    ending = memory.ending(cut, height, width)
    if ending is not None:
        ending = ending._replace(add=ending.add[:, rows, across].flatten(1))
    return Goal(
        columns(memory, cut.key, box, padded), target[0, :, rows, across].flatten(1), ending
    )


def paste(
    memory: Memory, copied: Cut, copied_mask: Tensor, target: Cut, target_mask: Tensor,
    padded: bool = False,
) -> Goal:  # fmt: skip
    """The copied values, pasted where the other mask says (`placed`), both masks being of the values' size.

    padded: see `layers.columns`.
    """
    value, patch, _ = placed(memory.value(copied), copied_mask, memory.value(target), target_mask)
    times = value.shape[2] // target.key.shape[2]
    rows, across = (slice(side.start // times, -(-side.stop // times)) for side in patch)
    return goal_of(memory, target, value, (rows, across), padded)


def placed(
    copied: Tensor, copied_mask: Tensor, target: Tensor, target_mask: Tensor
) -> tuple[Tensor, Box, Tensor]:
    """What a mask selects of (1, c, h, w), blended by it into another, centred on the box of that one's mask: the
    whole, the box where it now is, and how much of it that is, (rows, columns)."""
    rows, across = box_of(copied_mask)
    clip, area = copied[:, :, rows, across], copied_mask[rows, across]
    value = target.clone()
    centre = ((side.start + side.stop) // 2 for side in box_of(target_mask))
    top, left = (max(0, min(length - size, at - size // 2))
                 for length, size, at in zip(value.shape[2:], area.shape, centre, strict=True))  # fmt: skip
    patch = (slice(top, top + area.shape[0]), slice(left, left + area.shape[1]))
    value[:, :, *patch] = torch.lerp(value[:, :, *patch], clip, area.to(value))
    return value, patch, area


def erase(
    memory: Memory, cut: Cut, units: Tensor, mask: Tensor | None, padded: bool = False
) -> Goal:
    """The values without some units of the keys, in the box of a mask of the keys' size or everywhere (6.5.2)."""
    without = cut.key.index_fill(1, units.to(cut.key.device), 0)
    value = memory.value(cut._replace(key=without))
    return goal_of(memory, cut, value, None if mask is None else box_of(mask), padded)


def solve(goal: Goal, weight: Tensor, directions: Tensor) -> Tensor:
    """Lambda (units, rank, kh, kw) float64 of the linear case: W_1 K* = V*, W_1 = W_0 + Lambda D^T (B.1 to B.4).

    The least change of those that do, or come nearest. Raises DissectionError for a layer that is not linear.
    """
    if goal.ending is not None:
        raise DissectionError("closed form: the layer is not linear; use pgd or lambda")
    missing = goal.target.double() - matrix_of(weight).double() @ goal.keys.double()
    found = missing @ torch.linalg.pinv(contracted(goal.keys.double(), directions.double()))
    return weight_of(found, len(directions), weight.shape[2:])


def contracted(keys: Tensor, directions: Tensor) -> Tensor:
    """(taps * inputs, cells), (rank, inputs) -> (taps * rank, cells)"""
    return (directions @ keys.reshape(-1, directions.shape[1], keys.shape[1])).flatten(0, 1)


def insert(
    goal: Goal, weight: Tensor, directions: Tensor | None, descent: Descent = "pgd", steps: int = 2001,
    rate: float = 0.05, every: int = 10, low_rank_gradient: bool = False, patience: int | None = None,
    progress: bool = False,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Lambda (units, rank, kh, kw) and the loss of each step, (steps,): L1 at the layer's output (eq. 6.18), by Adam.

    weight: (units, inputs, kh, kw), W_0; directions: (rank, inputs), orthonormal.
    pgd: of W, projected on W_0 + Lambda D^T every so many steps and at the end; low_rank_gradient: and its gradient
    always. lambda: of Lambda itself. layer: of W without directions (which are then those of all inputs).
    patience: end once the loss has not fallen for so many steps; then all units go together.
    """
    start = matrix_of(weight.detach())
    if descent == "layer" or directions is None:
        descent, directions = "layer", torch.eye(weight.shape[1])
    directions = directions.to(start)
    losses = torch.zeros(steps, dtype=torch.float64, device=start.device)
    size = len(start)
    if descent != "lambda" and start.device.type == "cpu" and patience is None:
        size = UNITS
    rounds = -(-len(start) // size) * steps
    bar = tqdm(total=rounds, desc="edit", unit="step", mininterval=1, disable=not progress)
    found = []
    with bar, torch.no_grad():
        for at in range(0, len(start), size):
            units = slice(at, at + size)
            part = _Part(goal, start[units], units, directions if descent == "lambda" else None)
            span = directions if descent == "pgd" else None
            change = _descend(part, span, losses, rate, every, low_rank_gradient, patience, bar)
            if span is not None:  # Lambda = (W_1 - W_0) D
                change = (change.reshape(-1, span.shape[1]) @ span.T).reshape(len(change), -1)
            found.append(weight_of(change, len(directions), weight.shape[2:]))
    return torch.cat(found), losses


class _Part:
    """Some units' part of the loss, as a function of x (units, m): their weights, or their part of Lambda.

    linear = base + x inputs, norm^2 = fixed + 2 x . cross + x . metric x.
    """

    def __init__(self, goal: Goal, weight: Tensor, units: slice, directions: Tensor | None):
        """weight: (units, taps * inputs), W_0."""
        self.target, self.scale = goal.target[units], 1 / goal.target.numel()
        self.start, self.inputs = weight, goal.keys
        self.base = self.cross = self.fixed = torch.zeros(()).to(weight)
        self.linear = goal.ending is None
        if goal.ending is not None:
            self.add, square = goal.ending.add[units], goal.ending.style.square()
            taps = weight.shape[1] // len(square)
            self.metric = square.repeat(taps)
        if directions is not None:
            self.base = weight @ goal.keys
            self.inputs = contracted(goal.keys, directions)
            self.start = torch.zeros(len(weight), len(self.inputs)).to(weight)
            if goal.ending is not None:
                across = directions * square
                self.fixed = weight.square() @ self.metric
                by_tap = weight.reshape(len(weight), taps, -1)
                self.cross = (by_tap @ across.T).flatten(1)
                self.metric = torch.kron(torch.eye(taps).to(weight), across @ directions.T)
        self.inputs = self.inputs.T.contiguous().T  # one copy serves both products

    def gradient(self, x: Tensor, into: Tensor) -> Tensor:
        """The gradient of the loss by x, written into `into`; the loss, ()."""
        linear = torch.addmm(self.base, x, self.inputs)
        if self.linear:
            missing = linear - self.target
            torch.mm(missing.sign() * self.scale, self.inputs.T, out=into)
            return missing.abs().sum() * self.scale
        if self.metric.dim() == 1:
            norm = torch.mul(x, x, out=into) @ self.metric
            torch.mul(x, self.metric, out=into)
        else:
            torch.addmm(self.cross, x, self.metric, out=into)
            norm = torch.linalg.vecdot(x, into + self.cross) + self.fixed
        by = torch.rsqrt(norm + 1e-8)[:, None]
        before = linear * by + self.add
        missing = activation(before) - self.target
        back = missing.sign() * (GAIN * self.scale)
        back = torch.where(before > 0, back, 0.2 * back)
        into *= -(back * linear).sum(1, keepdim=True) * by**3  # through the norm
        into.addmm_(back * by, self.inputs.T)
        return missing.abs().sum() * self.scale


def _descend(part: _Part, span: Tensor | None, losses: Tensor, rate: float, every: int, low_rank_gradient: bool,
             patience: int | None, bar: tqdm) -> Tensor:  # fmt: skip
    """What Adam changes of x; the loss of each step is added to `losses`."""
    x = part.start.clone(memory_format=torch.contiguous_format)
    if span is not None:  # the same memory, a tap's weights a row
        start, rows = (t.reshape(-1, span.shape[1]) for t in (part.start, x))
        along = start @ span.T
    x.grad = torch.zeros_like(x)
    adam = Adam([x], rate)
    best, last = float("inf"), 0
    for step in range(len(losses)):
        loss = part.gradient(x, x.grad)
        losses[step] += loss
        if span is not None and low_rank_gradient:
            gradient = x.grad.reshape(rows.shape)
            torch.mm(gradient @ span.T, span, out=gradient)
        adam.step()
        if span is not None and step % every == 0:
            torch.addmm(start, rows @ span.T - along, span, out=rows)
        if bar.update():
            bar.set_postfix(loss=float(losses[step]))
        if patience is not None:
            if float(loss) < best:
                best, last = float(loss), step
            elif step - last >= patience:
                losses[step + 1 :] = torch.nan  # steps that were not taken
                break
    return x - part.start
