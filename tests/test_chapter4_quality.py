"""Artifact units: what the job writes against brute force, what raters say, and the rows' values by hand."""

import hashlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from conftest import EVERY_ROW4
from dissection import paths
from dissection.assets import write_record
from dissection.config import Config, Quality, load
from dissection.data.scenes import write_scenes
from dissection.errors import DissectionError
from dissection.features import load_extractor
from dissection.intervene import artifacts
from dissection.networks import module_of
from dissection.networks.progan import latents
from dissection.published import entry
from dissection.published.claims import HOLDS, UNTESTED, judge
from dissection.report import chapter4_quality as report
from dissection.report.rows import ROWS, write_table
from dissection.stats import Gaussian, frechet_distance

CPU = torch.device("cpu")
ROWS_OF = ("table_4_1", "table_a_1", "fig_4_8", "fig_a_1", "fig_a_2", "fig_a_4", "fig_a_5")


def drawn(config: Config, network: str = "a") -> Path:
    """What the job writes, its real images being drawn first."""
    folder = paths.generated_asset(config.profile, "bedrooms")
    source = config.assets["bedrooms"].scenes
    assert source is not None
    write_scenes(source, config.seed, folder, 1)
    write_record(paths.asset_record(config.profile, "bedrooms"), "bedrooms", folder)
    artifacts.judge(config, network, out := paths.quality(config.profile, network), CPU)
    return out


def fitted(vectors: torch.Tensor) -> Gaussian:
    gaussian = Gaussian(vectors.shape[1])
    gaussian.add(vectors)
    return gaussian


def test_the_job_against_brute_force(config: Config) -> None:
    out, spec = drawn(config), config.quality["a"]
    units, ablated = pd.read_csv(out / "units.csv"), pd.read_csv(out / "ablated.csv")
    network, extractor = module_of(config, "a", CPU), load_extractor(config, CPU)
    z = latents(spec.seed, 0, spec.images, 8)
    edit: list[int] = []

    def hook(module, inputs, output):
        peaks.append(output.amax((2, 3)))
        output = output.clone()
        output[:, edit] = 0
        return output

    network.layer4.register_forward_hook(hook)

    def images(which) -> torch.Tensor:
        with torch.no_grad():
            return network(z[which]).clamp(-1, 1).add(1).mul(127.5).round().to(torch.uint8)

    peaks: list[torch.Tensor] = []
    vectors = extractor(images(range(30)))
    active = peaks[0]
    rows = torch.cat(list(artifacts.squares(artifacts.dataset_of(config, "bedrooms"), 32, 5)))
    assert rows.shape == (12, 3, 32, 32)
    real = fitted(extractor(rows))
    for unit in range(len(units)):
        top = active[:, unit].argsort(descending=True, stable=True)[: spec.top]
        distance = frechet_distance(real, fitted(vectors[top])).total
        assert units["distance"][unit] == pytest.approx(distance, rel=1e-3)
    highest = units["distance"].sort_values(ascending=False, kind="stable").index[:3]
    assert units.index[units["highest"]].tolist() == sorted(highest)
    assert units.index[units["flagged"]].tolist() == [1, 5, 7]
    assert units["random"].sum() == 3

    by_set = ablated.set_index("set")
    sets = {name: units.index[units[name]].tolist() for name in ("flagged", "highest", "random")}
    sets |= {"original": [], "union": sorted({*sets["flagged"], *sets["highest"]})}
    assert by_set["units"].to_dict() == {name: len(of) for name, of in sets.items()}
    rank = active[:, [1, 5, 7]].argsort(0).argsort(0).sum(1)  # no two are equally active
    shown = rank.argsort(descending=True, stable=True)[: spec.top]
    for name, chosen in sets.items():
        edit[:] = chosen
        distance = frechet_distance(real, fitted(extractor(images(shown)))).total
        assert by_set["distance"][name] == pytest.approx(distance, rel=1e-3), name
        picture = cv2.imread(str(out / f"{name}.png"))[..., ::-1]
        expected = torch.cat(list(images(shown[:6])), 2).permute(1, 2, 0).numpy()
        assert np.abs(picture.astype(int) - expected).max() <= 1
    for table in (units, ablated):
        assert set(table["features"]) == {"mini features"}
        made = table[["generated", "real", "images"]].drop_duplicates()
        assert made.values.tolist() == [[30, 12, 10]]

    questions = pd.read_csv(out / "questions.csv")
    assert len(list((out / "pairs").iterdir())) == len(questions) == 8
    for _, of in questions.groupby("set"):
        assert sorted(of["image"]) == sorted(shown[::2][:4].tolist())
    for line in questions.to_dict("records"):
        edit[:] = []
        plain = images([line["image"]])[0]
        edit[:] = sets["flagged" if line["set"] == "artifact" else "random"]
        other = images([line["image"]])[0]
        sides = [plain, other] if line["ablated"] == "right" else [other, plain]
        picture = cv2.imread(str(out / "pairs" / f"{line['pair']:04d}.png"))[..., ::-1].astype(int)
        for side, expected in zip((picture[:, :32], picture[:, -32:]), sides, strict=True):
            assert np.abs(side - expected.permute(1, 2, 0).numpy()).max() <= 1
    sheet = hashlib.sha256((out / "questions.csv").read_bytes()).hexdigest()[:8]
    assert f'sheet = "{sheet}"' in (out / "index.html").read_text()


def test_the_same_bytes_again_and_every_row(config: Config) -> None:
    """Without flagged units and with: what is not measured has no value."""
    for flagged in ([], [1, 5, 7]):
        spec = config.quality["a"].model_copy(update={"flagged": flagged})
        profile = config.model_copy(update={"quality": {"a": spec}})
        out = drawn(profile)
        before = {file.name: file.read_bytes() for file in out.rglob("*.*") if file.is_file()}
        write_dissection()
        values = {}
        for row in ROWS_OF:
            write_table(profile, row, paths.table("smoke", row))
            table = pd.read_csv(paths.table("smoke", row), keep_default_na=False, na_values={})
            values[row] = ROWS[row].values(table)
            assert values[row]["features"] == "mini features"
            claims = [judge(c["expr"], values[row]).outcome for c in entry(row).get("claims", [])]
            if row == "table_4_1":
                assert [outcome == UNTESTED for outcome in claims] == [False, False, True, True]
            elif row in ("table_a_1", "fig_a_1"):
                tested = [outcome != UNTESTED for outcome in claims]
                assert any(tested) == bool(flagged)
        assert ("manual_20" in values["table_a_1"]["fid"]) == bool(flagged)
        assert values["table_4_1"]["n"] == {
            "real": 12, "generated": 10, "images_per_method_human": 0, "annotations": 0, "units": 3,
        }  # fmt: skip
        artifacts.judge(profile, "a", out, CPU)
        assert before == {file.name: file.read_bytes() for file in out.rglob("*.*") if file.is_file()}  # fmt: skip
        for file in out.glob("*.png"):
            file.unlink()


def write_dissection(units: int = 12) -> None:
    """Units of layer4, all of them trees but the last three."""
    folder = paths.units("smoke", "z", "a")
    folder.mkdir(parents=True, exist_ok=True)
    strips = folder / "pages" / "layer4" / "iclr2019"
    strips.mkdir(parents=True, exist_ok=True)
    lines = []
    for unit in range(units):
        (strips / f"{unit}.jpg").write_bytes(b"strip")
        label = "tree" if unit < units - 3 else "sky"
        lines.append(("a", "layer4", unit, "iclr2019", label, "object", 0.2 if unit else 0.01))
    columns = ["network", "layer", "unit", "protocol", "label", "category", "iou"]
    pd.DataFrame(lines, columns=columns).to_csv(folder / "units.csv", index=False)
    for name in ("concepts.csv", "iou.safetensors"):
        (folder / name).write_bytes(b"")


def written(distance: list[float], by_hand: list[int], worst: list[int], **sets: float) -> None:
    """The job's tables, by hand: distances by unit, units of two sets, distances by set."""
    folder = paths.quality("smoke", "a")
    folder.mkdir(parents=True)
    made = {"features": "mini features", "generated": 30, "images": 10, "real": 12}
    units = pd.DataFrame({"unit": range(len(distance)), "distance": distance}).assign(**made)
    for name, chosen in (("flagged", by_hand), ("highest", worst), ("random", [0])):
        units[name] = units["unit"].isin(chosen)
    units.to_csv(folder / "units.csv", index=False)
    lines = [{"set": name, "units": 2, "distance": value, **made} for name, value in sets.items()]
    pd.DataFrame(lines).to_csv(folder / "ablated.csv", index=False)
    for name in sets:
        (folder / f"{name}.png").write_bytes(name.encode())


def values_of(config: Config, row: str) -> dict:
    write_table(config, row, paths.table("smoke", row))
    return ROWS[row].values(
        pd.read_csv(paths.table("smoke", row), keep_default_na=False, na_values={})
    )


def test_values_of_tables(config: Config) -> None:
    written([5, 3, 9, 1], [0, 1], [2, 0], original=10, highest=6, flagged=7, union=5, random=10.1)
    values = values_of(config, "table_a_1")
    assert values["fid"] == {
        "original": 10, "manual_20": 7, "highest_fid_20": 6, "union_30": 5, "random_20": 10.1,
    }  # fmt: skip
    assert values["highest_fid_units"] == [2, 0]
    assert values["manual_units"] == [0, 1]
    assert values["union_size"] == 3
    values = values_of(config, "table_4_1")
    assert values["fid"] == {"original": 10, "artifact_ablated": 7, "random_ablated": 10.1}
    assert values["human_preference"] == {"artifact_ablated": None, "random_ablated": None}
    outcomes = {c["id"]: judge(c["expr"], values).outcome for c in entry("table_4_1")["claims"]}
    assert outcomes["artifact_ablation_lowers_fid"] == HOLDS
    assert outcomes["random_ablation_no_effect"] == HOLDS
    assert outcomes["humans_prefer_ablated"] == UNTESTED
    assert values_of(config, "fig_a_2")["fid"] == {"original": 10, "highest": 6, "flagged": 7}


def test_what_raters_prefer(config: Config) -> None:
    written([5, 3, 9, 1], [], [2, 0], original=10, highest=6, random=10)
    folder = paths.quality("smoke", "a")
    questions = folder / "questions.csv"
    asked = ["0,artifact,4,left", "1,random,4,left", "2,artifact,5,right"]
    questions.write_text("\n".join(["pair,set,image,ablated", *asked, ""]))
    sheet = hashlib.sha256(questions.read_bytes()).hexdigest()[:8]
    lines = [("x", 0, "left"), ("x", 1, "right"), ("x", 2, "left"), ("y", 0, "left")]
    head = "rater,sheet,pair,answer\n"
    text = head + "".join(f"{rater},{sheet},{pair},{side}\n" for rater, pair, side in lines)
    Path("answers.csv").write_text(text)
    judged = config.rows.table_4_1.model_copy(update={"answers": [Path("answers.csv")]})
    rows = config.rows.model_copy(update={"table_4_1": judged})
    config = config.model_copy(update={"rows": rows})
    values = values_of(config, "table_4_1")
    share = values["human_preference"]
    assert share == {"artifact_ablated": pytest.approx(2 / 3, rel=1e-5), "random_ablated": 0}
    assert values["n"]["annotations"] == 4
    assert values["n"]["images_per_method_human"] == 1
    for wrong, said in (
        (f"x,{sheet},0,both\n", "left or right"),
        (f"x,{sheet},3,left\n", "pairs up to 2"),
        ("x,0123abcd,0,left\n", "sheet '"),
    ):
        Path("answers.csv").write_text(text + wrong)
        with pytest.raises(DissectionError, match=said):
            values_of(config, "table_4_1")


@pytest.mark.smoke
def test_answers_are_saved_as_csv(config: Config, browser: Any, tmp_path: Path) -> None:
    """The page in a browser: two answers, by key and by button, that the table then takes."""
    out = drawn(config)
    page = browser.new_page(viewport={"width": 800, "height": 900})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto((tmp_path / out / "index.html").as_uri())
    assert page.evaluate("document.getElementById('pair').naturalWidth") == 2 * 32 + 2
    page.fill("#rater", "x")
    page.locator("body").click()
    page.keyboard.press("l")
    page.click("button[data-answer=right]")
    assert "2 answered" in page.inner_text("#state")
    with page.expect_download() as download:
        page.click("#save")
    download.value.save_as(tmp_path / "answers.csv")
    assert errors == []
    questions = pd.read_csv(out / "questions.csv")
    answers = pd.read_csv(tmp_path / "answers.csv", dtype={"sheet": str})
    assert answers[["rater", "pair", "answer"]].values.tolist() == [["x", 0, "left"], ["x", 1, "right"]]  # fmt: skip
    sheet = hashlib.sha256((out / "questions.csv").read_bytes()).hexdigest()[:8]
    assert report.preference(questions, sheet, answers)["annotations"].sum() == 2
    page.close()


def test_precision_and_recall(config: Config) -> None:
    written([5, 3, 9, 1, 2, 0], [0, 4], [2, 0], original=1, highest=1, flagged=1, union=1, random=1)
    write_dissection(6)
    found = report.precision_recall(
        pd.Series([5, 3, 9, 1, 2, 0]), pd.Series([True, False, False, False, True, False])
    )
    assert found["precision"].tolist() == [0, 1 / 2, 1 / 3, 2 / 4, 2 / 5, 2 / 6]
    assert found["recall"].tolist() == [0, 0.5, 0.5, 1, 1, 1]
    values = values_of(config, "fig_a_1")
    assert values == {
        "features": "mini features", "unit_231_highest_overall": 9, "unit_224_highest_unflagged": 9,
        "unit_435_lowest_flagged": 2, "overlap_top20": 1, "precision_at_20": 0.5, "recall_at_20": 0.5,
        "n": {"generated": 30, "top_images": 10, "real": 12},
    }  # fmt: skip
    assert values_of(config, "fig_4_8") == {
        "features": "mini features", "units": 2, "unit_0": {"fid": 5}, "unit_4": {"fid": 2},
    }  # fmt: skip


def test_unrealistic_units_are_left_out(config: Config) -> None:
    """With the tenth of the units that are the worst, one of two of sky; by a limit, both."""
    distance = [0.0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9.5, 20]
    written(distance, [], [11, 10], original=1, highest=1, random=1)
    write_dissection()
    values = values_of(config, "fig_a_4")
    assert values == {
        "features": "mini features",
        "unit_11": {"fid": 20, "label": "sky", "iou": 0.2},
        "unit_10": {"fid": 9.5, "label": "sky", "iou": 0.2},
    }
    values = values_of(config, "fig_a_5")
    assert values["fid_threshold"] == pytest.approx(np.quantile(distance, 0.9), rel=1e-5)
    assert values["all"]["units"] == 12
    assert values["all"]["units_matched"] == 11  # unit 0 matches nothing well
    assert values["realistic"] == {
        "units": 10, "units_matched": 9, "object_classes": 2, "part_classes": 0, "material_classes": 0,
    }  # fmt: skip
    assert values["vanished"] == []
    filtered = config.rows.fig_a_5.model_copy(update={"limit": 9})
    config = config.model_copy(
        update={"rows": config.rows.model_copy(update={"fig_a_5": filtered})}
    )
    values = values_of(config, "fig_a_5")
    assert values["fid_threshold"] == 9
    assert values["realistic"]["units"] == 9  # 9 itself is too far
    assert values["vanished"] == ["sky"]


def test_choice_of_units() -> None:
    spec = Quality(real="x", units=2, flagged=[3, 0])
    distance = pd.Series([1.0, 4, 2, 4])
    sets = artifacts.choose(spec, distance, 1)
    assert sets["original"] == []
    assert sets["highest"] == [1, 3]  # of equal ones the first
    assert sets["flagged"] == [3, 0]
    assert sets["union"] == [3, 0, 1]
    assert len(set(sets["random"])) == 2
    assert sets == artifacts.choose(spec, distance, 1)
    plain = artifacts.choose(Quality(real="x", units=2), distance, 1)
    assert list(plain) == ["original", "highest", "random"]
    for wrong in ({"units": 5}, {"units": 2, "flagged": [4]}):
        with pytest.raises(DissectionError, match="layer4 has 4 units"):
            artifacts.choose(Quality(real="x", **wrong), distance, 1)


def test_the_centre_of_an_image() -> None:
    image = np.arange(4 * 7 * 3, dtype=np.uint8).reshape(4, 7, 3)
    assert np.array_equal(artifacts.centre(image), image[:, 1:5])
    assert np.array_equal(artifacts.centre(image.transpose(1, 0, 2)), image[:, 1:5].transpose(1, 0, 2))  # fmt: skip


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("rows", "table_4_1", "network"), "b", "rows.table_4_1.network: found 'b', choices: a"),
        (("quality", "a", "layer"), "layer9", "quality.a.layer: found 'layer9', did you mean"),
        (("quality", "a", "real"), "bedroom", "quality.a.real: found 'bedroom', did you mean"),
        (("features",), None, "features: missing; quality compares images by them"),
    ],
)
def test_mistakes_in_a_profile(tmp_path: Path, path, value, said: str) -> None:
    profile = yaml.safe_load(EVERY_ROW4.read_text())
    section = profile
    for key in path[:-1]:
        section = section[key]
    section[path[-1]] = value
    (tmp_path / "profile.yaml").write_text(yaml.safe_dump(profile))
    with pytest.raises(DissectionError) as raised:
        load(tmp_path / "profile.yaml")
    assert said in str(raised.value)


def test_rows_name_all_that_they_are_made_of(config: Config) -> None:
    assert ROWS["fig_a_1"].uses(config) == (["z", "bedrooms"], ["a", "upernet"])
    assert ROWS["table_4_1"].uses(config) == (["bedrooms"], ["a", "upernet"])
    assert ROWS["table_4_1"].assets(config) == ["bedrooms"]
