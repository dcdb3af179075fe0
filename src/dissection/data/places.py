"""Places: one scene class an image."""

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from dissection.data import ImageFiles
from dissection.data.images import EXTENSIONS
from dissection.errors import DissectionError


class Places(ImageFiles):
    """Images by class, in one of the published forms.

    tree   <root>/<split>/<class>/<file>.jpg (split None: <root>/<class>/<file>.jpg). A list <root>/<split>.txt, a
           path `<split>/<class>/<file>.jpg` or `<class>/<file>.jpg` a line, is used instead of a walk if it is there.
           classes: the sorted names of the folders, which is the order of the 365 published classes.
    lists  places365_<split>.txt or places365_<split>_standard.txt (`<file> <class index>` a line) and
           categories_places365.txt (`/a/airfield 0`), each in <root> or in a folder below it. Files are relative to
           <root> or to a folder of the first two levels below it: val_256/<file>.jpg, or
           data_256/<letter>/<class>[/<kind>]/<file>.jpg, also where unpacking has dropped data_256.

    Order: sorted by path. (The authors of the PNAS paper also shuffled with random.Random(1): the order matters to
    them where they take the first images only.)
    """

    def __init__(self, root: Path, split: str | None = None, images: int | None = None) -> None:
        self.root = root / split if split else root
        lists = (f"places365_{split}.txt", f"places365_{split}_standard.txt")
        if not self.root.is_dir() and (listing := _below(root, lists, 1)):
            categories = _below(root, ["categories_places365.txt"], 1)
            if categories is None:
                raise DissectionError(
                    f"{root}: categories_places365.txt is missing, with {listing.name}"
                )
            self.classes = _categories(categories)
            pairs = sorted(_targets(listing, len(self.classes)))
            first = _below(root, [file for file, _ in pairs[:1]], 2)
            if first is None:
                raise DissectionError(
                    f"{root}: the first file of {listing} is in none of its folders"
                )
            self.root = first.parents[len(PurePosixPath(pairs[0][0]).parts) - 1]
            self.files = [file for file, _ in pairs]
            self._targets = [target for _, target in pairs]
        else:
            if not self.root.is_dir():
                raise DissectionError(
                    f"{self.root} is not a folder: expected <class>/<file>.jpg in it"
                )
            folders = sorted(path.name for path in self.root.iterdir() if path.is_dir())
            listing = root / f"{split}.txt"
            if split and listing.is_file():
                self.files = sorted(_listed(listing, split))
            else:
                paths = (path for folder in folders for path in (self.root / folder).iterdir())
                self.files = sorted(
                    f"{path.parent.name}/{path.name}"
                    for path in paths
                    if path.suffix.lower() in EXTENSIONS
                )
            self.classes = tuple(folders)
            number = {name: index for index, name in enumerate(folders)}
            for file in self.files:
                if file.partition("/")[0] not in number:
                    raise DissectionError(
                        f"{listing}: `{file}` is in none of the class folders of {self.root}"
                    )
            self._targets = [number[file.partition("/")[0]] for file in self.files]
        if not self.files:
            hint = "" if split else f"; or choose a split: one of {', '.join(self.classes)}"
            raise DissectionError(f"{self.root}: no images: expected <class>/<file>.jpg{hint}")
        self.files, self._targets = self.files[:images], self._targets[:images]

    def target(self, index: int) -> int | None:
        return self._targets[index]


def _listed(path: Path, split: str) -> list[str]:
    """The files of a list, relative to the folder of the split."""
    lines = [
        line.strip().removeprefix("./")
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.strip()
    ]
    return [_inside(line.removeprefix(f"{split}/"), path) for line in lines]


def _targets(path: Path, classes: int) -> list[tuple[str, int]]:
    pairs = []
    for line in path.read_text(encoding="utf-8").splitlines():
        file, _, number = line.strip().rpartition(" ")
        if not file or not number.isdigit() or int(number) >= classes:
            raise DissectionError(
                f"{path}: expected `<file> <class index below {classes}>`, found `{line}`"
            )
        pairs.append((_inside(file.removeprefix("/"), path), int(number)))
    return pairs


def _categories(path: Path) -> tuple[str, ...]:
    """`/h/hangar/indoor 169` -> `hangar-indoor`, as the folders of the tree are called."""
    lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    if [line[1:] for line in lines] != [[str(index)] for index in range(len(lines))]:
        raise DissectionError(f"{path}: expected `/<letter>/<class> <index>`, by index from 0")
    return tuple("-".join(name.split("/")[2:]) for name, _ in lines)


def _inside(file: str, path: Path) -> str:
    if file.startswith("/") or ".." in PurePosixPath(file).parts:
        raise DissectionError(f"{path}: `{file}` leads out of the data set")
    return file


def _below(root: Path, names: Iterable[str], depth: int) -> Path | None:
    """The first of these files in the folder or those below it, down to `depth`, the upper ones first."""
    for level in range(depth + 1):
        for folder in sorted(root.glob("/".join("*" * level) + "/")) if level else [root]:
            if found := [folder / name for name in names if (folder / name).is_file()]:
                return found[0]
    return None
