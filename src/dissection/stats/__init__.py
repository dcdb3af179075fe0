"""Statistics of activations: exact, streaming and mergeable.

    threshold = TopFraction(units, fraction=0.005, samples=images * cells)
    threshold.add(unit, value)              # as often as there are batches
    threshold.threshold()                   # (units,) so that P(a > T) = fraction

Every statistic has `add` (a batch), `merge` (the same statistic of other images), `save` and `load`. Its result
does not depend on the order or the size of the batches, nor on how the images were shared among merged parts.
"""

from dissection.stats.frechet import FrechetDistance, Gaussian, frechet_distance, frechet_distances
from dissection.stats.levels import LevelCounts
from dissection.stats.moments import SecondMoment
from dissection.stats.overlap import Overlap
from dissection.stats.quantile import TopFraction
from dissection.stats.topk import TopImages
from dissection.stats.wasserstein import Patches, sliced_wasserstein

__all__ = [
    "FrechetDistance", "Gaussian", "LevelCounts", "Overlap", "Patches", "SecondMoment", "TopFraction", "TopImages",
    "frechet_distance", "frechet_distances", "sliced_wasserstein",
]  # fmt: skip
