"""Indoor scenes: a room in one-point perspective, furnished from the back wall to the camera."""
# Drawing instructions read best in rows.
# fmt: off

import numpy as np

from dissection.data.scenes.canvas import CIRCLE, Canvas, Colour, Texture, dim, mix, place
from dissection.data.scenes.outdoors import CLOTHES, GREENS, blooms, person

PAPERS: tuple[Colour, ...] = (
    (232, 224, 206), (206, 214, 204), (190, 206, 218), (226, 204, 190), (240, 238, 232), (196, 186, 170),
    (222, 198, 140), (176, 190, 168), (202, 178, 186),
)
WOODS: tuple[Colour, ...] = ((150, 98, 58), (112, 70, 42), (186, 136, 86), (206, 164, 116), (84, 54, 38))
CLOTHS: tuple[Colour, ...] = (
    (176, 52, 56), (58, 92, 148), (226, 196, 120), (84, 126, 92), (232, 226, 212), (138, 92, 140),
    (110, 110, 116), (206, 132, 80), (96, 150, 160), (214, 150, 166), (66, 62, 70),
)
GOLD: Colour = (214, 176, 96)


class Room:
    """A box seen from its open side: at depth z (0 at the camera, 1 at the back wall) it spans x -1 ... 1.

    floor, ceiling: their offset from the eye's height at the back wall, in units of the image.
    """

    def __init__(self, c: Canvas, wall: str = "") -> None:
        d = c.dice
        self.c = c
        self.vx, self.vy = d(0.4, 0.6), d(0.33, 0.4)
        self.half = d(0.34, 0.44)
        self.floor, self.ceiling = d(0.25, 0.31), -d(0.22, 0.28)
        self.open = 1.9  # how much larger the room is at the camera
        self.daylight = d()  # brightness of the windows
        self.windows: list[tuple[float, float, float, float]] = []
        self.lamps = d.chance(0.5)
        warm = d(0.0, 0.25)
        level = 0.66 + 0.36 * max(self.daylight, 0.55 * self.lamps)
        c.tint = (level, level * (1 - 0.35 * warm * self.lamps), level * (1 - 0.9 * warm * self.lamps))
        c.attributes.update(daylight=round(self.daylight, 4), lamps=self.lamps)
        self._shell(wall)

    def at(self, x: float, y: float, z: float) -> tuple[float, float]:
        """Image point of x (-1 left wall, 1 right wall), height y (0 floor, 1 ceiling), depth z."""
        s = 1 + (self.open - 1) * (1 - z)
        return self.vx + x * self.half * s, self.vy + (self.floor + y * (self.ceiling - self.floor)) * s

    def scale(self, z: float) -> float:
        """Size at depth z of what measures 1 at the back wall."""
        return 1 + (self.open - 1) * (1 - z)

    def _shell(self, wall: str) -> None:
        c, d, at = self.c, self.c.dice, self.at
        paper = d.near(d.pick(PAPERS), 12)
        material = wall or ("painted" if d.chance(0.6) else d.pick(("paper", "paper", "brick", "wood")))
        tile = d.near((216, 224, 226), 10)
        paper = {"brick": d.near((172, 96, 76), 10), "wood": d.near((176, 128, 84), 12), "tile": tile}.get(material,
                paper)
        names = {"brick": ("bricklike",), "wood": ("striped",), "tile": ("grid",),
                "paper": ("striped", "dotted", "zigzag", "chequered")}
        texture = c.dress(paper, 11, 10, names[material]) if material in names else None
        if texture:
            strength = 0.85 if material == "paper" else 0.4
            other = mix(paper, (255, 252, 240), 0.6) if d.chance(0.5) else dim(paper, 0.7)
            down = {"brick": 13.0, "tile": 8.0}.get(material, 8.0)
            texture = texture._replace(colour=mix(paper, other, strength),
                    across=13.0 if material in ("brick", "wood") else 9.0, down=down)
        near = -1.4  # the floor reaches below the picture
        look = ("wall", material)
        c.near = 0.6
        for side in (-1, 1):
            points = (at(side, 1, near), at(side, 1, 1), at(side, 0, 1), at(side, 0, near))
            c.poly(points if side < 0 else [points[1], points[0], points[3], points[2]],
                    dim(paper, 0.84 + 0.05 * side * c.sun), *look,
                   texture, grain=0.02)
        c.poly((at(-1, 1, near), at(1, 1, near), at(1, 1, 1), at(-1, 1, 1)), d.near((238, 236, 230), 8), "ceiling",
                "painted", shade=(0, -0.1))
        floor, kind = d.pick(((d.pick(WOODS), "wood"), (d.pick(WOODS), "wood"), ((206, 200, 190), "tile"),
                ((156, 140, 124), "fabric"), ((196, 178, 160), "stone")))
        floor = d.near(floor, 12)
        laid = {"wood": ("striped",), "tile": ("chequered", "grid"), "stone": ("marbled", "grid")}.get(kind)
        pattern = None
        if laid and d.chance(0.8):
            pattern = c.dress(floor, 8, 9, laid)._replace(colour=dim(floor, 0.5 if kind == "tile" else 0.78))
        c.poly((at(-1, 0, 1), at(1, 0, 1), at(1, 0, near), at(-1, 0, near)), floor, "floor", kind, pattern,
                shade=(0, 0.08), grain=0.03)
        c.poly((at(-1, 1, 1), at(1, 1, 1), at(1, 0, 1), at(-1, 0, 1)), paper, *look, texture,
                shade=(0.05 * c.sun, 0.03), grain=0.02)
        c.poly((at(-1, 0.045, 1), at(1, 0.045, 1), at(1, 0, 1), at(-1, 0, 1)), mix(paper, (250, 248, 242), 0.6),
                "wall", "wood")
        if c.dice.chance(0.3):
            c.poly((at(-1, 1, 1), at(1, 1, 1), at(1, 0.96, 1), at(-1, 0.96, 1)), (246, 244, 238), "ceiling", "painted")
        c.near = 0.7

    def box(self, x0, x1, y0, y1, z0, z1, colour: Colour, tag: str, material: str = "", texture: Texture | None = None,
            *, top: Colour | None = None, top_tag: str = "", grain: float = 0.02) -> None:
        """A block that stands out of the floor between depths z0 (near) and z1 (far)."""
        c, at = self.c, self.at
        top_tag = top_tag or tag
        if at(0, y1, z0)[1] > self.vy:
            c.poly((at(x0, y1, z1), at(x1, y1, z1), at(x1, y1, z0), at(x0, y1, z0)), top or dim(colour, 1.14),
                    top_tag, material, texture, grain=grain)
        if x1 < 0:
            c.poly((at(x1, y1, z0), at(x1, y1, z1), at(x1, y0, z1), at(x1, y0, z0)), dim(colour, 0.8), tag, material,
                    grain=grain)
        if x0 > 0:
            c.poly((at(x0, y1, z1), at(x0, y1, z0), at(x0, y0, z0), at(x0, y0, z1)), dim(colour, 0.8), tag, material,
                    grain=grain)
        c.poly((at(x0, y1, z0), at(x1, y1, z0), at(x1, y0, z0), at(x0, y0, z0)), colour, tag, material, texture,
                shade=(0, 0.1), grain=grain)

    def shade(self, x0, x1, z0, z1) -> None:
        """The shadow of furniture on the floor."""
        at, e = self.at, 0.03
        self.c.veil((at(x0 - e, 0, z1), at(x1 + e, 0, z1), at(x1 + e, 0, z0), at(x0 - e, 0, z0)), (20, 14, 12), 0.28)

    def window(self, x0: float, x1: float, y0: float = 0.38, y1: float = 0.86, curtains: float = 0.6) -> None:
        """A window in the back wall; how bright it is, is the room's daylight."""
        c, d, at = self.c, self.c.dice, self.at
        (ax, ay), (bx, by) = at(x0, y1, 1), at(x1, y0, 1)
        frame = d.pick(((246, 244, 238), (120, 82, 52), (226, 220, 208)))
        light = mix((36, 44, 84), (250, 252, 255), self.daylight)
        c.rect(ax - 0.014, ay - 0.014, bx + 0.014, by + 0.014, frame, "window.frame", "wood")
        c.rect(ax, ay, bx, by, light, "window.pane", "glass", shade=(0, -0.05), glow=1.0)
        low = by - 0.3 * (by - ay)
        hills = mix((20, 34, 40), mix((116, 158, 104), light, 0.35), self.daylight)
        c.poly(((ax, low), (ax + 0.4 * (bx - ax), low - 0.02), (bx, low + 0.015), (bx, by), (ax, by)), hills,
                "window.pane", "glass", glow=1.0)
        bars = [((ax + bx) / 2 - 0.006, ay, (ax + bx) / 2 + 0.006, by)]
        if d.chance(0.5):
            bars.append((ax, (ay + by) / 2 - 0.006, bx, (ay + by) / 2 + 0.006))
        c.rects(bars, frame, "window.frame", "wood")
        self.windows.append((ax, ay, bx, by))
        c.attributes["window"] = True
        if d.chance(curtains):
            cloth = d.near(d.pick(CLOTHS), 10)
            w, top = 0.3 * (bx - ax), ay - 0.035
            low = by + 0.04 if d.chance(0.5) else at(0, 0.04, 1)[1]
            texture = c.dress(cloth, 3, (low - top) / 0.06) if d.chance(0.6) else c.dress(cloth, 3, 1,
                    ("striped",))._replace(colour=dim(cloth, 0.75))
            c.rect(ax - w - 0.01, top - 0.012, bx + w + 0.01, top + 0.006, GOLD, "curtain", "metal")
            for left, right in ((ax - w, ax + 0.35 * w), (bx - 0.35 * w, bx + w)):
                c.poly(((left, top), (right, top), (right - 0.15 * w, low), (left, low)), cloth, "curtain", "fabric",
                        texture, shade=(0, -0.08))

    def reflect(self, points) -> None:
        """Light of the window on a smooth surface far from it: as bright as the window is by day."""
        points = np.array(points)
        self.c.veil(points, (255, 250, 236), 0.62 * self.daylight)
        (x0, y0), (x1, y1) = points.min(0).tolist(), points.max(0).tolist()
        self.c.attributes["reflection"] = (round(x0, 4), round(y0, 4), round(x1, 4), round(y1, 4))

    def glint(self, x: float, z0: float, z1: float, y: float = 0.0, half: float = 0.16) -> None:
        """The reflection on the floor, or on a table top of height y, on the side of the window."""
        if self.windows:
            at = self.at
            self.reflect((at(x - half, y, z1), at(x + half, y, z1), at(x + half * 1.1, y, z0),
                    at(x - half * 1.1, y, z0)))

    def light(self, x: float, y: float, r: float, tag: str = "lamp.shade") -> None:
        if self.lamps:
            self.c.veil(place(CIRCLE, x, y, 1.9 * r), (255, 226, 150), 0.22)
        self.c.poly(((x - 0.6 * r, y - 0.7 * r), (x + 0.6 * r, y - 0.7 * r), (x + r, y + 0.7 * r),
                (x - r, y + 0.7 * r)),
                    (255, 234, 176) if self.lamps else self.c.dice.near((214, 200, 172)), tag, "fabric",
                            glow=0.9 if self.lamps else 0.0)


def painting(c: Canvas, x: float, y: float, w: float, h: float) -> None:
    d = c.dice
    c.rect(x - w / 2, y - h / 2, x + w / 2, y + h / 2, d.pick((GOLD, (70, 48, 36), (30, 30, 34), (238, 236, 230))),
            "painting.frame", "wood")
    w, h = 0.8 * w, 0.76 * h
    back = d.near(d.pick(((150, 190, 214), (236, 226, 204), (52, 60, 90), (222, 170, 120))), 16)
    c.rect(x - w / 2, y - h / 2, x + w / 2, y + h / 2, back, "painting", "paper")
    if d.chance(0.6):
        c.poly(((x - w / 2, y + 0.1 * h), (x - 0.1 * w, y - 0.15 * h), (x + w / 2, y + 0.12 * h),
                (x + w / 2, y + h / 2), (x - w / 2, y + h / 2)), d.near(d.pick(GREENS)), "painting", "paper")
    else:
        c.oval(x, y, 0.24 * w, 0.3 * h, d.pick(CLOTHES), "painting", "paper")


def mirror(c: Canvas, x: float, y: float, w: float, h: float) -> None:
    c.oval(x, y, w / 2, h / 2, GOLD, "mirror.frame", "metal")
    c.oval(x, y, 0.42 * w, 0.43 * h, (190, 206, 214), "mirror", "glass", shade=(-0.2, -0.15))


def clock(c: Canvas, x: float, y: float, r: float) -> None:
    c.oval(x, y, r, r, (60, 46, 40), "clock.frame", "wood")
    c.oval(x, y, 0.8 * r, 0.8 * r, (246, 244, 236), "clock")
    c.line(x, y, x, y - 0.6 * r, 0.009, (30, 30, 34), "clock")
    c.line(x, y, x + 0.45 * r, y + 0.1 * r, 0.009, (30, 30, 34), "clock")


def decorate(r: Room, spots: list[float], y: float = 0.66, size: float = 0.15) -> None:
    """Hang paintings, mirrors or clocks on free places of the back wall."""
    c, d = r.c, r.c.dice
    for x in spots:
        px, py = r.at(x, y, 1)
        roll = d()
        if roll < 0.6:
            painting(c, px, py, size * d(0.8, 1.2), size * d(0.7, 1.1))
        elif roll < 0.72:
            mirror(c, px, py, size * 0.8, size * 1.1)
        elif roll < 0.8:
            clock(c, px, py, 0.05)


def plant(r: Room, x: float, z: float, h: float) -> None:
    c, d = r.c, r.c.dice
    (px, py), s = r.at(x, 0, z), r.scale(z)
    h *= s
    pot = d.near(d.pick(((190, 96, 62), (230, 226, 216), (70, 90, 130))), 10)
    green = d.near(d.pick(GREENS), 12)
    c.shadow(px, py, 0.2 * h, 0.05 * h)
    leaves = [((px, py - 0.3 * h), (px + dx * h - 0.06 * h, py - dy * h * 0.8), (px + dx * 1.25 * h, py - dy * h),
            (px + dx * h + 0.02 * h, py - 0.7 * dy * h))
              for dx, dy in ((-0.3, 0.75), (-0.14, 0.98), (0.05, 1.05), (0.2, 0.9), (0.32, 0.66))]
    for k, leaf in enumerate(leaves):
        c.poly(leaf, dim(green, 0.8 + 0.1 * k), "plant", "foliage", grain=0.08)
    c.poly(((px - 0.15 * h, py - 0.34 * h), (px + 0.15 * h, py - 0.34 * h), (px + 0.11 * h, py),
            (px - 0.11 * h, py)), pot, "plant.stand", "ceramic", shade=(-0.25 * c.sun, 0))


def vase(c: Canvas, x: float, y: float, h: float) -> None:
    d = c.dice
    for dx, dy in ((-0.22, 0.72), (0.0, 0.85), (0.22, 0.74)):
        c.line(x, y - 0.35 * h, x + dx * h, y - dy * h, 0.01, (70, 120, 60), "vase", "foliage")
    blooms(c, x - 0.28 * h, y - 1.0 * h, x + 0.28 * h, y - 0.6 * h, 6, 0.1 * h)
    c.oval(x, y - 0.22 * h, 0.14 * h, 0.22 * h, d.pick(((70, 110, 170), (236, 234, 226), (150, 60, 60),
            (90, 150, 130))), "vase", "ceramic", bulge=0.3)


def floor_lamp(r: Room, x: float, z: float) -> None:
    c = r.c
    (px, py), (_, top) = r.at(x, 0, z), r.at(x, 0.62, z)
    s = r.scale(z)
    c.oval(px, py, 0.045 * s, 0.012 * s, (70, 62, 56), "lamp.stand", "metal")
    c.line(px, py, px, top, 0.014 * s, (70, 62, 56), "lamp.stand", "metal")
    r.light(px, top, 0.06 * s)


def table_lamp(r: Room, x: float, y: float, z: float) -> None:
    c = r.c
    px, py = r.at(x, y, z)
    s = r.scale(z)
    c.oval(px, py - 0.03 * s, 0.016 * s, 0.034 * s, c.dice.near((160, 120, 90), 30), "lamp.stand", "ceramic")
    r.light(px, py - 0.09 * s, 0.046 * s)


def hanging(r: Room, x: float, z: float, low: float = 0.74) -> None:
    """A pendant lamp or a chandelier."""
    c, d = r.c, r.c.dice
    (px, top), (_, py) = r.at(x, 1, z), r.at(x, low, z)
    s = r.scale(z)
    if d.chance(0.5):
        c.line(px, top, px, py, 0.009, (60, 56, 54), "lamp.stand", "metal")
        r.light(px, py, 0.065 * s)
    else:
        c.line(px, top, px, py, 0.011, GOLD, "chandelier", "metal")
        c.arch(px - 0.1 * s, py - 0.005, px + 0.1 * s, py + 0.035 * s, GOLD, "chandelier", "metal")
        c.poly([place(CIRCLE[::2], px + k * s, py - 0.02 * s, 0.016 * s, 0.024 * s) for k in (-0.09, -0.03, 0.03,
                0.09)], (255, 240, 196), "chandelier", "glass", glow=0.9)


def carpet(r: Room, x0: float, x1: float, z0: float, z1: float) -> None:
    c, d, at = r.c, r.c.dice, r.at
    cloth = d.near(d.pick(CLOTHS), 10)
    texture = c.dress(cloth, d.whole(4, 7), d.whole(3, 5),
            ("striped", "zigzag", "dotted", "chequered", "woven", "grid"))
    c.poly((at(x0, 0, z1), at(x1, 0, z1), at(x1, 0, z0), at(x0, 0, z0)), cloth, "carpet", "fabric",
            texture if d.chance(0.85) else None, grain=0.05)


def table(r: Room, x0, x1, y, z0, z1, name: str, colour: Colour, material: str, cloth: bool = False) -> None:
    """Four legs and a top."""
    c, d = r.c, r.c.dice
    r.shade(x0, x1, z0, z1)
    for z in (z1, z0):
        for x in (x0 + 0.03, x1 - 0.07):
            a, b = r.at(x, y, z), r.at(x + 0.04, 0, z)
            c.rect(a[0], a[1], b[0], b[1], dim(colour, 0.7), f"{name}.furniture leg", material)
    texture = None
    if cloth:
        colour, material = d.near(d.pick(((240, 238, 230), *CLOTHS)), 8), "fabric"
        texture = c.dress(colour, 7, 4, ("chequered", "striped", "dotted")) if d.chance(0.7) else None
    elif material == "stone":
        texture = c.dress(colour, 3, 2, ("marbled",))
    thick = 0.14 if cloth else 0.045
    c.poly((r.at(x0, y, z0), r.at(x1, y, z0), r.at(x1, y - thick, z0), r.at(x0, y - thick, z0)), dim(colour, 0.85),
            f"{name}.tabletop", material)
    c.poly((r.at(x0, y, z1), r.at(x1, y, z1), r.at(x1, y, z0), r.at(x0, y, z0)), dim(colour, 1.1),
            f"{name}.tabletop", material, texture, grain=0.02)


def chair(r: Room, x: float, z: float, back: str, colour: Colour, cloth: Colour, office: bool = False) -> None:
    """A chair at (x, z) whose back is on the `far`, `near`, `left` or `right` side of its seat."""
    c, at = r.c, r.at
    w, dz, seat, high = 0.13, 0.12, 0.17, 0.4
    x0, x1, z0, z1 = x - w, x + w, z - dz, z + dz
    material = "leather" if office else "wood"

    def rest() -> None:
        if back in ("far", "near"):
            zb = z1 if back == "far" else z0
            corners = (at(x0, high, zb), at(x1, high, zb), at(x1, seat, zb), at(x0, seat, zb))
        else:
            xb = x0 if back == "left" else x1
            corners = (at(xb, high, z1), at(xb, high, z0), at(xb, seat, z0), at(xb, seat, z1))
        c.poly(corners, cloth if office else colour, "chair.backrest", material, shade=(-0.1 * c.sun, 0.15))
        if not office and back in ("far", "near"):
            (ax, ay), _, (bx, by), _ = corners
            c.rects([(ax + k * (bx - ax), ay + 0.2 * (by - ay), ax + (k + 0.16) * (bx - ax), by) for k in (0.2,
                    0.62)], dim(colour, 0.62), "chair.backrest", "wood")

    if back != "near":
        rest()
    if office:
        (px, py), (_, qy) = at(x, seat, z), at(x, 0, z)
        c.line(px, py, px, qy, 0.018, (56, 58, 64), "chair.furniture leg", "metal")
        c.line(px - 0.05, qy, px + 0.05, qy, 0.018, (56, 58, 64), "chair.furniture leg", "metal")
    else:
        legs = []
        for lz in (z1, z0):
            for lx in (x0, x1 - 0.035):
                (ax, ay), (bx, by) = at(lx, seat, lz), at(lx + 0.035, 0, lz)
                legs.append((ax, ay, bx, by))
        c.rects(legs, dim(colour, 0.7), "chair.furniture leg", "wood")
    c.poly((at(x0, seat, z1), at(x1, seat, z1), at(x1, seat, z0), at(x0, seat, z0)), cloth, "chair.seat",
            "fabric" if not office else "leather")
    c.poly((at(x0, seat, z0), at(x1, seat, z0), at(x1, seat - 0.04, z0), at(x0, seat - 0.04, z0)), dim(cloth, 0.75),
            "chair.seat", material)
    if back == "near":
        rest()


def cabinet(r: Room, x0, x1, y0, y1, z0, z1, colour: Colour, doors: int, name: str = "cabinet") -> None:
    """A block with drawers or panels in front."""
    c = r.c
    r.box(x0, x1, y0, y1, z0, z1, colour, name, "wood")
    (ax, ay), (bx, by) = r.at(x0, y1, z0), r.at(x1, y0, z0)
    w, h = (bx - ax) / doors, by - ay
    c.rects([(ax + (k + 0.09) * w, ay + 0.1 * h, ax + (k + 0.91) * w, by - 0.1 * h) for k in range(doors)],
            dim(colour, 0.86), f"{name}.drawer", "wood")
    c.rects([(ax + (k + 0.68) * w, ay + 0.42 * h, ax + (k + 0.82) * w, ay + 0.42 * h + 0.012) for k in range(doors)],
            GOLD, f"{name}.drawer", "metal")


def sofa(r: Room, x0, x1, z0, z1, name: str = "sofa") -> None:
    c, d = r.c, r.c.dice
    cloth = d.near(d.pick(CLOTHS), 12)
    material = d.pick(("fabric", "fabric", "leather"))
    texture = c.dress(cloth, 8, 5) if material == "fabric" and d.chance(0.35) else None
    r.shade(x0, x1, z0, z1)
    arm = 0.16 * min(x1 - x0, 0.7)
    r.box(x0, x1, 0.0, 0.34, z1 - 0.08, z1, cloth, f"{name}.backrest", material, texture)
    r.box(x0 + arm, x1 - arm, 0.03, 0.16, z0, z1 - 0.08, dim(cloth, 0.94), f"{name}.seat", material)
    (ax, ay), (bx, by) = r.at(x0 + arm, 0.16, z0), r.at(x1 - arm, 0.03, z0)
    for k in range(1, max(2, round((x1 - x0) / 0.35))):
        x = ax + (bx - ax) * k / max(2, round((x1 - x0) / 0.35))
        c.line(x, ay, x, by, 0.008, dim(cloth, 0.6), f"{name}.seat", material)
    for a, b in ((x0, x0 + arm), (x1 - arm, x1)):
        r.box(a, b, 0.0, 0.23, z0, z1, dim(cloth, 0.9), f"{name}.armrest", material)
    for x in (x0 + arm + 0.1, (x0 + x1) / 2, x1 - arm - 0.1)[:: d.whole(1, 2)]:
        if d.chance(0.75):
            (px, py), s = r.at(x, 0.24, z1 - 0.1), r.scale(z1 - 0.1)
            cushion(c, px, py, 0.055 * s)


def cushion(c: Canvas, x: float, y: float, r: float, name: str = "cushion", cloth: Colour | None = None) -> None:
    d = c.dice
    plain = cloth is not None
    cloth = cloth or d.near(d.pick(CLOTHS), 10)
    lean = d(-0.2, 0.2) * r
    c.poly(((x - r + lean, y - 0.9 * r), (x + lean, y - 0.75 * r), (x + r + lean, y - 0.9 * r),
            (x + 0.92 * r, y + 0.85 * r), (x, y + 0.75 * r), (x - 0.92 * r, y + 0.85 * r)), cloth,
           name, "fabric", None if plain else c.dress(cloth, 2.5, 2.5), bulge=0.2)


def fireplace(r: Room, x: float) -> None:
    c, d = r.c, r.c.dice
    stone, material = d.pick((((176, 92, 70), "brick"), ((226, 222, 214), "stone"), ((150, 146, 140), "stone")))
    (ax, ay), (bx, by) = r.at(x - 0.26, 0.46, 0.97), r.at(x + 0.26, 0.0, 0.97)
    texture = c.dress(stone, 5, 7, ("bricklike",))._replace(colour=mix(stone, (230, 220, 206),
            0.5)) if material == "brick" else None
    c.rect(ax, ay, bx, by, stone, "fireplace", material, texture, grain=0.04)
    c.rect(ax - 0.02, ay - 0.025, bx + 0.02, ay + 0.005, dim(stone, 1.2) if material != "brick" else (132, 88, 54),
            "fireplace", "wood")
    w, h = bx - ax, by - ay
    c.arch(ax + 0.22 * w, ay + 0.34 * h, bx - 0.22 * w, by, (34, 26, 24), "fireplace")
    burning = d.chance(0.7)
    c.attributes["fire"] = burning
    mid = (ax + bx) / 2
    c.line(mid - 0.2 * w, by - 0.03, mid + 0.2 * w, by - 0.02, 0.026, (84, 56, 38), "fireplace", "wood")
    if burning:
        for scale, colour in ((1.0, (240, 110, 30)), (0.6, (255, 214, 90))):
            c.poly(((mid - 0.17 * w * scale, by - 0.02), (mid - 0.09 * w * scale, by - 0.36 * h * scale),
                    (mid - 0.02 * w, by - 0.2 * h * scale), (mid + 0.03 * w * scale, by - 0.5 * h * scale),
                    (mid + 0.1 * w * scale, by - 0.25 * h * scale), (mid + 0.17 * w * scale, by - 0.02)), colour,
                            "fireplace.flame", glow=1.0)


def television(r: Room, x: float) -> None:
    c, d = r.c, r.c.dice
    cabinet(r, x - 0.32, x + 0.32, 0.0, 0.15, 0.86, 0.99, d.near(d.pick(WOODS), 10), 3)
    (ax, ay), (bx, by) = r.at(x - 0.25, 0.44, 0.95), r.at(x + 0.25, 0.17, 0.95)
    c.rect(ax, ay, bx, by, (22, 22, 26), "television")
    c.rect(ax + 0.01, ay + 0.01, bx - 0.01, by - 0.012, d.pick(((40, 50, 60), (90, 150, 210), (60, 130, 90))),
            "television.pane", "glass", shade=(-0.2, -0.2), glow=0.5)


def bookcase(r: Room, x0: float, x1: float, high: float = 0.72) -> None:
    c, d = r.c, r.c.dice
    wood = d.near(d.pick(WOODS), 10)
    r.box(x0, x1, 0.0, high, 0.93, 1.0, wood, "bookcase", "wood")
    (ax, ay), (bx, by) = r.at(x0, high, 0.93), r.at(x1, 0.0, 0.93)
    h = (by - ay) / 4
    c.rects([(ax + 0.012, ay + (k + 0.1) * h, bx - 0.012, ay + (k + 0.92) * h) for k in range(4)], dim(wood, 0.45),
            "bookcase", "wood")
    for colour in (d.pick(CLOTHS), d.pick(CLOTHS), d.pick(CLOTHS)):
        c.rects([(x, ay + (k + d(0.25, 0.4)) * h, x + 0.018,
                ay + (k + 0.92) * h) for k in range(4) for x in (d(ax + 0.015, bx - 0.035),
                d(ax + 0.015, bx - 0.035))], colour, "bookcase", "paper")


# ------------------------------------------------------------------------------------------------ scenes


def bedroom(c: Canvas) -> None:
    d, r = c.dice, Room(c)
    x = d(-0.25, 0.25)
    side = -1 if x > 0 else 1
    wx = x + side * d(0.55, 0.62) if d.chance(0.7) else x
    if d.chance(0.85):
        r.window(wx - 0.25, wx + 0.25, 0.4 if wx != x else 0.52, 0.84)
    if wx != x:
        decorate(r, [x], 0.72, 0.14)
    if d.chance(0.3):
        carpet(r, x - 0.9, x + 0.9, 0.0, 0.5)
    if r.windows and d.chance(0.9):
        r.glint(x + side * 0.72, -0.05, 0.35)
    wood = d.near(d.pick(WOODS), 12)
    w, near = d(0.34, 0.48), d(0.12, 0.34)
    for s in (-1, 1):
        if d.chance(0.75):
            tx = x + s * (w + 0.17)
            cabinet(r, tx - 0.13, tx + 0.13, 0, 0.22, 0.82, 0.98, dim(wood, 0.95), 1, "night table")
            if d.chance(0.75):
                table_lamp(r, tx, 0.22, 0.9)
    r.shade(x - w, x + w, near, 0.98)
    cloth = d.near(d.pick(CLOTHS), 12)
    style = d.pick(("panel", "cloth", "bars"))
    (ax, ay), (bx, by) = r.at(x - w - 0.03, d(0.44, 0.54), 0.97), r.at(x + w + 0.03, 0.1, 0.97)
    if style == "bars":
        c.rects([(ax, ay, bx, ay + 0.025), *((ax + k * (bx - ax) / 6 - 0.008, ay, ax + k * (bx - ax) / 6 + 0.008,
                by) for k in range(7))], wood, "bed.headboard", "metal")
    else:
        c.arch(ax, ay, bx, by, wood if style == "panel" else dim(cloth, 0.7), "bed.headboard",
                "wood" if style == "panel" else "fabric") if d.chance(0.3) else c.rect(
            ax, ay, bx, by, wood if style == "panel" else dim(cloth, 0.7), "bed.headboard",
                    "wood" if style == "panel" else "fabric", shade=(0, 0.15))
    sheet = d.near((244, 242, 236), 8)
    r.box(x - w, x + w, 0.06, 0.23, near + 0.02, 0.96, sheet, "bed.mattress", "fabric", top_tag="bed.mattress")
    r.box(x - w - 0.02, x + w + 0.02, 0.0, 0.08, near, 0.96, wood, "bed", "wood")
    texture = c.dress(cloth, d.whole(4, 7), d.whole(4, 6),
            ("striped", "dotted", "chequered", "zigzag", "woven", "grid")) if d.chance(0.7) else None
    fold = d(0.62, 0.72)
    r.box(x - w - 0.015, x + w + 0.015, 0.05, 0.25, near + 0.01, fold, cloth, "bed", "fabric", texture, grain=0.03)
    c.poly((r.at(x - w, 0.255, fold + 0.07), r.at(x + w, 0.255, fold + 0.07), r.at(x + w, 0.255, fold - 0.03),
            r.at(x - w, 0.255, fold - 0.03)), mix(cloth, sheet, 0.7), "bed", "fabric")
    pillow = d.pick(((250, 248, 244), mix(cloth, (255, 255, 255), 0.5), d.pick(CLOTHS)))
    for s in (-1, 1):
        (px, py), k = r.at(x + s * w * 0.5, 0.31, 0.86), r.scale(0.86)
        c.oval(px, py, 0.5 * w * r.half * k, 0.045 * k, pillow, "pillow", "fabric", bulge=0.3)
    if d.chance(0.35):
        (px, py), k = r.at(x, 0.31, 0.75), r.scale(0.75)
        cushion(c, px, py, 0.05 * k)
    if d.chance(0.3):
        hanging(r, d(-0.2, 0.2), 0.6, 0.86)
    corner = -side * d(0.76, 0.86)
    if abs(corner - x) > w + 0.3 and d.chance(0.4):
        plant(r, corner, 0.6, 0.3)


def kitchen(c: Canvas) -> None:
    d = c.dice
    r = Room(c, "tile" if c.dice.chance(0.45) else "")
    colour = d.near(d.pick(((240, 238, 230), (160, 106, 66), (206, 160, 110), (110, 140, 130), (70, 90, 120),
            (186, 60, 54))), 12)
    stone = d.near(d.pick(((70, 70, 76), (206, 200, 190), (170, 150, 130))), 10)
    wx = d(-0.45, 0.45)
    has_window = d.chance(0.85)
    if has_window:
        r.window(wx - 0.24, wx + 0.24, 0.48, 0.86, 0.35)
    stove_x = (-0.55 if wx > 0 else 0.55) + d(-0.08, 0.08)
    for x0 in (-0.98, -0.66, -0.34, -0.02, 0.3, 0.62):
        x1 = x0 + 0.32
        if not (has_window and x1 > wx - 0.28 and x0 < wx + 0.28) and abs((x0 + x1) / 2 - stove_x) > 0.26:
            cabinet(r, x0, x1, 0.6, 0.88, 0.88, 1.0, colour, 1)
    if d.chance(0.7):  # the hood
        (ax, ay), (bx, by) = r.at(stove_x - 0.2, 0.72, 0.85), r.at(stove_x + 0.2, 0.6, 0.85)
        c.poly(((ax + 0.3 * (bx - ax), ay), (ax + 0.7 * (bx - ax), ay), (bx, by), (ax, by)), (186, 190, 196), "hood",
                "metal", shade=(-0.2, 0))
        c.rect(ax + 0.36 * (bx - ax), r.at(0, 0.98, 0.9)[1], ax + 0.64 * (bx - ax), ay + 0.005, (170, 174, 180),
                "hood", "metal")
    for side in (-1, 1):  # cupboards along a wall
        if d.chance(0.4):
            a, b = (-1.0, -0.7) if side < 0 else (0.7, 1.0)
            r.box(a, b, 0.0, 0.34, 0.35, 0.84, colour, "cabinet", "wood")
            r.box(a, b, 0.34, 0.37, 0.35, 0.84, stone, "countertop", "stone")
    cabinet(r, -0.98, 0.98, 0.02, 0.34, 0.8, 1.0, colour, 7)
    texture = c.dress(stone, 8, 1.5, ("marbled",)) if d.chance(0.5) else None
    r.box(-0.98, 0.98, 0.34, 0.37, 0.79, 1.0, stone, "countertop", "stone", texture)
    metal = d.pick(((60, 62, 68), (214, 216, 220), (160, 164, 170)))
    (ax, ay), (bx, by) = r.at(stove_x - 0.17, 0.37, 0.79), r.at(stove_x + 0.17, 0.0, 0.79)
    c.rect(ax, ay, bx, by, metal, "stove", "metal", shade=(0.1, 0.05))
    c.poly((r.at(stove_x - 0.16, 0.372, 0.99), r.at(stove_x + 0.16, 0.372, 0.99), (bx, ay), (ax, ay)), (40, 40, 44),
            "stove", "metal")
    for k in (-0.08, 0.08):
        (px, py) = r.at(stove_x + k, 0.372, 0.9)
        c.oval(px, py, 0.026, 0.011, d.pick(((226, 84, 40), (110, 112, 118))), "stove.burner", "metal")
    w, h = bx - ax, by - ay
    c.rect(ax + 0.1 * w, ay + 0.3 * h, bx - 0.1 * w, by - 0.16 * h, (34, 34, 40), "oven", "glass", shade=(-0.2, -0.3))
    c.rect(ax + 0.14 * w, ay + 0.2 * h, bx - 0.14 * w, ay + 0.2 * h + 0.012, (236, 238, 240), "oven", "metal")
    px, py = r.at(stove_x - 0.06, 0.38, 0.88)
    if d.chance(0.5):
        c.rect(px - 0.035, py - 0.05, px + 0.035, py, d.pick(((196, 56, 48), (170, 176, 184), (60, 90, 140))),
                "bottle", "metal", shade=(-0.3, 0))
    sink_x = wx if abs(wx - stove_x) > 0.45 else (wx + 0.9 if wx < 0 else wx - 0.9)
    px, py = r.at(sink_x, 0.372, 0.88)
    c.oval(px, py, 0.07, 0.016, (190, 196, 202), "sink", "metal", shade=(0, 0.3))
    c.line(px, py - 0.005, px, py - 0.05, 0.012, (206, 210, 216), "sink", "metal")
    c.line(px, py - 0.05, px + 0.03, py - 0.045, 0.012, (206, 210, 216), "sink", "metal")
    if d.chance(0.55):
        fx = 0.8 if stove_x < 0 else -0.8
        white = d.pick(((240, 242, 244), (196, 200, 206), (150, 196, 190)))
        r.box(fx - 0.17, fx + 0.17, 0.0, 0.66, 0.74, 0.98, white, "refrigerator", "metal")
        (ax, ay), (bx, by) = r.at(fx - 0.17, 0.66, 0.74), r.at(fx + 0.17, 0.0, 0.74)
        c.rects([(ax, ay + 0.32 * (by - ay), bx, ay + 0.34 * (by - ay)),
                (ax + 0.02, ay + 0.38 * (by - ay), ax + 0.032, ay + 0.55 * (by - ay))], dim(white, 0.6),
                "refrigerator", "metal")
    for _ in range(d.whole(0, 2)):
        x = d(-0.9, 0.9)
        px, py = r.at(x, 0.38, 0.86)
        c.rect(px - 0.012, py - 0.06, px + 0.012, py, d.pick(((50, 110, 60), (130, 40, 40), (220, 190, 90))),
                "bottle", "glass")
        c.rect(px - 0.005, py - 0.085, px + 0.005, py - 0.055, (60, 70, 60), "bottle", "glass")
    x = d(-0.2, 0.2)
    if d.chance(0.55):  # a table in the middle; else the floor is free
        wood = d.near(d.pick(WOODS), 12)
        table(r, x - 0.4, x + 0.4, 0.3, 0.1, 0.5, "dining table", wood, "wood", d.chance(0.3))
        r.glint(x + 0.12, 0.14, 0.44, 0.305)
        if d.chance(0.6):
            px, py = r.at(x - 0.2, 0.3, 0.3)
            c.oval(px, py, 0.07, 0.026, (244, 242, 236), "plate", "ceramic")
            c.poly([place(CIRCLE[::2], px + k, py - 0.018, 0.024) for k in (-0.03, 0.02)],
                    d.pick(((206, 40, 40), (236, 150, 40), (110, 160, 50))), "plate")
    else:
        r.glint(x, 0.05, 0.45)
        if d.chance(0.3):
            carpet(r, x - 0.4, x + 0.4, 0.45, 0.7)
    if d.chance(0.5):
        hanging(r, x, 0.5, 0.78)
    if d.chance(0.12):
        px, py = r.at(d.pick((-0.55, 0.55)), 0.0, 0.5)
        person(c, px, py, 0.5, "stand")


def living_room(c: Canvas) -> None:
    d, r = c.dice, Room(c)
    feature = d.pick(("fireplace", "television", "sofa", "sofa"))
    x = d(-0.2, 0.2)
    wx = x + (0.6 if x < 0 else -0.6)
    if d.chance(0.9):
        r.window(wx - 0.27, wx + 0.27, 0.34, 0.88)
    if feature == "fireplace":
        fireplace(r, x)
        decorate(r, [x], 0.7, 0.15)
    elif feature == "television":
        television(r, x)
    if d.chance(0.35):
        a = -0.98 if wx > 0 else 0.62
        bookcase(r, a, a + 0.36)
    elif d.chance(0.5):
        floor_lamp(r, -0.85 if wx > 0 else 0.85, 0.85)
    if d.chance(0.75):
        carpet(r, -0.62 + x, 0.62 + x, 0.12, 0.66)
    if feature == "sofa":
        decorate(r, [x - 0.14, x + 0.2] if d.chance(0.5) else [x], 0.68, 0.15)
        sofa(r, x - 0.52, x + 0.52, 0.62, 0.92)
        if d.chance(0.3):
            px, py = r.at(x + d(-0.3, 0.3), 0.17, 0.75)
            person(c, px, py, 0.42, "sit")
    for s in (-1, 1):
        if d.chance(0.55 if feature != "sofa" else 0.35):
            sofa(r, s * 0.74 - 0.24, s * 0.74 + 0.24, 0.24, 0.52, "armchair" if d.chance(0.7) else "sofa")
    if d.chance(0.8):
        wood, material = d.pick(((d.near(d.pick(WOODS)), "wood"), (d.near(d.pick(WOODS)), "wood"),
                ((196, 212, 216), "glass"), ((220, 214, 206), "stone")))
        w = d(0.26, 0.36)
        table(r, x - w, x + w, 0.16, 0.22, 0.46, "coffee table", wood, material)
        r.glint(x + (0.1 if wx > x else -0.1), 0.24, 0.42, 0.162, 0.13)
        px, py = r.at(x - 0.12, 0.16, 0.36)
        if d.chance(0.5):
            vase(c, px, py, 0.15)
    else:
        r.glint(x, 0.1, 0.45)
    if d.chance(0.5):
        plant(r, d.pick((-0.86, 0.86)), d(0.55, 0.9), d(0.24, 0.34))
    if d.chance(0.3):
        hanging(r, d(-0.2, 0.2), 0.5, 0.86)


def dining_room(c: Canvas) -> None:
    d, r = c.dice, Room(c)
    x = d(-0.15, 0.15)
    wx = d.pick((-0.45, 0.45, 0.0))
    if d.chance(0.85):
        r.window(wx - 0.26, wx + 0.26, 0.38, 0.87)
    other = 0.45 if wx <= 0 else -0.45
    if d.chance(0.5):
        decorate(r, [other], 0.68, 0.16)
    if d.chance(0.45):
        cabinet(r, other - 0.3, other + 0.3, 0.0, 0.34, 0.88, 0.99, d.near(d.pick(WOODS)), 3)
        if d.chance(0.5):
            px, py = r.at(other, 0.34, 0.93)
            vase(c, px, py, 0.12)
    if d.chance(0.5):
        carpet(r, x - 0.85, x + 0.85, 0.0, 0.8)
    wood, cloth = d.near(d.pick(WOODS), 12), d.near(d.pick(CLOTHS), 12)
    w, z0, z1 = d(0.44, 0.54), 0.14, 0.66
    for k in (-0.5, 0.5) if w > 0.46 else (0.0,):
        chair(r, x + k * w, z1 + 0.1, "far", wood, cloth)
    for s in (-1, 1):
        for z in (0.56, 0.3):
            chair(r, x + s * (w + 0.12), z, "left" if s < 0 else "right", wood, cloth)
    table(r, x - w, x + w, 0.31, z0, z1, "dining table", wood, d.pick(("wood", "wood", "stone")), d.chance(0.45))
    r.glint(x + 0.5 * w * (1 if wx > x else -1), z0 + 0.08, z1 - 0.12, 0.312, 0.14)
    for along, z in ((-0.62, 0.3), (0.0, 0.26), (0.62, 0.3), (-0.4, 0.56), (0.4, 0.56)):
        if d.chance(0.75):
            (px, py), k = r.at(x + along * w, 0.315, z), r.scale(z)
            c.oval(px, py, 0.043 * k, 0.015 * k, (250, 248, 244), "plate", "ceramic", shade=(0, 0.1))
            if d.chance(0.5):
                gx, gy = px + 0.055 * k, py - 0.008
                c.poly(((gx - 0.014 * k, gy - 0.05 * k), (gx + 0.014 * k, gy - 0.05 * k), (gx + 0.008 * k, gy),
                        (gx - 0.008 * k, gy)), (206, 222, 232), "glass", "glass")
    px, py = r.at(x, 0.315, 0.46)
    vase(c, px, py, d(0.14, 0.2)) if d.chance(0.7) else None
    if d.chance(0.5):
        for k in (-0.45, 0.45):
            chair(r, x + k * w, -0.02, "near", wood, cloth)
    if d.chance(0.75):
        hanging(r, x, 0.5, 0.72)
    if d.chance(0.2):
        plant(r, d.pick((-0.9, 0.9)), 0.9, 0.28)


def conference_room(c: Canvas) -> None:
    d, r = c.dice, Room(c, c.dice.pick(("painted", "painted", "wood")))
    x = d(-0.08, 0.08)
    shown = d.chance(0.75)
    if shown:
        (ax, ay), (bx, by) = r.at(x - 0.42, 0.84, 1), r.at(x + 0.42, 0.36, 1)
        c.rect(ax - 0.012, ay - 0.012, bx + 0.012, by + 0.012, (44, 44, 50), "screen.frame", "metal")
        c.rect(ax, ay, bx, by, d.pick(((244, 246, 250), (212, 228, 246), (52, 92, 160))), "screen", "paper", glow=0.5)
        w, h = bx - ax, by - ay
        if d.chance(0.7):
            c.rects([(ax + (0.14 + 0.2 * k) * w, by - (0.1 + d(0.15, 0.6)) * h, ax + (0.26 + 0.2 * k) * w,
                    by - 0.1 * h) for k in range(4)], d.pick(((46, 110, 190), (230, 120, 50), (70, 160, 90))),
                    "screen", "paper", glow=0.5)
        wx = d.pick((-0.76, 0.76))
        if d.chance(0.8):
            r.window(wx - 0.17, wx + 0.17, 0.34, 0.84, 0.3)
    else:
        wx = 0.3
        for k in (-0.6, 0.0, 0.6):
            r.window(x + k - 0.22, x + k + 0.22, 0.34, 0.86, 0.25)
    # lights in the ceiling
    lights = [[r.at(k - 0.2, 1, z + 0.14), r.at(k + 0.2, 1, z + 0.14), r.at(k + 0.2, 1, z),
            r.at(k - 0.2, 1, z)] for k in (-0.45, 0.45) for z in (0.15, 0.6)]
    c.poly(np.array(lights), (255, 252, 240), "lamp", "glass", glow=1.0 if r.lamps else 0.2)
    wood = d.near(d.pick((*WOODS, (226, 224, 220))), 10)
    cloth = d.near(d.pick(((44, 46, 54), (60, 80, 120), (130, 50, 50), (96, 98, 104))), 8)
    w, z0, z1 = d(0.36, 0.46), -0.12, 0.78
    for k in (0.0,) if d.chance(0.7) else (-0.2, 0.2):
        chair(r, x + k, z1 + 0.1, "far", wood, cloth, True)
    for z in (0.66, 0.4, 0.12):
        for s in (-1, 1):
            chair(r, x + s * (w + 0.13), z, "left" if s < 0 else "right", wood, cloth, True)
            if d.chance(0.05):
                (px, py), k = r.at(x + s * (w + 0.1), 0.2, z), r.scale(z)
                person(c, px, py, 0.4 * k, "sit")
    table(r, x - w, x + w, 0.31, z0, z1, "conference table", wood, "wood")
    r.glint(x + 0.4 * w * (1 if wx > x else -1), 0.05, 0.5, 0.312, 0.13)
    for z in (0.6, 0.3):
        for s in (-1, 1):
            (px, py), k = r.at(x + s * w * 0.62, 0.315, z), r.scale(z)
            roll = d()
            if roll < 0.3:
                c.poly(((px - 0.035 * k, py - 0.045 * k), (px + 0.035 * k, py - 0.045 * k), (px + 0.03 * k, py),
                        (px - 0.03 * k, py)), (70, 74, 82), "laptop", "metal")
                c.poly(((px - 0.028 * k, py - 0.038 * k), (px + 0.028 * k, py - 0.038 * k),
                        (px + 0.024 * k, py - 0.008), (px - 0.024 * k, py - 0.008)), (150, 196, 236), "laptop.pane",
                        "glass", glow=0.7)
            elif roll < 0.5:
                c.rect(px - 0.01 * k, py - 0.05 * k, px + 0.01 * k, py, (176, 206, 222), "bottle", "glass")
    if d.chance(0.3):
        plant(r, d.pick((-0.9, 0.9)), 0.9, 0.3)


PAINTERS = {
    "bedroom": bedroom, "kitchen": kitchen, "living_room": living_room, "dining_room": dining_room,
    "conference_room": conference_room,
}
