"""Generated Image Segmentation Statistics: how much of each object class there is, image by image (thesis 5.3.1).

    counts = torch.cat([pixel_counts(segmenter, images) for images in batches])     # (n, classes) whole numbers
    real, made = Gaussian(classes), Gaussian(classes)                               # for streams of any length;
    real.add(shares(counts))                                                        # parts of it can be merged
    distance = frechet_distance(real, made)          # FSD: .total, of .mean and .covariance

    segmentation_distance(a, b)                      # the same of counts that are kept
    distance_interval(a, b, replicates=200, seed=1)  # bootstrap
    compare_classes(a, b)                            # a line a class: what is omitted, interval, corrected test

The scale is the published one: shares times 100, so percent of an image's pixels, and all classes of the segmenter's
object head, 336 in the published one, of which number 0 stands for none of them. In shares an FSD would be 10,000 times
smaller. No square root of a matrix has to converge (`stats.frechet`): a class that is never seen makes a covariance
singular, for which the authors' code adds a multiple of the identity.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from scipy.special import stdtrit
from torch import Tensor
from tqdm import tqdm

from dissection.errors import DissectionError
from dissection.segment import Segmenter
from dissection.stats import FrechetDistance, Gaussian, frechet_distance

CHUNK = 2**22  # elements of the permutations that are made at a time
LEAST = 1e-9  # squared standard error, where the pooled variance is 1, below which it is rounding


def pixel_counts(segmenter: Segmenter, images: Tensor) -> Tensor:
    """
    (n, 3, h, w) uint8 RGB -> (n, classes) int64 pixels of each class of the object head, 0 (`-`) first.

    Labels are those of the segmenter's own resolution, the largest if it has several, whatever the images' is.
    """
    side, classes = max(segmenter.sizes), len(segmenter.classes.object)
    labels = segmenter.objects(images, (side, side)).flatten(1)
    first = torch.arange(len(labels), device=labels.device)[:, None] * classes
    counts = torch.bincount((labels + first).flatten(), minlength=len(labels) * classes)
    return counts.view(-1, classes).cpu()


def shares(counts: Tensor) -> Tensor:
    """(n, classes) pixels -> (n, classes) float64 percent of the image."""
    return 100 * counts.double() / counts.sum(1, keepdim=True)


def segmentation_distance(real: Tensor, made: Tensor) -> FrechetDistance:
    """FSD of two samples, (n, classes) pixels each: |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^1/2) of their shares."""
    kept = _present(real, made)
    return frechet_distance(_fitted(shares(real)[:, kept]), _fitted(shares(made)[:, kept]))


class Interval(NamedTuple):
    low: float
    high: float


def distance_interval(
    real: Tensor,
    made: Tensor,
    replicates: int,
    seed: int,
    level: float = 0.05,
    progress: bool = False,
) -> Interval:
    """
    Basic bootstrap interval, of confidence 1 - level, of the FSD of the two distributions; images are drawn again.

    The FSD of finite samples is too large by about as much as that of samples drawn again from them exceeds theirs;
    the interval is of what is left, so that equal distributions have one that begins at 0.
    """
    rng = np.random.default_rng(seed)
    kept = _present(real, made)
    a, b = shares(real)[:, kept], shares(made)[:, kept]
    found = frechet_distance(_fitted(a), _fitted(b)).total
    again = [
        frechet_distance(*(_fitted(x[rng.integers(len(x), size=len(x))]) for x in (a, b))).total
        for _ in tqdm(range(replicates), "bootstrap", disable=not progress)
    ]
    low, high = np.quantile(again, (level / 2, 1 - level / 2))
    return Interval(max(0.0, float(2 * found - high)), max(0.0, float(2 * found - low)))


def _fitted(vectors: Tensor) -> Gaussian:
    gaussian = Gaussian(vectors.shape[1])
    gaussian.add(vectors)
    return gaussian


def _present(real: Tensor, made: Tensor) -> Tensor:
    """Classes that any image has; the others are 0 in every mean and covariance."""
    if real.shape[1] != made.shape[1]:
        raise DissectionError(
            f"segmentation statistics: {real.shape[1]} classes against {made.shape[1]}"
        )
    return (real.sum(0) + made.sum(0) > 0).nonzero()[:, 0]


# ---------------------------------------------------------------------------------------------- class by class


def compare_classes(
    real: Tensor, made: Tensor, level: float = 0.01, permutations: int = 10_000, seed: int = 1
) -> pd.DataFrame:
    """
    Index: class number. real, generated: mean percent of an image. delta: (generated - real) / real; low, high: its
    interval of confidence 1 - level, for this class alone. p: of the hypothesis that the class does not differ,
    corrected for the number of classes. found: `omitted` or `added` where p <= level, so that with probability
    1 - level none is found among classes that do not differ.

    real, made: (n, classes) pixels.
    """
    a, b = shares(real).numpy(), shares(made).numpy()
    table = pd.DataFrame({"real": a.mean(0), "generated": b.mean(0)})
    table["delta"] = _relative(table["generated"], table["real"])
    table["low"], table["high"] = np.array(
        [relative_interval(x, y, level) for x, y in zip(a.T, b.T, strict=True)]
    ).T
    table["p"] = corrected_p(a, b, permutations, seed)
    side = np.where(table["generated"] < table["real"], "omitted", "added")
    table["found"] = np.where(table["p"] <= level, side, "")
    return table.rename_axis("class")


def _relative(made: pd.Series, real: pd.Series) -> pd.Series:
    """Not a number for a class that no real image has."""
    return (made - real) / real.where(real > 0)


def relative_interval(real: np.ndarray, made: np.ndarray, level: float) -> Interval:
    """
    Fieller's interval of mean(made) / mean(real) - 1, for two independent samples of one class.

    Where no generated image has the class, its variance is not known from them: the upper end is then what the share
    of images that have it could be (up to 1 - (level / 2)^(1/n)), were they as full of it as real ones are.
    Ends at infinity where the real mean may be 0; not a number where no real image has the class.
    """
    n, m = len(real), len(made)
    if not real.any():
        return Interval(np.nan, np.nan)
    if not made.any():
        return Interval(-1.0, (1 - (level / 2) ** (1 / m)) / (real > 0).mean() - 1)
    z = stdtrit(min(n, m) - 1, 1 - level / 2)  # quantile of Student's t
    x, y = real.mean(), made.mean()
    u, v = z**2 * real.var(ddof=1) / n, z**2 * made.var(ddof=1) / m
    a, c = x**2 - u, y**2 - v  # a ratio r is inside if a r^2 - 2 x y r + c <= 0
    if a <= 0:
        return Interval(-1.0, np.inf)
    root = np.sqrt(max(0.0, (x * y) ** 2 - a * c))
    return Interval(max(-1.0, float((x * y - root) / a - 1)), float((x * y + root) / a - 1))


def corrected_p(real: np.ndarray, made: np.ndarray, permutations: int, seed: int) -> np.ndarray:
    """
    (classes,) p-values of two-sided tests of equal means, corrected so that the probability of any false one below
    a level is that level (Westfall and Young 1993, step-down maxT).

    real, made: (n, classes). Which images are the real ones is permuted; the statistic is Welch's t. Nothing is
    assumed of the shares, most of which are 0 and many of which go together. 1 for a class that never varies.
    """
    both = np.concatenate([real, made])
    spread = both.std(0)
    varies = np.flatnonzero(spread > 0)
    p = np.ones(both.shape[1])
    if not len(varies):
        return p
    both = (both[:, varies] - both[:, varies].mean(0)) / spread[varies]
    first = np.arange(len(both)) < len(real)
    found = _welch(both, first[None])[0]
    order = np.argsort(-found, kind="stable")
    rng = np.random.default_rng(seed)
    at_least, left = np.zeros(len(order)), permutations
    while left:
        size = min(left, max(1, CHUNK // len(both)))
        drawn = rng.permuted(np.broadcast_to(first, (size, len(both))), axis=1)
        t = _welch(both, drawn)[:, order]
        largest = np.maximum.accumulate(t[:, ::-1], axis=1)[
            :, ::-1
        ]  # of this class and those behind it
        at_least += (largest >= found[order] - 1e-9).sum(0)
        left -= size
    p[varies[order]] = np.maximum.accumulate((1 + at_least) / (1 + permutations))
    return p


def _welch(values: np.ndarray, first: np.ndarray) -> np.ndarray:
    """values: (n, classes), standardised; first: (k, n) bool, who is in the first of two groups -> (k, classes) |t|."""
    n = first.sum(1)[0]
    sums = [first.astype(float) @ power for power in (values, values**2)]
    total = [power.sum(0) for power in (values, values**2)]
    means, errors = [], []
    for size, (s, q) in (
        (n, sums),
        (len(values) - n, [t - s for t, s in zip(total, sums, strict=True)]),
    ):
        means.append(s / size)
        errors.append((q - s**2 / size) / (size - 1) / size)
    return np.abs(means[0] - means[1]) / np.sqrt(np.maximum(errors[0] + errors[1], LEAST))
