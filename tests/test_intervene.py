"""Units removed, attacked and taken as detectors, against the network run as a whole."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from dissection import paths, published
from dissection.assets import write_record
from dissection.config import Config, Scenes
from dissection.data import dataset_of
from dissection.data.scenes import write_scenes
from dissection.dissect.run import dissect
from dissection.errors import DissectionError
from dissection.intervene.ablation import Ablation
from dissection.intervene.attack import Attacked, carlini_wagner
from dissection.intervene.attack import attack as attack_row
from dissection.intervene.detector import balanced_accuracy, best_threshold, detect
from dissection.intervene.importance import Tally, Together, importance, ranking, single_image
from dissection.intervene.subject import load_subject
from dissection.networks.alexnet import alexnet
from dissection.networks.vgg import vgg16
from dissection.probe import Probe
from dissection.report.rows import ROWS, write_table


class Skip(nn.Module):
    """A residual block behind the layer, and one connection that leads around the layer."""

    def __init__(self, around: bool) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.layer = nn.Conv2d(6, 6, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.block = nn.Conv2d(6, 6, 3, padding=1)
        self.fc = nn.Linear(6, 5)
        self.around = around

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        y = self.relu(self.layer(x))
        y = y + x if self.around else y + self.block(y)
        return self.fc(y.mean((2, 3)))


class Functional(nn.Module):
    """Batch norm moves what a removed unit puts out away from 0; pooling by functions."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 8, 3)
        self.norm = nn.BatchNorm2d(8)
        self.fc1, self.fc2 = nn.Linear(8 * 9, 7), nn.Linear(7, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.max_pool2d(F.relu(self.norm(self.layer(x))), 2)
        x = torch.flatten(F.adaptive_avg_pool2d(x, (3, 3)), 1)
        return self.fc2(torch.tanh(self.fc1(x)))


class Loose(nn.Module):
    """Control flow that depends on data: no graph can be traced."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.relu, self.fc = nn.Conv2d(3, 6, 5), nn.ReLU(inplace=True), nn.Linear(6, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.layer(x)).amax((2, 3))
        return self.fc(x if float(x.sum()) > 0 else -x)


def small(**more) -> nn.Sequential:
    return alexnet(5, 32, (6, 6, 8, 8, 9), 10, kernel=3, stride=1, groups=(1, 1, 1, 1, 1), **more)


def in_place() -> nn.Sequential:
    relu, pool = nn.ReLU(inplace=True), nn.MaxPool2d(2)
    return nn.Sequential(nn.Conv2d(3, 7, 3), relu, pool, nn.Flatten(), nn.Linear(7 * 225, 5))


NETWORKS = {  # name -> (network, layer, whether only the linear layer's part is run)
    "alexnet": (small, "relu5", True),
    "before the rectifier": (small, "conv5", True),
    "normalised": (lambda: small(batch_norm=True), "conv5", True),
    "an inner layer": (small, "relu3", False),
    "gap": (lambda: small(gap=True), "relu5", True),
    "vgg16": (lambda: vgg16(5, 32, (3, 4, 5, 6, 8), 9), "features.conv5_3", True),
    "in place": (in_place, "0", True),
    "skip": (lambda: Skip(False), "layer", False),
    "skip around": (lambda: Skip(True), "layer", False),
    "functional": (Functional, "layer", True),
    "loose": (Loose, "layer", False),
    "a linear layer's units": (small, "fc6", True),
}


@torch.no_grad()
def without(network: nn.Module, layer: str, images: torch.Tensor, units: list[int]) -> torch.Tensor:
    """A full forward pass with some units of the layer set to 0."""

    def edit(a: torch.Tensor) -> torch.Tensor:
        a = a.clone()
        a[:, units] = 0
        return a

    with Probe(network, edits={layer: edit}) as probe:
        return probe(images)


@pytest.mark.parametrize("name", NETWORKS)
def test_ablation_equals_full_forward_passes(name: str) -> None:
    torch.manual_seed(2)
    build, layer, low_rank = NETWORKS[name]
    network = build().eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(), module.bias.data.normal_()
    images = torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        dead = network.get_submodule(layer.replace("relu", "conv"))
        dead.bias[:2] = -50  # two units that never pass a rectifier
    ablation = Ablation(network, layer)
    state = ablation.run(images)
    assert (state.fed is not None) == low_rank
    units = state.activations.shape[1]
    assert torch.allclose(state.scores, without(network, layer, images, []), atol=1e-5)
    expected = torch.stack([without(network, layer, images, [u]) for u in range(units)], 1)
    assert torch.allclose(ablation.each(state), expected, atol=1e-5)
    removed = torch.rand(4, units) < torch.tensor([0, 0.3, 0.7, 1])[:, None]
    together = [without(network, layer, images, s.nonzero()[:, 0].tolist()) for s in removed]
    expected = torch.stack(together, 1)
    assert torch.allclose(ablation.sets(state, removed), expected, atol=1e-5)


def test_a_unit_that_is_zero_changes_nothing_at_all() -> None:
    network = vgg16(5, 32, (3, 4, 5, 6, 8), 9).eval()
    with torch.no_grad():
        network.get_submodule("features.conv5_3").bias[3] = -50
    ablation = Ablation(network, "features.conv5_3")
    state = ablation.run(torch.randn(2, 3, 32, 32))
    assert torch.equal(ablation.each(state)[:, 3], state.scores)


def linear(
    classes: int = 2, size: int = 4
) -> tuple[nn.Linear, Callable[[torch.Tensor], torch.Tensor]]:
    torch.manual_seed(3)
    layer = nn.Linear(3 * size * size, classes).requires_grad_(False)
    return layer, lambda x: 5 * layer(x.flatten(1))


def attack(scores: Callable, images: torch.Tensor, targets: torch.Tensor, **more) -> Attacked:
    settings = {"steps": 9, "iterations": 400, "learning_rate": 0.01, "constant": 0.01} | more
    return carlini_wagner(scores, images, targets, **settings)


def test_the_attack_on_a_linear_classifier_goes_straight_to_the_hyperplane() -> None:
    layer, scores = linear()
    images = 0.5 + 0.1 * torch.rand(6, 3, 4, 4)
    targets = 1 - scores(images).argmax(1)
    w, b = layer.weight[1] - layer.weight[0], layer.bias[1] - layer.bias[0]
    expected = (images.flatten(1) @ w + b).abs() / w.norm()
    found = attack(scores, images, targets)
    assert found.success.all()
    assert (scores(found.images).argmax(1) == targets).all()
    assert torch.allclose((found.images - images).flatten(1).norm(dim=1), found.distance, atol=1e-6)
    assert torch.allclose(found.distance, expected, rtol=0.03)
    assert (found.distance >= expected - 1e-5).all()


def test_attacks_respect_box_and_confidence_and_are_each_by_themselves() -> None:
    _, scores = linear(classes=4)
    images = 0.05 + 0.9 * torch.rand(5, 3, 4, 4).round()  # close to the edges of the box
    targets = (scores(images).argmax(1) + 1) % 4
    found = attack(scores, images, targets, confidence=2, steps=6)
    assert found.success.all()
    assert found.images.min() >= 0
    assert found.images.max() <= 1
    z = scores(found.images)
    others = z.scatter(1, targets[:, None], -torch.inf).amax(1)
    assert (z.gather(1, targets[:, None])[:, 0] - others >= 2).all()
    again = attack(scores, images, targets, confidence=2, steps=6)
    assert torch.equal(again.images, found.images)
    alone = attack(scores, images[3:4], targets[3:4], confidence=2, steps=6)
    assert torch.allclose(alone.images, found.images[3:4], atol=1e-4)


def test_an_attack_that_cannot_succeed_says_so() -> None:
    images = torch.rand(2, 3, 4, 4)
    found = attack(lambda x: torch.tensor([[1.0, 0.0]]) + 0 * x.sum((1, 2, 3))[:, None], images,
                   torch.tensor([1, 1]), steps=2, iterations=10)  # fmt: skip
    assert not found.success.any()
    assert torch.equal(found.images, images)
    assert found.distance.isinf().all()


@given(st.data())
def test_the_best_threshold_is_the_best_of_all(data: st.DataObject) -> None:
    present = np.array(data.draw(st.lists(st.booleans(), min_size=2, max_size=30)))
    present[:2] = True, False
    values = st.integers(-3, 3)
    peaks = np.array(data.draw(st.lists(values, min_size=len(present), max_size=len(present)))) / 4
    threshold, accuracy = best_threshold(peaks, present)
    assert balanced_accuracy(peaks, present, threshold) == pytest.approx(accuracy)
    tried = [balanced_accuracy(peaks, present, t) for t in np.arange(-1.1, 1.1, 0.05)]
    assert accuracy >= max(tried) - 1e-12


def test_tallies_are_balanced_accuracies() -> None:
    rng = np.random.default_rng(4)
    predictions, targets = rng.integers(0, 3, (50, 4)), rng.integers(0, 3, 50)
    tally = Tally(4, 3)
    together = Together(np.zeros((4, 7), bool), np.array([0, 1, 2, 1]), torch.device("cpu"))
    for some in np.array_split(np.arange(50), 7):
        batch = torch.from_numpy(predictions[some]), torch.from_numpy(targets[some])
        tally.add(*batch)
        together.add(*batch)
    expected = np.array([
        [((p == c)[targets == c].mean() + (p != c)[targets != c].mean()) / 2 for c in range(3)]
        for p in predictions.T
    ])  # fmt: skip
    assert np.allclose(tally.balanced(), expected)
    found = together.accuracies()
    assert np.allclose(found["balanced_accuracy"], expected[range(4), [0, 1, 2, 1]])
    assert np.allclose(found["all_class_accuracy"], (predictions == targets[:, None]).mean(0))


def test_units_are_ranked_by_accuracy_then_by_odds() -> None:
    accuracy = np.array([[1, 1], [0.9, 1], [0.8, 1], [0.9, 1]])  # all units, then without each
    odds = np.array([[5, 5], [4, 4], [5, 6], [3, 2]])
    assert ranking(accuracy, odds).tolist() == [[1, 2, 0], [2, 0, 1]]


NET = """
from torch import nn

def net():
    network = nn.Sequential()
    network.add_module("conv", nn.Conv2d(3, 9, 5, 2))
    network.add_module("relu", nn.ReLU(inplace=True))
    network.add_module("pool", nn.AdaptiveAvgPool2d(2))
    network.add_module("flat", nn.Flatten())
    network.add_module("fc", nn.Linear(36, 13))
    nn.init.normal_(network.fc.weight, std=3)
    return network
"""


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Config]:
    """A profile with a random network, its dissection, and scenes to intervene on."""
    folder = tmp_path_factory.mktemp("interventions")
    common = {"dataset": "broden", "network": "net"}
    removed = {**common, "validation": "places_val"}
    content = {
        "profile": "tiny",
        "datasets": {
            "broden": {"reader": "broden", "asset": "broden"},
            "places_train": {"reader": "places", "asset": "places_train", "split": "train"},
            "places_val": {"reader": "places", "asset": "places_val", "split": "val"},
        },
        "networks": {"net": {
            "module": "net.py:net", "layers": {"conv": "relu"},
            "input": {"size": 32, "mean": [120, 120, 120], "std": [60, 60, 60]},
        }},
        "dissections": [{**common, "protocols": ["pnas2020"]}],
        "rows": {
            "pnas_fig_1": {**common, "detector": {
                "concept": "tree", "train": "places_val", "train_present": ["park"],
                "test": "broden", "test_present": ["tree"]}},
            "pnas_fig_2": {**removed, "train": "places_train", "scene": "kitchen", "top": 2, "many": 3},
        },
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Path("net.py").write_text(NET)
        for name, split, first in (
            ("broden", "val", 0),
            ("places_train", "train", 500),
            ("places_val", "val", 900),
        ):
            form = name.partition("_")[0]
            scenes = Scenes(format=form, images=39, first=first, size=32, split=split)
            out = paths.generated_asset("tiny", name)
            write_scenes(scenes, 1, out)
            write_record(paths.asset_record("tiny", name), name, out)
        yield Config.model_validate(content)


@pytest.fixture(scope="module")
def said(profile: Config) -> tuple[int, str, str]:
    """An image that the random network happens to get right, its class, and the second best one."""
    subject = load_subject(profile, "net", torch.device("cpu"), 1)
    dataset = dataset_of(profile, "places_val")
    with torch.no_grad():
        best = torch.cat([
            subject.network(x).topk(2).indices for _, x in subject.batches(dataset, 20, "")
        ])  # fmt: skip
    targets = torch.tensor([dataset.target(i) for i in range(len(dataset))])
    index = int((best[:, 0] == targets).nonzero()[0])
    return index, *(dataset.classes[c] for c in best[index])


def test_importance_equals_the_network_run_without_each_unit(profile: Config) -> None:
    out = paths.intervention("tiny", "pnas_fig_2")
    importance(profile, "pnas_fig_2", out, torch.device("cpu"), 1)
    single, sets = pd.read_csv(out / "single.csv"), pd.read_csv(out / "sets.csv")
    subject, dataset = (
        load_subject(profile, "net", torch.device("cpu"), 1),
        dataset_of(profile, "places_val"),
    )
    images = torch.cat([x for _, x in subject.batches(dataset, 20, "")])
    targets = np.array([dataset.target(i) for i in range(len(dataset))])

    def given(units: list[int]) -> np.ndarray:
        return without(subject.network, "relu", images, units).argmax(1).numpy()

    def accuracy(given: np.ndarray, number: int) -> float:
        own = targets == number
        return ((given == number)[own].mean() + (given != number)[~own].mean()) / 2

    held_out = single[single["split"] == "validation"].set_index(["class", "unit"])
    for unit in range(9):
        said = given([unit])
        for number, name in enumerate(dataset.classes):
            found = held_out.loc[(name, unit), "balanced_accuracy"]
            assert found == pytest.approx(accuracy(said, number), abs=1e-5)
    ranked = single[
        (single["split"] == "train") & (single["class"] == "kitchen") & (single["unit"] >= 0)
    ]
    order = ranked.sort_values("rank")["unit"].tolist()
    assert ranked.sort_values("rank")["loss"].is_monotonic_decreasing
    kitchen = sets[sets["class"] == "kitchen"].set_index(["removed", "units"])["balanced_accuracy"]
    number = dataset.classes.index("kitchen")
    for k in range(10):
        assert kitchen["most", k] == pytest.approx(accuracy(given(order[:k]), number), abs=1e-5)
        assert kitchen["all_but_most", k] == pytest.approx(
            accuracy(given(order[k:]), number), abs=1e-5
        )


def test_from_interventions_to_tables_and_values(
    profile: Config, said: tuple[int, str, str]
) -> None:
    index, scene, other = said
    cpu = torch.device("cpu")
    removed = {"dataset": "broden", "network": "net", "validation": "places_val"}
    rows = profile.rows.model_dump(exclude_none=True) | {
        "pnas_fig_5": {**removed, "example": [scene, other], "targets": [other], "images": 3,
                       "steps": 2, "iterations": 100, "learning_rate": 0.1, "constant": 1000},
        "fig_slides_single_image": {**removed, "scene": scene, "image": index},
    }  # fmt: skip
    config = Config.model_validate(profile.model_dump(exclude_none=True) | {"rows": rows})
    folder = paths.units("tiny", "broden", "net")
    dissect(config, config.dissections[0], folder, cpu, 1)
    jobs = {"pnas_fig_2": importance, "pnas_fig_5": attack_row, "pnas_fig_1": detect,
            "fig_slides_single_image": single_image}  # fmt: skip
    values = {}
    for row, job in jobs.items():
        out = paths.intervention("tiny", row)
        job(config, row, out, cpu, 1)
        before = {p.name: p.read_bytes() for p in out.iterdir()}
        job(config, row, out, cpu, 1)
        assert {p.name: p.read_bytes() for p in out.iterdir()} == before
        write_table(config, row, paths.table("tiny", row))
        table = pd.read_csv(paths.table("tiny", row), keep_default_na=False, na_values={})
        values[row], texts = ROWS[row].values(table), ROWS[row].texts(table)
        for entry, of in ({ROWS[row].entry or row: values[row]} | texts).items():
            wanted = set(published.entry(entry)["values"]) - {
                "c_units_removed_plot", "airplane_classes", "plotted_airplane", "plotted_other",
                "ski_resort_accuracy_loss", "classes_per_unit", "church_layer4_units",
                "watermark_units_layer4", "places_top5_accuracy", "fid_example",
            }  # fmt: skip
            assert wanted <= set(of), entry
    assert values["pnas_fig_2"]["e_units"]["c0"] + values["pnas_fig_2"]["e_units"]["c1"] <= 9
    assert sum(values["pnas_fig_2"]["e_units"].values()) == 9
    assert values["pnas_fig_2"]["b_ski_resort"]["chance"] == 0.5
    one = values["fig_slides_single_image"]["baseball_field"]
    assert one["units_without_effect_on_prediction"] + len(one["units_with_effect"]) == 9
    assert values["pnas_fig_5"]["images"] > 0


def test_mistakes_are_one_line(profile: Config) -> None:
    rows = profile.rows.model_dump(exclude_none=True)
    for key, value, text in (
        ("scene", "beach", "rows.pnas_fig_2.scene: no class 'beach'; choices: airfield"),
        ("validation", "broden", "rows.pnas_fig_2: places_train and broden differ in classes"),
    ):
        wrong = {**rows, "pnas_fig_2": rows["pnas_fig_2"] | {key: value}}
        config = Config.model_validate(profile.model_dump(exclude_none=True) | {"rows": wrong})
        with pytest.raises(DissectionError, match=re.escape(text)):
            importance(config, "pnas_fig_2", Path("never"), torch.device("cpu"), 1)
    assert not Path("never").exists()
