"""Networks that NVIDIA published as Python pickles of TensorFlow networks, as safetensors.

    convert(Path("karras2019stylegan-bedrooms-256x256.pkl"), folder)      # folder/Gs.safetensors
    read_state(Path("karras2018iclr-lsun-bedroom-256x256.pkl"))           # the same variables, by name
    read_state(Path("stylegan2-church-config-f.pkl"))["layer8.dconv.weight"]

Such a pickle holds three networks, G, D and the averaged generator Gs; each has its variables, networks that it
is made of, and the source code that builds it, which their own loader would run. Here nothing of the pickle runs:
the few classes that it may name are replaced by ones that only keep what they are given, and any other ends in an
error. numpy's arrays are made from their bytes.
"""

import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from dissection.assets.unpack import ArchiveError

NUMBERS = re.compile(r"[<>|=][fiu][1248]|\|b1")  # types of arrays


class Kept:
    """An object of the pickle: the arguments that it was made with, and its state."""

    def __init__(self, *arguments: Any):
        self.arguments = arguments
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


class Network(Kept):
    """dnnlib.tflib.network.Network"""


class Array(Kept):
    """numpy's array, before it has its bytes."""


class Scalar(Kept):
    """numpy's single number."""


class Type(Kept):
    """numpy.dtype"""


# module and name of what a pickle may name -> what takes its place
KNOWN: dict[tuple[str, str], Any] = {
    ("tfutil", "Network"): Network,  # Progressive GANs of 2018
    ("dnnlib.tflib.network", "Network"): Network,
    ("dnnlib.util", "EasyDict"): dict,
    ("collections", "OrderedDict"): dict,
    ("numpy", "ndarray"): Kept,
    ("numpy", "dtype"): Type,
    ("numpy.core.multiarray", "_reconstruct"): Array,
    ("numpy._core.multiarray", "_reconstruct"): Array,
    ("numpy.core.multiarray", "scalar"): Scalar,
    ("numpy._core.multiarray", "scalar"): Scalar,
}


class Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in KNOWN:
            raise pickle.UnpicklingError(
                f"it wants {module}.{name}; only networks of arrays are read"
            )
        return KNOWN[module, name]


def convert(path: Path, folder: Path) -> None:
    """Write folder/Gs.safetensors: what `read_state` gives. Raises ArchiveError if it is no such pickle."""
    state = read_state(path)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(state, folder / "Gs.safetensors")


def read_state(path: Path) -> dict[str, np.ndarray]:
    """
    The variables of the averaged generator, with `.` for `/`, and weights in torch's order: (units, inputs) and (units,
    inputs, h, w). Those of a Progressive GAN as in state dicts that were published of them: layer1.conv.weight and
    wscale.b ... output_<h>x<h>; those of a StyleGAN2 as in `networks.stylegan2`. Raises ArchiveError if it is no such
    pickle.
    """
    try:
        with path.open("rb") as file:
            networks = Unpickler(file).load()
        if not isinstance(networks, tuple) or len(networks) != 3:
            raise ValueError("expected the networks G, D and Gs")
        variables = _variables(networks[2])
        if "4x4.Dense.weight" in variables:
            return _progressive(variables)
        return _modulated(variables) if "synthesis.4x4.Conv.mod_weight" in variables else variables
    except (pickle.UnpicklingError, EOFError, MemoryError, OverflowError, ValueError, TypeError, KeyError, IndexError,
            AttributeError) as error:  # fmt: skip
        cause = " ".join(str(error).split())
        raise ArchiveError(f"{path}: not a pickle of TensorFlow networks ({cause})") from None


def _progressive(variables: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """
    A Progressive GAN's blocks by the number of their layer. Its layer1, a matrix product, is a convolution of one pixel
    here, and its layers that double the size convolve the other way round, as TensorFlow transposes a convolution.
    """
    found, side = {}, 4
    for name, array in variables.items():
        match = re.fullmatch(r"(\d+)x\1\.(Dense|Conv|Conv0_up|Conv0|Conv1)\.(weight|bias)", name)
        if match is None:
            continue
        kind, last = match[2], match[2] in ("Conv", "Conv1")
        side = max(side, int(match[1]))
        layer = f"layer{2 * (int(match[1]).bit_length() - 3) + 1 + last}"
        if match[3] == "bias":
            found[f"{layer}.wscale.b"] = array
            continue
        if kind == "Dense":  # (units x 4 x 4, inputs)
            array = array.reshape(-1, 4, 4, array.shape[1]).transpose(0, 3, 1, 2)
        elif kind == "Conv0_up":  # (inputs, units, h, w)
            array = array.swapaxes(0, 1)
        turned = array[..., ::-1, ::-1] if kind in ("Dense", "Conv0_up") else array
        found[f"{layer}.conv.weight"] = np.ascontiguousarray(turned)
    # images of lower resolution, which the network draws while it grows, are left out
    for kind, own in (("weight", "conv.weight"), ("bias", "wscale.b")):
        found[f"output_{side}x{side}.{own}"] = variables[f"ToRGB_lod0.{kind}"]
    return found


MODULATED = {
    "weight": "dconv.weight", "mod_weight": "modulation.weight", "mod_bias": "modulation.bias",
    "noise_strength": "noise.weight", "bias": "activate.bias",
}  # fmt: skip


def _modulated(variables: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """
    A StyleGAN2's variables by the layers' numbers. NVIDIA's function that doubles a size turns the kernel before it
    transposes the convolution, and 1 is added to the styles where they are used, here in their bias. The level of
    growth and the noise of their pictures are not needed.
    """
    found = {}
    for name, array in variables.items():
        if dense := re.fullmatch(r"mapping\.Dense(\d+)\.(weight|bias)", name):
            found[f"style.{int(dense[1]) + 1}.{dense[2]}"] = array
        elif name == "dlatent_avg":
            found["latent_avg"] = array
        elif name == "synthesis.4x4.Const.const":
            found["layer1.input"] = array
        elif layer := re.fullmatch(r"synthesis\.(\d+)x\1\.(Conv0_up|Conv1?|ToRGB)\.(\w+)", name):
            level, kind, part = int(layer[1]).bit_length() - 2, layer[2], layer[3]
            if part == "mod_bias":
                array = array + np.float32(1)
            if kind == "Conv0_up" and part == "weight":
                array = np.ascontiguousarray(array[..., ::-1, ::-1])
            own = f"rgb{level}" if kind == "ToRGB" else f"layer{2 * level - (kind == 'Conv0_up')}"
            known = MODULATED | ({"bias": "bias"} if kind == "ToRGB" else {})
            found[f"{own}.{known.get(part, part)}"] = array
        elif not re.fullmatch(r"lod|synthesis\.noise\d+", name):
            found[name] = array
    return found


def _variables(network: Any) -> dict[str, np.ndarray]:
    """The variables of a network and of those that it is made of."""
    found = dict(_own(network))
    for name, part in network.state.get("components", {}).items():
        found |= {f"{_text(name)}.{key}": array for key, array in _own(part)}
    return found


def _own(network: Any) -> list[tuple[str, np.ndarray]]:
    if not isinstance(network, Network) or not isinstance(network.state, dict):
        raise TypeError("expected a network")
    return [
        (_text(name).replace("/", "."), _ordered(name, _array(value)))
        for name, value in network.state["variables"]
    ]


def _text(name: Any) -> str:
    if not isinstance(name, str) or not re.fullmatch(r"\w+(/\w+)*", name):
        raise TypeError("expected a variable's name")
    return name


def _array(value: Any) -> np.ndarray:
    if isinstance(value, Scalar):
        kind, data = value.arguments
        shape, fortran = (), False
    elif isinstance(value, Array):
        _, shape, kind, fortran, data = value.state
    else:
        raise TypeError("expected an array")
    return np.frombuffer(data, _type(kind)).reshape(shape, order="F" if fortran else "C")


def _type(kind: Any) -> np.dtype:
    if not isinstance(kind, Type):
        raise TypeError("expected the type of an array")
    name = f"{kind.state[1]}{kind.arguments[0]}"
    if not NUMBERS.fullmatch(name):
        raise TypeError(f"arrays of {name}; expected numbers")
    return np.dtype(name)


def _ordered(name: str, array: np.ndarray) -> np.ndarray:
    """TensorFlow's (h, w, inputs, units) and (inputs, units) in torch's order."""
    if name.endswith("weight") and array.ndim in (2, 4):
        array = array.transpose((1, 0) if array.ndim == 2 else (3, 2, 0, 1))
    return np.ascontiguousarray(array.astype(array.dtype.newbyteorder("="))).reshape(array.shape)
