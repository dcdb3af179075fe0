"""At which level a unit's activation tells most about a concept: pixel counts by unit, level and concept.

    levels = top_levels(sample)                       # (units, 100) candidates for the threshold
    counts = LevelCounts(levels)
    counts.add(activations, upsampling, maps)         # as often as there are batches
    best = most_informative(counts, accuracy=0.75, coverage=1e-3)
    best.threshold, best.quality                      # (units, concepts)

A level is the largest float32 of those that share its first 16 bits, so a value lies above it if and only if its
own first 16 bits are greater: a table of 2**15 entries a unit tells, exactly, how many levels lie below a value.
"""

from pathlib import Path
from typing import NamedTuple, Self

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from dissection.errors import DissectionError
from dissection.paths import replacing
from dissection.stats.upsample import Upsampling

FRACTIONS = torch.logspace(-3, 0, 100, dtype=torch.float64)
PREFIXES = 2**15  # of floats that are not negative
EXACT = 2**24 - 1  # up to which float32 holds every integer
CHUNK = {
    "cpu": 2**18,
    "cuda": 2**26,
}  # values looked at together: what the caches hold; enough to do


def prefix(values: Tensor) -> Tensor:
    """The first 16 bits of float32 values, as int32; 0 for a negative one."""
    return (values.view(torch.int32) >> 16).clamp_min_(0)


def top_levels(sample: Tensor) -> Tensor:
    """(units, 100) float32, ascending: levels that 0.1 % to 100 % of the samples exceed, in equal ratios.

    sample: (n, units) int32, the `prefix` of n samples of every unit. A level is the least with a prefix of its own
    that no more than its share of the samples exceeds; infinite where that would not be positive.
    """
    n, units = sample.shape
    flat = sample + PREFIXES * torch.arange(units, dtype=torch.int32, device=sample.device)
    counts = torch.bincount(flat.flatten(), minlength=units * PREFIXES).view(units, PREFIXES)
    below = n - (n * FRACTIONS.flip(0)).long().to(sample.device)  # samples at or below the level
    found = torch.searchsorted(counts.cumsum(1), below.expand(units, -1).contiguous())
    levels = ((found << 16) + 0xFFFF).int().view(torch.float32)
    return torch.where(found > 0, levels, torch.inf).sort(1).values


class LevelCounts:
    """Pixels of all upsampled units between any two levels, in all and by the concepts they carry.

    Concepts are numbered from 1; 0 is none. Those that never occur take no memory.
    """

    def __init__(self, levels: Tensor, concepts: Tensor | None = None):
        """levels: (units, levels) from `top_levels`; concepts: numbers to count, or None for whichever occur."""
        units, n = levels.shape
        self.levels, device = levels, levels.device
        every = torch.arange(PREFIXES, dtype=torch.int32, device=device).expand(units, -1)
        below = torch.searchsorted(prefix(levels), every.contiguous(), out_int32=True)
        self._table = below.to(torch.uint8)  # (units, PREFIXES) levels below a value
        self._counts = torch.zeros(units, n + 1, 1, dtype=torch.int64, device=device)
        self.concepts = torch.empty(0, dtype=torch.int64, device=device)  # of columns 1, 2, ...
        self._grows = concepts is None
        if concepts is not None:
            self._add_columns(concepts)

    def _add_columns(self, concepts: Tensor) -> None:
        self.concepts = torch.cat([self.concepts, concepts])
        more = self._counts.new_zeros(*self._counts.shape[:2], len(concepts))
        self._counts = torch.cat([self._counts, more], 2)

    def _columns(self, size: int) -> Tensor:
        """(size,) column of each concept number, 0 for those not counted."""
        columns = torch.zeros(size, dtype=torch.int64, device=self.concepts.device)
        known = self.concepts < size
        columns[self.concepts[known]] = known.nonzero()[:, 0] + 1
        return columns

    def add(self, activations: Tensor, up: Upsampling, maps: Tensor) -> None:
        """
        activations: (images, h, w, units) float32; maps: (images, maps, pixels) concept numbers at the pixels that
        `up` leads to, no number twice at one pixel.
        """
        occurring = torch.bincount(maps.flatten()) > 0
        occurring[0] = False
        columns = self._columns(len(occurring))
        if self._grows:
            new = (occurring & (columns == 0)).nonzero()[:, 0]
            self._add_columns(new)
            columns = self._columns(len(occurring))
        maps = columns[maps.long()]
        most = max(1, EXACT // maps.shape[2])
        for some, of_them in zip(activations.split(most), maps.split(most), strict=True):
            self._add(some, up, of_them)

    def _add(self, activations: Tensor, up: Upsampling, maps: Tensor) -> None:
        """As `add`; maps: (images, maps, pixels) int64 columns."""
        region, members = combinations(maps, len(self.concepts) + 1)
        regions, region = len(members), region.int()[:, None]
        units, bins, _ = self._counts.shape
        step = max(1, CHUNK[maps.device.type] // len(region))
        for start in range(0, units, step):
            values = up.dense(activations[..., start : start + step])
            count = values.shape[3]
            offset = torch.arange(count, dtype=torch.int32, device=maps.device)
            index = prefix(values.view(-1, count)).add_(offset * PREFIXES)
            table = self._table[start : start + step].view(-1)
            below = table.index_select(0, index.view(-1)).view(-1, count)
            index = (below + offset * bins).mul_(regions).add_(region)
            found = torch.bincount(index.view(-1), minlength=count * bins * regions)
            # Matrix products of int64 are slow; in float32 they are exact as long as no sum reaches 2**24.
            added = found.view(-1, regions).float() @ members
            self._counts[start : start + step] += added.view(count, bins, -1).long()

    def above(self) -> Tensor:
        """(units, levels, 1 + concepts) pixels above each level: all, then those of each of `concepts`."""
        return self._counts[:, 1:].flip(1).cumsum(1).flip(1)

    def pixels(self) -> Tensor:
        """(1 + concepts,) pixels: all, then those of each of `concepts`."""
        return self._counts[0].sum(0)

    def at(self, level: Tensor) -> tuple[Tensor, Tensor]:
        """
        level: (units, concepts) index of a level for each of `concepts`, -1 for none.
        Returns (units, concepts) pixels above it that carry the concept, and all pixels above it; 0 for none.
        """
        above, index = self.above(), level.clamp_min(0)
        both = above[..., 1:].gather(1, index[:, None])[:, 0]
        return both.where(level >= 0, 0), above[..., 0].gather(1, index).where(level >= 0, 0)

    def merge(self, other: Self) -> None:
        """Take in the counts of other images, at the same levels."""
        if not torch.equal(self.levels, other.levels):
            raise DissectionError("levels: counts at other levels cannot be merged")
        self._add_columns(other.concepts[~torch.isin(other.concepts, self.concepts)])
        into = self._columns(int(self.concepts.max()) + 1 if len(self.concepts) else 0)
        self._counts[..., 0] += other._counts[..., 0]
        self._counts[..., into[other.concepts]] += other._counts[..., 1:]

    def save(self, path: Path) -> None:
        with replacing(path) as beside:
            save_file({"levels": self.levels, "concepts": self.concepts, "counts": self._counts,
                       "grows": torch.tensor(self._grows)}, beside)  # fmt: skip

    @classmethod
    def load(cls, path: Path) -> Self:
        state = load_file(path)
        loaded = cls(state["levels"])
        loaded.concepts, loaded._counts = state["concepts"], state["counts"]
        loaded._grows = bool(state["grows"])
        return loaded


def combinations(maps: Tensor, concepts: int) -> tuple[Tensor, Tensor]:
    """
    maps: (images, maps, pixels) int64 below `concepts`, no concept twice at one pixel.
    Returns (images * pixels,) the number of the combination of concepts that a pixel carries, and
    (combinations, concepts) float32, 1 for the concepts of each; concept 0 is part of all.
    """
    region = torch.zeros(len(maps) * maps.shape[2], dtype=torch.int64, device=maps.device)
    members = torch.zeros(1, concepts, device=maps.device)
    for level in maps.unbind(1):
        pair = region * concepts + level.flatten()
        occurs = torch.bincount(pair, minlength=len(members) * concepts) > 0
        region = (occurs.cumsum(0) - 1)[pair]
        found = occurs.nonzero()[:, 0]
        members = members[found // concepts]
        members.scatter_(1, (found % concepts)[:, None], 1.0)
    members[:, 0] = 1.0
    return region, members


class Informative(NamedTuple):
    """Per unit (row) and concept (column) the level that tells most."""

    levels: Tensor  # (units, levels) that were compared
    concepts: Tensor  # (concepts,) numbers, ascending: those common enough
    level: Tensor  # (units, concepts) index of the level, -1 where no level is accurate enough
    threshold: Tensor  # (units, concepts) float32, infinite there
    quality: Tensor  # (units, concepts) float64: I / H, 0 there


def most_informative(counts: LevelCounts, accuracy: float, coverage: float) -> Informative:
    """The level t that maximises I(a > t; c) / H(a > t, c) (thesis eq. 4.2); of equal ones the lowest.

    accuracy: share of pixels that must both exceed the level and carry the concept, or neither. Without such a
    bound a unit that is off where the concept is would be as informative as one that is on.
    coverage: least share of all pixels that carry a concept; for rarer ones no level is chosen.
    """
    total = counts.pixels()
    common = (total[1:] >= coverage * total[0]).nonzero()[:, 0]
    common = common[counts.concepts[common].argsort()]
    chosen, above = torch.cat([common.new_zeros(1), common + 1]), counts.above()
    pixels, label = total[0].double(), total[common + 1].double()
    step = max(1, 2**20 // (above.shape[1] * len(chosen)))  # bounds what the formulas below take
    level, quality = [], []
    for part in above.split(step):
        both = part[..., chosen].double()
        mask, both = both[..., :1], both[..., 1:]
        agree = (pixels - mask - label + 2 * both) / pixels
        ratio = information_quality(both, mask, label, pixels)
        best = torch.where(agree > accuracy, ratio, 0.0).max(1)
        level.append(torch.where(best.values > 0, best.indices, -1))
        quality.append(best.values)
    index = torch.cat(level)
    threshold = counts.levels.gather(1, index.clamp_min(0)).masked_fill_(index < 0, torch.inf)
    return Informative(counts.levels, counts.concepts[common], index, threshold, torch.cat(quality))


def information_quality(both: Tensor, first: Tensor, second: Tensor, total: Tensor) -> Tensor:
    """I / H of two events, their mutual information over their joint entropy (Wijaya et al. 2017); 0 where H is 0.

    Counts in float64: both events, the first, the second, all.
    """

    def entropy(*counts: Tensor) -> Tensor:
        return -torch.stack(
            [torch.xlogy(n / total, n / total) for n in torch.broadcast_tensors(*counts)]
        ).sum(0)

    joint = entropy(both, first - both, second - both, total - first - second + both)
    shared = entropy(first, total - first) + entropy(second, total - second) - joint
    return torch.where(joint > 0, shared / joint.clamp_min(1e-300), 0.0).clamp_min(0)
