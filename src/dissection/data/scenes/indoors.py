"""Indoor scenes: a room in one-point perspective, furnished from the back wall to the camera."""

# Drawing instructions read best in rows.
# fmt: off
import numpy as np

from dissection.data.scenes.canvas import Canvas, Colour, Pen, Texture, dim, mix
from dissection.data.scenes.outdoors import CLOTHES, GREENS, PALE, STEEL, blooms, person

PAPERS = ((232, 224, 206), (206, 214, 204), (190, 206, 218), (226, 204, 190), (240, 238, 232), (196, 186, 170),
          (222, 198, 140), (176, 190, 168), (202, 178, 186))
WOODS = ((150, 98, 58), (112, 70, 42), (186, 136, 86), (206, 164, 116), (84, 54, 38))
CLOTHS = ((176, 52, 56), (58, 92, 148), (226, 196, 120), (84, 126, 92), (232, 226, 212), (138, 92, 140),
          (110, 110, 116), (206, 132, 80), (96, 150, 160), (214, 150, 166), (66, 62, 70))
GOLD = (214, 176, 96)
# Finish of walls and floors -> names of its textures, periods across and down.
WALL_TEXTURES = {"brick": ("bricklike", 13, 13), "wood": ("striped", 13, 8), "tile": ("grid", 9, 8),
                 "paper": ("striped dotted zigzag chequered", 9, 8)}
FLOOR_TEXTURES = {"wood": "striped", "tile": "chequered grid", "stone": "marbled grid"}


class Room:
    """A box seen from its open side: at depth z (0 at the camera, 1 at the back wall) it spans x -1 ... 1.

    floor, ceiling: their offset from the eye's height at the back wall, in units of the image.
    """

    near = -1.4  # depth at which walls, floor and ceiling end, outside the picture

    def __init__(self, c: Canvas, finish: str = "", close: bool = False) -> None:
        """finish: of the walls; close: the back wall is nearer, walls and floor mostly plain."""
        d = c.dice
        self.c = c
        self.vx, self.vy, self.half = d(0.4, 0.6), d(0.33, 0.4), d(0.34, 0.44)
        self.floor, self.ceiling = d(0.25, 0.31), -d(0.22, 0.28)
        if close:
            self.half, self.floor, self.ceiling = 1.25 * self.half, self.floor + 0.05, self.ceiling - 0.07
        self.daylight = d()  # brightness of the windows
        self.has_window = False
        self.lamps = d.chance(0.5)
        level, warm = 0.66 + 0.36 * max(self.daylight, 0.55 * self.lamps), d(0.0, 0.25) * self.lamps
        c.tint = (level, level * (1 - 0.35 * warm), level * (1 - 0.9 * warm))
        c.attributes.update(daylight=round(self.daylight, 4), lamps=self.lamps)
        c.near = 0.6
        self._shell(finish, close)
        c.near = 0.7

    def scale(self, z: float) -> float:
        """Size at depth z of what measures 1 at the back wall."""
        return 1.9 - 0.9 * z

    def at(self, x: float, y: float, z: float) -> tuple[float, float]:
        """Image point of x (-1 left wall, 1 right wall), height y (0 floor, 1 ceiling), depth z."""
        s = self.scale(z)
        return self.vx + x * self.half * s, self.vy + (self.floor + y * (self.ceiling - self.floor)) * s

    def on(self, x: float, y: float, z: float, size: float = 1.0) -> Pen:
        """A frame that stands at a point of the room, whose unit is `size` of the image at the back wall."""
        return self.c.at(*self.at(x, y, z), size * self.scale(z))

    def front(self, x0, x1, y0, y1, z, *look, **surface) -> None:
        """A rectangle that faces the camera."""
        self.c.rect(*self.at(x0, y1, z), *self.at(x1, y0, z), *look, **surface)

    def flat(self, x0, x1, y, z0, z1, *look, **surface) -> None:
        """A level rectangle, from depth z0 (near) to z1 (far)."""
        self.c.poly((self.at(x0, y, z1), self.at(x1, y, z1), self.at(x1, y, z0), self.at(x0, y, z0)), *look, **surface)

    def side(self, x, y0, y1, z0, z1, *look, **surface) -> None:
        """An upright rectangle along the line of sight."""
        self.c.poly((self.at(x, y1, z1), self.at(x, y1, z0), self.at(x, y0, z0), self.at(x, y0, z1)), *look, **surface)

    def _shell(self, finish: str, close: bool) -> None:
        c, d, near = self.c, self.c.dice, self.near
        painted = 0.85 if close else 0.6
        finish = finish or ("painted" if d.chance(painted) else d.pick(("paper", "paper", "brick", "wood")))
        plain = {"brick": (172, 96, 76), "wood": (176, 128, 84), "tile": (216, 224, 226)}
        paper = d.near(plain.get(finish) or d.pick(PAPERS), 11)
        texture = None
        if finish in WALL_TEXTURES:
            names, across, down = WALL_TEXTURES[finish]
            other = mix(paper, (255, 252, 240), 0.6) if d.chance(0.5) else dim(paper, 0.7)
            texture = c.weave(paper, across, down, names, mix(paper, other, 0.85 if finish == "paper" else 0.4))
        for s in (-1, 1):
            self.side(s, 0, 1, near, 1, dim(paper, 0.84 + 0.05 * s * c.sun), "wall", finish, texture, shade=(0, 0))
        self.flat(-1, 1, 1, near, 1, d.near((238, 236, 230), 8), "ceiling", "painted", shade=(0, 0.1))
        colour, material = d.pick(((d.pick(WOODS), "wood"), (d.pick(WOODS), "wood"), ((206, 200, 190), "tile"),
                                   ((156, 140, 124), "fabric"), ((196, 178, 160), "stone")))
        colour, laid = d.near(colour, 12), None
        if material in FLOOR_TEXTURES and d.chance(0.15 if close else 0.8):
            laid = c.weave(colour, 8, 9, FLOOR_TEXTURES[material], dim(colour, 0.5 if material == "tile" else 0.78))
        self.flat(-1, 1, 0, near, 1, colour, "floor", material, laid, shade=(0, 0.08))
        self.front(-1, 1, 0, 1, 1, paper, "wall", finish, texture)
        self.front(-1, 1, 0, 0.045, 1, mix(paper, (250, 248, 242), 0.6), "wall", "wood")

    def box(self, x0, x1, y0, y1, z0, z1, colour: Colour, tag: str, material: str = "",
        texture: Texture | None = None) -> None:
        """A block that stands out of the floor between depths z0 (near) and z1 (far)."""
        if self.at(0, y1, z0)[1] > self.vy:
            self.flat(x0, x1, y1, z0, z1, dim(colour, 1.14), tag, material, texture)
        if x1 < 0 or x0 > 0:
            self.side(x1 if x1 < 0 else x0, y0, y1, z0, z1, dim(colour, 0.8), tag, material)
        self.front(x0, x1, y0, y1, z0, colour, tag, material, texture, shade=(0, 0.1))

    def shade(self, x0, x1, z0, z1) -> None:
        """The shadow of furniture on the floor."""
        at, a, b = self.at, x0 - 0.03, x1 + 0.03
        self.c.veil((at(a, 0, z1), at(b, 0, z1), at(b, 0, z0), at(a, 0, z0)), (20, 14, 12), 0.28)

    def window(self, x: float, half: float = 0.26, y0: float = 0.36, y1: float = 0.87, curtains: float = 0.6) -> None:
        """A window in the back wall around x; how bright it is, is the room's daylight."""
        c, d = self.c, self.c.dice
        (ax, ay), (bx, by) = self.at(x - half, y1, 1), self.at(x + half, y0, 1)
        w, h, pane = bx - ax, by - ay, ("window.pane", "glass")
        frame = d.pick(((246, 244, 238), (120, 82, 52), (226, 220, 208)))
        light = mix((36, 44, 84), (250, 252, 255), self.daylight)
        hills = mix((20, 34, 40), mix((116, 158, 104), light, 0.35), self.daylight)
        c.rect(ax - 0.014, ay - 0.014, bx + 0.014, by + 0.014, frame, "window.frame", "wood")
        c.rect(ax, ay, bx, by, light, *pane, glow=1)
        low = by - 0.3 * h
        c.poly(((ax, low), (ax + 0.4 * w, low - 0.02), (bx, low + 0.015), (bx, by), (ax, by)), hills, *pane, glow=1)
        bars = [(ax + w / 2 - 0.006, ay, ax + w / 2 + 0.006, by), (ax, ay + h / 2 - 0.006, bx, ay + h / 2 + 0.006)]
        c.rects(bars[: d.whole(1, 2)], frame, "window.frame", "wood")
        self.has_window = True
        if d.chance(curtains):
            cloth, drop, top = d.near(d.pick(CLOTHS), 10), 0.3 * w, ay - 0.035
            low = by + 0.04 if d.chance(0.5) else self.at(0, 0.04, 1)[1]
            folds = c.weave(cloth, 3, 1, "striped", dim(cloth, 0.75))
            texture = c.dress(cloth, 3, (low - top) / 0.06) if d.chance(0.6) else folds
            c.rect(ax - drop - 0.01, top - 0.012, bx + drop + 0.01, top + 0.006, GOLD, "curtain", "metal")
            for left, right in ((ax - drop, ax + 0.35 * drop), (bx - 0.35 * drop, bx + drop)):
                hem = ((left, top), (right, top), (right - 0.15 * drop, low), (left, low))
                c.poly(hem, cloth, "curtain", "fabric", texture)

    def glint(self, x: float, z0: float, z1: float, y: float = 0.0, half: float = 0.16) -> None:
        """The window's reflection on a surface far from it, floor or table top: as bright as the window is by day."""
        if self.has_window:
            at = self.at
            points = np.array((at(x - half, y, z1), at(x + half, y, z1), at(x + half * 1.1, y, z0),
                at(x - half * 1.1, y, z0)))
            self.c.veil(points, (255, 250, 236), 0.62 * self.daylight)
            self.c.attributes["reflection"] = tuple(np.concatenate([points.min(0), points.max(0)]).round(4).tolist())


# ------------------------------------------------------------------------------------------------ things


def shade(r: Room, f: Pen, y: float, size: float) -> None:
    """The shade of a lamp; it glows where the lamps are lit."""
    if r.lamps:
        f.halo(0, y, 1.9 * size, (255, 226, 150), 0.22)
    colour = (255, 234, 176) if r.lamps else r.c.dice.near((214, 200, 172))
    corners = ((-0.6 * size, y + 0.7 * size), (0.6 * size, y + 0.7 * size), (size, y - 0.7 * size),
        (-size, y - 0.7 * size))
    f.poly(corners, colour, "lamp.shade", "fabric", glow=0.9 * r.lamps)


def floor_lamp(r: Room, x: float, z: float) -> None:
    f = r.on(x, 0, z)
    f.oval(0, 0, 0.045, 0.012, (70, 62, 56), "lamp.stand", "metal")
    f.rect(-0.007, 0.3, 0.007, 0, (70, 62, 56), "lamp.stand", "metal")
    shade(r, f, 0.32, 0.06)


def table_lamp(r: Room, x: float, y: float, z: float) -> None:
    f = r.on(x, y, z)
    f.oval(0, 0.03, 0.016, 0.034, r.c.dice.near((160, 120, 90), 30), "lamp.stand", "ceramic")
    shade(r, f, 0.09, 0.046)


def hanging(r: Room, x: float, z: float, low: float = 0.74) -> None:
    """A pendant lamp or a chandelier."""
    f, top = r.on(x, low, z), (1 - low) * (r.floor - r.ceiling)
    if r.c.dice.chance(0.5):
        f.rect(-0.004, 0, 0.004, top, (60, 56, 54), "lamp.stand", "metal")
        shade(r, f, 0, 0.065)
    else:
        f.rect(-0.005, 0, 0.005, top, GOLD, "chandelier", "metal")
        f.arch(-0.1, -0.035, 0.1, 0.005, GOLD, "chandelier", "metal")
        f.ovals([(k, 0.02) for k in (-0.09, -0.03, 0.03, 0.09)], 0.016, 0.024, (255, 240, 196), "chandelier", "glass",
            glow=0.9)


def decorate(r: Room, spots: list[float], y: float = 0.66, size: float = 0.15) -> None:
    """Hang paintings, mirrors or clocks on free places of the back wall."""
    d = r.c.dice
    for x in spots:
        f, roll = r.on(x, y, 1, size * d(0.85, 1.2)), d()
        if roll < 0.15:
            f.oval(0, 0, 0.4, 0.55, GOLD, "mirror.frame", "metal")
            f.oval(0, 0, 0.34, 0.47, (190, 206, 214), "mirror", "glass", shade=(-0.2, -0.15))
        elif roll < 0.28:
            f.oval(0, 0, 0.36, 0.36, (60, 46, 40), "clock.frame", "wood")
            f.oval(0, 0, 0.29, 0.29, (246, 244, 236), "clock")
            f.rects([(-0.03, 0, 0.03, 0.22), (0, -0.03, 0.17, 0.03)], (30, 30, 34), "clock")
        else:
            f.rect(-0.5, 0.42, 0.5, -0.42, d.pick((GOLD, (70, 48, 36), (30, 30, 34), PALE)), "painting.frame", "wood")
            f.rect(-0.4, 0.32, 0.4, -0.32, d.near(d.pick(((150, 190, 214), (236, 226, 204), (52, 60, 90),
                (222, 170, 120))), 16), "painting", "paper")
            if d.chance(0.6):
                hills = ((-0.4, -0.06), (-0.08, 0.1), (0.4, -0.08), (0.4, -0.32), (-0.4, -0.32))
                f.poly(hills, d.near(d.pick(GREENS)), "painting", "paper")
            else:
                f.oval(0, 0, 0.2, 0.2, d.pick(CLOTHES), "painting", "paper")


def plant(r: Room, x: float, z: float, h: float) -> None:
    d, f = r.c.dice, r.on(x, 0, z, h)
    green = d.near(d.pick(GREENS), 12)
    f.shadow(0, 0, 0.2, 0.05)
    for k, (dx, dy) in enumerate(((-0.3, 0.75), (-0.14, 0.98), (0.05, 1.05), (0.2, 0.9), (0.32, 0.66))):
        leaf = ((0, 0.3), (dx - 0.06, dy * 0.8), (dx * 1.25, dy), (dx + 0.02, 0.7 * dy))
        f.poly(leaf, dim(green, 0.8 + 0.1 * k), "plant", "foliage", grain=0.08)
    pot = d.near(d.pick(((190, 96, 62), (230, 226, 216), (70, 90, 130))), 10)
    f.poly(((-0.15, 0.34), (0.15, 0.34), (0.11, 0), (-0.11, 0)), pot, "plant.stand", "ceramic",
        shade=(-0.25 * r.c.sun, 0))


def vase(f: Pen) -> None:
    for dx, dy in ((-0.22, 0.72), (0.0, 0.85), (0.22, 0.74)):
        f.line(0, 0.35, dx, dy, 0.06, (70, 120, 60), "vase", "foliage")
    blooms(f, -0.28, 0.6, 0.28, 1, 6, 0.1)
    glaze = f.canvas.dice.pick(((70, 110, 170), (236, 234, 226), (150, 60, 60), (90, 150, 130)))
    f.oval(0, 0.22, 0.14, 0.22, glaze, "vase", "ceramic", bulge=0.3)


def bottle(f: Pen) -> None:
    colour = f.canvas.dice.pick(((50, 110, 60), (130, 40, 40), (220, 190, 90), (176, 206, 222)))
    f.rects([(-0.012, 0, 0.012, 0.06), (-0.005, 0.06, 0.005, 0.085)], colour, "bottle", "glass")


def cushion(f: Pen) -> None:
    d = f.canvas.dice
    cloth, lean = d.near(d.pick(CLOTHS), 10), d(-0.2, 0.2)
    corners = ((lean - 1, 0.9), (lean, 0.75), (lean + 1, 0.9), (0.92, -0.85), (0, -0.75), (-0.92, -0.85))
    f.poly(corners, cloth, "cushion", "fabric", f.canvas.dress(cloth, 2.5, 2.5), bulge=0.2)


def carpet(r: Room, x0: float, x1: float, z0: float, z1: float) -> None:
    d = r.c.dice
    cloth = d.near(d.pick(CLOTHS), 10)
    texture = r.c.dress(cloth, d.whole(4, 7), d.whole(3, 5)) if d.chance(0.85) else None
    r.flat(x0, x1, 0, z0, z1, cloth, "carpet", "fabric", texture, grain=0.05)


def table(r: Room, x0, x1, y, z0, z1, name: str, colour: Colour, material: str = "wood", cloth: bool = False) -> None:
    """Four legs and a top, perhaps under a cloth."""
    c, d = r.c, r.c.dice
    r.shade(x0, x1, z0, z1)
    for z in (z1, z0):
        for x in (x0 + 0.03, x1 - 0.07):
            r.front(x, x + 0.04, 0, y, z, dim(colour, 0.7), f"{name}.furniture leg", material)
    texture = c.dress(colour, 3, 2, "marbled") if material == "stone" else None
    if cloth:
        colour, material = d.near(d.pick((PALE, *CLOTHS)), 8), "fabric"
        texture = c.dress(colour, 7, 4, "chequered striped dotted") if d.chance(0.7) else None
    r.front(x0, x1, y - (0.14 if cloth else 0.045), y, z0, dim(colour, 0.85), f"{name}.tabletop", material)
    r.flat(x0, x1, y, z0, z1, dim(colour, 1.1), f"{name}.tabletop", material, texture)


def chair(r: Room, x: float, z: float, back: str, colour: Colour, cloth: Colour, office: bool = False) -> None:
    """A chair at (x, z) whose back is on the `far`, `near`, `left` or `right` side of its seat."""
    seat, high, dark = 0.17, 0.4, dim(colour, 0.66)
    x0, x1, z0, z1 = x - 0.13, x + 0.13, z - 0.12, z + 0.12
    wood = "leather" if office else "wood"

    def rest() -> None:
        look = (cloth if office else colour, "chair.backrest", wood)
        if back in ("left", "right"):
            r.side(x0 if back == "left" else x1, seat, high, z0, z1, *look)
            return
        depth = z1 if back == "far" else z0
        r.front(x0, x1, seat, high, depth, *look)
        for a in (x0 + 0.06, x1 - 0.1) if not office else ():
            r.front(a, a + 0.04, seat, 0.35, depth, dark, "chair.backrest", wood)

    if back != "near":
        rest()
    if office:
        f = r.on(x, 0, z)
        f.rects([(-0.007, 0, 0.007, 0.09), (-0.04, 0, 0.04, 0.012)], (56, 58, 64), "chair.furniture leg", "metal")
    else:
        legs = [(*r.at(a, seat, b), *r.at(a + 0.035, 0, b)) for b in (z1, z0) for a in (x0, x1 - 0.035)]
        r.c.rects(legs, dark, "chair.furniture leg", "wood")
    r.flat(x0, x1, seat, z0, z1, cloth, "chair.seat", "leather" if office else "fabric")
    r.front(x0, x1, seat - 0.04, seat, z0, dim(cloth, 0.75), "chair.seat", wood)
    if back == "near":
        rest()


def cabinet(r: Room, x0, x1, y0, y1, z0, z1, colour: Colour, doors: int, name: str = "cabinet") -> None:
    """A block with drawers or panels in front."""
    r.box(x0, x1, y0, y1, z0, z1, colour, name, "wood")
    (ax, ay), (bx, by) = r.at(x0, y1, z0), r.at(x1, y0, z0)
    w, h = (bx - ax) / doors, by - ay
    panels = [(ax + (k + 0.09) * w, ay + 0.1 * h, ax + (k + 0.91) * w, by - 0.1 * h) for k in range(doors)]
    r.c.rects(panels, dim(colour, 0.86), f"{name}.drawer", "wood")
    knobs = [(ax + (k + 0.68) * w, ay + 0.42 * h, ax + (k + 0.82) * w, ay + 0.42 * h + 0.012) for k in range(doors)]
    r.c.rects(knobs, GOLD, f"{name}.drawer", "metal")


def sofa(r: Room, x: float, half: float, z0: float, z1: float, name: str = "sofa") -> None:
    c, d = r.c, r.c.dice
    cloth, material = d.near(d.pick(CLOTHS), 12), d.pick(("fabric", "fabric", "leather"))
    texture = c.dress(cloth, 8, 5) if material == "fabric" and d.chance(0.35) else None
    x0, x1, arm = x - half, x + half, 0.16 * min(2 * half, 0.7)
    r.shade(x0, x1, z0, z1)
    r.box(x0, x1, 0.0, 0.34, z1 - 0.08, z1, cloth, f"{name}.backrest", material, texture)
    r.box(x0 + arm, x1 - arm, 0.03, 0.16, z0, z1 - 0.08, dim(cloth, 0.94), f"{name}.seat", material)
    seats = max(1, round(half / 0.18))
    seams = [x0 + arm + (2 * half - 2 * arm) * k / seats for k in range(1, seats)]
    c.rects([(*r.at(px - 0.01, 0.16, z0), *r.at(px + 0.01, 0.03, z0)) for px in seams], dim(cloth, 0.6),
        f"{name}.seat", material)
    for a, b in ((x0, x0 + arm), (x1 - arm, x1)):
        r.box(a, b, 0.0, 0.23, z0, z1, dim(cloth, 0.9), f"{name}.armrest", material)
    for px in (x0 + arm + 0.1, x, x1 - arm - 0.1)[:: d.whole(1, 2)]:
        if d.chance(0.75):
            cushion(r.on(px, 0.24, z1 - 0.1, 0.055))


def fireplace(r: Room, x: float) -> None:
    d = r.c.dice
    stone, material = d.pick((((176, 92, 70), "brick"), ((226, 222, 214), "stone"), ((150, 146, 140), "stone")))
    texture = r.c.weave(stone, 5, 7, "bricklike", mix(stone, (230, 220, 206), 0.5)) if material == "brick" else None
    r.front(x - 0.26, x + 0.26, 0, 0.46, 0.97, stone, "fireplace", material, texture)
    r.front(x - 0.31, x + 0.31, 0.45, 0.5, 0.97, (132, 88, 54) if texture else dim(stone, 1.2), "fireplace", "wood")
    f = r.on(x, 0, 0.97, 0.22)
    f.arch(-0.3, 0, 0.3, 0.7, (34, 26, 24), "fireplace")
    f.rect(-0.22, 0.05, 0.22, 0.14, (84, 56, 38), "fireplace", "wood")
    if d.chance(0.7):
        for k, colour in ((1.0, (240, 110, 30)), (0.6, (255, 214, 90))):
            flame = ((-0.19, 0.1), (-0.1, 0.42), (-0.02, 0.26), (0.03, 0.56), (0.11, 0.3), (0.19, 0.1))
            f.poly([(px * k, 0.06 + py * k) for px, py in flame], colour, "fireplace.flame", glow=1)


def television(r: Room, x: float) -> None:
    d = r.c.dice
    cabinet(r, x - 0.32, x + 0.32, 0.0, 0.15, 0.86, 0.99, d.near(d.pick(WOODS), 10), 3)
    picture = d.pick(((40, 50, 60), (90, 150, 210), (60, 130, 90)))
    r.front(x - 0.25, x + 0.25, 0.17, 0.44, 0.95, (22, 22, 26), "television")
    r.front(x - 0.225, x + 0.225, 0.195, 0.42, 0.95, picture, "television.pane", "glass", shade=(-0.2, -0.2), glow=0.5)


def bookcase(r: Room, x: float) -> None:
    d, wood = r.c.dice, r.c.dice.near(r.c.dice.pick(WOODS), 10)
    r.box(x - 0.18, x + 0.18, 0.0, 0.72, 0.93, 1.0, wood, "bookcase", "wood")
    (ax, ay), (bx, by) = r.at(x - 0.18, 0.72, 0.93), r.at(x + 0.18, 0, 0.93)
    h = (by - ay) / 4
    r.c.rects([(ax + 0.012, ay + (k + 0.1) * h, bx - 0.012, ay + (k + 0.92) * h) for k in range(4)], dim(wood, 0.45),
        "bookcase", "wood")
    for _ in range(3):
        books = [(d(ax + 0.015, bx - 0.035), k) for k in range(4) for _ in range(2)]
        r.c.rects([(px, ay + (k + 0.3) * h, px + 0.018, ay + (k + 0.92) * h) for px, k in books], d.pick(CLOTHS),
            "bookcase", "paper")


# ------------------------------------------------------------------------------------------------ scenes


def bedroom(c: Canvas) -> None:
    d, r = c.dice, Room(c)
    x, w, near = d(-0.25, 0.25), d(0.34, 0.48), d(0.12, 0.34)
    side = -1 if x > 0 else 1
    wx = x + side * d(0.55, 0.62) if d.chance(0.7) else x
    if d.chance(0.85):
        r.window(wx, 0.25, 0.4 if wx != x else 0.52, 0.86)
    if wx != x:
        decorate(r, [x], 0.72, 0.14)
    if d.chance(0.3):
        carpet(r, x - 0.9, x + 0.9, 0.0, 0.5)
    r.glint(x + side * 0.72, -0.05, 0.35)
    wood, cloth, sheet = d.near(d.pick(WOODS), 12), d.near(d.pick(CLOTHS), 12), d.near((244, 242, 236), 8)
    for s in (-1, 1):
        if d.chance(0.75):
            tx = x + s * (w + 0.17)
            cabinet(r, tx - 0.13, tx + 0.13, 0, 0.22, 0.82, 0.98, dim(wood, 0.95), 1, "night table")
            if d.chance(0.75):
                table_lamp(r, tx, 0.22, 0.9)
    r.shade(x - w, x + w, near, 0.98)
    (ax, ay), (bx, by) = r.at(x - w - 0.03, d(0.44, 0.54), 0.97), r.at(x + w + 0.03, 0.1, 0.97)
    style = d.pick(("panel", "arch", "cloth", "bars"))
    if style == "bars":
        rods = [(ax + k * (bx - ax) / 6 - 0.008, ay, ax + k * (bx - ax) / 6 + 0.008, by) for k in range(7)]
        c.rects([(ax, ay, bx, ay + 0.025), *rods], wood, "bed.headboard", "metal")
    elif style == "arch":
        c.arch(ax, by, bx, ay - 0.03, wood, "bed.headboard", "wood")
    else:
        c.rect(ax, ay, bx, by, *((dim(cloth, 0.7), "bed.headboard", "fabric") if style == "cloth" else (wood,
            "bed.headboard", "wood")))
    texture = c.dress(cloth, d.whole(4, 7), d.whole(4, 6)) if d.chance(0.7) else None
    fold = d(0.62, 0.72)
    r.box(x - w, x + w, 0.06, 0.23, near + 0.02, 0.96, sheet, "bed.mattress", "fabric")
    r.box(x - w - 0.02, x + w + 0.02, 0.0, 0.08, near, 0.96, wood, "bed", "wood")
    r.box(x - w - 0.015, x + w + 0.015, 0.05, 0.25, near + 0.01, fold, cloth, "bed", "fabric", texture)
    r.flat(x - w, x + w, 0.255, fold - 0.03, fold + 0.07, mix(cloth, sheet, 0.7), "bed", "fabric")
    pillow = d.pick(((250, 248, 244), mix(cloth, (255, 255, 255), 0.5), d.pick(CLOTHS)))
    for s in (-1, 1):
        r.on(x + s * w * 0.5, 0.31, 0.86).oval(0, 0, 0.5 * w * r.half, 0.045, pillow, "pillow", "fabric", bulge=0.3)
    if d.chance(0.35):
        cushion(r.on(x, 0.31, 0.75, 0.05))
    if d.chance(0.3):
        hanging(r, d(-0.2, 0.2), 0.6, 0.86)
    corner = -side * d(0.76, 0.86)
    if abs(corner - x) > w + 0.3 and d.chance(0.4):
        plant(r, corner, 0.6, 0.3)


def kitchen(c: Canvas) -> None:
    d = c.dice
    r = Room(c, "tile" if d.chance(0.45) else "")
    colour = d.near(d.pick((PALE, (160, 106, 66), (206, 160, 110), (110, 140, 130), (70, 90, 120), (186, 60, 54))), 12)
    stone = d.near(d.pick(((70, 70, 76), (206, 200, 190), (170, 150, 130))), 10)
    wx, has_window = d(-0.45, 0.45), d.chance(0.85)
    if has_window:
        r.window(wx, 0.24, 0.48, 0.86, 0.35)
    sx = (-0.55 if wx > 0 else 0.55) + d(-0.08, 0.08)  # the stove
    for x in (-0.82, -0.5, -0.18, 0.14, 0.46, 0.78):
        if not (has_window and abs(x - wx) < 0.44) and abs(x - sx) > 0.26:
            cabinet(r, x - 0.16, x + 0.16, 0.6, 0.88, 0.88, 1.0, colour, 1)
    if d.chance(0.7):
        f = r.on(sx, 0.6, 0.85)
        f.poly(((-0.03, 0.07), (0.03, 0.07), (0.08, 0), (-0.08, 0)), (186, 190, 196), "hood", "metal", shade=(-0.2, 0))
        f.rect(-0.022, 0.065, 0.022, 0.2, (170, 174, 180), "hood", "metal")
    for s in (-1, 1):  # cupboards along a wall
        if d.chance(0.4):
            x0, x1 = s * 0.85 - 0.15, s * 0.85 + 0.15
            r.box(x0, x1, 0.0, 0.34, 0.35, 0.84, colour, "cabinet", "wood")
            r.box(x0, x1, 0.34, 0.37, 0.35, 0.84, stone, "countertop", "stone")
    cabinet(r, -0.98, 0.98, 0.02, 0.34, 0.8, 1.0, colour, 7)
    r.box(-0.98, 0.98, 0.34, 0.37, 0.79, 1.0, stone, "countertop", "stone",
        c.dress(stone, 8, 1.5, "marbled") if d.chance(0.5) else None)
    r.front(sx - 0.17, sx + 0.17, 0, 0.37, 0.79, d.pick(((60, 62, 68), (214, 216, 220), (160, 164, 170))), "stove",
        "metal")
    r.flat(sx - 0.16, sx + 0.16, 0.372, 0.79, 0.99, (40, 40, 44), "stove", "metal")
    hot = d.pick(((226, 84, 40), (110, 112, 118)))
    c.ovals([r.at(sx + k, 0.372, 0.9) for k in (-0.08, 0.08)], 0.026, 0.011, hot, "stove.burner", "metal")
    r.front(sx - 0.135, sx + 0.135, 0.06, 0.25, 0.79, (34, 34, 40), "oven", "glass", shade=(-0.2, -0.3))
    r.front(sx - 0.125, sx + 0.125, 0.275, 0.3, 0.79, (236, 238, 240), "oven", "metal")
    f = r.on(wx if abs(wx - sx) > 0.45 else -sx, 0.372, 0.88)
    f.oval(0, 0, 0.065, 0.015, (190, 196, 202), "sink", "metal", shade=(0, 0.3))
    f.rects([(-0.006, 0, 0.006, 0.045), (0, 0.038, 0.03, 0.048)], (206, 210, 216), "sink", "metal")
    if d.chance(0.55):
        x, white = 0.8 if sx < 0 else -0.8, d.pick(((240, 242, 244), (196, 200, 206), (150, 196, 190)))
        r.box(x - 0.17, x + 0.17, 0.0, 0.66, 0.74, 0.98, white, "refrigerator", "metal")
        r.front(x - 0.17, x + 0.17, 0.43, 0.445, 0.74, dim(white, 0.6), "refrigerator", "metal")
        r.front(x - 0.13, x - 0.1, 0.3, 0.41, 0.74, dim(white, 0.6), "refrigerator", "metal")
    for _ in range(d.whole(0, 3)):
        bottle(r.on(d(-0.9, 0.9), 0.38, 0.86))
    x = d(-0.2, 0.2)
    if d.chance(0.55):  # a table in the middle; else the floor is free
        table(r, x - 0.4, x + 0.4, 0.3, 0.1, 0.5, "dining table", d.near(d.pick(WOODS), 12), "wood", d.chance(0.3))
        r.glint(x + 0.12, 0.14, 0.44, 0.305)
        if d.chance(0.6):
            f = r.on(x - 0.2, 0.3, 0.3, 0.04)
            f.oval(0, 0, 1, 0.4, (244, 242, 236), "plate", "ceramic")
            f.ovals([(-0.4, 0.3), (0.3, 0.3)], 0.36, 0.36, d.pick(((206, 40, 40), (236, 150, 40), (110, 160, 50))),
                "plate")
    else:
        r.glint(x, 0.05, 0.45)
        if d.chance(0.3):
            carpet(r, x - 0.4, x + 0.4, 0.45, 0.7)
    if d.chance(0.5):
        hanging(r, x, 0.5, 0.78)
    if d.chance(0.12):
        person(c, *r.at(d.pick((-0.55, 0.55)), 0.0, 0.5), 0.5, "stand")


def living_room(c: Canvas) -> None:
    d, r = c.dice, Room(c)
    feature, x = d.pick(("fireplace", "television", "sofa", "sofa")), d(-0.2, 0.2)
    wx = x + (0.6 if x < 0 else -0.6)
    corner = -np.sign(wx)
    if d.chance(0.9):
        r.window(wx, 0.27, 0.34, 0.88)
    if feature == "fireplace":
        fireplace(r, x)
        decorate(r, [x], 0.7, 0.15)
    elif feature == "television":
        television(r, x)
    if d.chance(0.35):
        bookcase(r, 0.8 * corner)
    elif d.chance(0.5):
        floor_lamp(r, 0.85 * corner, 0.85)
    if d.chance(0.75):
        carpet(r, -0.62 + x, 0.62 + x, 0.12, 0.66)
    if feature == "sofa":
        decorate(r, [x - 0.14, x + 0.2] if d.chance(0.5) else [x], 0.68, 0.15)
        sofa(r, x, 0.52, 0.62, 0.92)
        if d.chance(0.3):
            person(c, *r.at(x + d(-0.3, 0.3), 0.17, 0.75), 0.42, "sit")
    for s in (-1, 1):
        if d.chance(0.35 if feature == "sofa" else 0.55):
            sofa(r, s * 0.74, 0.24, 0.24, 0.52, "armchair" if d.chance(0.7) else "sofa")
    if d.chance(0.8):
        colour, material = d.pick((*((wood, "wood") for wood in WOODS), ((196, 212, 216), "glass"),
            ((220, 214, 206), "stone")))
        w = d(0.26, 0.36)
        table(r, x - w, x + w, 0.16, 0.22, 0.46, "coffee table", d.near(colour), material)
        r.glint(x + 0.1 * np.sign(wx - x), 0.24, 0.42, 0.162, 0.13)
        if d.chance(0.5):
            vase(r.on(x - 0.12, 0.16, 0.36, 0.1))
    else:
        r.glint(x, 0.1, 0.45)
    if d.chance(0.5):
        plant(r, d.pick((-0.86, 0.86)), d(0.55, 0.9), d(0.24, 0.34))
    if d.chance(0.3):
        hanging(r, d(-0.2, 0.2), 0.5, 0.86)


def dining_room(c: Canvas) -> None:
    d, r = c.dice, Room(c)
    x, wx = d(-0.15, 0.15), d.pick((-0.45, 0.45, 0.0))
    other = 0.45 if wx <= 0 else -0.45
    if d.chance(0.85):
        r.window(wx)
    if d.chance(0.5):
        decorate(r, [other], 0.68, 0.16)
    if d.chance(0.45):
        cabinet(r, other - 0.3, other + 0.3, 0.0, 0.34, 0.88, 0.99, d.near(d.pick(WOODS)), 3)
        vase(r.on(other, 0.34, 0.93, 0.11))
    if d.chance(0.5):
        carpet(r, x - 0.85, x + 0.85, 0.0, 0.8)
    wood, cloth, w, z0, z1 = d.near(d.pick(WOODS), 12), d.near(d.pick(CLOTHS), 12), d(0.44, 0.54), 0.14, 0.66
    for k in (-0.5, 0.5) if w > 0.46 else (0.0,):
        chair(r, x + k * w, z1 + 0.1, "far", wood, cloth)
    for s in (-1, 1):
        for z in (0.56, 0.3):
            chair(r, x + s * (w + 0.12), z, "left" if s < 0 else "right", wood, cloth)
    table(r, x - w, x + w, 0.31, z0, z1, "dining table", wood, d.pick(("wood", "wood", "stone")), d.chance(0.45))
    r.glint(x + 0.5 * w * (1 if wx > x else -1), z0 + 0.08, z1 - 0.12, 0.312, 0.14)
    for k, z in ((-0.62, 0.3), (0.0, 0.26), (0.62, 0.3), (-0.4, 0.56), (0.4, 0.56)):
        f = r.on(x + k * w, 0.315, z)
        if d.chance(0.75):
            f.oval(0, 0, 0.043, 0.015, (250, 248, 244), "plate", "ceramic", shade=(0, 0.1))
        if d.chance(0.4):
            f.poly(((0.041, 0.055), (0.069, 0.055), (0.063, 0.005), (0.047, 0.005)), (206, 222, 232), "glass", "glass")
    if d.chance(0.7):
        vase(r.on(x, 0.315, 0.46, d(0.1, 0.14)))
    for k in (-0.45, 0.45) if d.chance(0.5) else ():
        chair(r, x + k * w, -0.02, "near", wood, cloth)
    if d.chance(0.75):
        hanging(r, x, 0.5, 0.72)
    if d.chance(0.2):
        plant(r, d.pick((-0.9, 0.9)), 0.9, 0.28)


def conference_room(c: Canvas) -> None:
    d = c.dice
    r, x = Room(c, d.pick(("painted", "painted", "wood"))), d(-0.08, 0.08)
    wx = d.pick((-0.76, 0.76))
    if d.chance(0.75):
        back = d.pick(((244, 246, 250), (212, 228, 246), (52, 92, 160)))
        r.front(x - 0.45, x + 0.45, 0.34, 0.86, 1, (44, 44, 50), "screen.frame", "metal")
        r.front(x - 0.42, x + 0.42, 0.365, 0.835, 1, back, "screen", "paper", glow=0.5)
        if d.chance(0.7):  # a chart
            bars = [(*r.at(x + k, 0.45 + d(0.05, 0.3), 1), *r.at(x + k + 0.1, 0.41, 1)) for k in (-0.3, -0.13, 0.04,
                0.21)]
            c.rects(bars, d.pick(((46, 110, 190), (230, 120, 50), (70, 160, 90))), "screen", "paper", glow=0.5)
        if d.chance(0.8):
            r.window(wx, 0.17, 0.34, 0.84, 0.3)
    else:
        for k in (-0.6, 0.0, 0.6):
            r.window(x + k, 0.22, 0.34, 0.86, 0.25)
    for k in (-0.45, 0.45):
        for z in (0.15, 0.6):
            r.flat(k - 0.2, k + 0.2, 1, z, z + 0.14, (255, 252, 240), "lamp", "glass", glow=1.0 if r.lamps else 0.2)
    wood = d.near(d.pick((*WOODS, (226, 224, 220))), 10)
    cloth = d.near(d.pick(((44, 46, 54), (60, 80, 120), (130, 50, 50), (96, 98, 104))), 8)
    w, z0, z1 = d(0.36, 0.46), -0.12, 0.78
    for k in (0.0,) if d.chance(0.7) else (-0.2, 0.2):
        chair(r, x + k, z1 + 0.1, "far", wood, cloth, True)
    for z in (0.66, 0.4, 0.12):
        for s in (-1, 1):
            chair(r, x + s * (w + 0.13), z, "left" if s < 0 else "right", wood, cloth, True)
            if d.chance(0.05):
                person(c, *r.at(x + s * (w + 0.1), 0.2, z), 0.4 * r.scale(z), "sit")
    table(r, x - w, x + w, 0.31, z0, z1, "conference table", wood)
    r.glint(x + 0.4 * w * (1 if wx > x else -1), 0.05, 0.5, 0.312, 0.13)
    for z in (0.6, 0.3):
        for s in (-1, 1):
            f, roll = r.on(x + s * w * 0.62, 0.315, z), d()
            if roll < 0.3:
                f.poly(((-0.035, 0.045), (0.035, 0.045), (0.03, 0), (-0.03, 0)), STEEL, "laptop", "metal")
                f.poly(((-0.028, 0.038), (0.028, 0.038), (0.024, 0.006), (-0.024, 0.006)), (150, 196, 236),
                    "laptop.pane", "glass", glow=0.7)
            elif roll < 0.5:
                bottle(f)
    if d.chance(0.3):
        plant(r, d.pick((-0.9, 0.9)), 0.9, 0.3)


PAINTERS = {
    "bedroom": bedroom, "kitchen": kitchen, "living_room": living_room, "dining_room": dining_room,
    "conference_room": conference_room,
}
