"""Dissection against an independent computation that looks at every pixel of everything, to the last count."""

import filecmp

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from dissection.config import Dissection
from dissection.data import Dataset
from dissection.dissect.labels import Labels
from dissection.dissect.protocols import CVPR2017, PNAS2020
from dissection.dissect.run import Sample, measure, write
from dissection.errors import DissectionError

SIZE = 32
PROTOCOLS = {p.name: p for p in (CVPR2017, PNAS2020)}  # of classifiers


class Toy(Dataset):
    """Random images and labels with everything that Broden has: several maps of one category, concepts that occur
    in two categories, whole-image labels, images without a category, unlabelled pixels."""

    concepts = pd.DataFrame(
        {
            "name": ["tree", "sky", "car", "wheel", "leaf", "park-s", "beach-s", "red-c", "blue-c"],
            "category": ["object"] * 3 + ["part"] * 2 + ["scene"] * 2 + ["color"] * 2,
        },
        index=pd.Index([1, 2, 3, 5, 6, 8, 9, 11, 12], name="number"),
    )

    def __init__(self, images=60, seed=0):
        self.rng = np.random.default_rng(seed)
        self.images = [self.rng.integers(0, 256, (4, 4, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
                       for _ in range(images)]  # fmt: skip
        self.annotated = [self._draw(i) for i in range(images)]

    def _draw(self, i):
        half = SIZE // 2
        labels = {"color": self.rng.choice([0, 11, 12], (1, half, half))}
        if i % 3:
            labels["object"] = self.rng.choice([0, 1, 2, 3], (1, 8, 8)).repeat(2, 1).repeat(2, 2)
        if i % 4 == 0:
            # a tree (an object) may be annotated as a part, also where no object is annotated
            labels["part"] = self.rng.choice([0, 1, 5, 6], (2, 4, 4)).repeat(4, 1).repeat(4, 2)
        if i % 2:
            labels["scene"] = np.array([8 + i % 4 // 2]).reshape(1, 1, 1)
        if i % 7 == 0:
            labels["object"] = np.array([2]).reshape(1, 1, 1)  # the sky, everywhere
        return {c: m.astype(np.int32) for c, m in labels.items()}

    def __len__(self):
        return len(self.images)

    def key(self, index):
        return f"image {index}"

    def image(self, index):
        return self.images[index]

    def labels(self, index):
        return self.annotated[index]


def resample(maps, downsample):
    """From 16 x 16 to 16 x 16 or 8 x 8."""
    return maps[:, ::1, ::1] if downsample == 2 else maps[:, 1::2, 1::2]


def network(dead=True):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 5, stride=2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2),
                        nn.Conv2d(8, 6, 3, padding=1), nn.LeakyReLU(0.5, inplace=True))  # fmt: skip
    if dead:
        net[0].weight.data[3] = 0  # always off
        net[0].bias.data[3] = -1
        net[0].bias.data[4] = -0.3  # mostly off
    return net.eval()


LAYERS = {"early": "1", "late": "4"}
CENTRES = {"early": (2, 2), "late": (4, 4)}  # offset and stride: 5x5 stride 2, then pool 3 stride 2


def image_of(dataset):
    return lambda i: torch.from_numpy(dataset.image(i)).permute(2, 0, 1) / 255 - 0.5


def run(dataset, protocols=(CVPR2017, PNAS2020), batch=7, memory_gb=1.0, top_images=3, net=None):
    sample = Sample(image_of(dataset), len(dataset), Labels(dataset, resample))
    return measure(
        net or network(), LAYERS, sample, protocols, batch=batch, top_images=top_images, memory_gb=memory_gb,
        device=torch.device("cpu"), threads=1, progress=False,
    )  # fmt: skip


def matrix(positions, length, padding):
    """(len(positions), length) float64 weights of linear interpolation at fractional positions."""
    weights = np.zeros((len(positions), length))
    for row, x in zip(weights, positions, strict=True):
        if padding == "edge":
            x = min(max(x, 0), length - 1)
        low = int(np.floor(x))
        for i, w in ((low, 1 - (x - low)), (low + 1, x - low)):
            if 0 <= i < length:
                row[i] += w
    return weights


def brute_force(dataset, protocol, layer):
    """Thresholds (units,), and intersection, activation (units, concepts), label (concepts,)."""
    with torch.no_grad():
        x = torch.stack([image_of(dataset)(i) for i in range(len(dataset))])
        a = network()[: int(LAYERS[layer]) + 1](x).numpy().astype(np.float64)
    n, units, h, _ = a.shape
    d = SIZE // protocol.downsample
    pixels = (np.arange(d) + 0.5) * protocol.downsample - 0.5
    offset, stride = CENTRES[layer] if protocol.anchored else (SIZE / h / 2 - 0.5, SIZE / h)
    weights = matrix((pixels - offset) / stride, h, protocol.padding)
    s = np.einsum("yi,nuij,xj->nuyx", weights, a, weights)
    samples = (a if protocol.samples == "raw" else s).transpose(1, 0, 2, 3).reshape(units, -1)
    count = int(np.floor(protocol.fraction * samples.shape[1]))
    threshold = np.sort(samples, 1)[:, ::-1][:, count]
    concepts = dataset.concepts
    intersection = np.zeros((units, len(concepts)), int)
    activation, label = np.zeros_like(intersection), np.zeros(len(concepts), int)
    for i in range(n):
        mask = s[i] > threshold[:, None, None] + 1e-7
        for c, (number, category) in enumerate(concepts.category.items()):
            if protocol.within_category and category not in dataset.labels(i):
                continue
            carries = np.zeros((d, d), bool)
            for maps in dataset.labels(i).values():
                carries |= (np.broadcast_to(resample(maps, protocol.downsample) if maps.shape[1] > 1 else maps,
                                            (len(maps), d, d)) == number).any(0)  # fmt: skip
            intersection[:, c] += (mask & carries).sum((1, 2))
            activation[:, c] += mask.sum((1, 2))
            label[c] += carries.sum()
    return threshold, intersection, activation, label


@pytest.mark.parametrize("name", PROTOCOLS)
@pytest.mark.parametrize("layer", LAYERS)
def test_equals_brute_force(name, layer):
    dataset = Toy()
    found = run(dataset, [PROTOCOLS[name]]).layers[layer]
    threshold, intersection, activation, label = brute_force(dataset, PROTOCOLS[name], layer)
    assert np.allclose(found.threshold[name], threshold, atol=1e-6)
    overlap = found.overlap[name]
    assert np.array_equal(overlap.intersection, intersection)
    assert np.array_equal(overlap.activation, activation)
    assert np.array_equal(overlap.label, label)
    union = activation + label - intersection
    assert np.allclose(overlap.iou(), intersection / np.maximum(union, 1))
    assert intersection.any()


def same(a, b):
    for layer in LAYERS:
        x, y = a.layers[layer], b.layers[layer]
        assert torch.equal(x.top.images, y.top.images)
        assert torch.equal(x.top.peaks, y.top.peaks)
        assert torch.equal(x.maps, y.maps)
        for name in x.threshold:
            assert torch.equal(x.threshold[name], y.threshold[name])
            assert torch.equal(x.overlap[name].intersection, y.overlap[name].intersection)
            assert torch.equal(x.overlap[name].activation, y.overlap[name].activation)


@pytest.mark.parametrize(("batch", "memory_gb"), [(1, 1.0), (60, 1.0), (7, 1e-9), (13, 1e-9)])
def test_does_not_depend_on_batch_or_memory(batch, memory_gb):
    dataset = Toy()
    result = run(dataset, batch=batch, memory_gb=memory_gb)
    same(result, run(dataset))
    assert result.forward_passes == 1 if memory_gb == 1 else 3 <= result.forward_passes <= 5


def test_one_pass_over_the_network_where_activations_fit():
    calls = []
    net = network()
    net[0].register_forward_hook(lambda *_: calls.append(1))
    run(Toy(20), batch=10, net=net)
    assert (
        len(calls) == 2 + 2
    )  # two batches, and two looks at the first image for shapes and centres


def test_top_images_are_the_highest_peaks():
    dataset = Toy()
    result = run(dataset, top_images=5)
    with torch.no_grad():
        x = torch.stack([image_of(dataset)(i) for i in range(len(dataset))])
        a = network()[:2](x)
    peaks = a.amax((2, 3))
    for unit in range(8):
        order = sorted(range(60), key=lambda i: (-peaks[i, unit].item(), i))[:5]
        assert result.layers["early"].top.images[unit].tolist() == order
        assert torch.equal(result.layers["early"].maps[unit], a[order, unit])


def test_nan_names_layer_unit_and_image():
    net = network()
    net[3].bias.data[2] = float("nan")
    with pytest.raises(DissectionError, match=r"layer 'late': unit 2 is not finite on image 0"):
        run(Toy(4), net=net)


def test_a_label_outside_the_concepts_names_the_image():
    dataset = Toy(4)
    dataset.annotated[2]["color"][0, 3, 3] = 13
    with pytest.raises(DissectionError, match="image 2: 'color' has label 13"):
        run(dataset)


def test_files_are_complete_and_the_same_each_time(tmp_path):
    dataset = Toy()
    entry = Dissection(network="toy", dataset="toy", protocols=list(PROTOCOLS))
    protocols = list(PROTOCOLS.values())
    labels = Labels(dataset, resample)
    for folder in ("a", "b"):
        write(run(dataset), entry, labels, protocols, tmp_path / folder)
    files = sorted(p.name for p in (tmp_path / "a").iterdir())
    assert files == [
        "concepts.csv",
        "counts.safetensors",
        "iou.safetensors",
        "top.safetensors",
        "units.csv",
    ]
    assert filecmp.cmpfiles(tmp_path / "a", tmp_path / "b", files, shallow=False)[0] == files
    units = pd.read_csv(tmp_path / "a/units.csv", keep_default_na=False)
    iou = load_file(tmp_path / "a/iou.safetensors")
    assert len(units) == 2 * (8 + 6)
    concepts = pd.read_csv(tmp_path / "a/concepts.csv", index_col="number")
    assert concepts.images[1] == sum(
        any((m == 1).any() for m in dataset.labels(i).values()) for i in range(len(dataset))
    )
    for row in units.itertuples():
        scores = iou[f"{row.layer}.{row.protocol}"][row.unit].numpy()
        assert scores.max() == pytest.approx(row.iou, rel=1e-5)
        if row.iou > 0:
            assert concepts.name.iloc[scores.argmax()] == row.label
            assert concepts.category.iloc[scores.argmax()] == row.category
        colours = scores[(concepts.category == "color").to_numpy()]
        assert colours.max() == pytest.approx(row.color_iou, rel=1e-5)
    assert (units[units.layer.eq("early") & units.unit.eq(3)].label == "").all()  # the dead unit
