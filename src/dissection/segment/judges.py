"""Small judges of pictures: whether a face has an attribute, and where an image shows something.

    smiles = load_attributes(config, device)        # of the profile's `judging.smile`
    smiles(images)                                  # (n,) bool, of (n, 3, h, w) uint8 RGB
    text = load_finder(config, "text", device)      # of its `judging.text`, or `mouth`
    text(images)                                    # (n, h, w) bool

In full the published Slim-CNN and BiSeNet; in small networks of the same kinds, trained on drawn scenes by
`attributes` and `finding`, for networks.train.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, interpolate

from dissection.config import Config
from dissection.data import Dataset
from dissection.errors import DissectionError
from dissection.networks import Preprocess, network_of
from dissection.networks.train import Learner, examples
from dissection.segment import network_input
from dissection.segment.train import annotations

BATCH = 64
Compare = Callable[[Tensor, Tensor], Tensor]
SHIFT = 2  # pixels that an image may be moved by in training


class Attributes:
    """Whether a face has an attribute: its score is above 0, its probability above a half."""

    def __init__(
        self,
        network: nn.Module,
        preprocess: Preprocess,
        output: int,
        shape: tuple[int, int] | None = None,
    ):
        """output: of the network, from 0. shape: (height, width) that images are scaled to; none: its input's."""
        self.network, self.preprocess, self.output = network.eval(), preprocess, output
        self.shape = shape or (preprocess.size, preprocess.size)

    def __call__(self, images: Tensor) -> Tensor:
        """(n, 3, h, w) uint8 RGB -> (n,) bool"""
        return self.scores(images) > 0

    @torch.inference_mode()
    def scores(self, images: Tensor) -> Tensor:
        """(n, 3, h, w) uint8 RGB -> (n,)"""
        device, found = next(self.network.parameters()).device, []
        for some in images.split(BATCH):
            pixels = some.to(device).float()
            if pixels.shape[2:] != self.shape:
                pixels = interpolate(pixels, self.shape, mode="bilinear", antialias=True)
            scores = self.network(network_input(self.preprocess, pixels))
            found.append(scores[:, self.output])
        return torch.cat(found)


class Finder:
    """Where the class of the highest score is one of some."""

    def __init__(self, network: nn.Module, preprocess: Preprocess, classes: list[int]):
        self.network, self.preprocess = network.eval(), preprocess
        self.classes = torch.tensor(classes)

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        """(n, 3, h, w) uint8 RGB -> (n, h, w) bool; sizes are matched by the nearest pixel, as by the authors."""
        device, found = next(self.network.parameters()).device, []
        for some in images.split(BATCH):
            pixels = interpolate(some.to(device).float(), [self.preprocess.size] * 2)
            best = self.network(network_input(self.preprocess, pixels)).argmax(1)
            mask = torch.isin(best, self.classes.to(device))[:, None].float()
            found.append(interpolate(mask, images.shape[2:])[:, 0] > 0)
        return torch.cat(found)


def load_attributes(config: Config, device: torch.device) -> Attributes:
    """Of the profile's `judging.smile`."""
    spec = config.judging.smile if config.judging else None
    if spec is None:
        raise DissectionError("judging.smile: missing; it says what tells smiles")
    network, preprocess = network_of(config, spec.network, device)
    return Attributes(network, preprocess, spec.output, spec.shape)


def load_finder(config: Config, what: str, device: torch.device) -> Finder:
    """what: mouth or text, of the profile's `judging`."""
    spec = config.finder(what)
    if spec is None:
        raise DissectionError(f"judging.{what}: missing; it says what finds it in images")
    return Finder(*network_of(config, spec.network, device), spec.classes)


# ------------------------------------------------------------------------------------------------ training


def attributes(
    config: Config,
    name: str,
    network: nn.Module,
    sets: tuple[Dataset, Dataset],
    device: torch.device,
) -> Learner:
    """Learns the recipe's concepts, an output each; the class of an image is `a+b` if a and b are true of it."""
    concepts, preprocess = _asked(config, name, network, device, 0)
    (images, names), (others, theirs) = (
        examples(s, "class", preprocess, config.memory_gb) for s in sets
    )

    def targets(names: list[str]) -> Tensor:
        return torch.tensor([[float(c in name.split("+")) for c in concepts] for name in names])

    def right(scores: Tensor, target: Tensor) -> Tensor:
        return (scores > 0) == (target > 0)

    loss = binary_cross_entropy_with_logits
    data, held_out = (images, targets(names)), (others, targets(theirs))
    return _learner(network, preprocess, device, data, held_out, loss, right, concepts)


def finding(
    config: Config,
    name: str,
    network: nn.Module,
    sets: tuple[Dataset, Dataset],
    device: torch.device,
) -> Learner:
    """Learns which of the recipe's concepts a pixel shows, class 1 ..., or none, 0."""
    concepts, preprocess = _asked(config, name, network, device, 1)
    data, held_out = (located(s, concepts, preprocess, config.memory_gb) for s in sets)

    def right(scores: Tensor, target: Tensor) -> Tensor:
        return scores.argmax(1) == target

    def details(scores: Tensor) -> dict[str, Any]:
        rows, found = {}, scores.argmax(1)
        for number, concept in enumerate(concepts, 1):
            one, other = found == number, held_out[1] == number
            rows[concept] = {"iou": round(float((one & other).sum() / (one | other).sum()), 4),
                             "share": round(float(other.float().mean()), 5)}  # fmt: skip
        return {"concepts": rows}

    classes = ["none", *concepts]
    return _learner(
        network, preprocess, device, data, held_out, cross_entropy, right, classes, details
    )


def _learner(
    network: nn.Module, preprocess: Preprocess, device: torch.device, data: tuple[Tensor, Tensor],
    held_out: tuple[Tensor, Tensor], loss: Compare, right: Compare, classes: list[str],
    details: Callable[[Tensor], dict[str, Any]] | None = None,
) -> Learner:  # fmt: skip
    """data, held_out: images (n, s, s, 3) and what is to be learnt of each; loss, right: of scores and that."""

    def scores_of(pixels: Tensor) -> Tensor:
        return network(network_input(preprocess, pixels).to(device))

    def step(*batch: Tensor) -> tuple[Tensor, Tensor]:
        pixels, target = moved(*batch)
        scores, target = scores_of(worn(pixels)), target.to(device)
        return loss(scores, target), right(scores, target).float().mean()

    @torch.inference_mode()
    def guesses() -> Tensor:
        network.eval()
        batches = held_out[0].permute(0, 3, 1, 2).split(200)
        return torch.cat([scores_of(some.float()).cpu() for some in batches])

    def validate() -> tuple[float, float]:
        scores, truth = guesses(), held_out[1]
        return float(right(scores, truth).float().mean()), float(loss(scores, truth))

    def said() -> dict[str, Any]:
        return details(guesses()) if details else {}

    return Learner(network, [*data], step, validate, classes, len(held_out[0]), said)


def _asked(
    config: Config, name: str, network: nn.Module, device: torch.device, more: int
) -> tuple[list[str], Preprocess]:
    """The recipe's concepts, if the network has an output for each, and so many more."""
    recipe, preprocess = config.networks[name].recipe, Preprocess(config.networks[name].input)
    assert recipe is not None
    with torch.inference_mode():
        size = preprocess.size
        outputs = network.eval()(torch.zeros(1, 3, size, size, device=device)).shape[1]
    if not recipe.concepts or outputs != len(recipe.concepts) + more:
        raise DissectionError(
            f"networks.{name}.arguments: the network has {outputs} outputs, its recipe asks for"
            f" {len(recipe.concepts) + more} ({', '.join(recipe.concepts) or 'add concepts'})"
        )
    return recipe.concepts, preprocess


def located(
    dataset: Dataset, concepts: list[str], preprocess: Preprocess, memory_gb: float
) -> tuple[Tensor, Tensor]:
    """(n, s, s, 3) uint8 images that are annotated with objects; (n, s, s) int64, 1 ... where they show a concept."""
    numbers = [dataset.concepts.index[dataset.concepts["name"] == c].tolist() for c in concepts]
    if [] in numbers:
        missing = concepts[numbers.index([])]
        raise DissectionError(f"training images: none is labelled with {missing!r}")
    found = annotations(dataset, preprocess, memory_gb)
    kept = (found.maps[:, 0] > 0).flatten(1).any(1)
    maps = found.maps[kept]
    target = torch.zeros(len(maps), *maps.shape[2:], dtype=torch.int64)
    for number, of in enumerate(numbers, 1):
        target[torch.isin(maps, torch.tensor(of, dtype=maps.dtype)).any(1)] = number
    return found.images[kept], target


def moved(images: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """(n, s, s, 3) uint8 -> (n, 3, s, s) float32, shifted by up to SHIFT pixels, half of them mirrored; (n, s, s)
    likewise, or else (n, ...), that of each image, as it is. Pixels at the border are repeated."""
    n, size = images.shape[:2]
    places = torch.arange(size) + torch.randint(-SHIFT, SHIFT + 1, (2, n, 1))
    rows, columns = places.clamp(0, size - 1)
    columns = torch.where(torch.rand(n, 1) < 0.5, columns.flip(1), columns)
    at = torch.arange(n)[:, None, None], rows[:, :, None], columns[:, None]
    return images[at].permute(0, 3, 1, 2).float(), target[at] if target.dim() == 3 else target


def worn(images: Tensor) -> Tensor:
    """(n, 3, s, s) in units of 0 to 255: in other light, softer and noisier, as generators draw; each by chance."""
    n, strength = len(images), torch.rand(len(images), 1, 1, 1)
    soft = torch.nn.functional.avg_pool2d(images, 3, 1, 1, count_include_pad=False)
    images = torch.lerp(images, soft, 0.5 * strength)
    images = images * (1 + 0.1 * torch.randn(n, 1, 1, 1)) + 8 * torch.randn(n, 3, 1, 1)
    images = images + 8 * torch.rand(n, 1, 1, 1) * torch.randn_like(images)
    return images.clamp(0, 255)
