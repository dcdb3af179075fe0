"""Section A.2: what raters by segmenter see, by brute force; consensus and counts by hand; the sheets in a browser."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from conftest import REPOSITORY
from dissection import paths, published
from dissection.config import Config, Rated, load
from dissection.dissect import rating
from dissection.generated import Generated
from dissection.networks import to_pixels
from dissection.published.claims import FAILS, judge
from dissection.report import chapter4_rating
from dissection.report.rows import ROWS, write_table
from planted_gan import ColourSegmenter, PlantedGAN, latents
from test_chapter4 import write_units

ROW = "sec_a_2_human_eval"
CONCEPTS = pd.DataFrame(
    [("tree", "object"), ("bed", "object"), ("tree-t", "part"), ("wood", "material"), ("x-t", "part"),
     ("tree", "part")],
    columns=["name", "category"], index=pd.RangeIndex(1, 7, name="number"),
)  # fmt: skip


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """The profile of every row of chapter 4, in an empty folder."""
    profile = load(REPOSITORY / "tests" / "every_row4.yaml")
    monkeypatch.chdir(tmp_path)
    return profile


def test_halves_are_called_by_the_whole() -> None:
    words = rating.Words(CONCEPTS)
    assert words.names == ["tree", "bed", "wood", "x-t"]  # of which x there is no whole
    assert words.of["tree-t"] == "tree"
    assert words.index.tolist() == [0, 1, 2, 0, 3, 4, 1]


def test_shown_by_brute_force() -> None:
    rng = np.random.default_rng(0)
    maps, regions = rng.integers(0, 4, (2, 3, 20)), rng.random((2, 5, 20)) < 0.3
    regions[0, 0] = False
    found = rating.shown(torch.from_numpy(regions), torch.from_numpy(maps), 3)
    for n in range(2):
        for unit in range(5):
            pixels = np.flatnonzero(regions[n, unit])
            for word in range(3):
                carried = sum(word + 1 in maps[n, :, p] for p in pixels)
                assert found[n, unit, word] == (carried > len(pixels) / 2)


def test_images_evenly_spaced() -> None:
    peaks = torch.tensor([[1.0, 5], [4, 6], [3, 7], [2, 8], [9, 9]])
    active = torch.tensor([[1, 0], [1, 1], [1, 0], [1, 0], [0, 0]]).bool()
    assert rating.spaced(peaks, active, 2).tolist() == [[1, 3], [1, 1]]


def test_consensus() -> None:
    words = pd.DataFrame(
        [(0, "Sofa"), (0, "white sofa"), (0, "bed"), (0, "sofa "), (1, "red"), (1, "bed"), (1, ""),
         (2, "coffee table"), (2, "Coffee  table"), (3, "")],
        columns=["unit", "phrase"],
    )  # fmt: skip
    found = rating.consensus_of(words)
    assert found["word"].tolist() == ["sofa", "", "coffee table", ""]
    assert found["labels"].tolist() == [4, 3, 2, 1]
    assert found["share"].tolist() == pytest.approx([0.75, 1 / 3, 1, 0])


UNITS = [  # label, category, iou
    ("object", "tree", 0.4),
    ("part", "tree-t", 0.3),
    ("object", "sky", 0.2),
    ("object", "sky", 0.05),
    ("object", "sky", 0.3),
]


def write_rating(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    said = ["tree tree", "tree tree", "bed bed", "bed sky", "grass oven"]
    lines = [
        f"r{i},layer4,{unit},own,{word},"
        for unit, two in enumerate(said)
        for i, word in enumerate(two.split())
    ]
    head = "rater,layer,unit,source,phrase,answer\n"
    (folder / "words.csv").write_text(head + "\n".join([*lines, "r2,layer4,4,own,cup,"]) + "\n")
    rated = ["0,dissection,tree,yes", "1,dissection,tree,no", "2,dissection,sky,no", "4,dissection,sky,yes",
             "0,written,tree,yes", "1,written,tree,yes", "2,written,bed,no", "3,written,bed,yes"]  # fmt: skip
    (folder / "ratings.csv").write_text(head + "\n".join(f"r,layer4,{r}" for r in rated) + "\n")


def test_values_by_hand(config: Config) -> None:
    write_units("a", {"layer4": UNITS})
    folder = paths.units("smoke", "z", "a") / "rating"
    write_rating(folder)
    write_table(config, ROW, paths.table("smoke", ROW))
    table = pd.read_csv(paths.table("smoke", ROW), keep_default_na=False, na_values={})
    values = ROWS[ROW].values(table)
    assert {key: values[key] for key in values if not key.startswith("rated_accurate_")} == {
        "units": 5, "labels": 11, "labels_per_unit_min": 2, "labels_per_unit_max": 3,
        "human_consistent": 4, "consensus_share": 0.5, "also_dissected": 3, "same_word": 2, "rated_accurate": 1,
        "undetected": 1, "failures": 2, "iou_threshold": 0.05, "eval_images": 40, "top_images_shown": 4,
        "human_labels_accurate_percent": 75,
    }  # fmt: skip
    assert values["rated_accurate_percent"] == pytest.approx(100 / 3)
    assert values == ROWS[ROW].values(ROWS[ROW].table(config, 1))  # as made and as read again
    (claim,) = (c for c in published.entry(ROW)["claims"] if c["id"] == "a2_rated_high")
    assert judge(claim["expr"], values).outcome == FAILS
    assert ROWS[ROW].name == "Section A.2"


def test_people_answer_instead(config: Config) -> None:
    write_units("a", {"layer4": UNITS})
    folder = paths.units("smoke", "z", "a") / "rating"
    write_rating(folder)
    Path("ada.csv").write_text("rater,layer,unit,source,phrase,answer\nAda,layer4,2,own,sky,\n")
    assert config.rows.sec_a_2_human_eval
    judged = config.rows.sec_a_2_human_eval.model_copy(update={"words": [Path("ada.csv")]})
    rows = config.rows.model_copy(update={ROW: judged})
    table = ROWS[ROW].table(config.model_copy(update={"rows": rows}), 1)
    assert table["words_by"].unique().tolist() == ["people"]
    assert table["ratings_by"].unique().tolist() == [rating.RATER]
    assert table.loc[table["word"] != "", ["unit", "word", "same"]].values.tolist() == [
        [2, "sky", True]
    ]


def test_disagreements(config: Config) -> None:
    """First those found wrong, of these what the top images show less than all do; and what has no confident label."""
    write_units("a", {"layer4": [*UNITS, ("part", "oven-l", 0.2)]})
    folder = paths.units("smoke", "z", "a") / "rating"
    write_rating(folder)
    more = {"words": ["5,own,bed,"], "ratings": ["5,dissection,oven,no"]}
    for name, lines in more.items():
        with open(folder / f"{name}.csv", "a") as file:
            file.writelines(f"r,layer4,{line}\n" for line in lines)
    regions = pd.DataFrame(
        [(2, "sky", 0.3, 0.4), (5, "oven", 0.1, 0.6), (0, "tree", 0.9, 0.9)],
        columns=["unit", "phrase", "top", "sample"],
    )
    evaluated = ROWS[ROW].table(config, 1)
    found = chapter4_rating.disagreements(evaluated, regions.set_index(["unit", "phrase"]))
    assert found[["kind", "unit", "word", "short"]].values.tolist() == [
        ["otherwise", 5, "bed", "oven"],
        ["otherwise", 2, "bed", "sky"],
        ["unlabelled", 3, "bed", "sky"],
    ]


def test_raters_by_brute_force(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Regions upsampled by torch, and label pixels counted one by one; every file of the job."""
    network, z, number = PlantedGAN(), latents(1, 40), 4
    images = Generated(network, z, torch.device("cpu"))
    monkeypatch.setattr(rating, "segmenter_of", lambda *_: ColourSegmenter())
    monkeypatch.setattr(rating, "generated_of", lambda *_: images)
    spec = Rated(dataset="z", network="a", layer="layer1", raters=2)
    rounded = (z.view(40, -1, 1, 1) * 4).round() / 4
    with torch.no_grad():
        activations = network.layer1(rounded)
        pixels = to_pixels(network(z))
    threshold = activations.transpose(0, 1).flatten(1).quantile(0.7, 1)
    top = torch.from_numpy(np.random.default_rng(3).integers(0, 40, (7, number)))
    folder = paths.units("smoke", "z", "a")
    folder.mkdir(parents=True)
    labels = ["tree", "tree-t", "sky", "brick", "door", "wood", "sky"]
    iou = [0.5, 0.4, 0.3, 0.2, 0.1, 0.06, 0.01]
    pd.DataFrame({
        "network": "a", "layer": "layer1", "unit": range(7), "protocol": "iclr2019", "threshold": threshold,
        "label": labels, "category": "object", "iou": iou,
    }).to_csv(folder / "units.csv", index=False)  # fmt: skip
    centres = {"centres": '{"layer1": {"offset": [0, 0], "stride": [8, 8]}}'}
    tensors = {"layer1.images": top, "layer1.maps": torch.zeros(7, number, 4, 4).half()}
    save_file(tensors, folder / "top.safetensors", centres)
    rating.rate(config, spec, folder, folder / "rating", torch.device("cpu"))

    up = torch.nn.functional.interpolate(activations, size=(16, 16), mode="bilinear")
    maps = ColourSegmenter()(pixels, 2)
    names = ColourSegmenter.concepts["name"]
    there = {
        name: sum((m == n).any(1) for m in maps.values() for n in names.index[names == name]) > 0
        for name in names
    }

    def share(unit: int, some: list[int], word: str) -> float:
        seen = []
        for i in some:
            region = up[i, unit] > threshold[unit]
            seen.append(bool(region.any()) and float(there[word][i][region].float().mean()) > 0.5)
        return float(np.mean(seen))

    words = ["tree", "sky", "door", "ghost", "brick", "wood", "speck"]
    written = pd.read_csv(folder / "rating/words.csv", keep_default_na=False)
    for rater in range(2):
        of = written[written["rater"] == f"{rating.RATER} {rater + 1}"].set_index("unit")["phrase"]
        for unit in range(7):
            found = [share(unit, top[unit, 2 * rater : 2 * rater + 2].tolist(), w) for w in words]
            most = max(found[:4]) if max(found[:4]) > 0.5 else max(found)
            assert of[unit] == (words[found.index(most)] if most > 0 else "")
    ratings = pd.read_csv(folder / "rating/ratings.csv")
    own = ratings[ratings["source"] == "dissection"].set_index("unit")
    assert own["phrase"].tolist() == ["tree", "tree", "sky", "brick", "door", "wood"]
    regions = pd.read_csv(folder / "rating/regions.csv").set_index(["unit", "phrase"])
    for unit, phrase, answer in zip(own.index, own["phrase"], own["answer"], strict=True):
        seen = share(unit, top[unit].tolist(), phrase)
        assert answer == ("yes" if seen > 0.5 else "no")
        assert regions["top"][unit, phrase] == pytest.approx(seen)
        active = [i for i in range(40) if (up[i, unit] > threshold[unit]).any()]
        assert regions["images"][unit, phrase] == len(active)
        assert regions["sample"][unit, phrase] == pytest.approx(share(unit, active, phrase))
    assert len(list((folder / "rating/sample/layer1/iclr2019").glob("*.jpg"))) == 7


@pytest.mark.smoke
def test_words_are_saved_as_csv(browser: Any, tmp_path: Path) -> None:
    """The sheets of the first round in a browser: words for two of three units."""
    spec = load(REPOSITORY / "tests" / "every_row4.yaml").rows.sec_a_2_human_eval
    assert spec
    units = pd.DataFrame({"layer": "layer4", "unit": range(3)})
    asked = units.assign(source="dissection", phrase="tree")
    rating._write_sheets(spec, units, asked, 4, tmp_path)
    page = browser.new_page(viewport={"width": 900, "height": 900})
    page.goto((tmp_path / "words.html").as_uri())
    assert page.locator("[data-answer]").count() == 0
    page.fill("#rater", "Ada")
    page.fill("#own", "yellow tree")
    page.press("#own", "Enter")
    page.click("#next")
    page.fill("#own", "sky")
    with page.expect_download() as download:
        page.click("#save")
    download.value.save_as(tmp_path / "answers.csv")
    page.goto((tmp_path / "index.html").as_uri())
    assert page.locator("[data-answer]").count() == 2
    page.close()
    saved = pd.read_csv(tmp_path / "answers.csv")
    assert sorted(saved["phrase"]) == ["sky", "yellow tree"]
    assert set(saved["source"]) == {"own"}
    consensus = rating.consensus_of(saved)
    assert sorted(consensus["word"]) == ["sky", "yellow tree"]
