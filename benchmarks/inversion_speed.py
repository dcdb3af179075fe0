"""Layer inversion (eq. 5.5) of a batch of images against that of one.

    python benchmarks/inversion_speed.py                # the smoke profile's sizes, 32 pixels, on the CPU
    python benchmarks/inversion_speed.py published      # the published sizes, 256 pixels; for an accelerator

Weights are random. On the CPU, seconds are those of the processor, of one thread: a step of 16 images has 16 times the
arithmetic of a step of one, so that only what a step costs beside it can be saved; an accelerator that one image leaves
idle does better.
"""

import torch

from dissection.config import Input
from dissection.features import Features, Target
from dissection.networks import Preprocess
from dissection.networks.progan import ProGAN, latents
from dissection.networks.vgg import vgg16
from dissection.omit.inversion import Layers, Steps, relax
from gan_dissection_speed import DEVICE, PUBLISHED, seconds

BATCHES, STEPS = (1, 4, 16), 12


def main() -> None:
    torch.set_num_threads(1)
    if PUBLISHED:
        generator, classifier, layer = ProGAN(), vgg16(1000), "features.relu4_2"
    else:
        generator = ProGAN(64, [64, 96, 64, 32])
        classifier = vgg16(13, 64, [16, 24, 32, 64, 96], 128, 2, (1, 2, 5), batch_norm=True)
        layer = "features.relu2_2"
    for network in (generator, classifier):
        network.to(DEVICE, memory_format=torch.channels_last)
    layers = Layers(generator, 4)
    features = Features(classifier, layer, Preprocess(Input(size=32)))
    took = {}
    for batch in BATCHES:
        z = latents(1, 0, batch, generator.latent).to(DEVICE)
        with torch.no_grad():
            target = Target(layers(z), features)
        took[batch] = seconds(
            lambda z=z, target=target: relax(layers, z, target, Steps(STEPS, 0.01))
        )
    print(f"{DEVICE}, {256 if PUBLISHED else 32} pixels")
    for batch, cost in took.items():
        each = 1000 * cost / STEPS
        print(
            f"{batch} images: {each:.1f} ms a step, {took[batch] / took[1]:.1f} times that of one"
        )


if __name__ == "__main__":
    main()
