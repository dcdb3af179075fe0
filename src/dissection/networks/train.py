"""Train a network by its recipe, and ship what was trained.

    train(config, "alexnet_scenes", train_set, validation_set, out, torch.device("cpu"))
    ship(config, "alexnet_scenes", out, Path("weights/smoke"))

`out` receives weights.safetensors, snapshots/<iteration>.safetensors, curve.csv and metrics.json. Every
epoch draws its order, augmentation and dropout from (seed, epoch) alone, so that a run that was killed
resumes from the checkpoint of its last epoch and ends, on a CPU with as many threads, in the same bytes.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pandas as pd
import torch
from safetensors.torch import load, save, save_file
from torch import nn
from torch.nn.functional import affine_grid, cross_entropy, grid_sample
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR, StepLR
from tqdm import tqdm

from dissection.config import Config, Recipe
from dissection.data import Dataset
from dissection.data.stream import Streamed
from dissection.errors import DissectionError
from dissection.files import write_csv
from dissection.networks import Preprocess, load_network, pretext, read_weights
from dissection.paths import replacing

CHECKPOINT = "checkpoint.pt"
SMALLEST_PART = 0.35  # of an image, by area, that augmentation leaves of it
SMALLEST, LARGEST = 0.15, 0.7  # side of an object's square, as a share of the image's shorter side
CURVE = 25  # points of the training curve in the manifest
MOMENTUM = 0.9  # of SGD
Rows = torch.Tensor | Streamed


def train(
    config: Config,
    name: str,
    train_set: Dataset,
    validation_set: Dataset,
    out: Path,
    device: torch.device,
    learn: Callable[..., "Learner"] | None = None,
) -> None:
    """Train network `name` by its recipe: AdamW, one-cycle rate, mirrored parts of the images.

    learn: sets up what is learnt, as `_supervised` does; None: what the recipe's target says.
    weights.safetensors holds matrices and kernels in float16, vectors in float32, and metrics.json what
    these very weights achieve on the validation set. Raises DissectionError if the recipe is
    missing, does not fit the data or the memory, or diverges.
    """
    spec = config.networks[name]
    recipe = spec.recipe
    if recipe is None:
        raise DissectionError(f"network {name}: it has no recipe to train by")
    seed = config.seed if recipe.seed is None else recipe.seed
    network = load_network(spec, None, seed).to(device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # faster on CPUs
    sets = train_set, validation_set
    if learn is None:
        learn = _pretext if recipe.target in pretext.TASKS else _supervised
    learner = learn(config, name, network, sets, device)
    if len(learner.data[0]) < recipe.batch:
        raise DissectionError(f"network {name}: too few images for a batch of {recipe.batch}")
    # a checkpoint of other data or another recipe is no start
    how = spec.model_dump(include={"module", "arguments", "input", "recipe"})
    identity = hashlib.sha256(json.dumps([how, seed]).encode())
    for data in learner.data:
        identity.update(content(data))
    images = len(learner.data[0])
    curve = fit(
        learner.network, recipe, seed, learner.data, learner.step, learner.validate, out, identity.hexdigest(), name
    )  # fmt: skip
    save_weights(network, out / "weights.safetensors")
    network.load_state_dict(read_weights(out / "weights.safetensors"))
    accuracy, loss = learner.validate()
    metrics = {
        "classes": learner.classes,
        "images": images,
        "iterations": curve[-1]["iteration"],
        "parameters": sum(p.numel() for p in network.parameters()),
        "train_accuracy": curve[-1]["train_accuracy"],
        "validation_accuracy": accuracy,
        "validation_images": learner.held_out,
        "validation_loss": loss,
    } | learner.details()
    with replacing(out / "metrics.json") as path:
        path.write_text(json.dumps(metrics, indent=2) + "\n")
    (out / CHECKPOINT).unlink()


class Learner(NamedTuple):
    """What `fit` needs of a task: the module with its head, the data, and its steps."""

    network: nn.Module
    data: Sequence[Rows]
    step: Callable[..., tuple[torch.Tensor, torch.Tensor]]  # of a batch of each of `data`
    validate: Callable[[], tuple[float, float]]
    classes: list[str]
    held_out: int  # examples to validate on
    details: Callable[[], dict[str, Any]] = dict  # what else to say of the trained network


def _supervised(
    config: Config,
    name: str,
    network: nn.Module,
    sets: tuple[Dataset, Dataset],
    device: torch.device,
) -> Learner:
    """Classes of images, of objects cut out of them, or (hybrid) of both together."""
    recipe, preprocess = config.networks[name].recipe, Preprocess(config.networks[name].input)
    assert recipe is not None
    images, names = examples(sets[0], recipe.target, preprocess, config.memory_gb, stream=True)
    others = examples(sets[1], recipe.target, preprocess, config.memory_gb)
    with torch.inference_mode():
        size = preprocess.size
        outputs = network.eval()(torch.zeros(1, 3, size, size, device=device)).shape[1]
    classes = list(sets[0].classes) if recipe.target != "object" else []
    if recipe.target != "class":  # as many as the network has outputs left, the most frequent
        counts = Counter(n for n in names if n not in classes)
        most = sorted(counts, key=lambda c: (-counts[c], c))
        classes += sorted(most[: outputs - len(classes)])
    if outputs != len(classes):
        raise DissectionError(
            f"networks.{name}.arguments: the network has {outputs} outputs, "
            f"its training set {len(classes)} classes ({', '.join(classes)})"
        )
    kept, targets = of_classes(names, classes)
    images = images if len(targets) == len(images) else images[kept]
    seen, truth = of_classes(others[1], classes)
    held_out = others[0][seen], truth
    if not len(held_out[0]):
        raise DissectionError(f"network {name}: none of its classes is in the validation set")

    def step(some: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        target = target.to(device)
        scores = network(preprocess.normalise(augment(some.to(device))))
        return cross_entropy(scores, target), (scores.argmax(1) == target).float().mean()

    def validate() -> tuple[float, float]:
        return evaluate(network, preprocess, *held_out, device)

    return Learner(network, [images, targets], step, validate, classes, len(held_out[0]))


def _pretext(
    config: Config,
    name: str,
    network: nn.Module,
    sets: tuple[Dataset, Dataset],
    device: torch.device,
) -> Learner:
    """A self-supervised task. Videos are drawn of a quarter as many scenes as the datasets have images."""
    spec = config.networks[name]
    recipe, preprocess = spec.recipe, Preprocess(spec.input)
    assert recipe is not None
    target = recipe.target
    sounds: tuple[str, ...] = ()
    found: list[Any] = []  # the images or the videos of the two sets
    for key, dataset in zip((recipe.dataset, recipe.validation), sets, strict=True):
        if target in pretext.FROM_IMAGES:
            stream = key == recipe.dataset
            images, _ = examples(dataset, "class", preprocess, config.memory_gb, stream)
            found.append((images, None))
            continue
        drawn = config.assets.get(config.datasets[key].asset)
        if drawn is None or drawn.scenes is None:
            raise DissectionError(
                f"networks.{name}.recipe: {target} needs videos, and {key} is not drawn"
            )
        videos = pretext.draw_videos(
            config.seed, drawn.scenes.first, len(dataset) // 4, preprocess.size, sounds
        )
        sounds = videos.sounds
        found.append((None, videos))
    arguments = [len(sounds)] if target == "audio" else []
    with torch.random.fork_rng():  # its head, too, comes from the seed alone
        torch.manual_seed(config.seed if recipe.seed is None else recipe.seed)
        task = pretext.TASKS[target](network, preprocess.normalise, *arguments).to(device)
    data, held_out = (task.data(*f) for f in found)

    def step(*batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        with device:  # what the task draws, it draws there
            return task(*(part.to(device) for part in batch))

    def validate() -> tuple[float, float]:
        return pretext.evaluate(task, held_out, device)

    return Learner(task, data, step, validate, list(sounds), len(held_out[0]))


def fit(
    network: nn.Module,
    recipe: Recipe,
    seed: int,
    data: Sequence[Rows],
    step: Callable[..., tuple[torch.Tensor, torch.Tensor]],
    validate: Callable[[], tuple[float, float]],
    out: Path,
    identity: str,
    name: str,
) -> list[dict[str, float]]:
    """Train from the checkpoint in `out`, if it has the same identity, to the end. Returns the curve.

    step: a batch of each of `data` -> loss and accuracy; validate: -> accuracy and loss.
    """
    images = len(data[0])
    steps = images // recipe.batch
    total = recipe.epochs * steps
    if max(recipe.snapshots, default=0) > total:
        raise DissectionError(f"network {name}: recipe.snapshots go beyond the {total} iterations")
    rate, decay, learnt = recipe.learning_rate, recipe.weight_decay, network.parameters()
    optimizer: torch.optim.Optimizer
    schedule: LRScheduler
    if recipe.drop:
        optimizer = torch.optim.SGD(learnt, rate, MOMENTUM, weight_decay=decay, fused=True)
        schedule = StepLR(optimizer, recipe.drop, 0.1)
    else:
        optimizer = torch.optim.AdamW(learnt, rate, weight_decay=decay, fused=True)
        schedule = OneCycleLR(optimizer, rate, total, cycle_momentum=False)
    parts: dict[str, Any] = {"network": network, "optimizer": optimizer, "schedule": schedule}
    curve: list[dict[str, float]] = []
    saved = {}
    if (out / CHECKPOINT).exists():
        saved = torch.load(out / CHECKPOINT, map_location="cpu", weights_only=True)
    if saved.get("identity") == identity:
        for key, part in parts.items():
            part.load_state_dict(saved[key])
        curve = saved["curve"]
    elif 0 in recipe.snapshots:
        save_weights(network, snapshot(out, 0))

    iteration = len(curve) * steps
    with tqdm(total=total, initial=iteration, desc=f"train {name}", unit="step") as progress:
        for epoch in range(len(curve), recipe.epochs):
            network.train()
            losses, accuracies = torch.zeros(()), torch.zeros(())
            with torch.random.fork_rng():
                torch.manual_seed(seed * 2**20 + epoch)
                order = torch.randperm(images)[: steps * recipe.batch]
                for batch in zip(*(batches(d, order.view(steps, -1)) for d in data), strict=True):
                    loss, accuracy = step(*batch)
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                    schedule.step()
                    losses, accuracies = losses + loss.detach(), accuracies + accuracy
                    iteration += 1
                    progress.update()
                    if iteration in recipe.snapshots:
                        save_weights(network, snapshot(out, iteration))
            if not torch.isfinite(losses):
                raise DissectionError(
                    f"network {name}: the loss is no longer finite in epoch {epoch + 1}; "
                    "lower recipe.learning_rate"
                )
            row: dict[str, float] = {
                "iteration": iteration,
                "loss": losses.item() / steps,
                "train_accuracy": accuracies.item() / steps,
                "validation_accuracy": validate()[0],
                "learning_rate": float(schedule.get_last_lr()[0]),
            }
            curve.append(row)
            progress.set_postfix(loss=row["loss"], accuracy=row["validation_accuracy"])
            write_csv(pd.DataFrame(curve), out / "curve.csv")
            state = {key: part.state_dict() for key, part in parts.items()}
            with replacing(out / CHECKPOINT) as path:
                torch.save(state | {"identity": identity, "curve": curve}, path)
    return curve


def content(data: Rows) -> Any:
    """Bytes that tell data from other data."""
    return "\n".join(data.names).encode() if isinstance(data, Streamed) else data.numpy().data


def batches(data: Rows, order: torch.Tensor) -> Iterator[torch.Tensor]:
    """(batches, n) indices -> the rows of each batch."""
    return data.batches(order) if isinstance(data, Streamed) else map(data.__getitem__, order)


def augment(images: torch.Tensor) -> torch.Tensor:
    """(n, h, w, 3) uint8 -> (n, 3, h, w) float32: a part of each image at full size, half of them mirrored."""
    n, h, w, _ = images.shape
    grid = affine_grid(parts(n).to(images.device), [n, 3, h, w], align_corners=False)
    pixels = images.permute(0, 3, 1, 2).float()
    return grid_sample(pixels, grid, padding_mode="border", align_corners=False)


def parts(n: int) -> torch.Tensor:
    """(n, 2, 3): from the coordinates of a view to those of the image, both from -1 to 1.

    The view has the image's shape, any place, and an area of at least SMALLEST_PART. It makes a network
    look for things wherever and however large they are, where the whole scene would do.
    """
    share = torch.empty(n).uniform_(SMALLEST_PART, 1).sqrt()
    mirror = torch.where(torch.rand(n) < 0.5, -1.0, 1.0)
    transform = torch.zeros(n, 2, 3)
    transform[:, 0, 0], transform[:, 1, 1] = mirror * share, share
    transform[:, :, 2] = (torch.rand(n, 2) * 2 - 1) * (1 - share[:, None])
    return transform


@torch.inference_mode()
def evaluate(
    network: nn.Module,
    preprocess: Preprocess,
    images: torch.Tensor,
    targets: torch.Tensor,
    device: torch.device,
) -> tuple[float, float]:
    """Accuracy (0 to 1) and mean cross-entropy (nats) on (n, h, w, 3) uint8 images."""
    network.eval()
    hits, loss = 0, 0.0
    for batch, target in zip(images.split(200), targets.to(device).split(200), strict=True):
        scores = network(preprocess.normalise(batch.permute(0, 3, 1, 2).to(device)))
        hits += int((scores.argmax(1) == target).sum())
        loss += cross_entropy(scores, target, reduction="sum").item()
    return hits / len(images), loss / len(images)


def save_weights(network: nn.Module, path: Path) -> None:
    """The state dict as safetensors: float16 where it has two axes or more, else as it is."""
    state = {
        key: (t.half() if t.is_floating_point() and t.ndim > 1 else t).cpu().contiguous()
        for key, t in network.state_dict().items()
    }
    with replacing(path) as beside:
        save_file(state, beside)  # without metadata, which would come in random order


def snapshot(out: Path, iteration: int) -> Path:
    return out / "snapshots" / f"{iteration}.safetensors"


def object_crops(dataset: Dataset, index: int) -> Iterator[tuple[np.ndarray, int]]:
    """A square crop (side, side, 3) round the largest piece of each object of an image, and its number.

    Objects that are small, or large as sky and wall are, or that leave the image, are passed over.
    """
    image = dataset.image(index)
    height, width = image.shape[:2]
    for labels in dataset.labels(index).get("object", ()):
        scale = np.array([width / labels.shape[1], height / labels.shape[0]] * 2)
        for number in np.unique(labels[labels > 0]):
            mask = (labels == number).astype(np.uint8)
            pieces = cv2.connectedComponentsWithStats(mask, connectivity=8)[2][1:]
            x, y, w, h = pieces[pieces[:, cv2.CC_STAT_AREA].argmax(), :4] * scale
            side = 1.25 * max(w, h)
            left, top = x + w / 2 - side / 2, y + h / 2 - side / 2
            if (
                SMALLEST <= side / min(width, height) <= LARGEST
                and min(left, top) >= 0
                and max(left - width, top - height) + side <= 0
            ):
                left, top, side = round(left), round(top), round(side)
                yield image[top : top + side, left : left + side], int(number)


def examples(
    dataset: Dataset, target: str, preprocess: Preprocess, memory_gb: float, stream: bool = False
) -> tuple[Any, list[str]]:
    """(n, size, size, 3) uint8 images or object crops, in the order of the dataset, and their names; for
    the target `hybrid` the images first and then the crops. stream: images that do not fit the memory are `Streamed`.
    """
    if target == "hybrid":
        both = [examples(dataset, kind, preprocess, memory_gb) for kind in ("class", "object")]
        return torch.cat([found for found, _ in both]), both[0][1] + both[1][1]
    images, names = [], []
    bound = int(memory_gb * 2**30) // (3 * preprocess.size**2)
    if stream and target == "class" and len(dataset) > bound:
        return _streamed(dataset, preprocess)
    for index in tqdm(range(len(dataset)), desc="load images", unit="image"):
        if target == "object":
            found = [(c, dataset.concepts.name[n]) for c, n in object_crops(dataset, index)]
        else:
            number = dataset.target(index)
            found = [] if number is None else [(dataset.image(index), dataset.classes[number])]
        for image, name in found:
            images.append(preprocess.crop(image).permute(1, 2, 0).contiguous())
            names.append(name)
        if len(images) > bound:
            raise DissectionError(
                f"training images: more than the {bound} that fit memory_gb ({memory_gb}); "
                "lower the dataset's images or raise memory_gb"
            )
    if not images:
        raise DissectionError(
            f"training images: none of {len(dataset)} has a label of its {target}"
        )
    return torch.stack(images), names


def _streamed(dataset: Dataset, preprocess: Preprocess) -> tuple[Streamed, list[str]]:
    """All images of a class, read when they are asked for, and the names of their classes."""
    targets = [(i, t) for i in range(len(dataset)) if (t := dataset.target(i)) is not None]
    kept = [index for index, _ in targets]

    def row(number: int) -> np.ndarray:
        return preprocess.crop(dataset.image(kept[number])).numpy().transpose(1, 2, 0)

    keys = [dataset.key(index) for index in kept]
    return Streamed(row, keys, torch.get_num_threads()), [dataset.classes[t] for _, t in targets]


def of_classes(names: Sequence[str], classes: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """Indices of the names that are classes, and (n,) int64 indices into `classes`."""
    number = {name: index for index, name in enumerate(classes)}
    kept = torch.tensor([i for i, name in enumerate(names) if name in number], dtype=torch.int64)
    return kept, torch.tensor([number[names[i]] for i in kept.tolist()], dtype=torch.int64)


def ship(config: Config, name: str, trained: Path, out: Path) -> None:
    """Copy the weights (and snapshots) of a training run into `out` and enter them in its manifest.json.

    An entry says how the weights came about: the network with its recipe, the seed, the metrics, the
    curve, and the file with its sha256 and bytes. The labels of a segmenter go into <name>.labels.json.
    """
    spec = config.networks[name]
    if spec.training is None:
        raise DissectionError(f"network {name}: it has no recipe, so it was not trained here")
    files = {name: trained / "weights.safetensors"}
    files |= {f"{name}.{i}": snapshot(trained, i) for i in spec.training.snapshots}
    for path in (*files.values(), trained / "metrics.json", trained / "curve.csv"):
        if not path.is_file():
            raise DissectionError(f"network {name}: no {path}; train it first (snakemake weights)")
    curve = pd.read_csv(trained / "curve.csv")
    curve = curve.iloc[np.unique(np.linspace(0, len(curve) - 1, CURVE).round().astype(int))]
    metrics = json.loads((trained / "metrics.json").read_text())
    labels = metrics.pop("labels", None)
    kind = next(k for k in ("recipe", "adversarial", "inversion") if getattr(spec, k))
    how = {"latent" if spec.latent else "input", kind}
    about: dict[str, Any] = {
        **spec.model_dump(mode="json", include={"module", "arguments", *how}),
        "data": {d: _origin(config, d) for d in spec.training.datasets},
        "seed": config.seed if spec.training.seed is None else spec.training.seed,
        "torch": torch.__version__,
        "metrics": metrics,
        "curve": curve.to_dict("list"),
    }
    # what follows the last layer that is looked at is most of a classifier's weights; a generator draws with it
    network = load_network(spec, None, config.seed)
    beyond = set() if spec.latent else _beyond(network, spec.layers.values())
    manifest = out / "manifest.json"
    entries = json.loads(manifest.read_text()) if manifest.exists() else {}
    if labels is not None:
        data = (json.dumps(labels, indent=1) + "\n").encode()
        entries[f"{name}.labels"] = _shipped(out / f"{name}.labels.json", data) | {
            "labels_of": name
        }
    for entry, source in files.items():
        data = source.read_bytes()
        if (
            entry != name
        ):  # what follows the last layer that is looked at is most of a network's weights
            data = save({k: v for k, v in load(data).items() if k not in beyond})
        entries[entry] = _shipped(out / f"{entry}.safetensors", data) | (
            about if entry == name else {"snapshot_of": name}
        )
    with replacing(manifest) as path:
        path.write_text(json.dumps(dict(sorted(entries.items())), indent=1) + "\n")


def _beyond(network: nn.Module, layers: Iterable[str]) -> set[str]:
    """Keys of the state dict that belong to modules registered after the last of `layers`."""
    order = [name for name, _ in network.named_modules()]
    last = max(layers, key=order.index)
    later = {name for name in order[order.index(last) :] if not f"{name}.".startswith(f"{last}.")}
    return {key for key in network.state_dict() if key.rpartition(".")[0] in later}


def _shipped(path: Path, data: bytes) -> dict[str, Any]:
    """Write a file; what the manifest says of it."""
    with replacing(path) as beside:
        beside.write_bytes(data)
    return {"file": path.name, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


def _origin(config: Config, dataset: str) -> dict[str, Any]:
    """The settings of a dataset and of the asset that it reads."""
    spec = config.datasets[dataset]
    asset = config.assets.get(spec.asset)
    about = asset.model_dump(mode="json", exclude_none=True) if asset else {}
    return spec.model_dump(mode="json", exclude_none=True) | about
