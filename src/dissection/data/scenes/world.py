"""The vocabulary of the synthetic world: every concept has one name and one number.

    NUMBER["tree"], NAMES[12], CATEGORY["texture"]    # CATEGORY: names by category

Numbers are dense, 1 ... n; 0 is no label. A name may stand in two categories ("window" is an object on a
wall and a part of a car), with one number, as in Broden.
"""

import colorsys
from functools import cache

import numpy as np

SCENES = (
    "church-outdoor", "house", "street", "park", "coast", "ski_resort", "airfield", "baseball_field",
    "bedroom", "kitchen", "living_room", "dining_room", "conference_room",
)  # fmt: skip
OUTDOORS = SCENES[:8]
INDOORS = SCENES[8:]
CLOSE = {"church-tower": "church-outdoor"}  # domains that are only seen close, and their scenes
# a domain's place in this list is part of its random key: only append
KEYS = (*SCENES, "face", "swatch", "church-tower")
DOMAINS = tuple(name for name in KEYS if name not in CLOSE)


def _names(text: str) -> tuple[str, ...]:
    return tuple(" ".join(name.split()) for name in text.split(","))


CATEGORY: dict[str, tuple[str, ...]] = {
    "color": _names("""black-c, blue-c, brown-c, grey-c, green-c, orange-c, pink-c, purple-c, red-c,
        white-c, yellow-c"""),
    "object": _names("""sky, cloud, sun, mountain, hill, grass, earth, sand, snow, rock, water, road,
        sidewalk, path, runway, tree, bush, flower, building, house, tower, dome, spire, roof, door,
        window, fence, person, hat, glasses, earring, car, airplane, boat, bench, streetlight, umbrella,
        ski lift, skis, grandstand, scoreboard, base, text, wall, floor, ceiling, bed, pillow, cushion,
        curtain, lamp, painting, mirror, sofa, armchair, coffee table, dining table, conference table,
        night table, chair, cabinet, countertop, stove, oven, hood, sink, refrigerator, plate, glass,
        bottle, vase, plant, chandelier, carpet, fireplace, television, bookcase, screen, laptop, clock"""),
    "part": _names("""head, torso, arm, leg, neck, hair, ear, eye, eyebrow, nose, mouth, beard, wheel,
        headlight, window, crown, trunk, tabletop, furniture leg, seat, backrest, armrest, headboard,
        mattress, pane, frame, shutter, drawer, burner, shade, stand, chimney, gable, cross, steps,
        wing, fuselage, tail, engine, sail, hull, blossom, flame"""),
    "material": _names("""wood, brick, fabric, glass, metal, stone, painted, tile, foliage, skin, hair,
        asphalt, leather, ceramic, paper, concrete, liquid"""),
    "texture": _names("""striped, dotted, chequered, grid, zigzag, bricklike, woven, marbled, scaly"""),
    "scene": tuple(f"{name}-s" for name in SCENES),
}  # fmt: skip

NAMES: tuple[str, ...] = ("", *dict.fromkeys(name for names in CATEGORY.values() for name in names))
NUMBER: dict[str, int] = {name: number for number, name in enumerate(NAMES) if name}

# Label layers of a scene: name of the layer -> (category, how many maps, the most specific first).
LAYERS = {"object": 2, "part": 2, "material": 1, "texture": 1}


@cache
def label(tag: str, material: str, texture: str) -> tuple[int, int, int, int, int, int]:
    """Numbers (object, whole, part, subpart, material, texture) of a tag `object.part.subpart<whole`.

    The maps of the parts hold the most specific part first, then the part that it belongs to.
    Raises KeyError for a name that is not in the vocabulary.
    """
    name, _, whole = tag.partition("<")
    thing, *parts = name.split(".")
    parts = [*parts[::-1], "", ""][:2]
    for word, category in (
        (thing, "object"), (whole, "object"), (parts[0], "part"), (parts[1], "part"),
        (material, "material"), (texture, "texture"),
    ):  # fmt: skip
        if word and word not in CATEGORY[category]:
            raise KeyError(f"{word!r} is no {category} of the synthetic world")
    words = (thing, whole, *parts, material, texture)
    return tuple(NUMBER[word] if word else 0 for word in words)  # type: ignore[return-value]


@cache
def _colour_table() -> np.ndarray:
    """(32, 32, 32) int32 concept number of the colour name of RGB // 8.

    Black, white and grey by value and saturation; the rest by hue, where dark orange is brown, and pale or
    bluish red is pink.
    """
    table = np.empty((32, 32, 32), np.int32)
    hues = ((14, "red"), (40, "orange"), (68, "yellow"), (165, "green"), (258, "blue"), (300, "purple"),
            (342, "pink"), (361, "red"))  # fmt: skip
    for red, green, blue in np.ndindex(32, 32, 32):
        hue, saturation, value = colorsys.rgb_to_hsv(red / 31, green / 31, blue / 31)
        hue *= 360
        chroma = saturation * value
        name = next(word for limit, word in hues if hue < limit)
        if value < 0.2 or (value < 0.3 and chroma < 0.1):
            name = "black"
        elif chroma < 0.11 or saturation < 0.14:
            name = "white" if value > 0.8 else "grey"
        elif name in ("red", "orange") and value < 0.72 and (name == "orange" or saturation < 0.55):
            name = "brown"
        elif name == "red" and saturation < 0.5 and value > 0.72:
            name = "pink"
        elif name == "yellow" and value < 0.45:
            name = "brown" if hue < 52 else "green"
        table[red, green, blue] = NUMBER[f"{name}-c"]
    return table


def colour_names(rgb: np.ndarray) -> np.ndarray:
    """(h, w, 3) uint8 RGB -> (h, w) int32 concept numbers of the 11 colour names."""
    coarse = (rgb >> 3).astype(np.intp)
    return _colour_table()[coarse[..., 0], coarse[..., 1], coarse[..., 2]]


def sound(objects: frozenset[str]) -> str:
    """What one would hear where these objects are: the loudest source decides."""
    for source, noise in (
        ("airplane", "engine"), ("car", "traffic"), ("boat", "waves"), ("ski lift", "wind"),
        ("fireplace", "fire"), ("television", "music"), ("stove", "sizzling"), ("person", "voices"),
        ("clock", "ticking"), ("plate", "clinking"),
        ("spire", "bells"), ("water", "waves"), ("tree", "birds"), ("sky", "wind"),
    ):  # fmt: skip
        if source in objects:
            return noise
    return "silence"
