"""Segmenters: the published layout, exact pooling, labels and their numbers, training, what is shipped."""

import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import nn
from torch.nn.functional import cross_entropy

from dissection import config as model
from dissection.config import Config, load
from dissection.data import Dataset, join
from dissection.data.scenes import NUMBER, draw, world
from dissection.data.scenes.close import PAINTERS as CLOSE
from dissection.errors import DissectionError
from dissection.networks import Preprocess, load_network
from dissection.networks.train import ship, train
from dissection.segment import Segmenter, halves, load_segmenter
from dissection.segment import train as training
from dissection.segment.classes import Classes, read_classes
from dissection.segment.train import find_classes, find_targets, loss_of, parsing
from dissection.segment.upernet import precise_pool, upernet

CPU = torch.device("cpu")
MINI = {
    "stem": [8, 8, 8],
    "pool": False,
    "widths": [4, 4, 8, 8],
    "blocks": [1, 1, 1, 1],
    "pooled": 8,
    "pyramid": 8,
}

# ---------------------------------------------------------------------------------------------------- UPerNet


@pytest.mark.parametrize(
    ("height", "width", "bins"), [(4, 4, 1), (8, 5, 2), (7, 4, 3), (8, 8, 6), (3, 2, 6)]
)
def test_precise_pooling_is_the_integral_of_the_interpolation(height, width, bins):
    """Cells of side 1 / bins have no kink inside and no bin's edge, so that the middle of each is its mean."""
    features = np.random.default_rng(0).normal(size=(2, 3, height, width))

    def at(y, x):
        value = 0
        for i in (int(np.floor(y)), int(np.floor(y)) + 1):
            for j in (int(np.floor(x)), int(np.floor(x)) + 1):
                if i < height and j < width:
                    value = value + features[:, :, i, j] * (1 - abs(y - i)) * (1 - abs(x - j))
        return value

    expected = np.zeros((2, 3, bins, bins))
    for i in range(height * bins):
        for j in range(width * bins):
            middle = at((i + 0.5) / bins, (j + 0.5) / bins)
            expected[:, :, i // height, j // width] += middle / (height * width)
    pooled = precise_pool(torch.from_numpy(features), bins)
    assert np.allclose(pooled.numpy(), expected, atol=1e-12)


def published() -> dict[str, tuple[int, ...]]:
    """Names and shapes of the encoder's and the decoder's state dicts."""
    shapes: dict[str, tuple[int, ...]] = {}

    def convolution(key, norm, out, channels, kernel):
        shapes[f"{key}.weight"] = (out, channels, kernel, kernel)
        for name in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{norm}.{name}"] = (out,)

    for i, (channels, out) in enumerate(((3, 64), (64, 64), (64, 128)), start=1):
        convolution(f"encoder.conv{i}", f"encoder.bn{i}", out, channels, 3)
    channels = 128
    for stage, (width, blocks) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3)), start=1):
        for block in range(blocks):
            at = f"encoder.layer{stage}.{block}"
            convolution(f"{at}.conv1", f"{at}.bn1", width, channels, 1)
            convolution(f"{at}.conv2", f"{at}.bn2", width, width, 3)
            convolution(f"{at}.conv3", f"{at}.bn3", 4 * width, width, 1)
            if block == 0:
                convolution(f"{at}.downsample.0", f"{at}.downsample.1", 4 * width, channels, 1)
            channels = 4 * width
    for i in range(4):
        convolution(f"decoder.ppm_conv.{i}.0", f"decoder.ppm_conv.{i}.1", 512, 2048, 1)
    convolution("decoder.ppm_last_conv.0", "decoder.ppm_last_conv.1", 512, 4096, 3)
    for i, channels in enumerate((256, 512, 1024)):
        convolution(f"decoder.fpn_in.{i}.0", f"decoder.fpn_in.{i}.1", 512, channels, 1)
        convolution(f"decoder.fpn_out.{i}.0.0", f"decoder.fpn_out.{i}.0.1", 512, 512, 3)
    convolution("decoder.conv_fusion.0", "decoder.conv_fusion.1", 512, 2048, 3)
    for head, place, classes in (
        ("scene", 2, 365),
        ("object", 1, 336),
        ("part", 1, 427),
        ("material", 1, 26),
    ):
        convolution(f"decoder.{head}_head.0.0", f"decoder.{head}_head.0.1", 512, 512, 3)
        shapes[f"decoder.{head}_head.{place}.weight"] = (classes, 512, 1, 1)
        shapes[f"decoder.{head}_head.{place}.bias"] = (classes,)
    return shapes


def test_the_published_layout():
    with torch.device("meta"):
        network = upernet(objects=336, parts=427, materials=26, scenes=365).eval()
        scores = network(torch.zeros(1, 3, 256, 256))
    shapes = {k: tuple(t.shape) for k, t in network.state_dict().items() if "num_batches" not in k}
    assert shapes == published()
    assert {head: tuple(s.shape) for head, s in scores.items()} == {
        "object": (1, 336, 64, 64), "part": (1, 427, 64, 64), "material": (1, 26, 64, 64), "scene": (1, 365)
    }  # fmt: skip


def test_folded_batch_norms_change_nothing():
    network = upernet(3, 4, 2, 2, (4, 4, 8), False, (2, 3, 4, 5), (1, 2, 1, 1), (1, 2), 6, 6)
    network(torch.randn(8, 3, 32, 32))  # statistics of their own
    images, network = torch.randn(2, 3, 32, 32), network.double().eval()
    before = network(images.double())
    network.fold()
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in network.modules())
    torch.testing.assert_close(network(images.double()), before)


def test_two_published_files_are_one_network(tmp_path):
    """They hold what synchronised batch norm kept in training, and may lack the count of batches."""
    sizes = {"objects": 5, "parts": 4, "materials": 3, "scenes": 2}
    spec = model.Network(module="dissection.segment.upernet:upernet", arguments=MINI | sizes,
                         input=model.Input(size=32), layers={"layer4": "encoder.layer4"})  # fmt: skip
    network = load_network(spec, None, 1)
    for part in ("encoder", "decoder"):
        state = {
            k: t for k, t in getattr(network, part).state_dict().items() if "num_batches" not in k
        }
        for key in [k for k in state if k.endswith("running_mean")]:
            for extra in ("_tmp_running_mean", "_tmp_running_var", "_running_iter"):
                state[key.replace("running_mean", extra)] = torch.ones(3)
        torch.save(state, tmp_path / f"{part}_epoch_40.pth")
    (tmp_path / "labels.json").write_text("{}")
    loaded = load_network(spec, tmp_path, 2)
    assert all(torch.equal(t, loaded.state_dict()[k]) for k, t in network.state_dict().items())
    images = torch.rand(2, 3, 32, 32)
    one, two = network(images), loaded(images)
    assert all(torch.equal(one[head], two[head]) for head in one)
    (tmp_path / "decoder_epoch_40.pth").unlink()
    with pytest.raises(DissectionError, match=r"missing.*decoder"):
        load_network(spec, tmp_path, 2)


# ----------------------------------------------------------------------------------------------------- labels

CLASSES = Classes(
    object=["-", "sky", "tree", "building", "door", "car"],
    part=["-", "cloud", "crown", "door", "roof", "wheel", "trunk"],
    material=["-", "wood", "stone"],
    scene=["street"],
    # not in the order of the objects
    object_part={"tree": ["-", "crown", "trunk"], "building": ["-", "roof", "door"], "sky": ["-", "cloud"],
                 "car": ["-", "wheel", "door"]},
)  # fmt: skip
RUNS = {"sky": 0, "tree": 2, "building": 5, "car": 8}  # first channels, in the order of the objects


class Painted(nn.Module):
    """Reads the channels of the heads out of the pixels, in steps of 10."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.seen = []

    def forward(self, images):
        self.seen.append(images)
        classes = (images * self.scale / 10).round().long()
        scores = {}
        for plane, (head, count) in enumerate((("object", 6), ("part", 11), ("material", 3))):
            where = classes[:, plane].clamp(0, count - 1)
            scores[head] = nn.functional.one_hot(where, count).permute(0, 3, 1, 2).float()
        scores["scene"] = torch.zeros(len(images), 1)
        return scores


def painted(vocabulary: str, size: int = 4, **options) -> Segmenter:
    preprocess = Preprocess(model.Input(size=size, std=[1, 1, 1]))
    return Segmenter(Painted(), preprocess, CLASSES, vocabulary, **options)


def test_names_and_numbers():
    assert painted("net").concepts.values.tolist() == [
        ["sky", "object"], ["tree", "object"], ["building", "object"], ["door", "object"], ["car", "object"],
        ["wood", "material"], ["stone", "material"], ["roof", "part"], ["cloud", "part"],
    ]  # fmt: skip
    concepts = painted("netpqc").concepts
    assert concepts.index.tolist() == list(range(1, len(concepts) + 1))
    assert concepts.name.tolist() == [
        "sky", "tree", "building", "door", "car",
        *(f"{name}-{half}" for half in "tlbr" for name in ("sky", "tree", "building", "door", "car")),
        "wood", "stone", "crown", "trunk", "roof", "cloud", "wheel", *world.CATEGORY["color"],
    ]  # fmt: skip
    assert concepts.category.tolist() == (
        ["object"] * 5 + ["part"] * 20 + ["material"] * 2 + ["part"] * 5 + ["color"] * 11
    )
    counts = {v: len(painted(v).concepts) for v in ("net", "netp", "netq", "netpq")}
    assert counts == {"net": 9, "netp": 12, "netq": 29, "netpq": 32}


def test_the_counts_of_the_published_labels():
    """336 objects, 26 materials; 28 parts that are no objects of sky, building and person, 112 of all."""
    objects = ["-", *(f"o{i}" for i in range(332)), "sky", "building", "person"]
    few = [f"p{i}" for i in range(28)]
    hierarchy = {"sky": ["-", *few[:2]], "building": ["-", *few[2:], "o3"], "person": ["-", "p1"]}
    hierarchy["o7"] = ["-", *(f"p{i}" for i in range(112))]
    classes = Classes(objects, ["-"], ["-", *(f"m{i}" for i in range(25))], ["s"], hierarchy)

    class Zeros(Painted):
        def forward(self, images):
            sizes = {f"{k}s": k for k in ("object", "part", "material")}
            n, _, h, w = images.shape
            found = {
                sizes[k]: torch.zeros(n, v, h, w) for k, v in classes.sizes().items() if k in sizes
            }
            return found | {"scene": torch.zeros(n, 1)}

    preprocess = Preprocess(model.Input(size=4))
    for vocabulary, count in {"net": 389, "netp": 473, "netq": 1729, "netpq": 1813}.items():
        concepts = Segmenter(Zeros(), preprocess, classes, vocabulary).concepts
        assert len(concepts) + 1 == count  # the authors count `-`
        part = concepts.index[concepts.name == "p0"][0]
        assert part == (1701 if "q" in vocabulary else 361)


def test_heads_are_combined():
    """A part counts where its object is, by the object's number if it is one, and of sky, building, person only
    unless all parts are asked for."""
    images = torch.zeros(1, 3, 4, 4, dtype=torch.uint8)
    pixels = {  # (object, channel of the part head, material) -> names
        (1, RUNS["sky"] + 1, 0): ("sky", "cloud", ""),
        (1, RUNS["building"] + 1, 1): ("sky", "", "wood"),
        (3, RUNS["building"] + 2, 2): ("building", "door", "stone"),
        (3, RUNS["building"], 2): ("building", "", "stone"),
        (2, RUNS["tree"] + 2, 1): ("tree", "trunk", "wood"),
        (5, RUNS["car"] + 1, 0): ("car", "wheel", ""),
        (5, RUNS["car"] + 2, 0): ("car", "door", ""),
        (0, RUNS["car"] + 2, 0): ("", "", ""),
        (4, 3, 0): ("door", "", ""),
    }  # fmt: skip
    for at, values in enumerate(pixels):
        images[0, :, at // 4, at % 4] = 10 * torch.tensor(values)
    for vocabulary in ("net", "netp"):
        segmenter = painted(vocabulary)
        name = {0: ""} | segmenter.concepts.name.to_dict()
        labels = segmenter(images)
        assert {k: (tuple(v.shape), v.dtype) for k, v in labels.items()} == dict.fromkeys(
            ("object", "part", "material"), ((1, 1, 4, 4), torch.int32)
        )
        for at, expected in enumerate(pixels.values()):
            found = tuple(
                name[int(labels[c].flatten()[at])] for c in ("object", "part", "material")
            )
            if vocabulary == "net" and expected[0] in ("tree", "car"):
                expected = (expected[0], "", expected[2])
            assert found == expected
    halved = painted("netq")(images)["part"]
    assert halved.shape == (1, 3, 4, 4)
    both = halves(labels["object"][:, 0].numpy(), 5)
    assert np.array_equal(halved[:, 1:].numpy(), np.stack(both, 1))


def test_images_are_scaled_and_reordered():
    segmenter = painted("net", size=4)
    images = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    segmenter(images)
    blocks = images.float().view(2, 3, 4, 2, 4, 2).mean((3, 5))
    assert torch.allclose(segmenter.network.seen[-1], blocks)
    segmenter.preprocess.order = "BGR"
    labels = segmenter(images, downsample=4)
    assert torch.allclose(segmenter.network.seen[-1], blocks.flip(1))
    assert labels["object"].shape == (2, 1, 2, 2)
    segmenter(images[..., :2, :2])
    assert segmenter.network.seen[-1].shape == (2, 3, 4, 4)
    with pytest.raises(DissectionError, match="uint8"):
        segmenter(images.float())


def mini() -> tuple[nn.Module, Preprocess]:
    """A small network of CLASSES, with random weights, and its input."""
    torch.manual_seed(0)
    network = upernet(**MINI, objects=6, parts=11, materials=3, scenes=1).eval()
    return network, Preprocess(model.Input(size=32))


def test_sizes_are_averaged_as_probabilities():
    network, preprocess = mini()
    images = torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8)
    found = Segmenter(network, preprocess, CLASSES, "netp", [32, 64]).channels(images, [16, 16])
    total = {head: 0 for head in found}
    with torch.inference_mode():
        for size in (32, 64):
            pixels = nn.functional.adaptive_avg_pool2d(images.float(), size)
            scores = network(preprocess.normalise(pixels))
            for head in found:
                some = nn.functional.interpolate(scores[head], (16, 16), mode="bilinear")
                if head == "part":
                    some = torch.cat([s.softmax(1) for s in some.split([2, 3, 3, 3], 1)], 1)
                total[head] = total[head] + (some if head == "part" else some.softmax(1))
    assert torch.equal(found["object"], total["object"].argmax(1))
    assert torch.equal(found["material"], total["material"].argmax(1))
    ends = {0: (0, 0), 1: (0, 2), 2: (2, 5), 3: (5, 8), 4: (0, 0), 5: (8, 11)}
    for n, y, x in np.ndindex(3, 16, 16):
        first, last = ends[int(found["object"][n, y, x])]
        best = total["part"][n, first:last, y, x].argmax() + first if last else -1
        assert found["part"][n, y, x] == best


@pytest.mark.parametrize("sizes", [[32], [32, 48]])
@pytest.mark.parametrize("vocabulary", ["netpqc", "net"])
def test_probabilities_are_those_of_the_heads(sizes, vocabulary):
    network, preprocess = mini()
    segmenter = Segmenter(network, preprocess, CLASSES, vocabulary, sizes)
    images = torch.randint(0, 256, (2, 3, 32, 32)).float().requires_grad_()
    share = {"object": 0, "part": 0, "material": 0}
    for size in sizes:
        scaled = images if size == 32 else nn.functional.interpolate(images, size, mode="bilinear")
        scores = network(segmenter.preprocess.normalise(scaled))
        for head in share:
            some = nn.functional.interpolate(scores[head], (32, 32), mode="bilinear")
            runs = [2, 3, 3, 3] if head == "part" else [some.shape[1]]
            share[head] += torch.cat([s.softmax(1) for s in some.split(runs, 1)], 1) / len(sizes)
    thing, part = share["object"], share["part"]
    door = thing[:, 4] + thing[:, 3] * part[:, RUNS["building"] + 2]
    expected = {"tree": thing[:, 2], "stone": share["material"][:, 2],
                "roof": thing[:, 3] * part[:, RUNS["building"] + 1]}  # fmt: skip
    if vocabulary == "net":  # parts of few objects
        expected["door"] = door
    else:
        expected["door"] = door + thing[:, 5] * part[:, RUNS["car"] + 2]
        expected["trunk"] = thing[:, 2] * part[:, RUNS["tree"] + 2]
    number = {name: i for i, name in segmenter.concepts.name.items()}
    for name, probability in expected.items():
        found = segmenter.scores(images, number[name])
        assert torch.allclose(found, probability, atol=1e-6)
    (gradient,) = torch.autograd.grad(found.sum(), images)
    assert gradient.abs().sum() > 0
    if vocabulary == "netpqc":
        for name in ("tree-t", world.CATEGORY["color"][0]):
            with pytest.raises(DissectionError, match=f"{name}.*no probability"):
                segmenter.scores(images, number[name])


def test_labels_do_not_depend_on_the_batch():
    network, preprocess = mini()
    images = torch.randint(0, 256, (9, 3, 32, 32), dtype=torch.uint8)
    together, apart, by_one = (Segmenter(network, preprocess, CLASSES, batch=b) for b in (9, 4, 1))
    whole = together(images)
    for other in (apart(images), by_one(images)):
        assert all(torch.equal(whole[c], other[c]) for c in whole)
    turned = apart(images.flip(0))
    assert all(torch.equal(whole[c], turned[c].flip(0)) for c in whole)


@pytest.mark.parametrize("downsample", [1, 2])
def test_colours_are_those_of_the_scenes(downsample):
    segmenter = painted("netc", size=64)
    scene = draw("kitchen", 1, 5, 64)
    labels = segmenter(torch.from_numpy(scene.rgb).permute(2, 0, 1)[None], downsample)
    name = segmenter.concepts.name.to_dict()
    expected = scene.labels["color"][0][
        downsample // 2 :: downsample, downsample // 2 :: downsample
    ]
    found = labels["color"][0, 0].numpy()
    assert np.array_equal(np.vectorize(lambda k: NUMBER[name[k]])(found), expected)


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(*(st.integers(1, end) for end in (3, 7, 7))).flatmap(
        lambda shape: arrays(np.int32, shape, elements=st.integers(0, 2))
    )
)
def test_components_are_cut_in_the_middle_of_their_boxes(things):
    vertical, horizontal = halves(things, 2)
    expected = np.zeros((2, *things.shape), int)
    for n, image in enumerate(things):
        left = {(int(y), int(x)) for y, x in zip(*np.nonzero(image), strict=True)}
        while left:
            component, border = set(), [min(left)]
            while border:
                y, x = border.pop()
                component.add((y, x))
                near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)}
                border += [p for p in near & left - component if image[p] == image[y, x]]
            left -= component
            for axis in (0, 1):
                at = [p[axis] for p in component]
                middle = (min(at) + max(at) + 1) // 2
                for p in component:
                    times = (1, 3)[p[0] >= middle] if axis == 0 else (2, 4)[p[1] >= middle]
                    expected[(axis, n, *p)] = image[p] + 2 * times
    assert np.array_equal(vertical, expected[0])
    assert np.array_equal(horizontal, expected[1])


def test_labels_that_do_not_fit(tmp_path):
    path = tmp_path / "labels.json"
    plain = CLASSES.plain()
    path.write_text(json.dumps(plain))
    assert read_classes(path) == read_classes(tmp_path) == CLASSES
    path.write_text(json.dumps(plain | {"object_part": {"tree": ["crown"]}}))
    with pytest.raises(DissectionError, match=r"labels.json: object_part.tree"):
        read_classes(path)
    path.write_text(json.dumps({k: v for k, v in plain.items() if k != "material"}))
    with pytest.raises(DissectionError, match=r"labels.json: not the classes.*material"):
        read_classes(path)
    network = upernet(**MINI, objects=7, parts=11, materials=3, scenes=1)
    with pytest.raises(DissectionError, match=r"'objects': 6.*'objects': 7"):
        Segmenter(network, Preprocess(model.Input(size=32)), CLASSES)


# --------------------------------------------------------------------------------------------------- training


class Town(Dataset):
    """Grey skies over green grass, red houses with dark doors, blue words over all. Every third image is
    annotated for its materials and nothing else."""

    names = ("sky", "grass", "house", "door", "text", "step", "wood", "town-s")
    classes = ("town-s",)

    def __init__(self, images: int, first: int = 0, offset: int = 0):
        self.images, self.first, self.offset = images, first, offset
        categories = ["object"] * 5 + ["part", "material", "scene"]
        numbers = pd.RangeIndex(1 + offset, 9 + offset, name="number")
        self.concepts = pd.DataFrame({"name": self.names, "category": categories}, index=numbers)

    def __len__(self):
        return self.images

    def key(self, index):
        return str(index)

    def target(self, index):
        return 0

    def _draw(self, index):
        rng = np.random.default_rng(self.first + index)
        image, maps = np.zeros((32, 32, 3), np.uint8), np.zeros((4, 32, 32), np.int32)
        low, left = int(rng.integers(18, 24)), int(rng.integers(0, 14))
        text = int(rng.integers(0, 28))
        for box, colour, numbers in (
            (np.s_[:low], (150, 150, 160), (1, 0, 0, 0)), (np.s_[low:], (40, 160, 40), (2, 0, 0, 0)),
            (np.s_[low - 12 : low + 3, left : left + 16], (190, 40, 40), (3, 0, 0, 7)),
            (np.s_[low - 6 : low + 3, left + 5 : left + 11], (50, 10, 10), (4, 3, 0, 7)),
            (np.s_[low + 1 : low + 3, left : left + 5], (250, 200, 200), (3, 0, 6, 7)),
        ):  # fmt: skip
            image[box] = colour
            maps[(slice(None), *(box if isinstance(box, tuple) else (box,)))] = np.array(numbers)[
                :, None, None
            ]
        if index % 2:
            over = np.s_[text : text + 4]
            image[over] = (20, 20, 250)
            maps[1, over] = maps[0, over]
            maps[0, over] = 5
        return image, maps

    def image(self, index):
        return self._draw(index)[0]

    def labels(self, index):
        thing, whole, part, material = self._draw(index)[1]
        move = lambda m: np.where(m > 0, m + self.offset, 0)  # noqa: E731
        if index % 3 == 2:
            return {"material": move(material)[None]}
        things = [m for m in (move(thing), move(whole)) if m.any()]
        return {"object": np.stack(things), "part": move(part)[None],
                "scene": np.array([[[8 + self.offset]]])}  # fmt: skip


@pytest.fixture
def kinds(monkeypatch):
    """Text lies on more than two kinds of things here, and doors on one."""
    monkeypatch.setattr(training, "KINDS", 2)


def town_profile(**recipe) -> Config:
    sizes = {"objects": 6, "parts": 3, "materials": 2, "scenes": 1}
    network = {
        "module": "dissection.segment.upernet:upernet",
        "arguments": MINI | {"widths": [8, 8, 8, 8], "pyramid": 16} | sizes,
        "input": {"size": 32, "mean": [110, 110, 110], "std": [60, 60, 60]},
        "layers": {"layer4": "encoder.layer4"},
        "recipe": {"target": "parsing", "dataset": "d", "validation": "v", "epochs": 8, "batch": 16}
        | {"learning_rate": 1e-2, "weight_decay": 0.01}
        | recipe,
    }
    dataset = model.Dataset(reader="broden", asset="drawn")
    return Config.model_construct(
        profile="test", seed=3, memory_gb=1.0, assets={}, datasets={"d": dataset, "v": dataset},
        networks={"net": model.Network(**network)},
        segmenters={"seg": model.Segmenter(network="net", labels="net.labels")},
    )  # fmt: skip


def test_classes_and_targets_of_overlapping_labels(kinds):
    data = Town(30)
    annotated = training.annotations(data, Preprocess(model.Input(size=32)), 1.0)
    classes = find_classes(data, annotated)
    assert set(classes.object[1:]) == {"sky", "grass", "house", "door", "text"}
    assert classes.object_part == {"house": ["-", "door", "step"]}
    assert (classes.material, classes.scene) == (["-", "wood"], ["town-s"])
    assert classes.sizes() == {"objects": 6, "parts": 3, "materials": 2, "scenes": 1}
    number = {name: i for i, name in enumerate(classes.object)}
    targets = find_targets(data, annotated, classes)
    for index in range(30):
        thing, whole, part, material = data._draw(index)[1]
        if index % 3 == 2:
            assert not targets[index, 0].any()
            assert (targets[index, 1] == -1).all()
            assert np.array_equal(targets[index, 2] > 0, material == 7)
            continue
        door = (thing == 4) & (whole == 3)
        names = np.array(["-", *Town.names])[np.where(door, 3, thing)]
        assert np.array_equal(targets[index, 0], np.vectorize(number.get)(names))
        house = ((thing == 3) & (whole == 0)) | door
        expected = np.where(house, np.where(door, 1, np.where(part == 6, 2, 0)), -1)
        assert np.array_equal(targets[index, 1], expected)
        assert not targets[index, 2].any()


def test_parts_are_told_apart_within_their_object():
    generator = torch.Generator().manual_seed(0)
    scores = {
        head: torch.randn(4, count, 6, 6, generator=generator)
        for head, count in (("object", 6), ("part", 11), ("material", 3))
    }
    scores["scene"] = torch.randn(4, 2, generator=generator)
    thing = torch.randint(0, 6, (4, 6, 6), generator=generator)
    ends = {1: (0, 2), 2: (2, 5), 3: (5, 8), 5: (8, 11)}
    allowed, channel = torch.zeros(6, 11, dtype=torch.bool), torch.full((4, 6, 6), -1)
    losses = []
    for owner, (first, last) in ends.items():
        allowed[owner, first:last] = True
        for n, y, x in (thing == owner).nonzero().tolist():
            if (y + x) % 3:
                channel[n, y, x] = first + (x + n) % (last - first)
                some = scores["part"][n, first:last, y, x]
                losses.append(-some.log_softmax(0)[channel[n, y, x] - first])
    material = torch.zeros(4, 6, 6, dtype=torch.int64)
    scenes = torch.tensor([1, -1, 0, 1])
    target = torch.stack([thing, channel, material], 1).short()
    loss, right = loss_of(scores, target, scenes, allowed)
    expected = (
        cross_entropy(scores["object"], thing, ignore_index=0) + 0.5 * torch.stack(losses).mean()
    )
    expected = expected + 0.25 * cross_entropy(scores["scene"][[0, 2, 3]], scenes[[0, 2, 3]])
    assert torch.allclose(loss, expected)
    labelled = thing > 0
    assert right == (scores["object"].argmax(1) == thing)[labelled].float().mean()


def test_images_and_labels_are_bent_alike():
    data = Town(8)
    images = torch.from_numpy(np.stack([data.image(i) for i in range(8)]))
    red = (images[..., 0] > 180)[:, None].short()
    torch.manual_seed(0)
    pixels, target = training.bend(images, red, 32)
    assert pixels.shape == (8, 3, 32, 32)
    assert ((pixels[:, 0] > 165) == (target[:, 0] > 0)).float().mean() > 0.97
    assert not torch.equal(pixels, images.permute(0, 3, 1, 2).float())


def test_degraded_images_and_blocks():
    images = torch.rand(16, 3, 64, 64) * 255
    torch.manual_seed(0)
    worse = training.degrade(images)
    assert worse.shape == images.shape
    assert 0 <= worse.min() < worse.max() <= 255
    step = torch.full((16, 1, 1, 1, 1, 1), 9.0)
    coded = training.blocks(images, step)
    tile = images[3, 1, 8:16, 24:32].numpy()
    unit = 9 * (1 + np.arange(8) + np.arange(8)[:, None]).astype(np.float32)
    expected = cv2.idct(np.round(cv2.dct(tile) / unit) * unit)
    assert np.allclose(coded[3, 1, 8:16, 24:32].numpy(), expected, atol=1e-2)


def test_it_learns_to_parse_and_ships_its_labels(kinds, tmp_path):
    config, out = town_profile(), tmp_path / "trained"
    train(config, "net", Town(160), Town(40, 1000), out, CPU, parsing)
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["validation_accuracy"] == metrics["heads"]["object"]["pixel_accuracy"] > 0.8
    assert metrics["heads"]["object"]["classes"]["house"]["iou"] > 0.5
    assert set(metrics["heads"]["part"]["classes"]) == {"house/-", "house/door", "house/step"}
    assert 0 < metrics["at_half_size"]["object"]["pixel_accuracy"] < 1
    again = tmp_path / "again"
    train(config, "net", Town(160), Town(40, 1000), again, CPU, parsing)
    assert (again / "weights.safetensors").read_bytes() == (
        out / "weights.safetensors"
    ).read_bytes()

    ship(config, "net", out, tmp_path / "shipped")
    manifest = json.loads((tmp_path / "shipped" / "manifest.json").read_text())
    assert set(manifest) == {"net", "net.labels"}
    assert manifest["net"]["metrics"]["heads"] == metrics["heads"]
    shipped = [tmp_path / "shipped" / manifest[entry]["file"] for entry in ("net", "net.labels")]
    segmenter = load_segmenter(config, "seg", *shipped, CPU)

    # what metrics.json says of a class is what the labels say
    data, number = Town(40, 1000), segmenter.concepts.reset_index().set_index("name").number
    right = there = found = 0
    for index in range(40):
        if "object" in data.labels(index):
            labels = segmenter(torch.from_numpy(data.image(index)).permute(2, 0, 1)[None])
            thing, whole, _, _ = data._draw(index)[1]
            guess = labels["object"][0, 0].numpy() == number["house"]
            truth = ((thing == 3) & (whole == 0)) | ((thing == 4) & (whole == 3))
            right, there, found = (
                right + (guess & truth).sum(),
                there + truth.sum(),
                found + guess.sum(),
            )
    iou = metrics["heads"]["object"]["classes"]["house"]["iou"]
    assert right / (there + found - right) == pytest.approx(iou, abs=1e-3)


def test_heads_of_other_sizes(kinds, tmp_path):
    config = town_profile()
    config.networks["net"].arguments["parts"] = 4
    with pytest.raises(DissectionError, match=r"networks.net.arguments: .*'parts': 4.*'parts': 3"):
        train(config, "net", Town(30), Town(30), tmp_path, CPU, parsing)


def test_joined_datasets_share_their_concepts():
    one, two = Town(3), Town(4, first=50, offset=100)
    joined = join([one, two])
    assert len(joined) == 7
    assert joined.concepts.name.tolist() == list(Town.names)
    assert joined.classes == ("town-s",)
    assert join([one]) is one
    for index in range(7):
        dataset, at = (one, index) if index < 3 else (two, index - 3)
        assert np.array_equal(joined.image(index), dataset.image(at))
        assert joined.target(index) == 0
        for category, maps in dataset.labels(at).items():
            assert np.array_equal(
                joined.labels(index)[category], np.where(maps > 0, maps - dataset.offset, 0)
            )


# ---------------------------------------------------------------------------------------------- shipped weights


@pytest.fixture(scope="module")
def shipped() -> Segmenter:
    config = load("config/smoke.yaml")
    files = [config.assets[name].path for name in ("upernet_scenes", "upernet_scenes.labels")]
    return load_segmenter(config, "upernet", *files, CPU)


@pytest.mark.parametrize(
    ("size", "close", "least"), [(64, False, 0.8), (64, True, 0.85), (32, True, 0.82)]
)
def test_the_shipped_segmenter_knows_fresh_scenes(shipped, size, close, least):
    """Of the pixels, so many are given the object they show, or the one it belongs to; images of 32 pixels are
    what generators of that size are trained on."""
    domains = [d for d in CLOSE if d in world.SCENES] if close else world.SCENES
    scenes = [draw(d, 77, 5 + i, size, close=close) for d in domains for i in range(5)]
    images = torch.from_numpy(np.stack([s.rgb for s in scenes])).permute(0, 3, 1, 2)
    labels = shipped(images)
    name = np.array(["", *shipped.concepts.name])
    found = name[labels["object"][:, 0].numpy()]
    truth = np.array(world.NAMES)[np.stack([s.labels["object"] for s in scenes], 1)]
    right = (found == truth).any(0)[truth[0] != ""].mean()
    assert right > least
    present = shipped.concepts.category.loc[np.unique(torch.cat([*labels.values()], 1))[1:]]
    assert {"object", "part", "material", "color"} <= set(present)


def test_what_is_said_of_the_shipped_segmenter(shipped):
    entry = json.loads(Path("weights/smoke/manifest.json").read_text())["upernet_scenes"]
    assert entry["bytes"] <= 1.2e6
    for head in ("object", "part", "material"):
        for about in (entry["metrics"]["heads"][head], entry["metrics"]["at_half_size"][head]):
            assert 0.7 < about["pixel_accuracy"] < 1
            assert 0.3 < about["mean_iou"] < 1
        assert {"accuracy", "iou", "share"} == set(
            next(iter(entry["metrics"]["heads"][head]["classes"].values()))
        )
    assert set(entry["metrics"]["heads"]["object"]["classes"]) <= set(shipped.classes.object)
