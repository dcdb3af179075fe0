"""One image of the synthetic world from its key: domain, seed, index."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from dissection.data.scenes import close as near
from dissection.data.scenes import indoors, outdoors, portraits, world
from dissection.data.scenes.canvas import Canvas, Dice
from dissection.data.scenes.world import NUMBER, OUTDOORS
from dissection.errors import DissectionError

PAINTERS = outdoors.PAINTERS | indoors.PAINTERS | portraits.PAINTERS
WORDS = ("STOCK", "SAMPLE", "PHOTO", "PREVIEW", "IMAGES")


@dataclass(frozen=True)
class Scene:
    """
    rgb: (size, size, 3) uint8.
    labels: category -> (maps, size, size) int32 concept numbers, 0 for none: object (the thing, then the
        building it belongs to), part (the finest, then the one it belongs to), material, texture, color.
    scene: number of the scene label, 0 for faces and swatches.
    sound: what would be heard there.
    attributes: what the painter knows of the image beyond its pixels.
    """

    domain: str
    rgb: np.ndarray
    labels: dict[str, np.ndarray]
    scene: int
    sound: str
    attributes: dict[str, object]


def draw(
    domain: str,
    seed: int,
    index: int,
    size: int = 64,
    camera: tuple[float, float, float] = (0, 0, 1),
    close: bool = False,
) -> Scene:
    """Image `index` of a domain; camera: where it looks (x, y, in units of the image) and its zoom.

    close: from nearer, with fewer and larger things; see `close`, which has some of the domains.
    Raises DissectionError for an unknown domain.
    """
    painters = near.PAINTERS if close else PAINTERS
    if domain not in painters:
        known = [name for name in world.KEYS if name in painters]
        raise DissectionError(
            f"unknown domain of scenes {domain!r}{' seen close' * close}; choose from: {', '.join(known)}"
        )
    canvas = Canvas(size, Dice(seed, world.KEYS.index(domain), index), camera)
    painters[domain](canvas)
    if domain in OUTDOORS:
        roll = canvas.dice()
        canvas.attributes["watermark"] = "middle" if roll < 0.08 else "bar" if roll < 0.14 else ""
    rgb, labels = canvas.finish()
    if canvas.attributes.get("watermark"):
        rgb = _text(canvas, rgb, labels, band=domain in world.CLOSE)
    labels["color"] = world.colour_names(rgb)[None]
    present = frozenset(
        world.NAMES[number] for number in np.flatnonzero(np.bincount(labels["object"].ravel()))
    )
    scene = NUMBER.get(f"{world.CLOSE.get(domain, domain)}-s", 0)
    return Scene(domain, rgb, labels, scene, world.sound(present), canvas.attributes)


def draw_frames(
    domain: str, seed: int, index: int, size: int, cameras: Sequence[tuple[float, float, float]]
) -> list[Scene]:
    """The same scene from several camera positions; things near the camera move more than those far away."""
    return [draw(domain, seed, index, size, camera) for camera in cameras]


def _text(canvas: Canvas, rgb: np.ndarray, labels: dict[str, np.ndarray], band: bool) -> np.ndarray:
    """Write faint words across the middle, or a bar of text at the bottom; text becomes the first object.

    band: the words across the middle are strong, on a dark translucent band that counts as text, at one height.
    """
    d, size = canvas.dice, canvas.size
    words, mask = d.pick(WORDS), np.zeros((size, size), np.uint8)
    scale = size / 64 * 0.42
    (width, _), _ = cv2.getTextSize(words, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    scale *= 0.86 * size / width
    middle = canvas.attributes["watermark"] == "middle"
    y = size * ((0.56 if band else d(0.5, 0.62)) if middle else 0.97)
    scale = scale if middle else scale * 0.72
    thickness = max(1, round(size / 50))
    cv2.putText(
        mask,
        words,
        (round(0.07 * size), round(y)),
        cv2.FONT_HERSHEY_SIMPLEX,
        scale,
        255,
        thickness,
        cv2.LINE_AA,
    )
    share = mask[..., None] / np.float32(255)
    inside = mask > 127
    picture = rgb.astype(np.float32)
    if middle:
        if band:
            rows = slice(round(y - 0.22 * size), round(y + 0.06 * size))
            picture[rows] *= 0.5
            inside[rows] = True
        picture += (0.9 if band else 0.55) * share * (255 - picture)
    else:
        bar = np.arange(size) >= round(0.85 * size)
        picture[bar] = 16
        picture += share * (235 - picture)
        inside = np.broadcast_to(bar[:, None], (size, size))
        for maps in labels.values():
            maps[:, inside] = 0
    objects = labels["object"]
    objects[1][inside] = objects[0][inside]
    objects[0][inside] = NUMBER["text"]
    return picture.astype(np.uint8)
