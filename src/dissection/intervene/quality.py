"""How realistic a generator's images are, by unit and with units ablated (thesis 4.4.2, A.1, A.3).

    real = Gaussian(extractor.units)                             # of images that were not generated
    sample = draw(generator, extractor, z)                       # 200,000 z in the thesis
    by_unit = unit_distances(real, sample, images=10_000)        # fig_a_1, fig_a_4
    worst = by_unit.distance.nlargest(20).index

    shown = z[most_active(sample.peaks, worst, 10_000)]
    ablated_distances(real, generator, extractor, shown, {"original": [], "artifacts": worst})    # table_4_1

The distance is the FID where the features are those of the FID Inception, and `extractor.name` says which they are.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from dissection.errors import DissectionError
from dissection.features import Extractor
from dissection.intervene.generator import BATCH, Generator, Intervention, heads, only
from dissection.stats import FrechetDistance, Gaussian, frechet_distances


class Sample(NamedTuple):
    """Generated images: how active the layer is, and what they look like."""

    peaks: Tensor  # (images, units) largest activation
    vectors: Tensor  # (images, features)


@torch.no_grad()
def draw(
    generator: Generator,
    extractor: Extractor,
    z: Tensor,
    batch: int = BATCH,
    progress: bool = False,
) -> Sample:
    """One pass over z, (images, size). A sample takes 4 (units + features) bytes an image."""
    peaks, vectors = [], []
    for _, state in heads(generator, z, batch, progress):
        peaks.append(state[0].amax((2, 3)).cpu())
        vectors.append(extractor(generator.images(state)).cpu())
    return Sample(torch.cat(peaks), torch.cat(vectors))


def unit_distances(
    real: Gaussian, sample: Sample, images: int, progress: bool = False
) -> pd.DataFrame:
    """Unit -> Fréchet distance to `real` of the images on which the unit is most active (A.1).

    images: how many for each unit; of equally active ones, the first. Index `unit`, columns `mean` and
    `covariance`, the distance's two parts, and `distance`. Raises DissectionError if there are not so many.
    """
    total, units = sample.peaks.shape
    if not 2 <= images <= total:
        raise DissectionError(
            f"images of a unit: {images}; expected 2 to {total}, all generated ones"
        )

    def most_active_images() -> Iterable[Gaussian]:
        for unit in tqdm(range(units), "quality", unit="unit", disable=not progress):
            yield _fitted(real, sample.vectors[most_active(sample.peaks, [unit], images)])

    return _table(range(units), frechet_distances(real, most_active_images()), "unit")


def most_active(peaks: Tensor, units: Sequence[int], images: int) -> Tensor:
    """(images,) int64: the images on which these units are most active together, in descending order.

    peaks: (all images, units). A unit counts by its rank among all images, since units differ in scale; equal
    peaks have one rank, and of equal images the first comes first.
    """
    ranks = torch.zeros(len(peaks), dtype=torch.int64)
    for unit in units:
        _, which, times = peaks[:, unit].unique(return_inverse=True, return_counts=True)
        ranks += (times.cumsum(0) - times)[which]  # how many images it is less active on
    return ranks.argsort(descending=True, stable=True)[:images]


@torch.no_grad()
def ablated_distances(
    real: Gaussian, generator: Generator, extractor: Extractor, z: Tensor, sets: Mapping[str, Sequence[int]],
    batch: int = BATCH, progress: bool = False,
) -> pd.DataFrame:  # fmt: skip
    """Name of a set of units -> Fréchet distance to `real` of the same images without these units (tables 4.1, A.1).

    z: (images, size). The part before the layer runs once, and so does all that an ablation does not change.
    Index `units`, columns as in `unit_distances`.
    """
    gaussians = [Gaussian(len(real.mean), real.mean.device) for _ in sets]
    for _, state in heads(generator, z, batch, progress):
        original = extractor(generator.images(state))
        for units, gaussian in zip(sets.values(), gaussians, strict=True):
            ablation = Intervention(only(list(units), state[0].shape[1]).to(state[0].device))
            moved = (ablation(state[0]) != state[0]).flatten(1).any(1)
            vectors = original.clone()
            if moved.any():
                some = tuple(s[moved] for s in state)
                vectors[moved] = extractor(generator.images(some, ablation))
            gaussian.add(vectors)
    return _table(sets, frechet_distances(real, gaussians), "units")


def _fitted(like: Gaussian, vectors: Tensor) -> Gaussian:
    gaussian = Gaussian(len(like.mean), like.mean.device)
    gaussian.add(vectors)
    return gaussian


def _table(
    names: Iterable[int | str], distances: Iterable[FrechetDistance], name: str
) -> pd.DataFrame:
    rows = [(d.mean, d.covariance, d.total) for d in distances]
    return pd.DataFrame(
        rows, columns=["mean", "covariance", "distance"], index=pd.Index(list(names), name=name)
    )
