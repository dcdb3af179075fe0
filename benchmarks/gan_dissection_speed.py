"""Dissecting one layer of a generator against the bare forward passes of generator and segmenter.

    python benchmarks/gan_dissection_speed.py                # small networks, 32 pixels, on the CPU
    python benchmarks/gan_dissection_speed.py published      # the published sizes, 256 pixels; for an accelerator

Weights are random, and so are the labels, which is the costly case: the more combinations of concepts, the more to
count. Thresholds by concept (iclr2019) take as many images again; so does the forward pass they are compared with.
On the CPU, seconds are those of the processor, of one thread.
"""

import sys
import time
from collections.abc import Callable

import torch

from dissection.config import Input
from dissection.dissect.labels import DOWNSAMPLE, Segmented
from dissection.dissect.protocols import ICLR2019, PNAS2020
from dissection.dissect.run import Sample, measure
from dissection.networks import Preprocess, to_pixels
from dissection.networks.progan import ProGAN, latents
from dissection.segment import Segmenter
from dissection.segment.classes import NONE, Classes
from dissection.segment.upernet import upernet

PUBLISHED = "published" in sys.argv
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
LAYER, IMAGES, BATCH = "layer4", 400, 20
MINI = {"stem": [32, 32, 32], "pool": False, "widths": [16, 24, 32, 40], "blocks": [1, 2, 3, 2], "pooled": 32,
        "pyramid": 32}  # fmt: skip


def named(kind: str, count: int) -> list[str]:
    return [NONE, *(f"{kind}{i}" for i in range(1, count))]


def networks() -> tuple[ProGAN, Segmenter, int]:
    """Generator, segmenter, and the size of z."""
    torch.manual_seed(0)
    objects, parts, materials, scenes = (336, 16, 26, 365) if PUBLISHED else (81, 8, 18, 13)
    names = named("object", objects)
    owned = {owner: named("part", parts) for owner in names[1:15]}
    classes = Classes(
        names, named("part", parts), named("material", materials), named("scene", scenes), owned
    )
    parser = upernet(**classes.sizes(), **({} if PUBLISHED else MINI)).to(DEVICE)
    latent = 512 if PUBLISHED else 64
    generator = ProGAN() if PUBLISHED else ProGAN(64, (64, 96, 64, 32))
    segmenter = Segmenter(parser, Preprocess(Input(size=256 if PUBLISHED else 64)), classes)
    return generator.eval().to(DEVICE, memory_format=torch.channels_last), segmenter, latent  # type: ignore[call-overload]


def seconds(run: Callable[[], object], repeats: int = 3) -> float:
    """Of the fastest of some runs after one that does not count."""
    clock = time.process_time if DEVICE.type == "cpu" else time.perf_counter
    found = []
    for _ in range(repeats + 1):
        started = clock()
        run()
        if DEVICE.type == "cuda":
            torch.cuda.synchronize()
        found.append(clock() - started)
    return min(found[1:])


def main() -> None:
    torch.set_num_threads(1)
    generator, segmenter, latent = networks()
    z = {seed: latents(seed, 0, IMAGES, latent)[:, :, None, None] for seed in (1, 2)}

    @torch.inference_mode()
    def bare() -> None:
        for some in z[1].split(BATCH):
            segmenter(to_pixels(generator(some.to(DEVICE))), DOWNSAMPLE)

    def dissect(*protocols) -> None:
        samples = [Sample(z[seed].__getitem__, IMAGES, Segmented(segmenter)) for seed in z]
        measure(generator, {LAYER: LAYER}, samples[0], protocols, separate=samples[1], batch=BATCH, top_images=10,
                memory_gb=4, device=DEVICE, threads=1, progress=False)  # fmt: skip

    labels = segmenter(to_pixels(generator(z[1][:BATCH].to(DEVICE))), DOWNSAMPLE)
    stacked = torch.cat(list(labels.values()), 1).movedim(1, -1).flatten(0, 2)
    combinations = len(stacked.unique(dim=0))
    floor = seconds(bare)
    print(f"{DEVICE}, {IMAGES} images, {combinations} combinations of concepts a batch")
    print(f"generator and segmenter: {1000 * floor / IMAGES:.2f} ms an image")
    for protocols, passes in (((PNAS2020,), 1), ((ICLR2019,), 2), ((PNAS2020, ICLR2019), 2)):
        took = seconds(lambda protocols=protocols: dissect(*protocols))
        names = " and ".join(p.name for p in protocols)
        print(f"{names}: {took / floor / passes:.2f} times that, over {passes * IMAGES} images")


if __name__ == "__main__":
    main()
