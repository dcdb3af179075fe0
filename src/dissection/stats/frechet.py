"""Fréchet distance between two Gaussians that are fitted to samples (FID; thesis 4.4.2 and 5.3.1).

real, made = Gaussian(2048), Gaussian(2048)
real.add(features)                      # as often as there are batches
distance = frechet_distance(real, made)
distance.mean, distance.covariance, distance.total
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, Self

import torch
from torch import Tensor

from dissection.errors import DissectionError


class Gaussian:
    """Mean and covariance of vectors, in float64.

    Sums are taken about the mean so far (Chan, Golub and LeVeque 1983), so that a mean far from zero
    costs no digits; batches and merged parts change the result by rounding alone.
    """

    def __init__(self, units: int, device: torch.device | str = "cpu"):
        self.count = 0
        self.mean = torch.zeros(units, dtype=torch.float64, device=device)
        self.scatter = torch.zeros(units, units, dtype=torch.float64, device=device)

    def add(self, vectors: Tensor) -> None:
        """vectors: (n, units)."""
        if len(vectors):
            vectors = vectors.to(self.mean)
            mean = vectors.mean(0)
            centred = vectors - mean
            self._join(len(vectors), mean, centred.T @ centred)

    def merge(self, other: Self) -> None:
        if other.count:
            self._join(other.count, other.mean, other.scatter)

    def _join(self, count: int, mean: Tensor, scatter: Tensor) -> None:
        total = self.count + count
        apart = mean - self.mean
        self.scatter += scatter
        self.scatter.addr_(apart, apart, alpha=self.count * count / total)
        self.mean += apart * (count / total)
        self.count = total

    def covariance(self) -> Tensor:
        """(units, units) float64, divided by n - 1. Raises DissectionError for fewer than two vectors."""
        if self.count < 2:
            raise DissectionError(f"covariance: {self.count} vectors; it takes at least 2")
        return self.scatter / (self.count - 1)

    def state(self) -> dict[str, Tensor]:
        """What a file keeps of it."""
        return {"mean": self.mean, "scatter": self.scatter, "count": torch.tensor([self.count])}

    @classmethod
    def of(cls, state: Mapping[str, Tensor], device: torch.device | str = "cpu") -> Self:
        gaussian = cls(0)
        gaussian.mean, gaussian.scatter = (state[key].to(device) for key in ("mean", "scatter"))
        gaussian.count = int(state["count"])
        return gaussian


class FrechetDistance(NamedTuple):
    """mean: |m1 - m2|^2. covariance: tr(C1 + C2 - 2 (C1 C2)^1/2). `total`, their sum, is what FID and FSD are."""

    mean: float
    covariance: float

    @property
    def total(self) -> float:
        return self.mean + self.covariance


def frechet_distance(a: Gaussian, b: Gaussian) -> FrechetDistance:
    """The squared Wasserstein-2 distance between the two Gaussians.

    tr (C1 C2)^1/2 is the sum of the singular values of R1^T R2, where R R^T = C. R is V L^1/2 of the symmetric
    C = V L V^T, which is defined for a singular C too: no matrix square root has to converge, and no multiple of
    the identity is added. It agrees with scipy.linalg.sqrtm of C1 C2, as the reference implementation has it, to
    1e-9 of the distance where that product is well conditioned (tests/test_frechet.py).

    Raises DissectionError if the two have different units or fewer than two vectors.
    """
    return next(frechet_distances(a, [b]))


def frechet_distances(reference: Gaussian, others: Iterable[Gaussian]) -> Iterator[FrechetDistance]:
    """The `frechet_distance` of each, one at a time; the reference is decomposed once."""
    covariance = reference.covariance()
    trace, root = covariance.trace(), _root(covariance)
    for other in others:
        if len(other.mean) != len(reference.mean):
            raise DissectionError(
                f"Fréchet distance: {len(reference.mean)} units against {len(other.mean)}"
            )
        theirs = other.covariance().to(root.device)
        common = torch.linalg.svdvals(root.T @ _root(theirs)).sum()
        apart = (reference.mean - other.mean.to(root.device)).square().sum()
        spread = trace + theirs.trace() - 2 * common
        yield FrechetDistance(float(apart), max(0.0, float(spread)))  # rounding can end below zero


def _root(covariance: Tensor) -> Tensor:
    """(units, rank) R with R R^T the covariance."""
    values, vectors = torch.linalg.eigh(covariance)
    # below this an eigenvalue is rounding error, which its square root would make much of
    least = values[-1] * len(values) * torch.finfo(values.dtype).eps
    kept = values > least
    return vectors[:, kept] * values[kept].sqrt()
