"""How many pixels of each concept lie above each unit's threshold: integer counts, so exact."""

from pathlib import Path
from typing import Self

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from dissection.paths import replacing


class Overlap:
    """Pixel counts behind IoU_{k,c} = sum |M_k & L_c| / sum |M_k | L_c| (thesis eq. 3.1).

    Concept columns are 1-based in what is added (0 is no concept) and 0-based in what is returned.

    intersection: (units, concepts) pixels above the threshold that carry the concept
    activation: (units, groups) pixels above the threshold on the images of each group
    label: (concepts,) pixels that carry the concept
    group: (concepts,) the group of images on which a concept is scored: its category, or all images
    """

    def __init__(self, units: int, group: Tensor):
        self.group = group
        device, concepts, groups = group.device, len(group), int(group.max()) + 1
        self._intersection = torch.zeros(units, concepts + 1, dtype=torch.int64, device=device)
        self._activation = torch.zeros(units, groups, dtype=torch.int64, device=device)
        self._label = torch.zeros(concepts + 1, dtype=torch.int64, device=device)

    def add_labels(self, maps: Tensor, whole: Tensor, pixels: int) -> None:
        """maps: (images, maps, pixels) concepts by pixel; whole: (images, labels) concepts of whole images."""
        size = len(self._label)
        self._label += torch.bincount(maps.flatten().long(), minlength=size)
        self._label += pixels * torch.bincount(whole.flatten().long(), minlength=size)

    def add(
        self,
        image: Tensor,
        unit: Tensor,
        pixel: Tensor,
        maps: Tensor,
        whole: Tensor,
        member: Tensor,
    ) -> None:
        """Count the pixels above the thresholds.

        image, unit, pixel: (n,) one entry for each pixel of an upsampled unit that exceeds its threshold;
        maps, whole: as in `add_labels`; no concept may stand twice at one pixel of an image;
        member: (images, groups) whether an image counts for a group.
        """
        units, columns = self._intersection.shape
        images = len(maps)
        flat = unit * columns
        cells = image * maps.shape[2] + pixel
        for level in range(maps.shape[1]):
            concept = maps[:, level].flatten()[cells]
            self._intersection += torch.bincount(
                flat + concept, minlength=units * columns
            ).view(units, columns)  # fmt: skip
        area = torch.bincount(unit * images + image, minlength=units * images).view(units, images)
        # Sums of integers below 2**53 are exact in float64, and matrix products of int64 are slow.
        counts = area.double()
        self._activation += (counts @ member.double()).long()
        carries = torch.zeros(images, columns, dtype=torch.float64, device=maps.device)
        carries.scatter_(1, whole.long(), 1.0)
        self._intersection += (counts @ carries).long()

    def put(self, concepts: Tensor, intersection: Tensor, activation: Tensor) -> None:
        """Set what was counted elsewhere, where each concept is its own group. concepts: (n,) 0-based;
        intersection, activation: (units, n)."""
        self._intersection[:, concepts + 1] = intersection
        self._activation[:, self.group[concepts]] = activation

    @property
    def intersection(self) -> Tensor:
        return self._intersection[:, 1:]

    @property
    def activation(self) -> Tensor:
        """(units, concepts) pixels above the threshold on the images on which the concept is scored."""
        return self._activation[:, self.group]

    @property
    def label(self) -> Tensor:
        return self._label[1:]

    def iou(self) -> Tensor:
        """(units, concepts) float64; 0 where a concept and a unit have no pixel at all."""
        union = self.activation + self.label - self.intersection
        return self.intersection.double() / union.clamp_min(1)

    def merge(self, other: Self) -> None:
        self._intersection += other._intersection
        self._activation += other._activation
        self._label += other._label

    def save(self, path: Path) -> None:
        with replacing(path) as beside:
            save_file({"intersection": self._intersection, "activation": self._activation,
                       "label": self._label, "group": self.group}, beside)  # fmt: skip

    @classmethod
    def load(cls, path: Path) -> Self:
        state = load_file(path)
        loaded = cls(len(state["intersection"]), state["group"])
        loaded._intersection, loaded._activation = state["intersection"], state["activation"]
        loaded._label = state["label"]
        return loaded
