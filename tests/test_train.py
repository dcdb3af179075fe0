"""Training: it learns, resumes to the very same bytes, and ships weights with a manifest."""

import hashlib
import json

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from dissection import config as model
from dissection.config import Config
from dissection.data import Dataset
from dissection.errors import DissectionError
from dissection.networks import load_network
from dissection.networks import train as training
from dissection.networks.train import SMALLEST_PART, augment, object_crops, ship, train

CPU = torch.device("cpu")


class Shapes(Dataset):
    """A disc, a bar or a frame in random colours; the labels say where."""

    classes = ("disc", "bar", "frame")
    concepts = pd.DataFrame(
        {"name": ["disc", "bar", "frame"], "category": "object"},
        index=pd.Index([1, 2, 3], name="number"),
    )

    def __init__(self, images: int, seed: int, size: int = 32):
        self.images, self.seed, self.size = images, seed, size

    def __len__(self):
        return self.images

    def key(self, index):
        return str(index)

    def target(self, index):
        return index % 3

    def _draw(self, index):
        rng = np.random.default_rng((self.seed, index))
        y, x = np.mgrid[: self.size, : self.size] - rng.integers(10, self.size - 10, (2, 1, 1))
        inside = np.maximum(abs(x), abs(y)) < 7
        mask = (x**2 + y**2 < 40, inside & (abs(y) < 3), inside & ((abs(x) > 3) | (abs(y) > 3)))
        mask = mask[index % 3]
        image = np.where(mask[..., None], rng.integers(120, 256, 3), rng.integers(0, 120, 3))
        return image.astype(np.uint8), mask

    def image(self, index):
        return self._draw(index)[0]

    def labels(self, index):
        return {"object": self._draw(index)[1][None].astype(np.int32) * (index % 3 + 1)}


def profile(**recipe) -> Config:
    network = {
        "module": "dissection.networks.alexnet:alexnet",
        "arguments": {"classes": 3, "size": 32, "widths": [16, 16, 16, 16, 16], "hidden": 32}
        | {"kernel": 5, "stride": 1, "padding": 2, "lrn": False, "batch_norm": True},
        "input": {"size": 32, "mean": [110, 110, 110], "std": [60, 60, 60]},
        "layers": {"conv5": "relu5"},
        "recipe": {"dataset": "d", "validation": "v", "epochs": 4, "batch": 16}
        | {"learning_rate": 3e-3, "snapshots": [0, 5]}
        | recipe,
    }
    drawn = model.Asset(scenes=model.Scenes(format="places", images=13))
    return Config.model_construct(
        profile="test",
        seed=3,
        memory_gb=1.0,
        assets={"drawn": drawn},
        datasets={
            "d": model.Dataset(reader="places", asset="drawn"),
            "v": model.Dataset(reader="places", asset="published"),
        },
        networks={"net": model.Network(**network)},
    )


def bytes_below(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("trained")
    train(profile(), "net", Shapes(600, 1), Shapes(150, 2), out, CPU)
    return out


def test_it_learns_and_says_so(trained):
    metrics = json.loads((trained / "metrics.json").read_text())
    curve = pd.read_csv(trained / "curve.csv")
    assert metrics["validation_accuracy"] > 0.9
    assert metrics["iterations"] == 4 * (600 // 16) == curve.iteration.iloc[-1]
    assert list(curve.columns[:3]) == ["iteration", "loss", "train_accuracy"]
    assert curve.loss.iloc[-1] < curve.loss.iloc[0]
    assert not (trained / "checkpoint.pt").exists()

    # what metrics.json states is what the file on disk achieves
    spec = profile().networks["net"]
    network = load_network(spec, trained / "weights.safetensors", 9)
    preprocess = training.Preprocess(spec.input)
    data = Shapes(150, 2)
    with torch.inference_mode():
        scores = network(torch.stack([preprocess(data.image(i)) for i in range(150)]))
    hits = (scores.argmax(1).numpy() == np.arange(150) % 3).mean()
    assert hits == pytest.approx(metrics["validation_accuracy"])


def test_snapshots_hold_the_weights_of_their_iteration(trained):
    spec = profile().networks["net"]
    start = load_network(spec, trained / "snapshots/0.safetensors", 9).conv1.weight
    initial = load_network(spec, None, 3).conv1.weight
    assert torch.equal(start, initial.half().float())
    later = load_network(spec, trained / "snapshots/5.safetensors", 9).conv1.weight
    assert not torch.equal(start, later)


class Killed(Exception):
    pass


@pytest.mark.parametrize(
    ("steps", "recipe"), [(7, {}), (37, {}), (80, {}), (80, {"weight_decay": 0.1})]
)
def test_a_killed_run_ends_in_the_same_bytes(trained, tmp_path, monkeypatch, steps, recipe):
    """600 images in batches of 16 are 37 steps an epoch: killed within the first, after it, later.

    The checkpoint of another recipe is no start and does no harm.
    """
    left = iter(range(steps))

    def mortal(images):
        if next(left, None) is None:
            raise Killed
        return augment(images)

    with monkeypatch.context() as patch:
        patch.setattr(training, "augment", mortal)
        with pytest.raises(Killed):
            train(profile(**recipe), "net", Shapes(600, 1), Shapes(150, 2), tmp_path, CPU)
    assert (tmp_path / "checkpoint.pt").exists() == (steps >= 37)
    torch.rand(5)  # whatever happened in between
    train(profile(), "net", Shapes(600, 1), Shapes(150, 2), tmp_path, CPU)
    assert bytes_below(tmp_path) == bytes_below(trained)


def test_images_beyond_the_memory_are_streamed_to_the_same_bytes(trained, tmp_path):
    """600 images of 3 kB do not fit one MiB, the 150 to validate on do."""
    config = profile().model_copy(update={"memory_gb": 2**-10})
    data = Shapes(600, 1)
    read = []
    data.image = lambda i: read.append(i) or Shapes.image(data, i)
    train(config, "net", data, Shapes(150, 2), tmp_path, CPU)
    assert len(read) == 4 * (600 // 16) * 16
    assert bytes_below(tmp_path) == bytes_below(trained)


def test_sgd_in_steps(tmp_path):
    """Against the update written out: v <- 0.9 v + g + decay w, w <- w - rate v; rate / 10 every `drop` iterations."""
    torch.manual_seed(0)
    network, inputs = torch.nn.Linear(3, 2, bias=False), torch.rand(12, 3)
    w, v = network.weight.detach().clone().double(), torch.zeros(2, 3).double()
    recipe = profile(batch=4, epochs=3, drop=4, learning_rate=0.5, weight_decay=0.1, snapshots=[])
    recipe = recipe.networks["net"].recipe
    seen = []

    def step(some):
        seen.append(some)
        return network(some).square().sum(), torch.zeros(())

    training.fit(network, recipe, 1, [inputs], step, lambda: (0.0, 0.0), tmp_path, "", "net")
    for iteration, some in enumerate(x.double() for x in seen):
        gradient = 2 * (w @ some.T) @ some
        v = 0.9 * v + gradient + 0.1 * w
        w = w - 0.5 / 10 ** (iteration // 4) * v
    assert len(seen) == 9
    assert torch.allclose(network.weight.double(), w, rtol=1e-5)


def test_objects_are_cut_out_and_learnt(tmp_path):
    data = Shapes(600, 1, 48)
    for index in range(6):
        (crop, number), *others = object_crops(data, index)
        assert not others
        assert number == index % 3 + 1
        assert crop.shape[0] == crop.shape[1]
        assert crop.shape[0] in (16, 17, 18)  # 13 pixels and a quarter
    train(profile(target="object", epochs=2), "net", data, Shapes(90, 2, 48), tmp_path, CPU)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["classes"] == ["bar", "disc", "frame"]
    assert metrics["validation_accuracy"] > 0.8


def test_a_hybrid_learns_scenes_and_objects_at_once(tmp_path):
    config = profile(target="hybrid", epochs=1)
    config.networks["net"].arguments["classes"] = 6
    data = Named(60, 1, 48)
    train(config, "net", data, Named(30, 2, 48), tmp_path, CPU)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["classes"] == ["a disc", "a bar", "a frame", "bar", "disc", "frame"]
    objects = sum(len(list(object_crops(data, i))) for i in range(60))
    assert metrics["images"] == 60 + objects > 60


class Named(Shapes):
    classes = ("a disc", "a bar", "a frame")


def test_a_seed_of_its_own(trained, tmp_path):
    """The seed of the recipe replaces the profile's, in the first weights and in the training."""
    for name, seed in {"same": 3, "other": 4}.items():
        train(profile(seed=seed), "net", Shapes(600, 1), Shapes(150, 2), tmp_path / name, CPU)
        for file in ("weights", "snapshots/0"):
            one, two = (
                (f / f"{file}.safetensors").read_bytes() for f in (trained, tmp_path / name)
            )
            assert (one == two) == (seed == 3)


def pretext_profile(target: str, **recipe) -> Config:
    config = profile(target=target, snapshots=[], epochs=1, **recipe)
    arguments = dict(config.networks["net"].arguments)
    del arguments["classes"], arguments["hidden"]
    update = {"module": "dissection.networks.pretext:trunk", "arguments": arguments}
    return config.model_copy(
        update={"networks": {"net": config.networks["net"].model_copy(update=update)}}
    )


@pytest.mark.parametrize("target", ["context", "moving", "audio"])
def test_a_pretext_task_leaves_its_trunk_alone(tmp_path, target):
    config = pretext_profile(target, batch=8)
    config.datasets["v"] = config.datasets["d"]
    for out in (tmp_path / "a", tmp_path / "b"):
        train(config, "net", Shapes(104, 1), Shapes(104, 2), out, CPU)
    assert bytes_below(tmp_path / "a") == bytes_below(tmp_path / "b")
    # all of its keys and no others
    load_network(config.networks["net"], tmp_path / "a" / "weights.safetensors", 0)
    metrics = json.loads((tmp_path / "a" / "metrics.json").read_text())
    assert 0 <= metrics["validation_accuracy"] <= 1


def test_videos_are_drawn_and_nothing_else_has_them(tmp_path):
    with pytest.raises(DissectionError, match="needs videos, and v is not drawn"):
        train(pretext_profile("tracking"), "net", Shapes(104, 1), Shapes(52, 2), tmp_path, CPU)


def test_augmentation_moves_and_mirrors():
    y, x = np.mgrid[:32, :32]
    image = torch.from_numpy(np.stack([y, x, x], -1).astype(np.uint8))
    torch.manual_seed(0)
    out = augment(image.expand(200, 32, 32, 3))
    assert out.shape == (200, 3, 32, 32)
    assert out.dtype == torch.float32
    rows = (out[:, 0, 25, 16] - out[:, 0, 6, 16]) / 19  # pixels of the image a pixel of the result
    columns = (out[:, 1, 16, 25] - out[:, 1, 16, 6]) / 19
    assert torch.allclose(rows, columns.abs(), atol=1e-4)
    assert SMALLEST_PART**0.5 - 1e-4 < rows.min() < 0.65
    assert 0.95 < rows.max() < 1 + 1e-4
    assert 60 < (columns < 0).sum() < 140
    assert out[:, :2].min() == 0
    assert out[:, :2].max() == 31


@pytest.mark.parametrize(
    ("recipe", "memory", "classes", "message"),
    [
        ({}, 1e-6, 3, "memory_gb"),
        ({"batch": 64}, 1.0, 3, "batch of 64"),
        ({"snapshots": [999]}, 1.0, 3, "snapshots"),
        ({}, 1.0, 5, "5 outputs.*3 classes"),
        ({"learning_rate": 1e30}, 1.0, 3, "lower recipe.learning_rate"),
    ],
)
def test_what_cannot_be_trained_is_said_in_one_line(tmp_path, recipe, memory, classes, message):
    config = profile(**recipe)
    config.networks["net"].arguments["classes"] = classes
    config = config.model_copy(update={"memory_gb": memory})
    with pytest.raises(DissectionError, match=message) as caught:
        train(config, "net", Shapes(40, 1), Shapes(20, 2), tmp_path, CPU)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "weights.safetensors").exists()


def test_a_validation_set_of_other_classes_is_refused(tmp_path):
    with pytest.raises(DissectionError, match="none of its classes is in the validation set"):
        train(profile(), "net", Shapes(40, 1), Named(20, 2), tmp_path, CPU)


def test_ship(trained, tmp_path):
    out = tmp_path / "weights"
    out.mkdir()
    (out / "manifest.json").write_text('{"zebra": {"bytes": 1}}')
    ship(profile(), "net", trained, out)
    manifest = json.loads((out / "manifest.json").read_text())
    assert list(manifest) == ["net", "net.0", "net.5", "zebra"]
    data = (out / "net.safetensors").read_bytes()
    assert data == (trained / "weights.safetensors").read_bytes()
    entry = manifest["net"]
    assert entry["sha256"] == hashlib.sha256(data).hexdigest()
    assert entry["bytes"] == len(data)
    assert entry["seed"] == 3
    assert entry["recipe"]["epochs"] == 4
    assert entry["data"]["d"]["scenes"]["images"] == 13
    assert entry["data"]["v"] == {"reader": "places", "asset": "published"}
    assert entry["metrics"]["validation_accuracy"] > 0.9
    assert len(entry["curve"]["loss"]) == 4
    assert manifest["net.5"]["snapshot_of"] == "net"
    kept = load_file(out / "net.5.safetensors")
    whole = load_file(trained / "snapshots/5.safetensors")
    assert {k.partition(".")[0] for k in whole.keys() - kept.keys()} == {"fc6", "fc7", "fc8"}
    assert all(torch.equal(t, whole[key]) for key, t in kept.items())
    before = bytes_below(out)
    ship(profile(), "net", trained, out)
    assert bytes_below(out) == before
    with pytest.raises(DissectionError, match="train it first"):
        ship(profile(), "net", tmp_path / "nowhere", out)
