"""Networks by name: architecture, weights, and how an image becomes their input.

    network = load_network(config.networks["alexnet_scenes"], weights, config.seed)
    check_layers(network, config.networks["alexnet_scenes"].layers)
    preprocess = Preprocess(config.networks["alexnet_scenes"].input)
    network(preprocess(dataset.image(0))[None])      # (1, classes)

Architectures take the state dicts that were published for them, key by key. No pickle is run.
"""

import importlib
import importlib.util
import inspect
import itertools
import pickle
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from dissection import paths
from dissection.assets import asset_path, tensorflow
from dissection.config import Config, Input, Network
from dissection.errors import DissectionError
from dissection.networks import caffe, inception, squeezenet, torch7

TORCH_FORMATS = (".pth", ".pt", ".tar")  # .pth.tar


def load_network(spec: Network, weights: Path | None, seed: int) -> nn.Module:
    """The network of `spec` in float32 and eval mode; without a file, weights come from the seed.

    Weights: .safetensors, .pth, .pt, .pth.tar (read with weights_only), .caffemodel (see `caffe`),
    .t7 (see `torch7`), .params (see `squeezenet`), .pb (see `inception`), .pkl (see `assets.tensorflow`), a folder of
    encoder_*.pth and decoder_*.pth, or one with a file that is named. A network with a method `own_key`
    is asked for its own name of a key that it does not have; None leaves it out. One with a method `adapted` is
    asked first what it takes of a state dict, and how.
    A class with a method `sizes_of` is asked for the arguments that the state dict implies; those
    of `spec` take precedence.
    Raises DissectionError if the function, an argument, the file or its keys are wrong.
    """
    build = _function(spec.module)
    state = None if weights is None else read_weights(weights)
    implied: dict[str, Any] = {}
    if state is not None and hasattr(build, "sizes_of"):
        try:
            implied = build.sizes_of(state)
        except DissectionError as error:
            raise DissectionError(f"weights {weights}: {error}") from None
    try:
        arguments = inspect.signature(build).bind(**implied | spec.arguments)
    except TypeError as error:
        raise DissectionError(f"arguments of network {spec.module}: {error}") from None
    with torch.random.fork_rng():  # the weights depend on the seed alone, and nothing else on them
        torch.manual_seed(seed)
        network = build(*arguments.args, **arguments.kwargs)
    if not isinstance(network, nn.Module):
        raise DissectionError(
            f"network {spec.module}: returned {type(network).__name__}, not a torch module"
        )
    if weights is not None and state is not None:
        load_state(network, state, weights)
    return network.float().eval()


def network_of(config: Config, name: str, device: torch.device) -> tuple[nn.Module, "Preprocess"]:
    """
    The profile's network of that name, channels-last as CPUs run it fastest, and how images become its input, once its
    assets are there.
    """
    spec = config.networks[name]
    mean = spec.input.mean_image if spec.input else None
    mean_image = asset_of(config, mean) if mean else None
    network = module_of(config, name, device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network, Preprocess(spec.input, mean_image)


def module_of(config: Config, name: str, device: torch.device) -> nn.Module:
    """The profile's network of that name, once its weights are there."""
    spec = config.networks[name]
    weights = asset_of(config, spec.weights) if spec.weights else None
    return load_network(spec, weights, config.seed).to(device)


def asset_of(config: Config, asset: str) -> Path:
    """Where the profile's asset lies, once it is there."""
    return asset_path(paths.asset_record(config.profile, asset))


def check_layers(network: nn.Module, paths: Iterable[str]) -> None:
    """Raises DissectionError, listing the choices, unless every path names a module."""
    choices = [name for name, _ in network.named_modules() if name]
    for path in paths:
        if path not in choices:
            raise DissectionError(f"layer {path}: no such module; choose from {', '.join(choices)}")


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """The state dict in a file; floating tensors become float32."""
    parts = sorted(path.glob("*coder_*.pth"))
    if parts:  # a network published in two files, encoder_... and decoder_...
        return {
            f"{part.stem.partition('_')[0]}.{key}": tensor
            for part in parts
            for key, tensor in read_weights(part).items()
        }
    if path.is_dir():  # a Caffe model comes with its prototxt; a TensorFlow generator was converted
        inside = (path.glob(name) for name in ("*.caffemodel", "Gs.safetensors", "*.pb"))
        path = next(itertools.chain(*inside), path)
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        elif path.suffix == ".params":
            state = squeezenet.read_params(path)
        elif path.suffix == ".caffemodel":
            state = caffe.read_state(path)
        elif path.suffix == ".t7":
            state = torch7.read_state(path)
        elif path.suffix == ".pb":
            state = inception.read_graph(path)
        elif path.suffix == ".pkl":
            state = {k: torch.from_numpy(array) for k, array in tensorflow.read_state(path).items()}
        elif path.suffix in TORCH_FORMATS:
            saved = torch.load(path, map_location="cpu", weights_only=True)
            if isinstance(saved, dict):
                saved = saved.get("state_dict", saved.get("model_state_dict", saved))
            state = saved
            if isinstance(saved, dict) and "g_ema" in saved:  # a StyleGAN2, its mean w beside it
                mean = {key: saved[key] for key in ("latent_avg",) if key in saved}
                state = saved["g_ema"] | mean
        else:
            known = ", ".join(
                (".safetensors", *TORCH_FORMATS, ".caffemodel", ".t7", ".params", ".pb", ".pkl")
            )
            raise DissectionError(f"weights {path}: unknown format; expected {known}")
    except FileNotFoundError:
        raise DissectionError(f"weights {path}: no such file") from None
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, KeyError) as error:
        cause = str(error).partition("\n")[0]
        raise DissectionError(f"weights {path}: cannot be read as a state dict ({cause})") from None
    if not isinstance(state, dict) or not all(isinstance(t, torch.Tensor) for t in state.values()):
        raise DissectionError(f"weights {path}: expected a state dict of tensors")
    return {key: t.float() if t.is_floating_point() else t for key, t in state.items()}


def load_state(network: nn.Module, state: dict[str, torch.Tensor], path: Path) -> None:
    """Raises DissectionError, listing what is missing, unexpected or of another shape, unless the keys match."""
    own = network.state_dict()
    # DataParallel wraps a network, or a part of it, in a module called `module`
    state = {k if k in own else re.sub(r"(^|\.)module\.", r"\1", k): t for k, t in state.items()}
    state = getattr(network, "adapted", dict)(state)
    own_key = getattr(network, "own_key", lambda key: key)
    names = {key: key if key in own else own_key(key) for key in state}
    state = {
        name if name in own else key: state[key] for key, name in names.items() if name is not None
    }
    for name, tensor in own.items():  # axes of length 1 were left out in some layouts
        if name in state and [n for n in state[name].shape if n > 1] == [
            n for n in tensor.shape if n > 1
        ]:
            state[name] = state[name].reshape(tensor.shape)
    problems = {
        # batch norm counts its batches since torch 0.4.1 only; evaluation does not need the count
        "missing": [k for k in own if k not in state and not k.endswith("num_batches_tracked")],
        "unexpected": [k for k in state if k not in own],
        "of another shape": [
            f"{k} {tuple(state[k].shape)} instead of {tuple(own[k].shape)}"
            for k in own
            if k in state and state[k].shape != own[k].shape
        ],
    }
    found = [
        f"{len(keys)} {problem} ({', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''})"
        for problem, keys in problems.items()
        if keys
    ]
    if found:
        raise DissectionError(
            f"weights {path}: keys do not match the network: {'; '.join(found)}; "
            "check the network's module and arguments"
        )
    network.load_state_dict(state, strict=False)


def _function(name: str) -> Callable[..., nn.Module]:
    """The function of `package.module:function` or `path/to/file.py:function`."""
    source, _, function = name.rpartition(":")
    if not source:
        raise DissectionError(
            f"network {name}: expected package.module:function or file.py:function"
        )
    if source.endswith(".py"):
        spec = importlib.util.spec_from_file_location(Path(source).stem, source)
        if spec is None or spec.loader is None or not Path(source).is_file():
            raise DissectionError(f"network {name}: no such file {source}")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    else:
        try:
            module = importlib.import_module(source)
        except ModuleNotFoundError as error:
            raise DissectionError(f"network {name}: {error}") from None
    found = getattr(module, function, None)
    if not callable(found):
        raise DissectionError(f"network {name}: {source} has no function {function}")
    return found


class Preprocess:
    """Stretch to `resize` x `resize`, crop the centre, reorder channels, subtract the mean, divide.

    The same geometry for an image and its labels: position p of the input, in pixels from its top
    left corner, shows the point (p + offset) / resize of the image's height or width.
    """

    def __init__(self, spec: Input, mean_image: Path | None = None):
        """mean_image: file of the Caffe mean image, `resize` x `resize`, if `spec` names one."""
        if spec is None:
            raise DissectionError(
                "input: missing; a network of `latent` draws images, it takes none"
            )
        self.size = spec.size
        self.resize = spec.resize or spec.size
        self.order = spec.order
        if self.resize < self.size:
            raise DissectionError(f"input: resize {self.resize} is smaller than size {self.size}")
        if (spec.mean_image is None) != (mean_image is None):
            raise DissectionError(f"input: mean_image is {spec.mean_image}, its file {mean_image}")
        self.offset = (self.resize - self.size) // 2
        self.mean = torch.tensor(spec.mean).view(3, 1, 1)
        if mean_image is not None:
            crop = slice(self.offset, self.offset + self.size)
            mean = read_mean_image(mean_image, self.resize)[:, crop, crop]
            self.mean = torch.from_numpy((mean if spec.order == "BGR" else mean[::-1]).copy())
        self.std = torch.tensor(spec.std).view(3, 1, 1)

    def __call__(self, image: np.ndarray) -> torch.Tensor:
        """(h, w, 3) uint8 RGB -> (3, size, size) float32."""
        return self.normalise(self.crop(image))

    def crop(self, image: np.ndarray) -> torch.Tensor:
        """(h, w, 3) uint8 RGB -> (3, size, size) uint8 in `order`, before normalisation."""
        height, width = image.shape[:2]
        if height == width == self.resize:
            image = image[self.offset :, self.offset :][: self.size, : self.size]
        else:
            # only what the crop keeps; Pillow's filter widens with the scale, so nothing aliases
            ends = (self.offset, self.offset + self.size)
            box = tuple(length * p / self.resize for p in ends for length in (width, height))
            stretched = Image.fromarray(image).resize(
                (self.size, self.size), Image.Resampling.BILINEAR, box
            )
            image = np.asarray(stretched)
        channels = image if self.order == "RGB" else image[..., ::-1]
        return torch.from_numpy(np.ascontiguousarray(channels.transpose(2, 0, 1)))

    def normalise(self, pixels: torch.Tensor) -> torch.Tensor:
        """(..., 3, size, size) uint8 in `order` -> float32."""
        return (pixels - self.mean.to(pixels.device)) / self.std.to(pixels.device)

    def labels(self, maps: np.ndarray, downsample: int) -> np.ndarray:
        """(k, h, w) -> (k, size // downsample, size // downsample).

        The label at the centre of each square of downsample x downsample input pixels. Whole-image
        labels (k, 1, 1) stay as they are.
        """
        _, height, width = maps.shape
        if height == width == 1:
            return maps
        # twice the centre, to stay in whole numbers
        centres = np.arange(1, 2 * (self.size // downsample), 2) * downsample + 2 * self.offset
        rows, columns = (centres * length // (2 * self.resize) for length in (height, width))
        return maps[:, rows[:, None], columns]


def brightness(images: Tensor) -> Tensor:
    """(n, 3, h, w) from -1 to 1, as a generator draws them; what is beyond is clipped -> 0 to 255, differentiable."""
    return images.clamp(-1, 1).add(1).mul(127.5)


def to_pixels(images: Tensor) -> Tensor:
    """`brightness`, rounded to uint8."""
    return brightness(images).round().to(torch.uint8)


def read_mean_image(path: Path, size: int) -> np.ndarray:
    """(3, size, size) float32, BGR, of a Caffe blob."""
    mean = caffe.read_blob(path)
    if mean.shape != (3, size, size):
        raise DissectionError(f"mean image {path}: {mean.shape} instead of {(3, size, size)}")
    return mean
