"""The synthetic world: its determinism, its rules, and the formats it is written in."""

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dissection import config
from dissection.data import open_dataset
from dissection.data.scenes import (
    CATEGORY,
    DOMAINS,
    INDOORS,
    NAMES,
    NUMBER,
    OUTDOORS,
    SCENES,
    close,
    draw,
    draw_frames,
    write_scenes,
)
from dissection.data.scenes.world import CLOSE, colour_names
from dissection.errors import DissectionError

EACH = 60  # images of a domain


@pytest.fixture(scope="module")
def world():
    return {domain: [draw(domain, 7, index) for index in range(EACH)] for domain in DOMAINS}


@given(
    st.sampled_from(DOMAINS),
    st.integers(0, 2**31),
    st.integers(0, 2**31),
    st.sampled_from([32, 64, 97]),
)
@settings(max_examples=60, deadline=None)
def test_an_image_depends_on_its_key_alone(domain, seed, index, size):
    first = draw(domain, seed, index, size)
    draw(domain, seed + 1, index, size)
    again = draw(domain, seed, index, size)
    assert first.rgb.shape == (size, size, 3)
    assert first.rgb.dtype == np.uint8
    np.testing.assert_array_equal(first.rgb, again.rgb)
    assert first.attributes == again.attributes
    for category, maps in first.labels.items():
        assert maps.shape[1:] == (size, size)
        np.testing.assert_array_equal(maps, again.labels[category])
        known = {NUMBER[name] for name in CATEGORY[category]}
        assert set(np.unique(maps).tolist()) <= known | {0}


@given(st.sampled_from(DOMAINS), st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_labels_are_complete_and_nested(domain, index):
    labels = draw(domain, 3, index).labels
    if domain != "swatch":
        assert (labels["object"][0] > 0).all()
    assert (labels["color"] > 0).all()
    assert not ((labels["part"][1] > 0) & (labels["part"][0] == 0)).any()
    doors = labels["object"][0] == NUMBER["door"]
    assert np.isin(labels["object"][1][doors], [NUMBER["building"], NUMBER["house"]]).all()


def test_other_seeds_and_indices_give_other_images():
    for domain in DOMAINS:
        images = {
            draw(domain, seed, index, 32).rgb.tobytes() for seed in (1, 2) for index in range(4)
        }
        assert len(images) == 8


def test_the_vocabulary_is_as_rich_as_promised_and_all_of_it_occurs(world):
    least = {"object": 40, "part": 20, "material": 8, "texture": 8, "color": 11, "scene": 13}
    assert list(NUMBER.values()) == list(range(1, len(NAMES)))
    assert len(SCENES) >= 13
    seen = {category: Counter() for category in CATEGORY}
    for scene in (scene for scenes in world.values() for scene in scenes):
        seen["scene"][scene.scene] += 1
        for category, maps in scene.labels.items():
            seen[category].update(np.unique(maps).tolist())
    for category, names in CATEGORY.items():
        assert len(names) >= least[category]
        rare = [name for name in names if seen[category][NUMBER[name]] < 5]
        assert not rare, f"{category}: {rare} occur in fewer than 5 of {EACH * len(DOMAINS)} images"


def test_doors_are_outdoors_and_trees_stand_in_front_of_buildings(world):
    assert all(
        (scene.labels["object"] != NUMBER["door"]).all()
        for name in INDOORS
        for scene in world[name]
    )
    doors = [NUMBER["door"] in scene.labels["object"][0] for scene in world["house"]]
    assert np.mean(doors) > 0.9
    # where a tree and a building meet, the building is the one that is cut: its outline has a gap
    covered = 0
    for scene in world["church-outdoor"]:
        things, wholes = scene.labels["object"]
        trees = things == NUMBER["tree"]
        built = (things == NUMBER["building"]) | (wholes == NUMBER["building"])
        rows = built.any(axis=1)
        left, right = built.argmax(axis=1), 63 - built[:, ::-1].argmax(axis=1)
        x = np.arange(64)[None]
        covered += (trees & rows[:, None] & (x > left[:, None]) & (x < right[:, None])).sum() > 4
    assert covered > 0.2 * EACH


def test_daylight_brightens_a_reflection_far_from_the_window():
    daylight, glare = [], []
    surfaces = [
        NUMBER[name] for name in ("floor", "dining table", "coffee table", "conference table")
    ]
    for name in INDOORS:
        for index in range(150):
            scene = draw(name, 11, index)
            if "reflection" not in scene.attributes:
                continue
            x0, y0, x1, y1 = (
                min(max(round(v * 64), 0), 64) for v in scene.attributes["reflection"]
            )
            if y1 - y0 < 2 or x1 - x0 < 4:
                continue
            things, light = scene.labels["object"][0], scene.rgb.mean(axis=2)
            lit = np.zeros((64, 64), bool)
            lit[y0 + 1 : y1, (x0 + x1) // 2 - 1 : (x0 + x1) // 2 + 2] = True
            thing = np.bincount(things[lit]).argmax()
            dark = things == thing
            dark[max(y0 - 1, 0) : y1 + 1, max(x0 - 1, 0) : x1 + 1] = False
            if thing not in surfaces or dark.sum() < 20:
                continue
            daylight.append(scene.attributes["daylight"])
            glare.append(light[lit & (things == thing)].mean() - light[dark].mean())
            windows = np.argwhere(scene.labels["object"][0] == NUMBER["window"])
            assert not len(windows) or y0 > np.median(windows[:, 0])
    assert len(glare) > 300
    assert np.corrcoef(daylight, glare)[0, 1] > 0.5


def test_a_share_of_outdoor_images_carries_text():
    kinds = Counter()
    for name in OUTDOORS:
        for index in range(150):
            scene = draw(name, 5, index, 32)
            kinds[scene.attributes["watermark"]] += 1
            assert bool(scene.attributes["watermark"]) == (
                NUMBER["text"] in scene.labels["object"][0]
            )
    total = sum(kinds.values())
    assert 0.05 < kinds["middle"] / total < 0.11
    assert 0.035 < kinds["bar"] / total < 0.085


def test_people_cars_and_fences_are_rare(world):
    scenes = [scene for name in SCENES for scene in world[name]]
    for thing, most in (("person", 0.3), ("car", 0.12), ("fence", 0.12)):
        share = np.mean([NUMBER[thing] in scene.labels["object"][0] for scene in scenes])
        assert 0.01 < share < most, thing


def test_faces_vary_in_their_attributes(world):
    for name in ("smile", "child", "glasses", "earrings", "hat", "beard"):
        share = np.mean([scene.attributes[name] for scene in world["face"]])
        assert 0.03 < share < 0.8, name
    for scene in world["face"]:
        assert (NUMBER["glasses"] in scene.labels["object"][0]) == scene.attributes["glasses"]
        if scene.attributes["hat"]:
            assert NUMBER["hat"] in scene.labels["object"][0]


def test_frames_move_with_the_camera_and_the_near_moves_most():
    still, _ = draw_frames("church-outdoor", 1, 3, 64, [(0, 0, 1), (0.1, 0, 1)])
    np.testing.assert_array_equal(still.rgb, draw("church-outdoor", 1, 3, 64).rgb)

    def centre(scene, name):
        x = np.argwhere(scene.labels["object"][0] == NUMBER[name])[:, 1]
        return x.mean() if len(x) else np.nan

    def shift(domain, index, name):
        a, b = draw_frames(domain, 1, index, 64, [(0, 0, 1), (0.08, 0, 1)])
        return centre(a, name) - centre(b, name)

    doors = [shift("church-outdoor", index, "door") for index in range(8)]
    assert np.allclose(doors, 0.08 * 0.8 * 64, atol=1.2)
    suns = [
        shift("park", i, "sun")
        for i in range(60)
        if NUMBER["sun"] in draw("park", 1, i).labels["object"]
    ]
    assert suns
    assert np.nanmedian(suns) < 1  # the sun may leave behind a tree
    near, far = draw_frames("face", 1, 0, 64, [(0, 0, 1.3), (0, 0, 1)])
    assert (near.labels["object"][0] == NUMBER["person"]).sum() > (
        far.labels["object"][0] == NUMBER["person"]
    ).sum()


def test_sound_follows_from_what_is_there(world):
    assert {scene.sound for scene in world["airfield"]} == {"engine"}
    assert len({scene.sound for scenes in world.values() for scene in scenes}) >= 8


def test_colour_names_of_plain_colours():
    colours = {"black": (10, 10, 10), "white": (250, 250, 250), "grey": (128, 128, 128), "red": (220, 20, 20),
               "green": (30, 150, 40), "blue": (30, 60, 200), "yellow": (250, 230, 40), "orange": (250, 140, 20),
               "brown": (110, 70, 40), "pink": (250, 160, 190), "purple": (130, 40, 160)}  # fmt: skip
    found = colour_names(np.array([list(colours.values())], np.uint8))[0]
    assert [NAMES[number] for number in found] == [f"{name}-c" for name in colours]


def test_an_unknown_domain_is_named(tmp_path):
    with pytest.raises(DissectionError, match=r"'moon'.*bedroom"):
        draw("moon", 1, 0)
    spec = config.Scenes(format="places", domains=["moon"], images=3)
    with pytest.raises(DissectionError, match="moon"):
        write_scenes(spec, 1, tmp_path / "out")
    assert not list(tmp_path.iterdir())


# ------------------------------------------------------------------------------------------------ seen close


@pytest.mark.parametrize("domain", close.PAINTERS)
def test_things_seen_close_are_large_and_labelled(domain):
    """At 32 pixels: what generators are to draw covers many pixels, and the rules of the world hold."""
    scenes = [draw(domain, 7, index, 32, close=True) for index in range(EACH)]
    assert draw(domain, 7, 3, 32, close=True).rgb.tobytes() == scenes[3].rgb.tobytes()
    if domain not in CLOSE:
        assert scenes[3].rgb.tobytes() != draw(domain, 7, 3, 32).rgb.tobytes()
    pixels = {
        name: [int((s.labels["object"] == NUMBER[name]).any(0).sum()) for s in scenes]
        for name in LARGE[domain]
    }
    for name, (share, size) in LARGE[domain].items():
        seen = [count for count in pixels[name] if count]
        assert len(seen) >= share * EACH, name
        assert np.median(seen) >= size, name
    for scene in scenes:
        first, whole = scene.labels["object"]
        assert (first > 0).all()
        doors = first == NUMBER["door"]
        assert (whole[doors] == NUMBER["building"]).all()
        assert scene.scene == (0 if domain == "face" else NUMBER[f"{CLOSE.get(domain, domain)}-s"])


def test_a_smile_is_wide():
    """At 32 pixels: columns that the mouth covers."""
    faces = [draw("face", 7, index, 32, close=True) for index in range(EACH)]
    wide = {True: [], False: []}
    for face in faces:
        mouth = (face.labels["part"] == NUMBER["mouth"]).any((0, 1))
        wide[face.attributes["smile"]].append(mouth.sum())
    assert min(wide[True]) >= 8
    assert np.median(wide[True]) > np.median(wide[False]) + 2


# domain -> object: share of the images that show it, pixels of 1024 that it covers there
LARGE = {
    "church-outdoor": {"door": (0.6, 24), "tree": (0.6, 90), "window": (0.6, 30), "building": (1, 150)},
    "bedroom": {"bed": (1, 150), "window": (0.5, 30), "pillow": (0.9, 15)},
    "kitchen": {"window": (0.5, 60), "stove": (1, 40), "cabinet": (1, 80), "refrigerator": (0.4, 40)},
    "living_room": {"sofa": (0.4, 90), "window": (0.6, 60), "coffee table": (0.4, 40)},
    "dining_room": {"dining table": (1, 90), "chair": (0.9, 50), "window": (0.6, 50)},
    "conference_room": {"conference table": (1, 150), "chair": (0.9, 50), "window": (0.6, 40)},
    "church-tower": {"tower": (1, 50), "dome": (0.25, 50), "spire": (0.25, 50), "tree": (0.6, 80), "window": (0.9, 30),
                     "text": (0.15, 140)},
    "face": {"person": (1, 500), "glasses": (0.15, 60), "hat": (0.1, 100), "earring": (0.2, 12)},
}  # fmt: skip


def test_close_scenes_are_written_and_others_named(tmp_path):
    spec = config.Scenes(format="lsun", images=12, size=32, close=True, split="train")
    write_scenes(spec, 5, tmp_path / "all", 1)
    dataset = open_dataset(
        config.Dataset(reader="lsun", asset="a", split="train"), tmp_path / "all"
    )
    scenes = [name for name in close.PAINTERS if name in SCENES]
    assert dataset.classes == tuple(sorted(name.replace("-", "_") for name in scenes))
    expected = [draw("bedroom", 5, i, 32, close=True).rgb.astype(int) for i in (1, 7)]
    found = [dataset.image(i).astype(int) for i in range(12) if dataset.target(i) == 0]
    for image in found:
        assert min(abs(image - e).mean() for e in expected) < 3  # but for JPEG
    with pytest.raises(DissectionError, match=r"'park' seen close; choose from: church-outdoor"):
        draw("park", 1, 0, close=True)
    with pytest.raises(DissectionError, match="unknown domain 'park'"):
        write_scenes(spec.model_copy(update={"domains": ["park"]}), 1, tmp_path / "out")


# ------------------------------------------------------------------------------------------------ on disk


def digest(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


@pytest.mark.parametrize("form", ["broden", "places", "lsun"])
def test_the_same_bytes_whatever_the_number_of_workers(tmp_path, form):
    spec = config.Scenes(format=form, images=60, first=90, size=32)
    for workers in (1, 2):
        write_scenes(spec, 4, tmp_path / str(workers), workers)
    write_scenes(spec, 4, tmp_path / "2", 1)  # again, over an earlier one
    assert digest(tmp_path / "1") == digest(tmp_path / "2")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "2"]


def test_foreign_files_are_not_overwritten(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(DissectionError, match="choose another folder"):
        write_scenes(config.Scenes(format="places", images=3), 1, tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_places_read_back(tmp_path):
    spec = config.Scenes(format="places", images=39, first=13, split="train")
    write_scenes(spec, 2, tmp_path / "places")
    dataset = open_dataset(
        config.Dataset(reader="places", asset="a", split="train"), tmp_path / "places"
    )
    assert len(dataset) == 39
    assert dataset.classes == tuple(sorted(SCENES))
    assert Counter(dataset.target(i) for i in range(39)) == dict.fromkeys(range(13), 3)
    name = dataset.key(5).partition("/")[0]
    index = int(dataset.key(5)[-12:-4])
    expected = draw(name, 2, index).rgb.astype(int)
    assert np.abs(dataset.image(5).astype(int) - expected).mean() < 3  # JPEG


def test_lsun_reads_back(tmp_path):
    spec = config.Scenes(format="lsun", domains=["bedroom", "church-outdoor"], images=20)
    write_scenes(spec, 2, tmp_path / "lsun")
    dataset = open_dataset(config.Dataset(reader="lsun", asset="a", split="val"), tmp_path / "lsun")
    assert len(dataset) == 20
    assert dataset.classes == ("bedroom", "church_outdoor")
    assert len(dataset.key(3).rpartition("/")[2]) == 40
    assert dataset.image(19).shape == (64, 64, 3)


@pytest.fixture(scope="module")
def broden(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "broden"
    write_scenes(config.Scenes(format="broden", images=900), 6, folder)
    return folder


def test_broden_reads_back_as_drawn(broden):
    dataset = open_dataset(config.Dataset(reader="broden", asset="a"), broden)
    assert len(dataset) == 900
    assert list(dataset.concepts.index) == list(range(1, len(dataset.concepts) + 1))
    number = {name: n for n, name in dataset.concepts["name"].items()}
    old = np.array([number.get(name, 0) for name in NAMES])  # number of the world -> number on disk
    seen = set()
    for i in range(0, 900, 7):
        source, name = dataset.key(i).split("/")
        seen.add(source)
        domain, index = name.removesuffix(".jpg").rsplit("_", 1)
        scene, labels = draw(domain, 6, int(index)), dataset.labels(i)
        expected = {"scenes": {"object", "color", "scene", "part"}, "faces": {"object", "color", "part"},
                    "surfaces": {"color", "material"}, "textures": {"color", "texture"}}[source]  # fmt: skip
        assert set(labels) <= expected
        np.testing.assert_array_equal(labels["color"][0], old[scene.labels["color"][0, 1::2, 1::2]])
        if source == "scenes":
            np.testing.assert_array_equal(
                labels["object"][0], old[scene.labels["object"][0, 1::2, 1::2]]
            )
            assert labels["scene"].tolist() == [[[number[f"{domain}-s"]]]]
        if source == "textures":
            assert labels["texture"].tolist() == [[[number[scene.attributes["texture"]]]]]
    assert seen == {"scenes", "faces", "surfaces", "textures"}


def test_broden_statistics_are_those_of_its_maps(broden):
    dataset = open_dataset(config.Dataset(reader="broden", asset="a"), broden)
    images, coverage = Counter(), Counter()
    for i in range(len(dataset)):
        for category, maps in dataset.labels(i).items():
            for number in np.unique(maps[maps > 0]).tolist():
                images[category, number] += 1
                coverage[category, number] += (maps == number).any(axis=0).mean()
    categories = pd.read_csv(broden / "category.csv").set_index("name")
    assert list(categories["first"]) == sorted(categories["first"])
    assert set(categories.index) == set(CATEGORY)
    for category, row in categories.iterrows():
        table = pd.read_csv(broden / f"c_{category}.csv")
        assert list(table["code"]) == list(range(1, len(table) + 1))
        assert list(table["frequency"]) == [images[category, number] for number in table["number"]]
        assert (table["frequency"] >= 10).all()
        assert table["frequency"].is_monotonic_decreasing
        np.testing.assert_allclose(
            table["coverage"], [coverage[category, n] for n in table["number"]], atol=1e-5
        )
        assert (row["count"], row["frequency"]) == (len(table), table["frequency"].sum())
        assert (row["first"], row["last"]) == (table["number"].min(), table["number"].max())
    labels = pd.read_csv(broden / "label.csv").set_index("name")
    assert labels.loc["window", "category"].startswith("object(")
    assert ";part(" in labels.loc["window", "category"]
    index = pd.read_csv(broden / "index.csv", dtype=str, keep_default_na=False)
    assert list(index.columns) == ["image", "split", "ih", "iw", "sh", "sw", "object", "color", "material", "scene",
                                   "texture", "part"]  # fmt: skip
    assert 0.6 < (index["split"] == "train").mean() < 0.8
    hashes = [hashlib.md5(path.encode()).hexdigest() for path in index["image"]]
    assert hashes == sorted(hashes)
    assert index["object"].str.contains(";").any()
