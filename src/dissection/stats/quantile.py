"""The exact value that a given fraction of each unit's samples exceeds."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Self

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from dissection.errors import DissectionError
from dissection.paths import replacing


class _Samples(ABC):
    """What takes the samples of each unit that lie above its `floor`."""

    floor: Tensor  # (units,)

    def add_dense(self, values: Tensor) -> None:
        """values: (n, units) float32, n samples of every unit."""
        row, unit = (values > self.floor).nonzero(as_tuple=True)
        self.add(unit, values[row, unit], len(values))

    @abstractmethod
    def add(self, unit: Tensor, value: Tensor, samples: int) -> None:
        """unit, value: (m,) the samples above `floor`, of all `samples` that each unit has in this batch."""


class TopFraction(_Samples):
    """T_k with P(a_k > T_k) = fraction over all samples of unit k (thesis 3.2.2).

    With n samples a unit, T is the (floor(fraction n) + 1)-th largest: exactly floor(fraction n) samples exceed
    it, fewer only where samples tie with it.

    A guess `low` < T <= `high` makes it cheap: samples at or below `low` need not be added, samples above `high`
    are only counted. A wrong guess is found out. Without one, the floor(fraction n) + 1 largest samples of each
    unit are kept.
    """

    BYTES = 80  # of memory a sample kept, all that selecting among them takes included

    def __init__(
        self,
        units: int,
        fraction: float,
        samples: int,
        low: Tensor | None = None,
        high: Tensor | None = None,
        device: torch.device | str = "cpu",
    ):
        """samples: number of samples a unit that will be added in all, over all merged parts.
        low, high: (units,) float32."""
        self.units, self.fraction, self.samples = units, fraction, samples
        self.rank = int(fraction * samples) + 1
        self.low = torch.full((units,), -torch.inf, device=device) if low is None else low
        self.floor = self.low  # samples at or below it no longer matter
        self.high = torch.full((units,), torch.inf, device=device) if high is None else high
        self.above = torch.zeros(units, dtype=torch.int64, device=device)  # samples above `high`
        self.added = 0
        self._unit = torch.empty(0, dtype=torch.int32, device=device)
        self._value = torch.empty(0, device=device)
        self._new: list[tuple[Tensor, Tensor]] = []
        self._pending = 0

    def add(self, unit: Tensor, value: Tensor, samples: int) -> None:
        self.added += samples
        inside = value <= self.high[unit]
        self.above += torch.bincount(unit[~inside], minlength=self.units)
        self._new.append((unit[inside].to(torch.int32), value[inside]))
        self._pending += len(self._new[-1][0])
        if self._pending > max(2 * self.units * self.rank, 2**20):
            self._thin_out()

    def _join(self) -> None:
        self._unit = torch.cat([self._unit, *(u for u, _ in self._new)])
        self._value = torch.cat([self._value, *(v for _, v in self._new)])
        self._new, self._pending = [], 0

    def _thin_out(self) -> None:
        """Drop what can no longer matter: all but the `rank` largest samples of each unit."""
        self._join()
        unit, value = self._unit, self._value
        rank = torch.full_like(self.above, self.rank)
        least = kth_largest(unit, value, rank)
        more, equal = value > least[unit], value == least[unit]
        # Of the samples that tie with the last one, as many as fill the rank.
        missing = self.rank - torch.bincount(unit[more], minlength=self.units)
        tied = torch.minimum(missing, torch.bincount(unit[equal], minlength=self.units))
        every = torch.arange(self.units, device=unit.device, dtype=torch.int32)
        self._unit = torch.cat([unit[more], every.repeat_interleave(tied)])
        self._value = torch.cat([value[more], least.repeat_interleave(tied)])
        self.floor = torch.maximum(self.floor, least)

    def threshold(self) -> Tensor:
        """(units,) float32, NaN for the units whose guess was wrong.

        Raises DissectionError unless all samples were added.
        """
        if self.added != self.samples:
            raise DissectionError(
                f"threshold: {self.added} samples a unit were added, {self.samples} expected"
            )
        self._join()
        rank = self.rank - self.above
        found = kth_largest(self._unit, self._value, rank)
        return torch.where((rank > 0) & found.isfinite(), found, torch.nan)

    def merge(self, other: Self) -> None:
        """Take in the samples of another part of the same data. Both were made for the samples of the whole."""
        if (self.units, self.fraction, self.samples) != (
            other.units,
            other.fraction,
            other.samples,
        ):
            raise DissectionError("threshold: only parts of one whole can be merged")
        other._join()
        self.floor = torch.maximum(self.floor, other.floor)
        self.above += other.above
        self.add(other._unit, other._value, other.added)

    def save(self, path: Path) -> None:
        self._join()
        sizes = torch.tensor([self.units, self.samples, self.added])
        fraction = torch.tensor([self.fraction], dtype=torch.float64)
        state = {"sizes": sizes, "fraction": fraction, "unit": self._unit, "value": self._value}
        state |= {"floor": self.floor, "high": self.high, "above": self.above}
        with replacing(path) as beside:
            save_file(state, beside)

    @classmethod
    def load(cls, path: Path) -> Self:
        state = load_file(path)
        units, samples, added = state["sizes"].tolist()
        loaded = cls(units, state["fraction"].item(), samples, state["floor"], state["high"])
        loaded.above, loaded.added = state["above"], added
        loaded._unit, loaded._value = state["unit"], state["value"]
        loaded._pending = len(loaded._value)
        return loaded


class Bracket(_Samples):
    """Narrows low < T <= high to a few bins' width, in memory that does not depend on the number of samples."""

    BINS = 1024

    def __init__(self, rank: int, low: Tensor, high: Tensor):
        """rank: the threshold's place from the top; low, high: (units,) float32."""
        self.rank, self.floor, self.high = rank, low, high
        self.above = torch.zeros(len(low), dtype=torch.int64, device=low.device)
        self.histogram = self.above.repeat(self.BINS)
        self.scale = (self.BINS / (high - low)).clamp(0, torch.finfo(torch.float32).max)

    def add(self, unit: Tensor, value: Tensor, samples: int) -> None:
        inside = value <= self.high[unit]
        self.above += torch.bincount(unit[~inside], minlength=len(self.above))
        unit, value = unit[inside].long(), value[inside]
        bin_ = ((value - self.floor[unit]) * self.scale[unit]).clamp_(0, self.BINS - 1).long()
        self.histogram += torch.bincount(unit * self.BINS + bin_, minlength=len(self.histogram))

    def narrowed(self) -> tuple[Tensor, Tensor]:
        """(units,) low and high about the bin of the threshold; a guess, like those it began with."""
        from_top = self.histogram.view(-1, self.BINS).flip(1).cumsum(1) + self.above[:, None]
        bin_ = (self.BINS - 1 - (from_top < self.rank).sum(1)).clamp_min(0)
        # a bin to spare on either side, for the rounding of its edges
        low = self.floor + (bin_ - 1).clamp_min(0) / self.scale
        return low, torch.minimum(self.floor + (bin_ + 2) / self.scale, self.high)


def kth_largest(unit: Tensor, value: Tensor, rank: Tensor) -> Tensor:
    """The rank-th largest value of each unit, -inf for a unit with fewer values.

    unit, value: (m,), in any order; rank: (units,), 1 for the largest. Values are dealt into equal bins between
    each unit's least and largest (dealing keeps order, rounding included), so that only the values of the one
    bin that holds the answer need sorting.
    """
    units, bins = len(rank), 4096
    nothing = torch.full((units,), -torch.inf, device=value.device)
    index = unit.long()
    low = (-nothing).scatter_reduce(0, index, value, "amin")
    high = nothing.scatter_reduce(0, index, value, "amax")
    scale = ((bins - 1) / (high - low)).clamp(0, torch.finfo(torch.float32).max)
    bin_ = ((value - low[index]) * scale[index]).clamp_(0, bins - 1).long()
    histogram = torch.bincount(index * bins + bin_, minlength=units * bins).view(units, bins)
    from_top = histogram.flip(1).cumsum(1)
    chosen = (from_top < rank[:, None]).sum(1)  # bins from the top that all come before the answer
    enough = (chosen < bins) & (rank > 0)
    before = from_top.gather(1, (chosen - 1).clamp_min(0)[:, None])[:, 0].where(chosen > 0, 0)
    inside = bin_ == torch.where(enough, bins - 1 - chosen, -1)[index]
    index, value = index[inside], value[inside]
    if len(value) == 0:
        return nothing
    order = value.argsort(descending=True, stable=True)
    order = order[index[order].argsort(stable=True)]  # by unit, then by descending value
    start = torch.bincount(index, minlength=units).cumsum(0).roll(1)
    start[0] = 0
    position = (start + rank - 1 - before).clamp(0, len(value) - 1)
    return torch.where(enough, value[order][position], nothing)
