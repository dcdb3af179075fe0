"""Segmentation statistics and the Fréchet distance of them against bare forward passes of generator and segmenter.

    python benchmarks/segmentation_statistics.py                # small networks, 32 pixels, on the CPU
    python benchmarks/segmentation_statistics.py published      # the published sizes, 256 pixels; for an accelerator

Weights are random. On the CPU, seconds are those of the processor, of one thread.
"""

import torch

from dissection.networks import to_pixels
from dissection.networks.progan import latents
from dissection.omit.statistics import pixel_counts, shares
from dissection.segment import network_input
from dissection.stats import Gaussian, frechet_distance
from gan_dissection_speed import DEVICE, PUBLISHED, networks, seconds

IMAGES, BATCH = 400, 16


def main() -> None:
    torch.set_num_threads(1)
    generator, segmenter, latent = networks()
    z = latents(1, 0, IMAGES, latent)
    side = max(segmenter.sizes)
    real = Gaussian(len(segmenter.classes.object))
    real.add(100 * torch.rand(1000, len(real.mean)))

    @torch.inference_mode()
    def bare() -> None:
        """Both networks as they are, and the class of every pixel."""
        for some in z.split(BATCH):
            images = to_pixels(generator(some.to(DEVICE))).float()
            images = torch.nn.functional.interpolate(images, (side, side), mode="bilinear")
            scores = segmenter.network(network_input(segmenter.preprocess, images))["object"]
            torch.nn.functional.interpolate(scores, (side, side), mode="bilinear").argmax(1).cpu()

    @torch.inference_mode()
    def statistics() -> None:
        made = Gaussian(len(real.mean))
        for some in z.split(BATCH):
            made.add(shares(pixel_counts(segmenter, to_pixels(generator(some.to(DEVICE))))))
        frechet_distance(real, made)

    floor, took = seconds(bare), seconds(statistics)
    print(f"{DEVICE}, {IMAGES} images of {256 if PUBLISHED else 32} pixels")
    print(f"generator and segmenter: {1000 * floor / IMAGES:.2f} ms an image")
    print(f"statistics and their distance: {took / floor:.2f} times that")


if __name__ == "__main__":
    main()
