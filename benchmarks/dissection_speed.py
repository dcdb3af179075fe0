"""Dissecting one layer against the bare forward pass, both in one run; peak memory against the number of images.

    snakemake --configfile config/street.yaml --until fetch      # the photographs, the network
    OMP_NUM_THREADS=2 GOMP_SPINCOUNT=2000 MALLOC_MMAP_THRESHOLD_=4000000000 MALLOC_TRIM_THRESHOLD_=4000000000 \\
        python benchmarks/dissection_speed.py

The images are decoded and normalised beforehand, the labels are read and resampled. The forward pass is taken in
its fastest memory format and batch size of those tried, each the best of three.
"""

import resource
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from tqdm import tqdm

from dissection import paths
from dissection.assets import asset_path
from dissection.config import load
from dissection.data import open_dataset
from dissection.dissect.labels import Labels
from dissection.dissect.protocols import CVPR2017, PNAS2020
from dissection.dissect.run import Sample, measure
from dissection.networks import Preprocess, load_network

PROTOCOLS = {p.name: p for p in (CVPR2017, PNAS2020)}  # of classifiers
CONFIG = load("config/street.yaml")
IMAGES = 945
LITTLE = 0.1  # memory_gb in which neither the activations nor all candidates fit
LAYERS = {"fire9": CONFIG.networks["squeezenet_places365"].layers["fire9"]}


def asset(name: str):
    return asset_path(paths.asset_record(CONFIG.profile, name))


def best(run: Callable[[], object], repeats: int = 3) -> float:
    """Seconds of the fastest of some runs after one that does not count."""
    seconds = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return min(seconds[1:])


def memory() -> None:
    """Peak memory of dissections in processes of their own. To be called first: a process is counted with
    what its parent holds when it starts."""
    for protocol in PROTOCOLS:
        for count in (IMAGES // 4, IMAGES):
            command = [sys.executable, __file__, str(count), str(LITTLE), protocol]
            shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            print(f"{protocol}, {count} images, memory_gb {LITTLE}: peak {shown.split()[1]} MB")


def main(images: int | None = None, memory_gb: float = 4.0, only: str | None = None) -> None:
    torch.set_num_threads(torch.get_num_threads())
    spec = CONFIG.networks["squeezenet_places365"]
    entry = next(d for d in CONFIG.dissections if d.network == "squeezenet_places365")
    network = load_network(spec, asset(spec.weights), CONFIG.seed)
    preprocess = Preprocess(spec.input, asset(spec.input.mean_image))
    dataset = open_dataset(
        CONFIG.datasets[entry.dataset], asset(CONFIG.datasets[entry.dataset].asset)
    )
    n = images or len(dataset)
    cpu = torch.device("cpu")

    def dissect(protocol: str, image: Callable[[int], torch.Tensor], labels: Labels) -> None:
        measure(network, LAYERS, Sample(image, n, labels), [PROTOCOLS[protocol]], batch=entry.batch, top_images=10,
                memory_gb=memory_gb, device=cpu, threads=torch.get_num_threads(), progress=False)  # fmt: skip

    labels = Labels(dataset, preprocess.labels)
    if only:  # nothing decoded beforehand: what grows here grows in a dissection
        dissect(only, lambda i: preprocess(dataset.image(i)), labels)
        print(f"{n} {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10:.0f}")
        return
    x = torch.stack([preprocess(dataset.image(i)) for i in tqdm(range(n), "decoding")])
    decoded = [labels.read(i) for i in tqdm(range(n), "labels")]
    labels.read = decoded.__getitem__  # type: ignore[method-assign]
    forward = {}
    tried = [(torch.contiguous_format, entry.batch)]
    tried += [
        (torch.channels_last, batch) for batch in (entry.batch // 2, entry.batch, 2 * entry.batch)
    ]
    for layout, batch in tried:
        network.to(memory_format=layout)  # type: ignore[call-overload]

        @torch.inference_mode()
        def bare(batch: int = batch, layout: torch.memory_format = layout) -> None:
            for i in range(0, n, batch):
                network(x[i : i + batch].to(memory_format=layout))

        forward[layout, batch] = best(bare)
        print(f"forward pass, {layout}, batch {batch}: {forward[layout, batch]:.2f} s")
    fastest = min(forward.values())
    for protocol in PROTOCOLS:
        seconds = best(lambda protocol=protocol: dissect(protocol, x.__getitem__, labels))
        print(
            f"{protocol}: {seconds:.2f} s, {seconds / fastest:.2f} times the fastest forward pass"
        )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3])
    else:
        memory()
        main()
