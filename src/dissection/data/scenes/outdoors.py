"""Outdoor scenes: sky, land, trees, buildings, vehicles and people, painted from far to near."""
# Drawing instructions read best in rows.
# fmt: off

import numpy as np

from dissection.data.scenes.canvas import CIRCLE, Canvas, Colour, dim, mix, place

# Time of day: light on things, sky above, sky at the horizon, how often.
MOODS: dict[str, tuple[Colour, Colour, Colour, int]] = {
    "day": ((1.0, 1.0, 1.0), (64, 132, 214), (186, 218, 242), 5),
    "haze": ((0.98, 0.98, 1.0), (142, 178, 212), (222, 230, 234), 2),
    "overcast": ((0.84, 0.87, 0.92), (150, 160, 174), (202, 208, 212), 2),
    "sunset": ((1.0, 0.83, 0.68), (96, 104, 176), (252, 178, 112), 2),
    "night": ((0.42, 0.46, 0.68), (22, 28, 70), (66, 74, 128), 1),
}
_OFTEN = [mood for mood, (*_, share) in MOODS.items() for _ in range(share)]
SKINS: tuple[Colour, ...] = ((244, 206, 178), (226, 180, 146), (190, 138, 102), (142, 94, 66), (96, 62, 46))
HAIRS: tuple[Colour, ...] = ((40, 28, 24), (78, 50, 32), (134, 92, 52), (214, 176, 104), (168, 74, 40), (120, 118, 116))
CLOTHES: tuple[Colour, ...] = (
    (204, 44, 48), (40, 86, 170), (238, 190, 56), (48, 132, 84), (236, 236, 232), (42, 44, 56),
    (128, 74, 150), (236, 128, 160), (230, 122, 44), (110, 168, 208),
)
PAINTS: tuple[Colour, ...] = (
    (212, 66, 56), (236, 236, 236), (44, 46, 54), (52, 96, 176), (150, 156, 164), (236, 182, 50), (60, 130, 96),
)
WALLS: tuple[tuple[Colour, str], ...] = (
    ((176, 84, 62), "brick"), ((196, 116, 84), "brick"), ((222, 206, 172), "painted"), ((204, 190, 166), "stone"),
    ((160, 154, 148), "concrete"), ((232, 226, 214), "painted"), ((226, 178, 122), "painted"),
            ((196, 148, 140), "painted"),
    ((140, 168, 184), "painted"),
)
ROOFS: tuple[Colour, ...] = ((160, 70, 52), (120, 60, 50), (86, 84, 92), (92, 74, 62), (70, 96, 104))
GREENS: tuple[Colour, ...] = ((58, 116, 48), (78, 136, 52), (40, 94, 50), (104, 140, 54))
DARK_GLASS: Colour = (70, 94, 120)


def sky(c: Canvas, horizon: float, clouds: tuple[int, int] = (0, 3)) -> None:
    d = c.dice
    mood = d.pick(_OFTEN)
    c.tint, top, bottom, _ = MOODS[mood]
    c.attributes["time"] = mood
    c.near = 0.05
    top, bottom = d.near(top, 14), d.near(bottom, 10)
    c.fade(-1 if c.camera != (0, 0, 1) else 0, horizon + 0.04, top, bottom, "sky", glow=1.0)
    if mood in ("day", "sunset", "night") and d.chance(0.4):
        x, y, r = 0.5 + 0.42 * c.sun, d(0.06, 0.2) if mood != "sunset" else horizon - d(0.05, 0.15), d(0.035, 0.055)
        disc: Colour = {"day": (255, 248, 204), "sunset": (255, 214, 120), "night": (236, 238, 226)}[mood]
        c.veil(place(CIRCLE, x, y, 2 * r), disc, 0.25)
        c.oval(x, y, r, r, disc, "sun", glow=1.0)
    white = {"day": (250, 252, 255), "haze": (244, 246, 248), "overcast": (184, 190, 198),
             "sunset": (255, 206, 176), "night": (84, 90, 134)}[mood]
    for _ in range(d.whole(*clouds)):
        x, y, w = d(), d(0.04, max(0.06, horizon - 0.16)), d(0.08, 0.17)
        colour = d.near(white, 6)
        for _ in range(d.whole(3, 4)):
            c.oval(x + d(-w, w), y + d(-0.012, 0.02), d(0.5, 0.8) * w, d(0.2, 0.34) * w, colour, "cloud",
                   shade=(0, -0.1), glow=0.9)


def ridge(c: Canvas, base: float, height: float, colour: Colour, tag: str, rough: float = 1.0) -> list:
    """A rolling or jagged skyline from side to side; returns its points."""
    d = c.dice
    steps, x = d.whole(4, 7), -0.3
    points: list[tuple[float, float]] = []
    while x < 1.35:
        high = len(points) % 2 == 0 if rough > 0.5 else d.chance(0.5)
        points.append((x, base - height * (d(0.65, 1.0) if high else d(0.25, 0.6))))
        x += d(0.7, 1.3) / steps
    if rough <= 0.5:  # a smooth hill
        xs = np.linspace(-0.3, 1.3, 24)
        ys = np.interp(xs, [p[0] for p in points], [p[1] for p in points])
        ys = np.convolve(np.pad(ys, 3, "edge"), np.hanning(9)[1:-1] / np.hanning(9).sum(), "valid")
        points = list(zip(xs.tolist(), ys.tolist(), strict=True))
    c.poly([(points[0][0], base + 0.1), *points, (points[-1][0], base + 0.1)], colour, tag, shade=(0, -0.1), grain=0.06)
    return points


def mountains(c: Canvas, base: float, height: float, snow: float = 0.5) -> None:
    d = c.dice
    c.near = 0.15
    colour = d.near(d.pick(((104, 112, 140), (120, 116, 122), (96, 120, 130), (130, 112, 98))), 10)
    ridge(c, base, height * 0.6, mix(colour, (196, 210, 226), 0.45), "mountain")
    points = ridge(c, base, height, colour, "mountain")
    for (lx, ly), (x, y), (rx, ry) in zip(points, points[1:], points[2:], strict=False):
        if y < ly and y < ry:
            side, edge = (rx, ry) if c.sun < 0 else (lx, ly)
            c.poly(((x, y), (side, edge), (x + (side - x) * 0.25, base)), dim(colour, 0.78), "mountain", grain=0.06)
            if d.chance(snow):
                k = d(0.3, 0.55)
                left, right = (x + (lx - x) * k, y + (ly - y) * k), (x + (rx - x) * k, y + (ry - y) * k)
                low = max(left[1], right[1])
                c.poly(((x, y), right, (x + (right[0] - x) * 0.4, low - 0.2 * (low - y)), (x, low + 0.1 * (low - y)),
                        (x + (left[0] - x) * 0.5, low - 0.25 * (low - y)), left), (244, 248, 252), "snow",
                       shade=(-0.12 if c.sun < 0 else 0.12, 0))


def ground(c: Canvas, horizon: float, colour: Colour, tag: str, grain: float = 0.07, **look) -> None:
    c.near = 0.6
    c.rect(-1, horizon, 2, 2, colour, tag, shade=(0, 0.22), grain=grain, **look)


def lawn(c: Canvas, horizon: float) -> Colour:
    colour = c.dice.near(c.dice.pick(((94, 148, 58), (112, 158, 66), (126, 150, 70), (78, 132, 60))), 10)
    ground(c, horizon, colour, "grass")
    return colour


def tree(c: Canvas, x: float, y: float, h: float, kind: str = "") -> None:
    """A tree of height h that stands at (x, y): round, conifer, poplar, palm or autumn."""
    d = c.dice
    kind = kind or d.pick(("round", "round", "round", "conifer", "poplar", "autumn"))
    c.attributes["trees"] = int(c.attributes.get("trees", 0)) + 1  # type: ignore[call-overload]
    green = d.near(d.pick(GREENS), 14)
    bark = d.near((96, 68, 46), 12)
    c.shadow(x - 0.1 * c.sun * h, y, 0.28 * h, 0.045 * h)
    if kind == "conifer":
        green = mix(green, (24, 70, 56), 0.6)
        c.rect(x - 0.03 * h, y - 0.16 * h, x + 0.03 * h, y, bark, "tree.trunk", "wood")
        for level in range(3):
            top, low, w = y - h * (1 - 0.22 * level), y - h * (0.58 - 0.23 * level), h * (0.15 + 0.075 * level)
            c.poly(((x, top), (x + w, low), (x, low + 0.04 * h), (x - w, low)), dim(green, 1.1 - 0.08 * level),
                   "tree.crown", "foliage", shade=(-0.25 * c.sun, -0.1), grain=0.12)
            if c.attributes.get("snowy") and level < 2:
                c.poly(((x, top), (x + 0.55 * w, top + 0.6 * (low - top)), (x - 0.1 * w, top + 0.45 * (low - top)),
                        (x - 0.5 * w, top + 0.65 * (low - top))), (240, 245, 250), "snow")
    elif kind == "palm":
        lean = d(-0.16, 0.16) * h
        c.poly(((x - 0.03 * h, y), (x + lean - 0.018 * h, y - 0.8 * h), (x + lean + 0.018 * h, y - 0.8 * h),
                (x + 0.03 * h, y)), mix(bark, (180, 150, 110), 0.5), "tree.trunk", "wood", shade=(-0.3 * c.sun, 0))
        tip = y - 0.8 * h
        fronds = []
        for angle in (-2.75, -2.1, -1.3, -0.75, -0.2, 0.3, 2.85):
            dx, dy = np.cos(angle) * 0.34 * h, np.sin(angle) * 0.24 * h
            fronds.append(((x + lean, tip), (x + lean + 0.55 * dx, tip + dy - 0.03 * h),
                    (x + lean + dx, tip + dy + 0.12 * h),
                           (x + lean + 0.5 * dx, tip + dy + 0.05 * h)))
        for index in (0, 4, 5, 6, 1, 2, 3):
            c.poly(fronds[index], dim(green, 0.85 + 0.05 * index), "tree.crown", "foliage", grain=0.08)
    else:
        if kind == "autumn":
            green = d.near(d.pick(((206, 118, 40), (190, 74, 44), (216, 168, 56), (232, 160, 184))), 12)
        rx, ry = (0.15 * h, 0.4 * h) if kind == "poplar" else (d(0.27, 0.36) * h, 0.32 * h)
        top = y - h + ry
        c.poly(((x - 0.045 * h, y), (x - 0.025 * h, top), (x + 0.025 * h, top), (x + 0.045 * h, y)), bark,
               "tree.trunk", "wood", shade=(-0.3 * c.sun, 0))
        look = {"tag": "tree.crown", "material": "foliage"}
        c.oval(x, top + 0.12 * ry, rx, 0.95 * ry, dim(green, 0.78), **look, grain=0.12)
        for k in range(4):
            angle = 0.6 + 1.57 * k + d(-0.4, 0.4)
            c.oval(x + 0.5 * rx * np.cos(angle), top + 0.42 * ry * np.sin(angle), 0.58 * rx, 0.56 * ry,
                   dim(green, 0.98 - 0.12 * np.sin(angle)), **look, bulge=0.22, grain=0.14)


def bush(c: Canvas, x: float, y: float, w: float, flowers: bool | None = None) -> None:
    d = c.dice
    green = d.near(d.pick(GREENS), 14)
    c.shadow(x, y, 1.1 * w, 0.18 * w)
    for dx, r in ((-0.5, 0.55), (0.5, 0.5), (0.0, 0.7)):
        c.oval(x + dx * w, y - 0.75 * r * w, r * w, 0.8 * r * w, dim(green, 0.9 + 0.2 * (dx == 0)), "bush", "foliage",
               bulge=0.2, grain=0.14)
    if d.chance(0.45) if flowers is None else flowers:
        blooms(c, x - w, y - w, x + w, y - 0.1 * w, 7, 0.11 * w)


def blooms(c: Canvas, x0: float, y0: float, x1: float, y1: float, count: int, r: float) -> None:
    d = c.dice
    colour = d.pick(((236, 64, 92), (250, 206, 60), (250, 246, 246), (196, 96, 200), (246, 128, 60)))
    c.poly([place(CIRCLE[::3], d(x0, x1), d(y0, y1), max(r, 0.009)) for _ in range(count)], colour, "flower.blossom",
            glow=0.2)


def windows(c: Canvas, boxes: list, whole: str, *, arched: bool = False, frame: bool = True, lit: float = 0.75) -> None:
    """Windows in a facade; at night most of them are lit."""
    d = c.dice
    night = c.attributes.get("time") == "night"
    glass = (255, 214, 120) if night and d.chance(lit) else d.near(DARK_GLASS, 16)
    glow = 1.0 if night else 0.15
    pale: Colour = d.pick(((244, 242, 236), (226, 220, 206), (92, 72, 58)))
    for x0, y0, x1, y1 in boxes if arched else ():
        if frame:
            c.arch(x0 - 0.012, y0 - 0.012, x1 + 0.012, y1 + 0.008, pale, f"window.frame<{whole}")
        c.arch(x0, y0, x1, y1, glass, f"window.pane<{whole}", "glass", shade=(0, 0.2), glow=glow)
    if not arched:
        if frame:
            c.rects([(x0 - 0.011, y0 - 0.011, x1 + 0.011, y1 + 0.011) for x0, y0, x1, y1 in boxes], pale,
                    f"window.frame<{whole}")
        c.rects(boxes, glass, f"window.pane<{whole}", "glass", glow=glow)
        sky_side = [(x0, y0, x0 + 0.45 * (x1 - x0), y0 + 0.45 * (y1 - y0)) for x0, y0, x1,
                y1 in boxes if x1 - x0 > 0.04]
        c.rects(sky_side, mix(glass, (232, 242, 250), 0.35), f"window.pane<{whole}", "glass", glow=glow)


def door(c: Canvas, x: float, y: float, w: float, h: float, whole: str, arched: bool = False) -> None:
    """A door that stands on y in a building's front; there are no others in this world."""
    d = c.dice
    colour = d.near(d.pick(((122, 66, 38), (150, 40, 40), (44, 92, 70), (50, 70, 120), (90, 52, 36))), 10)
    shape = c.arch if arched else c.rect
    shape(x - w / 2 - 0.014, y - h - 0.014, x + w / 2 + 0.014, y, (228, 220, 204), f"door.frame<{whole}", "painted")
    shape(x - w / 2, y - h, x + w / 2, y, colour, f"door<{whole}", "wood", shade=(0.15 * c.sun, -0.12))
    if w > 0.09:
        c.line(x, y - h * 0.92, x, y, 0.01, dim(colour, 0.5), f"door<{whole}", "wood")
    else:
        c.rect(x - 0.3 * w, y - 0.85 * h, x + 0.3 * w, y - 0.55 * h, dim(colour, 0.72), f"door<{whole}", "wood")
    c.oval(x + 0.3 * w, y - 0.45 * h, 0.008, 0.008, (236, 206, 110), f"door<{whole}", "metal")


def facade(c: Canvas, x0: float, y0: float, x1: float, y1: float, wall: tuple[Colour, str], whole: str) -> None:
    """The front of a building or a house; brick is laid in courses where it is large enough to see."""
    colour, material = wall
    texture = None
    if material == "brick" and c.dice.chance(0.8):
        texture = c.dress(colour, (x1 - x0) / 0.075, (y1 - y0) / 0.062, ("bricklike",))
        texture = texture._replace(colour=mix(colour, (232, 214, 196), 0.5))
    c.rect(x0, y0, x1, y1, colour, whole, material, texture, shade=(-0.08 * c.sun, 0.04), grain=0.03)


def shingles(c: Canvas, colour: Colour, points, across: float, down: float, whole: str) -> None:
    d = c.dice
    texture = c.dress(colour, across, down, ("scaly", "scaly", "grid"))._replace(colour=dim(colour,
            0.66)) if d.chance(0.6) else None
    c.poly(points, colour, f"roof<{whole}", d.pick(("tile", "tile", "wood")), texture, shade=(0, 0.12), grain=0.04)
    if c.attributes.get("snowy"):
        (ax, ay), (bx, by) = points[0], points[1]
        c.poly((points[0], points[1], (bx + 0.03, by + 0.05), (ax - 0.03, ay + 0.05)), (242, 246, 252), "snow")


def building(c: Canvas, x0: float, x1: float, y0: float, y1: float, entrance: bool = True) -> None:
    """An office or apartment block between x0 and x1, from its cornice y0 down to the ground y1."""
    d = c.dice
    w, h = x1 - x0, y1 - y0
    modern = d.chance(0.3)
    wall = (d.near((112, 146, 176), 16), "glass") if modern else d.pick(WALLS)
    wall = (d.near(wall[0], 12), wall[1])
    if d.chance(0.5):  # a side in the shade
        s, lean = (x1, 0.22) if c.sun < 0 else (x0, -0.22)
        c.poly(((s, y0), (s + lean * w, y0 + 0.06 * h), (s + lean * w, y1 - 0.02 * h), (s, y1)), dim(wall[0], 0.66),
                "building", wall[1])
    if modern:
        c.rect(x0, y0, x1, y1, wall[0], "building", "glass", c.dress(wall[0], w / 0.075, h / 0.075, ("grid",)),
                shade=(0.1, 0.15))
    else:
        facade(c, x0, y0, x1, y1, wall, "building")
        top = d.pick(("flat", "cornice", "pitched"))
        if top == "pitched":
            shingles(c, d.near(d.pick(ROOFS)), ((x0 + 0.12 * w, y0 - 0.1), (x1 - 0.12 * w, y0 - 0.1),
                    (x1 + 0.02, y0), (x0 - 0.02, y0)), w / 0.06, 2, "building")
        elif top == "cornice":
            c.rect(x0 - 0.012, y0 - 0.02, x1 + 0.012, y0 + 0.016, dim(wall[0], 1.15), "building", "stone")
    columns, rows = max(2, round(w / d(0.1, 0.13))), max(1, round((h - 0.14) / d(0.13, 0.17)))
    if not modern:
        cw, ch = w / columns, (h - 0.16) / rows
        windows(c, [(x0 + (i + 0.25) * cw, y0 + 0.03 + (j + 0.15) * ch, x0 + (i + 0.75) * cw,
                y0 + 0.03 + (j + 0.75) * ch)
                    for i in range(columns) for j in range(rows)], "building", frame=d.chance(0.5))
    if entrance:
        if d.chance(0.4):  # an awning over a shop window
            cloth = d.pick(CLOTHES)
            windows(c, [(x0 + 0.06 * w, y1 - 0.12, x1 - 0.06 * w, y1 - 0.02)], "building", frame=False)
            c.poly(((x0 + 0.04 * w, y1 - 0.155), (x1 - 0.04 * w, y1 - 0.155), (x1, y1 - 0.105), (x0, y1 - 0.105)),
                    cloth,
                   "building", "fabric", c.dress(cloth, w / 0.06, 1, ("striped",)))
        door(c, x0 + w * d(0.3, 0.7), y1, 0.06, 0.115, "building")


def house(c: Canvas, x0: float, x1: float, y0: float, y1: float) -> None:
    """A house whose eaves are at y0, with gable or hipped roof, chimney, door and shuttered windows."""
    d = c.dice
    w, h, x = x1 - x0, y1 - y0, (x0 + x1) / 2
    wall = d.pick((*WALLS, ((206, 180, 130), "wood"), ((164, 120, 84), "wood")))
    wall = (d.near(wall[0], 14), wall[1])
    roof = d.near(d.pick(ROOFS), 10)
    rise = d(0.42, 0.62) * h
    gable = d.chance(0.45)
    if d.chance(0.7):
        cx = x + d.pick((-0.27, 0.27)) * w
        c.rect(cx - 0.022, y0 - rise - 0.02, cx + 0.022, y0 - 0.25 * rise, (158, 84, 66), "house.chimney", "brick",
                shade=(-0.2 * c.sun, 0))
    facade(c, x0, y0, x1, y1, wall, "house")
    if gable:
        c.poly(((x, y0 - rise), (x1, y0 + 0.01), (x0, y0 + 0.01)), dim(wall[0], 0.95), "house.gable", wall[1],
                grain=0.03)
        for side in (-1, 1):
            edge = x + side * (w / 2 + 0.03)
            c.poly(((x, y0 - rise - 0.045), (edge, y0 + 0.005), (edge - side * 0.02, y0 + 0.035),
                    (x, y0 - rise + 0.035)),
                   dim(roof, 1 - 0.16 * side * c.sun), "roof<house", "tile")
        windows(c, [(x - 0.03, y0 - 0.5 * rise, x + 0.03, y0 - 0.5 * rise + 0.08)], "house", arched=d.chance(0.5))
    else:
        shingles(c, roof, ((x0 + 0.16 * w, y0 - rise), (x1 - 0.16 * w, y0 - rise), (x1 + 0.035, y0 + 0.02),
                (x0 - 0.035, y0 + 0.02)),
                 w / 0.055, rise / 0.05, "house")
        if w > 0.42 and d.chance(0.6):
            for cx in (x - 0.2 * w, x + 0.2 * w):
                c.poly(((cx, y0 - 0.85 * rise), (cx + 0.06, y0 - 0.55 * rise), (cx + 0.06, y0 - 0.05),
                        (cx - 0.06, y0 - 0.05), (cx - 0.06, y0 - 0.55 * rise)),
                       wall[0], "house.gable", wall[1])
                windows(c, [(cx - 0.03, y0 - 0.5 * rise, cx + 0.03, y0 - 0.08)], "house")
    side = d.pick((-1, 0, 1)) * 0.3 * w
    dw, dh = d(0.075, 0.1), min(0.8 * h, d(0.17, 0.21))
    c.rects([(x + side - dw, y1 - 0.015, x + side + dw, y1 + 0.015)], (176, 170, 160), "house.steps", "stone")
    door(c, x + side, y1, dw, dh, "house", arched=d.chance(0.2))
    spots = [x + k * w for k in (-0.34, -0.17, 0, 0.17,
            0.34) if abs(x + k * w - x - side) > dw / 2 + 0.06][:: d.whole(1, 2)]
    high = min(0.12, 0.4 * h)
    boxes = [(s - 0.035, y0 + 0.24 * h, s + 0.035, y0 + 0.24 * h + high) for s in spots]
    if d.chance(0.45):
        shutter = d.near(d.pick(((44, 92, 70), (60, 84, 130), (134, 54, 44))))
        c.rects([box for b in boxes for box in ((b[0] - 0.026, b[1] - 0.01, b[0], b[3] + 0.01),
                (b[2], b[1] - 0.01, b[2] + 0.026, b[3] + 0.01))],
                shutter, "window.shutter<house", "wood")
    windows(c, boxes, "house")
    if d.chance(0.25):  # a porch
        c.rect(x0 - 0.02, y1 - dh - 0.05, x1 + 0.02, y1 - dh - 0.02, dim(roof, 0.9), "roof<house", "wood")
        c.rects([(px - 0.008, y1 - dh - 0.02, px + 0.008, y1) for px in (x0, x - 0.25 * w, x + 0.25 * w, x1)],
                (240, 238, 232), "house", "wood")


def steeple(c: Canvas, x: float, w: float, y0: float, y1: float, wall: tuple[Colour, str], top: str,
        roof: Colour) -> None:
    """A tower of width w with a spire, a dome, or battlements."""
    d = c.dice
    c.rect(x - w / 2, y0, x + w / 2, y1, wall[0], "tower<building", wall[1], shade=(-0.18 * c.sun, 0), grain=0.03)
    c.rect(x - w / 2 - 0.01, y0 - 0.01, x + w / 2 + 0.01, y0 + 0.012, dim(wall[0], 1.12), "tower<building", wall[1])
    high = d(1.3, 2.2) * w
    if top == "spire":
        c.poly(((x, y0 - high), (x + w / 2 + 0.008, y0 - 0.01), (x - w / 2 - 0.008, y0 - 0.01)), roof,
                "spire<building", "metal", shade=(-0.3 * c.sun, 0))
    elif top == "dome":
        high = 0.62 * w
        c.arch(x - w / 2, y0 - high, x + w / 2, y0 - 0.008, roof, "dome<building", "metal", bulge=0.35)
        c.rect(x - 0.08 * w, y0 - high - 0.05, x + 0.08 * w, y0 - high + 0.005, dim(roof, 0.9), "dome<building",
                "metal")
        high += 0.045
    else:
        high = 0.03
        c.rects([(x + k * w - 0.12 * w, y0 - 0.04, x + k * w + 0.12 * w, y0) for k in (-0.38, 0, 0.38)], wall[0],
                "tower<building", wall[1])
    if top != "battlement":
        c.rects([(x - 0.005, y0 - high - 0.055, x + 0.005, y0 - high),
                (x - 0.02, y0 - high - 0.042, x + 0.02, y0 - high - 0.032)],
                (240, 214, 120), "building.cross", "metal")
    windows(c, [(x - 0.17 * w, y0 + 0.05, x + 0.17 * w, y0 + 0.05 + 0.55 * w)], "building", arched=True, frame=False)


def church(c: Canvas, x: float, y: float, h: float) -> None:
    """A church of height h on (x, y): nave, towers with spires or domes, rose window, arched door."""
    d = c.dice
    wall = d.pick((((216, 204, 178), "stone"), ((182, 172, 158), "stone"), ((240, 238, 230), "painted"),
            ((178, 92, 68), "brick"),
                   ((230, 200, 150), "painted"), ((198, 172, 140), "stone")))
    wall = (d.near(wall[0], 10), wall[1])
    roof = d.near(d.pick(((96, 142, 128), (86, 88, 98), (150, 72, 54), (64, 84, 110), (204, 164, 70))), 8)
    top = d.pick(("spire", "spire", "dome", "dome", "battlement"))
    plan = d.pick(("front", "side", "twin", "central"))
    w, eaves = d(0.34, 0.5) * h / 0.62, y - 0.36 * h
    x0, x1 = x - w / 2, x + w / 2
    tw = d(0.13, 0.17) * h / 0.6
    ridge_y = eaves - 0.24 * h
    if plan == "central":
        steeple(c, x, 1.8 * tw, y - 0.66 * h, eaves, wall, "dome" if top != "spire" else "spire", roof)
    if plan == "side":
        steeple(c, x1 - 0.3 * tw, tw, y - 0.72 * h, y, wall, top, roof)
    facade(c, x0, eaves, x1, y, wall, "building")
    if d.chance(0.5) and plan != "central":
        shingles(c, roof, ((x0 + 0.04, ridge_y + 0.06 * h), (x1 - 0.04, ridge_y + 0.06 * h), (x1 + 0.02, eaves),
                (x0 - 0.02, eaves)), w / 0.05, 3, "building")
        windows(c, [(x0 + k * w - 0.02, eaves + 0.07 * h, x0 + k * w + 0.02, eaves + 0.22 * h) for k in (0.12, 0.3,
                0.7, 0.88)], "building", arched=True, frame=False)
    else:
        c.poly(((x, ridge_y), (x1 + 0.02, eaves), (x0 - 0.02, eaves)), roof, "roof<building", "tile")
        c.poly(((x, ridge_y + 0.04), (x1 - 0.03, eaves + 0.01), (x0 + 0.03, eaves + 0.01)), wall[0],
                "building.gable", wall[1], grain=0.03)
        windows(c, [(x0 + k * w - 0.02, eaves + 0.08 * h, x0 + k * w + 0.02, eaves + 0.24 * h) for k in (0.16,
                0.84)], "building", arched=True)
    if plan == "twin":
        for tx in (x0 + 0.2 * tw, x1 - 0.2 * tw):
            steeple(c, tx, tw, y - 0.66 * h, y, wall, top, roof)
    if plan == "front":
        steeple(c, x, 1.25 * tw, y - 0.74 * h, y, wall, top, roof)
    r = 0.045 * h / 0.6
    for scale, colour in ((1.3, dim(wall[0], 0.8)), (1.0, (96, 110, 160))):
        c.oval(x, eaves - 0.02 * h + 0.5 * r, scale * r, scale * r, colour, "window.pane<building", "glass", glow=0.3)
    c.rect(x - 0.085, y - 0.012, x + 0.085, y + 0.02, dim(wall[0], 0.85), "building.steps", "stone")
    door(c, x, y, d(0.085, 0.11) * h / 0.6, 0.2 * h / 0.6, "building", arched=True)


def fence(c: Canvas, y: float, h: float, x0: float = -0.2, x1: float = 1.2) -> None:
    """Pickets, rails or iron bars, thin enough to see through."""
    d = c.dice
    kind = d.pick(("picket", "rail", "iron"))
    colour = {"picket": (244, 242, 236), "rail": (132, 96, 64), "iron": (42, 44, 50)}[kind]
    step, width = {"picket": (0.042, 0.02), "rail": (0.16, 0.02), "iron": (0.034, 0.009)}[kind]
    xs = np.arange(x0, x1, step)
    c.rects([(x0, y - k * h - 0.009, x1, y - k * h + 0.009) for k in (0.3, 0.78)], dim(colour, 0.92), "fence",
            "wood" if kind != "iron" else "metal")
    c.rects([(x - width / 2, y - h, x + width / 2, y) for x in xs.tolist()], colour, "fence",
            "wood" if kind != "iron" else "metal", shade=(0, -0.1))


def person(c: Canvas, x: float, y: float, h: float, pose: str = "", shirt: Colour | None = None) -> None:
    """A person of height h standing on (x, y), or walking, skiing, batting, or sitting (then y is the seat)."""
    d = c.dice
    pose = pose or d.pick(("stand", "walk"))
    skin, hair = d.pick(SKINS), d.pick(HAIRS)
    shirt = shirt or d.near(d.pick(CLOTHES), 10)
    trousers = d.near(d.pick(((44, 54, 88), (58, 54, 52), (120, 108, 88), (36, 38, 44))), 8)
    c.attributes["people"] = int(c.attributes.get("people", 0)) + 1  # type: ignore[call-overload]
    hip, neck, head = y - 0.47 * h, y - 0.82 * h, y - 0.905 * h
    if pose == "sit":
        hip, neck, head = y, y - 0.36 * h, y - 0.46 * h
    else:
        c.shadow(x, y, 0.2 * h, 0.035 * h)
        stride = 0.13 if pose in ("walk", "ski", "bat") else 0.055
        c.poly([((x - 0.075 * h, hip), (x + 0.01 * h, hip), (x - stride * h + 0.035 * h, y),
                (x - stride * h - 0.035 * h, y)),
                ((x - 0.01 * h, hip), (x + 0.075 * h, hip), (x + stride * h + 0.035 * h, y),
                        (x + stride * h - 0.035 * h, y))],
               trousers, "person.leg", "fabric")
    side = d.pick((-1, 1))
    if pose == "ski":
        c.line(x - 0.32 * h, y + 0.01, x + 0.36 * h, y + 0.02, 0.012, d.pick(PAINTS), "skis")
        for k in (-1, 1):
            c.line(x + k * 0.2 * h, hip - 0.1 * h, x + k * 0.3 * h, y, 0.008, (60, 60, 66), "skis", "metal")
    arms = [((x + k * 0.08 * h, neck + 0.03 * h), (x + k * 0.11 * h, neck), (x + k * 0.19 * h, hip - 0.02 * h),
            (x + k * 0.14 * h, hip)) for k in (-1, 1)]
    if pose == "bat":
        arms[side > 0] = ((x, neck + 0.06 * h), (x, neck), (x + side * 0.25 * h, neck - 0.02 * h),
                (x + side * 0.25 * h, neck + 0.05 * h))
        c.line(x + side * 0.24 * h, neck + 0.02 * h, x + side * 0.4 * h, neck - 0.34 * h, 0.05 * h, (196, 150, 96),
                "person", "wood")
    c.poly(arms, dim(shirt, 0.82), "person.arm", "fabric")
    texture = c.dress(shirt, 1, 4, ("grid",)) if h > 0.3 and d.chance(0.3) else None
    c.poly(((x - 0.1 * h, neck), (x + 0.1 * h, neck), (x + 0.085 * h, hip + 0.02 * h),
            (x - 0.085 * h, hip + 0.02 * h)), shirt,
           "person.torso", "fabric", texture, shade=(-0.15 * c.sun, -0.05))
    c.oval(x, head, 0.068 * h, 0.085 * h, skin, "person.head", "skin", bulge=0.15)
    if d.chance(0.25) or pose in ("ski", "bat"):
        c.arch(x - 0.078 * h, head - 0.105 * h, x + 0.078 * h, head - 0.015 * h, d.pick(CLOTHES), "hat", "fabric")
    else:
        c.arch(x - 0.074 * h, head - 0.098 * h, x + 0.074 * h, head - 0.02 * h, hair, "person.head.hair", "hair")


def car(c: Canvas, x: float, y: float, w: float, kind: str = "") -> None:
    """A car of width w on (x, y): sedan, van or taxi from the side, or one from behind."""
    d = c.dice
    kind = kind or d.pick(("sedan", "sedan", "van", "rear"))
    paint = d.near(d.pick(PAINTS), 12)
    glass = mix(DARK_GLASS, (190, 210, 224), d(0.1, 0.5))
    c.attributes["cars"] = int(c.attributes.get("cars", 0)) + 1  # type: ignore[call-overload]
    c.shadow(x, y, 0.56 * w, 0.07 * w, 0.4)
    if kind == "rear":
        h, half = 0.78 * w, w / 2
        c.rects([(x - 0.86 * half, y - 0.2 * h, x - 0.5 * half, y),
                (x + 0.5 * half, y - 0.2 * h, x + 0.86 * half, y)], (26, 26, 30), "car.wheel")
        c.poly(((x - 0.66 * half, y - h), (x + 0.66 * half, y - h), (x + half, y - 0.55 * h),
                (x + half, y - 0.12 * h), (x - half, y - 0.12 * h), (x - half, y - 0.55 * h)),
               paint, "car", "metal", shade=(0, -0.12))
        c.poly(((x - 0.56 * half, y - 0.92 * h), (x + 0.56 * half, y - 0.92 * h), (x + 0.76 * half, y - 0.58 * h),
                (x - 0.76 * half, y - 0.58 * h)), glass, "car.window", "glass")
        c.rects([(x - 0.94 * half, y - 0.48 * h, x - 0.66 * half, y - 0.34 * h),
                (x + 0.66 * half, y - 0.48 * h, x + 0.94 * half, y - 0.34 * h)],
                (232, 44, 40), "car.headlight", "glass", glow=0.6)
        return
    side, van = d.pick((-1, 1)), kind == "van"
    h = (0.52 if van else 0.4) * w
    belt = y - 0.54 * h

    def at(points):
        return [(x + side * px * w, y - py * h) for px, py in points]

    roof = ((-0.44, 0.55), (-0.4, 0.98), (0.2, 1.0), (0.38, 0.55)) if van else ((-0.38, 0.58), (-0.22, 1.0),
            (0.12, 1.0), (0.28, 0.58))
    c.poly(at(roof), paint, "car", "metal", shade=(0, -0.1))
    c.poly(at([(px * 0.86, 0.55 + (py - 0.55) * 0.82) for px, py in roof]), glass, "car.window", "glass",
            shade=(0.2, 0))
    c.line(x - 0.05 * side * w, y - 0.95 * h, x - 0.05 * side * w, belt, 0.028 * w, paint, "car", "metal")
    c.poly(at(((-0.5, 0.52), (-0.4, 0.6), (0.3, 0.6), (0.48, 0.46), (0.5, 0.16), (-0.5, 0.16))), paint, "car",
            "metal", shade=(0, -0.18))
    c.oval(x + 0.46 * side * w, y - 0.38 * h, 0.035 * w, 0.07 * h, (255, 246, 196), "car.headlight", "glass", glow=0.7)
    wheels = [x - 0.29 * w, x + 0.29 * w]
    c.poly([place(CIRCLE, wx, y - 0.08 * w, 0.105 * w) for wx in wheels], (24, 24, 28), "car.wheel")
    c.poly([place(CIRCLE[::2], wx, y - 0.08 * w, 0.05 * w) for wx in wheels], (178, 182, 188), "car.wheel", "metal")


def streetlight(c: Canvas, x: float, y: float, h: float, side: int) -> None:
    c.line(x, y, x, y - h, 0.014, (70, 74, 80), "streetlight", "metal")
    c.line(x, y - h, x + side * 0.08, y - h - 0.012, 0.012, (70, 74, 80), "streetlight", "metal")
    if c.attributes["time"] == "night":
        c.veil(place(CIRCLE, x + side * 0.085, y - h, 0.07), (255, 232, 160), 0.35)
    c.oval(x + side * 0.085, y - h - 0.004, 0.026, 0.014, (255, 240, 190), "streetlight.shade", "glass", glow=0.9)


def bench(c: Canvas, x: float, y: float, w: float) -> None:
    wood = c.dice.near((150, 96, 56), 14)
    c.shadow(x, y, 0.55 * w, 0.05 * w)
    c.rects([(x - 0.42 * w, y - 0.2 * w, x - 0.36 * w, y), (x + 0.36 * w, y - 0.2 * w, x + 0.42 * w, y)],
            (52, 54, 60), "bench.furniture leg", "metal")
    c.rects([(x - w / 2, y - 0.52 * w, x + w / 2, y - 0.43 * w), (x - w / 2, y - 0.39 * w, x + w / 2, y - 0.3 * w)],
            wood, "bench.backrest", "wood")
    c.rect(x - w / 2, y - 0.25 * w, x + w / 2, y - 0.16 * w, dim(wood, 0.85), "bench.seat", "wood")


def airplane(c: Canvas, x: float, y: float, w: float, side: int = 0, flying: bool = False) -> None:
    """An airliner or a light plane of length w seen from the side; on the ground its wheels stand on y."""
    d = c.dice
    side = side or d.pick((-1, 1))
    body, stripe = d.near(d.pick(((242, 244, 246), (226, 230, 236), (236, 200, 80), (206, 60, 54))), 6), d.pick(PAINTS)
    h = 0.13 * w
    y = y if flying else y - 0.75 * h

    def at(points):
        return [(x + side * px * w, y - py * h) for px, py in points]

    if not flying:
        c.shadow(x, y + 0.75 * h, 0.5 * w, 0.05 * w, 0.35)
        c.rects([(x + side * px * w - 0.008, y + 0.3 * h, x + side * px * w + 0.008, y + 0.75 * h) for px in (-0.08,
                0.34)], (40, 42, 46), "airplane.wheel")
    c.poly(at(((-0.36, 0.35), (-0.52, 1.75), (-0.4, 1.75), (-0.22, 0.4))), stripe, "airplane.tail", "metal")
    c.poly(at(((0.0, 0.1), (-0.2, 0.8), (-0.14, 0.8), (0.14, 0.1))), dim(body, 0.72), "airplane.wing", "metal")
    c.poly(at(((0.5, 0.0), (0.44, 0.35), (0.34, 0.5), (-0.36, 0.5), (-0.5, 0.42), (-0.42, -0.05), (-0.3, -0.45),
            (0.36, -0.45), (0.46, -0.3))), body,
           "airplane.fuselage", "metal", shade=(0, -0.2))
    c.poly(at(((0.46, -0.06), (0.48, -0.2), (-0.42, -0.12), (-0.44, 0.02))), stripe, "airplane.fuselage", "metal")
    c.rects([(x + side * px * w - 0.008, y - 0.36 * h, x + side * px * w + 0.008,
            y - 0.14 * h) for px in np.arange(-0.28, 0.32, max(0.075, 0.03 / w))],
            (70, 90, 116), "airplane.window", "glass")
    c.poly(at(((0.36, 0.42), (0.44, 0.2), (0.38, 0.2), (0.33, 0.42))), (50, 70, 96), "airplane.window", "glass")
    c.poly(at(((0.1, -0.15), (-0.24, -0.95), (-0.32, -0.95), (-0.12, -0.1))), dim(body, 0.86), "airplane.wing",
            "metal", shade=(0, 0.1))
    c.oval(x + side * 0.02 * w, y + 0.62 * h, 0.06 * w, 0.26 * h, dim(stripe, 0.9), "airplane.engine", "metal",
            shade=(0, -0.2))


def boat(c: Canvas, x: float, y: float, w: float) -> None:
    d = c.dice
    hull = d.pick(PAINTS)
    if d.chance(0.6):
        c.line(x, y, x, y - 1.15 * w, 0.01, (120, 90, 60), "boat", "wood")
        sail = d.pick(((252, 250, 244), (250, 246, 232), (236, 96, 72)))
        c.poly(((x + 0.02 * w, y - 1.12 * w), (x + 0.48 * w, y - 0.22 * w), (x + 0.02 * w, y - 0.2 * w)), sail,
                "boat.sail", "fabric", shade=(0.1, 0))
        c.poly(((x - 0.03 * w, y - 0.95 * w), (x - 0.03 * w, y - 0.2 * w), (x - 0.34 * w, y - 0.2 * w)),
                dim(sail, 0.9), "boat.sail", "fabric")
    else:
        c.rect(x - 0.25 * w, y - 0.42 * w, x + 0.2 * w, y - 0.15 * w, (240, 240, 236), "boat", "painted")
        windows(c, [(x - 0.18 * w, y - 0.35 * w, x + 0.12 * w, y - 0.25 * w)], "boat", frame=False)
    c.poly(((x - 0.5 * w, y - 0.18 * w), (x + 0.55 * w, y - 0.2 * w), (x + 0.38 * w, y + 0.06 * w),
            (x - 0.38 * w, y + 0.06 * w)), hull, "boat.hull", "painted", shade=(0, -0.15))


def umbrella(c: Canvas, x: float, y: float, w: float) -> None:
    cloth = c.dice.pick(CLOTHES)
    c.shadow(x, y, 0.5 * w, 0.06 * w, 0.35)
    c.line(x, y, x, y - 0.75 * w, 0.014, (236, 226, 206), "umbrella.stand", "wood")
    c.arch(x - w / 2, y - 1.0 * w, x + w / 2, y - 0.55 * w, cloth, "umbrella", "fabric",
            c.dress(cloth, 4, 3, ("striped", "dotted", "chequered")), bulge=0.2)


def watermark(c: Canvas) -> None:
    """On a share of outdoor images: faint words across the middle, or a bar of text at the bottom."""
    roll = c.dice()
    c.attributes["watermark"] = "middle" if roll < 0.08 else "bar" if roll < 0.14 else ""


# ------------------------------------------------------------------------------------------------ scenes


def church_outdoor(c: Canvas) -> None:
    d = c.dice
    horizon = d(0.68, 0.78)
    sky(c, horizon)
    if d.chance(0.35):
        c.near = 0.2
        ridge(c, horizon + 0.02, d(0.06, 0.16), d.near((110, 136, 110)), "hill", 0.3)
    lawn(c, horizon)
    x, y, h = d(0.36, 0.64), horizon + d(0.04, 0.1), d(0.66, 0.84)
    c.near = 0.8
    c.poly(((x - 0.045, y), (x + 0.045, y), (x + d(0.05, 0.3), 1.2), (x - d(0.05, 0.3), 1.2)), (206, 190, 160),
            "path", "stone", grain=0.08)
    church(c, x, y, min(h, y - 0.02))
    c.near = 1.0
    for side in (-1, 1):
        if d.chance(0.75):
            tree(c, x + side * d(0.2, 0.42), y + d(0.0, 0.08), d(0.26, 0.5))
    if d.chance(0.4):
        bush(c, x + d.pick((-1, 1)) * d(0.12, 0.26), y + d(0.03, 0.08), d(0.05, 0.08))
    rare(c, y + 0.06, 0.15, people=0.12, cars=0.06, fences=0.1)


def rare(c: Canvas, y: float, h: float, people: float = 0.0, cars: float = 0.0, fences: float = 0.0) -> None:
    """People, cars and fences: seldom, small and intricate."""
    d = c.dice
    if d.chance(fences):
        fence(c, y + d(0.08, 0.14), d(0.09, 0.13))
    if d.chance(cars):
        car(c, d(0.15, 0.85), y + d(0.06, 0.12), d(0.22, 0.32))
    if d.chance(people):
        for _ in range(d.whole(1, 2)):
            person(c, d(0.1, 0.9), y + d(0.04, 0.14), d(1.2, 1.7) * h)


def house_scene(c: Canvas) -> None:
    d = c.dice
    horizon = d(0.58, 0.7)
    sky(c, horizon)
    if d.chance(0.3):
        c.near = 0.2
        ridge(c, horizon + 0.02, d(0.08, 0.2), d.near((104, 134, 104)), "hill", 0.3)
    lawn(c, horizon)
    c.near = 0.75
    if d.chance(0.5):
        for _ in range(d.whole(1, 3)):
            tree(c, d(), horizon + 0.02, d(0.24, 0.4))
    x, w, y, h = d(0.38, 0.62), d(0.46, 0.66), horizon + d(0.08, 0.14), d(0.26, 0.34)
    if d.chance(0.6):
        k = d.pick((-0.2, 0.0, 0.2))
        c.poly(((x + k - 0.05, y), (x + k + 0.05, y), (x + 1.5 * k + 0.16, 1.2), (x + 1.5 * k - 0.14, 1.2)),
                (190, 184, 174), "path", "concrete", grain=0.06)
    house(c, x - w / 2, x + w / 2, y - h, y)
    c.near = 1.0
    for side in (-1, 1):
        if d.chance(0.6):
            tree(c, x + side * d(0.5, 0.66) * w, y + d(0.0, 0.06), d(0.32, 0.58))
        if d.chance(0.6):
            bush(c, x + side * d(0.28, 0.5) * w, y + d(0.01, 0.05), d(0.05, 0.08))
    rare(c, y + 0.03, 0.16, people=0.1, cars=0.15, fences=0.22)


def street(c: Canvas) -> None:
    """A road to the vanishing point between two rows of buildings."""
    d = c.dice
    vx, vy = d(0.36, 0.64), d(0.44, 0.56)
    sky(c, vy, (0, 2))
    c.near = 0.6
    c.rect(-1, vy, 2, 2, d.near((170, 166, 160), 8), "sidewalk", "concrete", grain=0.05)
    asphalt = d.near((92, 94, 100), 10)
    half = d(0.55, 0.75)
    c.poly(((vx, vy), (vx, vy), (vx + half, 1.1), (vx - half, 1.1)), asphalt, "road", "asphalt", shade=(0, 0.1),
            grain=0.08)
    marks = []
    for near in (0.3, 0.75, 1.5, 3.2):
        s0, s1 = 0.62 / (1 + near), 0.62 / (1 + 1.5 * near)
        marks.append(((vx - 0.025 * s0, vy + s0), (vx + 0.025 * s0, vy + s0), (vx + 0.02 * s1, vy + s1),
                (vx - 0.02 * s1, vy + s1)))
    c.poly(np.array(marks), (240, 232, 190), "road", "painted")
    for side in (-1, 1):
        z, kerb = 4.5, d(0.66, 0.84)
        while z > 0.2:
            z1 = max(0.0, z * d(0.42, 0.6))
            terrace(c, vx, vy, side * kerb, z, z1, d(0.62, 1.25))
            z = z1
    c.near = 1.0
    for side in (-1, 1):
        for z in (1.6, 0.55):
            if d.chance(0.55):
                s = 1 / (1 + z)
                x, y = vx + side * 0.56 * s, vy + 0.55 * s
                if d.chance(0.6):
                    tree(c, x, y, d(0.55, 0.85) * s, d.pick(("round", "poplar", "autumn")))
                else:
                    streetlight(c, x, y, 0.8 * s, -side)
    for z in (2.2, 0.9, 0.35):
        s = 1 / (1 + z)
        if d.chance(0.17):
            car(c, vx + d.pick((-0.3, 0.27)) * s, vy + d(0.48, 0.55) * s, 0.34 * s, "rear")
    if d.chance(0.15):
        car(c, d(0.25, 0.75), d(0.85, 0.95), d(0.36, 0.46))
    if d.chance(0.3):
        for _ in range(d.whole(1, 2)):
            s = 1 / (1 + d(0.3, 1.6))
            person(c, vx + d.pick((-1, 1)) * d(0.5, 0.6) * s, vy + 0.55 * s, 0.48 * s)


def terrace(c: Canvas, vx: float, vy: float, x: float, z0: float, z1: float, high: float) -> None:
    """One front of a street in perspective: from depth z0 (far) to z1 (near) at the offset x from the axis."""
    d = c.dice
    foot = 0.5

    def at(z, y):
        return vx + x / (1 + z), vy + y / (1 + z)

    colour, material = d.pick(WALLS)
    colour = dim(d.near(colour, 14), 0.82 if x * c.sun > 0 else 1.0)
    corners = [at(z0, -high), at(z1, -high), at(z1, foot), at(z0, foot)]
    texture = None
    if material == "brick" and z1 < 1.2:
        texture = c.dress(colour, 7, (high + foot) / 0.13,
                ("bricklike",))._replace(colour=mix(colour, (228, 208, 190), 0.4))
    if x > 0:  # far edge is on the left
        corners = [corners[0], corners[1], corners[2], corners[3]]
    c.poly([(vx + (x + 0.5 * np.sign(x)) / (1 + z0), at(z0, -high)[1]), at(z0, -high), at(z0, foot),
            (vx + (x + 0.5 * np.sign(x)) / (1 + z0), at(z0, foot)[1])],
           dim(colour, 0.7), "building", material)
    c.poly(corners, colour, "building", material, texture, grain=0.03)
    columns, rows = (3, max(2, round((high + 0.2) / 0.34))) if z1 < 1.5 else (2, 3)
    z = np.linspace(1 / (1 + z0), 1 / (1 + z1), 2)
    panes = []
    for i in range(columns):
        s0, s1 = z[0] + (z[1] - z[0]) * (i + 0.28) / columns, z[0] + (z[1] - z[0]) * (i + 0.72) / columns
        for j in range(rows):
            t, b = -high + (high + 0.2) * (j + 0.2) / rows, -high + (high + 0.2) * (j + 0.75) / rows
            panes.append(((vx + x * s0, vy + t * s0), (vx + x * s1, vy + t * s1), (vx + x * s1, vy + b * s1),
                    (vx + x * s0, vy + b * s0)))
    night = c.attributes["time"] == "night"
    glass = (255, 214, 120) if night and d.chance(0.7) else d.near(DARK_GLASS, 18)
    c.poly(np.array(panes), glass, "window.pane<building", "glass", glow=1.0 if night else 0.15)
    s0, s1 = z[0] + (z[1] - z[0]) * 0.42, z[0] + (z[1] - z[0]) * 0.6
    c.poly([(vx + x * s0, vy + 0.2 * s0), (vx + x * s1, vy + 0.2 * s1), (vx + x * s1, vy + foot * s1),
            (vx + x * s0, vy + foot * s0)],
           d.near((104, 62, 44)), "door<building", "wood")
    if z1 < 1.5 and d.chance(0.3):
        cloth, out = d.pick(CLOTHES), -0.16 * np.sign(x)
        s0, s1 = z[0] + (z[1] - z[0]) * 0.12, z[0] + (z[1] - z[0]) * 0.9
        c.poly([(vx + x * s0, vy + 0.02 * s0), (vx + x * s1, vy + 0.02 * s1), (vx + (x + out) * s1, vy + 0.14 * s1),
                (vx + (x + out) * s0, vy + 0.14 * s0)],
               cloth, "building", "fabric", c.dress(cloth, 4, 1, ("striped",)))


def park(c: Canvas) -> None:
    d = c.dice
    horizon = d(0.4, 0.52)
    sky(c, horizon)
    c.near = 0.3
    if d.chance(0.35):
        for x in (d(0.0, 0.3), d(0.5, 0.9)):
            building(c, x, x + d(0.16, 0.24), horizon - d(0.1, 0.25), horizon + 0.02, entrance=False)
    ridge(c, horizon + 0.03, d(0.08, 0.14), d.near((70, 112, 60)), "tree", 0.3)
    lawn(c, horizon)
    c.near = 0.7
    bend, foot = d(-0.35, 0.35), d(0.2, 0.8)
    ts = np.linspace(0, 1, 8)
    mid = foot + bend * np.sin(np.pi * (1 - ts)) * ts + (0.5 - foot) * (1 - ts)
    wide = 0.012 + 0.16 * ts**1.6
    ys = horizon + 0.02 + (1.1 - horizon) * ts
    c.poly(np.concatenate([np.stack([mid - wide, ys], 1), np.stack([mid + wide, ys], 1)[::-1]]),
            d.near((208, 186, 150), 10), "path", "stone", grain=0.08)
    if d.chance(0.4):
        x, y, r = d.pick((d(0.1, 0.25), d(0.75, 0.9))), d(0.66, 0.78), d(0.16, 0.24)
        c.oval(x, y, r, 0.3 * r, (176, 168, 150), "path", "stone")
        c.oval(x, y, 0.93 * r, 0.25 * r, (86, 138, 170), "water", "liquid", shade=(0, 0.25), grain=0.05)
    for y in sorted(horizon + d(0.03, 0.34) for _ in range(d.whole(3, 5))):
        x = d(-0.02, 0.3) if d.chance(0.5) else d(0.7, 1.02)
        c.near = 0.4 + y / 2
        tree(c, x, y, 0.16 + 1.05 * (y - horizon) + d(0, 0.14))
    for _ in range(d.whole(0, 2)):
        x, y, w = d(0.1, 0.9), d(0.72, 0.95), d(0.08, 0.14)
        if d.chance(0.5):
            bush(c, x, y, w)
        else:
            c.oval(x, y, 1.3 * w, 0.3 * w, (96, 110, 56), "grass")
            for _ in range(2):
                blooms(c, x - 1.2 * w, y - 0.22 * w, x + 1.2 * w, y + 0.22 * w, 9, 0.014)
    if d.chance(0.7):
        bench(c, d(0.15, 0.85), d(0.74, 0.9), d(0.2, 0.3))
    if d.chance(0.3):
        streetlight(c, d(0.2, 0.8), d(0.66, 0.75), d(0.3, 0.4), d.pick((-1, 1)))
    rare(c, d(0.62, 0.78), 0.17, people=0.3, fences=0.1)


def coast(c: Canvas) -> None:
    d = c.dice
    horizon = d(0.36, 0.5)
    sky(c, horizon)
    mood = c.attributes["time"]
    sea = d.near({"day": (44, 124, 172), "sunset": (96, 110, 150)}.get(str(mood), (70, 118, 144)), 12)
    c.near = 0.3
    if d.chance(0.4):
        ridge(c, horizon, d(0.04, 0.12), d.near((112, 128, 134)), "mountain", 0.3)
    c.fade(horizon, 1.2, mix(sea, (206, 222, 232), 0.35), dim(sea, 0.95), "water", material="liquid", grain=0.05)
    if mood in ("day", "sunset") and d.chance(0.6):  # the sun's path on the water
        x = 0.5 + 0.42 * c.sun
        c.veil([(x - 0.03, horizon), (x + 0.03, horizon), (x + 0.12, 0.95), (x - 0.12, 0.95)], (255, 240, 200), 0.35)
    for _ in range(d.whole(0, 2)):
        y = horizon + d(0.01, 0.12)
        boat(c, d(0.1, 0.9), y, 0.08 + 0.9 * (y - horizon))
    xs = np.linspace(-0.3, 1.3, 14)
    shore = d(0.62, 0.74) + d(-0.2, 0.2) * (xs - 0.5) + 0.03 * np.sin(d(4, 8) * xs + d(0, 6))
    c.near = 0.7
    for k in (0.16, 0.08):
        y = shore[3] - k
        c.poly(np.array([((x - w, y + e), (x, y + e - 0.01), (x + w, y + e), (x, y + e + 0.006))
                         for x, w, e in ((d(), d(0.08, 0.2), d(-0.02, 0.02)) for _ in range(3))]), (236, 244, 248),
                                 "water", "liquid")
    for lift, colour, tag in ((0.03, (240, 246, 248), "water"), (0.0, d.near((230, 206, 158), 12), "sand")):
        c.poly([(-0.3, 1.5), *zip(xs.tolist(), (shore - lift).tolist(), strict=True), (1.3, 1.5)], colour, tag,
               "liquid" if tag == "water" else "", shade=(0, -0.08), grain=0.06)
    if d.chance(0.35):  # a cliff, sometimes with a lighthouse
        side = d.pick((0.0, 1.0))
        reach, top, e = d(0.24, 0.4), horizon - d(0.06, 0.16), 1 if side == 0 else -1
        if d.chance(0.6):
            x = side + e * reach * 0.4
            c.poly(((x - 0.025, top - 0.24), (x + 0.025, top - 0.24), (x + 0.04, top + 0.02),
                    (x - 0.04, top + 0.02)), (246, 244, 240), "tower", "painted", shade=(-0.25 * c.sun, 0))
            c.rects([(x - 0.036, top - 0.1, x + 0.036, top - 0.04), (x - 0.029, top - 0.2, x + 0.029, top - 0.15)],
                    (206, 52, 44), "tower", "painted")
            c.arch(x - 0.022, top - 0.29, x + 0.022, top - 0.235, (255, 230, 150), "tower", "glass", glow=0.8)
        c.poly(((side - e * 0.2, top), (side + e * 0.6 * reach, top + 0.01), (side + e * 0.8 * reach, top + 0.12),
                (side + e * reach, 0.7), (side - e * 0.2, 0.82)),
               d.near((124, 108, 96)), "rock", "stone", shade=(0.2 * e, 0.1), grain=0.14)
        c.poly(((side - e * 0.2, top - 0.015), (side + e * 0.6 * reach, top), (side + e * 0.7 * reach, top + 0.05),
                (side - e * 0.2, top + 0.04)), (110, 140, 70), "grass", grain=0.1)
    c.near = 1.0
    for _ in range(d.whole(0, 2)):
        tree(c, d(0.02, 0.2) if d.chance(0.5) else d(0.8, 0.98), d(0.78, 0.96), d(0.42, 0.66), "palm")
    if d.chance(0.5):
        for x in (d(0.15, 0.45), d(0.5, 0.85))[: d.whole(1, 2)]:
            umbrella(c, x, d(0.82, 0.95), d(0.18, 0.28))
    if d.chance(0.3):
        for _ in range(d.whole(2, 4)):
            c.oval(d(), d(0.84, 1.0), d(0.04, 0.09), d(0.03, 0.05), d.near((120, 112, 106)), "rock", "stone",
                    bulge=0.3, grain=0.1)
    rare(c, 0.76, 0.15, people=0.25)


def ski_resort(c: Canvas) -> None:
    d = c.dice
    c.attributes["snowy"] = True
    horizon = d(0.46, 0.58)
    sky(c, horizon, (0, 2))
    mountains(c, horizon + 0.02, d(0.24, 0.38), snow=0.9)
    snow = d.near((236, 242, 250), 5)
    c.near = 0.5
    left, right = horizon + d(-0.08, 0.1), horizon + d(-0.08, 0.1)
    c.poly(((-1, left), (0.5, (left + right) / 2 + d(-0.04, 0.05)), (2, right), (2, 2), (-1, 2)), snow, "snow",
            shade=(0.06 * c.sun, -0.06), grain=0.025)
    c.near = 0.6
    for _ in range(d.whole(3, 6)):
        x = d(0, 0.35) if d.chance(0.5) else d(0.65, 1)
        y = horizon + d(0.06, 0.16)
        tree(c, x, y, d(0.14, 0.24), "conifer")
    if d.chance(0.4):
        x = d(0.1, 0.65)
        house(c, x, x + d(0.24, 0.32), horizon - 0.02, horizon + d(0.12, 0.15))
    a, b = d(0.0, 0.25), d(0.5, 0.75)
    c.poly(((a, 1.1), (a + d(0.0, 0.2), horizon + 0.2), (b, horizon + 0.12), (b - 0.02, horizon + 0.2),
            (a + 0.25, horizon + 0.4), (a + 0.2, 1.1)),
           mix(snow, (176, 200, 228), 0.45), "snow", grain=0.02)
    if d.chance(0.65):  # the lift
        c.near = 0.7
        x0, y0, x1, y1 = (-0.1, d(0.2, 0.34), 1.1, d(0.1, 0.3)) if d.chance(0.5) else (1.1, d(0.2, 0.34), -0.1,
                d(0.1, 0.3))
        for k in (0.25, 0.7):
            x, y = x0 + (x1 - x0) * k, y0 + (y1 - y0) * k
            c.line(x, y - 0.01, x, horizon + 0.16, 0.022, (78, 84, 94), "ski lift.stand", "metal")
            c.line(x - 0.05, y, x + 0.05, y, 0.016, (78, 84, 94), "ski lift.stand", "metal")
        c.line(x0, y0, x1, y1, 0.009, (50, 52, 60), "ski lift", "metal")
        paint = d.pick(PAINTS)
        for k in (0.12, 0.38, 0.56, 0.86):
            x, y = x0 + (x1 - x0) * k, y0 + (y1 - y0) * k
            c.line(x, y, x, y + 0.06, 0.01, (50, 52, 60), "ski lift", "metal")
            c.rect(x - 0.032, y + 0.05, x + 0.032, y + 0.095, paint, "ski lift.seat", "metal", shade=(0, -0.2))
    c.near = 1.0
    for side in (-1, 1):
        if d.chance(0.7):
            tree(c, 0.5 + side * d(0.32, 0.5), d(0.82, 0.98), d(0.36, 0.56), "conifer")
    for _ in range(max(0, d.whole(-1, 2)) if d.chance(0.7) else 0):
        person(c, d(0.25, 0.75), d(0.74, 0.93), d(0.2, 0.3), "ski")


def airfield(c: Canvas) -> None:
    d = c.dice
    horizon = d(0.4, 0.52)
    sky(c, horizon)
    c.near = 0.3
    if d.chance(0.5):
        ridge(c, horizon + 0.02, d(0.04, 0.1), d.near((98, 122, 112)), "hill", 0.3)
    lawn(c, horizon)
    c.near = 0.5
    for x in ((d(0.0, 0.2),), (d(0.6, 0.8),), (d(0.0, 0.2), d(0.6, 0.75)), ())[d.whole(0, 3)]:
        hangar(c, x, x + d(0.22, 0.34), horizon - d(0.07, 0.12), horizon + 0.04)
    if d.chance(0.5):  # the control tower
        x = d(0.3, 0.7)
        c.rect(x - 0.024, horizon - 0.22, x + 0.024, horizon + 0.04, (214, 210, 202), "tower<building", "concrete",
                shade=(-0.2 * c.sun, 0))
        c.poly(((x - 0.06, horizon - 0.3), (x + 0.06, horizon - 0.3), (x + 0.045, horizon - 0.21),
                (x - 0.045, horizon - 0.21)), (60, 92, 116), "window.pane<building", "glass", glow=0.2)
        c.rect(x - 0.065, horizon - 0.325, x + 0.065, horizon - 0.295, (196, 66, 56), "roof<building", "metal")
    tarmac = d.near((126, 128, 134), 10)
    if d.chance(0.5):  # the runway ahead
        vx = d(0.35, 0.65)
        c.poly(((vx - 0.03, horizon + 0.03), (vx + 0.03, horizon + 0.03), (vx + 0.6, 1.3), (vx - 0.6, 1.3)), tarmac,
                "runway", "asphalt", shade=(0, 0.1), grain=0.06)
        marks = [((vx - 0.03 * s, horizon + 0.8 * s), (vx + 0.03 * s, horizon + 0.8 * s),
                (vx + 0.036 * s, horizon + 0.92 * s), (vx - 0.036 * s, horizon + 0.92 * s))
                 for s in (0.12, 0.2, 0.32, 0.5)]
        c.poly(np.array(marks), (244, 244, 240), "runway", "painted")
    else:
        y = horizon + d(0.1, 0.16)
        c.rect(-0.5, y, 1.5, y + d(0.3, 0.4), tarmac, "runway", "asphalt", shade=(0, 0.1), grain=0.06)
        c.rects([(x, y + 0.14, x + 0.09, y + 0.16) for x in np.arange(-0.4, 1.4, 0.18).tolist()], (240, 230, 160),
                "runway", "painted")
    if d.chance(0.4):
        c.near = 0.3
        airplane(c, d(0.2, 0.8), d(0.1, 0.25), d(0.2, 0.3), flying=True)
    for y, w in ((horizon + 0.12, d(0.26, 0.38)), (horizon + 0.3, d(0.46, 0.68)))[:: d.pick((1, -1))][: d.whole(1, 2)]:
        c.near = 0.8
        airplane(c, d(0.25, 0.75), y, w)
    c.near = 1.0
    if d.chance(0.35):
        x = d(0.08, 0.92)
        c.line(x, 0.86, x, 0.6, 0.014, (236, 236, 236), "streetlight", "metal")
        c.poly(((x, 0.6), (x + 0.13, 0.62), (x + 0.13, 0.645), (x, 0.66)), (240, 110, 40), "streetlight", "fabric",
                c.dress((240, 110, 40), 2, 1, ("striped",)))
    rare(c, 0.8, 0.14, people=0.15, cars=0.12, fences=0.15)


def hangar(c: Canvas, x0: float, x1: float, y0: float, y1: float) -> None:
    d = c.dice
    metal = d.near((176, 186, 194), 16)
    c.arch(x0, y0 - 0.05, x1, y1, metal, "building", "metal",
            c.dress(metal, (x1 - x0) / 0.05, 1, ("striped",))._replace(colour=dim(metal, 0.8)))
    w = x1 - x0
    c.rect(x0 + 0.2 * w, y0 + 0.02, x1 - 0.2 * w, y1, d.near((84, 92, 104), 10), "door<building", "metal")


def baseball_field(c: Canvas) -> None:
    d = c.dice
    horizon = d(0.34, 0.46)
    sky(c, horizon, (0, 2))
    c.near = 0.4
    if d.chance(0.5):
        ridge(c, horizon, d(0.05, 0.1), d.near((64, 104, 58)), "tree", 0.3)
    if d.chance(0.75):  # the stands, full of spectators
        colour = d.near(d.pick(((60, 84, 130), (130, 62, 60), (110, 112, 120))), 10)
        c.poly(((-0.3, horizon - 0.2), (0.3, horizon - 0.12), (0.7, horizon - 0.12), (1.3, horizon - 0.2),
                (1.3, horizon + 0.05), (-0.3, horizon + 0.05)), colour,
               "grandstand", "concrete", c.dress(colour, 30, 6, ("dotted", "grid")), grain=0.15)
    if d.chance(0.45):
        x = d(0.15, 0.75)
        c.rects([(x + 0.02, horizon - 0.1, x + 0.03, horizon + 0.03),
                (x + 0.17, horizon - 0.1, x + 0.18, horizon + 0.03)], (80, 80, 86), "scoreboard.stand", "metal")
        c.rect(x, horizon - 0.22, x + 0.2, horizon - 0.08, (28, 58, 44), "scoreboard")
        c.rects([(x + 0.02 + 0.045 * i, horizon - 0.2 + 0.06 * j, x + 0.045 + 0.045 * i,
                horizon - 0.165 + 0.06 * j) for i in range(4) for j in range(2)],
                (250, 226, 140), "scoreboard", glow=0.8)
    c.near = 0.6
    grass = d.near((88, 152, 62), 10)
    c.rect(-1, horizon + 0.02, 2, 2, grass, "grass", grain=0.05)
    c.rect(-0.5, horizon, 1.5, horizon + 0.045, d.near(d.pick(((36, 84, 62), (40, 62, 110), (120, 50, 46))), 8),
            "wall", "painted", shade=(0, 0.1))
    if d.chance(0.8):  # mown in stripes
        c.poly(((0.1, horizon + 0.045), (0.9, horizon + 0.045), (2.2, 1.1), (-1.2, 1.1)), grass, "grass", "",
                c.dress(grass, 9, 1, ("striped", "striped", "chequered"))._replace(
            down=6.0, colour=dim(grass, 0.82)), grain=0.04)
    x, y, w = d(0.42, 0.58), d(0.84, 0.93), d(0.36, 0.46)
    top = horizon + d(0.12, 0.17)
    dirt = d.near((190, 126, 78), 10)
    mid = (top + y) / 2
    c.oval(x, mid, 1.05 * w, 0.52 * (y - top), dirt, "earth", grain=0.08)
    c.poly(((x, top + 0.3 * (mid - top)), (x + 0.66 * w, mid), (x, y - 0.25 * (y - mid)), (x - 0.66 * w, mid)),
            dim(grass, 1.06), "grass", grain=0.05)
    c.oval(x, y, 0.34 * w, 0.1 * w, dirt, "earth", grain=0.08)
    for bx in (x - 1.6 * w, x + 1.6 * w):
        c.line(x, y, bx, mid - 0.9 * (y - mid), 0.012, (248, 248, 244), "grass", "painted")
    c.oval(x, mid + 0.02, 0.12 * w, 0.045 * w, dirt, "earth")
    bases = ((x, top + 0.12 * (mid - top)), (x + 0.82 * w, mid), (x, y), (x - 0.82 * w, mid))
    c.poly(np.array([((bx, by - 0.012), (bx + 0.026, by), (bx, by + 0.012), (bx - 0.026, by)) for bx, by in bases]),
            (252, 252, 250), "base", "fabric")
    team = d.pick(CLOTHES)
    for (px, py), pose, odds in (((x, mid), "walk", 0.3), ((x + 0.6 * w, mid - 0.02), "stand", 0.15),
            ((x - 0.09, y + 0.02), "bat", 0.25), ((x - 0.7 * w, mid), "stand", 0.15)):
        if d.chance(odds):
            c.near = 0.5 + py / 2
            person(c, px, py, 0.1 + 0.24 * (py - horizon), pose, team if pose != "bat" else None)
    if d.chance(0.3):
        c.near = 0.4
        bx = d.pick((0.08, 0.92))
        c.line(bx, horizon + 0.03, bx, horizon - 0.3, 0.014, (120, 124, 130), "streetlight.stand", "metal")
        c.rect(bx - 0.06, horizon - 0.35, bx + 0.06, horizon - 0.28, (250, 248, 230), "streetlight", "glass",
                c.dress((250, 248, 230), 3, 2, ("grid",))._replace(colour=(90, 94, 100)), glow=0.8)


PAINTERS = {
    "church-outdoor": church_outdoor, "house": house_scene, "street": street, "park": park, "coast": coast,
    "ski_resort": ski_resort, "airfield": airfield, "baseball_field": baseball_field,
}
