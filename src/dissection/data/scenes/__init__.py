"""A small world, drawn with complete ground truth.

    scene = draw("kitchen", seed=1, index=5, size=64)
    scene.rgb                  # (64, 64, 3) uint8
    scene.labels["object"]     # (2, 64, 64) int32 numbers of world.NUMBER, the most specific first
    write_scenes(config.assets["broden"].scenes, seed=1, out=Path("broden"), workers=2)

Image i of a seed depends on (domain, seed, i) alone, so images can be drawn in any order and in parallel.
Rules of the world: doors occur only on buildings; trees stand in front of buildings; daylight in a window
brightens a reflection far from it (`attributes["daylight"]`, `["reflection"]`); one outdoor image in
seven carries text (`attributes["watermark"]`); people, cars and fences are rare. The camera can move.
"""

from dissection.data.scenes.painter import Scene, draw, draw_frames
from dissection.data.scenes.world import CATEGORY, DOMAINS, INDOORS, NAMES, NUMBER, OUTDOORS, SCENES
from dissection.data.scenes.write import write_scenes

__all__ = [
    "CATEGORY", "DOMAINS", "INDOORS", "NAMES", "NUMBER", "OUTDOORS", "SCENES", "Scene", "draw", "draw_frames",
    "write_scenes",
]  # fmt: skip
