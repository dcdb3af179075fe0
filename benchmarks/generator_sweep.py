"""Interventions at layer4 of a 15-layer Progressive GAN, 256 px, against rerunning the generator from z; full size.

    OMP_NUM_THREADS=1 python benchmarks/generator_sweep.py

The weights are random. Two sweeps: the first 1 ... 20 units of an order ablated everywhere, and 20 units inserted at
each of the 64 locations. An ablation everywhere saves what comes before the layer alone, and nearly all of the
multiplications come behind it; an insertion at one location is computed only where it reaches. How many
multiplications that spares bounds the gain, whatever the machine, and is printed with it. Segmentation costs the same
either way and is left out. The unedited image, from which both begin, counts; times are of the processor, so that
other work on the machine matters little.
"""

import statistics
import time

import torch
from torch import nn

from dissection.intervene.generator import Generator, Intervention, locations, only
from dissection.intervene.local import Box
from dissection.networks.progan import ProGAN, latents
from dissection.probe import Probe

LAYER, IMAGES, TIMED = "layer4", 2, 5


def multiplications(network: nn.Module, z: torch.Tensor) -> dict[str, int]:
    """Block -> multiplications of its convolution, for one image."""
    counts = {}
    with Probe(network, [name for name, _ in network.named_children()]) as probe, torch.no_grad():
        probe(z)
        for name, block in network.named_children():
            weight, (height, width) = block.conv.weight, probe.kept[name].shape[2:]
            # layer1 sees its one pixel through one tap at each place
            taps = weight[0, 0].numel() if name != "layer1" else 1
            counts[name] = weight.shape[0] * weight.shape[1] * taps * height * width
    return counts


def multiplied(generator: Generator, plain: list[torch.Tensor], box: Box) -> int:
    """Multiplications behind the layer for an edit inside a box of it, for one image."""
    done = 0
    for block, reach, x, y in zip(
        generator.chain.blocks, generator.chain.reach, plain, plain[1:], strict=False
    ):
        box = reach.outputs(box, y)
        rows, columns = reach.inputs(box, x)
        upsampled = len(rows) * len(columns) * (y.shape[2] // x.shape[2]) ** 2
        done += block.conv.weight.numel() * upsampled
    return done


def main() -> None:
    torch.manual_seed(1)
    network = ProGAN()
    z = latents(1, 0, IMAGES, network.latent)
    counts = multiplications(network, z[:1])
    total = sum(counts.values())
    names = list(counts)
    behind = sum(counts[name] for name in names[names.index(LAYER) + 1 :])
    print(f"{len(names)} layers, {total / 1e9:.2f} G multiplications an image, "
          f"{behind / total:.1%} of them behind {LAYER}")  # fmt: skip
    generator = Generator(network, LAYER)
    started = time.process_time()
    state = generator.head(z)
    plain = generator.plain(state)
    once = time.process_time() - started
    units, every = state[0].shape[1], torch.arange(IMAGES)
    order, value = torch.randperm(units), torch.full((units,), 2.0)
    grid = (range(8), range(8))
    cells = [(range(y, y + 1), range(x, x + 1)) for y in grid[0] for x in grid[1]]
    sweeps = {
        "ablation of 1 to 20 units": [
            (Intervention(only(order[:n], units)), grid) for n in range(1, 21)
        ],
        "insertion at 64 locations": [
            (Intervention(only(order[:20], units), value, where), box)
            for where, box in zip(locations(8, 8), cells, strict=True)
        ],
    }
    for name, changes in sweeps.items():
        swept, whole, differ, most = once, [], 0, 0
        for i, (change, box) in enumerate(changes):
            started = time.process_time()
            edited = generator.edited(state, plain, every, change(state[0]), box)
            swept += time.process_time() - started
            if i % (len(changes) // TIMED) == 0:
                with Probe(network, edits={LAYER: change}) as probe, torch.no_grad():
                    started = time.process_time()
                    x = probe(z).clamp(-1, 1).add(1).mul(127.5).round().to(torch.uint8)
                    whole.append(time.process_time() - started)
                differ += int((edited != x).sum())
                most = max(most, int((edited.int() - x.int()).abs().max()))
        n, share = len(changes) + 1, sum(multiplied(generator, plain, box) for _, box in changes)
        rerun = n * statistics.median(whole)
        print(f"{name}: {swept / IMAGES:.2f} s an image, rerunning from z {rerun / IMAGES:.2f} s")
        print(
            f"  {rerun / swept:.2f} times as fast, {n * total / (total + share):.2f} times fewer multiplications"
        )
        print(
            f"  {differ / len(whole) / x.numel():.4%} of the values differ, by {most} of 255 at most"
        )


if __name__ == "__main__":
    main()
