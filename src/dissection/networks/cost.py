"""What one image costs a network, by its modules alone: no weights, and no numbers, are computed."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from dissection.config import Network


def cost(network: nn.Module, spec: Network) -> dict[str, Any]:
    """Of a network on the meta device: parameters; flop, floating-point operations of a forward pass of one image,
    a multiplication and an addition being two; units, (units, h, w) of each layer that puts out maps.

    flop is None and units are empty if the network looks at the values of tensors, which have none here.
    """
    units: dict[str, list[int]] = {}

    def keep(name: str):
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor) and output.dim() == 4:
                units[name] = list(output.shape[1:])

        return hook

    modules = dict(network.named_modules())
    hooks = [modules[path].register_forward_hook(keep(name)) for name, path in spec.layers.items()]
    shape = (1, spec.latent.size) if spec.latent else (1, 3, spec.input.size, spec.input.size)
    flop: float | None
    try:
        with torch.device("meta"), FlopCounterMode(display=False) as counter:
            network(torch.empty(shape))
        flop = counter.get_total_flops()
    except Exception:  # whatever a module of the user's may raise: this is an estimate only
        flop, units = None, {}
    finally:
        for hook in hooks:
            hook.remove()
    return {
        "parameters": sum(p.numel() for p in network.parameters()),
        "flop": flop,
        "units": {name: units[name] for name in spec.layers if name in units},
    }
