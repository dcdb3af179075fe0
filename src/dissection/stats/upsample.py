"""Bilinear upsampling that looks only where something can exceed a threshold.

Between four neighbouring activations a bilinear interpolation never exceeds the largest of the four. So a cell
(the square between four activations) whose corners all stay below a unit's threshold has no pixel above it;
the other cells, a few percent, are interpolated one by one.

Activations are (images, h, w, units) here: the order in which convolutions run fastest, and the one in which
units sharing an image and a place lie side by side.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Pixels(NamedTuple):
    """Upsampled pixels above a threshold, (n,) each, sorted by image."""

    image: Tensor
    unit: Tensor
    pixel: Tensor  # row * width + column
    value: Tensor


class Axis:
    """Along one axis: which label pixels lie in which cell, and where in it."""

    def __init__(self, centres: np.ndarray, cells: int):
        """centres: (pixels,) ascending, each label pixel's centre in units of activations (0 is the first
        activation's centre); cells: number of activations. Cell i lies between activations i - 1 and i."""
        position = np.clip(centres + 1, 0, cells + 1).astype(np.float32)
        cell = np.minimum(position.astype(np.int64), cells)
        place = position - cell.astype(np.float32)
        self.cell, self.place = torch.from_numpy(cell), torch.from_numpy(place)  # (pixels,)
        self.pixels = np.bincount(cell, minlength=cells + 1)  # label pixels of each cell
        slot = np.arange(self.pixels.max())
        valid = slot < self.pixels[:, None]
        first = np.searchsorted(cell, np.arange(cells + 1))
        index = np.where(valid, first[:, None] + slot, 0)
        self.index = torch.from_numpy(index)  # (cells + 1, widest) label pixel
        # NaN makes every comparison of a slot without a pixel false.
        self.fraction = torch.from_numpy(np.where(valid, place[index], np.float32("nan")))


class Upsampling:
    """Activations of (h, w) to labels of (height, width)."""

    def __init__(
        self,
        rows: np.ndarray,
        columns: np.ndarray,
        h: int,
        w: int,
        padding: str,
        device: torch.device | str,
    ):
        """rows, columns: label pixels' centres as in `Axis`; padding: "edge" repeats the outermost
        activations beyond their centres, "zeros" fades to 0 over one cell."""
        if padding == "edge":
            rows, columns = np.clip(rows, 0, h - 1), np.clip(columns, 0, w - 1)
        self._sparse = lambda step: Upsampling(rows[::step], columns[::step], h, w, padding, device)
        vertical, horizontal = Axis(rows, h), Axis(columns, w)
        self.height, self.width = len(rows), len(columns)
        self.rows = vertical.cell.to(device), vertical.place.to(device)
        self.columns = horizontal.cell.to(device), horizontal.place.to(device)
        self.y, self.fy = vertical.index.to(device), vertical.fraction.to(device)
        self.x, self.fx = horizontal.index.to(device), horizontal.fraction.to(device)
        self.pixels = torch.from_numpy(np.outer(vertical.pixels, horizontal.pixels)).to(device)

    def every(self, step: int) -> "Upsampling":
        """To every `step`-th row and column of the labels only."""
        return self._sparse(step)

    def corners(self, activations: Tensor) -> Tensor:
        """(n, h, w, units) -> (n, h + 2, w + 2, units): a ring of zeros, of which "edge" uses no pixel."""
        n, h, w, units = activations.shape
        padded = activations.new_zeros(n, h + 2, w + 2, units)
        padded[:, 1:-1, 1:-1] = activations
        return padded

    def above(self, padded: Tensor, threshold: Tensor) -> Pixels:
        """Label pixels at which a unit's upsampled activation exceeds its threshold.

        padded: (n, h + 2, w + 2, units) from `corners`; threshold: (units,).
        """
        # An interpolated value may exceed its corners by a few roundings.
        largest = torch.stack(torch.aminmax(padded)).abs().max()
        reach = threshold - 16 * torch.finfo(torch.float32).eps * largest
        rows = torch.maximum(padded[:, :-1], padded[:, 1:])
        hot = torch.maximum(rows[:, :, :-1], rows[:, :, 1:]) > reach
        hot &= (self.pixels > 0)[:, :, None]
        image, row, column, unit = hot.nonzero(as_tuple=True)
        _, height, width, units = padded.shape
        corner = ((image * height + row) * width + column) * units + unit
        flat = padded.view(-1)
        a, b = flat[corner][:, None], flat[corner + units][:, None]
        corner = corner + width * units
        c, d = flat[corner][:, None], flat[corner + units][:, None]
        fx, fy = self.fx[column], self.fy[row][:, :, None]
        # One operation at a time: torch.lerp fuses them in some lanes and not in others, and then the last bit
        # of a value depends on its place in the batch.
        top, bottom = a + fx * (b - a), c + fx * (d - c)
        value = top[:, None] + fy * (bottom - top)[:, None]  # (hot cells, rows, columns)
        cell, i, j = (value > threshold[unit][:, None, None]).nonzero(as_tuple=True)
        pixel = self.y[row[cell], i] * self.width + self.x[column[cell], j]
        return Pixels(image[cell], unit[cell], pixel, value[cell, i, j])

    def dense(self, activations: Tensor) -> Tensor:
        """(n, h, w, units) -> (n, height, width, units): every pixel, each as `above` computes it."""
        (row, fy), (column, fx) = self.rows, self.columns
        line = _between(self.corners(activations), 2, column, fx[:, None])
        return _between(line, 1, row, fy[:, None, None])


def _between(x: Tensor, axis: int, cell: Tensor, place: Tensor) -> Tensor:
    """Values at `place` between the ends of each cell of an axis."""
    length = x.shape[axis] - 1
    step = x.narrow(axis, 1, length) - x.narrow(axis, 0, length)
    return step.index_select(axis, cell).mul_(place).add_(x.index_select(axis, cell))
