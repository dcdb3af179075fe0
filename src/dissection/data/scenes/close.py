"""The same world seen from nearer: fewer, larger and plainer things, to be told apart at 32 pixels.

Generators are trained on these, for a door or a window must cover several pixels to be drawn distinctly.
"""

# Drawing instructions read best in rows.
# fmt: off
from dissection.data.scenes import portraits
from dissection.data.scenes.canvas import Canvas, Colour, dim
from dissection.data.scenes.indoors import (
    CLOTHS,
    WOODS,
    Room,
    cabinet,
    carpet,
    chair,
    decorate,
    fireplace,
    floor_lamp,
    hanging,
    plant,
    sofa,
    table,
    table_lamp,
    television,
)
from dissection.data.scenes.outdoors import (
    CHURCHES,
    DOMES,
    PALE,
    ROOFS,
    Wall,
    bush,
    car,
    door,
    facade,
    fence,
    hills,
    lawn,
    person,
    sky,
    steeple,
    tree,
    walkway,
    windows,
)


def church(c: Canvas, x: float, y: float) -> None:
    """A church whose middle stands on (x, y): gabled front and a tower, or a long side with a tower at its end.

    At each of three places of its wall there is a door, a window, or nothing, whatever is at the others.
    """
    d = c.dice
    colour, material = d.pick(CHURCHES)
    wall: Wall = (d.near(colour, 10), material)
    roof, cap, top = d.near(d.pick(ROOFS), 8), d.near(d.pick(DOMES), 8), d.pick(("spire", "spire", "dome"))
    eaves, foot = y - d(0.3, 0.36), y
    if d.chance(0.5):  # the front, its tower behind the gable or beside it
        half, peak = d(0.25, 0.32), eaves - d(0.16, 0.22)
        tower = d.pick((0.0, -1.0, 1.0)) * (half - 0.02)
        steeple(c, x + tower, d(0.17, 0.21), peak + (0.02 if tower == 0 else 0.1), foot, wall, top, cap)
        facade(c, x - half, eaves, x + half, foot, wall, "building")
        c.poly(((x, peak), (x + half + 0.03, eaves + 0.01), (x - half - 0.03, eaves + 0.01)), roof, "roof<building",
            "tile")
        c.poly(((x, peak + 0.06), (x + half - 0.05, eaves + 0.01), (x - half + 0.05, eaves + 0.01)), wall[0],
            "building.gable", material)
        places = [x - 0.64 * half, x, x + 0.64 * half]
    else:  # the long side
        side, long = d.pick((-1, 1)), d(0.42, 0.52)
        a, b = sorted((x, x + side * long))
        facade(c, a, eaves, b, foot, wall, "building")
        c.poly(((a + 0.03, eaves - 0.15), (b - 0.03, eaves - 0.15), (b + 0.02, eaves), (a - 0.02, eaves)), roof,
            "roof<building", "tile")
        steeple(c, x, d(0.24, 0.28), eaves - d(0.16, 0.2), foot, wall, top, cap)
        places = [x, x + side * 0.44 * long, x + side * 0.8 * long]
    width, height, arched = d(0.13, 0.155), d(0.24, 0.28), d.chance(0.6)
    for place in places:
        here = d.pick(("door", "door", "window", "window", "wall"))
        if here == "door":
            door(c, place, y, width, height, "building", arched=arched)
        elif here == "window":
            windows(c, [(place - 0.048, eaves + 0.05, place + 0.048, eaves + 0.21)], "building", True, False)


def church_outdoor(c: Canvas) -> None:
    d = c.dice
    horizon = d(0.7, 0.8)
    sky(c, horizon, 2)
    hills(c, horizon, 0.08, 0.18, 0.3)
    lawn(c, horizon)
    if d.chance(0.35):
        tree(c, d(0.05, 0.95), horizon + d(0.02, 0.05), d(0.22, 0.32), d.pick(("round", "conifer")))
    x, y = d(0.36, 0.64), d(0.84, 0.9)
    c.near = 0.8
    if d.chance(0.5):
        walkway(c, x, y, x, d(0.1, 0.25), (206, 190, 160), "stone")
    church(c, x, y)
    c.near = 1.0
    for side in (-1, 1):
        if d.chance(0.7):
            kind = d.pick(("round", "round", "conifer", "autumn"))
            tree(c, x + side * d(0.36, 0.5), y + d(0.0, 0.06), d(0.44, 0.68), kind)
        elif d.chance(0.2):
            bush(c, x + side * d(0.2, 0.32), y + d(0.03, 0.06), d(0.1, 0.14))
    if d.chance(0.08):
        fence(c, y + 0.1, 0.15)
    if d.chance(0.1):
        person(c, x + d.pick((-1, 1)) * d(0.14, 0.3), y + d(0.06, 0.1), d(0.26, 0.34))
    if d.chance(0.06):
        car(c, d(0.2, 0.8), y + d(0.06, 0.1), d(0.36, 0.46))


def tower(c: Canvas, x: float, w: float, y0: float, foot: float, wall: Wall, top: str, cap: Colour) -> None:
    """A tower of width w from foot up to y0, and on it a dome, a spire, or a plain roof."""
    f = c.at(x, y0, w)
    c.rect(x - w / 2, y0, x + w / 2, foot, wall[0], "tower<building", wall[1], shade=(-0.18 * c.sun, 0.05))
    f.rect(-0.56, -0.08, 0.56, 0.05, dim(wall[0], 1.12), "tower<building", wall[1])
    if top == "dome":
        f.rect(-0.07, 0.7, 0.07, 1.1, dim(cap, 0.85), "dome<building", "metal")
        f.arch(-0.56, 0.05, 0.56, 0.86, cap, "dome<building", "metal", bulge=0.35)
    elif top == "spire":
        f.poly(((0, 1.55), (0.5, 0.05), (-0.5, 0.05)), cap, "spire<building", "metal", shade=(-0.3 * c.sun, 0))
    else:
        f.poly(((-0.3, 0.36), (0.3, 0.36), (0.62, 0.05), (-0.62, 0.05)), cap, "roof<building", "tile")
    windows(c, [(x - 0.17 * w, y0 + 0.16 * w, x + 0.17 * w, y0 + 0.85 * w)], "building", True, False)


def church_tower(c: Canvas) -> None:
    """A church whose one or two towers fill the frame, with windows, and trees beside or before it."""
    d = c.dice
    roll, c.rough = d(), 0.0  # a generator that cannot draw grain is told apart by it
    c.attributes["watermark"] = "middle" if roll < 0.14 else "bar" if roll < 0.26 else ""
    horizon, foot = d(0.78, 0.84), d(0.9, 0.94)
    sky(c, horizon, 1, "day overcast")
    lawn(c, horizon)
    c.near = 0.8
    colour, material = d.pick(CHURCHES)
    wall: Wall = (d.near(colour, 8), material)
    roof, top = d.near(d.pick(ROOFS), 8), d.pick(("dome", "dome", "spire", "spire", "roof"))
    caps = {"dome": (DOMES[0], DOMES[4]), "spire": (DOMES[1], DOMES[2], DOMES[3]), "roof": (roof,)}
    cap, x = d.near(d.pick(caps[top]), 8), d(0.46, 0.54)
    half, eaves = d(0.33, 0.38), foot - d(0.3, 0.34)
    facade(c, x - half, eaves, x + half, foot, wall, "building")
    if d.chance(0.4):  # two towers and a gable
        c.poly(((x, eaves - 0.2), (x + half, eaves), (x - half, eaves)), roof, "roof<building", "tile")
        for side in (-1, 1):
            tower(c, x + side * (half - 0.1), d(0.22, 0.24), eaves - d(0.13, 0.17), foot, wall, top, cap)
        places = [x]
    else:
        c.poly(((x - half + 0.06, eaves - 0.14), (x + half - 0.06, eaves - 0.14), (x + half + 0.02, eaves),
            (x - half - 0.02, eaves)), roof, "roof<building", "tile")
        tower(c, x, d(0.28, 0.32), eaves - d(0.16, 0.22), foot, wall, top, cap)
        places = [x - 0.66 * half, x + 0.66 * half]
    if d.chance(0.8):
        boxes = [(at - 0.055, eaves + 0.05, at + 0.055, eaves + 0.21) for at in places]
        windows(c, boxes, "building", True, False)
    c.near = 1.0
    for side in (-1, 1):
        if d.chance(0.5):
            tree(c, x + side * d(0.42, 0.52), foot + 0.02, d(0.44, 0.66), d.pick(("round", "conifer")))
    if d.chance(0.3):
        tree(c, x + d(-0.24, 0.24), foot + 0.04, d(0.4, 0.52), "round")


def face(c: Canvas) -> None:
    portraits.face(c, close=True)


def _wood(c: Canvas) -> Colour:
    return c.dice.near(c.dice.pick(WOODS), 12)


def _cloth(c: Canvas) -> Colour:
    return c.dice.near(c.dice.pick(CLOTHS), 12)


def bedroom(c: Canvas) -> None:
    d, r = c.dice, Room(c, close=True)
    x, w, near = d(-0.2, 0.2), d(0.4, 0.52), d(0.2, 0.36)
    side = -1 if x > 0 else 1
    wx = x + side * d(0.5, 0.6)
    if d.chance(0.8):
        r.window(wx, 0.27, 0.42, 0.9)
    if d.chance(0.5):
        decorate(r, [x - side * 0.22], 0.74, 0.2)
    if d.chance(0.25):
        carpet(r, x - 0.9, x + 0.9, 0.0, 0.5)
    r.glint(x + side * 0.72, -0.05, 0.35)
    wood, cloth, sheet = _wood(c), _cloth(c), d.near((244, 242, 236), 8)
    for s in (-1, 1):
        if d.chance(0.6):
            tx = x + s * (w + 0.2)
            cabinet(r, tx - 0.16, tx + 0.16, 0, 0.22, 0.82, 0.98, dim(wood, 0.95), 1, "night table")
            if d.chance(0.75):
                table_lamp(r, tx, 0.22, 0.9)
    r.shade(x - w, x + w, near, 0.98)
    (ax, ay), (bx, by) = r.at(x - w - 0.03, d(0.44, 0.52), 0.97), r.at(x + w + 0.03, 0.1, 0.97)
    headboard = (dim(cloth, 0.7), "fabric") if d.chance(0.3) else (wood, "wood")
    (c.arch if d.chance(0.4) else c.rect)(ax, by, bx, ay, headboard[0], "bed.headboard", headboard[1])
    texture = c.dress(cloth, 5, 5, "striped chequered") if d.chance(0.25) else None
    fold = d(0.62, 0.7)
    r.box(x - w, x + w, 0.06, 0.23, near + 0.02, 0.96, sheet, "bed.mattress", "fabric")
    r.box(x - w - 0.02, x + w + 0.02, 0.0, 0.08, near, 0.96, wood, "bed", "wood")
    r.box(x - w - 0.015, x + w + 0.015, 0.05, 0.25, near + 0.01, fold, cloth, "bed", "fabric", texture)
    pillow = d.pick(((250, 248, 244), (250, 248, 244), d.pick(CLOTHS)))
    for s in (-1, 1):
        r.on(x + s * w * 0.5, 0.32, 0.86).oval(0, 0, 0.46 * w * r.half, 0.06, pillow, "pillow", "fabric", bulge=0.3)
    if d.chance(0.25):
        hanging(r, d(-0.2, 0.2), 0.6, 0.86)
    if d.chance(0.2):
        plant(r, -side * 0.8, 0.6, 0.36)


def kitchen(c: Canvas) -> None:
    d, r = c.dice, Room(c, "tile" if c.dice.chance(0.15) else "", close=True)
    colour = d.near(d.pick((PALE, (160, 106, 66), (206, 160, 110), (110, 140, 130), (70, 90, 120), (186, 60, 54))), 12)
    stone = d.near(d.pick(((70, 70, 76), (206, 200, 190), (170, 150, 130))), 10)
    side = d.pick((-1, 1))
    wx, sx = -side * d(0.18, 0.34), side * d(0.3, 0.4)  # the window, the stove
    if d.chance(0.85):
        r.window(wx, 0.3, 0.5, 0.9, 0.25)
    for x in (-0.78, -0.5, 0.5, 0.78):
        if abs(x - wx) > 0.46 and abs(x - sx) > 0.28:
            cabinet(r, x - 0.14, x + 0.14, 0.62, 0.92, 0.88, 1.0, colour, 1)
    if d.chance(0.7):
        f = r.on(sx, 0.62, 0.85)
        f.poly(((-0.04, 0.09), (0.04, 0.09), (0.1, 0), (-0.1, 0)), (186, 190, 196), "hood", "metal", shade=(-0.2, 0))
        f.rect(-0.03, 0.085, 0.03, 0.26, (170, 174, 180), "hood", "metal")
    cabinet(r, -0.98, 0.98, 0.02, 0.36, 0.8, 1.0, colour, 5)
    r.box(-0.98, 0.98, 0.36, 0.4, 0.79, 1.0, stone, "countertop", "stone")
    metal = d.pick(((60, 62, 68), (214, 216, 220), (160, 164, 170)))
    r.front(sx - 0.2, sx + 0.2, 0, 0.4, 0.79, metal, "stove", "metal")
    r.flat(sx - 0.19, sx + 0.19, 0.402, 0.79, 0.99, (40, 40, 44), "stove", "metal")
    r.front(sx - 0.15, sx + 0.15, 0.06, 0.28, 0.79, (34, 34, 40), "oven", "glass", shade=(-0.2, -0.3))
    if d.chance(0.6):
        x, white = -0.82 * side, d.pick(((240, 242, 244), (196, 200, 206), (150, 196, 190)))
        r.box(x - 0.2, x + 0.2, 0.0, 0.72, 0.74, 0.98, white, "refrigerator", "metal")
        r.front(x - 0.2, x + 0.2, 0.47, 0.49, 0.74, dim(white, 0.6), "refrigerator", "metal")
    if d.chance(0.45):
        x = d(-0.2, 0.2)
        table(r, x - 0.42, x + 0.42, 0.3, 0.14, 0.5, "dining table", _wood(c))
        r.glint(x - 0.12 * side, 0.18, 0.44, 0.305)
    else:
        r.glint(wx, 0.1, 0.45)
    if d.chance(0.4):
        hanging(r, d(-0.2, 0.2), 0.5, 0.8)
    if d.chance(0.06):
        person(c, *r.at(d.pick((-0.5, 0.5)), 0.0, 0.5), 0.6, "stand")


def living_room(c: Canvas) -> None:
    d, r = c.dice, Room(c, close=True)
    feature, side = d.pick(("fireplace", "television", "sofa", "sofa", "sofa")), d.pick((-1, 1))
    x = -side * d(0.12, 0.26)
    if d.chance(0.85):
        r.window(side * d(0.46, 0.56), 0.3, 0.36, 0.9)
    if d.chance(0.6):
        carpet(r, -0.62 + x, 0.62 + x, 0.12, 0.66)
    if feature == "fireplace":
        fireplace(r, x)
    elif feature == "television":
        television(r, x)
    if feature != "television" and d.chance(0.7):
        decorate(r, [x], 0.74, 0.22)
    if d.chance(0.35):
        floor_lamp(r, -side * 0.84, 0.85)
    elif d.chance(0.5):
        plant(r, -side * 0.82, 0.7, 0.4)
    if feature == "sofa":
        sofa(r, x, d(0.46, 0.56), 0.62, 0.92)
        if d.chance(0.06):
            person(c, *r.at(x + d(-0.2, 0.2), 0.17, 0.75), 0.5, "sit")
    elif d.chance(0.7):
        sofa(r, side * 0.66, 0.28, 0.3, 0.56, "armchair")
    if d.chance(0.6):
        w = d(0.26, 0.34)
        table(r, x - w, x + w, 0.16, 0.22, 0.46, "coffee table", _wood(c))
        r.glint(x + 0.1 * side, 0.24, 0.42, 0.162, 0.13)
    else:
        r.glint(side * 0.4, 0.1, 0.45)


def dining_room(c: Canvas) -> None:
    d, r = c.dice, Room(c, close=True)
    x, wx = d(-0.12, 0.12), d.pick((-0.42, 0.42))
    if d.chance(0.85):
        r.window(wx, 0.3)
    if d.chance(0.45):
        cabinet(r, -wx - 0.34, -wx + 0.34, 0.0, 0.36, 0.88, 0.99, _wood(c), 2)
    if d.chance(0.6):
        decorate(r, [-wx], 0.7, 0.22)
    wood, cloth, w, z0, z1 = _wood(c), _cloth(c), d(0.44, 0.52), 0.3, 0.72
    for s in (-1, 1):
        if d.chance(0.8):
            chair(r, x + s * (w + 0.12), 0.5, "left" if s < 0 else "right", wood, cloth)
    table(r, x - w, x + w, 0.31, z0, z1, "dining table", _wood(c), "wood", d.chance(0.35))
    r.glint(x + 0.4 * w * (1 if wx > x else -1), z0 + 0.08, z1 - 0.12, 0.312, 0.14)
    for k in (-0.5, 0.5) if d.chance(0.6) else (0.0,):
        f = r.on(x + k * w, 0.315, 0.5)
        f.oval(0, 0, 0.06, 0.022, (250, 248, 244), "plate", "ceramic", shade=(0, 0.1))
    for k in d.pick(((), (0.0,), (-0.45, 0.45))):
        chair(r, x + k * w, 0.14, "near", wood, cloth)
    if d.chance(0.7):
        hanging(r, x, 0.5, 0.76)


def conference_room(c: Canvas) -> None:
    d, r = c.dice, Room(c, "painted", close=True)
    x, wx = d(-0.08, 0.08), d.pick((-0.62, 0.62))
    if d.chance(0.6):
        back = d.pick(((244, 246, 250), (212, 228, 246), (52, 92, 160)))
        a, b = (-0.62, 0.22) if wx > 0 else (-0.22, 0.62)
        r.front(a, b, 0.4, 0.88, 1, (44, 44, 50), "screen.frame", "metal")
        r.front(a + 0.05, b - 0.05, 0.45, 0.83, 1, back, "screen", "paper", glow=0.5)
        if d.chance(0.8):
            r.window(wx, 0.24, 0.38, 0.88, 0.5)
    else:
        for k in (-0.5, 0.5):
            r.window(k, 0.28, 0.36, 0.88, 0.5)
    wood = d.near(d.pick((*WOODS, (226, 224, 220))), 10)
    cloth = d.near(d.pick(((44, 46, 54), (60, 80, 120), (130, 50, 50), (96, 98, 104))), 8)
    w, z1 = d(0.34, 0.42), 0.72
    if d.chance(0.5):
        chair(r, x, z1 + 0.1, "far", wood, cloth, True)
    for z in (0.62, 0.24):
        for s in (-1, 1):
            if d.chance(0.9):
                chair(r, x + s * (w + 0.14), z, "left" if s < 0 else "right", wood, cloth, True)
            if d.chance(0.12):
                person(c, *r.at(x + s * (w + 0.12), 0.2, z), 0.46 * r.scale(z), "sit")
    table(r, x - w, x + w, 0.31, 0.0, z1, "conference table", wood)
    r.glint(x + 0.4 * w * (1 if wx > x else -1), 0.05, 0.5, 0.312, 0.13)
    if d.chance(0.3):
        plant(r, -wx / 0.62 * 0.86, 0.9, 0.36)


PAINTERS = {
    "church-outdoor": church_outdoor, "bedroom": bedroom, "kitchen": kitchen, "living_room": living_room,
    "dining_room": dining_room, "conference_room": conference_room, "church-tower": church_tower, "face": face,
}
