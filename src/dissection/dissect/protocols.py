"""The published definitions of a unit's threshold and score, one frozen value each. Never mix their counts."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Protocol:
    """
    fraction: share of samples above a unit's threshold T_k, P(a_k > T_k) = fraction. 0: each concept has its own
        threshold t_k,c, which maximises I(a_k > t; c) / H(a_k > t, c) on a separate sample of images (eq. 4.2).
    accuracy, coverage: of such a threshold: the share of pixels on which a_k > t and c must agree, and the share of
        pixels that carry a concept from which on one is looked for.
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
    accuracy: float = 0.0
    coverage: float = 0.0

    @property
    def by_concept(self) -> bool:
        return self.fraction == 0


CVPR2017 = Protocol("cvpr2017", 0.005, "raw", 2, "edge", True, True, 0.04)
# Accuracy as in the caption of figure 4-5 (the released code asks for 0.8), coverage as in the released code.
ICLR2019 = Protocol("iclr2019", 0.0, "upsampled", 2, "edge", False, False, 0.05, 0.75, 1e-3)
PNAS2020 = Protocol("pnas2020", 0.01, "upsampled", 4, "zeros", False, False, 0.04)
PROTOCOLS = {p.name: p for p in (CVPR2017, ICLR2019, PNAS2020)}
