"""Recompute only what an edit at a few places can reach.

    blocks = following(network, "layer4")          # None unless the rest is a chain of modules
    chain = Chain(blocks)
    plain = chain.run(features)                    # the input of every block, and the output; once
    chain.patched(plain, images, edited, box)      # (n, 3, H, W): the output where images[i] has edited[i] inside box

A place of a block's input reaches the outputs that turn NaN when it is NaN: in convolutions, upsampling and whatever
treats places alike that is a small rectangle, found by trying. Each block then runs on a crop that holds all that the
outputs within reach depend on, and the rest of its output is as before. A block whose reach meets the border of the
trial, as of one that averages over the image, or that treats a crop otherwise, is run as a whole.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, fx, nn

from dissection.probe import layer_module

Box = tuple[range, range]  # rows and columns, of step 1


class Reach(NamedTuple):
    """Along one axis: input i decides outputs scale * i - before ... scale * (i + 1) - 1 + after, no others."""

    scale: int
    before: int
    after: int

    def outputs(self, inputs: range, size: int) -> range:
        """Which of `size` outputs some of the inputs can change."""
        start = self.scale * inputs.start - self.before
        return range(max(0, start), min(size, self.scale * inputs.stop + self.after))

    def inputs(self, outputs: range, size: int) -> range:
        """On which of `size` inputs the outputs depend."""
        start = -((self.after + self.scale - 1 - outputs.start) // self.scale)
        return range(max(0, start), min(size, (outputs.stop - 1 + self.before) // self.scale + 1))


class Reaches(NamedTuple):
    rows: Reach
    columns: Reach

    def outputs(self, inputs: Box, y: Tensor) -> Box:
        """The places of an output y that a box of the input can change."""
        return self.rows.outputs(inputs[0], y.shape[2]), self.columns.outputs(inputs[1], y.shape[3])

    def inputs(self, outputs: Box, x: Tensor) -> Box:
        """The places of an input x on which a box of the output depends."""
        return self.rows.inputs(outputs[0], x.shape[2]), self.columns.inputs(outputs[1], x.shape[3])

    def corner(self, inputs: Box) -> list[int]:
        """Row and column at which the output of a crop of the input begins."""
        return [self.rows.scale * inputs[0].start, self.columns.scale * inputs[1].start]


class _Siblings(fx.Tracer):
    """Traces a network down to the layer and the modules beside it and its parents."""

    def __init__(self, layer: str):
        super().__init__()
        self.layer = layer

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return not self.layer.startswith(module_qualified_name + ".")


def following(network: nn.Module, layer: str) -> list[nn.Module] | None:
    """The modules after a layer, if each is fed by the one before, and by nothing else, up to the output."""
    layer_module(network, layer)
    try:
        graph = _Siblings(layer).trace(network)
    except (fx.proxy.TraceError, TypeError, ValueError, RuntimeError, AttributeError):
        return None  # as in probe.trace: control flow that depends on data
    found = [node for node in graph.nodes if node.op == "call_module" and node.target == layer]
    node, blocks = found[0], list[nn.Module]()
    while len(found) == 1 and len(node.users) == 1:
        before, (node,) = node, node.users
        if node.op == "output" and node.args == (before,):
            return blocks
        if node.op != "call_module" or node.args != (before,) or node.kwargs:
            return None
        blocks.append(layer_module(network, str(node.target)))
    return None


class Chain:
    """Modules that are run one after the other, each (n, units, h, w) -> (n, units', h', w')."""

    def __init__(self, blocks: Sequence[nn.Module]):
        self.blocks = list(blocks)
        self.reach: list[Reaches | None] = []  # found at the first run

    @torch.no_grad()
    def run(self, features: Tensor) -> list[Tensor]:
        """The input of each block, then the output of the last."""
        plain = [features]
        for block in self.blocks:
            plain.append(block(plain[-1].clone()))  # a block may write into what it is given
        if not self.reach:
            self.reach = [
                _reaches(block, x[:1], y[:1])
                for block, x, y in zip(self.blocks, plain, plain[1:], strict=False)
            ]
        return plain

    @torch.no_grad()
    def patched(self, plain: list[Tensor], images: Tensor, features: Tensor, box: Box) -> Tensor:
        """plain: of `run`; images: (n,) which of its images are edited; features: (n, units, h, w), equal to theirs
        outside `box`."""
        patch = _cut(features, box)
        for block, reach, x, y in zip(self.blocks, self.reach, plain, plain[1:], strict=False):
            if reach is None:
                grown, needed, corner = _whole(y), _whole(x), [0, 0]
            else:
                grown = reach.outputs(box, y)
                needed = reach.inputs(grown, x)
                corner = reach.corner(needed)
            crop = _cut(x, needed)[images]
            _cut(crop, _moved(box, [n.start for n in needed])).copy_(patch)
            patch = _cut(block(crop), _moved(grown, corner))
            box = grown
        output = plain[-1][images]
        _cut(output, box).copy_(patch)
        return output


def _whole(x: Tensor) -> Box:
    return range(x.shape[2]), range(x.shape[3])


def _cut(x: Tensor, box: Box) -> Tensor:
    rows, columns = box
    return x[:, :, rows.start : rows.stop, columns.start : columns.stop]


def _moved(box: Box, corner: Sequence[int]) -> Box:
    rows, columns = (range(b.start - c, b.stop - c) for b, c in zip(box, corner, strict=True))
    return rows, columns


def _reaches(block: nn.Module, x: Tensor, y: Tensor) -> Reaches | None:
    """How far the middle of an input x (1, units, h, w) reaches; None if farther than can be seen, or if the block
    does not treat a crop as it does the same places of the whole."""
    place = [size // 2 for size in x.shape[2:]]
    marked = x.clone()
    marked[:, :, place[0], place[1]] = torch.nan
    lost = block(marked).isnan().any(1)[0]
    found = []
    for axis, (size, i) in enumerate(zip(x.shape[2:], place, strict=True)):
        at = lost.any(1 - axis).nonzero()[:, 0].tolist()
        scale, rest = divmod(lost.shape[axis], size)
        if rest or not scale or not at or at[0] == 0 or at[-1] == lost.shape[axis] - 1:
            return None
        found.append(Reach(scale, scale * i - at[0], at[-1] + 1 - scale * (i + 1)))
    reach = Reaches(*found)
    height, width = y.shape[2:]
    for part in (
        (range(height // 2), range(width // 2)),
        (range(height // 2, height), range(width // 2, width)),
    ):
        needed = reach.inputs(part, x)
        again = _cut(block(_cut(x, needed).clone()), _moved(part, reach.corner(needed)))
        if not torch.allclose(again, _cut(y, part), rtol=1e-3, atol=1e-4 * float(y.abs().max())):
            return None
    return reach
