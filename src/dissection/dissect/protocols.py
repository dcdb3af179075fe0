"""The published definitions of a unit's threshold and score, one frozen value each. Never mix their counts."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Protocol:
    """
    fraction: share of samples above a unit's threshold T_k, P(a_k > T_k) = fraction.
    samples: the samples are the activations themselves ("raw") or those upsampled to the labels ("upsampled").
    downsample: input pixels per label pixel, along each axis.
    padding: outside the centres of the outermost activations, repeat the "edge" or fade to "zeros".
    anchored: interpolate between the centres of receptive fields (thesis 3.2.2); else between equal cells.
    within_category: count a unit's activation only on images that carry the concept's category (eq. 3.1).
    iou: a unit detects a concept if IoU > iou.
    """

    name: str
    fraction: float
    samples: str
    downsample: int
    padding: str
    anchored: bool
    within_category: bool
    iou: float


CVPR2017 = Protocol("cvpr2017", 0.005, "raw", 2, "edge", True, True, 0.04)
PNAS2020 = Protocol("pnas2020", 0.01, "upsampled", 4, "zeros", False, False, 0.04)
PROTOCOLS = {p.name: p for p in (CVPR2017, PNAS2020)}
