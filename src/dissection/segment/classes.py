"""The classes of a unified parser's heads, as its labels.json names them."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dissection.errors import DissectionError

HEADS = ("object", "part", "material")  # those that label pixels
NONE = "-"


@dataclass(frozen=True)
class Classes:
    """object, part, material: names by number, `-` at 0. scene: names. object_part: object -> its parts,
    `-` first; the part head has a run of channels for each of these objects, in the order of their numbers.
    """

    object: list[str]
    part: list[str]
    material: list[str]
    scene: list[str]
    object_part: dict[str, list[str]]

    @property
    def owners(self) -> list[str]:
        """The objects with parts, in the order of their runs."""
        return sorted(self.object_part, key=self.object.index)

    @property
    def channels(self) -> list[tuple[str, str]]:
        """(object, part) of every channel of the part head."""
        return [(owner, part) for owner in self.owners for part in self.object_part[owner]]

    def sizes(self) -> dict[str, int]:
        """Channels of each head, by the names of `upernet`'s arguments."""
        return {
            "objects": len(self.object),
            "parts": len(self.channels),
            "materials": len(self.material),
            "scenes": len(self.scene),
        }

    def plain(self) -> dict[str, Any]:
        return asdict(self)


def read_classes(path: Path) -> Classes:
    """The classes in labels.json, or in the folder of it. Raises DissectionError naming the file."""
    path = path / "labels.json" if path.is_dir() else path
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        classes = Classes(**{key: content[key] for key in Classes.__dataclass_fields__})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DissectionError(
            f"{path}: not the classes of a segmenter ({error}); expected object, part, material, scene, object_part"
        ) from None
    for owner, parts in classes.object_part.items():
        if owner not in classes.object or parts[:1] != [NONE]:
            raise DissectionError(
                f"{path}: object_part.{owner}: expected an object, and its parts after `{NONE}`"
            )
    return classes
