"""The full profile in small: its own rows, rules, assets and formats; only sizes are cut, and every file is tiny.

    python tests/simulated.py <folder> [targets]     # serves the files, and runs `snakemake <targets>` in a copy

`build` writes a copy of this repository, a reduced config/full.yaml, a file behind every address of config/assets.yaml,
and that registry with addresses of a server on this machine and the hashes of those files. Weights are random, but for
the parser's: its classes are where the features of generated images lie, so that each of them is seen somewhere.
"""

import hashlib
import io
import json
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from torch import Tensor, nn

from conftest import REPOSITORY, Workspace, copy_repository
from dissection.assets import Entry, load_registry
from dissection.assets.registry import Download
from dissection.config import Config, Network
from dissection.networks import Preprocess, brightness, load_network
from dissection.networks.progan import latents
from dissection.rewrite.sessions import mask_url
from test_architectures import caffe_layers, caffemodel
from test_assets import packed
from test_readers import database, encoded, numbers
from test_stylegan import dnnlib_modules
from test_stylegan import drawn as drawn_style
from test_stylegan import published as published_pickle
from test_stylegan import published_shapes as style_shapes
from test_stylegan2 import drawn as drawn_style2
from test_stylegan2 import published_shapes as style2_shapes
from test_stylegan2 import rewritten

LATENT = 16
WIDTHS = [32, 32, 32, 8, 4, 4, 4]  # of generators, at 4, 8, 16 ... pixels
FACES = [16, 16, 16, 16, 16, 8, 4, 4, 4]
CLASSES = [
    "airfield", "baseball_field", "bedroom", "church-outdoor", "computer_room", "hangar-indoor", "hangar-outdoor",
    "kitchen", "landing_deck", "runway", "ski_resort", "volleyball_court-outdoor",
]  # fmt: skip
LABELS = {  # of the parser, each of a list seen less often than the one before, but the objects' `-`
    "object": [
        "-", "sky", "building", "airplane", "grass", "road", "tree", "window", "door", "person", "table", "chair",
        "curtain", "countertop", "bed", "sofa", "stairway", "horse", "text", "tower", "hat",
    ],
    "part": ["-", "head", "window", "eye", "ear", "door", "tail", "roof", "cloud", "dome"],
    "material": ["-", "brick", "wood"],
    "scene": CLASSES,
    "object_part": {
        "horse": ["-", "tail", "head"], "building": ["-", "dome", "window", "door", "roof"], "sky": ["-", "cloud"],
        "person": ["-", "head", "eye", "ear"],
    },
}  # fmt: skip

# ------------------------------------------------------------------------------------------------ the profile

ARGUMENTS: dict[str, dict[str, Any]] = {  # of the functions that build networks, by module
    "alexnet:alexnet": {"widths": [8] * 5, "hidden": 32, "classes": len(CLASSES)},
    "pretext:trunk": {"widths": [8] * 5},
    "vgg:vgg16": {"widths": [4, 4, 8, 8, 16], "hidden": 32, "classes": len(CLASSES)},
    "googlenet:googlenet": {"width": 0.06, "classes": len(CLASSES)},
    "resnet:resnet152": {"stem": 4, "widths": [2, 2, 4, 4], "classes": len(CLASSES)},
    "upernet:upernet": {
        "objects": len(LABELS["object"]), "parts": sum(map(len, LABELS["object_part"].values())),
        "materials": len(LABELS["material"]), "scenes": len(CLASSES), "stem": [4, 4, 8], "widths": [4, 4, 8, 8],
        "pooled": 8, "pyramid": 24,
    },
    "encoder:Encoder": {"latent": LATENT, "units": [32] * 4, "hidden": [8] * 4, "widths": [4, 4, 8, 8]},
    "bisenet:bisenet": {"widths": [4, 4, 8, 8], "context": 8, "fused": 8},
    "slim:slim_cnn": {"stem": [8, 7, 2], "widths": [2, 2, 4, 4]},
}  # fmt: skip
MOST = {  # of a number of the profile, by its key
    "images": 24, "top": 6, "pairs": 3, "candidates": 24, "photographs": 2, "insertions": 4, "least": 1, "units": 4,
    "places": 8, "held_out": 4, "tries": 3, "epochs": 1, "raters": 2, "most": 2, "draws": 1, "top_images": 3,
    "steps": 3, "z_steps": 3, "search_steps": 2, "finetune_steps": 2, "iterations": 100, "many": 5, "moments": 8,
    "every": 2, "permutations": 50, "replicates": 4, "splits": 2, "joint_steps": 3,
}  # fmt: skip
ITERATIONS = 24  # of a recipe with snapshots: 8 times 48 images, by 16
PHASE = 50_000  # iterations of a generator that are one here
LISTS = {  # lists of the profile, by their key
    "counts": lambda old: [n for n in old if n <= 5],
    "shown": lambda old: [n for n in old if n <= 4],
    "ranks": lambda old: [n for n in old if n <= 10],
    "flagged": lambda old: sorted({n % WIDTHS[1] for n in old})[: MOST["units"]],
    "given": lambda old: [n % WIDTHS[1] for n in old],
    "sizes": lambda old: [8, 12],
    "sides": lambda old: old[:1],
}  # fmt: skip


def reduced(profile: dict[str, Any]) -> dict[str, Any]:
    """The profile with its defaults written out, and with the sizes of a simulation."""
    whole = Config.model_validate(profile).model_dump(mode="json", exclude_none=True)
    for network in whole["networks"].values():
        module = network["module"].removeprefix("dissection.networks.")
        module = module.removeprefix("dissection.segment.")
        network["arguments"] |= ARGUMENTS.get(module, {})
        if "latent" in network:
            network["latent"]["size"] = LATENT
        if "latent" in network["arguments"]:
            network["arguments"]["latent"] = LATENT
        if module == "progan:ProGAN" and "widths" in network["arguments"]:
            large = len(network["arguments"]["widths"]) == len(WIDTHS)
            network["arguments"]["widths"] = WIDTHS if large else [*WIDTHS[:2], *WIDTHS[3:]]
        if module == "stylegan2:StyleGAN2" and "widths" in network["arguments"]:
            network["arguments"]["widths"] = FACES
        if module == "inception:fid_inception":
            network["input"]["size"] = 96
            network["layers"]["pool_3"] = (
                "Mixed_5b"  # of 256 units, for distances of 2048 take seconds each
            )
    whole["rows"]["fig_a_4"]["shown"] = [n % WIDTHS[1] for n in profile["rows"]["fig_a_4"]["shown"]]
    small = _cut(whole)
    small["rows"]["pnas_fig_5"] |= {
        "steps": 5,
        "learning_rate": 0.05,
        "images": 2,
    }  # or none would succeed
    small["rows"]["pnas_fig_3"]["area"] = 0.09  # half of the images
    small["rows"]["fig_b_3"]["edit"]["filled"] = (
        False  # random images have no walls without windows
    )
    small["search"] |= {"images": 40, "tries": 12}
    _train_shortly(small["networks"])
    return small


def _train_shortly(networks: dict[str, Any]) -> None:
    for network in networks.values():
        if recipe := network.get("recipe"):
            recipe |= {"batch": 16, "drop": 20}
            if recipe["snapshots"]:
                snapshots = sorted({min(n, ITERATIONS) for n in recipe["snapshots"]})
                recipe |= {"epochs": 8, "snapshots": snapshots}
        if recipe := network.get("adversarial"):
            recipe |= {"iterations": max(recipe["snapshots"]) // PHASE, "growth": 1, "batch": 4}
            recipe |= {"critic": WIDTHS, "snapshots": [n // PHASE for n in recipe["snapshots"]]}
    for network in networks.values():
        trained, _, step = network.get("weights", "").partition(".")
        if trained in networks and step:
            of_generator = "adversarial" in networks[trained]
            number = int(step) // PHASE if of_generator else min(int(step), ITERATIONS)
            network["weights"] = f"{trained}.{number}"


def _cut(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return {k: _cut(v, k) for k, v in value.items()}
    if isinstance(value, list) and key in LISTS and all(isinstance(n, int) for n in value):
        return LISTS[key](value) if value else value
    if isinstance(value, list):
        return [_cut(v) for v in value]
    if isinstance(value, int) and key in MOST:
        return min(value, MOST[key])
    return value


# ------------------------------------------------------------------------------------------------ weights


def resnet_keys(network: nn.Module) -> dict[str, str]:
    """Own key -> torchvision's."""
    found = {}
    names = {"conv1": "0", "bn1": "1", "fc": "10.1"}
    for stage, blocks in enumerate((network.get_submodule(str(n)) for n in range(4, 8)), start=1):
        for block in range(len(list(blocks.children()))):
            parts = [f"{kind}{n}" for kind in ("conv", "bn") for n in (1, 2, 3)]
            for part in [*parts, "downsample.0", "downsample.1"]:
                path = f"layer{stage}.{block}.{part}"
                names[path] = network.own_key(f"{path}.x")[:-2]  # type: ignore[operator]
    for path, own in names.items():
        for kind in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
            found[f"{own}.{kind}"] = f"{path}.{kind}"
    return found


def vgg_keys(network: nn.Module) -> dict[str, str]:
    """Own key -> torchvision's, which has no names for its modules but their numbers."""
    found = {}
    for group in ("features", "classifier"):
        for number, (name, module) in enumerate(network.get_submodule(group).named_children()):
            for kind, _ in module.named_parameters():
                found[f"{group}.{name}.{kind}"] = f"{group}.{number}.{kind}"
    return found


CAFFE: dict[str, Callable[[str], str]] = {
    "alexnet:alexnet": str,
    "vgg:vgg16": lambda key: key.split(".")[1].replace("fc8a", "fc8"),
    "googlenet:googlenet": lambda key: key.replace(".", "/"),
}


def saved(content: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def weights_file(asset: str, spec: Network, network: nn.Module) -> bytes:
    """The network's weights as the asset has them."""
    module = spec.module.removeprefix("dissection.networks.").removeprefix("dissection.segment.")
    state = network.state_dict()
    if asset.startswith("netdissect_") or asset.endswith(".caffemodel"):
        form = "old" if "imagenet" in asset else "shape"
        return caffemodel(caffe_layers(state, CAFFE[module]), form)
    if asset in ("vgg16_imagenet", "vgg19_imagenet", "resnet152_imagenet", "resnet50_imagenet"):
        keys = resnet_keys(network) if "resnet" in asset else vgg_keys(network)
        return saved({keys[key]: tensor for key, tensor in state.items()})
    if asset.startswith("proggan_") and asset.endswith("_128"):
        number = {f"layer{n}": f"features.{n - 1}" for n in range(1, 13)}
        names = {key: key.partition(".")[::2] for key in state}
        return saved({f"{number.get(a, 'output')}.{b}": state[k] for k, (a, b) in names.items()})
    if asset.startswith("ganseeing_encoder"):
        return saved({"state_dict": {f"model.{key}": tensor for key, tensor in state.items()}})
    if asset == "slim_cnn_celeba":
        return saved({"hyper_params": {"num_classes": 40}, "model_state_dict": state})
    return saved(state)


def style2_file(asset: str) -> bytes:
    """Two of the authors' names for the same."""
    widths = FACES if "faces" in asset else [*FACES[:5], *FACES[-2:]]
    state = drawn_style2(style2_shapes(LATENT, widths, LATENT, 8))
    for key in [key for key in state if key.startswith("to_rgb") and "modulation" not in key]:
        state[key] = state[key] / (
            100 if "faces" in asset else 50
        )  # or all would be black and white
    mean = state.pop("latent_avg")
    if "horse" in asset:
        state = {rewritten(key): tensor for key, tensor in state.items()}
    return saved({"g_ema": state, "latent_avg": mean})


def style_file() -> bytes:
    with pytest.MonkeyPatch.context() as patch:
        variables = drawn_style(style_shapes(LATENT, WIDTHS, LATENT, 8))
        return published_pickle(dnnlib_modules(patch), variables)


def lively(spec: Network, seed: int) -> nn.Module:
    """A network of images whose signals neither vanish nor grow; a classifier of Places knows some photographs."""
    network = load_network(spec, None, seed)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
    preprocess = Preprocess(spec.input)
    pictures = torch.stack([
        preprocess(np.asarray(Image.open(io.BytesIO(picture(n, i))))) for n in range(len(CLASSES)) for i in range(2)
    ])  # fmt: skip
    with torch.no_grad():
        network.train()(pictures)  # for batch norm
    network.eval()
    if "places365" not in (spec.weights or ""):
        return network
    *_, scores = (module for module in network.modules() if isinstance(module, nn.Linear))
    seen: list[Tensor] = []
    hook = scores.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    with torch.no_grad():
        network(pictures)
        known = torch.cat([seen[0], torch.ones(len(pictures), 1)], 1).double()
        known[:, :-1] /= known[:, :-1].std()
        target = 10 * torch.eye(len(CLASSES)).double().repeat_interleave(2, 0)
        solved = torch.linalg.lstsq(known, target, driver="gelsd").solution.T
        scores.weight.copy_(solved[:, :-1] / seen[0].std())
        scores.bias.copy_(solved[:, -1])
    hook.remove()
    return network


def generator(spec: Network, seed: int) -> nn.Module:
    """Of a kind, each draws other images, but alike ones."""
    network = load_network(spec, None, 1)
    torch.manual_seed(seed)
    with torch.no_grad():
        for weight in network.parameters():
            weight += 0.1 * weight.std() * torch.randn(weight.shape) if weight.ndim > 1 else 0
        for block in list(network)[4:-1]:  # smooth: what a unit changes there shows there
            block.conv.weight.copy_(3 * block.conv.weight.mean((2, 3), keepdim=True))
        images, head = network(latents(1, 0, 8, LATENT)), network.get_submodule(network.head)
        scale = 0.5 / images.std((0, 2, 3))
        head.conv.weight *= scale[:, None, None, None]
        bias = head.wscale.b if head.conv.bias is None else head.conv.bias
        bias -= scale * images.mean((0, 2, 3))
    return network


def parser_of(spec: Network, images: list[Tensor]) -> nn.Module:
    """The parser, each of whose classes is nearest to some of what it sees in the images, sets of (n, 3, h, w) from
    -1 to 1. What tells the sets apart is left out, so that all classes are seen in each."""
    network = lively(spec, 1)
    mean = torch.tensor(spec.input.mean).view(3, 1, 1)
    seen: dict[str, list[Tensor]] = {"object": [], "part": [], "material": []}
    heads = {head: network.decoder.get_submodule(f"{head}_head") for head in seen}
    hooks = [
        heads[head][0].register_forward_hook(lambda _, __, out, head=head: seen[head].append(out))
        for head in seen
    ]
    with torch.no_grad():
        for some in images:
            pixels = nn.functional.adaptive_avg_pool2d(brightness(some), spec.input.size)
            network(pixels.flip(1) - mean)
    for hook in hooks:
        hook.remove()
    owners = sorted(LABELS["object_part"], key=LABELS["object"].index)
    runs = {"part": [len(LABELS["object_part"][owner]) for owner in owners]}
    for head, features in seen.items():
        sets = [f.movedim(1, -1).flatten(0, 2)[::37].double() for f in features]
        means = torch.stack([one.mean(0) for one in sets])
        apart = torch.linalg.svd(means - means.mean(0)).Vh[: len(means[0]) // 2]
        points = torch.cat([(one - one @ apart.T @ apart) for one in sets])
        weights, biases = [], []
        for k in runs.get(head, [heads[head][1].out_channels]):
            means = points[torch.randperm(len(points))[:k]]
            often = (
                torch.cdist(points, means).argmin(1).bincount(minlength=k).argsort(descending=True)
            )
            centres = means[often.roll(int(head == "object"))]
            bias = -centres.square().sum(1)  # the nearest has the highest score
            if head != "object":  # half has no part, most no material
                scores = 2 * points @ centres.T + bias
                bias[0] += (scores[:, 1:].amax(1) - scores[:, 0]).quantile(
                    0.5 if head == "part" else 0.8
                )
            weights.append(2 * centres)
            biases.append(bias)
        with torch.no_grad():
            heads[head][1].weight.copy_(torch.cat(weights)[:, :, None, None])
            heads[head][1].bias.copy_(torch.cat(biases))
    return network


# ------------------------------------------------------------------------------------------------ pictures

THINGS = {  # label number: name, colour
    1: ("sky", (120, 170, 235)), 2: ("grass", (60, 150, 50)), 3: ("building", (170, 90, 60)),
    4: ("tree", (20, 80, 30)), 5: ("airplane", (230, 230, 235)), 300: ("road", (90, 90, 95)),
}  # fmt: skip


def scene(seed: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """(height, width, 3) uint8 and (height, width) numbers of `THINGS`: sky and ground, and boxes before them."""
    rng = np.random.default_rng(seed)
    things = np.full((height, width), 1)
    things[height * 3 // 5 :] = rng.choice([2, 300])
    for _ in range(4):
        y, x = rng.integers(0, height * 3 // 4), rng.integers(0, width * 3 // 4)
        things[y : y + height // 4, x : x + width // 3] = rng.choice([3, 4, 5])
    colours = np.zeros((301, 3))
    for number, (_, colour) in THINGS.items():
        colours[number] = colour
    pixels = colours[things] + rng.normal(0, 12, (height, width, 1))
    return pixels.clip(0, 255).astype(np.uint8), things


def photograph(number: int, seed: int) -> np.ndarray:
    """(256, 256, 3) of a class, which a box in the middle tells."""
    pixels = scene(1000 * number + seed, 256, 256)[0]
    pixels[48:208, 48:208] = [255 * (number % 3) // 2, 255 * (number // 3 % 2), 255 * (number // 6)]
    return pixels


def picture(number: int, seed: int) -> bytes:
    return encoded(photograph(number, seed), "jpeg", quality=80)


BRODEN = {  # category: code -> number, name
    "color": {1: (10, "blue-c"), 2: (11, "green-c")},
    "object": {n: (number, name) for n, (number, (name, _)) in enumerate(THINGS.items(), start=1)},
    "part": {1: (12, "roof"), 2: (13, "wing")},
    "material": {1: (14, "brick"), 2: (15, "wood")},
    "scene": {1: (16, "street-s"), 2: (17, "airport-s")},
    "texture": {1: (18, "dotted"), 2: (19, "striped")},
}


def broden(size: int, images: int) -> dict[str, bytes]:
    """Labels at half the size, rounded down."""
    files, half = {}, size // 2
    lines = ["image,split,ih,iw,sh,sw,color,object,part,material,scene,texture"]
    for i in range(images):
        name = f"ade20k/ADE_{i:04}"
        pixels, things = scene(i, size, size)
        files[f"images/{name}.jpg"] = encoded(pixels, "jpeg", quality=90)
        things = things[::2, ::2][:half, :half]
        lower = things[half // 2 :] * 0
        maps = {
            "color": np.where(things == 1, 10, np.where(np.isin(things, (2, 4)), 11, 0)),
            "object": things,
            "part_1": np.where(things == 3, 12, 0),
            "part_2": np.vstack([np.where(things[: half // 2] == 5, 13, 0), lower]),
            "material": np.where(things == 3, 14, np.where(things == 4, 15, 0)),
        }
        for kind, values in maps.items():
            files[f"images/{name}_{kind}.png"] = numbers(values.tolist())
        cell = {kind: f"{name}_{kind}.png" for kind in maps}
        texture = ("18;19", "", "0")[i % 3]
        lines.append(
            f"{name}.jpg,{'val' if i % 4 == 0 else 'train'},{size},{size},{half},{half},{cell['color']},"
            f"{cell['object']},{cell['part_1']};{cell['part_2']},{cell['material']},{16 + i % 2},{texture}"
        )
    labels, categories = ["number,name,category,frequency,coverage,syns"], []
    for category, codes in BRODEN.items():
        categories.append(f"{category},{min(codes)},{max(codes)},{len(codes)},{images}")
        table = ["code,number,name,frequency,coverage"]
        for code, (number, name) in codes.items():
            table.append(f"{code},{number},{name},{images},{images / 4}")
            labels.append(f"{number},{name},{category}({images}),{images},{images / 4},")
        files[f"c_{category}.csv"] = "\n".join([*table, ""]).encode()
    files["category.csv"] = "\n".join(["name,first,last,count,frequency", *categories, ""]).encode()
    files["label.csv"] = "\n".join([*labels, ""]).encode()
    files["index.csv"] = "\n".join([*lines, ""]).encode()
    return files


def places(split: str, each: int) -> dict[str, bytes]:
    return {
        f"{name}/Places365_{split}_{i:08}.jpg": picture(number, i)
        for number, name in enumerate(CLASSES)
        for i in range(each)
    }


def minilsun(images: int) -> dict[str, bytes]:
    folders = [f"{name}_{split}" for name in ("bedroom", "church") for split in ("train", "val")]
    return {
        f"{folder}/{i:04}.jpg": encoded(scene(1000 * n + i, 256, 256)[0], "jpeg", quality=80)
        for n, folder in enumerate(folders)
        for i in range(images)
    }


def standard(each: int) -> dict[str, bytes]:
    """All of Places365's training, as its publisher has it: folders by letter, a list, and the names of classes."""
    photographs, lines, categories = {}, [], []
    for number, name in enumerate(CLASSES):
        folder = f"/{name[0]}/{name.replace('-', '/')}"
        categories.append(f"{folder} {number}\n")
        for i in range(each):
            file = f"{folder}/{i:08}.jpg"
            lines.append(f"{file} {number}\n")
            photographs[file[1:]] = encoded(photograph(number, i), "jpeg", quality=80)
    listed = {"places365_train_standard.txt": "".join(lines).encode()}
    return {
        "train_256_places365standard.tar": packed("tar", photographs, "data_256/"),
        "filelist_places365-standard.tar": packed("tar", listed),
        "categories_places365.txt": "".join(categories).encode(),
    }


def lsun(images: int, first: int, scratch: Path) -> dict[str, bytes]:
    """A database: its photographs are WebP, of 256 pixels on their short side."""
    pictures = {}
    for i in range(first, first + images):
        key = hashlib.sha1(str(i).encode()).hexdigest()
        pictures[key] = encoded(scene(i, 256, 341 if i % 2 else 256)[0], "webp", quality=75)
    folder = scratch / f"lsun-{first}"
    database(folder, pictures)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# ------------------------------------------------------------------------------------------------ selections


def mask(side: int, top: float, left: float, share: float = 0.25) -> str:
    where = np.zeros((side, side), bool)
    y, x, length = int(top * side), int(left * side), int(share * side)
    where[y : y + length, x : x + length] = True
    return mask_url(where)


def session(side: int, keys: int) -> bytes:
    """As the authors' interface saves it; the first of them have no `key`."""
    data: dict[str, Any] = {
        "object": [0, mask(side, 0.25, 0.25)], "paste": [1, mask(side, 0.375, 0.5)], "query": [2, mask(side, 0, 0)]
    }  # fmt: skip
    if keys:
        data["key"] = [[i + 1, mask(side, 0.25, 0.125 * i)] for i in range(keys)]
    return json.dumps(data).encode()


def reflections() -> bytes:
    return json.dumps({
        str(i): {"value": "10.0", "intervention": mask(256, 0.25, 0.25), "revert": mask(256, 0.625, 0.25)}
        for i in range(1, 4)
    }).encode()  # fmt: skip


# ------------------------------------------------------------------------------------------------ the site


def contents(config: Config, registry: dict[str, Entry], scratch: Path) -> dict[str, bytes]:
    """Asset, or `<asset>/<file>` of one of several parts -> what is published there; of those that rows need."""
    files: dict[str, bytes] = {}
    torch.manual_seed(0)
    for size in (224, 227):
        files[f"broden1_{size}"] = packed("zip", broden(size, 32), f"broden1_{size}/")
    for split, each in (("train", 4), ("val", 2)):
        files[f"places365_{split}"] = packed("zip", places(split, each), f"places/{split}/")
    files |= {f"places365_train_official/{name}": file for name, file in standard(4).items()}
    for number, name in enumerate(
        n for n in registry if n.startswith("lsun_") and n != "lsun_test"
    ):
        images = lsun(48 if name.endswith("train") else 24, 10_000 * (number + 1), scratch)
        files[name] = packed("zip", images, f"{name.removeprefix('lsun_')}_lmdb/")
    files["minilsun"] = packed("zip", minilsun(MOST["images"]), "minilsun/")
    for name in registry:
        if name.startswith("rewriting_stylegan2"):
            files[name] = style2_file(name)
        elif name.startswith("rewriting_") and name not in (
            "rewriting_masks",
            "rewriting_benchmark_masks",
        ):
            face = name in ("rewriting_smile", "rewriting_earrings", "rewriting_glasses")
            files[name] = session(
                1024 if face else 256, 0 if "2spire" in name or "smile" in name else 2
            )
    for part in registry["rewriting_masks"].parts:
        same = [n for n in registry if n.startswith("rewriting_") and registry[n].urls == part.urls]
        files[f"rewriting_masks/{part.file}"] = files[same[0]] if same else session(256, 1)
    files["rewriting_masks/posneg.json"] = reflections()
    files["stylegan_bedrooms"] = style_file()
    widths = ARGUMENTS["vgg:vgg16"]["widths"]
    heads = {f"lin{i}.model.1.weight": torch.rand(1, c, 1, 1) for i, c in enumerate(widths)}
    files["lpips_vgg"] = saved(heads)
    drawn = []
    for number, spec in enumerate(config.networks.values()):
        asset = spec.weights
        if (
            asset not in registry  # to be trained, if anything
            or registry[asset].status != "published"
            or asset == "upernet_unified_parsing"
        ):
            continue
        if asset not in files:
            arguments = spec.arguments
            if spec.module.endswith("ProGAN"):
                arguments = {"latent": LATENT, "widths": WIDTHS} | arguments
            spec = spec.model_copy(update={"arguments": arguments})
            network = lively(spec, number) if spec.input else generator(spec, number)
            key = f"{asset}/{registry[asset].parts[1].file}" if registry[asset].parts else asset
            if key not in files:
                files[key] = weights_file(asset, spec, network)
                files |= {
                    f"{asset}/{p.file}": b"name: 'a net'\n" for p in registry[asset].parts[:1]
                }
        if spec.latent:
            path = scratch / (registry[asset].file or "weights.pth")
            path.write_bytes(files[asset])
            with torch.no_grad():
                drawn.append(load_network(spec, path, 1)(latents(1, 0, 4, LATENT)))
    pictures = torch.from_numpy(np.stack([scene(i, 256, 256)[0] for i in range(8)]))
    drawn.append(pictures.permute(0, 3, 1, 2) / 127.5 - 1)
    network = parser_of(config.networks["upernet"], drawn)
    for part in ("encoder", "decoder"):
        state = network.get_submodule(part).state_dict()
        files[f"upernet_unified_parsing/{part}_epoch_40.pth"] = saved(state)
    files["upernet_unified_parsing/labels.json"] = json.dumps(LABELS).encode()
    return files


def anything(part: Download) -> bytes:
    """What stands for a file that no row of the profile needs."""
    return (
        b"tiny\n"
        if part.unpack in ("none", "tensorflow")
        else packed(part.unpack, {"a": b"tiny\n"})
    )


def served(
    entry: Entry, files: dict[str, bytes], base: str, site: dict[str, bytes]
) -> dict[str, Any]:
    """The registry's entry with addresses of this machine and the hashes of what is there; they go into `site`."""

    def part(download: Download, name: str) -> dict[str, Any]:
        content = files.get(name) or anything(download)
        plain = download.model_dump(exclude_none=True, exclude={"files", "about", "id", "parts"})
        plain["urls"] = [f"{base}/{url.replace('://', '/')}" for url in download.urls]
        site.update({url.removeprefix(base): content for url in plain["urls"]})
        sha256 = hashlib.sha256(content).hexdigest()
        if download.files or download.sha256:
            plain["sha256"] = sha256
        if download.md5:
            plain["md5"] = hashlib.md5(content, usedforsecurity=False).hexdigest()
        if download.sha256_prefix:
            plain["sha256_prefix"] = sha256[: len(download.sha256_prefix)]
        if download.bytes:
            plain["bytes"] = len(content)
        return plain

    if not entry.parts:
        return part(entry, entry.id)
    plain = entry.model_dump(exclude_none=True, exclude={"id", "parts"})
    return plain | {"parts": [part(p, f"{entry.id}/{p.file}") for p in entry.parts]}


class Handler(SimpleHTTPRequestHandler):
    """HEAD and GET of what is in `server.site`, by path and query."""

    def log_message(self, *arguments: object) -> None:
        pass

    def send_head(self) -> io.BytesIO | None:
        content = self.server.site.get(self.path)  # type: ignore[attr-defined]
        if content is None:
            self.send_error(404)
            return None
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        return io.BytesIO(content)


@contextmanager
def simulation(folder: Path, port: int = 0) -> Iterator[Workspace]:
    """A copy of the repository whose full profile is reduced, while its files are served."""
    workspace = copy_repository(folder / "repository", None)
    profile = workspace.folder / "config/full.yaml"
    small = reduced(yaml.safe_load((REPOSITORY / "config/full.yaml").read_text()))
    profile.write_text(yaml.safe_dump(small, sort_keys=False))
    registry = load_registry(REPOSITORY / "config/assets.yaml")
    scratch = folder / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        base, site = f"http://127.0.0.1:{server.server_port}", dict[str, bytes]()
        files = contents(Config.model_validate(small), registry, scratch)
        entries = {name: served(entry, files, base, site) for name, entry in registry.items()}
        (workspace.folder / "config/assets.yaml").write_text(yaml.safe_dump(entries))
        server.site = site  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield workspace
        finally:
            server.shutdown()


if __name__ == "__main__":
    with simulation(Path(sys.argv[1]), 8765) as made:
        command = ["snakemake", *sys.argv[2:], "--configfile", "config/full.yaml"]
        print(made.run(*command)[-3000:])
