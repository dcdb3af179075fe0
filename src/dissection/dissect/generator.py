"""Dissect a generator: its images are drawn from z and labelled by a segmenter, as they come (thesis 4.3.1)."""

from pathlib import Path

import torch

from dissection.config import Config, Dissection
from dissection.dissect.labels import Segmented
from dissection.dissect.run import Sample, dissect_sample
from dissection.generated import z_of
from dissection.networks import module_of
from dissection.segment import segmenter_of


def dissect(
    config: Config, entry: Dissection, out: Path, device: torch.device, threads: int
) -> None:
    """Dissect a generator of the profile on images of its own; thresholds by concept are chosen on as many images
    of the next seed. The files are those of `run.dissect_sample`."""
    spec = config.generated[entry.dataset]
    segmenter = segmenter_of(config, spec.segmenter, device)

    def sample(seed: int) -> Sample:
        z = z_of(config, entry, seed)
        return Sample(z.__getitem__, len(z), Segmented(segmenter))

    network = module_of(config, entry.network, device)
    samples = sample(spec.seed), sample(spec.seed + 1)
    dissect_sample(config, entry, network, *samples, out, device, threads)
