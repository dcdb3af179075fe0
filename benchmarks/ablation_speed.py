"""Every unit of VGG-16 conv5_3 removed, one by one, against one full forward pass for each; full size.

    OMP_NUM_THREADS=1 python benchmarks/ablation_speed.py

The weights are random. Units that are zero on an image are spared, and the share of the others is printed.
"""

import time

import torch

from dissection.intervene.ablation import Ablation
from dissection.networks.vgg import vgg16
from dissection.probe import Probe

IMAGES, CHECKED = 4, (0, 100, 511)


def main() -> None:
    torch.manual_seed(1)
    network, layer = vgg16().eval(), "features.conv5_3"
    for module in network.modules():  # scores as large as those of a trained network
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
            torch.nn.init.kaiming_normal_(module.weight)
    images = torch.randn(IMAGES, 3, 224, 224)
    ablation = Ablation(network, layer)
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        state = ablation.run(images)
        run = time.perf_counter()
        scores = ablation.each(state)
        seconds.append((time.perf_counter() - started, run - started))
    swept, once = min(seconds)
    units = scores.shape[1]

    full, error = [], 0.0
    for unit in CHECKED:
        with (
            Probe(
                network, edits={layer: lambda a, u=unit: a.index_fill(1, torch.tensor(u), 0)}
            ) as probe,
            torch.no_grad(),
        ):
            started = time.perf_counter()
            expected = probe(images)
            full.append(time.perf_counter() - started)
        error = max(error, float((scores[:, unit] - expected).abs().max() / expected.abs().max()))
    active = state.fed.any(2).float().mean()
    print(f"{IMAGES} images, {units} units, {active:.0%} of the pairs active")
    print(f"swept in {swept:.2f} s, {once:.2f} s of it up to the layer")
    print(f"a full forward pass for each unit: {min(full):.2f} s x {units}")
    print(f"{min(full) * units / swept:.0f} times faster; largest relative difference {error:.1e}")


if __name__ == "__main__":
    main()
