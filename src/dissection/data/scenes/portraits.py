"""Close views: faces with their attributes, and swatches of one texture."""
# Drawing instructions read best in rows.
# fmt: off

import numpy as np

from dissection.data.scenes import world
from dissection.data.scenes.canvas import ARCH, CIRCLE, Canvas, Colour, Texture, dim, mix, place
from dissection.data.scenes.outdoors import CLOTHES, HAIRS, SKINS, hills, lawn, sky


def face(c: Canvas, close: bool = False) -> None:
    """A child or an adult who smiles or not, with or without glasses, earrings, a hat, a beard.

    close: fills the frame, plain, with a larger mouth, larger glasses and earrings.
    """
    d = c.dice
    c.camera = (0, 0, 1.45) if close else c.camera
    large = 1.35 if close else 1.0
    child, smile = d.chance(0.35), d.chance(0.5)
    glasses, hat, long_hair = d.chance(0.25), d.chance(0.2), d.chance(0.5)
    earrings = d.chance(0.5 if long_hair else 0.2)
    beard = not child and not long_hair and d.chance(0.45)
    c.attributes.update(child=child, smile=smile, glasses=glasses, hat=hat, earrings=earrings, beard=beard, people=1)
    skin, hair, cloth = d.near(d.pick(SKINS), 10), d.near(d.pick(HAIRS), 10), d.near(d.pick(CLOTHES), 10)
    if not child and d.chance(0.15):
        hair = d.near((196, 194, 190), 8)
    backdrop(c, close)
    c.near = 1.0
    x, y = d(0.46, 0.54), d(0.47, 0.52)
    rx, ry = (d(0.2, 0.225), d(0.235, 0.26)) if child else (d(0.185, 0.215), d(0.27, 0.3))
    turn = d(-0.02, 0.02)
    light = -0.16 * c.sun
    if long_hair:
        low = y + ry * d(0.7, 1.35)
        c.poly(np.concatenate([place(ARCH, x, y - 0.1 * ry, 1.3 * rx, 1.22 * ry),
                ((x + 1.35 * rx, low), (x - 1.35 * rx, low))]), dim(hair, 0.8),
               "person.head.hair", "hair", grain=0.08)
    shoulder = 0.3 if child else 0.4
    c.poly(((x - 0.1, y + 1.1 * ry), (x + 0.1, y + 1.1 * ry), (x + shoulder, y + 1.1 * ry + 0.12),
            (x + shoulder + 0.06, 1.3), (x - shoulder - 0.06, 1.3), (x - shoulder, y + 1.1 * ry + 0.12)), cloth,
           "person.torso", "fabric", c.dress(cloth, 9, 6) if d.chance(0.4) and not close else None, shade=(light, 0))
    neck = 0.07 if child else 0.088
    c.poly(((x - neck, y + 0.6 * ry), (x + neck, y + 0.6 * ry), (x + neck * 1.15, y + 1.2 * ry), (x, y + 1.32 * ry),
            (x - neck * 1.15, y + 1.2 * ry)), dim(skin, 0.82), "person.neck", "skin")
    jewel = (250, 214, 90) if d.chance(0.6) else (226, 236, 244)
    for s in (-1, 1):
        c.oval(x + s * rx * 0.99, y + 0.02, 0.034, 0.052, dim(skin, 0.9), "person.head.ear", "skin")
        if earrings and not close:
            c.oval(x + s * rx * 1.02, y + 0.085, 0.024, 0.03, jewel, "earring", "metal", glow=0.4)
    jaw = d(0.72, 0.95) if not child else 1.0
    t = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    wide = np.where(np.sin(t) > 0, 1 - (1 - jaw) * np.sin(t) ** 2, 1)
    c.poly(place(np.stack([np.cos(t) * wide, np.sin(t)], 1), x, y, rx, ry), skin, "person.head", "skin",
            shade=(light, 0.03), bulge=0.14)
    if beard:
        chin = t[(t > 0.15) & (t < np.pi - 0.15)]
        edge = np.stack([np.cos(chin) * (1 - (1 - jaw) * np.sin(chin) ** 2), np.sin(chin) * 1.03], 1)
        upper = np.stack([np.cos(chin) * 0.82, 0.2 + 0.14 * np.sin(chin)], 1)[::-1]
        c.poly(place(np.concatenate([edge, upper]), x, y, rx, ry), dim(hair, 0.95), "person.head.beard", "hair",
                grain=0.1)
    if child:
        for s in (-1, 1):
            c.halo(x + s * 0.11, y + 0.3 * ry, 0.042, (240, 120, 110), 0.3)
    eye_y, apart = y - (0.0 if child else 0.1) * ry, 0.43 * rx
    ex, ey = (0.046, 0.033) if child else (0.042, 0.024)
    if smile:
        ey *= 0.86
    iris = d.pick(((74, 52, 36), (60, 100, 150), (80, 120, 80), (50, 40, 36)))
    mx = x + turn
    for s in (-1, 1):
        px = mx + s * apart
        c.oval(px, eye_y, ex, ey, (250, 248, 246), "person.head.eye")
        c.oval(px + turn, eye_y, 0.62 * ey + 0.005, 0.9 * ey, iris, "person.head.eye")
        c.oval(px + turn, eye_y, 0.011, 0.012, (14, 12, 14), "person.head.eye")
        lift, thick = (0.02 if smile else 0.0), 0.014 if child else 0.02
        c.poly(((px - 0.055, eye_y - 0.056 - 0.005 * s), (px, eye_y - 0.068 - lift * 0.4),
                (px + 0.055, eye_y - 0.056 + 0.005 * s), (px + 0.05, eye_y - 0.056 + thick + 0.005 * s),
                (px, eye_y - 0.068 + thick), (px - 0.05, eye_y - 0.056 + thick - 0.005 * s)), dim(hair, 0.75),
                        "person.head.eyebrow", "hair")
    ny = y + 0.26 * ry
    nw = 0.026 if child else 0.036
    c.poly(((mx - 0.012, eye_y + 0.02), (mx + 0.012, eye_y + 0.02), (mx + nw, ny), (mx, ny + 0.02), (mx - nw, ny)),
            dim(skin, 0.9), "person.head.nose", "skin", shade=(light, 0))
    my, mw = y + 0.56 * ry, (0.092 if smile else 0.062) * (0.9 if child else 1) * large
    lips = mix(skin, (196, 60, 70), 0.62 if long_hair else 0.42)
    if smile:
        xs = np.linspace(-1, 1, 9)
        for spread, lift, depth, colour in ((0.95, 0.0, 0.088, lips), (0.82, 0.004, 0.066, (252, 250, 246))):
            upper = np.stack([mx + xs * mw, my - 0.022 * xs**2 + lift], 1)
            lower = np.stack([mx + xs[::-1] * mw * spread, my - 0.016 + depth * large * (1 - xs**2)], 1)
            c.poly(np.concatenate([upper, lower]), colour, "person.head.mouth", "skin")
    else:
        c.oval(mx, my + 0.008, mw, 0.021 * large, lips, "person.head.mouth", "skin")
        c.line(mx - mw, my + 0.006, mx + mw, my + 0.006, 0.011, dim(lips, 0.6), "person.head.mouth", "skin")
    locks(c, x, y, rx, ry, hair, long_hair, hat)
    for s in (-1, 1) if earrings and close else ():  # before the hair
        c.oval(x + s * rx * 1.08, y + 0.1, 0.044, 0.056, jewel, "earring", "metal", glow=0.4)
    if glasses:
        spectacles(c, mx, eye_y, apart, rx, x, large)
    if hat:
        cap(c, x, y, rx, ry)


def backdrop(c: Canvas, plain: bool) -> None:
    d = c.dice
    kind = "studio" if plain else d.pick(("wall", "wall", "studio", "outdoors"))
    if kind == "outdoors":
        horizon = d(0.45, 0.65)
        sky(c, horizon)
        if c.attributes["time"] == "night":
            c.tint = (0.8, 0.78, 0.82)
        hills(c, horizon, 0.08, 0.14, 1, "tree")
        lawn(c, horizon)
    else:
        colour = d.near(d.pick(((206, 196, 180), (150, 170, 186), (120, 130, 120), (190, 160, 150), (84, 90, 104),
                (226, 222, 214))), 16)
        texture = c.dress(colour, 8, 8, "striped dotted bricklike zigzag")._replace(colour=dim(colour,
                0.85)) if kind == "wall" and d.chance(0.5) else None
        c.rect(-0.5, -0.5, 1.5, 1.5, colour, "wall", "painted", texture, shade=(0.1 * c.sun, 0.12))
        level = d(0.85, 1.05)
        c.tint = (level, level * d(0.94, 1.0), level * d(0.88, 1.0))


def locks(c: Canvas, x: float, y: float, rx: float, ry: float, hair: Colour, long_hair: bool, hat: bool) -> None:
    d = c.dice
    if not long_hair and not hat and d.chance(0.12):
        return  # bald
    part, fringe = d(-0.5, 0.5), d(0.45, 0.62)
    xs = np.linspace(1, -1, 11)
    edge = -fringe - 0.16 * np.cos(3 * (xs - part)) * d(0.2, 1) + 0.42 * np.abs(xs) ** 4
    outer = place(ARCH, x, y - 0.06 * ry, 1.13 * rx, 1.07 * ry)
    inner = np.stack([x + xs * 1.02 * rx, y + edge * ry], 1)
    c.poly(np.concatenate([outer, inner]), hair, "person.head.hair", "hair", shade=(-0.15 * c.sun, 0.1), grain=0.07)
    if long_hair:
        low = y + d(0.5, 1.0) * ry
        c.poly([((x + s * 1.12 * rx, y - 0.3 * ry), (x + s * 0.88 * rx, y - 0.36 * ry),
                (x + s * 0.98 * rx, y + 0.1 * ry), (x + s * 1.02 * rx, low), (x + s * 1.32 * rx, low)) for s in (-1,
                1)],
               hair, "person.head.hair", "hair", grain=0.1)


def spectacles(c: Canvas, x: float, y: float, apart: float, rx: float, middle: float, large: float) -> None:
    d = c.dice
    colour = d.pick(((30, 28, 30), (120, 60, 30), (60, 60, 70), (150, 30, 40)))
    r, dark = d(0.062, 0.074), d.chance(0.25)
    shape = CIRCLE if d.chance(0.5) else np.array(((-1, -0.75), (1, -0.75), (0.9, 0.75), (-0.9, 0.75)))
    for s in (-1, 1):
        ring = place(shape, x + s * apart, y, r)
        if dark:
            c.poly(ring, (30, 30, 36), "glasses", "glass", shade=(0, -0.2))
        outer, inner = shape * (r + 0.009 * large**2), shape * (r - 0.009 * large**2)
        band = np.concatenate([outer, outer[:1], inner[:1], inner[::-1]])
        c.poly(place(band, x + s * apart, y, 1), colour, "glasses", "metal")
    c.line(x - apart + r, y, x + apart - r, y, 0.014, colour, "glasses", "metal")
    c.line(middle - rx, y - 0.01, x - apart - r, y - 0.005, 0.013, colour, "glasses", "metal")
    c.line(x + apart + r, y - 0.005, middle + rx, y - 0.01, 0.013, colour, "glasses", "metal")


def cap(c: Canvas, x: float, y: float, rx: float, ry: float) -> None:
    d = c.dice
    cloth, brim = d.near(d.pick(CLOTHES), 10), y - 0.52 * ry
    kind = d.pick(("hat", "beanie", "cap"))
    texture = c.dress(cloth, 5, 3) if d.chance(0.4) else None
    c.arch(x - 1.1 * rx, brim + 0.02, x + 1.1 * rx, brim - 0.8 * ry, cloth, "hat", "fabric", texture,
            shade=(-0.15 * c.sun, 0))
    if kind == "hat":
        c.oval(x, brim, 1.65 * rx, 0.045, dim(cloth, 0.8), "hat", "fabric")
        c.rect(x - 1.08 * rx, brim - 0.06, x + 1.08 * rx, brim - 0.02, dim(cloth, 0.45), "hat", "fabric")
    elif kind == "beanie":
        c.rect(x - 1.13 * rx, brim - 0.06, x + 1.13 * rx, brim + 0.02, dim(cloth, 0.75), "hat", "fabric")
        c.oval(x, brim - 0.82 * ry, 0.045, 0.045, (246, 244, 240), "hat", "fabric")
    else:
        side = d.pick((-1, 1))
        c.poly(((x - side * 0.4 * rx, brim - 0.03), (x + side * 1.1 * rx, brim - 0.03),
                (x + side * 1.7 * rx, brim + 0.03), (x - side * 0.2 * rx, brim + 0.03)), dim(cloth, 0.7), "hat",
                "fabric")


def swatch(c: Canvas) -> None:
    """A close view of one texture, tilted and lit at random, as in a collection of textures."""
    d = c.dice
    name = d.pick(world.CATEGORY["texture"])
    c.attributes["texture"] = name
    base = d.near(d.pick((*CLOTHES, (196, 170, 130), (170, 90, 70), (206, 206, 200), (96, 110, 96))), 20)
    other = d.near(d.pick(CLOTHES), 20) if d.chance(0.5) else mix(base,
            (252, 250, 244) if sum(base) < 400 else (30, 28, 36), d(0.55, 0.85))
    if abs(sum(base) - sum(other)) < 120:
        other = mix(other, (250, 248, 240) if sum(base) < 380 else (24, 22, 30), 0.6)
    level = d(0.8, 1.1)
    c.tint = (level, level * d(0.92, 1.0), level * d(0.85, 1.0))
    cells, turn, lean = d(6, 18), d(-0.5, 0.5) if d.chance(0.6) else d(0, 3.14), d(-0.25, 0.25)
    down = cells * (1.6 if name == "bricklike" else 1.0)
    corners = np.array(((-1.2 - lean, -1.2), (1.2 + lean, -1.2), (1.2 - lean, 1.2), (-1.2 + lean, 1.2)))
    rotation = np.array(((np.cos(turn), np.sin(turn)), (-np.sin(turn), np.cos(turn))))
    c.poly(corners @ rotation + 0.5, base, "", "", Texture(name, other, 1.4 * cells, 1.4 * down),
            shade=(d(-0.15, 0.15), d(-0.15, 0.15)), grain=d(0.0, 0.08))


PAINTERS = {"face": face, "swatch": swatch}
