"""Train an encoder to invert a generator, by its recipe (thesis 5.3.2, eqs. 5.3 and 5.4).

    train(config, "encoder_church", out, torch.device("cpu"))

First each small network alone: e_1 ... e_n, and e_f of the image, by left and right inversion losses on what the
generator computes from random z; then all of them together. `out` receives weights.safetensors, curve.csv,
metrics.json and samples.png. What is random comes from (seed, round of steps) alone, so that a run that was killed
resumes from its checkpoint and ends, on a CPU with as many threads, in the same bytes. Convolutions run in bfloat16.
"""

import hashlib
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, l1_loss, mse_loss
from tqdm import tqdm

from dissection.config import Config, Inversion
from dissection.errors import DissectionError
from dissection.files import write_csv, write_png
from dissection.networks import asset_of, load_network, module_of, read_weights, to_pixels
from dissection.networks.encoder import Encoder
from dissection.networks.progan import latents
from dissection.networks.train import CHECKPOINT, save_weights
from dissection.omit.inversion import Layers, correlation
from dissection.paths import replacing

ROUND = 250  # steps from one checkpoint to the next
TESTED = 256  # z that metrics are of: those of seed 1
SHOWN = 16  # of them, in samples.png

Distance = Callable[[Tensor, Tensor], Tensor]


class Part(NamedTuple):
    """What is trained at a time: all of `network`, on the losses that `loss` finds in a batch of z."""

    name: str
    network: nn.Module
    steps: int
    rate: float
    loss: Callable[[Tensor], tuple[Tensor, dict[str, Tensor]]]


def train(config: Config, name: str, out: Path, device: torch.device) -> None:
    """Train encoder `name`. weights.safetensors holds matrices and kernels in float16.

    Raises DissectionError if the network is no Encoder with a recipe, if it does not fit the generator, if that has
    no weights yet, or if training diverges.
    """
    spec = config.networks[name]
    recipe = spec.inversion
    if recipe is None:
        raise DissectionError(f"networks.{name}.inversion: missing; it says how to train")
    of = config.networks[recipe.generator]
    if of.training and not of.weights:
        raise DissectionError(
            f"networks.{name}.inversion.generator: {recipe.generator} has no weights yet; train and ship it first"
        )
    seed = config.seed if recipe.seed is None else recipe.seed
    encoder = load_network(spec, None, seed)
    if not isinstance(encoder, Encoder):
        raise DissectionError(f"network {name}: expected an Encoder, not {spec.module}")
    generator = module_of(config, recipe.generator, device)
    layers = Layers(generator, encoder.layers)
    z = latents(1, 0, TESTED, encoder.latent)
    _fits(encoder, layers, z[:2], name, device)
    for network in (encoder, generator):
        network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    how = spec.model_dump(include={"module", "arguments", "inversion"})
    identity = hashlib.sha256(json.dumps([how, seed]).encode())
    for tensor in generator.state_dict().values():
        identity.update(tensor.cpu().contiguous().numpy().data)
    parts = list(_parts(encoder, layers, recipe))
    seconds = _fit(encoder, parts, recipe, seed, device, out, identity.hexdigest(), name)
    save_weights(encoder, out / "weights.safetensors")
    encoder.load_state_dict(read_weights(out / "weights.safetensors"))
    metrics = {
        "generator": recipe.generator,
        "generator_sha256": _digest(config, of.weights),
        "steps": sum(part.steps for part in parts),
        "parameters": sum(p.numel() for p in encoder.parameters()),
        "seconds": round(seconds),
        **_measure(encoder, layers, z.to(device), out),
    }
    with replacing(out / "metrics.json") as path:
        path.write_text(json.dumps(metrics, indent=2) + "\n")
    (out / CHECKPOINT).unlink()


def _digest(config: Config, weights: str | None) -> str | None:
    """Of the generator's file: with other weights, the encoder is to be trained again."""
    path = asset_of(config, weights) if weights else None
    return hashlib.sha256(path.read_bytes()).hexdigest() if path and path.is_file() else None


@torch.no_grad()
def _fits(encoder: Encoder, layers: Layers, z: Tensor, name: str, device: torch.device) -> None:
    features = layers.features(z.to(device))
    wanted = [*features[::-1], z[:, :, None, None]]
    found = encoder.to(device).estimates(layers.late(features[-1]))
    for i, (a, b) in enumerate(zip(found, wanted, strict=True)):
        if a.shape[1:] != b.shape[1:]:
            what = f"layer{len(features) - i}" if i < len(features) else "z"
            raise DissectionError(
                f"networks.{name}.arguments: says {tuple(a.shape[1:])} of the generator's {what}, "
                f"which is {tuple(b.shape[1:])}"
            )


# ------------------------------------------------------------------------------------------------ losses


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """1 - cosine of the units at each place, averaged."""
    return (1 - cosine_similarity(a, b, eps=1e-12)).mean()


def losses(
    recipe: Inversion, image: bool = False, whole: bool = False
) -> tuple[Distance, Distance, float]:
    """Left loss, right loss and its weight lambda_R (eq. 5.3): of e_i, of e_f (image), or of all (whole).

    By default L1. `released`: of e_i cosine distances; of e_f the squared error of r_n; of all cosine distances, and
    the squared error of the image.
    """
    if recipe.loss == "thesis":
        return l1_loss, l1_loss, 1.0 if whole else recipe.right
    if image:
        return mse_loss, mse_loss, 0.0
    return (cosine, mse_loss, 1.0) if whole else (cosine, cosine, recipe.right)


def _parts(encoder: Encoder, layers: Layers, recipe: Inversion) -> "list[Part]":
    """e_1 ... e_n, e_f, and all; an encoder that is not layered has only the last, for as many steps."""
    parts = []
    for i in range(1, encoder.layers + 1):
        inverse = encoder.get_submodule(f"inv{i}")
        parts.append(Part(f"inv{i}", inverse, recipe.layer_steps, recipe.learning_rate,
                          _alone(inverse, layers, i, losses(recipe))))  # fmt: skip
    image = _alone(encoder.get_submodule("resnet"), layers, None, losses(recipe, image=True))
    parts.append(
        Part(
            "resnet",
            encoder.get_submodule("resnet"),
            recipe.image_steps,
            recipe.learning_rate,
            image,
        )
    )
    rate = recipe.joint_rate
    if not recipe.layered:
        parts, rate = [], recipe.learning_rate
    together = _together(encoder, layers, losses(recipe, whole=True), recipe.layered)
    return [*parts, Part("joint", encoder, recipe.joint_steps, rate, together)]


def _alone(
    network: nn.Module, layers: Layers, i: int | None, how: tuple[Distance, Distance, float]
):
    """The losses of e_i: g_i's input from its output, and its output again from that (eq. 5.3); None: of e_f."""
    left, right, weight = how
    forward = layers.late if i is None else layers.early[i - 1]

    def loss(z: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        with torch.no_grad():
            states = [z[:, :, None, None], *layers.features(z)]
            before = states[-1] if i is None else states[i - 1]
            after = forward(before)
        found = network(after)
        parts = {"left": left(found.float(), before.float())}
        total = parts["left"]
        if weight:
            parts["right"] = right(forward(found).float(), after.float())
            total = total + weight * parts["right"]
        return total, parts

    return loss


def _together(
    encoder: Encoder, layers: Layers, how: tuple[Distance, Distance, float], layered: bool
):
    """The losses of the whole: z and the image drawn again; and, if it is layered, r_n, as e_f estimates it and as it
    follows from z. The thesis does not list them; these are the authors'."""
    of_features, of_images, _ = how

    def loss(z: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        with torch.no_grad():
            r = layers.features(z)[-1]
            images = layers.late(r)
        estimates = encoder.estimates(images)
        again = layers.features(estimates[-1])[-1]
        parts = {
            "left": of_features(estimates[-1].float(), z[:, :, None, None]),
            "right": of_images(layers.late(again).float(), images.float()),
        }
        if layered:
            parts["estimated"] = of_features(estimates[0].float(), r.float())
            parts["recovered"] = of_features(again.float(), r.float())
        return torch.stack(list(parts.values())).sum(), parts

    return loss


# ------------------------------------------------------------------------------------------------ training


def _fit(
    encoder: Encoder,
    parts: list[Part],
    recipe: Inversion,
    seed: int,
    device: torch.device,
    out: Path,
    identity: str,
    name: str,
) -> float:
    """Train from the checkpoint in `out`, if it has the same identity, to the end. Returns seconds."""
    curve: list[dict[str, Any]] = []
    seconds, start, saved = 0.0, time.monotonic(), {}
    if (out / CHECKPOINT).exists():
        saved = torch.load(out / CHECKPOINT, map_location="cpu", weights_only=True)
    if saved.get("identity") == identity:
        encoder.load_state_dict(saved["encoder"])
        curve, seconds = saved["curve"], saved["seconds"]
    done = sum(row["steps"] for row in curve)
    with tqdm(total=sum(p.steps for p in parts), initial=done, desc=f"train {name}") as progress:
        for part in parts:
            step = sum(row["steps"] for row in curve if row["part"] == part.name)
            if step == part.steps:
                continue
            optimizer = torch.optim.Adam(part.network.parameters(), part.rate, fused=True)
            if step:
                optimizer.load_state_dict(saved["optimizer"])
            encoder.eval()
            part.network.train()
            while step < part.steps:
                count, found = min(ROUND, part.steps - step), []
                with torch.random.fork_rng():
                    torch.manual_seed(seed * 2**20 + len(curve))
                    for _ in range(count):
                        for group in optimizer.param_groups:  # along a cosine to 0
                            group["lr"] = (
                                part.rate * (1 + math.cos(math.pi * step / part.steps)) / 2
                            )
                        z = torch.randn(recipe.batch, encoder.latent).to(device)
                        # without its cache, which would keep weights from before a step
                        with torch.autocast(device.type, torch.bfloat16, cache_enabled=False):
                            total, values = part.loss(z)
                        optimizer.zero_grad()
                        total.backward()
                        optimizer.step()
                        found.append({key: value.detach() for key, value in values.items()})
                        step += 1
                        progress.update()
                row = {"part": part.name, "steps": count} | {
                    key: torch.stack([values[key] for values in found]).mean().item()
                    for key in found[0]
                }
                if not all(math.isfinite(row[key]) for key in found[0]):
                    raise DissectionError(
                        f"network {name}: the loss of {part.name} is no longer finite before step {step}; "
                        "lower inversion.learning_rate"
                    )
                curve.append(row)
                progress.set_postfix(part=part.name, left=row["left"])
                write_csv(pd.DataFrame(curve), out / "curve.csv")
                spent = seconds + time.monotonic() - start
                state: dict[str, Any] = {
                    "encoder": encoder.state_dict(),
                    "optimizer": optimizer.state_dict(),
                }
                state |= {"identity": identity, "curve": curve, "seconds": spent}
                with replacing(out / CHECKPOINT) as path:
                    torch.save(state, path)
    encoder.eval()
    return seconds + time.monotonic() - start


@torch.inference_mode()
def _measure(encoder: Encoder, layers: Layers, z: Tensor, out: Path) -> dict[str, float]:
    """Mean correlation, over images drawn from z, of z, of r_n and of the pixels with what method d makes of them.

    samples.png: images, and below each what is drawn from its z0.
    """
    r = layers.features(z)[-1]
    images = layers.late(r)
    found = encoder(images)
    again = layers.features(found)[-1]
    drawn = layers.late(again)
    write_png(out / "samples.png", *(to_pixels(x[:SHOWN]) for x in (images, drawn)))
    pairs = {"z": (found, z), "features": (again, r), "pixels": (drawn, images)}
    return {f"correlation_{k}": correlation(*pair).mean().item() for k, pair in pairs.items()}
