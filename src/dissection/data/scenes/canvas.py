"""A canvas that paints colour and meaning in one stroke, so that labels agree with occlusion.

    canvas = Canvas(64, Dice(seed, domain, index))
    canvas.rect(0.1, 0.2, 0.5, 0.9, (180, 60, 50), "wall", "brick", canvas.texture("bricklike", ...))
    rgb, labels = canvas.finish()

Coordinates are in units of the image, x to the right, y down. Every stroke draws its shape twice: smoothly
in RGB and, without smoothing, as its own number in `ids`; tables by that number then give the labels, the
shading and the grain of every pixel in a few whole-image operations at the end.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np

from dissection.data.scenes import world

cv2.setNumThreads(1)  # parallelism is over images

Colour = tuple[float, float, float]
Points = Sequence[Any] | np.ndarray  # (n, 2)

_ANGLES = np.linspace(0, 2 * np.pi, 20, endpoint=False)
CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], 1)
_ARCH = np.linspace(np.pi, 2 * np.pi, 9)
ARCH = np.stack([np.cos(_ARCH), np.sin(_ARCH)], 1)  # upper half of the circle, left to right


def place(shape: np.ndarray, x: float, y: float, rx: float, ry: float | None = None) -> np.ndarray:
    """A shape of unit size, scaled and moved to (x, y)."""
    return shape * np.array((rx, rx if ry is None else ry)) + np.array((x, y))


class Dice:
    """Random numbers of one image: they depend on the key alone."""

    def __init__(self, *key: int) -> None:
        self._generator = np.random.Generator(np.random.Philox(np.random.SeedSequence(key)))
        self._values: list[float] = []

    def __call__(self, low: float = 0.0, high: float = 1.0) -> float:
        if not self._values:
            self._values = self._generator.random(512).tolist()
        return low + (high - low) * self._values.pop()

    def whole(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return low + int(self() * (high - low + 1))

    def chance(self, probability: float) -> bool:
        return self() < probability

    def pick(self, choices: Sequence):
        return choices[int(self() * len(choices))]

    def near(self, colour: Colour, spread: float = 18) -> Colour:
        """A colour like this one."""
        shift = self(-spread, spread)
        return tuple(  # type: ignore[return-value]
            min(255.0, max(0.0, part + shift + self(-spread, spread) / 2)) for part in colour
        )


def mix(a: Colour, b: Colour, share: float) -> Colour:
    return tuple(x + (y - x) * share for x, y in zip(a, b, strict=True))  # type: ignore[return-value]


def dim(colour: Colour, gain: float) -> Colour:
    return tuple(min(255.0, x * gain) for x in colour)  # type: ignore[return-value]


class Texture(NamedTuple):
    """A pattern of `colour` on the shape's own colour, with so many periods across and down."""

    name: str
    colour: Colour
    across: float
    down: float


def pattern(name: str, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Share (0 to 1) of the pattern's colour at (u, v), measured in periods."""
    turn = np.float32(2 * np.pi)
    if name == "striped":
        value = 0.5 + 1.6 * np.sin(turn * u)
    elif name == "chequered":
        value = 0.5 + 2.5 * np.sin(turn * u / 2) * np.sin(turn * v / 2)
    elif name == "grid":
        value = 4 * np.maximum(np.cos(turn * u), np.cos(turn * v)) - 2.6
    elif name == "dotted":
        value = 2.3 - 6.5 * np.hypot(u % 1 - 0.5, v % 1 - 0.5)
    elif name == "zigzag":
        value = 0.5 + 1.6 * np.sin(turn * (v + np.abs(2 * (u % 1) - 1) * 0.9))
    elif name == "bricklike":
        shifted = u / 2 + 0.5 * (np.floor(v) % 2)
        value = np.maximum(4 * np.cos(turn * v) - 2.4, 7 * np.cos(turn * shifted) - 5.9)
    elif name == "woven":
        over = (np.floor(u) + np.floor(v)) % 2 > 0
        value = 0.25 + 1.2 * np.abs(np.where(over, np.sin(turn * u / 2), np.sin(turn * v / 2))) * (
            over - 0.35
        )
    elif name == "marbled":
        bend = u + 0.7 * np.sin(2.1 * v + 1.3 * np.sin(1.7 * u)) + 0.35 * np.sin(5.3 * v + 2.9 * u)
        value = 1.25 - 2.4 * np.abs(np.sin(turn * bend / 4))
    elif name == "scaly":
        shifted = (u + 0.5 * (np.floor(v) % 2)) % 1 - 0.5
        value = 4.2 * np.hypot(shifted, 0.9 * (v % 1)) - 2.0
    else:
        raise KeyError(f"{name!r} is no texture of the synthetic world")
    return np.clip(value, 0, 1)


def _noise_tile(side: int = 256) -> np.ndarray:
    """(2 side, 2 side) float32: rough noise with some coarse structure, tiled so that any crop is at hand."""
    random = np.random.Generator(np.random.Philox(0))
    tile = random.standard_normal((side, side), np.float32)
    coarse = cv2.resize(random.standard_normal((side // 4, side // 4), np.float32), (side, side))
    return np.tile(0.75 * tile + 0.7 * coarse, (2, 2))


_NOISE = _noise_tile()


class Pen:
    """Draws in a frame of its own, at (x, y) of the image with units sx and sy.

    Every shape takes its look: colour, tag (see `world.label`), material, texture; and how its surface
    takes light: `Canvas.fill` says how.
    """

    def __init__(self, canvas: "Canvas", x: float, y: float, sx: float, sy: float) -> None:
        self.canvas, self.x, self.y, self.sx, self.sy = canvas, x, y, sx, sy

    def at(self, x: float, y: float, size: float, side: int = 1) -> "Pen":
        """A frame that stands on (x, y), whose unit is `size`; in it y runs up, and x to the side given."""
        unit = size * abs(self.sy)
        return Pen(self.canvas, self.x + x * self.sx, self.y + y * self.sy, unit * side, -unit)

    def place(self, points: Points) -> np.ndarray:
        """Points of this frame (..., 2) in units of the image."""
        return np.array(points, np.float64) * (self.sx, self.sy) + np.array((self.x, self.y))

    def poly(self, points: Points, *look, **surface) -> None:
        """One polygon (n, 2), or several of one look in one stroke (m, n, 2)."""
        self.canvas.fill(self.place(points), *look, **surface)

    def rect(self, x0: float, y0: float, x1: float, y1: float, *look, **surface) -> None:
        self.poly(((x0, y0), (x1, y0), (x1, y1), (x0, y1)), *look, **surface)

    def rects(self, boxes: Sequence[tuple[float, ...]], *look, **surface) -> None:
        """Many rectangles (x0, y0, x1, y1) in one stroke."""
        if len(boxes):
            corners = np.array(boxes)[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)
            self.poly(corners, *look, **surface)

    def oval(self, x: float, y: float, rx: float, ry: float, *look, **surface) -> None:
        self.poly(place(CIRCLE, x, y, rx, ry), *look, **surface)

    def ovals(
        self, spots: Sequence[tuple[float, float]], rx: float, ry: float, *look, **surface
    ) -> None:
        """Many small ovals of one size in one stroke."""
        self.poly(np.stack([place(CIRCLE[::2], x, y, rx, ry) for x, y in spots]), *look, **surface)

    def arch(self, x0: float, foot: float, x1: float, top: float, *look, **surface) -> None:
        """A rectangle with a round top that rises by half its width, within the box."""
        rx, rise = (x1 - x0) / 2, top - foot
        rise = min(abs(rx), abs(rise)) * np.sign(rise)
        round_top = place(ARCH, x0 + rx, top - rise, rx, -rise)
        self.poly(np.concatenate([round_top, ((x1, foot), (x0, foot))]), *look, **surface)

    def line(
        self, x0: float, y0: float, x1: float, y1: float, width: float, *look, **surface
    ) -> None:
        length = max(((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5, 1e-6)
        dx, dy = (y1 - y0) / length * width / 2, (x0 - x1) / length * width / 2
        ends = ((x0 + dx, y0 + dy), (x1 + dx, y1 + dy), (x1 - dx, y1 - dy), (x0 - dx, y0 - dy))
        self.poly(ends, *look, **surface)

    def veil(self, points: Points, colour: Colour, alpha: float) -> None:
        """Lay a translucent polygon over the picture: shadow, reflection, haze. Labels stay."""
        rgb, pixels = self.canvas.rgb, self.canvas.pixels(self.place(points))
        over = rgb.copy()
        cv2.fillPoly(over, [np.rint(pixels * 16).astype(np.int32)], colour, cv2.LINE_AA, 4)
        cv2.addWeighted(over, alpha, rgb, 1 - alpha, 0, dst=rgb)

    def halo(self, x: float, y: float, r: float, colour: Colour, alpha: float) -> None:
        self.veil(place(CIRCLE, x, y, r), colour, alpha)

    def shadow(self, x: float, y: float, rx: float, ry: float, alpha: float = 0.3) -> None:
        self.veil(place(CIRCLE, x, y, rx, ry), (10, 12, 24), alpha)


class Canvas(Pen):
    """The whole image as one frame, x to the right, y down.

    size: height and width in pixels.
    camera: (x, y, zoom): where the camera looks, in units of the image, and how much it magnifies.
    near: how far strokes follow the camera, from 0 (infinitely far) to 1; set it before drawing.
    rough: share of the grain of surfaces that is drawn.
    tint: light that falls on all that does not glow; sun: -1 (from the left) to 1 (from the right).
    """

    def __init__(
        self, size: int, dice: Dice, camera: tuple[float, float, float] = (0, 0, 1)
    ) -> None:
        super().__init__(self, 0, 0, 1, 1)
        self.size, self.dice, self.camera = size, dice, camera
        self.near = self.rough = 1.0
        self.tint: Colour = (1, 1, 1)
        self.sun = dice(-1, 1)
        self.attributes: dict[str, object] = {}
        self.rgb = np.zeros((size, size, 3), np.uint8)
        self.ids = np.zeros((size, size), np.uint16)
        self._labels = [(0, 0, 0, 0, 0, 0)]
        self._surface: list[tuple[float, ...]] = [(1, 0, 0, 0, 0, 0, 0)]

    def place(self, points: Points) -> np.ndarray:
        return np.array(points, np.float64)

    def pixels(self, array: np.ndarray) -> np.ndarray:
        """Pixel coordinates of points of the image, centres of pixels at whole numbers."""
        x, y, zoom = self.camera
        if self.camera != (0, 0, 1):
            zoom = 1 + (zoom - 1) * self.near
            array = (array - 0.5) * zoom + 0.5 - np.array((x, y)) * self.near
        return array * self.size - 0.5

    def fill(
        self,
        points: np.ndarray,
        colour: Colour,
        tag: str,
        material: str = "",
        texture: Texture | None = None,
        *,
        shade: tuple[float, float] | None = None,
        bulge: float = 0.0,
        grain: float = 0.03,
        glow: float = 0.0,
    ) -> None:
        """Fill one polygon (n, 2), or several (m, n, 2), given in units of the image.

        shade: relative change of brightness from the middle to the right and to the lower edge; by default
            a little brighter towards the sun and darker below.
        bulge: darkening towards the edge of the bounding box, as on a ball.
        grain: relative amplitude of the surface's roughness. glow: share of light that is its own.
        texture: follows the perspective of four corners (in the order of `rect`), else the bounding box.
        """
        shade = (-0.1 * self.sun, 0.07) if shade is None else shade
        pixels = self.pixels(points)
        fixed = np.rint(pixels * 16).astype(np.int32)
        flat = pixels.reshape(-1, 2)
        (x0, y0), (x1, y1) = flat.min(0).tolist(), flat.max(0).tolist()
        if x1 < -1 or y1 < -1 or x0 > self.size or y0 > self.size:
            return
        number = len(self._labels)
        self._labels.append(world.label(tag, material, texture.name if texture else ""))
        self._surface.append((*self._gain(x0, y0, x1, y1, shade, bulge), grain, glow))
        shapes = list(fixed) if fixed.ndim == 3 else [fixed]
        cv2.fillPoly(self.rgb, shapes, colour, cv2.LINE_AA, 4)
        cv2.fillPoly(self.ids, shapes, number, cv2.LINE_8, 4)
        if texture:
            self._texture(pixels, (x0, y0, x1, y1), number, colour, texture)

    def _gain(
        self, x0: float, y0: float, x1: float, y1: float, shade: tuple[float, float], bulge: float
    ):
        """Coefficients of brightness = a + b x + c y + d x² + e y² over the shape's bounding box."""
        if not bulge and shade == (0, 0):
            return 1.0, 0.0, 0.0, 0.0, 0.0
        rx, ry = max(x1 - x0, 1) / 2, max(y1 - y0, 1) / 2
        x, y = (x0 + x1) / 2, (y0 + y1) / 2
        a, b, c = 1 - shade[0] * x / rx - shade[1] * y / ry, shade[0] / rx, shade[1] / ry
        if bulge:
            x += 0.4 * self.sun * rx
            y -= 0.4 * ry
            d, e = -bulge / rx**2, -bulge / ry**2
            return a + d * x * x + e * y * y + bulge * 0.5, b - 2 * d * x, c - 2 * e * y, d, e
        return a, b, c, 0.0, 0.0

    def _texture(self, pixels, box, number: int, colour: Colour, texture: Texture) -> None:
        x0, y0 = (max(0, int(value)) for value in box[:2])
        x1, y1 = (min(self.size, int(value) + 2) for value in box[2:])
        inside = self.ids[y0:y1, x0:x1] == number
        y, x = np.nonzero(inside)
        if not len(x):
            return
        x, y = (x + x0).astype(np.float32), (y + y0).astype(np.float32)
        if pixels.shape == (4, 2):
            square = np.array(((0, 0), (1, 0), (1, 1), (0, 1)), np.float32)
            h = cv2.getPerspectiveTransform(pixels.astype(np.float32), square).astype(np.float32)
            w = h[2, 0] * x + h[2, 1] * y + h[2, 2]
            w[w == 0] = 1
            u, v = (
                (h[0, 0] * x + h[0, 1] * y + h[0, 2]) / w,
                (h[1, 0] * x + h[1, 1] * y + h[1, 2]) / w,
            )
        else:
            u, v = (x - box[0]) / max(box[2] - box[0], 1), (y - box[1]) / max(box[3] - box[1], 1)
        share = pattern(texture.name, u * np.float32(texture.across), v * np.float32(texture.down))[
            :, None
        ]
        base, other = np.array(colour, np.float32), np.array(texture.colour, np.float32)
        self.rgb[y0:y1, x0:x1][inside] = base + share * (other - base)

    def fade(self, y0: float, y1: float, top: Colour, bottom: Colour, tag: str, **surface) -> None:
        """A band over the whole width whose colour changes from top to bottom."""
        self.rect(-1, y0, 2, y1, bottom, tag, shade=(0, 0), **surface)
        (_, first), (_, last) = self.pixels(np.array(((0, y0), (0, y1)))).tolist()
        rows = slice(max(0, round(first)), max(0, min(self.size, round(last))))
        share = ((np.arange(self.size)[rows] - first) / max(last - first, 1))[:, None, None]
        self.rgb[rows] = np.array(top) + np.clip(share, 0, 1) * (np.array(bottom) - np.array(top))

    def dress(self, colour: Colour, across: float, down: float, names: str = "") -> Texture:
        """A pattern for a surface of this colour, of one of the names, by default one of cloth."""
        d = self.dice
        name = d.pick((names or "striped dotted chequered zigzag woven grid").split())
        light = mix(
            colour, d.pick(((250, 246, 235), (240, 214, 120), (255, 255, 255))), d(0.6, 0.9)
        )
        dark = dim(colour, d(0.35, 0.6))
        return Texture(name, dark if sum(colour) > 330 and d.chance(0.6) else light, across, down)

    def weave(
        self, colour: Colour, across: float, down: float, names: str, other: Colour
    ) -> Texture:
        """A pattern of two given colours."""
        return Texture(self.dice.pick(names.split()), other, across, down)

    def finish(self) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """(size, size, 3) uint8 RGB and {"object": (2, size, size) int32, ...} as `world.LAYERS` says."""
        d = self.dice
        surface = np.array(self._surface, np.float32).T
        a, b, c, dd, e, grain, glow = (row[self.ids] for row in surface)
        across = np.arange(self.size, dtype=np.float32)
        x, y = across[None], across[:, None]
        gain = np.clip(a + (b + dd * x) * x + (c + e * y) * y, 0.35, 1.6)
        oy, ox = d.whole(0, 255), d.whole(0, 255)
        rows = (np.arange(self.size) + oy) % 256
        noise = _NOISE[rows[:, None], (np.arange(self.size) + ox) % 256]
        gain *= 1 + self.rough * grain * noise
        tint = np.array(self.tint, np.float32)
        light = gain[..., None] * (tint + (1 - tint) * glow[..., None])
        rgb = np.clip(self.rgb * light + 2.0 * self.rough * noise[::-1, ::-1, None], 0, 255).astype(
            np.uint8
        )
        table = np.array(self._labels, np.int32).T[:, self.ids]
        labels, start = {}, 0
        for layer, maps in world.LAYERS.items():
            labels[layer] = table[start : start + maps]
            start += maps
        return rgb, labels
