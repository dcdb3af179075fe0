"""An example of an edit carried to other images along Neural Best Buddies (Aberman et al. 2018): a baseline of tables
6.1 and 6.2 that edits images and no generator.

    pyramid = Pyramid(vgg19, ["features.relu1_1", ..., "features.relu5_1"], preprocess, size=224)
    transfer = Transfer(pyramid, goal, mask)        # the example: (3, h, w) uint8, and (h, w) bool what was edited
    transfer(images)                                # {"copy": (n, 3, h, w) uint8, "laplace": (n, 3, h, w) uint8}

Correspondences of an image and the example are sought from coarse features to fine. They say, by moving least squares
(Schaefer et al. 2006), where in the example each pixel of the image lies, and so where the edit goes. Points are
(y, x). An image without correspondences stays as it is.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad, unfold

from dissection.rewrite.perceptual import Pyramid

Cell = tuple[int, int]
Window = tuple[range, range]  # rows and columns
LEVELS = 6  # of the pyramid of images that are blended
EPSILON = 1e-5


class Search(NamedTuple):
    """How correspondences are sought; the authors' settings, for five levels from coarse to fine."""

    patches: Sequence[int] = (3, 3, 3, 5, 5)  # cells that are compared about each, a side
    radii: Sequence[int] = (
        2,
        2,
        3,
        3,
    )  # of the windows about a pair of the level before; of the first, all
    loud: float = 0.05  # least activation of both, from 0 to 1
    most: int = 10  # pairs of a level, one in each cluster
    border: float = (
        1 / 32
    )  # share of the image's side where there are none; theirs is 7 of 224 pixels
    finest: int = 1  # levels at the fine end that are passed over, as by their option `fast`


SEARCH = Search()


class Transfer:
    def __init__(self, pyramid: Pyramid, goal: Tensor, mask: Tensor, search: Search = SEARCH):
        """pyramid: from fine to coarse."""
        self.pyramid, self.search = pyramid, search
        self.goal, self.mask = goal.permute(1, 2, 0).numpy(), mask.numpy()
        self._goal = self._features(goal[None])

    def _features(self, images: Tensor) -> list[Tensor]:
        return self.pyramid(images)[::-1][: len(self.pyramid.layers) - self.search.finest]

    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        """(n, 3, h, w) uint8 -> the images with the example's edit, copied as it is and blended in."""
        results: dict[str, list[np.ndarray]] = {"copy": [], "laplace": []}
        features = self._features(images)
        for number, image in enumerate(images.permute(0, 2, 3, 1).numpy()):
            pairs = correspondences(
                [level[number] for level in features], [level[0] for level in self._goal], self.search
            )  # fmt: skip
            front, mask = image, np.zeros(image.shape[:2], bool)
            if len(pairs):
                shape = np.array(image.shape[:2])
                points, targets = pairs * shape - 0.5
                front, mask = warped(self.goal, self.mask, points, targets)
            share = mask[..., None].astype(np.float32)
            results["copy"].append(np.where(mask[..., None], front, image))
            mixed = laplace_blend(front.astype(np.float32), image.astype(np.float32), share)
            results["laplace"].append(mixed.round().clip(0, 255).astype(np.uint8))
        return {
            how: torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2)
            for how, found in results.items()
        }


# ------------------------------------------------------------------------------------------------ correspondences


def correspondences(a: Sequence[Tensor], b: Sequence[Tensor], search: Search) -> np.ndarray:
    """Features (units, h, w) of two images, from coarse to fine -> (2, pairs, 2) places in a and in b, from 0 to 1.

    A pair of a level are best buddies within its windows, and loud in both. It leads to windows of the next level,
    where a's and b's features first get the same mean and deviation (3.2 there).
    """
    pairs, scores = np.zeros((1, 4), np.int64), np.zeros(1)
    for level, (first, second) in enumerate(zip(a, b, strict=True)):
        if level:
            # the cell in which the centre of a coarser one lies, half way between two the first
            old, new = np.array(a[level - 1].shape[1:] * 2), np.array(first.shape[1:] * 2)
            pairs = ((2 * pairs + 1) * new - old) // (2 * old)
        loudness = _loudness(first), _loudness(second)
        found: dict[Cell, tuple[float, Cell]] = {}
        for centre, score in zip(pairs, scores, strict=True):
            radius = search.radii[level] if level else max(first.shape)
            here = _window(centre[:2], radius, first.shape)
            there = _window(centre[2:], radius, second.shape)
            reach = None if level else search.radii[0]
            near = buddies(first, second, here, there, search.patches[level], reach)
            for one, other in near:
                loud = float(loudness[0][one]), float(loudness[1][other])
                total = score + sum(loud)
                if min(loud) >= search.loud and (one not in found or total > found[one][0]):
                    found[one] = total, other
        if not found:
            return np.zeros((2, 0, 2))
        order = sorted(found, key=lambda one: (-found[one][0], one))
        scores = np.array([found[one][0] for one in order])
        pairs = np.array([(*one, *found[one][1]) for one in order])
        chosen = spread(pairs, search.most)
        pairs, scores = pairs[chosen], scores[chosen]
    places = (pairs + 0.5) / np.array(a[-1].shape[1:] * 2)
    places = places[((places >= search.border) & (places <= 1 - search.border)).all(1)]
    return places.reshape(-1, 2, 2).swapaxes(0, 1)


def buddies(
    first: Tensor, second: Tensor, here: Window, there: Window, side: int, reach: int | None
) -> Iterator[tuple[Cell, Cell]]:
    """Cells of two maps (units, h, w), each the other's nearest within the windows (eq. 2 and 3 there).

    Near is a high sum of products, over side x side cells, of features of norm 1; beyond the border, cells are
    repeated. reach: of cells that are no more rows and columns apart; none: of all, after the features of both windows
    were given the mean and deviation half way between theirs.
    """
    margin = side // 2
    parts = _part(first, here, margin), _part(second, there, margin)
    if reach is None:
        parts = _alike(*parts, margin)
    one, other = (unfold((x / (x.norm(dim=0) + EPSILON))[None], side)[0] for x in parts)
    products = one.T @ other  # of (units * side * side, cells)
    if reach is not None:
        cells = [torch.cartesian_prod(*map(torch.tensor, window)) for window in (here, there)]
        far = (cells[0][:, None] - cells[1]).abs().amax(2) > reach
        products = products.masked_fill(far, -torch.inf)
    nearest, back = products.argmax(1), products.argmax(0)
    for number in (back[nearest] == torch.arange(len(nearest))).nonzero()[:, 0].tolist():
        yield _cell(here, number), _cell(there, int(nearest[number]))


def _cell(window: Window, number: int) -> Cell:
    row, column = divmod(number, len(window[1]))
    return window[0][row], window[1][column]


def _part(x: Tensor, window: Window, margin: int) -> Tensor:
    rows, columns = (slice(side.start, side.stop + 2 * margin) for side in window)
    return pad(x[None], [margin] * 4, mode="replicate")[0, :, rows, columns]


def _alike(first: Tensor, second: Tensor, margin: int) -> tuple[Tensor, Tensor]:
    """The common appearance of eq. 4: (F - mean) / deviation, times and plus what both have on average."""
    inside = slice(margin, -margin or None)
    (s, m), (t, n) = (
        torch.std_mean(x[:, inside, inside], (1, 2), correction=0, keepdim=True)
        for x in (first, second)
    )
    deviation, mean = (s + t) / 2, (m + n) / 2
    return (
        (first - m) / (s + EPSILON) * deviation + mean,
        (second - n) / (t + EPSILON) * deviation + mean,
    )


def _loudness(features: Tensor) -> Tensor:
    """(units, h, w) -> (h, w) norms, from 0 at the least to 1."""
    norm = features.norm(dim=0)
    return (norm - norm.min()) / (norm.max() - norm.min()).clamp(min=EPSILON)


def _window(centre: np.ndarray, radius: int, shape: Sequence[int]) -> Window:
    rows, columns = (
        range(max(0, int(at) - radius), min(size, int(at) + radius + 1))
        for at, size in zip(centre, shape[1:], strict=True)
    )
    return rows, columns


def spread(pairs: np.ndarray, most: int) -> np.ndarray:
    """(n, 4), the best first -> numbers of the best of each of `most` clusters; of all, if there are no more.

    Lloyd's iterations from the best pair and those that are each farthest from all before.
    """
    if len(pairs) <= most:
        return np.arange(len(pairs))
    centres = pairs[:1].astype(float)
    for _ in range(most - 1):
        centres = np.concatenate([centres, pairs[_apart(pairs, centres).min(1).argmax()][None]])
    for _ in range(10):
        nearest = _apart(pairs, centres).argmin(1)
        centres = np.stack([
            pairs[nearest == k].mean(0) if (nearest == k).any() else centre
            for k, centre in enumerate(centres)
        ])  # fmt: skip
    return np.sort(np.unique(_apart(pairs, centres).argmin(1), return_index=True)[1])


def _apart(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Squared distances, (points, centres)."""
    return ((points[:, None] - centres) ** 2).sum(2)


# ------------------------------------------------------------------------------------------------ images


def moving_least_squares(
    points: np.ndarray,
    targets: np.ndarray,
    places: np.ndarray,
    rigid: bool = True,
    alpha: float = 2,
) -> np.ndarray:
    """Where the motion of points (k, 2) to targets (k, 2) takes places (n, 2): (n, 2) float64.

    At each place the rigid or affine motion that fits best, points weighted by 1 / distance^(2 alpha) (Schaefer et al.
    2006, eq. 8 and 5). The authors' baseline is rigid. Affine motions take three points that are on no line.
    """
    squares = ((places[:, None] - points) ** 2).sum(2)
    weight = 1 / np.maximum(squares, 1e-12) ** alpha  # so a point goes to its target
    weight = (weight / weight.sum(1, keepdims=True))[..., None]
    middle, aim = (weight * points).sum(1), (weight * targets).sum(1)
    p, q = points - middle[:, None], targets - aim[:, None]  # (n, k, 2)
    away = places - middle
    if not rigid:
        motion = np.linalg.solve(p.mT @ (weight * p), p.mT @ (weight * q))
        return (away[:, None] @ motion)[:, 0] + aim
    # (y, x) as a complex number, which one of norm 1 turns
    start, end, rest = (v[..., 0] + 1j * v[..., 1] for v in (p, q, away))
    turn = (weight[..., 0] * start.conj() * end).sum(1)
    size = np.abs(turn)
    rest = rest * np.where(size > 0, turn / np.where(size > 0, size, 1), 1)
    return np.stack([rest.real, rest.imag], 1) + aim


def warped(
    goal: np.ndarray, mask: np.ndarray, points: np.ndarray, targets: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """goal (h, w, 3) and its mask (h, w) as they lie on an image whose points are the goal's targets, by the nearest
    pixel; where that is outside the goal, black and unmasked."""
    shape = np.array(mask.shape)
    places = np.moveaxis(np.indices(mask.shape), 0, -1).reshape(-1, 2).astype(float)
    at = np.rint(moving_least_squares(points, targets, places)).astype(int)
    inside = ((at >= 0) & (at < shape)).all(1)
    rows, columns = np.where(inside[:, None], at, 0).T
    front = np.where(inside[:, None], goal[rows, columns], 0).reshape(goal.shape)
    return front.astype(goal.dtype), (inside & mask[rows, columns]).reshape(mask.shape)


def laplace_blend(
    front: np.ndarray, back: np.ndarray, share: np.ndarray, levels: int = LEVELS
) -> np.ndarray:
    """(h, w, 3) float32 each, share (h, w, 1): details of each size blended over as wide a seam (Burt and Adelson
    1983): Laplacian pyramids, mixed by the Gaussian pyramid of the share."""
    mixed = share * front + (1 - share) * back
    if levels == 1 or min(front.shape[:2]) < 2:
        return mixed
    half, size = [(length + 1) // 2 for length in front.shape[:2]], front.shape[1::-1]
    less, beyond, part = (cv2.pyrDown(x).reshape(*half, -1) for x in (front, back, share))
    rough = [cv2.pyrUp(x, dstsize=size) for x in (less, beyond)]
    below = cv2.pyrUp(laplace_blend(less, beyond, part, levels - 1), dstsize=size)
    return mixed - (share * rough[0] + (1 - share) * rough[1]) + below
