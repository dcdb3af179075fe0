"""Units that draw artifacts: how realistic a generator's images are by unit and without some, and pairs of pictures for
people to compare (thesis 4.4.2 and A.1; A.3 goes by the same distances).

    judge(config, "progan_bedroom", out, device)     # units.csv, ablated.csv, pictures, index.html

Sets of units are ablated together: `flagged` by a person, with the `highest` distances, their `union`, and `random`
ones. Without a list of flagged units there are no `flagged` and no `union`, and those with the highest distances stand
for the artifact units.
"""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from dissection import style
from dissection.config import Config, Input, Quality
from dissection.data import Dataset, dataset_of
from dissection.errors import DissectionError
from dissection.features import features, load_extractor
from dissection.files import write_csv, write_png
from dissection.intervene.generator import Generator, Intervention, only
from dissection.intervene.quality import ablated_distances, draw, most_active, unit_distances
from dissection.networks import Preprocess, module_of
from dissection.networks.progan import latents
from dissection.paths import replacing
from dissection.stats import Gaussian

BATCH = 32
SHOWN = 6  # images of a picture
ARTIFACT, RANDOM = "artifact", "random"  # what raters compare with the original


def judge(config: Config, network: str, out: Path, device: torch.device) -> None:
    """
    units.csv: unit, mean and covariance (the two parts of the distance), distance, and whether it is among those
    flagged, highest, random. ablated.csv: set, units, images (those on which the artifact units are most active), mean,
    covariance, distance. Both: features (what the distance compares), generated (number of images), real.
    <set>.png: the first of these images. index.html: for raters, of the images in `pairs`; questions.csv: pair, set,
    image (number of its z), ablated (the side that is).
    Raises DissectionError if the layer has no such units.
    """
    spec, latent = config.quality[network], config.networks[network].latent
    if latent is None:
        raise DissectionError(f"quality.{network}: networks.{network}.latent: missing")
    generator = Generator(
        module_of(config, network, device), config.networks[network].layers[spec.layer]
    )
    extractor = load_extractor(config, device)
    z = latents(spec.seed, 0, spec.images, latent.size)
    side = generator.images(generator.head(z[:1])).shape[-1]
    dataset = dataset_of(config, spec.real)
    real = Gaussian(extractor.units, device)
    for vectors in features(extractor, squares(dataset, side)):
        real.add(vectors)
    sample = draw(generator, extractor, z, BATCH, True)
    by_unit = unit_distances(real, sample, spec.top, True)
    sets = choose(spec, by_unit["distance"], config.seed)
    artifact = sets.get("flagged", sets["highest"])
    shown = most_active(sample.peaks, artifact, spec.top)
    ablated = ablated_distances(real, generator, extractor, z[shown], sets, BATCH, True)

    made: dict[str, Any] = {"features": extractor.name, "generated": len(z), "real": real.count}
    for name in ("flagged", "highest", "random"):
        by_unit[name] = by_unit.index.isin(sets.get(name, []))
    write_csv(by_unit.reset_index().assign(images=spec.top, **made), out / "units.csv")
    ablated = ablated.rename_axis("set").reset_index()
    ablated.insert(1, "units", [len(units) for units in sets.values()])
    write_csv(ablated.assign(images=len(shown), **made), out / "ablated.csv")
    state = generator.head(z[shown[:SHOWN]])
    for name, units in sets.items():
        images = generator.images(state, ablation(units, by_unit))
        write_png(out / f"{name}.png", images)
    compared = shown[:: max(1, len(shown) // spec.pairs)][: spec.pairs]
    changes = {ARTIFACT: ablation(artifact, by_unit), RANDOM: ablation(sets["random"], by_unit)}
    write_pairs(generator, z, compared, changes, config.seed, network, out)


def choose(spec: Quality, distance: pd.Series, seed: int) -> dict[str, list[int]]:
    """Name of a set -> its units, those of `original` being none. distance: unit -> distance, of all the layer's."""
    n = len(distance)
    if unknown := [u for u in spec.flagged if u >= n]:
        raise DissectionError(f"quality flagged: unit {unknown[0]}; {spec.layer} has {n} units")
    if spec.units > n:
        raise DissectionError(f"quality units: {spec.units}; {spec.layer} has {n} units")
    highest = distance.sort_values(ascending=False, kind="stable").index[: spec.units].tolist()
    random = np.random.RandomState(seed).choice(n, spec.units, replace=False).tolist()
    sets: dict[str, list[int]] = {"original": [], "highest": highest}
    if spec.flagged:
        sets |= {"flagged": spec.flagged, "union": list(dict.fromkeys([*spec.flagged, *highest]))}
    return {**sets, "random": random}


def ablation(units: list[int], layer: pd.DataFrame) -> Intervention:
    """layer: a line a unit of the layer."""
    return Intervention(only(units, len(layer)))


def squares(dataset: Dataset, side: int, batch: int = BATCH) -> Iterator[Tensor]:
    """(n, 3, side, side) uint8, in batches: the centre square of each image, as the generators were shown theirs."""
    crop = Preprocess(Input(size=side)).crop
    for start in tqdm(range(0, len(dataset), batch), "real images", unit="batch", mininterval=1):
        images = [dataset.image(i) for i in range(start, min(start + batch, len(dataset)))]
        yield torch.stack([crop(centre(image)) for image in images])


def centre(image: np.ndarray) -> np.ndarray:
    """(h, w, 3) -> (s, s, 3), s the shorter of h and w."""
    h, w = image.shape[:2]
    s = min(h, w)
    return image[(h - s) // 2 :, (w - s) // 2 :][:s, :s]


# ---------------------------------------------------------------- pairs for raters


def write_pairs(generator: Generator, z: Tensor, images: Tensor, changes: dict[str, Intervention], seed: int,
                network: str, out: Path) -> None:  # fmt: skip
    """The pairs of every image and change, in a random order, each with the ablated one on a random side."""
    random = np.random.RandomState(seed)
    asked = [(name, i) for name in changes for i in range(len(images))]
    lines = []
    for pair, k in enumerate(random.permutation(len(asked)).tolist()):
        name, i = asked[k]
        state = generator.head(z[images[i : i + 1]])
        two = [generator.images(state)[0], generator.images(state, changes[name])[0]]
        right = int(random.randint(2))  # the ablated one is there
        gap = torch.full_like(two[0][..., : max(1, two[0].shape[-1] // 16)], 255)
        picture = torch.cat([two[1 - right], gap, two[right]], 2)
        write_png(out / "pairs" / f"{pair:04d}.png", picture[None])
        lines.append((pair, name, int(images[i]), ("left", "right")[right]))
    table = pd.DataFrame(lines, columns=["pair", "set", "image", "ablated"])
    write_csv(table, out / "questions.csv")
    html = style.templates(Path(__file__).parent).get_template("preference.html").render(
        network=network, pairs=len(table),
        sheet=sha256((out / "questions.csv").read_bytes()).hexdigest()[:8],  # which answers are to
    )  # fmt: skip
    with replacing(out / "index.html") as path:
        path.write_text(html, encoding="utf-8")
