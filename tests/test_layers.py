"""Layers of the full profile: named as in the thesis and the authors' code, and where they say, at real size."""

import re
from pathlib import Path

import pytest
import torch
from torch import nn

from conftest import REPOSITORY
from dissection.assets import load_registry
from dissection.config import load
from dissection.networks import _function, check_layers, load_network
from dissection.networks.cost import cost
from dissection.networks.resnet import ResNet

CONFIG = load(REPOSITORY / "config/full.yaml")
ALEXNET = {
    "conv1": (96, 55), "conv2": (256, 27), "conv3": (384, 13), "conv4": (384, 13), "conv5": (256, 13)
}  # fmt: skip
VGG = {
    f"conv{group}_{i}": (units, side)
    for group, (depth, units, side) in enumerate(
        [(2, 64, 224), (2, 128, 112), (3, 256, 56), (3, 512, 28), (3, 512, 14)], start=1
    )
    for i in range(1, depth + 1)
}
GOOGLENET = {
    "conv2-norm2": (192, 56), "inception_3b-output": (480, 28), "inception_4e-output": (832, 14),
    "inception_5b-output": (1024, 7),
}  # fmt: skip
RESNET152 = {
    "BN_1": (64, 112), "Eltwise_34": (256, 56), "Eltwise_116": (512, 28), "Eltwise_238": (1024, 14),
    "Eltwise_358": (1024, 14), "Eltwise_478": (1024, 14), "Eltwise_510": (2048, 7),
}  # fmt: skip
RESNET50 = {"res3d": (512, 28), "res4f": (1024, 14), "res5c": (2048, 7)}


def generator(widths: list[int]) -> dict[str, tuple[int, int]]:
    """Two layers for each of 4, 8, 16 ... pixels."""
    return {f"layer{n + 1}": (widths[n // 2], 4 * 2 ** (n // 2)) for n in range(2 * len(widths))}


PROGAN = generator([512, 512, 512, 256, 128, 64, 32])
STYLEGAN2 = generator(
    [512, 512, 512, 512, 512, 256, 128, 64, 32]
)  # the first of which is the constant
PUBLISHED = {  # networks -> layer -> units and side of their maps, all of them or those that are dissected
    "alexnet_(places205|places365|imagenet)": ALEXNET,
    "alexnet_(random|hybrid|baseline|repeat.|nodropout|batchnorm|context|puzzle|egomotion|tracking)": {
        "conv5": (256, 13)
    },
    "alexnet_(moving|videoorder|audio|crosschannel|colorization|objectcentric)": {"conv5": (256, 13)},
    "alexnet_iter\\d+": {name: ALEXNET[name] for name in ("conv3", "conv4", "conv5")},
    "alexnet_wide": {"conv5": (768, 13)},
    "alexnet_wider": {"conv5": (1024, 13)},
    "vgg16_places365": VGG,
    "vgg16_(places205|places365_caffe|imagenet|hybrid)": {n: VGG[n] for n in ("conv3_3", "conv4_3", "conv5_3")},
    "googlenet_.*": GOOGLENET,
    "resnet152_.*": RESNET152,
    "resnet50_imagenet": RESNET50,
    "progan_(bedroom|church|conferenceroom|diningroom|kitchen|livingroom|restaurant)": PROGAN,
    "(progan_bedroom_(base|stddev|pixelnorm)|wgangp_bedroom)": generator([512, 512, 256, 128, 64, 32]),
    "stylegan_bedroom": generator([512] * 4),
    "stylegan2_(church|horse|kitchen)": dict(list(STYLEGAN2.items())[1:14]),
    "stylegan2_faces": dict(list(STYLEGAN2.items())[1:]),
}  # fmt: skip


def on_meta(name: str) -> nn.Module:
    with torch.device("meta"):
        return load_network(CONFIG.networks[name].model_copy(update={"weights": None}), None, 1)


@pytest.mark.parametrize("names", PUBLISHED)
def test_layers_are_named_as_published(names):
    expected = {layer: (units, side, side) for layer, (units, side) in PUBLISHED[names].items()}
    matching = [name for name in CONFIG.networks if re.fullmatch(names, name)]
    assert matching
    looked_at = {}
    for name in matching:  # many differ in nothing but their weights
        spec = CONFIG.networks[name]
        kind = spec.model_dump_json(include={"module", "arguments", "input", "latent", "layers"})
        if kind in looked_at:
            continue
        network = looked_at[kind] = on_meta(name)
        check_layers(network, spec.layers.values())
        found = {layer: tuple(size) for layer, size in cost(network, spec)["units"].items()}
        assert found == expected, name


def test_numbers_of_resnet152_are_those_of_its_conversion_to_caffe():
    """A blob's name is that of the layer that made it; rectifiers work in place."""
    network = on_meta("resnet152_places365")
    assert isinstance(network, ResNet)
    for name, path in CONFIG.networks["resnet152_places365"].layers.items():
        place = network.numbered[int(name.rpartition("_")[2])]
        after = network.numbered[int(name.rpartition("_")[2]) + 1]
        assert isinstance(network.get_submodule(after), nn.ReLU)
        if name == "BN_1":
            assert isinstance(network.get_submodule(place), nn.BatchNorm2d)
            assert path == after
        else:  # the sum of a block, which the block's rectifier ends, and the block its stage
            last = [n for n, _ in network.get_submodule(path).named_modules(prefix=path)][-1]
            assert last == after
            assert place == re.sub(r"2$", "1", after)


def test_letters_of_resnet50_are_those_of_caffe():
    network = on_meta("resnet50_imagenet")
    for name, path in CONFIG.networks["resnet50_imagenet"].layers.items():
        weight = network.own_key(f"{name}_branch2c.weight")
        assert weight.startswith(f"{path}.{len(network.get_submodule(path)) - 1}.")


# assets of weights -> what they load into; in parentheses, why into none
FILES = {
    "squeezenet_places365": "networks.squeezenet:squeezenet",
    "(vgg16|vgg19)_(places365|imagenet)|netdissect_vgg16_.*|places365_cnn_vgg16.*": "networks.vgg:vgg16",
    "alexnet_places365.*|netdissect_(caffe|places_iter).*|places365_cnn_alexnet.*model": "networks.alexnet:alexnet",
    "netdissect_weakly.*": "networks.pretext:trunk",
    "places365_cnn_alexnet.*tar": "networks.alexnet:torchvision_alexnet",
    "places365_cnn_densenet.*": "networks.densenet:densenet161",
    "resnet.*|netdissect_(resnet|ResNet).*|places365_cnn_resnet.*": "networks.resnet:resnet152",
    "netdissect_googlenet.*|places365_cnn_googlenet.*": "networks.googlenet:googlenet",
    "proggan_(?!revised).*": "networks.progan:ProGAN",
    "proggan_revised.*": "(the authors' code has no network of it any more)",
    "stylegan_bedrooms": "networks.stylegan:StyleGAN",
    "rewriting_stylegan2.*|stylegan2_.*": "networks.stylegan2:StyleGAN2",
    "ganseeing_encoder.*": "networks.encoder:Encoder",
    "upernet.*": "segment.upernet:upernet",
    "inception.*": "networks.inception:fid_inception",
    "face_parsing": "segment.bisenet:bisenet",
    "slim_cnn.*": "networks.slim:slim_cnn",
    "lpips_.*": "(heads of judging.perceptual)",
    "color_segmenter": "(names of colours, which are Broden's here)",
}
SUFFIXES = (".pth", ".pt", ".pth.tar", ".t7", ".caffemodel", ".params", ".pkl")


def test_every_file_of_weights_has_a_network():
    for name, entry in load_registry(REPOSITORY / "config/assets.yaml").items():
        files = [Path(part.file) for part in (*entry.parts, entry)]
        weights = any(file.name.endswith(SUFFIXES) for file in files) or name.endswith("_weights")
        matching = [module for names, module in FILES.items() if re.fullmatch(names, name)]
        assert len(matching) == 1 if weights else len(matching) < 2, name
        for module in matching:
            assert module.startswith("(") or callable(_function(f"dissection.{module}"))
