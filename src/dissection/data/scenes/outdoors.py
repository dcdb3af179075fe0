"""Outdoor scenes: sky, land, trees, buildings, vehicles and people, painted from far to near."""

# Drawing instructions read best in rows.
# fmt: off
import numpy as np

from dissection.data.scenes.canvas import Canvas, Colour, Pen, dim, mix

Wall = tuple[Colour, str]
# Time of day: light on things, sky above, sky at the horizon, clouds, how often.
MOODS: dict[str, tuple[Colour, Colour, Colour, Colour, int]] = {
    "day": ((1.0, 1.0, 1.0), (64, 132, 214), (186, 218, 242), (250, 252, 255), 5),
    "haze": ((0.98, 0.98, 1.0), (142, 178, 212), (222, 230, 234), (244, 246, 248), 2),
    "overcast": ((0.84, 0.87, 0.92), (150, 160, 174), (202, 208, 212), (184, 190, 198), 2),
    "sunset": ((1.0, 0.83, 0.68), (96, 104, 176), (252, 178, 112), (255, 206, 176), 2),
    "night": ((0.42, 0.46, 0.68), (22, 28, 70), (66, 74, 128), (84, 90, 134), 1),
}
SKINS = ((244, 206, 178), (226, 180, 146), (190, 138, 102), (142, 94, 66), (96, 62, 46))
HAIRS = ((40, 28, 24), (78, 50, 32), (134, 92, 52), (214, 176, 104), (168, 74, 40), (120, 118, 116))
CLOTHES = ((204, 44, 48), (40, 86, 170), (238, 190, 56), (48, 132, 84), (236, 236, 232), (42, 44, 56), (128, 74, 150),
           (236, 128, 160), (230, 122, 44), (110, 168, 208))
PAINTS = ((212, 66, 56), (236, 236, 236), (44, 46, 54), (52, 96, 176), (150, 156, 164), (236, 182, 50), (60, 130, 96))
WALLS: tuple[Wall, ...] = (
    ((176, 84, 62), "brick"), ((196, 116, 84), "brick"), ((204, 190, 166), "stone"), ((160, 154, 148), "concrete"),
    ((222, 206, 172), "painted"), ((232, 226, 214), "painted"), ((226, 178, 122), "painted"),
    ((196, 148, 140), "painted"), ((140, 168, 184), "painted"))
CHURCHES: tuple[Wall, ...] = (
    ((216, 204, 178), "stone"), ((182, 172, 158), "stone"), ((240, 238, 230), "painted"), ((178, 92, 68), "brick"),
    ((230, 200, 150), "painted"), ((198, 172, 140), "stone"))
ROOFS = ((160, 70, 52), (120, 60, 50), (86, 84, 92), (92, 74, 62), (70, 96, 104))
DOMES = ((96, 142, 128), (86, 88, 98), (150, 72, 54), (64, 84, 110), (204, 164, 70))
GREENS = ((58, 116, 48), (78, 136, 52), (40, 94, 50), (104, 140, 54))
AUTUMN = ((206, 118, 40), (190, 74, 44), (216, 168, 56), (232, 160, 184))
BLOOMS = ((236, 64, 92), (250, 206, 60), (250, 246, 246), (196, 96, 200), (246, 128, 60))
GLASS, STEEL, PALE = (70, 94, 120), (72, 76, 84), (240, 238, 232)


# ------------------------------------------------------------------------------------------------ sky and land


def sky(c: Canvas, horizon: float, clouds: int = 3, moods: str = "day haze overcast sunset night") -> None:
    d = c.dice
    mood = d.pick([name for name in moods.split() for _ in range(MOODS[name][4])])
    c.tint, top, bottom, white, _ = MOODS[mood]
    c.attributes["time"] = mood
    c.near = 0.05
    c.fade(-1 if c.camera != (0, 0, 1) else 0, horizon + 0.04, d.near(top, 14), d.near(bottom, 10), "sky", grain=0,
        glow=1)
    if mood in ("day", "sunset", "night") and d.chance(0.4):
        x, y, r = 0.5 + 0.42 * c.sun, d(0.06, 0.2) if mood != "sunset" else horizon - d(0.05, 0.15), d(0.035, 0.055)
        disc = {"day": (255, 248, 204), "sunset": (255, 214, 120), "night": (236, 238, 226)}[mood]
        c.halo(x, y, 2 * r, disc, 0.25)
        c.oval(x, y, r, r, disc, "sun", shade=(0, 0), glow=1)
    for _ in range(d.whole(0, clouds)):
        x, y, w = d(), d(0.04, max(0.06, horizon - 0.16)), d(0.08, 0.17)
        for _ in range(d.whole(3, 4)):
            c.oval(x + d(-w, w), y + d(-0.012, 0.02), d(0.5, 0.8) * w, d(0.2, 0.34) * w, d.near(white, 6), "cloud",
                glow=0.9)


def ridge(c: Canvas, base: float, height: float, colour: Colour, tag: str, smooth: bool = True) -> list:
    """A rolling or jagged skyline from side to side; returns its points."""
    d = c.dice
    step, x = 1 / d.whole(4, 7), -0.3
    points: list[tuple[float, float]] = []
    while x < 1.35:
        high = d.chance(0.5) if smooth else len(points) % 2 == 0
        points.append((x, base - height * (d(0.65, 1.0) if high else d(0.25, 0.6))))
        x += d(0.7, 1.3) * step
    if smooth:
        xs = np.linspace(-0.3, 1.3, 24)
        ys = np.interp(xs, [p[0] for p in points], [p[1] for p in points])
        window = np.hanning(9)[1:-1] / np.hanning(9).sum()
        points = list(zip(xs.tolist(), np.convolve(np.pad(ys, 3, "edge"), window, "valid").tolist(), strict=True))
    c.poly([(points[0][0], base + 0.1), *points, (points[-1][0], base + 0.1)], colour, tag, grain=0.06)
    return points


def hills(c: Canvas, horizon: float, low: float, high: float, odds: float, tag: str = "hill") -> None:
    d = c.dice
    c.near = 0.25
    if d.chance(odds):
        colour = (70, 110, 60) if tag == "tree" else (106, 134, 108)
        ridge(c, horizon + 0.02, d(low, high), d.near(colour), tag)


def mountains(c: Canvas, base: float, height: float) -> None:
    d = c.dice
    c.near = 0.15
    colour = d.near(d.pick(((104, 112, 140), (120, 116, 122), (96, 120, 130), (130, 112, 98))), 10)
    ridge(c, base, height * 0.6, mix(colour, (196, 210, 226), 0.45), "mountain", smooth=False)
    points = ridge(c, base, height, colour, "mountain", smooth=False)
    for (lx, ly), (x, y), (rx, ry) in zip(points, points[1:], points[2:], strict=False):
        if y < min(ly, ry):
            side, edge = (rx, ry) if c.sun < 0 else (lx, ly)
            c.poly(((x, y), (side, edge), (x + (side - x) * 0.25, base)), dim(colour, 0.78), "mountain", grain=0.06)
            k = d(0.3, 0.55)
            (ax, ay), (bx, by) = (x + (lx - x) * k, y + (ly - y) * k), (x + (rx - x) * k, y + (ry - y) * k)
            dip, rise = max(ay, by) - 0.22 * (max(ay, by) - y), 0.1 * (max(ay, by) - y)
            c.poly(((x, y), (bx, by), (x + (bx - x) * 0.4, dip), (x, max(ay, by) + rise), (x + (ax - x) * 0.5, dip),
                (ax, ay)),
                   (244, 248, 252), "snow", grain=0.01)


def ground(c: Canvas, horizon: float, colour: Colour, tag: str = "grass", material: str = "",
    grain: float = 0.07) -> Colour:
    c.near = 0.6
    colour = c.dice.near(colour, 10)
    c.rect(-1, horizon, 2, 2, colour, tag, material, shade=(0, 0.2), grain=grain)
    return colour


def lawn(c: Canvas, horizon: float) -> Colour:
    return ground(c, horizon, c.dice.pick(((94, 148, 58), (112, 158, 66), (126, 150, 70), (78, 132, 60))))


# ------------------------------------------------------------------------------------------------ plants


def tree(c: Canvas, x: float, y: float, h: float, kind: str = "") -> None:
    """A tree of height h that stands at (x, y): round, conifer, poplar, palm or autumn."""
    d, f = c.dice, c.at(x, y, h)
    kind = kind or d.pick(("round", "round", "round", "conifer", "poplar", "autumn"))
    green, bark = d.near(d.pick(AUTUMN if kind == "autumn" else GREENS), 13), d.near((96, 68, 46), 12)
    f.shadow(-0.1 * c.sun, 0, 0.28, 0.045)
    crown = ("tree.crown", "foliage")
    if kind == "conifer":
        green = mix(green, (24, 70, 56), 0.6)
        f.rect(-0.03, 0.16, 0.03, 0, bark, "tree.trunk", "wood")
        for k in range(3):
            top, low, w = 1 - 0.22 * k, 0.58 - 0.23 * k, 0.15 + 0.075 * k
            f.poly(((0, top), (w, low), (0, low - 0.04), (-w, low)), dim(green, 1.1 - 0.08 * k), *crown,
                   shade=(-0.25 * c.sun, 0.1), grain=0.12)
            if c.attributes.get("snowy") and k < 2:
                a, b, e = (top + (low - top) * t for t in (0.6, 0.45, 0.65))
                f.poly(((0, top), (0.55 * w, a), (-0.1 * w, b), (-0.5 * w, e)), (240, 245, 250), "snow")
    elif kind == "palm":
        lean = d(-0.16, 0.16)
        f.poly(((-0.03, 0), (lean - 0.018, 0.8), (lean + 0.018, 0.8), (0.03, 0)), mix(bark, (180, 150, 110), 0.5),
            "tree.trunk", "wood")
        for k, angle in enumerate((-2.75, 2.85, 0.3, -0.2, -2.1, -1.3, -0.75)):
            dx, dy = 0.34 * np.cos(angle), -0.24 * np.sin(angle)
            leaf = ((0, 0), (0.55 * dx, dy + 0.03), (dx, dy - 0.12), (0.5 * dx, dy - 0.05))
            f.poly([(lean + px, 0.8 + py) for px, py in leaf], dim(green, 0.85 + 0.05 * k), *crown, grain=0.08)
    else:
        rx, ry = (0.15, 0.4) if kind == "poplar" else (d(0.27, 0.36), 0.32)
        f.poly(((-0.045, 0), (-0.025, 1 - ry), (0.025, 1 - ry), (0.045, 0)), bark, "tree.trunk", "wood")
        f.oval(0, 1 - 1.12 * ry, rx, 0.95 * ry, dim(green, 0.78), *crown, grain=0.12)
        for k in range(4):
            angle = 0.6 + 1.57 * k + d(-0.4, 0.4)
            px, py = 0.5 * rx * np.cos(angle), 0.42 * ry * np.sin(angle)
            f.oval(px, 1 - ry - py, 0.58 * rx, 0.56 * ry, dim(green, 0.98 - 0.12 * np.sin(angle)), *crown, bulge=0.22,
                grain=0.14)


def bush(c: Canvas, x: float, y: float, w: float) -> None:
    d, f = c.dice, c.at(x, y, w)
    green = d.near(d.pick(GREENS), 14)
    f.shadow(0, 0, 1.1, 0.18)
    for dx, r in ((-0.5, 0.55), (0.5, 0.5), (0.0, 0.7)):
        f.oval(dx, 0.75 * r, r, 0.8 * r, dim(green, 0.9 + 0.2 * (dx == 0)), "bush", "foliage", bulge=0.2, grain=0.14)
    if d.chance(0.45):
        blooms(f, -1, 0.1, 1, 1, 7, 0.13)


def blooms(f: Pen, x0: float, y0: float, x1: float, y1: float, count: int, r: float) -> None:
    d = f.canvas.dice
    f.ovals([(d(x0, x1), d(y0, y1)) for _ in range(count)], r, r, d.pick(BLOOMS), "flower.blossom", glow=0.2)


# ------------------------------------------------------------------------------------------------ buildings


def windows(c: Canvas, boxes: list, whole: str, arched: bool = False, frame: bool = True) -> None:
    """Windows in a facade; at night most of them are lit."""
    d = c.dice
    night = c.attributes.get("time") == "night"
    glass = (255, 214, 120) if night and d.chance(0.75) else d.near(GLASS, 16)
    pale = d.pick(((244, 242, 236), (226, 220, 206), (92, 72, 58)))
    pane = (f"window.pane<{whole}", "glass")
    e, glow = 0.011, 1.0 if night else 0.15
    for x0, y0, x1, y1 in boxes if arched else ():
        if frame:
            c.arch(x0 - e, y1 + e, x1 + e, y0 - e, pale, f"window.frame<{whole}")
        c.arch(x0, y1, x1, y0, glass, *pane, glow=glow)
    if not arched:
        if frame:
            c.rects([(x0 - e, y0 - e, x1 + e, y1 + e) for x0, y0, x1, y1 in boxes], pale, f"window.frame<{whole}")
        c.rects(boxes, glass, *pane, glow=glow)
        shine = [(a, b, a + 0.45 * (x - a), b + 0.45 * (y - b)) for a, b, x, y in boxes if x - a > 0.04]
        c.rects(shine, mix(glass, (232, 242, 250), 0.35), *pane, glow=glow)


def door(c: Canvas, x: float, y: float, w: float, h: float, whole: str, arched: bool = False) -> None:
    """A door that stands on y in a building's front; there are no others in this world."""
    d = c.dice
    colour = d.near(d.pick(((122, 66, 38), (150, 40, 40), (44, 92, 70), (50, 70, 120), (90, 52, 36))), 10)
    tag, e = f"door<{whole}", 0.014
    shape = c.arch if arched else c.rect
    shape(x - w / 2 - e, y, x + w / 2 + e, y - h - e, (228, 220, 204), f"door.frame<{whole}", "painted")
    shape(x - w / 2, y, x + w / 2, y - h, colour, tag, "wood")
    if w > 0.09:
        c.line(x, y - h * 0.92, x, y, 0.01, dim(colour, 0.5), tag, "wood")
    else:
        c.rect(x - 0.3 * w, y - 0.85 * h, x + 0.3 * w, y - 0.55 * h, dim(colour, 0.72), tag, "wood")
    c.oval(x + 0.3 * w, y - 0.45 * h, 0.008, 0.008, (236, 206, 110), tag, "metal")


def facade(c: Canvas, x0: float, y0: float, x1: float, y1: float, wall: Wall, whole: str) -> None:
    """The front of a building or a house; brick is laid in courses where it is large enough to see."""
    colour, texture = wall[0], None
    if wall[1] == "brick" and c.dice.chance(0.8):
        mortar = mix(colour, (232, 214, 196), 0.5)
        texture = c.weave(colour, (x1 - x0) / 0.075, (y1 - y0) / 0.062, "bricklike", mortar)
    c.rect(x0, y0, x1, y1, colour, whole, wall[1], texture)


def shingles(c: Canvas, colour: Colour, corners, across: float, down: float, whole: str) -> None:
    """A roof of tiles; snow lies on its ridge where it snows."""
    d = c.dice
    texture = c.weave(colour, across, down, "scaly scaly grid", dim(colour, 0.66)) if d.chance(0.6) else None
    c.poly(corners, colour, f"roof<{whole}", d.pick(("tile", "tile", "wood")), texture)
    if c.attributes.get("snowy"):
        (ax, ay), (bx, by) = corners[:2]
        c.poly((*corners[:2], (bx + 0.03, by + 0.05), (ax - 0.03, ay + 0.05)), (242, 246, 252), "snow")


def building(c: Canvas, x0: float, x1: float, y0: float, y1: float) -> None:
    """A distant office or apartment block between x0 and x1, from its cornice y0 down to the ground y1."""
    d = c.dice
    w, h = x1 - x0, y1 - y0
    if d.chance(0.3):
        colour = d.near((112, 146, 176), 16)
        c.rect(x0, y0, x1, y1, colour, "building", "glass", c.dress(colour, w / 0.075, h / 0.075, "grid"))
        return
    colour, material = d.pick(WALLS)
    wall = (d.near(colour, 12), material)
    facade(c, x0, y0, x1, y1, wall, "building")
    if d.chance(0.4):
        roof = ((x0 + 0.12 * w, y0 - 0.1), (x1 - 0.12 * w, y0 - 0.1), (x1 + 0.02, y0), (x0 - 0.02, y0))
        shingles(c, d.near(d.pick(ROOFS)), roof, w / 0.06, 2, "building")
    n, m = max(2, round(w / 0.11)), max(1, round(h / 0.14))
    cells = [(x0 + i * w / n, y0 + j * h / m) for i in range(n) for j in range(m)]
    windows(c, [(x + 0.25 * w / n, y + 0.25 * h / m, x + 0.75 * w / n, y + 0.75 * h / m) for x, y in cells],
        "building", frame=False)


def house(c: Canvas, x: float, w: float, y0: float, y1: float) -> None:
    """A house of width w whose eaves are at y0, with gable or hipped roof, chimney, door and windows."""
    d = c.dice
    x0, x1, h, rise = x - w / 2, x + w / 2, y1 - y0, d(0.42, 0.62) * (y1 - y0)
    colour, material = d.pick((*WALLS, ((206, 180, 130), "wood"), ((164, 120, 84), "wood")))
    wall, roof = (d.near(colour, 14), material), d.near(d.pick(ROOFS), 10)
    if d.chance(0.7):
        cx = x + d.pick((-0.27, 0.27)) * w
        c.rect(cx - 0.022, y0 - rise - 0.02, cx + 0.022, y0 - 0.25 * rise, (158, 84, 66), "house.chimney", "brick")
    facade(c, x0, y0, x1, y1, wall, "house")
    if d.chance(0.45):
        c.poly(((x, y0 - rise), (x1, y0 + 0.01), (x0, y0 + 0.01)), dim(wall[0], 0.95), "house.gable", material)
        for s in (-1, 1):
            e = x + s * (w / 2 + 0.03)
            slope = ((x, y0 - rise - 0.045), (e, y0 + 0.005), (e - s * 0.02, y0 + 0.035), (x, y0 - rise + 0.035))
            c.poly(slope, dim(roof, 1 - 0.16 * s * c.sun), "roof<house", "tile")
        windows(c, [(x - 0.03, y0 - 0.5 * rise, x + 0.03, y0 - 0.5 * rise + 0.08)], "house", d.chance(0.5))
    else:
        corners = ((x0 + 0.16 * w, y0 - rise), (x1 - 0.16 * w, y0 - rise), (x1 + 0.035, y0 + 0.02),
            (x0 - 0.035, y0 + 0.02))
        shingles(c, roof, corners, w / 0.055, rise / 0.05, "house")
        for cx in (x - 0.2 * w, x + 0.2 * w) if w > 0.42 and d.chance(0.6) else ():  # dormers
            tip, eave = (cx, y0 - 0.85 * rise), y0 - 0.55 * rise
            c.poly((tip, (cx + 0.06, eave), (cx + 0.06, y0 - 0.05), (cx - 0.06, y0 - 0.05), (cx - 0.06, eave)),
                wall[0], "house.gable", material)
            windows(c, [(cx - 0.03, y0 - 0.5 * rise, cx + 0.03, y0 - 0.08)], "house")
    dx, dw, dh = x + d.pick((-1, 0, 1)) * 0.3 * w, d(0.075, 0.1), min(0.8 * h, d(0.17, 0.21))
    c.rect(dx - dw, y1 - 0.015, dx + dw, y1 + 0.015, (176, 170, 160), "house.steps", "stone")
    door(c, dx, y1, dw, dh, "house", d.chance(0.2))
    spots = [x + k * w for k in (-0.34, -0.17, 0, 0.17, 0.34) if abs(x + k * w - dx) > dw / 2 + 0.06][:: d.whole(1, 2)]
    top, low = y0 + 0.24 * h, y0 + 0.24 * h + min(0.12, 0.4 * h)
    if d.chance(0.45):
        shutter = d.near(d.pick(((44, 92, 70), (60, 84, 130), (134, 54, 44))))
        boxes = [(s + k * 0.048 - 0.013, top - 0.01, s + k * 0.048 + 0.013, low + 0.01) for s in spots for k in (-1, 1)]
        c.rects(boxes, shutter, "window.shutter<house", "wood")
    windows(c, [(s - 0.035, top, s + 0.035, low) for s in spots], "house")
    if d.chance(0.25):  # a porch
        c.rect(x0 - 0.02, y1 - dh - 0.05, x1 + 0.02, y1 - dh - 0.02, dim(roof, 0.9), "roof<house", "wood")
        c.rects([(px - 0.008, y1 - dh - 0.02, px + 0.008, y1) for px in (x0, x - 0.25 * w, x + 0.25 * w, x1)], PALE,
            "house", "wood")


def steeple(c: Canvas, x: float, w: float, y0: float, y1: float, wall: Wall, top: str, roof: Colour) -> None:
    """A tower of width w with a spire, a dome, or battlements."""
    d, f = c.dice, c.at(x, y0, w)
    c.rect(x - w / 2, y0, x + w / 2, y1, wall[0], "tower<building", wall[1], shade=(-0.18 * c.sun, 0.05))
    f.rect(-0.56, -0.08, 0.56, 0.07, dim(wall[0], 1.12), "tower<building", wall[1])
    high = d(1.3, 2.2) if top == "spire" else 0.62
    if top == "spire":
        f.poly(((0, high), (0.56, 0.06), (-0.56, 0.06)), roof, "spire<building", "metal", shade=(-0.3 * c.sun, 0))
    elif top == "dome":
        f.arch(-0.5, 0.05, 0.5, high, roof, "dome<building", "metal", bulge=0.35)
        f.rect(-0.08, high, 0.08, high + 0.3, dim(roof, 0.9), "dome<building", "metal")
        high += 0.25
    else:
        f.rects([(k - 0.12, 0, k + 0.12, 0.25) for k in (-0.38, 0, 0.38)], wall[0], "tower<building", wall[1])
    if top != "battlement":
        f = c.at(x, y0 - high * w, 0.055)
        f.rects([(-0.1, 0, 0.1, 1), (-0.36, 0.58, 0.36, 0.78)], (240, 214, 120), "building.cross", "metal")
    windows(c, [(x - 0.17 * w, y0 + 0.05, x + 0.17 * w, y0 + 0.05 + 0.55 * w)], "building", True, False)


def church(c: Canvas, x: float, y: float, h: float) -> None:
    """A church of height h on (x, y): nave, towers with spires or domes, rose window, arched door."""
    d = c.dice
    colour, material = d.pick(CHURCHES)
    wall, roof = (d.near(colour, 10), material), d.near(d.pick(DOMES), 8)
    top, plan = d.pick(("spire", "spire", "dome", "dome", "battlement")), d.pick(("front", "side", "twin", "central"))
    w, tw, eaves, peak = d(0.55, 0.8) * h, d(0.21, 0.28) * h, y - 0.36 * h, y - 0.6 * h
    x0, x1 = x - w / 2, x + w / 2
    if plan == "central":
        steeple(c, x, 1.8 * tw, y - 0.66 * h, eaves, wall, "spire" if top == "spire" else "dome", roof)
    if plan == "side":
        steeple(c, x1 - 0.3 * tw, tw, y - 0.72 * h, y, wall, top, roof)
    facade(c, x0, eaves, x1, y, wall, "building")
    if d.chance(0.5) and plan != "central":
        ends = (eaves - 0.18 * h, 0.04)
        shingles(c, roof, ((x0 + ends[1], ends[0]), (x1 - ends[1], ends[0]), (x1 + 0.02, eaves), (x0 - 0.02, eaves)),
            w / 0.05, 3, "building")
    else:
        c.poly(((x, peak), (x1 + 0.02, eaves), (x0 - 0.02, eaves)), roof, "roof<building", "tile")
        c.poly(((x, peak + 0.04), (x1 - 0.03, eaves + 0.01), (x0 + 0.03, eaves + 0.01)), wall[0], "building.gable",
            material)
    sides = [x0 + k * w for k in ((0.14, 0.3, 0.7, 0.86) if w > 0.4 else (0.15, 0.85))]
    windows(c, [(s - 0.02, eaves + 0.08 * h, s + 0.02, eaves + 0.23 * h) for s in sides], "building", True,
        d.chance(0.5))
    if plan == "twin":
        for tx in (x0 + 0.2 * tw, x1 - 0.2 * tw):
            steeple(c, tx, tw, y - 0.66 * h, y, wall, top, roof)
    if plan == "front":
        steeple(c, x, 1.25 * tw, y - 0.74 * h, y, wall, top, roof)
    for r, stained in ((0.098, dim(wall[0], 0.8)), (0.075, (96, 110, 160))):
        c.oval(x, eaves + 0.02 * h, r * h, r * h, stained, "window.pane<building", "glass", glow=0.3)
    c.rect(x - 0.085, y - 0.012, x + 0.085, y + 0.02, dim(wall[0], 0.85), "building.steps", "stone")
    door(c, x, y, d(0.14, 0.18) * h, 0.31 * h, "building", arched=True)


def terrace(c: Canvas, vx: float, vy: float, x: float, z0: float, z1: float, high: float) -> None:
    """One front of a street in perspective, at the offset x from the axis, between scales z0 (far) and z1 (near)."""
    d, foot = c.dice, 0.5
    colour, material = d.pick(WALLS)
    colour = dim(d.near(colour, 14), 0.82 if x * c.sun > 0 else 1.0)

    def wall(a: float, top: float, b: float, low: float, out: float = 0.0) -> list[tuple[float, float]]:
        """Corners of a piece of the front: from a to b of its length, from top to low, leaning out at the foot."""
        s, t = z0 + (z1 - z0) * a, z0 + (z1 - z0) * b
        return [(vx + x * s, vy + top * s), (vx + x * t, vy + top * t), (vx + (x - out) * t, vy + low * t),
            (vx + (x - out) * s, vy + low * s)]

    texture = c.weave(colour, 7, (high + foot) / 0.13, "bricklike", mix(colour, (228, 208, 190),
        0.4)) if material == "brick" else None
    back = vx + (x + 0.5 * np.sign(x)) * z0
    c.rect(back, vy - high * z0, vx + x * z0, vy + foot * z0, dim(colour, 0.7), "building", material)
    c.poly(wall(0, -high, 1, foot), colour, "building", material, texture if z1 > 0.45 else None)
    n, m = (3, max(2, round((high + 0.2) / 0.34))) if z1 > 0.4 else (2, 3)
    step = (high + 0.2) / m
    panes = [wall((i + 0.28) / n, -high + (j + 0.2) * step, (i + 0.72) / n,
        -high + (j + 0.75) * step) for i in range(n) for j in range(m)]
    night = c.attributes["time"] == "night"
    glass = (255, 214, 120) if night and d.chance(0.7) else d.near(GLASS, 18)
    c.poly(np.array(panes), glass, "window.pane<building", "glass", glow=1.0 if night else 0.15)
    c.poly(wall(0.42, 0.2, 0.6, foot), d.near((104, 62, 44)), "door<building", "wood")
    if z1 > 0.4 and d.chance(0.3):  # an awning
        cloth = d.pick(CLOTHES)
        c.poly(wall(0.12, 0.02, 0.9, 0.14, 0.16 * np.sign(x)), cloth, "building", "fabric",
            c.dress(cloth, 4, 1, "striped"))


# ------------------------------------------------------------------------------------------------ people, vehicles


def fence(c: Canvas, y: float, h: float) -> None:
    """Pickets, rails or iron bars, thin enough to see through."""
    colour, material, step, width = c.dice.pick((
        (PALE, "wood", 0.042, 0.02), ((132, 96, 64), "wood", 0.16, 0.02), ((42, 44, 50), "metal", 0.034, 0.009)))
    c.rects([(-0.2, y - k * h - 0.009, 1.2, y - k * h + 0.009) for k in (0.3, 0.78)], dim(colour, 0.92), "fence",
        material)
    c.rects([(x - width / 2, y - h, x + width / 2, y) for x in np.arange(-0.2, 1.2, step).tolist()], colour, "fence",
        material)


def person(c: Canvas, x: float, y: float, h: float, pose: str = "", shirt: Colour | None = None) -> None:
    """A person of height h on (x, y): standing, walking, skiing, batting, or sitting (then y is the seat)."""
    d, side = c.dice, c.dice.pick((-1, 1))
    f, pose = c.at(x, y, h, side), pose or d.pick(("stand", "walk"))
    shirt = shirt or d.near(d.pick(CLOTHES), 10)
    trousers = d.near(d.pick(((44, 54, 88), (58, 54, 52), (120, 108, 88), (36, 38, 44))), 8)
    hip = 0.0 if pose == "sit" else 0.47
    neck = hip + 0.35
    if hip:
        f.shadow(0, 0, 0.2, 0.035)
        s = 0.055 if pose == "stand" else 0.13
        legs = [((k * 0.075, hip), (-k * 0.01, hip), (k * (s - 0.035), 0), (k * (s + 0.035), 0)) for k in (-1, 1)]
        f.poly(np.array(legs), trousers, "person.leg", "fabric")
    if pose == "ski":
        f.line(-0.32, 0, 0.36, -0.04, 0.05, d.pick(PAINTS), "skis")
        f.poly([((k * 0.2, 0.57), (k * 0.23, 0.57), (k * 0.32, 0), (k * 0.29, 0)) for k in (-1, 1)], (60, 60, 66),
            "skis", "metal")
    arms = [((k * 0.08, neck - 0.03), (k * 0.11, neck), (k * 0.19, hip + 0.02), (k * 0.14, hip)) for k in (-1, 1)]
    if pose == "bat":
        arms[1] = ((0, neck - 0.06), (0, neck), (0.25, neck + 0.02), (0.25, neck - 0.05))
        f.line(0.24, neck - 0.02, 0.4, neck + 0.34, 0.05, (196, 150, 96), "person", "wood")
    f.poly(np.array(arms), dim(shirt, 0.82), "person.arm", "fabric")
    texture = c.dress(shirt, 4, 4, "striped grid") if h > 0.3 and d.chance(0.3) else None
    f.poly(((-0.1, neck), (0.1, neck), (0.085, hip - 0.02), (-0.085, hip - 0.02)), shirt, "person.torso", "fabric",
        texture)
    f.oval(0, neck + 0.085, 0.068, 0.085, d.pick(SKINS), "person.head", "skin", bulge=0.15)
    if d.chance(0.25) or pose in ("ski", "bat"):
        f.arch(-0.078, neck + 0.1, 0.078, neck + 0.19, d.pick(CLOTHES), "hat", "fabric")
    else:
        f.arch(-0.074, neck + 0.105, 0.074, neck + 0.183, d.pick(HAIRS), "person.head.hair", "hair")


def car(c: Canvas, x: float, y: float, w: float, kind: str = "") -> None:
    """A car of width w on (x, y): a sedan or a van from the side, or one from behind."""
    d = c.dice
    kind, f = kind or d.pick(("sedan", "sedan", "van", "rear")), c.at(x, y, w, d.pick((-1, 1)))
    paint, glass = d.near(d.pick(PAINTS), 12), mix(GLASS, (190, 210, 224), d(0.1, 0.5))
    body, pane, tyre = (paint, "car", "metal"), (glass, "car.window", "glass"), ((26, 26, 30), "car.wheel")
    f.shadow(0, 0, 0.56, 0.07, 0.4)
    if kind == "rear":
        f.rects([(-0.43, 0, -0.25, 0.16), (0.25, 0, 0.43, 0.16)], *tyre)
        f.poly(((-0.33, 0.78), (0.33, 0.78), (0.5, 0.43), (0.5, 0.09), (-0.5, 0.09), (-0.5, 0.43)), *body,
            shade=(0, -0.12))
        f.poly(((-0.28, 0.72), (0.28, 0.72), (0.38, 0.45), (-0.38, 0.45)), *pane)
        f.rects([(-0.47, 0.27, -0.33, 0.37), (0.33, 0.27, 0.47, 0.37)], (232, 44, 40), "car.headlight", "glass",
            glow=0.6)
        return
    h, roof = (0.52, ((-0.44, 0.5), (-0.4, 0.98), (0.2, 1.0), (0.38, 0.5))) if kind == "van" else (
        0.4, ((-0.38, 0.55), (-0.22, 1.0), (0.12, 1.0), (0.28, 0.55)))
    f.poly([(px, py * h) for px, py in roof], *body)
    f.poly([(px * 0.86, (0.55 + (py - 0.55) * 0.82) * h) for px, py in roof], *pane, shade=(0.2, 0))
    f.rect(-0.064, 0.95 * h, -0.036, 0.5 * h, *body)
    hood = ((-0.5, 0.52), (-0.4, 0.6), (0.3, 0.6), (0.48, 0.46), (0.5, 0.16), (-0.5, 0.16))
    f.poly([(px, py * h) for px, py in hood], *body, shade=(0, -0.18))
    f.oval(0.46, 0.38 * h, 0.035, 0.03, (255, 246, 196), "car.headlight", "glass", glow=0.7)
    f.ovals([(-0.29, 0.08), (0.29, 0.08)], 0.105, 0.105, *tyre)
    f.ovals([(-0.29, 0.08), (0.29, 0.08)], 0.05, 0.05, (178, 182, 188), "car.wheel", "metal")


def airplane(c: Canvas, x: float, y: float, w: float, flying: bool = False) -> None:
    """An airplane of length w seen from the side; on the ground its wheels stand on y."""
    d = c.dice
    f = c.at(x, y, w, d.pick((-1, 1)))
    body, stripe = d.near(d.pick(((242, 244, 246), (226, 230, 236), (236, 200, 80), (206, 60, 54))), 6), d.pick(PAINTS)
    if not flying:
        f.shadow(0, 0, 0.5, 0.05, 0.35)
        f.rects([(-0.1, 0, -0.06, 0.07), (0.32, 0, 0.36, 0.07)], (40, 42, 46), "airplane.wheel")
    f.poly(((-0.36, 0.14), (-0.52, 0.325), (-0.4, 0.325), (-0.22, 0.15)), stripe, "airplane.tail", "metal")
    f.poly(((0, 0.11), (-0.2, 0.2), (-0.14, 0.2), (0.14, 0.11)), dim(body, 0.72), "airplane.wing", "metal")
    hull = ((0.5, 0.097), (0.44, 0.143), (0.34, 0.162), (-0.36, 0.162), (-0.5, 0.152), (-0.42, 0.09), (-0.3, 0.039),
        (0.36, 0.039), (0.46, 0.058))
    f.poly(hull, body, "airplane.fuselage", "metal", shade=(0, -0.2))
    f.poly(((0.46, 0.09), (0.48, 0.072), (-0.42, 0.082), (-0.44, 0.1)), stripe, "airplane.fuselage", "metal")
    xs = np.arange(-0.28, 0.32, max(0.075, 0.03 / w)).tolist()
    f.rects([(px - 0.015, 0.116, px + 0.015, 0.144) for px in xs], (70, 90, 116), "airplane.window", "glass")
    f.poly(((0.36, 0.152), (0.44, 0.124), (0.38, 0.124), (0.33, 0.152)), (50, 70, 96), "airplane.window", "glass")
    f.poly(((0.1, 0.078), (-0.24, -0.026), (-0.32, -0.026), (-0.12, 0.085)), dim(body, 0.86), "airplane.wing", "metal")
    f.oval(0.02, 0.017, 0.06, 0.034, dim(stripe, 0.9), "airplane.engine", "metal")


def boat(c: Canvas, x: float, y: float, w: float) -> None:
    d, f = c.dice, c.at(x, y, w)
    if d.chance(0.6):
        sail = d.pick(((252, 250, 244), (250, 246, 232), (236, 96, 72)))
        f.rect(-0.05, 0, 0.05, 1.15, (120, 90, 60), "boat", "wood")
        f.poly(((0.02, 1.12), (0.48, 0.22), (0.02, 0.2)), sail, "boat.sail", "fabric")
        f.poly(((-0.03, 0.95), (-0.03, 0.2), (-0.34, 0.2)), dim(sail, 0.9), "boat.sail", "fabric")
    else:
        f.rect(-0.25, 0.42, 0.2, 0.15, (240, 240, 236), "boat", "painted")
        f.rect(-0.18, 0.35, 0.12, 0.25, GLASS, "window.pane<boat", "glass")
    f.poly(((-0.5, 0.18), (0.55, 0.2), (0.38, -0.06), (-0.38, -0.06)), d.pick(PAINTS), "boat.hull", "painted",
        shade=(0, -0.15))


def streetlight(c: Canvas, x: float, y: float, h: float, side: int) -> None:
    c.line(x, y, x, y - h, 0.014, STEEL, "streetlight.stand", "metal")
    c.line(x, y - h, x + side * 0.08, y - h - 0.012, 0.012, STEEL, "streetlight.stand", "metal")
    if c.attributes["time"] == "night":
        c.halo(x + side * 0.085, y - h, 0.07, (255, 232, 160), 0.35)
    c.oval(x + side * 0.085, y - h - 0.004, 0.026, 0.014, (255, 240, 190), "streetlight.shade", "glass", glow=0.9)


def bench(c: Canvas, x: float, y: float, w: float) -> None:
    f, wood = c.at(x, y, w), c.dice.near((150, 96, 56), 14)
    f.shadow(0, 0, 0.55, 0.05)
    f.rects([(-0.42, 0, -0.36, 0.2), (0.36, 0, 0.42, 0.2)], STEEL, "bench.furniture leg", "metal")
    f.rects([(-0.5, 0.43, 0.5, 0.52), (-0.5, 0.3, 0.5, 0.39)], wood, "bench.backrest", "wood")
    f.rect(-0.5, 0.25, 0.5, 0.16, dim(wood, 0.85), "bench.seat", "wood")


def umbrella(c: Canvas, x: float, y: float, w: float) -> None:
    f, cloth = c.at(x, y, w), c.dice.pick(CLOTHES)
    f.shadow(0, 0, 0.5, 0.06, 0.35)
    f.rect(-0.03, 0, 0.03, 0.75, (236, 226, 206), "umbrella.stand", "wood")
    f.arch(-0.5, 0.55, 0.5, 1.0, cloth, "umbrella", "fabric", c.dress(cloth, 4, 3, "striped dotted chequered"),
        bulge=0.2)


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


# ------------------------------------------------------------------------------------------------ scenes


def walkway(c: Canvas, x: float, y: float, foot: float, wide: float, colour: Colour, material: str) -> None:
    c.poly(((x - 0.045, y), (x + 0.045, y), (foot + wide, 1.2), (foot - wide, 1.2)), colour, "path", material,
        grain=0.08)


def church_outdoor(c: Canvas) -> None:
    d = c.dice
    horizon = d(0.68, 0.78)
    sky(c, horizon)
    hills(c, horizon, 0.06, 0.16, 0.35)
    lawn(c, horizon)
    x, y, h = d(0.36, 0.64), horizon + d(0.04, 0.1), d(0.66, 0.84)
    c.near = 0.8
    walkway(c, x, y, x, d(0.05, 0.3), (206, 190, 160), "stone")
    church(c, x, y, min(h, y - 0.02))
    c.near = 1.0
    for side in (-1, 1):
        if d.chance(0.75):
            tree(c, x + side * d(0.2, 0.42), y + d(0.0, 0.08), d(0.26, 0.5))
    if d.chance(0.4):
        bush(c, x + d.pick((-1, 1)) * d(0.12, 0.26), y + d(0.03, 0.08), d(0.05, 0.08))
    rare(c, y + 0.06, 0.15, people=0.12, cars=0.06, fences=0.1)


def house_scene(c: Canvas) -> None:
    d = c.dice
    horizon = d(0.58, 0.7)
    sky(c, horizon)
    hills(c, horizon, 0.08, 0.2, 0.3)
    lawn(c, horizon)
    c.near = 0.75
    for _ in range(d.whole(1, 3) if d.chance(0.5) else 0):
        tree(c, d(), horizon + 0.02, d(0.24, 0.4))
    x, w, y, h = d(0.38, 0.62), d(0.46, 0.66), horizon + d(0.08, 0.14), d(0.26, 0.34)
    if d.chance(0.6):
        k = d.pick((-0.2, 0.0, 0.2))
        walkway(c, x + k, y, x + 1.5 * k, 0.15, (190, 184, 174), "concrete")
    house(c, x, w, y - h, y)
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
    vx, vy, half = d(0.36, 0.64), d(0.44, 0.56), d(0.55, 0.75)
    sky(c, vy, 2)
    ground(c, vy, (170, 166, 160), "sidewalk", "concrete", 0.05)
    c.poly(((vx, vy), (vx + half, 1.1), (vx - half, 1.1)), d.near((92, 94, 100), 10), "road", "asphalt", grain=0.08)
    marks = [((vx - 0.025 * s, vy + s), (vx + 0.025 * s, vy + s), (vx + 0.02 * t, vy + t), (vx - 0.02 * t, vy + t))
             for s, t in ((0.48, 0.43), (0.35, 0.29), (0.25, 0.19), (0.15, 0.11))]
    c.poly(np.array(marks), (240, 232, 190), "road", "painted")
    for side in (-1, 1):
        z, kerb = 4.5, d(0.66, 0.84)
        while z > 0.2:
            nearer = max(0.0, z * d(0.42, 0.6))
            terrace(c, vx, vy, side * kerb, 1 / (1 + z), 1 / (1 + nearer), d(0.62, 1.25))
            z = nearer
    c.near = 1.0
    for side in (-1, 1):
        for s in (0.38, 0.65):
            if d.chance(0.33):
                tree(c, vx + side * 0.56 * s, vy + 0.55 * s, d(0.55, 0.85) * s, d.pick(("round", "poplar", "autumn")))
            elif d.chance(0.33):
                streetlight(c, vx + side * 0.56 * s, vy + 0.55 * s, 0.8 * s, -side)
    for s in (0.31, 0.53, 0.74):
        if d.chance(0.17):
            car(c, vx + d.pick((-0.3, 0.27)) * s, vy + d(0.48, 0.55) * s, 0.34 * s, "rear")
    if d.chance(0.15):
        car(c, d(0.25, 0.75), d(0.85, 0.95), d(0.36, 0.46))
    for _ in range(d.whole(1, 2) if d.chance(0.3) else 0):
        s = 1 / (1 + d(0.3, 1.6))
        person(c, vx + d.pick((-1, 1)) * d(0.5, 0.6) * s, vy + 0.55 * s, 0.48 * s)


def park(c: Canvas) -> None:
    d = c.dice
    horizon = d(0.4, 0.52)
    sky(c, horizon)
    c.near = 0.3
    for x in (d(0.0, 0.3), d(0.5, 0.9)) if d.chance(0.35) else ():
        building(c, x, x + d(0.16, 0.24), horizon - d(0.1, 0.25), horizon + 0.02)
    hills(c, horizon, 0.08, 0.14, 1, "tree")
    lawn(c, horizon)
    c.near = 0.7
    t, bend, foot = np.linspace(0, 1, 8), d(-0.35, 0.35), d(0.2, 0.8)
    mid = foot + bend * np.sin(np.pi * (1 - t)) * t + (0.5 - foot) * (1 - t)
    wide, ys = 0.012 + 0.16 * t**1.6, horizon + 0.02 + (1.1 - horizon) * t
    edges = np.concatenate([np.stack([mid - wide, ys], 1), np.stack([mid + wide, ys], 1)[::-1]])
    c.poly(edges, d.near((208, 186, 150), 10), "path", "stone", grain=0.08)
    if d.chance(0.4):
        x, y, r = d.pick((d(0.1, 0.25), d(0.75, 0.9))), d(0.66, 0.78), d(0.16, 0.24)
        c.oval(x, y, r, 0.3 * r, (176, 168, 150), "path", "stone")
        c.oval(x, y, 0.93 * r, 0.25 * r, (86, 138, 170), "water", "liquid", shade=(0, 0.25))
    for y in sorted(horizon + d(0.03, 0.34) for _ in range(d.whole(3, 5))):
        c.near = 0.4 + y / 2
        tree(c, d(-0.02, 0.3) if d.chance(0.5) else d(0.7, 1.02), y, 0.16 + 1.05 * (y - horizon) + d(0, 0.14))
    for _ in range(d.whole(0, 2)):
        x, y, w = d(0.1, 0.9), d(0.72, 0.95), d(0.08, 0.14)
        if d.chance(0.5):
            bush(c, x, y, w)
        else:  # a flower bed
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
    mood = str(c.attributes["time"])
    sea = d.near({"day": (44, 124, 172), "sunset": (96, 110, 150)}.get(mood, (70, 118, 144)), 12)
    hills(c, horizon - 0.02, 0.04, 0.12, 0.4, "mountain")
    c.fade(horizon, 1.2, mix(sea, (206, 222, 232), 0.35), dim(sea, 0.95), "water", material="liquid", grain=0.05)
    if mood in ("day", "sunset") and d.chance(0.6):  # the sun's path on the water
        x = 0.5 + 0.42 * c.sun
        c.veil(((x - 0.03, horizon), (x + 0.03, horizon), (x + 0.12, 0.95), (x - 0.12, 0.95)), (255, 240, 200), 0.35)
    for y in [horizon + d(0.01, 0.12) for _ in range(d.whole(0, 2))]:
        boat(c, d(0.1, 0.9), y, 0.08 + 0.9 * (y - horizon))
    xs = np.linspace(-0.3, 1.3, 14)
    shore = d(0.62, 0.74) + d(-0.2, 0.2) * (xs - 0.5) + 0.03 * np.sin(d(4, 8) * xs + d(0, 6))
    c.near = 0.7
    crests = [(d(), shore[3] - k + d(-0.02, 0.02), d(0.08, 0.2)) for k in (0.16, 0.16, 0.08, 0.08, 0.08)]
    foam = [((x - w, y), (x, y - 0.01), (x + w, y), (x, y + 0.006)) for x, y, w in crests]
    c.poly(np.array(foam), (236, 244, 248), "water", "liquid")
    for lift, colour, tag in ((0.03, (240, 246, 248), "water"), (0.0, d.near((230, 206, 158), 12), "sand")):
        edge = np.stack([xs, shore - lift], 1)
        c.poly(np.concatenate([((-0.3, 1.5),), edge, ((1.3, 1.5),)]), colour, tag, "liquid" if lift else "", grain=0.06)
    if d.chance(0.35):
        cliff(c, c.at(*((0, 0) if d.chance(0.5) else (1, 0)), 1), d(0.24, 0.4), horizon - d(0.06, 0.16))
    c.near = 1.0
    for _ in range(d.whole(0, 2)):
        tree(c, d(0.02, 0.2) if d.chance(0.5) else d(0.8, 0.98), d(0.78, 0.96), d(0.42, 0.66), "palm")
    for x in (d(0.15, 0.45), d(0.5, 0.85))[: d.whole(1, 2)] if d.chance(0.5) else ():
        umbrella(c, x, d(0.82, 0.95), d(0.18, 0.28))
    for _ in range(d.whole(2, 4) if d.chance(0.3) else 0):
        c.oval(d(), d(0.84, 1.0), d(0.04, 0.09), d(0.03, 0.05), d.near((120, 112, 106)), "rock", "stone", bulge=0.3,
            grain=0.1)
    rare(c, 0.76, 0.15, people=0.25)


def cliff(c: Canvas, f: Pen, reach: float, top: float) -> None:
    """Rocks at one side of the picture, sometimes with a lighthouse."""
    d, e = c.dice, 1 if f.x < 0.5 else -1

    def at(*points: tuple[float, float]) -> list[tuple[float, float]]:
        return [(f.x + e * px * reach, py) for px, py in points]

    if d.chance(0.6):
        g = c.at(f.x + e * reach * 0.4, top + 0.02, 0.3)
        g.poly(((-0.08, 0.87), (0.08, 0.87), (0.13, 0), (-0.13, 0)), (246, 244, 240), "tower", "painted",
            shade=(-0.25 * c.sun, 0))
        g.rects([(-0.12, 0.2, 0.12, 0.4), (-0.1, 0.57, 0.1, 0.74)], (206, 52, 44), "tower", "painted")
        g.arch(-0.07, 0.86, 0.07, 1.03, (255, 230, 150), "tower", "glass", glow=0.8)
    c.poly(at((-0.6, top), (0.6, top + 0.01), (0.8, top + 0.12), (1, 0.7), (-0.6, 0.82)), d.near((124, 108, 96)),
        "rock", "stone", grain=0.14)
    c.poly(at((-0.6, top - 0.015), (0.6, top), (0.7, top + 0.05), (-0.6, top + 0.04)), (110, 140, 70), "grass",
        grain=0.1)


def ski_resort(c: Canvas) -> None:
    d = c.dice
    c.attributes["snowy"] = True
    horizon = d(0.46, 0.58)
    sky(c, horizon, 2)
    mountains(c, horizon + 0.02, d(0.24, 0.38))
    snow, slope = d.near((236, 242, 250), 5), d(-0.12, 0.12)
    c.near = 0.6
    c.poly(((-1, horizon - slope), (2, horizon + slope), (2, 2), (-1, 2)), snow, "snow", shade=(0.06 * c.sun, -0.06),
        grain=0.025)
    for _ in range(d.whole(3, 6)):
        tree(c, d(0, 0.35) if d.chance(0.5) else d(0.65, 1), horizon + d(0.06, 0.16), d(0.14, 0.24), "conifer")
    if d.chance(0.4):
        house(c, d(0.24, 0.76), d(0.24, 0.32), horizon - 0.02, horizon + d(0.12, 0.15))
    a, b = d(0.0, 0.25), d(0.5, 0.75)  # the piste
    piste = ((a, 0.6), (a + d(0.0, 0.2), 0.2), (b, 0.12), (b - 0.02, 0.2), (a + 0.25, 0.4), (a + 0.2, 0.6))
    c.poly([(x, horizon + y) for x, y in piste], mix(snow, (176, 200, 228), 0.45), "snow", grain=0.02)
    if d.chance(0.65):
        lift(c, d(0.2, 0.34), d(0.1, 0.3), horizon + 0.16)
    c.near = 1.0
    for side in (-1, 1):
        if d.chance(0.7):
            tree(c, 0.5 + side * d(0.32, 0.5), d(0.82, 0.98), d(0.36, 0.56), "conifer")
    for _ in range(d.whole(1, 2) if d.chance(0.4) else 0):
        person(c, d(0.25, 0.75), d(0.74, 0.93), d(0.2, 0.3), "ski")


def lift(c: Canvas, y0: float, y1: float, ground: float) -> None:
    """A cable with its chairs from side to side, on two pylons."""
    d = c.dice
    c.near = 0.7
    if d.chance(0.5):
        y0, y1 = y1, y0
    for x in (0.2, 0.74):
        y = y0 + (y1 - y0) * x
        c.rects([(x - 0.011, y - 0.01, x + 0.011, ground), (x - 0.05, y - 0.008, x + 0.05, y + 0.008)], STEEL,
            "ski lift.stand", "metal")
    c.line(-0.2, y0 - 0.2 * (y1 - y0), 1.2, y1 + 0.2 * (y1 - y0), 0.009, (50, 52, 60), "ski lift", "metal")
    spots = [(x, y0 + (y1 - y0) * x) for x in (0.05, 0.36, 0.57, 0.93)]
    c.rects([(x - 0.006, y, x + 0.006, y + 0.06) for x, y in spots], (50, 52, 60), "ski lift", "metal")
    c.rects([(x - 0.032, y + 0.05, x + 0.032, y + 0.095) for x, y in spots], d.pick(PAINTS), "ski lift.seat", "metal")


def airfield(c: Canvas) -> None:
    d = c.dice
    horizon = d(0.4, 0.52)
    sky(c, horizon)
    hills(c, horizon, 0.04, 0.1, 0.5)
    lawn(c, horizon)
    c.near = 0.5
    for x in ((d(0.0, 0.2),), (d(0.6, 0.8),), (d(0.0, 0.2), d(0.6, 0.75)), ())[d.whole(0, 3)]:  # hangars
        f, metal = c.at(x + 0.14, horizon + 0.04, d(0.22, 0.34)), d.near((176, 186, 194), 16)
        f.arch(-0.5, 0, 0.5, 0.55, metal, "building", "metal", c.weave(metal, 6, 1, "striped", dim(metal, 0.8)))
        f.rect(-0.3, 0, 0.3, 0.32, d.near((84, 92, 104), 10), "door<building", "metal")
    if d.chance(0.5):  # the control tower
        f = c.at(d(0.3, 0.7), horizon + 0.04, 0.36)
        f.rect(-0.07, 0, 0.07, 0.72, (214, 210, 202), "tower<building", "concrete", shade=(-0.2 * c.sun, 0))
        f.poly(((-0.17, 0.94), (0.17, 0.94), (0.13, 0.7), (-0.13, 0.7)), (60, 92, 116), "window.pane<building",
            "glass", glow=0.2)
        f.rect(-0.18, 0.93, 0.18, 1.02, (196, 66, 56), "roof<building", "metal")
    tarmac, x, y = d.near((126, 128, 134), 10), d(0.35, 0.65), horizon + d(0.1, 0.16)
    if d.chance(0.5):  # the runway ahead
        c.poly(((x - 0.03, horizon + 0.03), (x + 0.03, horizon + 0.03), (x + 0.6, 1.3), (x - 0.6, 1.3)), tarmac,
            "runway", "asphalt", grain=0.06)
        marks = [((x - 0.03 * s, 0.8 * s), (x + 0.03 * s, 0.8 * s), (x + 0.036 * s, 0.92 * s),
            (x - 0.036 * s, 0.92 * s)) for s in (0.12, 0.2, 0.32, 0.5)]
        c.poly(np.array(marks) + np.array((0, horizon)), (244, 244, 240), "runway", "painted")
    else:
        c.rect(-0.5, y, 1.5, y + d(0.3, 0.4), tarmac, "runway", "asphalt", grain=0.06)
        c.rects([(x, y + 0.14, x + 0.09, y + 0.16) for x in np.arange(-0.4, 1.4, 0.18).tolist()], (240, 230, 160),
            "runway", "painted")
    if d.chance(0.4):
        airplane(c, d(0.2, 0.8), d(0.12, 0.26), d(0.2, 0.3), flying=True)
    c.near = 0.8
    for y, w in ((horizon + 0.12, d(0.26, 0.38)), (horizon + 0.3, d(0.46, 0.68)))[:: d.pick((1, -1))][: d.whole(1, 2)]:
        airplane(c, d(0.25, 0.75), y, w)
    c.near = 1.0
    rare(c, 0.8, 0.14, people=0.15, cars=0.12, fences=0.15)


def baseball_field(c: Canvas) -> None:
    d = c.dice
    horizon = d(0.34, 0.46)
    sky(c, horizon, 2)
    hills(c, horizon - 0.02, 0.05, 0.1, 0.5, "tree")
    c.near = 0.4
    if d.chance(0.75):  # the stands, full of spectators
        colour = d.near(d.pick(((60, 84, 130), (130, 62, 60), (110, 112, 120))), 10)
        stand = ((-0.3, -0.2), (0.3, -0.12), (0.7, -0.12), (1.3, -0.2), (1.3, 0.05), (-0.3, 0.05))
        c.poly([(x, horizon + y) for x, y in stand], colour, "grandstand", "concrete",
            c.dress(colour, 30, 6, "dotted grid"), grain=0.15)
    if d.chance(0.45):
        f = c.at(d(0.25, 0.85), horizon + 0.03, 0.25)
        f.rects([(-0.32, 0, -0.28, 0.5), (0.28, 0, 0.32, 0.5)], STEEL, "scoreboard.stand", "metal")
        f.rect(-0.4, 0.44, 0.4, 1, (28, 58, 44), "scoreboard")
        f.rects([(x, y, x + 0.1, y + 0.14) for x in (-0.32, -0.14, 0.04, 0.22) for y in (0.54, 0.78)], (250, 226, 140),
            "scoreboard", glow=0.8)
    grass = ground(c, horizon + 0.02, (88, 152, 62), grain=0.05)
    c.rect(-0.5, horizon, 1.5, horizon + 0.045, d.near(d.pick(((36, 84, 62), (40, 62, 110), (120, 50, 46))), 8),
        "wall", "painted")
    if d.chance(0.8):  # mown in stripes
        mown = c.weave(grass, 9, 6, "striped striped chequered", dim(grass, 0.82))
        c.poly(((0.1, horizon + 0.045), (0.9, horizon + 0.045), (2.2, 1.1), (-1.2, 1.1)), grass, "grass", "", mown,
            grain=0.04)
    x, y, w, top = d(0.42, 0.58), d(0.84, 0.93), d(0.36, 0.46), horizon + d(0.12, 0.17)
    dirt = d.near((190, 126, 78), 10)
    mid, deep = (top + y) / 2, (y - top) / 2
    c.oval(x, mid, 1.05 * w, 1.04 * deep, dirt, "earth", grain=0.08)
    c.poly(((x, mid - 0.7 * deep), (x + 0.66 * w, mid), (x, mid + 0.75 * deep), (x - 0.66 * w, mid)), dim(grass, 1.06),
        "grass", grain=0.05)
    c.oval(x, y, 0.34 * w, 0.1 * w, dirt, "earth", grain=0.08)
    c.oval(x, mid + 0.02, 0.12 * w, 0.045 * w, dirt, "earth")
    for s in (-1, 1):
        c.line(x, y, x + s * 1.6 * w, mid - 0.9 * deep, 0.012, (248, 248, 244), "grass", "painted")
    bases = ((x, mid - 0.88 * deep), (x + 0.82 * w, mid), (x, y), (x - 0.82 * w, mid))
    c.ovals(bases, 0.02, 0.013, (252, 252, 250), "base", "fabric")
    team = d.pick(CLOTHES)
    for px, py, pose, odds in ((x, mid, "walk", 0.3), (x + 0.6 * w, mid - 0.02, "stand", 0.15),
        (x - 0.7 * w, mid, "stand", 0.15), (x - 0.09, y + 0.02, "bat", 0.25)):
        if d.chance(odds):
            c.near = 0.5 + py / 2
            person(c, px, py, 0.1 + 0.24 * (py - horizon), pose, team if pose != "bat" else None)
    if d.chance(0.3):  # floodlights
        c.near, f = 0.4, c.at(d.pick((0.08, 0.92)), horizon + 0.03, 0.38)
        f.rect(-0.02, 0, 0.02, 0.9, STEEL, "streetlight.stand", "metal")
        lamps = c.weave((250, 248, 230), 3, 2, "grid", (90, 94, 100))
        f.rect(-0.16, 0.82, 0.16, 1, (250, 248, 230), "streetlight", "glass", lamps, glow=0.8)


PAINTERS = {
    "church-outdoor": church_outdoor, "house": house_scene, "street": street, "park": park, "coast": coast,
    "ski_resort": ski_resort, "airfield": airfield, "baseball_field": baseball_field,
}
