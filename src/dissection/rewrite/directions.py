"""Which keys an edit may change: directions of keys, from places that a person selected (thesis 6.3.3, B.3, B.4).

    found = key_directions(keys, weights, moment, rank=1)        # (1, inputs), of norm 1
    units = key_units(keys, weights, moment, 30)                 # the axes that tell the selection best

Of a C that lacks directions (fewer keys than inputs, units that are always zero), eigenvalues are raised to FLOOR
times the largest, for a direction in which keys never go would otherwise outweigh all others without limit; the
published code gets NaN from it. A C of full rank, as networks have it, is left as it is. All in float64.
"""

from typing import Literal

import torch
from torch import Tensor

from dissection.errors import DissectionError

FLOOR = 1e-10

KeyMethod = Literal["zca", "mean", "axis"]


def power(moment: Tensor, exponent: float) -> Tensor:
    """C^exponent, (inputs, inputs) float64, by eigenvectors; -1/2 gives the ZCA whitening Z (B.6)."""
    values, vectors = torch.linalg.eigh(moment.double())
    values = values.clamp(min=FLOOR * float(values[-1]))
    return vectors * values.pow(exponent) @ vectors.T


def key_directions(
    keys: Tensor, weights: Tensor, moment: Tensor, rank: int, method: KeyMethod = "zca"
) -> Tensor:
    """(rank, inputs) float64, orthonormal, the first in the selection's sense: the span of D_S.

    keys: (places, inputs), selected; weights: (places,), above 0 to 1, how much of each is; moment: C.
    zca: the rank directions that carry most of the whitened selection (B.16). mean: C^-1 k of the mean key, of
    rank 1 (eq. 6.16). axis: of single units (B.17).
    Raises DissectionError if there are not as many places as directions.
    """
    if method == "mean" and rank != 1:
        raise DissectionError(f"rank {rank}: the mean of a selection has one direction; use zca")
    limit = keys.shape[1] if method == "axis" else min(keys.shape)
    if rank > limit or not len(keys):
        raise DissectionError(
            f"rank {rank}: the selection has {len(keys)} places of {keys.shape[1]} units, so at most {limit}"
            " directions; select more, or lower the rank"
        )
    keys, weights = keys.double(), weights.double()[:, None]
    if method == "axis":
        units = key_units(keys, weights[:, 0], moment, rank)
        return torch.eye(keys.shape[1]).to(keys)[units]
    if method == "mean":
        mean = (power(moment, -1) @ (weights * keys).mean(0))[None]
        return mean / mean.norm()
    whitening = power(moment, -0.5)
    whitened = weights * (keys @ whitening)
    top = torch.linalg.svd(whitened, full_matrices=False).Vh[:rank]
    basis = torch.linalg.qr((top @ whitening).T).Q.T
    sense = (basis @ whitened.sum(0)).sign()
    return basis * torch.where(sense == 0, 1.0, sense)[:, None]


def key_units(keys: Tensor, weights: Tensor, moment: Tensor, count: int) -> Tensor:
    """(count,) units of largest mean square over the selection, relative to that over all keys (B.17)."""
    square = moment.diagonal().double()
    square = square.clamp(min=FLOOR * float(square.max()))
    scores = (weights.double()[:, None] * keys.double().square()).sum(0) / square
    return scores.argsort(descending=True, stable=True)[:count]
