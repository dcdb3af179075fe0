"""Readers against tiny hand-written fixtures of the published formats, and against the real photographs if at hand."""

import io
import pickle
import tarfile
from pathlib import Path

import lmdb
import numpy as np
import pytest
from PIL import Image
from torch.utils.data import DataLoader

from conftest import REPOSITORY
from dissection import config
from dissection.assets import Entry, asset_path, fetch, load_registry
from dissection.data import Dataset, open_dataset
from dissection.errors import DissectionError
from dissection.networks import Preprocess
from test_assets import packed

STREET = Path(__file__).parents[2] / "shared" / "street" / "labelmefacade.tar"
RANDOM = np.random.default_rng(0)


def read(root: Path, reader: str, **keys: object) -> Dataset:
    return open_dataset(
        config.Dataset.model_validate({"reader": reader, "asset": "x", **keys}), root
    )


def encoded(pixels: np.ndarray, format: str = "png", **keys: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format, **keys)
    return buffer.getvalue()


def decoded(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)


def write(path: Path, content: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def pixels(height: int = 8, width: int = 6) -> np.ndarray:
    return RANDOM.integers(0, 256, (height, width, 3), np.uint8)


def numbers(values: list[list[int]]) -> bytes:
    """A label map as Broden has them: R + 256 G."""
    array = np.array(values)
    return encoded(
        np.stack([array % 256, array // 256, np.full_like(array, 7)], axis=-1).astype(np.uint8)
    )


# ------------------------------------------------------------------------------------------------ Broden

TABLES = {
    "index.csv": """image,split,ih,iw,sh,sw,object,color,scene,texture,part
ade20k/a.jpg,train,8,6,2,2,ade20k/a_object.png,ade20k/a_color.png,4,,ade20k/a_part_1.png;ade20k/a_part_2.png
dtd/b.jpg,val,8,6,2,2,,dtd/b_color.png,,6;7,
ade20k/c.jpg,train,8,6,2,2,ade20k/c_object.png,,0,0,
ade20k/d.jpg,val,8,6,2,2,,,5;4,,
ade20k/e.jpg,val,8,6,2,2,,,5;0,,
""",
    "category.csv": """name,first,last,count,frequency
object,1,300,3,2
color,2,2,1,2
scene,4,5,2,3
texture,6,7,2,1
part,3,8,2,1
""",
    "label.csv": """number,name,category,frequency,coverage,syns
1,wall,object(2),2,1.0,
2,red-c,color(2),2,1.0,
3,door,object(1);part(1),2,0.6,gate;entry
4,street-s,scene(2),2,2.0,
5,beach-s,scene(2),2,2.0,
6,dotted,texture(1),1,1.0,
7,striped,texture(1),1,1.0,
8,handle,object(1);part(1),2,0.5,
300,sky,object(2),2,1.0,
""",
    "c_object.csv": """code,number,name,frequency,coverage
1,300,sky,2,1.0
2,1,wall,2,1.0
3,3,door,1,0.4
4,8,handle,1,0.2
""",
    "c_color.csv": "code,number,name,frequency,coverage\n1,2,red-c,2,1.0\n",
    "c_scene.csv": "code,number,name,frequency,coverage\n1,5,beach-s,2,2.0\n2,4,street-s,2,2.0\n",
    "c_texture.csv": "code,number,name,frequency,coverage\n1,6,dotted,1,1.0\n2,7,striped,1,1.0\n",
    "c_part.csv": "code,number,name,frequency,coverage\n1,3,door,1,0.4\n2,8,handle,1,0.1\n",
}


@pytest.fixture
def broden(tmp_path: Path) -> Path:
    for name, table in TABLES.items():
        write(tmp_path / name, table)
    for name in ("ade20k/a", "dtd/b", "ade20k/c", "ade20k/d", "ade20k/e"):
        write(tmp_path / "images" / f"{name}.jpg", encoded(pixels(), "jpeg"))
    images = tmp_path / "images"
    write(images / "ade20k/a_object.png", numbers([[300, 1], [0, 3]]))
    write(images / "ade20k/a_color.png", numbers([[2, 2], [2, 2]]))
    write(images / "ade20k/a_part_1.png", numbers([[3, 0], [0, 3]]))
    write(images / "ade20k/a_part_2.png", numbers([[8, 0], [0, 0]]))
    write(images / "dtd/b_color.png", numbers([[0, 2], [0, 0]]))
    write(images / "ade20k/c_object.png", numbers([[1, 1], [8, 300]]))
    return tmp_path


def test_broden(broden: Path) -> None:
    data = read(broden, "broden")
    assert len(data) == 5
    assert [data.key(i) for i in range(2)] == ["ade20k/a.jpg", "dtd/b.jpg"]
    assert data.concepts.index.name == "number"
    assert data.concepts["name"].loc[[1, 2, 4, 300]].to_list() == [
        "wall",
        "red-c",
        "street-s",
        "sky",
    ]
    assert len(data.concepts) == 9
    assert data.concepts["category"].loc[[3, 8, 300, 4]].to_list() == [
        "part",
        "object",
        "object",
        "scene",
    ], "largest coverage, and of equals the later category"
    assert data.image(0).shape == (8, 6, 3)
    first = data.labels(0)
    assert {name: maps.shape for name, maps in first.items()} == {
        "object": (1, 2, 2),
        "color": (1, 2, 2),
        "scene": (1, 1, 1),
        "part": (2, 2, 2),
    }
    assert all(maps.dtype == np.int32 for maps in first.values())
    assert first["object"].tolist() == [[[300, 1], [0, 3]]]
    assert first["part"].tolist() == [[[3, 0], [0, 3]], [[8, 0], [0, 0]]]
    second = data.labels(1)
    assert second["texture"].tolist() == [[[6]], [[7]]]
    assert "scene" not in second
    assert set(data.labels(2)) == {"object"}, "a scalar 0 is no label"
    assert data.classes == ("beach-s", "street-s")
    assert [data.target(i) for i in range(5)] == [1, None, None, None, 0]


def test_broden_split_and_first_images(broden: Path) -> None:
    data = read(broden, "broden", split="val", images=2)
    assert [data.key(i) for i in range(len(data))] == ["dtd/b.jpg", "ade20k/d.jpg"]
    with pytest.raises(DissectionError, match="no split `test`: choose one of train, val"):
        read(broden, "broden", split="test")


@pytest.mark.parametrize(("size", "side"), [(227, 113), (224, 112)])
def test_broden_at_its_published_sizes(broden: Path, size: int, side: int) -> None:
    """Labels at half the size, rounded down, are what a network of that input is compared with, pixel by pixel."""
    images = broden / "images/ade20k"
    known = np.array([0, 1, 3, 8, 300])
    maps = [known[RANDOM.integers(0, len(known), (side, side))] for _ in range(3)]
    write(images / "a.jpg", encoded(pixels(size, size), "jpeg"))
    write(images / "a_object.png", numbers(maps[0].tolist()))
    for level in (1, 2):
        write(images / f"a_part_{level}.png", numbers(maps[level].tolist()))
    data = read(broden, "broden")
    preprocess = Preprocess(config.Input(size=size))
    assert preprocess(data.image(0)).shape == (3, size, size)
    labels = {
        name: preprocess.labels(found, 2)
        for name, found in data.labels(0).items()
        if name != "color"
    }
    np.testing.assert_array_equal(labels["object"], maps[:1])
    np.testing.assert_array_equal(labels["part"], maps[1:])
    assert labels["scene"].tolist() == [[[4]]]


def test_broden_maps_of_the_other_size(broden: Path) -> None:
    """113 x 113 for a network of 224 pixels: the label at the centre of each square of 2 x 2 pixels."""
    maps = RANDOM.choice([0, 1, 300], (113, 113))
    write(broden / "images/ade20k/a_object.png", numbers(maps.tolist()))
    found = Preprocess(config.Input(size=224)).labels(read(broden, "broden").labels(0)["object"], 2)
    centres = [(2 * i + 1) * 113 // 224 for i in range(112)]
    np.testing.assert_array_equal(found, maps[np.ix_(centres, centres)][None])


def test_broden_cells_of_files_and_numbers(broden: Path) -> None:
    """One cell may hold a map and whole-image labels; 65535 is the largest number, R = G = 255."""
    row = "ade20k/a.jpg,train,8,6,2,2,ade20k/a_object.png,ade20k/a_color.png,4,,"
    assert row in TABLES["index.csv"]
    write(broden / "index.csv", TABLES["index.csv"].replace(row, row.replace(",4,,", ",4,0;6,")))
    write(broden / "label.csv", TABLES["label.csv"] + "65535,last,object(1),1,1.0,\n")
    write(broden / "images/ade20k/a_object.png", numbers([[65535, 300], [0, 8]]))
    labels = read(broden, "broden").labels(0)
    assert labels["object"].tolist() == [[[65535, 300], [0, 8]]]
    assert labels["texture"].tolist() == [[[6]]]
    write(broden / "index.csv", TABLES["index.csv"].replace("a_part_1.png;", "a_part_1.png;8;0;"))
    labels = read(broden, "broden").labels(0)
    assert labels["part"].tolist() == [[[3, 0], [0, 3]], [[8, 0], [0, 0]], [[8, 8], [8, 8]]]


@pytest.mark.parametrize(
    "cell",
    ["../a.png", "/etc/a.png", "ade20k/../../a.png", "ade20k/a_object.png;../x.png", "..\\a.png"],
)
@pytest.mark.parametrize("column", ["image", "object"])
def test_broden_stays_in_its_folder(broden: Path, cell: str, column: str) -> None:
    old = "ade20k/a.jpg" if column == "image" else "ade20k/a_object.png"
    write(broden / "index.csv", TABLES["index.csv"].replace(old, cell))
    with pytest.raises(
        DissectionError, match=rf"index\.csv: column {column}: .* leads out of images/"
    ):
        read(broden, "broden")


def test_broden_names_what_is_wrong(broden: Path) -> None:
    data = read(broden, "broden")
    write(broden / "images/ade20k/a_object.png", numbers([[299, 1], [0, 3]]))
    with pytest.raises(DissectionError, match=r"a_object\.png: label 299 is not among"):
        data.labels(0)
    write(broden / "images/ade20k/a_object.png", encoded(np.zeros((2, 2), np.uint8)))
    with pytest.raises(DissectionError, match=r"a_object\.png: expected an 8-bit RGB label map"):
        data.labels(0)
    write(broden / "images/ade20k/a_object.png", numbers([[300]]))
    write(broden / "images/ade20k/a_part_2.png", numbers([[8]]))
    with pytest.raises(DissectionError, match=r"a_part_2\.png differ in size"):
        data.labels(0)
    whole = encoded(pixels(64, 64), "jpeg")
    for damaged, reason in (
        (whole[: len(whole) // 2], "damaged"),
        (b"", "empty"),
        (b"hello", "not an image"),
    ):
        write(broden / "images/ade20k/a.jpg", damaged)
        with pytest.raises(DissectionError, match=rf"a\.jpg: .*{reason}"):
            data.image(0)
    (broden / "images/ade20k/a.jpg").unlink()
    with pytest.raises(DissectionError, match=r"a\.jpg: cannot be read"):
        data.image(0)
    (broden / "c_part.csv").unlink()
    with pytest.raises(DissectionError, match=r"c_part\.csv: cannot be read"):
        read(broden, "broden")


# ------------------------------------------------------------------------------------------------ Places


def test_places_tree(tmp_path: Path) -> None:
    picture = encoded(pixels(), "jpeg")
    for name in ("abbey/2.jpg", "abbey/1.JPG", "zoo/3.jpg", "hangar-indoor/4.jpg", "zoo/notes.txt"):
        write(tmp_path / "val" / name, picture)
    data = read(tmp_path, "places", split="val")
    assert data.classes == ("abbey", "hangar-indoor", "zoo")
    keys = [data.key(i) for i in range(len(data))]
    assert keys == ["abbey/1.JPG", "abbey/2.jpg", "hangar-indoor/4.jpg", "zoo/3.jpg"]
    assert [data.target(i) for i in range(len(data))] == [0, 0, 1, 2]
    assert data.image(0).shape == (8, 6, 3)
    assert data.labels(0) == {}
    assert len(data.concepts) == 0
    assert len(read(tmp_path / "val", "places")) == 4
    with pytest.raises(DissectionError, match=r"no images: .* choose a split: one of val"):
        read(tmp_path, "places")
    assert len(read(tmp_path, "places", split="val", images=3)) == 3
    for lines in ("val/zoo/3.jpg\nval/abbey/2.jpg\n", "zoo/3.jpg\nabbey/2.jpg\n"):
        write(tmp_path / "val.txt", lines)
        data = read(tmp_path, "places", split="val")
        assert [data.key(i) for i in range(len(data))] == ["abbey/2.jpg", "zoo/3.jpg"]
        assert data.target(1) == 2
    write(tmp_path / "val.txt", "val/../../etc/passwd\n")
    with pytest.raises(DissectionError, match="leads out"):
        read(tmp_path, "places", split="val")
    with pytest.raises(DissectionError, match="train is not a folder"):
        read(tmp_path, "places", split="train")


def test_places_as_published_flat(tmp_path: Path) -> None:
    for index in (1, 2):
        write(tmp_path / f"val_256/Places365_val_0000000{index}.jpg", encoded(pixels(), "jpeg"))
    write(
        tmp_path / "filelist/places365_val.txt",
        "Places365_val_00000002.jpg 0\nPlaces365_val_00000001.jpg 2\n",
    )
    write(tmp_path / "categories_places365.txt", "/a/airfield 0\n/b/bar 1\n/h/hangar/indoor 2\n")
    data = read(tmp_path, "places", split="val")
    assert data.classes == ("airfield", "bar", "hangar-indoor")
    assert [data.target(i) for i in range(2)] == [2, 0]
    assert data.image(1).shape == (8, 6, 3)


CATEGORIES = "/a/airfield 0\n/b/bar 1\n/h/hangar/indoor 2\n"
STANDARD = {
    "a/airfield/00000001.jpg": 0,
    "h/hangar/indoor/00000001.jpg": 2,
    "b/bar/00000001.jpg": 1,
}


@pytest.mark.parametrize("folder", ["data_256", "train_256_places365standard", "images/data_256"])
def test_places_as_published_for_training(tmp_path: Path, folder: str) -> None:
    """As each of the publisher's archives is unpacked, or all by hand."""
    for file in STANDARD:
        write(tmp_path / folder / file, encoded(pixels(), "jpeg"))
    lines = [f"/{file} {number}" for file, number in STANDARD.items()]
    write(tmp_path / "filelist/places365_train_standard.txt", "\n".join([*lines, ""]))
    with pytest.raises(DissectionError, match=r"categories_places365\.txt is missing"):
        read(tmp_path, "places", split="train")
    write(tmp_path / "categories_places365.txt", CATEGORIES)
    data = read(tmp_path, "places", split="train")
    assert data.classes == ("airfield", "bar", "hangar-indoor")
    assert [data.key(i) for i in range(3)] == sorted(STANDARD)
    assert [data.target(i) for i in range(3)] == [0, 1, 2]
    assert data.image(2).shape == (8, 6, 3)
    (tmp_path / folder / min(STANDARD)).unlink()
    with pytest.raises(DissectionError, match=r"the first file of .*is in none"):
        read(tmp_path, "places", split="train")
    with pytest.raises(DissectionError, match="val is not a folder"):
        read(tmp_path, "places", split="val")


def test_places_official_as_it_is_fetched(tmp_path: Path) -> None:
    """Through the registry's parts, from the publisher's file names."""
    content = {
        "train_256_places365standard.tar": {
            f"data_256/{f}": encoded(pixels(), "jpeg") for f in STANDARD
        },
        "filelist_places365-standard.tar": {
            "places365_train_standard.txt": "".join(
                f"/{f} {n}\n" for f, n in STANDARD.items()
            ).encode(),
            "places365_val.txt": b"Places365_val_00000001.jpg 0\n",
        },
    }
    entry = load_registry(REPOSITORY / "config/assets.yaml")["places365_train_official"]
    parts = [part.model_dump() | {"md5": None, "sha256": None, "bytes": None, "checksum": "none"}
             for part in entry.parts]  # fmt: skip
    for part in parts:
        archive = content.get(part["file"])
        write(tmp_path / "own" / part["file"], packed("tar", archive) if archive else CATEGORIES)
    fetch(Entry(**entry.model_dump() | {"parts": parts}), tmp_path / "out", tmp_path / "own", None,
          tmp_path / "record.json")  # fmt: skip
    data = read(asset_path(tmp_path / "record.json"), "places", split="train")
    assert [(data.key(i), data.target(i)) for i in range(3)] == sorted(STANDARD.items())


def test_places_in_the_easy_format(tmp_path: Path) -> None:
    """A tree in which lists name the files with their split."""
    root = tmp_path / "places365_standard"
    names = ["airfield/00000001.jpg", "apartment_building-outdoor/00000002.jpg"]
    for split in ("train", "val"):
        for name in names:
            write(root / split / name, encoded(pixels(), "jpeg"))
        write(root / f"{split}.txt", "".join(f"{split}/{name}\n" for name in names[::-1]))
    for split in ("train", "val"):
        data = read(root, "places", split=split)
        assert data.classes == ("airfield", "apartment_building-outdoor")
        assert [(data.key(i), data.target(i)) for i in range(2)] == [(names[0], 0), (names[1], 1)]


# ------------------------------------------------------------------------------------------------ LSUN


def database(folder: Path, images: dict[str, bytes]) -> None:
    folder.mkdir(parents=True)
    with (
        lmdb.open(str(folder), map_size=1 << 24) as environment,
        environment.begin(write=True) as transaction,
    ):
        for key, content in images.items():
            transaction.put(key.encode(), content)


def test_lsun(tmp_path: Path) -> None:
    pictures = {name: pixels(16, 12) for name in "abcd"}
    keys = {name: name * 40 for name in pictures}
    bedroom = {
        keys["b"]: encoded(pictures["b"], "webp", lossless=True),
        keys["a"]: encoded(pictures["a"], "png"),
    }
    database(tmp_path / "bedroom_val_lmdb", bedroom)
    database(
        tmp_path / "church_outdoor_val_lmdb",
        {keys["c"]: encoded(pictures["c"], "jpeg"), keys["d"]: b"rubbish"},
    )
    one = read(tmp_path / "bedroom_val_lmdb", "lsun")
    assert [one.key(i) for i in range(len(one))] == [keys["a"], keys["b"]]
    assert one.classes == ()
    assert one.target(0) is None
    for index, name in enumerate("ab"):
        np.testing.assert_array_equal(one.image(index), pictures[name])
    data = read(tmp_path, "lsun", split="val")
    assert data.classes == ("bedroom", "church_outdoor")
    assert [data.target(i) for i in range(len(data))] == [0, 0, 1, 1]
    assert data.key(2) == f"church_outdoor_val_lmdb/{keys['c']}"
    np.testing.assert_allclose(data.image(2), decoded(encoded(pictures["c"], "jpeg")), atol=3)
    with pytest.raises(
        DissectionError, match=f"church_outdoor_val_lmdb: key .*{keys['d']}: not an image"
    ):
        data.image(3)
    assert len(read(tmp_path, "lsun", split="val", images=3)) == 3
    assert len(read(tmp_path, "lsun", split="val", images=1)) == 1
    with pytest.raises(IndexError):
        data.image(4)
    with pytest.raises(DissectionError, match="_train_lmdb"):
        read(tmp_path, "lsun", split="train")


@pytest.mark.parametrize(("form", "keys"), [("webp", {"quality": 75}), ("jpeg", {"quality": 75}),
                                            ("webp", {"quality": 75, "exact": True, "method": 0})])  # fmt: skip
def test_lsun_values_are_decoded_by_content(
    tmp_path: Path, form: str, keys: dict[str, object]
) -> None:
    """As Pillow decodes them, to a rounding; 256 pixels on the short side, as the published ones have."""
    ramp = (
        np.linspace(0, 255, 341)[None, :, None] * np.array([1, 0.5, 0.2])
        + np.linspace(0, 60, 256)[:, None, None]
    )
    value = encoded(ramp.clip(0, 255).astype(np.uint8), form, **keys)
    database(tmp_path / "tower_val_lmdb", {"0" * 39 + "f": value})
    found = read(tmp_path / "tower_val_lmdb", "lsun").image(0).astype(int)
    assert found.shape == (256, 341, 3)
    assert np.abs(found - decoded(value)).max() <= 3
    assert np.abs(found - ramp).mean() < 4, "red, green and blue, in that order"


# ------------------------------------------------------------------------------------------------ a folder


def test_folder_of_images(tmp_path: Path) -> None:
    for name in ("b.png", "a.jpg", "deep/er/c.webp", "notes.txt", ".hidden.png"):
        write(tmp_path / name, encoded(pixels(), "png"))
    data = read(tmp_path, "folder")
    assert [data.key(i) for i in range(len(data))] == ["a.jpg", "b.png", "deep/er/c.webp"]
    assert data.labels(0) == {}
    assert data.target(0) is None
    assert data.image(2).shape == (8, 6, 3)
    assert [read(tmp_path, "folder", split="deep").key(0)] == ["deep/er/c.webp"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(DissectionError, match="no images"):
        read(tmp_path / "empty", "folder")


def test_folder_with_own_concepts(tmp_path: Path) -> None:
    for name in ("one", "sub/two"):
        write(tmp_path / f"images/{name}.jpg", encoded(pixels(), "jpeg"))
    write(
        tmp_path / "labels.csv", "number,name,category\n1,cat,animal\n300,dog,animal\n2,ear,part\n"
    )
    values = np.array([[0, 1], [1, 2]], np.uint8)
    indexed = Image.fromarray(values).convert("P")
    indexed.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    (tmp_path / "labels/animal/sub").mkdir(parents=True)
    write(tmp_path / "labels/animal/one.png", numbers([[300, 0]]))
    indexed.save(tmp_path / "labels/animal/sub/two.png")
    write(tmp_path / "labels/part/one.png", encoded(values * 2 % 4))
    data = read(tmp_path, "folder")
    assert data.concepts["name"].to_dict() == {1: "cat", 300: "dog", 2: "ear"}
    assert {name: maps.tolist() for name, maps in data.labels(0).items()} == {
        "animal": [[[300, 0]]],
        "part": [[[0, 2], [2, 0]]],
    }
    assert {name: maps.tolist() for name, maps in data.labels(1).items()} == {
        "animal": [values.tolist()]
    }
    write(tmp_path / "labels/part/one.png", encoded(values + 40))
    with pytest.raises(DissectionError, match=r"part/one\.png: label 40 is not among"):
        data.labels(0)
    write(tmp_path / "labels/part/one.png", b"rubbish")
    with pytest.raises(DissectionError, match=r"part/one\.png: not a label map"):
        data.labels(0)
    for table, reason in (
        ("number,name\n1,cat\n", "expected columns"),
        ("number,name,category\n1,a,b\n1,c,b\n", "once"),
        ("number,name,category\n1,a,../b\n", "name of a folder"),
    ):
        write(tmp_path / "labels.csv", table)
        with pytest.raises(DissectionError, match=rf"labels\.csv: .*{reason}"):
            read(tmp_path, "folder")


def test_orientation_in_exif_is_ignored(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    write(tmp_path / "turned.jpg", encoded(pixels(8, 6), "jpeg", exif=exif))
    assert read(tmp_path, "folder").image(0).shape == (8, 6, 3)


# ------------------------------------------------------------------------------------------------ LabelMeFacade


@pytest.fixture
def facade(tmp_path: Path) -> Path:
    for name in ("b", "a"):
        write(tmp_path / f"images/{name}.jpg", encoded(pixels(), "jpeg"))
    colours = [
        [(0, 0, 0), (128, 0, 0), (128, 0, 128)],
        [(128, 128, 0), (128, 128, 128), (128, 64, 0)],
        [(0, 128, 128), (0, 128, 0), (0, 0, 128)],
    ]
    opaque = np.dstack([np.array(colours, np.uint8), np.full((3, 3), 255, np.uint8)])
    for name in ("a", "b"):
        write(tmp_path / f"labels/{name}.png", encoded(opaque))
    write(tmp_path / "train.txt", "images/b.jpg\n")
    write(tmp_path / "test.txt", "images/a.jpg\n\n")
    return tmp_path


def test_labelmefacade(facade: Path) -> None:
    data = read(facade, "labelmefacade")
    assert [data.key(i) for i in range(len(data))] == ["images/a.jpg", "images/b.jpg"]
    assert data.labels(0)["object"].tolist() == [[[0, 1, 2], [3, 4, 5], [6, 7, 8]]]
    assert data.labels(0)["object"].dtype == np.int32
    assert data.concepts["name"].to_list() == [
        "building",
        "car",
        "door",
        "pavement",
        "road",
        "sky",
        "vegetation",
        "window",
    ]
    assert set(data.concepts["category"]) == {"object"}
    assert read(facade, "labelmefacade", split="train").key(0) == "images/b.jpg"
    with pytest.raises(DissectionError, match="choose train or test"):
        read(facade, "labelmefacade", split="val")
    for colour in ((128, 1, 0), (64, 64, 64), (0, 64, 0)):
        write(facade / "labels/a.png", encoded(np.full((2, 2, 3), colour, np.uint8)))
        with pytest.raises(
            DissectionError, match=rf"a\.png: colour {','.join(map(str, colour))} is no concept's"
        ):
            data.labels(0)
    write(facade / "labels/a.png", b"rubbish")
    with pytest.raises(DissectionError, match=r"a\.png: missing or damaged"):
        data.labels(0)


@pytest.fixture(scope="session")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few of the real photographs, with lists shortened to them."""
    if not STREET.exists():
        pytest.skip("the street photographs are not at hand")
    root = tmp_path_factory.mktemp("street")
    with tarfile.open(STREET) as archive:
        files = {name.partition("/")[2]: name for name in archive.getnames()}
        for listing in ("train.txt", "test.txt"):
            member = archive.extractfile(files[listing])
            assert member is not None
            names = member.read().decode().split()
            write(root / listing, "\n".join(names[:20]))
            assert len(names) == {"train.txt": 100, "test.txt": 845}[listing]
            for name in names[:20]:
                for path in (name, name.replace("images/", "labels/").replace(".jpg", ".png")):
                    member = archive.extractfile(files[path])
                    assert member is not None
                    write(root / path, member.read())
    return root


def test_real_photographs(street: Path) -> None:
    data = read(street, "labelmefacade")
    assert len(data) == 40
    counts = np.zeros(9, np.int64)
    for index in range(len(data)):
        maps, image = data.labels(index)["object"], data.image(index)
        assert image.dtype == np.uint8
        assert image.shape == (*maps.shape[1:], 3)
        counts += np.bincount(maps.ravel(), minlength=9)
    assert (counts > 0).all()
    assert counts.argmax() == 1, "buildings cover most"


# ------------------------------------------------------------------------------------------------ all of them


def _item(data: Dataset, index: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    return data.image(index), data.labels(index)


class Items:
    def __init__(self, data: Dataset) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        return _item(self.data, index)


@pytest.mark.parametrize("reader", ["broden", "labelmefacade", "lsun"])
def test_pickles_and_works_in_worker_processes(
    reader: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    if reader == "lsun":
        database(tmp_path / "lmdb", {str(i) * 40: encoded(pixels()) for i in range(5)})
        root = tmp_path / "lmdb"
    else:
        root = request.getfixturevalue({"labelmefacade": "facade"}.get(reader, reader))
    data = read(root, reader)
    expected = [_item(data, index) for index in range(len(data))]
    again = pickle.loads(pickle.dumps(data))
    loaded = list(
        DataLoader(Items(data), batch_size=None, num_workers=2, collate_fn=lambda item: item)
    )
    assert len(loaded) == len(expected)
    for index, (image, labels) in enumerate(expected):
        np.testing.assert_array_equal(again.image(index), image)
        np.testing.assert_array_equal(loaded[index][0], image)
        assert {name: maps.tolist() for name, maps in loaded[index][1].items()} == {
            name: maps.tolist() for name, maps in labels.items()
        }


def test_root_must_be_a_folder(tmp_path: Path) -> None:
    with pytest.raises(DissectionError, match="nowhere: not a folder; the places reader"):
        read(tmp_path / "nowhere", "places")
