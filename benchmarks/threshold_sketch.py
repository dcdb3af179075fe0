"""Exact thresholds against a quantile sketch (KLL, 3072 samples a unit, as the authors used): time and error.

    snakemake results/smoke/assets/broden.json
    OMP_NUM_THREADS=1 python benchmarks/threshold_sketch.py

Both see the same activations of the small AlexNet's conv5 on the smoke profile's Broden, upsampled to the labels
(pnas2020) or not (cvpr2017), batch by batch.
"""

import time

import numpy as np
import torch
from datasketches import kll_floats_sketch

from dissection import paths
from dissection.assets import asset_path
from dissection.config import load
from dissection.data import open_dataset
from dissection.dissect.protocols import PROTOCOLS
from dissection.dissect.run import upsampling
from dissection.networks import Preprocess, load_network
from dissection.probe import Probe, receptive_field_centres
from dissection.stats import TopFraction

IMAGES, BATCH, SKETCH = 500, 50, 3072

config = load("config/smoke.yaml")
spec = config.networks["alexnet_scenes"]
record = paths.asset_record(config.profile, config.datasets["broden"].asset)
dataset = open_dataset(config.datasets["broden"], asset_path(record))
network = load_network(
    spec, asset_path(paths.asset_record(config.profile, spec.weights)), config.seed
)
preprocess, layer = Preprocess(spec.input), spec.layers["conv5"]
images = torch.stack([preprocess(dataset.image(i)) for i in range(IMAGES)])
with torch.inference_mode(), Probe(network, [layer]) as probe:
    probe(images)
    maps = probe.kept[layer].permute(0, 2, 3, 1).contiguous()  # (images, h, w, units)
units = maps.shape[3]
centres = receptive_field_centres(network, [layer], images[:1])[layer]

for protocol in PROTOCOLS.values():
    values = maps
    if protocol.samples == "upsampled":
        values = upsampling(protocol, maps.shape[1:], centres, spec.input.size, maps.device).dense(
            maps
        )
    batches = [b.reshape(-1, units) for b in values.split(BATCH)]
    samples = sum(map(len, batches))

    started = time.perf_counter()
    top = TopFraction(units, protocol.fraction, samples)
    for batch in batches:
        top.add_dense(batch)
    exact = top.threshold().numpy()
    seconds = time.perf_counter() - started

    started = time.perf_counter()
    sketches = [kll_floats_sketch(SKETCH) for _ in range(units)]
    for batch in batches:
        for sketch, column in zip(sketches, batch.T.contiguous().numpy(), strict=True):
            sketch.update(column)
    approximate = np.array([s.get_quantile(1 - protocol.fraction) for s in sketches])
    sketched = time.perf_counter() - started

    everything = torch.cat(batches).numpy()
    shares = [(everything > t).mean(0) for t in (exact, approximate)]
    live = exact > 0
    error = np.abs(approximate - exact)[live] / exact[live]
    print(
        f"{protocol.name}: {samples} samples a unit, {units} units ({live.sum()} with T > 0)\n"
        f"  exact  {seconds:6.2f} s, fraction above T {shares[0][live].min():.5f} to {shares[0][live].max():.5f}\n"
        f"  sketch {sketched:6.2f} s, fraction above T {shares[1][live].min():.5f} to {shares[1][live].max():.5f}, "
        f"T off by up to {100 * error.max():.1f} % (median {100 * np.median(error):.2f} %)\n"
        f"  exact takes {seconds / sketched:.2f} times as long"
    )
