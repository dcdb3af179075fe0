"""The exact value that a given fraction of each unit's samples exceeds."""

from pathlib import Path
from typing import Self

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from dissection.errors import DissectionError
from dissection.paths import replacing


class TopFraction:
    """T_k with P(a_k > T_k) = fraction over all samples of unit k (thesis 3.2.2).

    With n samples a unit, T is the (floor(fraction n) + 1)-th largest: exactly floor(fraction n) samples exceed
    it, fewer only where samples tie with it. Only samples that can still matter are kept: at most
    2 (floor(fraction n) + 1) a unit between calls, 12 bytes each.
    """

    def __init__(
        self, units: int, fraction: float, samples: int, device: torch.device | str = "cpu"
    ):
        """samples: number of samples a unit that will be added in all, over all merged parts."""
        self.units, self.fraction, self.samples = units, fraction, samples
        self.rank = int(fraction * samples) + 1
        self.floor = torch.full(
            (units,), -torch.inf, device=device
        )  # no sample at or below it matters
        self.added = 0
        self._unit = [torch.empty(0, dtype=torch.int32, device=device)]
        self._value = [torch.empty(0, device=device)]
        self._pending = 0

    @staticmethod
    def bytes_needed(units: int, fraction: float, samples: int) -> int:
        """Largest memory of the samples kept, the sort that thins them out included."""
        return units * (int(fraction * samples) + 1) * 2 * 40

    def add_dense(self, values: Tensor) -> None:
        """values: (n, units) float32, n samples of every unit."""
        row, unit = (values > self.floor).nonzero(as_tuple=True)
        self.add(unit, values[row, unit], len(values))

    def add(self, unit: Tensor, value: Tensor, samples: int) -> None:
        """unit, value: (m,) the samples above `floor`, of all `samples` that each unit has in this batch."""
        self.added += samples
        self._unit.append(unit.to(torch.int32))
        self._value.append(value)
        self._pending += len(value)
        if self._pending > 2 * self.units * self.rank:
            self._thin_out()

    def raise_floor(self, bound: Tensor) -> None:
        """Promise that no threshold lies below `bound` (units,): smaller samples need not be added."""
        self.floor = torch.maximum(self.floor, torch.nextafter(bound, bound.new_tensor(-torch.inf)))

    def _thin_out(self) -> None:
        unit, value = torch.cat(self._unit), torch.cat(self._value)
        count = torch.bincount(unit, minlength=self.units)
        threshold = kth_largest(unit, value, count, self.rank)
        # All samples above the bound stay, and of those that tie with it as many as fill the rank.
        above = value > threshold[unit]
        equal = value == threshold[unit]
        missing = (self.rank - torch.bincount(unit[above], minlength=self.units)).clamp_min(0)
        tied = torch.minimum(missing, torch.bincount(unit[equal], minlength=self.units))
        self._unit = [
            unit[above],
            torch.arange(self.units, device=unit.device, dtype=torch.int32).repeat_interleave(tied),
        ]
        self._value = [value[above], threshold.repeat_interleave(tied)]
        self._pending = sum(len(v) for v in self._value)
        self.floor = torch.maximum(
            self.floor, torch.where(count >= self.rank, threshold, -torch.inf)
        )

    def threshold(self) -> Tensor:
        """(units,) float32. Raises DissectionError unless all samples were added."""
        if self.added != self.samples:
            raise DissectionError(
                f"threshold: {self.added} samples a unit were added, {self.samples} expected"
            )
        self._thin_out()
        unit, value = self._unit[0], self._value[0]
        unit, value = torch.cat([unit, self._unit[1]]), torch.cat([value, self._value[1]])
        smallest = torch.full_like(self.floor, torch.inf)
        return smallest.scatter_reduce(0, unit.long(), value, "amin")

    def merge(self, other: Self) -> None:
        """Take in the samples of another part of the same data. Both were made for the samples of the whole."""
        if (self.units, self.fraction, self.samples) != (
            other.units,
            other.fraction,
            other.samples,
        ):
            raise DissectionError("threshold: only parts of one whole can be merged")
        self.add(torch.cat(other._unit), torch.cat(other._value), other.added)

    def save(self, path: Path) -> None:
        with replacing(path) as beside:
            save_file(
                {"unit": torch.cat(self._unit), "value": torch.cat(self._value), "floor": self.floor,
                 "sizes": torch.tensor([self.units, self.samples, self.added]),
                 "fraction": torch.tensor([self.fraction], dtype=torch.float64)},
                beside,
            )  # fmt: skip

    @classmethod
    def load(cls, path: Path) -> Self:
        state = load_file(path)
        units, samples, added = state["sizes"].tolist()
        loaded = cls(units, state["fraction"].item(), samples)
        loaded.floor, loaded.added = state["floor"], added
        loaded._unit, loaded._value = [state["unit"]], [state["value"]]
        loaded._pending = len(state["value"])
        return loaded


def kth_largest(unit: Tensor, value: Tensor, count: Tensor, rank: int) -> Tensor:
    """The rank-th largest value of each unit, -inf for a unit with fewer values.

    unit, value: (m,), in any order; count: (units,) values of each unit. Values are dealt into equal bins
    between each unit's least and largest (dealing keeps order, rounding included), so that only the values of
    the one bin that holds the answer need sorting.
    """
    units, bins = len(count), 4096
    index = unit.long()
    low = torch.full((units,), torch.inf, device=value.device).scatter_reduce(
        0, index, value, "amin"
    )
    high = torch.full((units,), -torch.inf, device=value.device).scatter_reduce(
        0, index, value, "amax"
    )
    scale = ((bins - 1) / (high - low)).clamp(0, torch.finfo(torch.float32).max)
    bin_ = ((value - low[index]) * scale[index]).clamp_(0, bins - 1).long()
    histogram = torch.bincount(index * bins + bin_, minlength=units * bins).view(units, bins)
    from_top = histogram.flip(1).cumsum(1)
    chosen = (from_top < rank).sum(1)  # bins from the top that all come before the answer
    enough = count >= rank
    before = torch.where(
        chosen > 0, from_top.gather(1, (chosen - 1).clamp_min(0)[:, None])[:, 0], 0
    )
    inside = (bin_ == (bins - 1 - chosen)[index]) & enough[index]
    index, value = index[inside], value[inside]
    # sort by unit, then by descending value: two stable sorts
    order = value.argsort(descending=True, stable=True)
    order = order[index[order].argsort(stable=True)]
    start = torch.bincount(index, minlength=units).cumsum(0).roll(1)
    start[0] = 0
    position = (start + rank - 1 - before).clamp(0, max(len(value) - 1, 0))
    sorted_values = value[order]
    if len(sorted_values) == 0:
        return torch.full((units,), -torch.inf, device=value.device)
    return torch.where(enough, sorted_values[position], -torch.inf)
