"""Run a network, keep what named layers put out, edit it, run only the part before or after a layer.

    with Probe(network, ["relu5"]) as probe:
        output = probe(images)
        activations = probe.kept["relu5"]                  # (images, units, h, w)

    with Probe(network, edits={"relu5": lambda a: ablate(a, units)}) as probe:
        output = probe(images)

    head, tail = split(network, "relu5")
    state = head(images)                                   # once
    output = tail(state, edited_activations)               # as often as there are edits

Works for any torch.nn.Module; layers are named as in `network.named_modules()`.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils._python_dispatch import TorchDispatchMode

from dissection.errors import DissectionError

Edit = Callable[[Tensor], Tensor]


def layer_module(network: nn.Module, layer: str) -> nn.Module:
    """The module named `layer`. Raises DissectionError with the choices if there is none."""
    modules = dict(network.named_modules())
    if layer == "" or layer not in modules:
        raise DissectionError(
            f"layer {layer!r}: no such layer; choices: {', '.join(n for n in modules if n)}"
        )
    return modules[layer]


class _Stop(Exception):
    pass


class Probe:
    """A network with hooks on some of its layers, for the length of a `with` block."""

    def __init__(self, network: nn.Module, keep: Iterable[str] = (), edits: Mapping[str, Edit] | None = None,
                 stop: bool = False):  # fmt: skip
        """keep: layers whose output is kept, as the rest of the network receives it, edits included.
        edits: layer -> function from its output to what replaces it.
        stop: end the forward pass once every kept layer has run; a call then returns None.
        """
        self.network, self.keep, self.edits, self.stop = (
            network,
            list(keep),
            dict(edits or {}),
            stop,
        )
        self.kept: dict[str, Tensor] = {}
        self._ran: set[str] | None = (
            None  # None between calls: only calls of the probe itself are probed
        )

    def __enter__(self) -> "Probe":
        self._handles = []
        for layer in dict.fromkeys([*self.keep, *self.edits]):
            hook = self._hook(layer)
            self._handles.append(layer_module(self.network, layer).register_forward_hook(hook))
        return self

    def __exit__(self, *exception: object) -> None:
        for handle in self._handles:
            handle.remove()

    def _hook(self, layer: str) -> Callable[[nn.Module, Any, Any], Tensor | None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> Tensor | None:
            if self._ran is None:
                return None
            if not isinstance(output, Tensor):
                raise DissectionError(
                    f"layer {layer!r}: puts out {type(output).__name__}, not a tensor"
                )
            if layer in self._ran:
                raise DissectionError(f"layer {layer!r}: runs more than once in a forward pass; "
                                      "give each use a module of its own")  # fmt: skip
            self._ran.add(layer)
            edited = self.edits[layer](output) if layer in self.edits else None
            if layer in self.keep:
                # A copy: an in-place activation that follows would write into the output itself.
                self.kept[layer] = (output if edited is None else edited).clone()
            if self.stop and self._ran.issuperset(self.keep):
                raise _Stop
            return edited

        return hook

    def __call__(self, *inputs: Tensor) -> Any:
        """The network's output. Raises DissectionError if a kept or edited layer did not run."""
        self._ran, self.kept = set(), {}
        try:
            output = self.network(*inputs)
            for layer in [*self.keep, *self.edits]:
                if layer not in self._ran:
                    raise DissectionError(f"layer {layer!r}: did not run in the forward pass")
            return output
        except _Stop:
            return None
        finally:
            self._ran = None


class _Tracer(fx.Tracer):
    """Traces a network down to its torch modules, but never into the layer at which it is cut."""

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.layer = layer

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return m is self.layer or super().is_leaf_module(m, module_qualified_name)


def trace(network: nn.Module, layer: str) -> fx.Graph | None:
    """The network's operations, the layer being one; None if it has control flow that depends on data."""
    try:
        return _Tracer(layer_module(network, layer)).trace(network)
    except (fx.proxy.TraceError, TypeError, ValueError, RuntimeError, AttributeError):
        # fx raises any of these where Python itself has to look at a value it does not have yet.
        return None


Head = Callable[[Tensor], tuple[Tensor, ...]]
Tail = Callable[[tuple[Tensor, ...], Tensor], Tensor]


def split(network: nn.Module, layer: str) -> tuple[Head, Tail]:
    """Cut a network behind a layer.

    head(images) -> state: the layer's output, state[0], and whatever else the rest of the network needs.
    tail(state, activations) -> the network's output with the layer's output replaced by `activations`.

    The tail computes only what follows the layer if torch.fx can trace the network; a network with control flow
    that depends on data is run as a whole, with the layer's output replaced. Neither writes into its arguments.
    """
    graph = trace(network, layer)
    if graph is None:
        return _split_by_hooks(network, layer)
    nodes = list(graph.nodes)
    calls = [n for n in nodes if n.op == "call_module" and n.target == layer]
    if len(calls) != 1:
        raise DissectionError(
            f"layer {layer!r}: runs {len(calls)} times in a forward pass, not once"
        )
    cut = nodes.index(calls[0]) + 1
    before = set(nodes[:cut])
    parameters = {n for n in before if n.op == "get_attr"}
    crossing = [calls[0]] + [
        n
        for n in nodes[:cut]
        if n is not calls[0] and n not in parameters and any(u not in before for u in n.users)
    ]
    head_graph, tail_graph = fx.Graph(), fx.Graph()
    copied: dict[fx.Node, fx.Node] = {}
    for node in nodes[:cut]:
        copied[node] = head_graph.node_copy(node, lambda n: copied[n])
    head_graph.output(tuple(copied[n] for n in crossing))
    given = {n: tail_graph.placeholder(f"state_{i}") for i, n in enumerate(crossing)}
    for node in nodes:
        if node in parameters or node not in before:
            given[node] = tail_graph.node_copy(node, lambda n: given[n])
    head_module, tail_module = (
        fx.GraphModule(network, head_graph),
        fx.GraphModule(network, tail_graph),
    )

    def head(images: Tensor) -> tuple[Tensor, ...]:
        return head_module(images)

    def tail(state: tuple[Tensor, ...], activations: Tensor) -> Tensor:
        return tail_module(activations.clone(), *(s.clone() for s in state[1:]))

    return head, tail


def _split_by_hooks(network: nn.Module, layer: str) -> tuple[Head, Tail]:
    def head(images: Tensor) -> tuple[Tensor, ...]:
        with Probe(network, [layer], stop=True) as probe:
            probe(images)
            return probe.kept[layer], images

    def tail(state: tuple[Tensor, ...], activations: Tensor) -> Tensor:
        with Probe(network, edits={layer: lambda _: activations.clone()}) as probe:
            return probe(state[1])

    return head, tail


class _Geometry(TorchDispatchMode):
    """Follows, through every operation, where the centres of the receptive fields lie in the input."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else torch imports its compiler, which takes longer than all else here

    def __init__(self, image: Tensor):
        super().__init__()
        self.of = {id(image): ((0.0, 0.0), (1.0, 1.0))}  # tensor -> (offset, stride) by axis
        self.alive: list[Any] = [image]  # ids are only unique while their tensors live

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        output = function(*args, **(kwargs or {}))
        result = output[0] if isinstance(output, tuple) else output
        if isinstance(result, Tensor) and result.dim() == 4:
            name = function.overloadpacket.__name__
            flat = [a for arg in args for a in (arg if isinstance(arg, list | tuple) else [arg])]
            known = [a for a in flat if isinstance(a, Tensor) and id(a) in self.of]
            geometry = self._moved(name, args, known, result)
            if geometry is not None:
                self.of[id(result)] = geometry
            self.alive.append(result)
        return output

    def _moved(self, name: str, args: Any, known: list[Tensor], result: Tensor) -> Any:
        if name == "convolution" and not args[6] and known:
            kernel, stride, padding, dilation = args[1].shape[2:], args[3], args[4], args[5]
        elif name in ("max_pool2d", "max_pool2d_with_indices", "avg_pool2d") and known:
            kernel = args[1]
            stride = args[2] if len(args) > 2 and args[2] else kernel
            padding = args[3] if len(args) > 3 else (0, 0)
            dilation = args[4] if name != "avg_pool2d" and len(args) > 4 else (1, 1)
        else:
            same = [a for a in known if a.dim() == 4 and a.shape[2:] == result.shape[2:]]
            return self.of[id(same[0])] if same else None
        (offset, step), axes = self.of[id(known[0])], (0, 1)
        at = [
            tuple(v) * 2 if len(v) == 1 else tuple(v) for v in (kernel, stride, padding, dilation)
        ]
        kernel, stride, padding, dilation = at
        return (
            tuple(
                offset[i] + step[i] * (dilation[i] * (kernel[i] - 1) / 2 - padding[i]) for i in axes
            ),
            tuple(step[i] * stride[i] for i in axes),
        )


Centres = tuple[tuple[float, float], tuple[float, float]]


@torch.no_grad()
def receptive_field_centres(
    network: nn.Module, layers: Iterable[str], image: Tensor
) -> dict[str, Centres]:
    """Layer -> (offset, stride), each (y, x) in input pixels: activation (i, j) looks at the neighbourhood of
    the pixel offset + stride (i, j) (thesis 3.2.2: interpolants are anchored at these centres).

    image: (1, channels, h, w). Convolutions and poolings move the centres, every other operation that keeps
    height and width keeps them. A layer behind anything else gets cells of equal size: stride = h / rows.
    """
    centres: dict[str, Centres] = {}
    geometry = _Geometry(image)
    handles = []
    for layer in layers:

        def hook(module: nn.Module, inputs: Any, output: Tensor, layer: str = layer) -> None:
            stride = (image.shape[2] / output.shape[2], image.shape[3] / output.shape[3])
            equal = ((stride[0] / 2 - 0.5, stride[1] / 2 - 0.5), stride)
            centres[layer] = geometry.of.get(id(output), equal)

        handles.append(layer_module(network, layer).register_forward_hook(hook))
    try:
        with geometry:
            network(image)
    finally:
        for handle in handles:
            handle.remove()
    return centres
