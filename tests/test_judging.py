"""What edits are judged by: LPIPS by hand, published layouts, judges that learn, pixels and watermarks counted."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.functional import interpolate

from dissection import config as model
from dissection.errors import DissectionError
from dissection.networks import Preprocess, load_network, load_state
from dissection.networks.slim import slim_cnn
from dissection.networks.vgg import vgg16
from dissection.rewrite.counts import converted, validate, watermarks
from dissection.rewrite.perceptual import (
    LPIPS,
    Heads,
    Pyramid,
    load_lpips,
    load_pyramid,
    outside,
    pixel_change,
)
from dissection.segment.bisenet import bisenet
from dissection.segment.judges import Attributes, Finder, load_finder, moved

INPUT = model.Input(size=8, mean=[120, 110, 100], std=[60, 50, 40])


def pictures(n: int, size: int, seed: int = 0) -> torch.Tensor:
    numbers = np.random.default_rng(seed).integers(0, 256, (n, 3, size, size), dtype=np.uint8)
    return torch.from_numpy(numbers)


@pytest.fixture
def pyramid() -> Pyramid:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 5, 1), nn.ReLU()
    )
    return Pyramid(network, ["1", "4"], Preprocess(INPUT))


# ------------------------------------------------------------------------------------------------ LPIPS


def test_lpips_is_the_weighted_distance_of_normalised_units(pyramid):
    before, after = pictures(2, 8), pictures(2, 8, 1)
    weights = [torch.rand(4), torch.rand(5)]
    lpips = LPIPS("mini", pyramid, weights)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (INPUT.mean, INPUT.std))
    network, expected, maps = pyramid.network, np.zeros(2), torch.zeros(2, 8, 8)
    with torch.no_grad():
        for layers, weight in zip((network[:2], network), weights, strict=True):
            u, v = (layers((images - mean) / std) for images in (before.float(), after.float()))
            n, units, h, w = u.shape
            part = torch.zeros(n, h, w)
            for i, y, x in np.ndindex(n, h, w):
                a, b = (f[i, :, y, x] / (f[i, :, y, x].norm() + 1e-10) for f in (u, v))
                part[i, y, x] = sum(weight[k] * (a[k] - b[k]) ** 2 for k in range(units))
            expected += part.mean((1, 2)).numpy()
            maps += interpolate(part[:, None], (8, 8), mode="bilinear", align_corners=False)[:, 0]
    np.testing.assert_allclose(lpips(before, after).numpy(), expected, rtol=1e-5)
    torch.testing.assert_close(lpips.spatial(before, after), maps)
    assert not lpips(before, before).any()


def test_images_are_scaled_to_the_size_asked_for(pyramid):
    pyramid.size = 16
    assert [f.shape[2] for f in pyramid(pictures(1, 8))] == [16, 8]
    with pytest.raises(DissectionError, match=r"LPIPS: expected two .* uint8, found"):
        LPIPS("mini", pyramid)(pictures(1, 8), pictures(1, 8).float())


def test_undesired_changes_are_those_outside_the_source():
    before, after = pictures(2, 8), pictures(2, 8, 1)
    source = torch.zeros(2, 8, 8, dtype=torch.bool)
    source[0, :3] = True
    change = pixel_change(before, after)
    sums, pixels = outside(change, source)
    a, b = (x[0, :, 3:].numpy().astype(float) / 127.5 - 1 for x in (before, after))
    assert sums[0].item() == pytest.approx(np.abs(a - b).sum(), rel=1e-5)
    assert pixels.tolist() == [40, 64]


def test_the_profile_says_what_lpips_is_made_of(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    heads = {f"lin{i}.model.1.weight": torch.rand(1, units, 1, 1) for i, units in enumerate((4, 6))}
    save_file(heads, tmp_path / "heads.safetensors")
    record = tmp_path / "results" / "mini" / "assets" / "heads.json"
    record.parent.mkdir(parents=True)
    record.write_text(json.dumps({"asset": "heads", "path": str(tmp_path / "heads.safetensors")}))
    network = model.Network(
        module="dissection.networks.vgg:vgg16", input=INPUT, layers={"a": "features.relu1_2", "b": "features.relu2_2"},
        arguments={"classes": 2, "size": 32, "widths": [4, 6, 2, 2, 2], "hidden": 2},
    )  # fmt: skip
    judge = model.Perceptual(name="mini", network="vgg", layers=["a", "b"], heads="heads", size=32)
    judging = model.Judging(perceptual=judge)
    config = model.Config(profile="mini", networks={"vgg": network}, judging=judging)
    lpips = load_lpips(config, torch.device("cpu"))
    pyramid = load_pyramid(config, judge, torch.device("cpu"))
    weights = [weight.flatten() for weight in heads.values()]
    before, after = pictures(2, 16), pictures(2, 16, 1)
    expected = LPIPS("mini", pyramid, weights)(before, after)
    torch.testing.assert_close(lpips(before, after), expected)
    with pytest.raises(DissectionError, match=r"judging.mouth: missing"):
        load_finder(config, "mouth", torch.device("cpu"))


# ------------------------------------------------------------------------------------------------ layouts


def published(network: nn.Module, rename) -> dict[str, torch.Tensor]:
    return {rename(key): torch.rand_like(t) if t.is_floating_point() else t
            for key, t in network.state_dict().items()}  # fmt: skip


def test_heads_load_by_the_published_keys_and_list_what_is_missing(tmp_path):
    heads = Heads([64, 128, 256, 512, 512])
    state = {f"lin{i}.model.1.weight": torch.rand(1, c, 1, 1)
             for i, c in enumerate((64, 128, 256, 512, 512))}  # fmt: skip
    load_state(heads, state, tmp_path / "vgg.pth")
    assert [len(w.flatten()) for w in heads.parameters()] == [64, 128, 256, 512, 512]
    alex = {k: v for k, v in state.items() if k != "lin4.model.1.weight"}
    with pytest.raises(
        DissectionError, match=r"vgg.pth: keys .* 1 missing \(lin4.model.1.weight\)"
    ):
        load_state(heads, alex, tmp_path / "vgg.pth")


TORCHVISION = {
    "features.0": (64, 3, 11), "features.3": (192, 64, 5), "features.6": (384, 192, 3), "features.8": (256, 384, 3),
    "features.10": (256, 256, 3),
}  # fmt: skip


def test_torchvision_alexnet_loads_and_has_the_layers_of_lpips(tmp_path):
    state = {f"{k}.weight": torch.randn(o, i, s, s) * 0.01 for k, (o, i, s) in TORCHVISION.items()}
    state |= {f"{k}.bias": torch.zeros(o) for k, (o, _, _) in TORCHVISION.items()}
    for key, shape in {"1": (8, 9216), "4": (8, 8), "6": (10, 8)}.items():
        state |= {
            f"classifier.{key}.weight": torch.zeros(shape),
            f"classifier.{key}.bias": torch.zeros(shape[0]),
        }
    save_file(state, tmp_path / "alexnet.safetensors")
    spec = model.Network(
        module="dissection.networks.alexnet:alexnet", input=INPUT, layers={"conv1": "relu1"},
        arguments={"classes": 10, "size": 224, "widths": [64, 192, 384, 256, 256], "hidden": 8, "padding": 2,
                   "groups": [1] * 5, "lrn": False},
    )  # fmt: skip
    network = load_network(spec, tmp_path / "alexnet.safetensors", 1)
    torch.testing.assert_close(network.conv3.weight, state["features.6.weight"])
    layers = [f"relu{i}" for i in range(1, 6)]
    found = Pyramid(network, layers, Preprocess(INPUT))(pictures(1, 64))
    assert [f.shape[1] for f in found] == [64, 192, 384, 256, 256]


def test_vgg19_has_the_places_of_torchvision():
    network = vgg16(10, 32, (1, 1, 1, 1, 1), hidden=2, depths=(2, 2, 4, 4, 4))
    assert network.own_key("features.34.weight") == "features.conv5_4.weight"
    assert network.own_key("features.28.bias") == "features.conv5_1.bias"


def test_slim_cnn_is_as_published(tmp_path):
    network = slim_cnn()
    shapes = {key: tuple(t.shape) for key, t in network.state_dict().items()}
    assert shapes["conv1.0.weight"] == (96, 3, 7, 7)
    assert shapes["slim1.skip_projection.0.weight"] == (128, 96, 1, 1)
    assert shapes["slim2.sse1.squeeze.0.bias"] == (32,)
    assert shapes["slim3.sse2.expand3_dw.0.weight"] == (48, 1, 3, 3)
    assert shapes["slim4.expand3_dw.3.weight"] == (192, 512, 1, 1)
    assert shapes["fc.weight"] == (40, 192)
    assert "conv1.0.bias" in shapes
    assert "slim1.expand3_dw.0.bias" not in shapes
    # as the authors save it
    state = published(network, str)
    torch.save({"hyper_params": {"num_classes": 40}, "model_state_dict": state}, tmp_path / "c.pth")
    spec = model.Network(
        module="dissection.networks.slim:slim_cnn", input=INPUT, layers={"fc": "fc"}
    )
    loaded = load_network(spec, tmp_path / "c.pth", 1)
    torch.testing.assert_close(loaded.slim4.sse2.expand1[0].weight, state["slim4.sse2.expand1.0.weight"])  # fmt: skip
    smiles = Attributes(loaded, Preprocess(INPUT), 31, (178, 218))
    assert smiles(pictures(2, 64)).shape == (2,)


def test_bisenet_is_as_published(tmp_path):
    network = bisenet()
    shapes = {key: tuple(t.shape) for key, t in network.state_dict().items()}
    assert shapes["cp.resnet.conv1.weight"] == (64, 3, 7, 7)
    assert shapes["cp.resnet.layer2.0.downsample.0.weight"] == (128, 64, 1, 1)
    assert shapes["cp.arm32.conv.conv.weight"] == (128, 512, 3, 3)
    assert shapes["cp.arm16.bn_atten.running_var"] == (128,)
    assert shapes["cp.conv_avg.conv.weight"] == (128, 512, 1, 1)
    assert shapes["ffm.convblk.conv.weight"] == (256, 256, 1, 1)
    assert shapes["ffm.conv1.weight"] == (64, 256, 1, 1)
    assert shapes["conv_out.conv_out.weight"] == (19, 256, 1, 1)
    state = published(network, str) | {"conv_out16.conv_out.weight": torch.zeros(19, 64, 1, 1)}
    save_file(state, tmp_path / "face.safetensors")
    spec = model.Network(
        module="dissection.segment.bisenet:bisenet", input=INPUT, layers={"ffm": "ffm"}
    )
    load_network(spec, tmp_path / "face.safetensors", 1)
    with torch.no_grad():
        assert network.eval()(torch.zeros(1, 3, 64, 96)).shape == (1, 19, 64, 96)


# ------------------------------------------------------------------------------------------------ judges


class Bright(nn.Module):
    """Class 1 where red is above 0, an attribute where the mean of red is."""

    def __init__(self) -> None:
        super().__init__()
        self.any = nn.Parameter(torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack([torch.zeros_like(x[:, 0]), x[:, 0]], 1)


def test_a_finder_says_where_and_attributes_say_whether():
    images = torch.zeros(3, 3, 4, 4, dtype=torch.uint8)
    images[1, 0, :2] = images[2, 0] = 255
    finder = Finder(Bright(), Preprocess(model.Input(size=8, mean=[120] * 3, std=[60] * 3)), [1])
    assert torch.equal(finder(images), images[:, 0] > 120)
    mean = nn.Sequential(Bright(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    told_of = Attributes(mean, Preprocess(INPUT), 1)
    assert told_of(images).tolist() == [False, True, True]
    assert Attributes(mean, Preprocess(INPUT), 0)(images).tolist() == [False] * 3


def test_images_and_where_they_show_something_are_moved_together():
    torch.manual_seed(0)
    images = pictures(20, 8).permute(0, 2, 3, 1).contiguous()
    pixels, target = moved(images, images[..., 0].long())
    assert torch.equal(pixels[:, 0].long(), target)
    still = (pixels == images.permute(0, 3, 1, 2)).flatten(1).all(1)
    assert 0 <= int(still.sum()) < 5


def _profile(
    tmp_path: Path, target: str, concept: str, module: str, arguments: dict
) -> model.Config:
    scenes = {"format": "places" if target == "attributes" else "broden", "size": 32}
    domains = ["face"] if target == "attributes" else ["church-outdoor"]
    extra = {"attributes": [concept]} if target == "attributes" else {}
    assets = {
        name: model.Asset(
            scenes=model.Scenes(**scenes, **extra, domains=domains, images=60, first=first)
        )
        for name, first in (("some", 0), ("others", 60))
    }
    recipe = {
        "target": target, "concepts": [concept], "dataset": "some", "validation": "others", "epochs": 1,
        "batch": 16, "learning_rate": 0.003,
    }  # fmt: skip
    network = model.Network(
        module=module, arguments=arguments, layers={"last": "0"},
        input=model.Input(size=32, mean=[128] * 3, std=[64] * 3), recipe=model.Recipe(**recipe),
    )  # fmt: skip
    reader = "places" if target == "attributes" else "broden"
    split = {"split": "val"} if target == "attributes" else {}
    sets = {name: model.Dataset(reader=reader, asset=name, **split) for name in assets}
    return model.Config(profile="judges", assets=assets, datasets=sets, networks={"judge": network})


@pytest.mark.parametrize(
    ("target", "concept", "module", "arguments"),
    [
        ("attributes", "smile", "dissection.networks.slim:slim_cnn",
         {"attributes": 1, "stem": [8, 3, 1], "widths": [4, 6]}),
        ("finding", "building", "dissection.segment.bisenet:bisenet",
         {"classes": 2, "widths": [4, 6, 8, 8], "stem": [3, 1], "pool": False, "context": 8, "fused": 8}),
    ],
)  # fmt: skip
def test_judges_learn_what_the_recipe_names(tmp_path, target, concept, module, arguments):
    from dissection.data import open_dataset
    from dissection.data.scenes import write_scenes
    from dissection.networks.train import train
    from dissection.segment import judges

    config = _profile(tmp_path, target, concept, module, arguments)
    sets = []
    for name, asset in config.assets.items():
        assert asset.scenes is not None
        write_scenes(asset.scenes, 1, tmp_path / name, 1)
        sets.append(open_dataset(config.datasets[name], tmp_path / name))
    learn = getattr(judges, target)
    train(config, "judge", *sets, tmp_path / "out", torch.device("cpu"), learn)
    assert (tmp_path / "out" / "weights.safetensors").stat().st_size > 0
    recipe = config.networks["judge"].recipe.model_copy(update={"concepts": [concept, "sky"]})
    network = config.networks["judge"].model_copy(update={"recipe": recipe})
    config = config.model_copy(update={"networks": {"judge": network}})
    with pytest.raises(
        DissectionError, match=r"networks.judge.arguments: the network has \d outputs"
    ):
        train(config, "judge", *sets, tmp_path / "out", torch.device("cpu"), learn)


# ------------------------------------------------------------------------------------------------ counts


def test_converted_pixels_were_of_the_source_and_are_of_the_target():
    before = torch.tensor([[[[1, 1, 2]], [[0, 3, 3]]]])  # two maps of one row
    after = torch.tensor([[[[5, 1, 5]], [[4, 5, 0]]]])
    assert converted(before, after, [1], [5]).tolist() == [[2, 2]]
    assert converted(before, after, [3], [4]).tolist() == [[2, 0]]
    assert converted(before, after, [2, 3], [5]).tolist() == [[2, 2]]
    assert converted(before, after, [7], [5]).tolist() == [[0, 0]]


def test_watermarks_are_counted_in_the_middle_and_at_the_bottom():
    text = torch.zeros(4, 20, 20, dtype=torch.bool)
    text[0, 10, 3:17] = True
    text[1, 16:] = True
    text[2, 15, 5] = True  # one of 320 pixels is too little
    text[3, 5, :9] = text[3, 19, :2] = True
    assert watermarks(text).tolist() == [[True, False], [False, True], [False, False], [True, True]]


def test_watermarks_found_are_compared_with_true_masks():
    true = torch.zeros(3, 20, 20, dtype=torch.bool)
    true[:2, 10, 3:17] = True
    found = torch.zeros(3, 20, 20, dtype=torch.bool)
    found[0, 8, 3:17] = found[2, 9, 5:9] = True
    table = validate(found, true).set_index("part")
    assert table.loc["middle"].tolist() == [3, 2, 0.5, 0.5]
    assert table.loc["bottom", ["images", "watermarks"]].tolist() == [3, 0]
    assert table.loc["bottom", ["recall", "precision"]].isna().all()
