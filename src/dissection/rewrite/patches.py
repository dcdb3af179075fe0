"""Parts of a layer's features rendered in isolation, against parts of whole images (thesis B.7, figures B-7 to B-12).

    cut = Cut(network, "layer4")
    alone, whole = cut.patches(z, side=16, seed=1)           # (n, 3, 16, 16) uint8, the same places of the same images
    cut.mosaic(z, side=16)                                   # (n, 3, h, w) uint8: every part of images, each alone
    found = patch_gaussians(network, ["image", "layer4", "others"], extractor, z, others, sides=[16], seed=1)
    patch_distances(found)
    isolated(config, "fig_b_7", Part.of("2-of-3"), device)   # what one of several jobs does of it

A crop of the features goes through the rest of the generator as if there were nothing around it. A low Fréchet
distance from crops of whole images says that neighbouring places hardly depend on one another. Features are those that
the layer puts out; a StyleGAN2's image so far, which later layers add to, is cropped along with them.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from tqdm import tqdm

from dissection.config import Config, Isolated
from dissection.errors import DissectionError
from dissection.features import Extractor, load_extractor
from dissection.files import write_csv, write_png
from dissection.networks import module_of, to_pixels
from dissection.networks.progan import latents
from dissection.networks.stylegan2 import State, StyleGAN2, doubled
from dissection.parts import Part, gathered
from dissection.paths import replacing
from dissection.probe import split
from dissection.rewrite.job import latent_of
from dissection.stats import Gaussian, frechet_distance

BATCH = 50
WHOLE, OTHERS = "image", "others"  # no layers: whole images, and those to compare with


class Halfway(NamedTuple):
    """A generator's state behind a layer."""

    maps: list[Tensor]  # (n, units, h, w) features, and what else has places: (n, c, k h, k w)
    render: Callable[[list[Tensor]], Tensor]  # these, or crops of them -> (n, 3, H, W)


class Cut:
    """A generator cut behind a layer."""

    def __init__(self, network: nn.Module, layer: str):
        self.network, self.layer = network.eval().requires_grad_(False), layer
        self._split = None if isinstance(network, StyleGAN2) else split(network, layer)

    def halfway(self, z: Tensor) -> Halfway:
        """z: (n, size)"""
        if isinstance(self.network, StyleGAN2):
            return _halfway(self.network, self.layer, z)
        assert self._split is not None
        head, tail = self._split
        state = head(z)
        places = [i for i, s in enumerate(state) if s.dim() == 4 and s.shape[2] > 1]

        def render(maps: list[Tensor]) -> Tensor:
            given = dict(zip(places, maps, strict=True))
            every = tuple(given.get(i, s) for i, s in enumerate(state))
            return tail(every, every[0])

        return Halfway([state[i] for i in places], render)

    @torch.inference_mode()
    def patches(self, z: Tensor, side: int, seed: int, first: int = 0) -> tuple[Tensor, Tensor]:
        """(n, size) z of images `first` ... -> their patches of `side` pixels rendered alone, and as they are in the
        whole image: (n, 3, side, side) uint8 each. The place of each is drawn from (seed, number).

        Raises DissectionError unless `side` pixels are whole cells of the layer.
        """
        halfway = self.halfway(z.to(next(self.network.parameters()).device))
        whole = to_pixels(halfway.render(halfway.maps))
        cells, pixels = halfway.maps[0].shape[2], whole.shape[2]
        crop = self.cells(halfway, side, pixels)
        at = places(len(z), cells - crop + 1, seed, first)
        return self.alone(halfway, at, crop), cropped(whole, at * pixels // cells, side)

    def cells(self, halfway: Halfway, side: int, pixels: int) -> int:
        """How many a side of `side` pixels is of images of `pixels`."""
        cells = halfway.maps[0].shape[2]
        crop = side * cells // pixels
        if crop * pixels != side * cells or not 0 < crop <= cells:
            raise DissectionError(
                f"patches of {side} pixels: {self.layer} has {cells} cells for {pixels} pixels;"
                f" choose a multiple of {pixels // cells} up to {pixels}"
            )
        return crop

    @torch.inference_mode()
    def cell(self, z: Tensor) -> int:
        """Pixels that a cell of the layer is high and wide. z: (n, size)"""
        halfway = self.halfway(z[:1].to(next(self.network.parameters()).device))
        return halfway.render(halfway.maps).shape[2] // halfway.maps[0].shape[2]

    @torch.inference_mode()
    def alone(self, halfway: Halfway, at: Tensor, crop: int) -> Tensor:
        """(n, 2) row and column of a crop of each image's features -> (n, 3, side, side) uint8."""
        times = [m.shape[2] // halfway.maps[0].shape[2] for m in halfway.maps]
        maps = zip(halfway.maps, times, strict=True)
        return to_pixels(halfway.render([cropped(m, at * k, crop * k) for m, k in maps]))

    @torch.inference_mode()
    def mosaic(self, z: Tensor, side: int) -> Tensor:
        """(n, size) -> (n, 3, H, W) uint8: images of parts of `side` pixels, each rendered alone, a white line about
        them."""
        halfway = self.halfway(z.to(next(self.network.parameters()).device))
        pixels = halfway.render(halfway.maps).shape[2]
        crop, count = self.cells(halfway, side, pixels), pixels // side
        steps = range(0, count * crop, crop)
        rows = []
        for row in steps:
            parts = [self.alone(halfway, torch.tensor([[row, x]] * len(z)), crop) for x in steps]
            rows.append(torch.cat([pad(part, (0, 1, 0, 1), value=255) for part in parts], 3))
        return torch.cat(rows, 2)


def _halfway(network: StyleGAN2, layer: str, z: Tensor) -> Halfway:
    """The image so far at the size that the next layer's part of it has, and the layers up to that part without it."""
    number = int(layer.removeprefix("layer"))
    level, before = (number + 1) // 2, network.run(network.start(z), until=layer)
    after, joins = layer, f"rgb{level}"
    if number % 2 == 0:  # its own part, which crops no longer need
        before = network.run(before, after=layer, until=f"rgb{level}")
        after, joins = f"rgb{level}", f"rgb{level + 1}"
    if joins not in dict(network.named_children()):
        raise DissectionError(f"layer {layer!r}: the last; nothing is left to render its features")
    maps = [before.features] if before.rgb is None else [before.features, doubled(before.rgb)]

    def render(maps: list[Tensor]) -> Tensor:
        state: State = before._replace(features=maps[0], rgb=None)
        state = network.run(state, after=after, until=joins)
        assert state.rgb is not None
        if len(maps) > 1:
            state = state._replace(rgb=state.rgb + maps[1])
        rgb = network.run(state, after=joins).rgb
        assert rgb is not None
        return rgb

    return Halfway(maps, render)


def places(count: int, choices: int, seed: int, first: int = 0) -> Tensor:
    """(count, 2) int64 from 0 to choices - 1, row i from (seed, first + i) alone."""
    rows = [np.random.default_rng((seed, first + i)).integers(0, choices, 2) for i in range(count)]
    return torch.from_numpy(np.stack(rows))


def cropped(maps: Tensor, at: Tensor, side: int) -> Tensor:
    """(n, c, h, w) -> (n, c, side, side), each at its own row and column."""
    rows, columns = at.to(maps.device).T[..., None] + torch.arange(side, device=maps.device)
    image = torch.arange(len(maps), device=maps.device)[:, None, None]
    return maps[image, :, rows[:, :, None], columns[:, None]].permute(0, 3, 1, 2)


def patch_gaussians(
    network: nn.Module, layers: Sequence[str], extractor: Extractor, z: Tensor, others: Tensor, sides: Sequence[int],
    seed: int,
) -> dict[tuple[int, str], Gaussian]:  # fmt: skip
    """
    By side and layer the features of patches of z, rendered alone from that layer, if they are whole cells of it; of
    layer `image`, of crops of whole images of z; of layer `others`, anywhere in images of `others`; (n, size) both.
    """
    device = next(network.parameters()).device
    found: dict[tuple[int, str], Gaussian] = {}

    def add(side: int, name: str, patches: Tensor) -> None:
        key = (side, name)
        if key not in found:
            found[key] = Gaussian(extractor.units, extractor.device)
        found[key].add(extractor(patches))

    cuts = {layer: Cut(network, layer) for layer in layers if layer not in (WHOLE, OTHERS)}
    with torch.inference_mode():
        pixels = network(z[:1].to(device)).shape[2]
    batches = [(name, first, part) for name, every in ((WHOLE, z), (OTHERS, others))
               if name in layers or (name == WHOLE and cuts)
               for first, part in zip(range(0, len(every), BATCH), every.split(BATCH), strict=True)]  # fmt: skip
    for name, first, part in tqdm(batches, "patches", unit="batch", mininterval=1):
        if name in layers:
            with torch.inference_mode():
                whole = to_pixels(network(part.to(device)))
            number = first + (len(z) if name == OTHERS else 0)
            for side in sides:
                at = places(len(part), pixels - side + 1, seed, number)
                add(side, name, cropped(whole, at, side))
        for layer, cut in cuts.items() if name == WHOLE else ():
            with torch.inference_mode():
                halfway = cut.halfway(part.to(device))
            cells = halfway.maps[0].shape[2]
            for side in sides:
                if side % (pixels // cells) == 0:
                    crop = cut.cells(halfway, side, pixels)
                    at = places(len(part), cells - crop + 1, seed, first)
                    add(side, layer, cut.alone(halfway, at, crop))
    return found


def patch_distances(found: Mapping[tuple[int, str], Gaussian]) -> pd.DataFrame:
    """Columns side, layer, distance: the Fréchet distance of a layer's patches from those of `others`."""
    lines = [
        {"side": side, "layer": layer, "distance": frechet_distance(found[side, OTHERS], g).total}
        for (side, layer), g in found.items()
        if layer != OTHERS
    ]
    return pd.DataFrame(lines).sort_values("side", kind="stable", ignore_index=True)


def isolated(config: Config, row: str, part: Part, device: torch.device) -> dict[str, Tensor]:
    """
    A part of the patches of a row, <network> <layer> <side>: count, mean and scatter, as `Gaussian` has them. It is of
    some layers, and of all images: moments of a few images take as much room as those of all.
    """
    spec: Isolated = getattr(config.rows, row)
    extractor = load_extractor(config, device)
    networks = {name: module_of(config, of, device) for name, of in spec.networks.items()}
    every = [(n, x) for n, of in networks.items() for x in _layers(config, spec.networks[n], of)]
    some, found = every[part.run(len(every))], {}
    for name in dict.fromkeys(name for name, _ in some):
        network, layers = networks[name], [layer for of, layer in some if of == name]
        z = latents(spec.seed, 0, 2 * spec.images, latent_of(network))
        gaussians = patch_gaussians(
            network, layers, extractor, z[: spec.images], z[spec.images :], spec.sides, spec.seed
        )
        for (side, layer), gaussian in gaussians.items():
            for key, tensor in gaussian.state().items():
                found[f"{name} {layer} {side} {key}"] = tensor.cpu()
    return found


def isolate(
    config: Config, row: str, out: Path, device: torch.device, parts: Sequence[Path] = ()
) -> None:
    """
    Write distances.csv and, of each network, pictures of some images whole and from patches alone, by layer, if the
    patches are whole cells of it. parts: files of what `isolated` finds, all of it in order; without them it is found
    here.
    """
    spec: Isolated = getattr(config.rows, row)
    found = gathered(parts) if parts else isolated(config, row, Part(), device)
    tables = []
    with replacing(out) as folder:
        folder.mkdir()
        for name, generator in spec.networks.items():
            network = module_of(config, generator, device)
            layers, gaussians = _layers(config, generator, network), {}
            for layer, side in product(layers, spec.sides):
                prefix = f"{name} {layer} {side} "
                of = [key for key in found if key.startswith(prefix)]
                state = {key.removeprefix(prefix): found[key] for key in of}
                if state:
                    gaussians[side, layer] = Gaussian.of(state, device)
            assert config.features is not None  # else there would be none
            table = patch_distances(gaussians)
            tables.append(table.assign(scene=name, features=config.features.name))
            shown = latents(spec.seed, 0, spec.shown, latent_of(network))
            with torch.inference_mode():
                strips = {"image": pad(to_pixels(network(shown.to(device))), (0, 1), value=255)}
            for path in layers[1:-1]:
                cut = Cut(network, path)
                if spec.side % cut.cell(shown) == 0:
                    strips[path] = cut.mosaic(shown, spec.side)
            for layer, strip in strips.items():
                write_png(folder / f"{name} {layer}.png", strip)
        write_csv(pd.concat(tables), folder / "distances.csv")


def _layers(config: Config, generator: str, network: nn.Module) -> list[str]:
    """Paths of the layers that patches are rendered from, between what is no layer."""
    paths = [path.partition(".")[0] for path in config.networks[generator].layers.values()]
    if isinstance(network, StyleGAN2):
        paths = paths[:-1]  # nothing is left to render the last one's features
    return [WHOLE, *paths, OTHERS]
