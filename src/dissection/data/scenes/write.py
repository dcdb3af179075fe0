"""Scenes on disk, in the formats of Broden, Places and LSUN.

Every file depends on the settings and the seed alone, not on the number of workers. A data set is written beside
its place and renamed at the end; `scenes.json` in it says what it was drawn from.
"""

import hashlib
import json
import multiprocessing
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import cv2
import lmdb
import numpy as np
import pandas as pd
from tqdm import tqdm

from dissection import config
from dissection.data.scenes import close, world
from dissection.data.scenes.painter import Scene, draw
from dissection.errors import DissectionError

T = TypeVar("T")

MIN_FREQUENCY = 10  # images a label needs to be kept, as in Broden
JPEG = [
    cv2.IMWRITE_JPEG_QUALITY,
    95,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
]

# As in Broden, several collections are joined, each annotated for some of the categories.
COLUMNS = ("object", "color", "material", "scene", "texture", "part")
SOURCES = {
    "scenes": ("object", "color", "scene", "part"),
    "faces": ("object", "color", "part"),
    "surfaces": ("color", "material"),
    "textures": ("color", "texture"),
}


class Item(NamedTuple):
    """One image of a data set: the collection it belongs to, and what to draw."""

    source: str
    domain: str
    number: int

    @property
    def name(self) -> str:
        return f"{self.domain}_{self.number:08d}"


def write_scenes(spec: config.Scenes, seed: int, out: Path, workers: int = 1) -> None:
    """Draw the images `first` ... `first + images - 1` and write them to the folder `out`.

    Raises DissectionError for an unknown domain, or if `out` holds anything but an earlier data set of scenes.
    """
    domains = _domains(spec)
    if out.exists() and any(out.iterdir()) and not (out / "scenes.json").is_file():
        raise DissectionError(
            f"{out} holds files that are no data set of scenes: choose another folder or empty it"
        )
    beside = out.with_name(f".{out.name}.partial")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    {"broden": _broden, "places": _places, "lsun": _lsun}[spec.format](
        spec, domains, seed, beside, workers
    )
    # the option is younger than others: what was drawn without it stays the same to the byte
    without = set() if spec.close else {"close"}
    settings = {"seed": seed, **spec.model_dump(mode="json", exclude=without)}
    (beside / "scenes.json").write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
    if out.exists():
        shutil.rmtree(out)
    beside.rename(out)


def _domains(spec: config.Scenes) -> tuple[str, ...]:
    known = tuple(close.PAINTERS) if spec.close else world.DOMAINS
    if spec.domains == ["all"]:
        everything = spec.format == "broden" and not spec.close
        return known if everything else tuple(n for n in known if n in world.SCENES)
    for name in spec.domains:
        if name not in known:
            choices = ", ".join(known)
            raise DissectionError(
                f"scenes.domains: unknown domain {name!r}; choose from: all, {choices}"
            )
    return tuple(dict.fromkeys(spec.domains))


def _each(task: Callable[[Item], T], items: list[Item], workers: int, what: str) -> Iterator[T]:
    """Results of a task in the order of the items, whatever the number of processes."""
    bar = partial(tqdm, total=len(items), desc=what, unit="image")
    if workers <= 1:
        yield from bar(map(task, items))
    else:
        with multiprocessing.get_context("spawn").Pool(workers) as pool:
            yield from bar(pool.imap(task, items, chunksize=32))


def _draw(seed: int, spec: config.Scenes, item: Item) -> Scene:
    return draw(item.domain, seed, item.number, spec.size, close=spec.close)


def _jpeg(scene: Scene) -> bytes:
    return cv2.imencode(".jpg", scene.rgb[..., ::-1], JPEG)[1].tobytes()


# ------------------------------------------------------------------------------------------------ Places, LSUN


def _evenly(spec: config.Scenes, domains: tuple[str, ...]) -> list[Item]:
    """Image i of a data set is of domain i modulo their number."""
    indices = range(spec.first, spec.first + spec.images)
    return [Item(domains[i % len(domains)], domains[i % len(domains)], i) for i in indices]


def _places(
    spec: config.Scenes, domains: tuple[str, ...], seed: int, out: Path, workers: int
) -> None:
    task = partial(_place, seed, spec, out / spec.split)
    names = list(_each(task, _evenly(spec, domains), workers, "drawing"))
    lines = "".join(f"{spec.split}/{name}\n" for name in sorted(names))
    (out / f"{spec.split}.txt").write_text(lines, encoding="utf-8")


def _true_of(scene: Scene, attribute: str) -> bool:
    """Whether the painter says so, or, of an object, whether it fills at least 0.3 % of the image."""
    if attribute in scene.attributes:
        return bool(scene.attributes[attribute])
    if attribute not in world.CATEGORY["object"]:
        known = ", ".join([*scene.attributes, "or an object"])
        raise DissectionError(
            f"scenes.attributes: {scene.domain} has no {attribute!r}; choose from: {known}"
        )
    return bool((scene.labels["object"] == world.NUMBER[attribute]).any(0).mean() >= 0.003)


def _place(seed: int, spec: config.Scenes, folder: Path, item: Item) -> str:
    """The class of an image is its scene, or what is true of it among `attributes`."""
    scene = _draw(seed, spec, item)
    true = "+".join(a for a in spec.attributes if _true_of(scene, a))
    name = f"{(true or 'none') if spec.attributes else item.domain}/{item.name}.jpg"
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(_jpeg(scene))
    return name


def _lsun(
    spec: config.Scenes, domains: tuple[str, ...], seed: int, out: Path, workers: int
) -> None:
    """One database a domain; keys are 40 hexadecimal digits, as published, here the SHA-1 of what was drawn.

    All records go in by one transaction in the order of their keys, so that the file is the same every time.
    """
    items = sorted(_evenly(spec, domains), key=lambda item: (item.domain, _key(seed, item)))
    images = _each(partial(_encoded, seed, spec), items, workers, "drawing")
    pairs = zip(items, images, strict=True)
    for domain in sorted(set(domains)):
        records = [
            (_key(seed, item), image)
            for item, image in _take(pairs, sum(i.domain == domain for i in items))
        ]
        path = out / f"{domain.replace('-', '_')}_{spec.split}_lmdb"
        room = sum(len(image) + 8192 for _, image in records) + (1 << 20)
        with lmdb.open(
            str(path), map_size=-(-room // 4096) * 4096, lock=False, sync=False
        ) as database:
            with database.begin(write=True) as transaction:
                for key, image in records:
                    transaction.put(key, image, append=True)
            database.sync(True)


def _take(items: Iterator[T], count: int) -> Iterable[T]:
    return (next(items) for _ in range(count))


def _key(seed: int, item: Item) -> bytes:
    return hashlib.sha1(f"{seed} {item.domain} {item.number}".encode()).hexdigest().encode()


def _encoded(seed: int, spec: config.Scenes, item: Item) -> bytes:
    return _jpeg(_draw(seed, spec, item))


# ------------------------------------------------------------------------------------------------ Broden


def _mixed(spec: config.Scenes, domains: tuple[str, ...]) -> list[Item]:
    """Of six images four are scenes or faces, one shows surfaces, one a texture."""
    views = [domain for domain in domains if domain != "swatch"]
    views += ["face"] * ("face" in domains)  # twice as often, for the small things they wear
    items = []
    for i in range(spec.first, spec.first + spec.images):
        turn, slot = divmod(i, 6)
        if not views or (slot == 5 and "swatch" in domains):
            items.append(Item("textures", "swatch", i))
        elif slot == 4:
            items.append(Item("surfaces", views[turn % len(views)], i))
        else:
            domain = views[(4 * turn + min(slot, 4)) % len(views)]
            items.append(Item("faces" if domain == "face" else "scenes", domain, i))
    return items


def _annotations(scene: Scene, source: str) -> dict[str, np.ndarray]:
    """Category -> (maps, h, w) or (labels, 1, 1) int32 numbers of `world`: what the collection is annotated for."""
    size = len(scene.rgb)
    rows = ((np.arange(size // 2) + 0.5) * size / (size // 2)).astype(int)
    result = {}
    for category in SOURCES[source]:
        if category == "scene":
            maps = np.array([[[scene.scene]]], np.int32)
        else:
            maps = scene.labels[category][:, rows[:, None], rows]
            if category == "texture":  # a label of the whole image
                maps = np.unique(maps[maps > 0])[:, None, None]
        maps = maps[maps.any(axis=(1, 2))]
        if len(maps):
            result[category] = maps
    return result


def _count(seed: int, spec: config.Scenes, item: Item) -> list[tuple[str, int, float]]:
    """(category, number, share of the pixels) of every label of an image."""
    found = []
    for category, maps in _annotations(_draw(seed, spec, item), item.source).items():
        for number in np.unique(maps[maps > 0]).tolist():
            found.append((category, number, float((maps == number).any(axis=0).mean())))
    return found


def _broden(
    spec: config.Scenes, domains: tuple[str, ...], seed: int, out: Path, workers: int
) -> None:
    """Two passes: which labels are frequent enough, then the images with the labels that are."""
    items = _mixed(spec, domains)
    images: Counter[tuple[str, int]] = Counter()
    coverage: Counter[tuple[str, int]] = Counter()
    for found in _each(partial(_count, seed, spec), items, workers, "counting labels"):
        for category, number, share in found:
            images[category, number] += 1
            coverage[category, number] += share  # type: ignore[assignment]
    kept = {pair for pair, count in images.items() if count >= MIN_FREQUENCY}
    numbers = {old: new for new, old in enumerate(sorted({number for _, number in kept}), start=1)}
    tables = {}
    for category in COLUMNS:
        table = np.zeros(len(world.NAMES), np.int32)
        for name, old in kept:
            if name == category:
                table[old] = numbers[old]
        tables[category] = table
    for source in dict.fromkeys(item.source for item in items):
        (out / "images" / source).mkdir(parents=True)
    task = partial(_annotate, seed, spec, out / "images", tables)
    index = pd.DataFrame(_each(task, items, workers, "drawing"))
    order = index["image"].map(lambda path: hashlib.md5(path.encode()).hexdigest())
    index.insert(
        1, "split", np.where(order.str[:8].map(lambda x: int(x, 16)) < 0.7 * 2**32, "train", "val")
    )
    index.iloc[order.argsort()].to_csv(out / "index.csv", index=False)
    _statistics(out, kept, numbers, images, coverage)


def _annotate(
    seed: int, spec: config.Scenes, folder: Path, tables: dict[str, np.ndarray], item: Item
) -> dict[str, object]:
    """Write an image and its label maps; returns its row of index.csv."""
    scene, size = _draw(seed, spec, item), spec.size
    path = f"{item.source}/{item.name}"
    (folder / f"{path}.jpg").write_bytes(_jpeg(scene))
    row: dict[str, object] = {
        "image": f"{path}.jpg",
        "ih": size,
        "iw": size,
        "sh": size // 2,
        "sw": size // 2,
    }
    row |= dict.fromkeys(COLUMNS, "")
    for category, maps in _annotations(scene, item.source).items():
        maps = tables[category][maps]
        maps = maps[maps.any(axis=(1, 2))]
        if maps.shape[1:] == (1, 1):
            row[category] = ";".join(str(number) for number in maps.ravel().tolist())
            continue
        files = [f"{path}_{category}{f'_{k}' if k else ''}.png" for k in range(len(maps))]
        for file, numbers in zip(files, maps, strict=True):
            blue_green_red = np.stack(
                [np.zeros_like(numbers), numbers // 256, numbers % 256], 2
            ).astype(np.uint8)
            cv2.imwrite(str(folder / file), blue_green_red)
        row[category] = ";".join(files)
    return row


def _statistics(
    out: Path, kept: set, numbers: dict[int, int], images: Counter, coverage: Counter
) -> None:
    """category.csv, label.csv and a c_<category>.csv each: frequency in images, coverage in whole images."""
    categories = []
    for category in COLUMNS:
        rows = [
            (numbers[old], world.NAMES[old], images[category, old], round(coverage[category, old], 6))
            for name, old in kept if name == category
        ]  # fmt: skip
        table = pd.DataFrame(rows, columns=["number", "name", "frequency", "coverage"])
        table = table.sort_values(
            ["frequency", "coverage", "number"], ascending=[False, False, True]
        )
        table.insert(0, "code", range(1, len(table) + 1))
        table.to_csv(out / f"c_{category}.csv", index=False)
        if len(table):
            first, last = table["number"].min(), table["number"].max()
            categories.append((category, first, last, len(table), table["frequency"].sum()))
    categories.sort(key=lambda row: row[1])
    columns = ["name", "first", "last", "count", "frequency"]
    pd.DataFrame(categories, columns=columns).to_csv(out / "category.csv", index=False)
    labels = []
    for old, new in numbers.items():
        uses = sorted(((images[c, old], c) for c in COLUMNS if (c, old) in kept), reverse=True)
        labels.append((new, world.NAMES[old], ";".join(f"{c}({n})" for n, c in uses), sum(n for n, _ in uses),
                       round(sum(coverage[c, old] for _, c in uses), 6), world.NAMES[old]))  # fmt: skip
    columns = ["number", "name", "category", "frequency", "coverage", "syns"]
    pd.DataFrame(labels, columns=columns).to_csv(out / "label.csv", index=False)
