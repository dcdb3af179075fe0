"""What generators leave out: segmentation statistics against brute force, the test's error rate, the rows."""

import io
import itertools
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file
from scipy.linalg import sqrtm
from scipy.stats import t as student
from scipy.stats import ttest_ind

from conftest import REPOSITORY, every_row
from dissection import paths, published
from dissection.assets import write_record
from dissection.config import Config, Input, Omission, load
from dissection.data import dataset_of
from dissection.data.scenes import write_scenes
from dissection.errors import DissectionError
from dissection.networks import Preprocess, module_of, to_pixels
from dissection.networks.progan import latents
from dissection.omit.compare import choose, compare, segmented, squares
from dissection.omit.reconstruct import omissions, richest
from dissection.omit.statistics import (
    compare_classes,
    corrected_p,
    distance_interval,
    pixel_counts,
    relative_interval,
    segmentation_distance,
    shares,
)
from dissection.parts import Part, save
from dissection.published.claims import FAILS, HOLDS, judge
from dissection.report.interventions import part
from dissection.report.rows import ROWS, write_table
from dissection.segment import Segmenter, segmenter_of
from dissection.segment.classes import read_classes
from dissection.stats import Gaussian, frechet_distance

CPU = torch.device("cpu")
EVERY = REPOSITORY / "tests" / "every_row5.yaml"


def sample(n: int, seed: int, classes: int = 12, without: tuple[int, ...] = ()) -> torch.Tensor:
    """(n, classes) pixels of n images of 1000: two classes everywhere, the others here and there, some together."""
    rng = np.random.default_rng(seed)
    weights = np.zeros((n, classes))
    weights[:, :2] = rng.uniform(1, 3, (n, 2))
    for k in range(2, classes):
        there = rng.random(n) < (0.3, 0.1, 0.04, 0.01)[k % 4]
        if k % 3 == 0:
            there &= weights[:, k - 1] > 0
        weights[:, k] = there * rng.lognormal(-1, 1, n)
    weights[:, list(without)] = 0
    return torch.stack([
        torch.from_numpy(rng.multinomial(1000, row / row.sum())) for row in weights
    ])  # fmt: skip


# ---------------------------------------------------------------------------------------------- shares


@pytest.mark.parametrize(("size", "sizes"), [(16, []), (16, [32]), (48, [16, 32])])
def test_pixels_by_brute_force(size: int, sizes: list[int]) -> None:
    """At the segmenter's resolution, whatever the images' is; by whatever batch."""
    config = load(EVERY)
    classes = read_classes(REPOSITORY / "tests" / "labels.json")
    segmenter = Segmenter(
        module_of(config, "parser", CPU), Preprocess(Input(size=32)), classes, sizes=sizes
    )
    images = torch.randint(
        0, 256, (7, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )
    counts = pixel_counts(segmenter, images)
    assert counts.shape == (7, 5)
    assert counts.dtype == torch.int64
    labels = segmenter.channels(images, (32, 32))["object"]
    for i, number in itertools.product(range(7), range(5)):
        assert counts[i, number] == int((labels[i] == number).sum())
    assert (counts > 0).sum() > 15
    assert torch.cat([pixel_counts(segmenter, some) for some in images.split(3)]).equal(counts)
    torch.testing.assert_close(shares(counts).sum(1), torch.full((7,), 100.0, dtype=torch.float64))


def test_photographs_are_central_squares_in_a_random_order() -> None:
    assert choose(20, 20, 1, "d") != choose(20, 20, 2, "d")
    assert sorted(choose(20, 20, 1, "d")) == list(range(20))
    assert choose(20, 5, 1, "d") == choose(20, 9, 1, "d")[:5]
    with pytest.raises(DissectionError, match=r"two samples of 11 photographs, but d has 20"):
        choose(20, 22, 1, "d")

    class Wide:
        def image(self, index: int) -> np.ndarray:
            return np.random.default_rng(index).integers(0, 256, (8, 12, 3), np.uint8)

    (batch,) = squares(Wide(), [4, 1], 8)  # type: ignore[arg-type]
    assert batch.shape == (2, 3, 8, 8)
    assert np.array_equal(batch[1].movedim(0, 2), Wide().image(1)[:, 2:10])
    (half,) = squares(Wide(), [4], 4)  # type: ignore[arg-type]
    whole = Image.fromarray(Wide().image(4)).resize((6, 4), Image.Resampling.BILINEAR)
    assert np.array_equal(half[0].movedim(0, 2), np.asarray(whole)[:, 1:5])  # scaled, then cropped


# ---------------------------------------------------------------------------------------------- distance


@pytest.mark.parametrize(("n", "m", "classes"), [(400, 300, 6), (2000, 2000, 12)])
def test_distance_agrees_with_an_independent_computation(n: int, m: int, classes: int) -> None:
    """To 1e-6, on shares times 100, by numpy's covariance and scipy's matrix square root."""
    real, made = sample(n, 1, classes), sample(m, 2, classes, (3,))
    a, b = (100 * x.numpy() / 1000 for x in (real, made))
    # of a class less, since shares add up to 100 and none varies in one direction
    turn = np.linalg.qr(np.concatenate([np.ones((classes, 1)), np.eye(classes)[:, 1:]], 1))[0][
        :, 1:
    ]
    covariances = [np.cov(x @ turn, rowvar=False) for x in (a, b)]
    root = sqrtm(covariances[0] @ covariances[1]).real
    means = ((a.mean(0) - b.mean(0)) ** 2).sum()
    spread = np.trace(covariances[0] + covariances[1] - 2 * root)
    found = segmentation_distance(real, made)
    assert found.mean == pytest.approx(means, rel=1e-9)
    assert found.covariance == pytest.approx(spread, rel=1e-6)
    assert found.total == pytest.approx(means + spread, rel=1e-6)


def test_distance_of_streams_and_shards() -> None:
    """Batch by batch and merged it is the same; unseen classes do not matter; equal samples have none."""
    real, made = sample(300, 1), sample(250, 2, without=(2, 5))
    expected = segmentation_distance(real, made)
    gaussians = []
    for counts in (real, made):
        parts = [Gaussian(12) for _ in range(3)]
        for k, batch in enumerate(counts.split(17)):
            parts[k % 3].add(shares(batch))
        parts[0].merge(parts[1])
        parts[0].merge(parts[2])
        gaussians.append(parts[0])
    found = frechet_distance(*gaussians)
    assert found.total == pytest.approx(expected.total, rel=1e-9)
    more = [torch.cat([x, torch.zeros(len(x), 300, dtype=torch.int64)], 1) for x in (real, made)]
    assert segmentation_distance(*more).total == pytest.approx(expected.total, rel=1e-9)
    assert segmentation_distance(real, real).total == pytest.approx(0, abs=1e-9 * expected.total)
    assert segmentation_distance(real, real.flip(0)).total == pytest.approx(
        0, abs=1e-9 * expected.total
    )
    with pytest.raises(DissectionError, match="12 classes against 11"):
        segmentation_distance(real, made[:, :11])


def test_interval_covers_the_distance_of_the_distributions() -> None:
    """At about its confidence; and it begins at 0 where there is no difference."""
    truth = segmentation_distance(sample(60_000, 90, 5), sample(60_000, 91, 5, (2,))).total
    trials, inside, empty = 60, 0, 0
    for seed in range(trials):
        a, b, c = (
            sample(150, 3 * seed, 5),
            sample(150, 3 * seed + 1, 5, (2,)),
            sample(150, 3 * seed + 2, 5),
        )
        low, high = distance_interval(a, b, 80, seed, level=0.1)
        inside += low <= truth <= high
        empty += distance_interval(a, c, 80, seed, level=0.1).low == 0
    assert inside >= 0.75 * trials
    assert empty >= 0.8 * trials
    assert distance_interval(a, b, 20, 1) == distance_interval(a, b, 20, 1)


# ---------------------------------------------------------------------------------------------- class by class


def test_interval_of_a_ratio_by_brute_force() -> None:
    """The ratios that a t-test at the level does not rule out."""
    rng = np.random.default_rng(3)
    real, made = rng.lognormal(0, 1, 60), 0.6 * rng.lognormal(0, 1, 40)
    z = student.ppf(0.995, 39)
    ratios = np.linspace(0, 3, 30_001)
    error = np.sqrt(made.var(ddof=1) / 40 + ratios**2 * real.var(ddof=1) / 60)
    kept = ratios[np.abs(made.mean() - ratios * real.mean()) <= z * error]
    assert relative_interval(real, made, 0.01) == pytest.approx(
        (kept.min() - 1, kept.max() - 1), abs=2e-4
    )


def test_interval_of_what_is_hardly_or_never_there() -> None:
    few, none, some = np.zeros(200), np.zeros(100), np.zeros(100)
    few[:2] = 5, 9
    some[0] = 3
    assert relative_interval(few, some, 0.01) == (-1, np.inf)
    assert all(np.isnan(relative_interval(none, some, 0.01)))
    often = np.where(np.arange(200) < 80, 4.0, 0.0)
    low, high = relative_interval(often, none, 0.01)
    assert low == -1
    # with this share of images that have it, none of 100 would have it with probability 0.005
    share = (1 + high) * 0.4
    assert (1 - share) ** 100 == pytest.approx(0.005)


def test_intervals_cover_at_their_confidence() -> None:
    expected = sample(100_000, 7, 6).double().mean(0)
    ratio = sample(100_000, 8, 6, (4,)).double().mean(0) / expected
    inside = np.zeros(6)
    for seed in range(150):
        a, b = (
            shares(sample(150, 2 * seed + 100, 6)).numpy(),
            shares(sample(150, 2 * seed + 101, 6, (4,))).numpy(),
        )
        for k in range(6):
            low, high = relative_interval(a[:, k], b[:, k], 0.1)
            inside[k] += low - 1e-9 <= ratio[k] - 1 <= high
    assert (inside[[0, 1, 2, 4, 5]] >= 0.82 * 150).all()  # hardly any image has class 3


def test_corrected_p_against_all_permutations() -> None:
    """Of 5 and 4 images, 126 ways to part them: Welch's t by scipy, step-down maxima one by one."""
    rng = np.random.default_rng(5)
    real, made = rng.normal(0, 1, (5, 3)), rng.normal((2.5, 0.5, 0), 1, (4, 3))
    both = np.concatenate([real, made])

    def t(first: tuple[int, ...]) -> np.ndarray:
        mask = np.isin(np.arange(9), first)
        return np.abs(ttest_ind(both[mask], both[~mask], equal_var=False).statistic)

    found = t((0, 1, 2, 3, 4))
    order = np.argsort(-found)
    every = np.array([t(first) for first in itertools.combinations(range(9), 5)])
    expected, so_far = np.zeros(3), 0.0
    for k, number in enumerate(order):
        rest = every[:, order[k:]].max(1)
        so_far = max(so_far, float((rest >= found[number] - 1e-9).mean()))
        expected[number] = so_far
    p = corrected_p(real, made, 20_000, 1)
    assert p == pytest.approx(expected, abs=0.015)
    assert expected.min() < 0.1 < expected.max()
    assert np.array_equal(p, corrected_p(real, made, 20_000, 1))
    constant = [np.concatenate([x, np.full((len(x), 1), 7.0)], 1) for x in (real, made)]
    assert corrected_p(*constant, 200, 1)[3] == 1


def test_nothing_is_found_between_samples_of_one_dataset() -> None:
    """Over 20 seeds at the stated level; and at a level at which it is to happen, no more often than stated."""
    for seed in range(20):
        table = compare_classes(
            sample(200, 2 * seed, 40), sample(200, 2 * seed + 1, 40), 0.01, 1000, seed
        )
        assert (table["found"] == "").all(), f"seed {seed}"
    trials, found = 200, 0
    for seed in range(trials):
        a, b = (sample(60, 1000 + 2 * seed + k, 40) for k in (0, 1))
        found += corrected_p(shares(a).numpy(), shares(b).numpy(), 200, seed).min() <= 0.2
    assert found <= 0.2 * trials + 3 * (0.16 * trials) ** 0.5


def test_what_is_dropped_is_found() -> None:
    real = sample(400, 1, 40)
    made = sample(400, 2, 40, (4, 5, 8))  # of 30 %, 10 % and 30 % of images
    table = compare_classes(real, made, 0.01, 1000)
    assert set(table.index[table["found"] == "omitted"]) == {4, 5, 8}
    assert (table.loc[[4, 5, 8], "delta"] == -1).all()
    assert (table.loc[[4, 5, 8], "high"] < 0).all()
    assert table.loc[4, "real"] == pytest.approx(float(shares(real)[:, 4].mean()))
    turned = compare_classes(made, real, 0.01, 1000)
    assert set(turned.index[turned["found"] == "added"]) == {4, 5, 8}
    assert turned.loc[[4, 5, 8], ["delta", "low", "high"]].isna().all(axis=None)


# ---------------------------------------------------------------------------------------------- rows


CLASSES = """
network class label        real generated delta low   high  p     found
none    1     sky          40   40.4      0.01  -0.1  0.1   1     none
none    0     -            9    9         0     -0.1  0.1   1     none
none    3     person       0.5  0.4       -0.2  -0.4  0.2   0.9   none
none    7     cup          0    0         none  none  none  1     none
a       1     sky          40   36        -0.1  -0.2  0.0   0.005 omitted
a       0     -            9    9         0     -0.1  0.1   1     none
a       3     person       0.5  0.1       -0.8  -0.9  -0.6  0.001 omitted
a       4     dining_table 0.1  0.3       2     1     inf   0.002 added
a       5     car          0.01 0         -1    -1    -0.2  0.3   none
a       6     boat         0    0.1       none  none  none  0.3   none
a       7     cup          0    0         none  none  none  1     none
b       1     sky          40   20        -0.5  -0.6  -0.4  0.001 omitted
"""
DISTANCES = """
network images fsd mean covariance low high
none    12     2   1    1          0   3
b       12     90  50   40         70  99
a       12     9   5    4          7   11
style   12     4   3    1          2   6
"""
SPLITS = """
seed images fsd mean covariance largest omitted added
1    6      4   1    3          0.5     none    none
1    12     2   1    1          0.3     0       0
2    6      8   1    7          0.6     none    none
2    12     4   1    3          0.4     1       0
"""

PAIRS = """
class label  delta found   image method photograph reconstruction kept others others_kept pixels error
3     person -0.8  omitted 7     d      10         4              2    80     40          100    0.3
1     sky    -0.1  omitted 2     d      50         40             40   40     40          100    0.2
3     person -0.8  omitted 7     f      10         9              6    80     72          100    0.1
1     sky    -0.1  omitted 2     f      50         50             50   40     40          100    0.1
"""
LABELS = """
class label  colour
1     sky    #112233
3     person #445566
"""


@pytest.fixture
def measured(config: Config) -> Config:
    for dataset in ("churches", "bedrooms"):
        folder = paths.omission(config.profile, dataset)
        folder.mkdir(parents=True)
        for name, text in (("classes", CLASSES), ("distances", DISTANCES), ("splits", SPLITS)):
            (folder / f"{name}.csv").write_text(as_csv(text).replace("_", " "))
    for row in ("fig_5_1", "fig_5_5"):
        folder = paths.inversion(config.profile, row)
        folder.mkdir(parents=True)
        for name, text in (("pairs", PAIRS), ("labels", LABELS)):
            (folder / f"{name}.csv").write_text(as_csv(text))
        Image.new("RGB", (4, 2)).save(folder / "photographs.png")
    return config


def as_csv(text: str) -> str:
    lines = [",".join(line.split()).replace("none", "") for line in text.strip().splitlines()]
    return "\n".join(lines) + "\n"


def made(config: Config, row: str) -> pd.DataFrame:
    """The row's table, as the report reads it."""
    write_table(config, row, paths.table(config.profile, row))
    return pd.read_csv(paths.table(config.profile, row), keep_default_na=False, na_values={})


def test_omitted_by_class(measured: Config) -> None:
    table = made(measured, "fig_5_1")
    lines = part(table, "class")
    assert lines["label"].tolist() == ["sky", "person", "dining table", "car", "boat"]
    assert (
        lines["shown"].astype(str).tolist() == ["True"] * 3 + ["False"] * 2
    )  # the 3 most frequent
    assert part(table, "distance")["fsd"].tolist() == [9]
    values = ROWS["fig_5_1"].values(table)
    assert values["class_order"] == ["sky", "person", "dining_table"]
    assert values["released_delta"]["person"] == -0.8
    assert values["train_area"]["car"] == 0.01
    claims = {c["id"]: judge(c["expr"], values) for c in published.entry("fig_5_1")["claims"]}
    assert claims["church_drops_people_cars_fences"].outcome not in (
        HOLDS,
        FAILS,
    )  # there is no fence
    metrics = ROWS["fig_5_1"].metrics(table)
    assert metrics["progan"] == {"omitted": 2, "added": 1, "mean_abs": pytest.approx(2.9 / 3)}
    assert ROWS["fig_5_5"].values(made(measured, "fig_5_5"))["dining_table"] == 2


def test_what_reconstructions_lack(measured: Config) -> None:
    table = made(measured, "fig_5_1")
    assert part(table, "image")[["name", "file"]].to_numpy().tolist() == [
        ["photographs", "results/smoke/inversions/fig_5_1/photographs.png"]
    ]
    assert part(table, "label")["colour"].tolist() == ["#112233", "#445566"]
    values = ROWS["fig_5_1"].values(table)
    assert values["lacking"] == {
        "d": {"omitted": pytest.approx((0.8 + 0.2) / 2), "others": 0.25},
        "f": {"omitted": pytest.approx((0.4 + 0) / 2), "others": pytest.approx(0.05)},
    }
    assert values["lacking_by_class"]["d"] == pytest.approx({"person": 0.8, "sky": 0.2})
    claims = {
        c["id"]: c["expr"] for row in ("fig_5_1", "fig_5_5") for c in published.entry(row)["claims"]
    }
    assert judge(claims["church_omits_wholesale"], values).outcome == HOLDS
    assert judge(claims["bedroom_omits_wholesale"], values).outcome == HOLDS


def test_what_is_omitted_and_its_richest_photographs() -> None:
    lines = pd.read_csv(io.StringIO(as_csv(CLASSES)))
    assert omissions(lines, "a")["label"].tolist() == ["person", "sky"]
    none = lines.assign(found="")
    assert omissions(none, "a")["label"].tolist() == ["car"]  # of delta -1, and cup has none
    counts = torch.tensor([
        [0, 5, 3, 0],
        [0, 5, 9, 0],
        [0, 4, 8, 0],
        [0, 1, 0, 2],
        [0, 9, 7, 0],
    ])  # fmt: skip
    # 2 first; 3 is in one image alone and then passed over; 1 has what is left, the first of equals first
    assert richest(counts, [2, 3, 1], 9) == [(2, 1), (3, 3), (1, 4), (2, 2), (1, 0)]
    assert richest(counts, [2, 3, 1], 2) == [(2, 1), (3, 3)]
    assert richest(counts, [1], 9) == [(1, 4), (1, 0), (1, 1), (1, 2), (1, 3)]


def test_two_generators(measured: Config) -> None:
    values = ROWS["fig_5_2"].values(made(measured, "fig_5_2"))
    assert values == {"wgan_gp": {"sky": -0.5, "mean_abs": 0.5}}


def test_noise_floor(measured: Config) -> None:
    table = made(measured, "fig_5_4")
    values = ROWS["fig_5_4"].values(table)
    assert values == {
        "max_abs_delta": 0.2, "max_abs_delta_gan": 2, "splits": 2, "splits_with_a_find": 1, "fsd": {"n6": 6, "n12": 3},
    }  # fmt: skip
    (claim,) = published.entry("fig_5_4")["claims"]
    assert judge(claim["expr"], values).outcome == HOLDS


def test_distances(measured: Config) -> None:
    table = made(measured, "table_5_1")
    assert table["network"].tolist() == ["wgan_gp", "progan", "stylegan", "photographs"]
    values = ROWS["table_5_1"].values(table)
    assert values["fsd"] == {"wgan_gp": 90, "progan": 9, "stylegan": 4, "photographs": 2}
    (claim,) = published.entry("table_5_1")["claims"]
    assert judge(claim["expr"], values).outcome == HOLDS


def test_what_rows_are_made_of(config: Config) -> None:
    assert config.compared() == {"churches": ["a"], "bedrooms": ["b", "style", "a"]}
    assert ROWS["table_5_1"].uses(config) == (["bedrooms"], ["b", "a", "style", "parser"])
    assert ROWS["fig_5_1"].uses(config) == (["churches"], ["encoder", "a", "vgg", "parser"])
    assert ROWS["fig_5_1"].assets(config) == ["churches", "labels"]


def test_generators_that_are_not_trained_are_left_out(tmp_path: Path) -> None:
    content = yaml.safe_load(EVERY.read_text())
    recipe = {"dataset": "bedrooms", "iterations": 1, "penalty": 1, "critic": [8, 8, 8, 8]}
    content["networks"]["style"]["adversarial"] = recipe
    (tmp_path / "profile.yaml").write_text(yaml.safe_dump(content))
    config = load(tmp_path / "profile.yaml")
    assert config.compared() == {"churches": ["a"], "bedrooms": ["b", "a"]}
    assert config.rows.fig_5_2
    assert config.rows.fig_5_2.networks == {"wgan_gp": "b"}
    assert "style" in config.lacking("table_5_1")[0]
    assert ROWS["fig_5_1"].inputs(config).keys() == {"statistics", "reconstructions"}
    content["networks"]["encoder"]["inversion"] = {"generator": "a"}
    (tmp_path / "profile.yaml").write_text(yaml.safe_dump(content))
    config = load(tmp_path / "profile.yaml")
    assert config.lacking("fig_5_1") == ["weights of encoder (snakemake weights trains them)"]
    assert ROWS["fig_5_1"].inputs(config).keys() == {
        "statistics"
    }  # the histogram is made all the same
    assert ROWS["fig_5_1"].uses(config) == (["churches"], ["a", "parser"])
    assert "fig_5_1" not in config.inverted()
    content["rows"]["fig_5_1"]["networks"] = {"progan": "style"}
    del content["omission"]
    (tmp_path / "profile.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(DissectionError, match="omission: missing; rows of chapter 5 need it"):
        load(tmp_path / "profile.yaml")


def test_the_job_against_brute_force(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its files are of the samples that it says, and the same every time."""
    Path("tests").symlink_to(REPOSITORY / "tests")
    source = config.assets["bedrooms"].scenes
    assert source
    write_scenes(source, config.seed, Path("drawn"), 1)
    records = paths.asset_records(config.profile)
    write_record(records / "bedrooms.json", "bedrooms", Path("drawn"))
    write_record(records / "labels.json", "labels", Path("tests/labels.json"))
    for out in ("once", "twice"):
        compare(config, "bedrooms", Path(out), CPU)
    for file in Path("once").iterdir():
        assert file.read_bytes() == (Path("twice") / file.name).read_bytes(), file.name
    # in three parts, one of which has nothing to do
    parts = [Path(f"{i}-of-3") for i in (1, 2, 3)]
    for path in parts:
        save(segmented(config, "bedrooms", Part.of(path.name), CPU), Part.of(path.name), path)
    assert [len(load_file(part)["chosen"]) for part in parts] == [0, 16, 8]
    compare(config, "bedrooms", Path("gathered"), CPU, parts)
    for file in Path("once").iterdir():
        assert file.read_bytes() == (Path("gathered") / file.name).read_bytes(), file.name
    counts = load_file("once/counts.safetensors")
    assert {name: len(t) for name, t in counts.items()} == {
        "photographs": 12, "further": 12, "chosen": 24, "a": 12, "b": 12, "style": 12,
    }  # fmt: skip
    segmenter = segmenter_of(config, "colour", CPU)
    photographs = dataset_of(config, "bedrooms")
    chosen = counts["chosen"].tolist()
    assert chosen == choose(26, 24, 1, "bedrooms")
    (image,) = squares(photographs, chosen[14:15], 32)
    assert torch.equal(counts["further"][2:3], pixel_counts(segmenter, image).int())
    images = to_pixels(module_of(config, "style", CPU)(latents(1, 0, 12, 8)))
    assert torch.equal(counts["style"], pixel_counts(segmenter, images).int())
    classes = pd.read_csv("once/classes.csv")
    expected = compare_classes(counts["photographs"], counts["style"], 0.01, 300, 1)
    lines = classes[classes["network"] == "style"].set_index("class").sort_index()
    np.testing.assert_allclose(lines["p"], expected["p"], rtol=1e-5)
    assert lines.loc[2, "label"] == "building"
    distances = pd.read_csv("once/distances.csv")
    assert distances["network"].fillna("").tolist() == ["", "b", "style", "a"]
    found = segmentation_distance(counts["photographs"], counts["b"])
    assert distances["fsd"][1] == pytest.approx(found.total, rel=1e-5)
    splits = pd.read_csv("once/splits.csv")
    assert splits[["seed", "images"]].to_numpy().tolist() == [
        [s, n] for s in (1, 2, 3) for n in (6, 12)
    ]
    assert splits["omitted"].isna().tolist() == [True, False] * 3


def test_more_photographs_than_there_are(config: Config) -> None:
    with pytest.raises(ValueError, match="sizes: 9, more than the 8 images"):
        Omission(segmenter="s", images=8, sizes=[9])


@pytest.mark.smoke
def test_every_row(tmp_path: Path) -> None:
    workspace = every_row(tmp_path / "repository", EVERY, "chapter5")
    table = pd.read_csv(workspace.folder / "results/smoke/tables/table_5_1.csv")
    assert table["network"].tolist() == ["wgan_gp", "progan", "stylegan", "photographs"]
    np.testing.assert_allclose(table["fsd"], table["mean"] + table["covariance"], rtol=1e-4)
    assert (table["fsd"][:3] > table["fsd"][3]).all()  # nothing of a scene is in what these draw
    assert workspace.planned("chapter5", "report") == set()
    once = workspace.results("omit/**/*.*")
    for dataset in ("bedrooms", "churches"):
        shutil.rmtree(workspace.folder / f"results/smoke/omit/{dataset}")
    folders = ["results/smoke/omit/bedrooms", "results/smoke/omit/churches"]
    workspace.edit("config/smoke.yaml", "profile: smoke", "profile: smoke\nshards: 3")
    workspace.run("snakemake", *folders)
    assert len(list((workspace.folder / "logs/smoke/compare/bedrooms").glob("*-of-3.log"))) == 3
    assert workspace.results("omit/**/*.*") == once, "the bytes of one job"
    assert workspace.planned(*folders) == set()
