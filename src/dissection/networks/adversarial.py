"""Train a generator against a critic, by its recipe.

    train(config, "progan_church", images, out, torch.device("cpu"))

`out` receives weights.safetensors (of the averaged generator), snapshots/<iteration>.safetensors, curve.csv,
samples.png and metrics.json. Resolution grows as in Karras et al. (2018): each finer one is faded in. What
is random comes from (seed, round of iterations) alone, so that a run that was killed resumes from its
checkpoint and ends, on a CPU with as many threads, in the same bytes. Convolutions run in bfloat16.
"""

import copy
import hashlib
import itertools
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, leaky_relu, softplus
from tqdm import tqdm

from dissection.config import Adversarial, Config, Input
from dissection.data import Dataset
from dissection.data.stream import Streamed
from dissection.errors import DissectionError
from dissection.files import write_csv, write_png
from dissection.networks import Preprocess, load_network, read_weights, to_pixels
from dissection.networks.progan import ProGAN, Scale, latents
from dissection.networks.stylegan import DECAY, StyleGAN, ToRGB
from dissection.networks.stylegan2 import State, StyleGAN2, doubled
from dissection.networks.train import CHECKPOINT, Rows, content, save_weights, snapshot
from dissection.paths import replacing

ROUND = 250  # iterations from one checkpoint to the next
DRIFT = 1e-3  # weight that keeps a Wasserstein critic's scores near 0
SAMPLES = 64  # pictures in samples.png
GROUP = 4  # images over which the critic sees the variation
NOISE = 0.01  # learning rate of a StyleGAN2's noise, which soon drowns what is drawn, relative to that of others
MIXING = 0.9  # how often a StyleGAN draws a batch by two styles, one for the coarse layers, one for the fine

Scores = Callable[[Tensor], Tensor]  # images (n, 3, h, h) -> (n,)


def train(config: Config, name: str, images: Dataset, out: Path, device: torch.device) -> None:
    """Train generator `name` on the images. weights.safetensors holds matrices and kernels in float16.

    Raises DissectionError if the network is no ProGAN, StyleGAN or StyleGAN2 with a recipe, if the recipe does not fit
    it, or if training diverges.
    """
    spec = config.networks[name]
    recipe = spec.adversarial
    if recipe is None:
        raise DissectionError(f"networks.{name}.adversarial: missing; it says how to train")
    seed = config.seed if recipe.seed is None else recipe.seed
    generator = load_network(spec, None, seed)
    if not isinstance(generator, ProGAN | StyleGAN | StyleGAN2):
        raise DissectionError(
            f"network {name}: only a ProGAN, a StyleGAN or a StyleGAN2 can be trained, not {spec.module}"
        )
    if len(recipe.critic) != len(generator.widths):
        raise DissectionError(
            f"networks.{name}.adversarial.critic: {len(recipe.critic)} widths for the "
            f"{len(generator.widths)} resolutions of the generator"
        )
    if max(recipe.snapshots, default=0) > recipe.iterations:
        raise DissectionError(f"network {name}: snapshots beyond {recipe.iterations} iterations")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        parts = Training(generator, Critic(recipe.critic, recipe.stddev), recipe, device)
    side = 4 * 2 ** (len(generator.widths) - 1)
    real = load_images(images, side, config.memory_gb)
    if len(real) < recipe.batch:
        raise DissectionError(f"network {name}: too few images for a batch of {recipe.batch}")
    how = spec.model_dump(include={"module", "arguments", "latent", "adversarial"})
    del how["adversarial"][
        "iterations"
    ]  # a longer training goes on from a shorter one's checkpoint
    identity = hashlib.sha256(json.dumps([how, seed]).encode())
    identity.update(content(real))
    curve, seconds = _fit(parts, recipe, seed, real, out, identity.hexdigest(), name)
    averaged = parts.averaged.generator
    save_weights(averaged, out / "weights.safetensors")
    averaged.load_state_dict(read_weights(out / "weights.safetensors"))
    _draw_samples(averaged, out, device)
    metrics = {
        "images": len(real),
        "iterations": recipe.iterations,
        "images_shown": recipe.iterations * recipe.batch,
        "parameters": sum(p.numel() for p in averaged.parameters()),
        "seconds": round(seconds),
        **{key: curve[-1][key] for key in ("critic_loss", "generator_loss", "real", "fake")},
    }
    with replacing(out / "metrics.json") as path:
        path.write_text(json.dumps(metrics, indent=2) + "\n")
    (out / CHECKPOINT).unlink()


def load_images(dataset: Dataset, side: int, memory_gb: float) -> Rows:
    """(n, 3, side, side) uint8, the middle of each image; read as training goes on, if beyond memory_gb."""
    crop = Preprocess(Input(size=side)).crop

    def row(index: int) -> np.ndarray:
        image = dataset.image(index)
        height, width = image.shape[:2]
        short = min(height, width)
        top, left = (height - short) // 2, (width - short) // 2
        return crop(image[top : top + short, left : left + short]).numpy()

    if len(dataset) > int(memory_gb * 2**30) // (3 * side**2):
        keys = [dataset.key(index) for index in range(len(dataset))]
        return Streamed(row, keys, torch.get_num_threads())
    numbers = tqdm(range(len(dataset)), desc="load images", unit="image")
    return torch.from_numpy(np.stack([row(index) for index in numbers]))


# ------------------------------------------------------------------------------------------------ networks


class Growing(nn.Module):
    """A generator with an output for every resolution; the last is the generator's own."""

    def __init__(self, generator: ProGAN | StyleGAN):
        super().__init__()
        self.generator: Any = generator
        self.coarse = nn.ModuleList(self.new_head(units) for units in generator.widths[:-1])

    def new_head(self, units: int) -> nn.Module:
        return ProGAN.new_head(units, self.generator.style)

    def head(self, level: int) -> nn.Module:
        last = level == len(self.coarse)
        return getattr(self.generator, self.generator.head) if last else self.coarse[level]

    def features(self, z: Tensor, level: int) -> tuple[Tensor, Tensor]:
        """z (n, latent) -> what the resolution before and this one put out."""
        x = before = z[:, :, None, None]
        for number in range(2 * level + 2):
            if number == 2 * level:
                before = x
            x = self.generator[number](x)
        return before, x

    def forward(self, z: Tensor, level: int, alpha: float) -> Tensor:
        """z (n, latent) -> images of 4 * 2 ** level pixels; alpha: share of that resolution, as it is faded in."""
        before, x = self.features(z, level)
        images = self.head(level)(x).float()
        if alpha < 1:
            coarse = interpolate(self.head(level - 1)(before).float(), scale_factor=2.0)
            images = torch.lerp(coarse, images, alpha)
        return images

    def grown(self, level: int) -> nn.Module:
        """The generator as it is at a resolution, with published names."""
        generator = self.generator
        if level == len(self.coarse):
            return generator
        names = [f"layer{n}" for n in range(1, 2 * level + 3)]
        modules = {name: getattr(generator, name) for name in names}
        side = 4 * 2**level
        return nn.ModuleDict(modules | {f"output_{side}x{side}": self.coarse[level]})


class GrowingStyle(Growing):
    """A StyleGAN, likewise. In training it draws by one style or two, and keeps the running mean of w."""

    def new_head(self, units: int) -> nn.Module:
        return ToRGB(units)

    def head(self, level: int) -> nn.Module:
        return (
            self.generator.synthesis.ToRGB_lod0 if level == len(self.coarse) else self.coarse[level]
        )

    def features(self, z: Tensor, level: int) -> tuple[Tensor, Tensor]:
        generator, layers = self.generator, 2 * level + 2
        w = generator.mapping(z)[:, None].expand(-1, layers, -1)
        if self.training:
            with torch.no_grad():
                generator.dlatent_avg.lerp_(w[:, 0].mean(0), 1 - DECAY)
            if torch.rand(()) < MIXING:
                other = generator.mapping(torch.randn(z.shape).to(z.device))[:, None]
                fine = torch.arange(layers) >= torch.randint(1, layers, ())
                w = torch.where(fine[:, None].to(w.device), other, w)
        found = generator.synthesis.features(w, level)
        return found[-3] if level else found[-1], found[-1]

    def grown(self, level: int) -> nn.Module:
        generator = self.generator
        if level == len(self.coarse):
            return generator
        with torch.device("meta"):
            small = StyleGAN(
                generator.latent, generator.widths[: level + 1], generator.style, generator.depth
            )
        state = {k: t for k, t in generator.state_dict().items() if k in small.state_dict()}
        for key, tensor in self.coarse[level].state_dict().items():
            state[f"synthesis.ToRGB_lod0.{key}"] = tensor
        small.load_state_dict(state, assign=True)
        return small


class GrowingStyle2(nn.Module):
    """A StyleGAN2, likewise. The image of a coarser resolution is the one that finer layers add to.

    Left out, for they take time: mixing of styles, regularisation of path lengths, the critic's residuals.
    """

    def __init__(self, generator: StyleGAN2):
        super().__init__()
        self.generator = generator

    def forward(self, z: Tensor, level: int, alpha: float) -> Tensor:
        generator = self.generator
        w = generator.style(z).float()
        if self.training:
            with torch.no_grad():
                generator.latent_avg.lerp_(w.mean(0), 1 - DECAY)
        w = w[:, None].expand(-1, 2 * len(generator.widths), -1)
        state = generator.run(State(w, w, None), until=f"layer{2 * level + 2}")
        images = generator.get_submodule(f"rgb{level + 1}")(state).rgb
        if alpha < 1 and state.rgb is not None:
            images = torch.lerp(doubled(state.rgb), images, alpha)
        return images

    def grown(self, level: int) -> nn.Module:
        generator = self.generator
        with torch.device("meta"):
            style = len(generator.latent_avg)
            small = StyleGAN2(generator.latent, generator.widths[: level + 1], style, generator.depth)  # fmt: skip
        small.load_state_dict({k: generator.state_dict()[k] for k in small.state_dict()}, assign=True)  # fmt: skip
        return small


class Convolution(nn.Module):
    """A convolution with bias at an equal learning rate, and a leaky rectifier."""

    def __init__(self, inputs: int, units: int, kernel: int, padding: int = 0, active: bool = True):
        super().__init__()
        gain = 2**0.5 if active else 1.0
        self.weight = nn.Parameter(torch.randn(units, inputs, kernel, kernel))
        self.wscale = Scale(units, gain / (inputs * kernel**2) ** 0.5, stored=False)
        self.padding, self.active = padding, active

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight * self.wscale.scale
        x = nn.functional.conv2d(x, weight, self.wscale.b, padding=self.padding)
        return leaky_relu(x, 0.2) if self.active else x


class Critic(nn.Module):
    """Images of 4 * 2 ** level pixels -> scores (n,), high for real ones. It mirrors a generator.

    widths: units at 4, 8, 16 ... pixels. stddev: a map of how much the images of a batch vary is joined at 4 pixels.
    """

    def __init__(self, widths: Sequence[int], stddev: bool):
        super().__init__()
        self.stddev = stddev
        self.inlets = nn.ModuleList(Convolution(3, units, 1) for units in widths)
        self.blocks = nn.ModuleList(
            # the second convolution after the pooling, where it costs a quarter
            nn.Sequential(
                Convolution(fine, fine, 3, 1), nn.AvgPool2d(2), Convolution(fine, units, 3, 1)
            )
            for units, fine in itertools.pairwise(widths)
        )
        self.last = nn.Sequential(
            Convolution(widths[0] + stddev, widths[0], 3, 1),
            Convolution(widths[0], widths[0], 4),
            Convolution(widths[0], 1, 1, active=False),
        )

    def forward(self, images: Tensor, level: int, alpha: float) -> Tensor:
        x = self.inlets[level](images)
        if level:
            x = self.blocks[level - 1](x)
            if alpha < 1:
                x = torch.lerp(self.inlets[level - 1](avg_pool2d(images, 2)).to(x.dtype), x, alpha)
        for block in reversed(self.blocks[: max(level - 1, 0)]):
            x = block(x)
        if self.stddev:
            x = torch.cat([x, variation(x)], 1)
        return self.last(x).flatten().float()


def variation(x: Tensor) -> Tensor:
    """(n, units, h, w) -> (n, 1, h, w): the standard deviation of each unit over a group of images, averaged.

    Groups are of GROUP images in a row, or of all if they do not divide n.
    """
    n, units, h, w = x.shape
    group = GROUP if n % GROUP == 0 else n
    by_group = x.float().reshape(n // group, group, units, h, w)
    deviation = (by_group.var(1, correction=0) + 1e-8).sqrt().mean((1, 2, 3))
    return deviation.repeat_interleave(group)[:, None, None, None].expand(n, 1, h, w).to(x.dtype)


# ------------------------------------------------------------------------------------------------ losses


def r1(scores: Scores, real: Tensor) -> Tensor:
    """Half the squared gradient of the scores by real images, averaged (Mescheder et al. 2018)."""
    real = real.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(scores(real).sum(), real, create_graph=True)
    return gradient.square().sum((1, 2, 3)).mean() / 2


def lipschitz(scores: Scores, real: Tensor, fake: Tensor, share: Tensor) -> Tensor:
    """(|gradient| - 1) ** 2 at share * real + (1 - share) * fake, averaged (Gulrajani et al. 2017).

    share: (n, 1, 1, 1), 0 to 1.
    """
    between = torch.lerp(fake.detach(), real.detach(), share).requires_grad_()
    (gradient,) = torch.autograd.grad(scores(between).sum(), between, create_graph=True)
    return (gradient.square().sum((1, 2, 3)).sqrt() - 1).square().mean()


def stage(iteration: int, growth: int, levels: int) -> tuple[int, float]:
    """(level, alpha) of an iteration: `growth` iterations at 4 pixels, then as many to fade each level in and at it."""
    part, rest = divmod(iteration, growth) if growth else (2 * levels, 0)
    level = (part + 1) // 2
    if level >= levels:
        return levels - 1, 1.0
    return level, rest / growth if part % 2 else 1.0


# ------------------------------------------------------------------------------------------------ training


class Training:
    """The two networks, the averaged generator, and their optimisers."""

    def __init__(
        self,
        generator: ProGAN | StyleGAN | StyleGAN2,
        critic: Critic,
        recipe: Adversarial,
        device: torch.device,
    ):
        self.recipe, self.device = recipe, device
        self.levels = len(generator.widths)
        kinds = {ProGAN: Growing, StyleGAN: GrowingStyle, StyleGAN2: GrowingStyle2}
        self.generator = self._place(kinds[type(generator)](generator))
        self.averaged = copy.deepcopy(self.generator).requires_grad_(False)
        self.critic = self._place(critic)
        rate, critic_rate = recipe.learning_rate, recipe.critic_rate or recipe.learning_rate
        groups: dict[float, dict[str, Any]] = {}
        for key, parameter in self.generator.named_parameters():
            share = NOISE if key.endswith(".noise.weight") else 1.0
            group = groups.setdefault(share, {"params": [], "lr": rate * share})
            group["params"].append(parameter)
        self.optimizers = [
            torch.optim.Adam(list(groups.values()), rate, (0.0, 0.99), fused=True),
            torch.optim.Adam(self.critic.parameters(), critic_rate, (0.0, 0.99), fused=True),
        ]

    def _place(self, network: Any) -> Any:
        return network.to(self.device, memory_format=torch.channels_last).train()

    def state(self) -> dict[str, Any]:
        parts = {"generator": self.generator, "averaged": self.averaged, "critic": self.critic}
        parts |= {f"optimizer {i}": optimizer for i, optimizer in enumerate(self.optimizers)}
        return parts

    def step(self, iteration: int, real: Tensor) -> Tensor:
        """One step of each. real: (batch, 3, h, h) uint8 at full size. Returns critic and generator loss, mean score
        of real and of generated images, and the penalty (nan where it was not due)."""
        recipe, (level, alpha) = self.recipe, stage(iteration, self.recipe.growth, self.levels)
        real = self._at(real.to(self.device), level, alpha)
        critic_step, generator_step = self.optimizers[1], self.optimizers[0]

        def precision() -> torch.autocast:
            # without its cache, which would keep weights from before a step
            return torch.autocast(self.device.type, torch.bfloat16, cache_enabled=False)

        def scores(images: Tensor) -> Tensor:
            with precision():
                return self.critic(images, level, alpha)

        def draw() -> Tensor:
            z = torch.randn(len(real), self.averaged.generator.latent).to(self.device)
            with precision():
                return self.generator(z, level, alpha)

        self.critic.requires_grad_(True)
        with torch.no_grad():
            fake = draw()
        on_real, on_fake = scores(torch.cat([real, fake])).chunk(2)
        wasserstein = recipe.loss == "wgan-gp"
        if wasserstein:
            loss = on_fake.mean() - on_real.mean() + DRIFT * on_real.square().mean()
        else:
            loss = softplus(-on_real).mean() + softplus(on_fake).mean()
        penalty, total = torch.tensor(torch.nan), loss
        if iteration % recipe.every == 0:
            if wasserstein:
                share = torch.rand(len(real), 1, 1, 1).to(self.device)
                penalty = lipschitz(scores, real, fake, share)
            else:
                penalty = r1(scores, real)
            total = loss + penalty * (recipe.penalty * recipe.every)
        critic_step.zero_grad()
        total.backward()
        critic_step.step()

        self.critic.requires_grad_(False)
        scored = scores(draw())
        generator_loss = -scored.mean() if wasserstein else softplus(-scored).mean()
        generator_step.zero_grad()
        generator_loss.backward()
        generator_step.step()
        self._average(iteration - max(0, 2 * level - 1) * recipe.growth)
        values = (loss, generator_loss, on_real.mean(), on_fake.mean(), penalty)
        return torch.stack([value.detach().cpu() for value in values])

    def _at(self, real: Tensor, level: int, alpha: float) -> Tensor:
        """The real images as the networks see them at a stage, in [-1, 1]."""
        real = (real.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)
        factor = 2 ** (self.levels - 1 - level)
        real = avg_pool2d(real, factor) if factor > 1 else real
        if alpha < 1:
            real = torch.lerp(interpolate(avg_pool2d(real, 2), scale_factor=2.0), real, alpha)
        return real

    @torch.no_grad()
    def _average(self, since: int) -> None:
        """since: iterations at this resolution, for what is new is to be forgotten fast at first."""
        shown = (since + 1) * self.recipe.batch
        share = 1 - 0.5 ** (self.recipe.batch / min(self.recipe.averaging, shown / 10))
        averaged, current = self.averaged.state_dict(), self.generator.state_dict()
        pairs = [(averaged[k], t) for k, t in current.items() if t.is_floating_point()]
        torch._foreach_lerp_([a for a, _ in pairs], [b for _, b in pairs], share)


def _fit(
    parts: Training,
    recipe: Adversarial,
    seed: int,
    real: Rows,
    out: Path,
    identity: str,
    name: str,
) -> tuple[list[dict[str, float]], float]:
    """Train from the checkpoint in `out`, if it has the same identity, to the end. Returns curve and seconds."""
    curve: list[dict[str, float]] = []
    seconds, start, saved = 0.0, time.monotonic(), {}
    if (out / CHECKPOINT).exists():
        saved = torch.load(out / CHECKPOINT, map_location="cpu", weights_only=True)
    if saved.get("identity") == identity:
        for key, part in parts.state().items():
            part.load_state_dict(saved[key])
        curve, seconds = saved["curve"], saved["seconds"]
    iteration = int(curve[-1]["iteration"]) if curve else 0
    with tqdm(
        total=recipe.iterations, initial=iteration, desc=f"train {name}", unit="step"
    ) as progress:
        while iteration < recipe.iterations:
            found = []
            with torch.random.fork_rng():
                torch.manual_seed(seed * 2**20 + len(curve))
                for _ in range(min(ROUND, recipe.iterations - iteration)):
                    chosen = torch.randint(len(real), (recipe.batch,))
                    found.append(parts.step(iteration, real[chosen]))
                    iteration += 1
                    progress.update()
                    if iteration in recipe.snapshots:
                        level, alpha = stage(iteration, recipe.growth, parts.levels)
                        grown = parts.averaged.grown(level - (alpha < 1))
                        save_weights(grown, snapshot(out, iteration))
            values = torch.stack(found)
            if not torch.isfinite(values[:, :4]).all():
                raise DissectionError(
                    f"network {name}: the loss is no longer finite before iteration {iteration}; "
                    "lower adversarial.learning_rate or raise its penalty"
                )
            level, alpha = stage(iteration - 1, recipe.growth, parts.levels)
            row = {"iteration": iteration, "pixels": 4 * 2**level, "alpha": alpha}
            names = ("critic_loss", "generator_loss", "real", "fake", "penalty")
            row |= dict(zip(names, values.nanmean(0).tolist(), strict=True))
            curve.append(row)
            progress.set_postfix(pixels=row["pixels"], critic=row["critic_loss"])
            write_csv(pd.DataFrame(curve), out / "curve.csv")
            if level == parts.levels - 1:
                _draw_samples(parts.averaged.generator, out, parts.device)
            spent = seconds + time.monotonic() - start
            state = {key: part.state_dict() for key, part in parts.state().items()}
            with replacing(out / CHECKPOINT) as path:
                torch.save(state | {"identity": identity, "curve": curve, "seconds": spent}, path)
    return curve, seconds + time.monotonic() - start


@torch.inference_mode()
def _draw_samples(
    generator: ProGAN | StyleGAN | StyleGAN2, out: Path, device: torch.device
) -> None:
    """samples.png: the first SAMPLES images of seed 1, eight in a row."""
    training = generator.training
    images = generator.eval()(latents(1, 0, SAMPLES, generator.latent).to(device))
    generator.train(training)
    write_png(out / "samples.png", *to_pixels(images).split(8))
