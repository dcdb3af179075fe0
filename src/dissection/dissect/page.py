"""Pages to browse a dissection offline: every unit of a layer with the images that excite it most.

    write_pages(config, entry, dataset, folder, folder / "pages", threads=4)

An index, a page a layer, and a strip of images a unit and protocol, the region above the unit's
threshold bright with a yellow outline, the rest dim.
"""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from safetensors import safe_open
from tqdm import tqdm

from dissection import style
from dissection.config import Config, Dissection
from dissection.data import Dataset
from dissection.dissect.count import best_labels, count_detectors
from dissection.dissect.protocols import PROTOCOLS, Protocol
from dissection.errors import DissectionError
from dissection.networks import Preprocess
from dissection.paths import replacing

SIDE, GAP = 112, 3  # pixels of an image in a strip, and between two
OUTLINE = np.array([255, 214, 64], np.float32)[:, None, None]
DIM = 0.4  # brightness outside
SHOWN, FAINT = 4, 0.005  # concepts named for a unit, and the IoU from which on
CHUNK = 16  # units a task


def write_pages(
    config: Config, entry: Dissection, dataset: Dataset, folder: Path, out: Path, threads: int
) -> None:
    """
    folder: files of the dissection `entry`; out: folder of the pages, replaced as a whole.
    Raises DissectionError if a file is missing.
    """
    for name in ("units.csv", "concepts.csv", "iou.safetensors", "top.safetensors"):
        if not (folder / name).exists():
            raise DissectionError(f"{folder / name} is missing: dissect {entry.network} first")
    units = pd.read_csv(folder / "units.csv", keep_default_na=False)
    own = units[units["layer"].isin(list(config.networks[entry.network].layers))]  # no random bases
    layers = {str(layer): of_layer for layer, of_layer in own.groupby("layer", sort=False)}
    with replacing(out) as beside:
        tasks = []
        for layer, of_layer in layers.items():
            for protocol, chosen in _by_protocol(of_layer):
                (beside / layer / protocol.name).mkdir(parents=True)
                threshold = chosen["threshold"].to_numpy(np.float32)
                for first in range(0, len(chosen), CHUNK):
                    tasks.append((layer, protocol.name, first, threshold[first : first + CHUNK]))
        strips = Strips(config, entry, dataset, folder, beside)
        with ThreadPoolExecutor(threads) as pool:  # decoding, resizing and encoding run in parallel
            drawn = pool.map(lambda task: strips.draw(*task), tasks)
            for _ in tqdm(drawn, "strips", len(tasks), unit="task"):
                pass
        _write_html(entry, layers, folder, beside)


# Strips


class Strips:
    """Draws the strips of one dissection, into `out`/<layer>/<protocol>/<unit>.jpg."""

    def __init__(
        self, config: Config, entry: Dissection, dataset: Dataset, folder: Path, out: Path
    ):
        spec, self.dataset, self.preprocess = config.networks[entry.network], dataset, None
        if spec.input:  # else a generator draws what there is to see
            plain = spec.input.model_copy(update={"mean_image": None, "order": "RGB"})
            self.preprocess = Preprocess(plain)
        self.size = spec.input.size if spec.input else len(dataset.image(0))
        self.file, self.out = folder / "top.safetensors", out
        self.picture = lru_cache(4096)(self._picture)

    def _picture(self, index: int) -> np.ndarray:
        """(3, SIDE, SIDE) float32, 0 to 255: the part of the image that the network sees or draws."""
        seen = self.dataset.image(index)
        if self.preprocess:
            seen = self.preprocess.crop(seen).numpy().transpose(1, 2, 0)
        resized = Image.fromarray(seen).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
        return np.asarray(resized, np.float32).transpose(2, 0, 1).copy()

    def draw(self, layer: str, protocol: str, first: int, threshold: np.ndarray) -> None:
        """Strips of the units from `first` on, one for each threshold."""
        chosen = slice(first, first + len(threshold))
        with safe_open(self.file, framework="numpy") as file:
            images = file.get_slice(f"{layer}.images")[chosen]
            maps = file.get_slice(f"{layer}.maps")[chosen].astype(np.float32)
            centres = json.loads(file.metadata()["centres"])[layer]
        rows, columns = interpolation(PROTOCOLS[protocol], maps.shape[2:], centres, self.size, SIDE)
        dense = rows @ maps @ columns.T  # (units, k, SIDE, SIDE)
        for unit in range(len(threshold)):
            strip = np.full((3, SIDE, len(images[unit]) * (SIDE + GAP) - GAP), 255, np.uint8)
            for k, index in enumerate(images[unit].tolist()):
                picture = highlight(self.picture(index), dense[unit, k], threshold[unit])
                strip[:, :, k * (SIDE + GAP) : k * (SIDE + GAP) + SIDE] = picture
            path = self.out / layer / protocol / f"{first + unit}.jpg"
            Image.fromarray(strip.transpose(1, 2, 0).copy()).save(path, quality=80)


def interpolation(
    protocol: Protocol, shape: tuple[int, int], centres: dict[str, Any], size: int, side: int
) -> tuple[np.ndarray, np.ndarray]:
    """
    Bilinear upsampling from (h, w) activations to side x side pixels as two matrices, (side, h) and
    (side, w). centres: offset and stride, each [y, x], of the receptive fields in pixels of the
    network's size x size input; not used where the protocol takes cells of equal size.
    """
    pixels = (np.arange(side) + 0.5) * size / side - 0.5
    matrices = []
    for axis, cells in enumerate(shape):
        stride = centres["stride"][axis] if protocol.anchored else size / cells
        offset = centres["offset"][axis] if protocol.anchored else stride / 2 - 0.5
        position = (pixels - offset) / stride
        if protocol.padding == "edge":
            position = np.clip(position, 0, cells - 1)
        matrices.append(np.maximum(0, 1 - np.abs(position[:, None] - np.arange(cells))))
    return matrices[0].astype(np.float32), matrices[1].astype(np.float32)


def highlight(picture: np.ndarray, activation: np.ndarray, threshold: float) -> np.ndarray:
    """
    picture: (3, h, w) float32, 0 to 255; activation: (h, w). Returns uint8: as it is where the
    activation exceeds the threshold, dim elsewhere, a smooth outline in between.
    """
    above = activation - threshold
    slope = np.hypot(*np.gradient(activation))
    distance = above / np.maximum(slope, 1e-6 + 1e-4 * np.abs(activation).max())  # in pixels
    inside = np.clip(distance + 0.5, 0, 1)
    line = np.clip(1.2 - np.abs(distance), 0, 1)
    drawn = picture * (DIM + (1 - DIM) * inside)
    return np.rint(drawn + line * (OUTLINE - drawn)).astype(np.uint8)


# Pages


def _write_html(
    entry: Dissection, layers: dict[str, pd.DataFrame], folder: Path, out: Path
) -> None:
    environment = style.templates(Path(__file__).parent)
    environment.globals.update(
        network=entry.network,
        dataset=entry.dataset,
        layers=list(layers),
        colour=style.colour,
    )
    concepts = pd.read_csv(folder / "concepts.csv", keep_default_na=False)
    summaries: dict[str, list[dict[str, Any]]] = {}
    with safe_open(folder / "iou.safetensors", framework="numpy") as iou:
        for layer, of_layer in layers.items():
            summaries[layer] = []
            views = {}
            for protocol, chosen in _by_protocol(of_layer):
                scores = iou.get_tensor(f"{layer}.{protocol.name}")
                views[protocol.name] = list(_units(chosen, scores, concepts, protocol))
                summaries[layer].append(_summary(chosen, protocol))
            page = environment.get_template("layer.html").render(
                layer=layer, views=views, summaries=summaries[layer], side=SIDE, gap=GAP,
                strip=entry.top_images * (SIDE + GAP) - GAP,
            )  # fmt: skip
            (out / f"{layer}.html").write_text(page, encoding="utf-8")
    index = environment.get_template("index.html").render(summaries=summaries)
    (out / "index.html").write_text(index, encoding="utf-8")


def _by_protocol(of_layer: pd.DataFrame) -> Iterator[tuple[Protocol, pd.DataFrame]]:
    for name, chosen in of_layer.groupby("protocol", sort=False):
        yield PROTOCOLS[str(name)], chosen.sort_values("unit", ignore_index=True)


def _units(
    chosen: pd.DataFrame, iou: np.ndarray, concepts: pd.DataFrame, protocol: Protocol
) -> Iterator[dict[str, Any]]:
    """The units of a layer under a protocol, the best first, each with its best concepts."""
    names = concepts["name"].tolist()
    order = np.argsort(-iou, axis=1, kind="stable")[:, :SHOWN]
    records = chosen.sort_values("iou", ascending=False, kind="stable").to_dict("records")
    for row in records:
        unit = row["unit"]
        also = [
            {"name": names[c], "iou": float(iou[unit, c])}
            for c in order[unit].tolist()
            if names[c] != row["label"] and iou[unit, c] >= FAINT
        ]
        detected = {c["name"] for c in also if c["iou"] > protocol.iou} | {row["label"]}
        yield {"unit": unit, "iou": row["iou"], "label": row["label"], "category": row["category"],
               "detector": row["iou"] > protocol.iou, "also": also,
               "words": "|".join(sorted(detected)).lower()}  # fmt: skip


def _summary(chosen: pd.DataFrame, protocol: Protocol) -> dict[str, Any]:
    """What the index says of a layer under a protocol."""
    counts = count_detectors(best_labels(chosen), protocol.iou)
    best = counts[counts["counting"] == "best_label"].set_index("category")
    detecting = chosen[chosen["iou"] > protocol.iou]
    common = detecting.groupby(["label", "category"], sort=False).size().reset_index(name="units")
    common = common.sort_values(["units", "label"], ascending=[False, True])
    return {
        "protocol": protocol.name,
        "limit": protocol.iou,
        "units": len(chosen),
        "detectors": len(detecting),
        "unique": {c: int(best["unique_detectors"][c]) for c in style.ordered(best.index)},
        "common": common.head(8).to_dict("records"),
    }
