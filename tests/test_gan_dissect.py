"""Dissection of a generator against an independent computation that looks at every pixel of everything."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from dissection import paths
from dissection.assets import write_record
from dissection.config import Dissection, load
from dissection.dissect import generator
from dissection.dissect.labels import Segmented
from dissection.dissect.page import write_pages
from dissection.dissect.protocols import ICLR2019, PNAS2020
from dissection.dissect.run import Sample, measure, write
from dissection.errors import DissectionError
from dissection.generated import generated_of
from dissection.networks import module_of, to_pixels
from dissection.stats.levels import LevelCounts, information_quality, most_informative
from planted_gan import LAYERS, SIZE, ColourSegmenter, PlantedGAN, latents
from test_dissect import matrix

CPU = torch.device("cpu")
IMAGES, SEEDS = (
    260,
    (1, 2),
)  # of the sample, and of the one on which thresholds by concept are chosen
NUMBERS = ColourSegmenter.concepts.index.to_numpy()


def sample(seed, segmenter=None, images=IMAGES):
    z = latents(seed, images)[:, :, None, None]
    return Sample(z.__getitem__, images, Segmented(segmenter or ColourSegmenter()))


def run(
    protocols=(ICLR2019, PNAS2020), batch=32, memory_gb=1.0, net=None, segmenter=None, images=IMAGES
):
    return measure(
        net or PlantedGAN(), LAYERS, sample(SEEDS[0], segmenter, images), protocols, batch=batch, top_images=4,
        memory_gb=memory_gb, device=CPU, threads=1, separate=sample(SEEDS[1], segmenter, images), progress=False,
    )  # fmt: skip


@torch.no_grad()
def seen(seed, protocol, layer):
    """(images, units, d, d) upsampled activations, exact, and (images, concepts, d, d) bool, of all images."""
    net, z = PlantedGAN(), latents(seed, IMAGES)
    x = net.layer1((z[:, :, None, None] * 4).round() / 4)
    for name in ("layer2", "layer3")[: list(LAYERS).index(layer)]:
        x = getattr(net, name)(x)
    a, h, d = x.numpy().astype(np.float64), x.shape[2], SIZE // protocol.downsample
    pixels = (np.arange(d) + 0.5) * protocol.downsample - 0.5
    weights = matrix((pixels - (SIZE / h / 2 - 0.5)) / (SIZE / h), h, protocol.padding)
    up = np.einsum("yi,nuij,xj->nuyx", weights, a, weights, optimize=True)
    maps = torch.cat(list(ColourSegmenter()(to_pixels(net(z)), 2).values()), 1).numpy()
    step = protocol.downsample // 2
    maps = maps[:, :, step // 2 :: step, step // 2 :: step]
    return up, np.stack([(maps == number).any(1) for number in NUMBERS], 1)


def counts_above(up, carries, threshold):
    """threshold: (units, concepts). Returns intersection, activation (units, concepts), label (concepts,)."""
    units, concepts = threshold.shape
    both, activation = np.zeros((units, concepts), int), np.zeros((units, concepts), int)
    for u in range(units):
        for c in range(concepts):
            mask = up[:, u] > threshold[u, c]
            both[u, c], activation[u, c] = (mask & carries[:, c]).sum(), mask.sum()
    return both, activation, carries.sum((0, 2, 3))


def levels_of(up):
    """(units, <= 100) the levels at the published shares of the activations, on a part of the images and places."""
    n, units, d, _ = up.shape
    step = int(np.ceil(np.sqrt(d * d / 256)))
    some = up[:: max(1, n // 128), :, ::step, ::step].transpose(1, 0, 2, 3).reshape(units, -1)
    found = []
    for values in np.sort(some.astype(np.float32), 1)[:, ::-1]:
        shares = (len(values) * 10 ** np.linspace(-3, 0, 100)).astype(int)
        bits = values[np.minimum(shares, len(values) - 1)].view(np.uint32) & 0xFFFF0000
        levels = (bits | 0xFFFF).view(np.float32)
        found.append(np.unique(levels[(bits < 0x80000000) & (bits > 0)]).astype(np.float64))
    return found


def quality_of(both, mask, label, total):
    """I / H of the table [[neither, only c], [only a, both]] of probabilities."""
    p = np.array([[total - mask - label + both, label - both], [mask - both, both]]) / total
    product = p.sum(1, keepdims=True) * p.sum(0, keepdims=True)
    some = p > 0
    mutual = (p[some] * np.log2(p[some] / product[some])).sum()
    joint = -(p[some] * np.log2(p[some])).sum()
    return mutual / joint if joint > 0 else 0.0


def best_thresholds(up, carries):
    """(units, concepts) threshold, infinite where there is none, and I / H there."""
    total, label = carries[:, 0].size, carries.sum((0, 2, 3))
    threshold = np.full((up.shape[1], len(label)), np.inf)
    quality = np.zeros_like(threshold)
    for u, levels in enumerate(levels_of(up)):
        for t in levels:
            mask = up[:, u] > t
            area, both = mask.sum(), carries.swapaxes(0, 1)[:, mask].sum(1)
            for c in np.flatnonzero(label >= 1e-3 * total):
                wrong = area - both[c] + label[c] - both[c]
                q = quality_of(both[c], area, label[c], total)
                if 1 - wrong / total > 0.75 and q > quality[u, c] + 1e-12:
                    threshold[u, c], quality[u, c] = t, q
    return threshold, quality


@pytest.fixture(scope="module")
def result():
    return run()


@pytest.mark.parametrize("layer", LAYERS)
def test_thresholds_by_concept_equal_brute_force(result, layer):
    found = result.layers[layer]
    threshold, quality = best_thresholds(*seen(SEEDS[1], ICLR2019, layer))
    assert np.array_equal(found.threshold["iclr2019"].numpy(), threshold.astype(np.float32))
    assert np.allclose(found.quality["iclr2019"].numpy(), quality, atol=1e-9)
    assert np.isfinite(threshold).mean() > 0.2
    assert np.isinf(threshold[:, [5, 8]]).all()  # the ghost never occurs, the speck hardly ever


@pytest.mark.parametrize("layer", LAYERS)
def test_overlaps_by_concept_equal_brute_force(result, layer):
    overlap = result.layers[layer].overlap["iclr2019"]
    threshold = result.layers[layer].threshold["iclr2019"].numpy().astype(np.float64)
    both, activation, label = counts_above(*seen(SEEDS[0], ICLR2019, layer), threshold)
    assert np.array_equal(overlap.intersection, both)
    assert np.array_equal(overlap.activation, activation)
    assert np.array_equal(overlap.label, label)
    assert np.allclose(overlap.iou(), both / np.maximum(activation + label - both, 1))
    assert both.any()


@pytest.mark.parametrize("layer", LAYERS)
def test_one_threshold_a_unit_equals_brute_force(result, layer):
    up, carries = seen(SEEDS[0], PNAS2020, layer)
    samples = np.sort(up.transpose(1, 0, 2, 3).reshape(up.shape[1], -1), 1)[:, ::-1]
    threshold = samples[:, int(0.01 * samples.shape[1])]
    found = result.layers[layer]
    assert np.array_equal(found.threshold["pnas2020"].numpy(), threshold)
    wide = np.repeat(threshold[:, None], len(NUMBERS), 1)
    both, activation, label = counts_above(up, carries, wide)
    overlap = found.overlap["pnas2020"]
    assert np.array_equal(overlap.intersection, both)
    assert np.array_equal(overlap.activation, activation)
    assert np.array_equal(overlap.label, label)


def test_units_that_make_an_object_are_found(result):
    """The red of the image is mostly the first unit of layer 2, and where it is red there is a tree."""
    iou = result.layers["layer2"].overlap["iclr2019"].iou()
    assert iou[:, 0].argmax() == 0
    assert iou[0, 0] > 0.3


@pytest.mark.parametrize(("batch", "memory_gb"), [(37, 1.0), (260, 1.0), (41, 1e-9)])
def test_does_not_depend_on_batch_or_memory(result, batch, memory_gb):
    other = run(batch=batch, memory_gb=memory_gb)
    assert other.forward_passes == 2 if memory_gb == 1 else other.forward_passes > 2
    assert np.array_equal(other.images, result.images)
    for a, b in zip(result.layers.values(), other.layers.values(), strict=True):
        assert torch.equal(a.top.images, b.top.images)
        assert torch.equal(a.maps, b.maps)
        for name in ("iclr2019", "pnas2020"):
            assert torch.equal(a.threshold[name], b.threshold[name])
            assert torch.equal(a.overlap[name].intersection, b.overlap[name].intersection)
            assert torch.equal(a.overlap[name].activation, b.overlap[name].activation)
        assert torch.equal(a.quality["iclr2019"], b.quality["iclr2019"])


def test_one_protocol_alone_gives_the_same(result):
    for p in (ICLR2019, PNAS2020):
        alone = run([p])
        for layer, x in alone.layers.items():
            assert torch.equal(x.overlap[p.name].iou(), result.layers[layer].overlap[p.name].iou())
            assert torch.equal(x.top.images, result.layers[layer].top.images)


@pytest.mark.parametrize("memory_gb", [1.0, 1e-9])
def test_every_image_is_segmented_once(memory_gb):
    class Counting(ColourSegmenter):
        images = 0

        def __call__(self, images, downsample):
            Counting.images += len(images)
            return super().__call__(images, downsample)

    run(memory_gb=memory_gb, segmenter=Counting(), images=100)
    assert Counting.images == 2 * 100


def test_images_that_carry_a_concept_are_counted(result):
    maps = torch.cat(
        list(ColourSegmenter()(to_pixels(PlantedGAN()(latents(1, IMAGES))), 2).values()), 1
    )
    carried = [(maps == number).flatten(1).any(1).sum().item() for number in NUMBERS]
    assert result.images.tolist() == carried


def test_files_name_the_best_concept_and_its_own_threshold(result, tmp_path):
    entry = Dissection(network="gan", dataset="z", protocols=["iclr2019", "pnas2020"])
    write(result, entry, Segmented(ColourSegmenter()), [ICLR2019, PNAS2020], tmp_path)
    units = pd.read_csv(tmp_path / "units.csv", keep_default_na=False)
    iou, counts = (load_file(tmp_path / f"{name}.safetensors") for name in ("iou", "counts"))
    assert len(units) == 2 * (7 + 9 + 6)
    names = list(ColourSegmenter.concepts.name)
    for row in units[units.protocol == "iclr2019"].itertuples():
        best = iou[f"{row.layer}.iclr2019"][row.unit].argmax()
        assert row.label in ("", names[best])
        assert row.threshold == pytest.approx(
            counts[f"{row.layer}.iclr2019.threshold"][row.unit, best].item(), rel=1e-5
        )
        assert float(row.iqr) == pytest.approx(
            counts[f"{row.layer}.iclr2019.iqr"][row.unit, best].item(), rel=1e-5
        )
    assert (units[units.protocol == "pnas2020"].iqr == "").all()


def test_a_label_outside_the_concepts_is_refused():
    class Wrong(ColourSegmenter):
        def __call__(self, images, downsample):
            return {"object": torch.full((len(images), 1, SIZE // 2, SIZE // 2), 12)}

    with pytest.raises(
        DissectionError, match="segmenter: 'object' has label 12; its concepts end at 11"
    ):
        run(segmenter=Wrong(), images=10)


def test_thresholds_by_concept_need_images_of_their_own():
    with pytest.raises(
        DissectionError, match="iclr2019: chooses thresholds on images of their own"
    ):
        measure(PlantedGAN(), LAYERS, sample(1), [ICLR2019], batch=10, top_images=1, memory_gb=1,
                device=CPU, threads=1, progress=False)  # fmt: skip


def profile(folder, generated=None, **changes):
    """A generator and a unified parser, both random, and their files."""
    labels = {"object": ["-", "tree", "sky"], "part": ["-", "leaf"], "material": ["-", "wood"],
              "scene": ["park"], "object_part": {"tree": ["-", "leaf"]}}  # fmt: skip
    (folder / "labels.json").write_text(json.dumps(labels))
    write_record(paths.asset_record("toy", "labels"), "labels", folder / "labels.json")
    parser = {"objects": 3, "parts": 2, "materials": 2, "scenes": 1, "stem": [8, 8, 8], "pool": False,
              "widths": [4, 4, 4, 4], "blocks": [1, 1, 1, 1], "pooled": 4, "pyramid": 8}  # fmt: skip
    entry = {
        "network": "gan",
        "dataset": "z",
        "protocols": ["iclr2019", "pnas2020"],
        "top_images": 3,
    }
    return {
        "profile": "toy",
        "assets": {"labels": {"path": str(folder / "labels.json")}},
        "networks": {
            "gan": {"module": "dissection.networks.progan:ProGAN", "latent": {"size": 8},
                    "arguments": {"latent": 8, "widths": [6, 5, 4, 4]},
                    "layers": {"layer4": "layer4", "layer7": "layer7"}},
            "upernet": {"module": "dissection.segment.upernet:upernet", "arguments": parser,
                        "input": {"size": 64}, "layers": {"layer4": "encoder.layer4"}},
        },
        "segmenters": {"parser": {"network": "upernet", "labels": "labels"}},
        "generated": {"z": {"segmenter": "parser", "images": 40, "seed": 1} | (generated or {})},
        "dissections": [entry | changes],
    }  # fmt: skip


def written(folder, content):
    (folder / "toy.yaml").write_text(yaml.safe_dump(content))
    return folder / "toy.yaml"


def test_from_a_profile_to_pages(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("config").symlink_to(Path(__file__).parent.parent / "config")
    config, out = load(written(tmp_path, profile(tmp_path))), Path("out")
    entry = config.dissections[0]
    generator.dissect(config, entry, out, CPU, 1)
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["images"], summary["layers"]["layer7"]) == (
        40,
        {"units": 4, "height": 32, "width": 32},
    )
    images = generated_of(config, entry, CPU)
    z = torch.from_numpy(np.random.RandomState(1).standard_normal((40, 8))).float()
    drawn = to_pixels(module_of(config, "gan", CPU)(z[3:4, :, None, None]))
    assert np.array_equal(images.image(3), drawn[0].permute(1, 2, 0))
    write_pages(config, entry, images, out, out / "pages", threads=2)
    for protocol in ("iclr2019", "pnas2020"):
        assert len(list((out / "pages/layer4" / protocol).glob("*.jpg"))) == 5
    assert "iclr2019" in (out / "pages/layer4.html").read_text()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"protocols": ["cvpr2017"]},
            "dissections.0.protocols: cvpr2017 is for networks of images",
        ),
        ({"dataset": "zz"}, "dissections.0.dataset: found 'zz', did you mean z?"),
        (
            {"generated": {"segmenter": "upernet"}},
            "generated.z.segmenter: found 'upernet', choices: parser",
        ),
    ],
)
def test_wrong_profiles_are_refused(changes, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("config").symlink_to(Path(__file__).parent.parent / "config")
    with pytest.raises(DissectionError, match=re.escape(message)):
        load(written(tmp_path, profile(tmp_path, **changes)))


class Whole:
    """An upsampling that leaves maps as they are."""

    def dense(self, activations):
        return activations.contiguous()


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_level_counts_of_parts_are_those_of_the_whole(data):
    seed, images = data.draw(st.integers(0, 99)), data.draw(st.integers(2, 9))
    cut = data.draw(st.integers(1, images - 1))
    rng = torch.Generator().manual_seed(seed)
    a = torch.randn(images, 3, 4, 5, generator=rng)
    maps = torch.randint(0, 4, (images, 2, 12), generator=rng) + torch.tensor([[0], [4]])
    maps = torch.where(maps % 4 == 0, 0, maps)
    bits = (torch.rand(5, 6, generator=rng).view(torch.int32) | 0xFFFF).view(torch.float32)
    levels = bits.sort(1).values

    def count(chosen):
        counts = LevelCounts(levels)
        counts.add(a[chosen], Whole(), maps[chosen])
        return counts

    whole, first, second = count(slice(None)), count(slice(cut)), count(slice(cut, None))
    second.merge(first)
    values = a.flatten(1, 2)[:, :, :, None] > levels  # (images, pixels, units, levels)
    assert torch.equal(whole.above()[..., 0], values.sum((0, 1)))
    for counts in (whole, second):
        for column, number in enumerate(counts.concepts.tolist(), start=1):
            carries = (maps == number).any(1)[:, :, None, None]
            assert torch.equal(counts.above()[..., column], (values & carries).sum((0, 1)))
            assert counts.pixels()[column] == carries.sum()
    a, b = (most_informative(x, 0.5, 0.01) for x in (whole, second))
    assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_level_counts_are_the_same_after_a_file(tmp_path):
    counts = LevelCounts(
        torch.tensor([[0.5, 1.5]]).view(torch.int32).bitwise_or(0xFFFF).view(torch.float32)
    )
    counts.add(torch.rand(2, 2, 2, 1) * 2, Whole(), torch.tensor([[[0, 3, 3, 1]], [[1, 1, 0, 0]]]))
    counts.save(tmp_path / "counts")
    loaded = LevelCounts.load(tmp_path / "counts")
    assert torch.equal(loaded.above(), counts.above())
    loaded.merge(counts)
    assert torch.equal(loaded.above(), 2 * counts.above())


@given(st.lists(st.integers(0, 50), min_size=4, max_size=4).filter(any))
@settings(deadline=None)
def test_information_quality_is_mutual_information_over_joint_entropy(table):
    _, second, first, both = table
    found = information_quality(
        *(torch.tensor(n).double() for n in (both, first + both, second + both, sum(table)))
    )
    assert found.item() == pytest.approx(
        quality_of(both, first + both, second + both, sum(table)), abs=1e-9
    )
