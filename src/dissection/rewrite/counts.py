"""What an edit achieved, in pixels and images: table 6.2's correct modification, table 6.3's watermarks.

converted(before, after, [dome], [spire])       # (n, 2): dome pixels, and those that became spire
watermarks(text)                                # (n, 2) bool: one in the middle, one at the bottom
"""

from collections.abc import Sequence

import pandas as pd
import torch
from torch import Tensor

PARTS = ("middle", "bottom")
BOTTOM = 0.2  # share of the image's height
LEAST = 0.01  # of the pixels of either part, from which on its text is a watermark


def shows(labels: Tensor, concepts: Sequence[int]) -> Tensor:
    """(n, maps, h, w) concept numbers -> (n, h, w) bool: where some map names one of the concepts."""
    return torch.isin(labels, torch.tensor(list(concepts), device=labels.device)).any(1)


def converted(
    before: Tensor, after: Tensor, source: Sequence[int], target: Sequence[int]
) -> Tensor:
    """Labels (n, maps, h, w) of images before and after -> (n, 2) int64: pixels of the source concepts before, and
    those of them that are of the target concepts after."""
    was = shows(before, source)
    is_now = was & shows(after, target)
    return torch.stack([was.flatten(1).sum(1), is_now.flatten(1).sum(1)], 1)


def watermarks(text: Tensor) -> Tensor:
    """(n, h, w) bool, where there is text -> (n, 2) bool: a watermark in the middle, and one at the bottom.

    The bottom is the last fifth of the rows, the middle all above; text on less than LEAST of a part is none.
    """
    rows = _above(text)
    both = text[:, :rows], text[:, rows:]
    return torch.stack([part.float().mean((1, 2)) >= LEAST for part in both], 1)


def parts(text: Tensor) -> tuple[Tensor, Tensor]:
    """(n, h, w) bool -> the same in the middle alone, and at the bottom alone."""
    middle, bottom, rows = text.clone(), text.clone(), _above(text)
    middle[:, rows:], bottom[:, :rows] = False, False
    return middle, bottom


def _above(text: Tensor) -> int:
    return text.shape[1] - round(BOTTOM * text.shape[1])


def validate(found: Tensor, true: Tensor) -> pd.DataFrame:
    """(n, h, w) bool, where a detector finds text and where there is -> a row for each part of the images.

    images; watermarks: images with one there; recall: share of these in which it is found; precision: share of those
    in which one is found that have it. Shares of none are nan.
    """
    rows = []
    for part, a, b in zip(PARTS, watermarks(found).T, watermarks(true).T, strict=True):
        right = (a & b).sum()
        rows.append(
            {"part": part, "images": len(b), "watermarks": int(b.sum()), "recall": float(right / b.sum()),
             "precision": float(right / a.sum())}
        )  # fmt: skip
    return pd.DataFrame(rows)
