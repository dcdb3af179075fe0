"""The ten self-supervised tasks of Table 3.2, each learnt on the synthetic world by the same trunk.

    trunk = load_network(spec, None, seed)                  # pretext:trunk, conv1 to conv5
    task = build("puzzle", trunk, preprocess)
    data = task.data(images, videos)                        # what the task looks at, (n, ...) uint8
    loss, accuracy = task(data[:64])

The trunk is what is dissected and shipped; heads live in training alone. Images are uint8 (n, h, w, 3); of videos
see `draw_videos`. Where a task samples (patches, permutations, pairs), it draws from torch's global generator.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from dissection.data.scenes import SCENES, draw_frames
from dissection.networks.alexnet import Trunk, alexnet

Loss = tuple[Tensor, Tensor]  # loss, accuracy
SMALL = 128  # an image that every trunk can see, to ask how many features it has
COLOURS = 8  # bins of each of the two colour axes
LIGHTS = 16  # bins of lightness


def trunk(channels: str = "RGB", **arguments) -> nn.Module:
    """conv1 to relu5 of `alexnet(**arguments)`: (n, 3, h, w) -> (n, widths[4], h', w').

    channels: what it sees of its RGB input: `RGB`; `light`, lightness alone; or `split`, two halves of which one
    sees lightness and one colour (arguments are those of a half).
    """
    if channels == "split":
        return SplitBrain(trunk("light", **arguments), trunk("colour", **arguments))
    network = alexnet(classes=1, gap=True, **arguments)
    layers = [(n, m) for n, m in network.named_children() if n not in ("pool5", "flatten", "fc8")]
    if channels != "RGB":
        layers.insert(0, ("only", Only(channels)))
    return Trunk(OrderedDict(layers))


def opponent(images: Tensor) -> Tensor:
    """(n, 3, h, w) RGB -> lightness, red against green, yellow against blue, in the units of the input."""
    red, green, blue = images.unbind(1)
    return torch.stack(
        [(red + green + blue) / 3, (red - green) / 2, (red + green) / 4 - blue / 2], 1
    )


class Only(nn.Module):
    """Blanks what a trunk must not see."""

    def __init__(self, channels: str):
        super().__init__()
        self.light = channels == "light"

    def forward(self, images: Tensor) -> Tensor:
        kept = opponent(images)
        keep = torch.tensor([self.light, not self.light, not self.light], device=images.device)
        return kept * keep[:, None, None]


class SplitBrain(nn.Module):
    """Two trunks side by side; `both` is their last layer as one."""

    def __init__(self, light: nn.Module, colour: nn.Module):
        super().__init__()
        self.light, self.colour, self.both = light, colour, nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        return self.both(torch.cat([self.light(images), self.colour(images)], 1))


class Videos(NamedTuple):
    frames: Tensor  # (n, 3, h, w, 3) uint8: three moments of one scene
    motion: Tensor  # (n, 3) int64: steps to the right, up and forward between them, -1, 0 or 1
    sound: Tensor  # (n,) int64, index into `sounds`
    objects: Tensor  # (n, 3, h, w) int64 object labels, which stand for an object proposer
    sounds: tuple[str, ...]


def draw_videos(
    seed: int, first: int, count: int, size: int, sounds: tuple[str, ...] = ()
) -> Videos:
    """Three frames each of `count` scenes under a steady camera motion, never none.

    sounds: the classes; those that occur if empty.
    """
    frames = np.empty((count, 3, size, size, 3), np.uint8)
    objects = np.empty((count, 3, size, size), np.int64)
    motion, heard = np.empty((count, 3), np.int64), []
    moves = np.array([m for m in np.ndindex(3, 3, 3) if m != (1, 1, 1)]) - 1
    for i in tqdm(range(count), "draw videos"):
        motion[i] = moves[np.random.default_rng([seed, first + i]).integers(len(moves))]
        x, y, z = motion[i] * (0.08, 0.06, 0.08)
        cameras = [(k * x, k * y, 1.15 + k * z) for k in (-1, 0, 1)]
        for k, scene in enumerate(
            draw_frames(SCENES[i % len(SCENES)], seed, first + i, size, cameras)
        ):
            frames[i, k], objects[i, k] = scene.rgb, scene.labels["object"][0]
        heard.append(scene.sound)
    sounds = sounds or tuple(sorted(set(heard)))
    sound = torch.tensor([sounds.index(s) if s in sounds else -1 for s in heard])
    return Videos(
        torch.from_numpy(frames), torch.from_numpy(motion), sound, torch.from_numpy(objects), sounds
    )


class Task(nn.Module):
    """A trunk with the head of one task. forward: (n, ...) data -> loss, accuracy (0 to 1)."""

    head: nn.Module

    def __init__(
        self, trunk: nn.Module, normalise: Callable[[Tensor], Tensor], outputs: int, views: int
    ):
        """views: how many images the head sees at once, as one long vector of features."""
        super().__init__()
        self.trunk, self.normalise = trunk, normalise
        with torch.no_grad():
            self.features = trunk(torch.zeros(1, 3, SMALL, SMALL)).shape[1]
        self.head = nn.Sequential(
            nn.Linear(4 * views * self.features, 128), nn.ReLU(), nn.Linear(128, outputs)
        )

    def data(self, images: Tensor, videos: Videos) -> list[Tensor]:
        """Tensors of equal length that a batch is cut from: of the images or the videos, as it learns from."""
        raise NotImplementedError

    def see(self, images: Tensor) -> Tensor:
        """(..., h, w, 3) -> (..., 4 features): conv5, averaged in each quarter."""
        flat = images.reshape(-1, *images.shape[-3:]).permute(0, 3, 1, 2).float()
        maps = self.trunk(self.normalise(flat))
        return F.adaptive_avg_pool2d(maps, 2).reshape(*images.shape[:-3], -1)

    def classify(self, views: Tensor, target: Tensor) -> Loss:
        """views: (n, views, h, w, 3)."""
        scores = self.head(self.see(views).flatten(1))
        return F.cross_entropy(scores, target), (scores.argmax(1) == target).float().mean()


def tiles(images: Tensor) -> Tensor:
    """(n, h, w, 3) -> (n, 9, h / 2, h / 2, 3): a jittered patch of each cell of a 3 x 3 grid, with gaps between."""
    n, side = len(images), images.shape[1] // 2
    theta = torch.zeros(n, 9, 2, 3)
    theta[..., 0, 0] = theta[..., 1, 1] = 0.27  # of the image's half side; a cell has a third
    cell = torch.cartesian_prod(torch.arange(3), torch.arange(3)).flip(1)  # (x, y), row by row
    theta[..., 2] = (cell - 1) * 2 / 3 + (torch.rand(n, 9, 2) - 0.5) * 0.12
    pixels = images.permute(0, 3, 1, 2).float().repeat_interleave(9, 0)
    grid = F.affine_grid(theta.view(-1, 2, 3), [9 * n, 3, side, side], align_corners=False)
    cut = F.grid_sample(pixels, grid, padding_mode="border", align_corners=False)
    return cut.permute(0, 2, 3, 1).view(n, 9, side, side, 3)


class Context(Task):
    """Where does one patch lie from another, of eight places? (Doersch, Gupta, Efros 2015)"""

    def __init__(self, trunk, normalise):
        super().__init__(trunk, normalise, 8, 2)

    def data(self, images, videos):
        return [images]

    def forward(self, images):
        cut, target = tiles(images), torch.randint(8, (len(images),))
        place = target + (target >= 4)  # the fifth is the centre
        return self.classify(
            torch.stack([cut[:, 4], cut[torch.arange(len(cut)), place]], 1), target
        )


def permutations(count: int) -> Tensor:
    """(count, 9) orders of nine tiles, each far from those before it (in tiles that differ); always the same."""
    rng = np.random.default_rng(0)
    chosen = [np.arange(9)]
    while len(chosen) < count:
        candidates = rng.permuted(np.tile(np.arange(9), (500, 1)), axis=1)
        distance = (candidates[:, None] != np.array(chosen)).sum(2).min(1)
        chosen.append(candidates[distance.argmax()])
    return torch.from_numpy(np.array(chosen))


class Puzzle(Task):
    """Which of 16 permutations were nine tiles put in? (Noroozi, Favaro 2016)"""

    def __init__(self, trunk, normalise):
        super().__init__(trunk, normalise, 16, 9)
        self.orders: Tensor
        self.register_buffer("orders", permutations(16), persistent=False)

    def data(self, images, videos):
        return [images]

    def forward(self, images):
        target = torch.randint(16, (len(images),))
        cut = tiles(images)
        return self.classify(cut[torch.arange(len(cut))[:, None], self.orders[target]], target)


class Contrast(Task):
    """Pairs that belong together lie closer, by the cosine of their features, than those of other scenes."""

    def __init__(self, trunk, normalise):
        super().__init__(trunk, normalise, 128, 1)

    def compare(self, a: Tensor, b: Tensor) -> Loss:
        """a, b: (n, d) features: each a must find its b among those of the batch."""
        scores = F.normalize(a, dim=1) @ F.normalize(b, dim=1).T / 0.1
        target = torch.arange(len(a))
        return F.cross_entropy(scores, target), (scores.argmax(1) == target).float().mean()


class Egomotion(Contrast):
    """Features change by a linear map of their own under each motion of the camera (Jayaraman, Grauman 2015).

    The map of the true motion must lead closer to the later frame than those of the other motions, and than to
    other scenes. Accuracy is that of the motion, of 27.
    """

    def __init__(self, trunk, normalise):
        super().__init__(trunk, normalise)
        self.maps = nn.Parameter(torch.eye(128).repeat(27, 1, 1))

    def data(self, images, videos):
        return [videos.frames, videos.motion]

    def forward(self, frames, motion):
        before, after = self.head(self.see(frames[:, [0, 2]])).unbind(1)
        which = ((motion + 1) * torch.tensor([9, 3, 1])).sum(1)
        moved = torch.einsum("gij,nj->ngi", self.maps, before)
        scores = (F.normalize(moved, dim=2) @ F.normalize(after, dim=1)[:, :, None])[:, :, 0] / 0.1
        apart, _ = self.compare(moved[torch.arange(len(which)), which], after)
        right = (scores.argmax(1) == which).float().mean()
        return F.cross_entropy(scores, which) + apart, right


class Tracking(Contrast):
    """The same moving patch in two frames, found by correlation (Wang, Gupta 2015)."""

    def data(self, images, videos):
        return [torch.stack([track(f) for f in videos.frames.numpy()])]

    def forward(self, patches):
        return self.compare(*self.head(self.see(patches)).unbind(1))


def track(frames: np.ndarray) -> Tensor:
    """(3, h, w, 3) -> (2, h / 2, h / 2, 3): the patch of the first frame in which most moves, and the place of the
    last frame that correlates best with it."""
    side = frames.shape[1] * 3 // 8
    moved = np.abs(frames[0].astype(np.float32) - frames[1]).mean(2)
    energy = cv2.boxFilter(moved, -1, (side, side), anchor=(0, 0))[:-side, :-side]
    y, x = np.unravel_index(energy.argmax(), energy.shape)
    patch = frames[0][y : y + side, x : x + side]
    found = cv2.matchTemplate(frames[2], patch, cv2.TM_CCOEFF_NORMED)
    v, u = np.unravel_index(found.argmax(), found.shape)
    size = frames.shape[1] // 2
    pair = (patch, frames[2][v : v + side, u : u + side])
    return torch.from_numpy(np.stack([cv2.resize(p, (size, size)) for p in pair]))


class ObjectCentric(Contrast):
    """The same object-like region in two frames (Gao, Jayaraman, Grauman 2016); true objects stand for proposals."""

    def data(self, images, videos):
        pairs = zip(videos.frames.numpy(), videos.objects.numpy(), strict=True)
        return [torch.stack([region(f, o, i) for i, (f, o) in enumerate(pairs)])]

    def forward(self, patches):
        return self.compare(*self.head(self.see(patches)).unbind(1))


def region(frames: np.ndarray, objects: np.ndarray, index: int) -> Tensor:
    """(3, h, w, 3), (3, h, w) -> (2, h / 2, h / 2, 3): the box of one object in the first and in the last frame.

    The object is drawn from those of 1 to 30 % of the image in both; the whole frames if there is none.
    """
    boxes = []
    for number in np.intersect1d(objects[0], objects[2]):
        masks = [objects[k] == number for k in (0, 2)]
        if number and all(0.01 <= m.mean() <= 0.3 for m in masks):
            boxes.append([cv2.boundingRect(m.astype(np.uint8)) for m in masks])
    whole, size = [(0, 0, frames.shape[2], frames.shape[1])] * 2, frames.shape[1] // 2
    chosen = boxes[np.random.default_rng(index).integers(len(boxes))] if boxes else whole
    cut = [frames[k][y : y + h, x : x + w] for k, (x, y, w, h) in zip((0, 2), chosen, strict=True)]
    return torch.from_numpy(
        np.stack([cv2.resize(p, (size, size), interpolation=cv2.INTER_AREA) for p in cut])
    )


class Moving(Task):
    """How did the camera move between two frames: left or right, up or down, forth or back?
    (Agrawal, Carreira, Malik 2015)"""

    def __init__(self, trunk, normalise):
        super().__init__(trunk, normalise, 9, 2)

    def data(self, images, videos):
        return [videos.frames, videos.motion]

    def forward(self, frames, motion):
        scores = self.head(self.see(frames[:, [0, 2]]).flatten(1)).view(-1, 3, 3)
        right = (scores.argmax(2) == motion + 1).float().mean()
        return F.cross_entropy(scores.flatten(0, 1), (motion + 1).flatten()), right


class VideoOrder(Task):
    """Are three frames in order? (Misra, Zitnick, Hebert 2016)"""

    def __init__(self, trunk, normalise):
        super().__init__(trunk, normalise, 2, 3)

    def data(self, images, videos):
        return [videos.frames]

    def forward(self, frames):
        target = torch.randint(2, (len(frames),))
        orders = torch.tensor([[1, 0, 2], [0, 1, 2]])[target]
        return self.classify(frames[torch.arange(len(frames))[:, None], orders], target)


class Audio(Task):
    """What is heard where the picture was taken? (Owens et al. 2016)"""

    def __init__(self, trunk, normalise, sounds):
        super().__init__(trunk, normalise, sounds, 1)

    def data(self, images, videos):
        known = videos.sound >= 0
        return [videos.frames[known].flatten(0, 1), videos.sound[known].repeat_interleave(3)]

    def forward(self, images, sound):
        return self.classify(images[:, None], sound)


class Colorization(Task):
    """From lightness, the colour at each place, in 64 bins (Zhang, Isola, Efros 2016)."""

    def __init__(self, trunk, normalise):
        super().__init__(trunk, normalise, 1, 1)
        self.head = nn.Conv2d(self.features, COLOURS**2, 1)

    def data(self, images, videos):
        return [images]

    def forward(self, images):
        pixels = images.permute(0, 3, 1, 2).float()
        scores = self.head(self.trunk(self.normalise(pixels)))
        return place_by_place(scores, colour_bins(pixels, (scores.shape[2], scores.shape[3])))


class CrossChannel(Colorization):
    """Colour from lightness and lightness from colour, by one half of the trunk each (Zhang, Isola, Efros 2017)."""

    def __init__(self, trunk, normalise):
        super().__init__(trunk, normalise)
        self.side = self.features // 2
        self.head = nn.Conv2d(self.side, COLOURS**2, 1)
        self.light = nn.Conv2d(self.side, LIGHTS, 1)

    def forward(self, images):
        pixels = images.permute(0, 3, 1, 2).float()
        maps = self.trunk(self.normalise(pixels))
        size = maps.shape[2], maps.shape[3]
        a, right_a = place_by_place(self.head(maps[:, : self.side]), colour_bins(pixels, size))
        light = F.adaptive_avg_pool2d(opponent(pixels)[:, 0], size) / 256 * LIGHTS
        b, right_b = place_by_place(self.light(maps[:, self.side :]), light.long())
        return a + b, (right_a + right_b) / 2


def colour_bins(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """(n, 3, h, w) of 0 to 255 -> (n, *size) int64: the bin of the mean colour of each place."""
    colour = F.adaptive_avg_pool2d(opponent(pixels)[:, 1:], size)
    # most colours lie within a third of the range
    bins = ((colour / 128 * 3 + 1) / 2 * COLOURS).long().clamp(0, COLOURS - 1)
    return bins[:, 0] * COLOURS + bins[:, 1]


def place_by_place(scores: Tensor, target: Tensor) -> Loss:
    """scores: (n, classes, h, w); target: (n, h, w)."""
    return F.cross_entropy(scores, target), (scores.argmax(1) == target).float().mean()


TASKS: dict[str, type[Task]] = {
    "context": Context,
    "puzzle": Puzzle,
    "egomotion": Egomotion,
    "tracking": Tracking,
    "moving": Moving,
    "videoorder": VideoOrder,
    "audio": Audio,
    "crosschannel": CrossChannel,
    "colorization": Colorization,
    "objectcentric": ObjectCentric,
}
FROM_IMAGES = {"context", "puzzle", "crosschannel", "colorization"}  # the others look at videos


@torch.inference_mode()
def evaluate(task: Task, data: list[Tensor], device: torch.device) -> tuple[float, float]:
    """Mean accuracy and loss over the batches of 200 that `data` divides into; patches are drawn the same each time."""
    task.eval()
    found = []
    with torch.random.fork_rng(), device:
        torch.manual_seed(0)
        for start in range(0, len(data[0]), 200):
            loss, accuracy = task(*(d[start : start + 200].to(device) for d in data))
            found.append((accuracy.item(), loss.item()))
    accuracies, losses = zip(*found, strict=True)
    return sum(accuracies) / len(found), sum(losses) / len(found)
