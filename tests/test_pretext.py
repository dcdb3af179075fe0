"""The self-supervised tasks: targets that are right on pictures made for them, and a loss that learning lowers."""

import numpy as np
import pytest
import torch

from dissection.networks import pretext
from dissection.networks.pretext import TASKS, opponent, permutations, region, tiles, track

ARGUMENTS = {"size": 64, "widths": [8, 8, 8, 8, 8], "kernel": 5, "stride": 2, "padding": 2, "lrn": False,
             "groups": [1, 1, 1, 1, 1]}  # fmt: skip


def normalise(pixels):
    return pixels / 128 - 1


def build(name, videos):
    torch.manual_seed(0)
    channels = {"crosschannel": "split", "colorization": "light"}.get(name, "RGB")
    trunk = pretext.trunk(channels, **ARGUMENTS)
    return TASKS[name](trunk, normalise, *([len(videos.sounds)] if name == "audio" else []))


@pytest.fixture(scope="module")
def videos():
    return pretext.draw_videos(1, 0, 26, 64)


def test_videos_are_of_one_scene_and_move_as_they_say(videos):
    assert videos.frames.shape == (26, 3, 64, 64, 3)
    again = pretext.draw_videos(1, 13, 13, 64, videos.sounds)
    assert torch.equal(again.frames, videos.frames[13:])  # a video depends on its index alone
    assert torch.equal(again.motion, videos.motion[13:])
    assert (videos.motion != 0).any(1).all()
    still = (videos.frames[:, 0].float() - videos.frames[:, 1].float()).abs().mean((1, 2, 3))
    other = (
        (videos.frames[:, 0].float() - videos.frames.roll(1, 0)[:, 0].float()).abs().mean((1, 2, 3))
    )
    assert (still > 0).all()
    assert still.mean() < 0.7 * other.mean()


@pytest.mark.parametrize("name", TASKS)
def test_a_few_steps_lower_the_loss(name, videos):
    task = build(name, videos)
    data = task.data(videos.frames[:, 1], videos)
    if name == "videoorder":  # hard to see, so here it gets brighter with time
        data = [data[0] // 3 + torch.tensor([0, 60, 120], dtype=torch.uint8).view(3, 1, 1, 1)]
    optimizer = torch.optim.AdamW(task.parameters(), 3e-3)
    before = pretext.evaluate(task, data, torch.device("cpu"))
    assert before == pretext.evaluate(task, data, torch.device("cpu"))  # the same patches each time
    task.train()
    for _ in range(25):
        loss, accuracy = task(*data)
        assert 0 <= accuracy <= 1
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert pretext.evaluate(task, data, torch.device("cpu"))[1] < before[1]
    assert all(p.grad is not None for p in task.trunk.parameters())


def checkerboard():
    """Nine cells of nine greys."""
    cells = torch.arange(9).view(3, 3).repeat_interleave(21, 0).repeat_interleave(21, 1) * 20
    return cells[None, :, :, None].expand(4, -1, -1, 3).to(torch.uint8).contiguous()


def test_tiles_are_the_cells_in_reading_order():
    torch.manual_seed(0)
    means = tiles(checkerboard()).mean((2, 3, 4))
    assert torch.allclose(means, (torch.arange(9) * 20.0).expand(4, 9), atol=1)


def test_puzzle_shows_the_tiles_in_the_order_of_its_target(videos):
    task, seen = build("puzzle", videos), []
    task.classify = lambda views, target: seen.append((views, target))
    task(checkerboard())
    views, target = seen[0]
    shown = (views.mean((2, 3, 4)) / 20).round().long()
    assert torch.equal(shown, task.orders[target])


def test_context_shows_the_centre_and_the_neighbour_of_its_target(videos):
    task, seen = build("context", videos), []
    task.classify = lambda views, target: seen.append((views, target))
    task(checkerboard().repeat(20, 1, 1, 1))
    views, target = seen[0]
    shown = (views.mean((2, 3, 4)) / 20).round().long()
    assert (shown[:, 0] == 4).all()
    assert torch.equal(shown[:, 1], torch.tensor([0, 1, 2, 3, 5, 6, 7, 8])[target])
    assert len(target.unique()) == 8


def test_permutations_are_permutations_far_from_each_other():
    orders = permutations(16)
    assert torch.equal(orders.sort(1).values, torch.arange(9).expand(16, 9))
    differing = (orders[:, None] != orders[None]).sum(2)
    assert (differing + 9 * torch.eye(16, dtype=torch.long)).min() >= 7


def test_egomotion_knows_a_motion_by_its_map(videos):
    """Features that are turned by the map of each motion are right; by those of other motions wrong."""
    task = build("egomotion", videos)
    turns = torch.linalg.qr(torch.randn(27, 128, 128))[0]
    task.maps.data, task.head = turns, torch.nn.Identity()
    motion = torch.tensor(list(np.ndindex(3, 3, 3))) - 1
    before = torch.randn(27, 128)
    after = (turns @ before[:, :, None])[:, :, 0]
    task.see = lambda frames: torch.stack([before, after], 1)
    loss, accuracy = task(torch.zeros(27, 3), motion)
    assert accuracy == 1
    assert task(torch.zeros(27, 3), motion.flip(0))[0] > loss + 3


def test_tracking_finds_the_patch_that_moved():
    rng = np.random.default_rng(0)
    thing = rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)
    frames = np.full((3, 64, 64, 3), 90, np.uint8)
    for k, (y, x) in enumerate([(10, 12), (14, 20), (18, 28)]):
        frames[k, y : y + 24, x : x + 24] = thing
    first, last = track(frames).float()
    assert (first - last).abs().mean() < 40  # the same texture; another place differs by 85
    assert first.std() > 40


def test_a_region_is_the_box_of_one_object_in_both_frames():
    objects, frames = np.zeros((3, 40, 40), np.int64), np.zeros((3, 40, 40, 3), np.uint8)
    for k, x in enumerate((5, 8, 11)):
        objects[k, 10:20, x : x + 8] = 7
        frames[k, 10:20, x : x + 8] = 200
    objects[:, 30:] = 3  # half the image would be no region
    objects[0, 0, 0] = 9  # seen in one frame only
    objects[:, 25:] = 3
    assert (region(frames, objects, 0) == 200).all()


def test_a_trunk_sees_only_its_channels():
    torch.manual_seed(0)
    grey = torch.rand(2, 1, 64, 64).expand(2, 3, 64, 64)
    tinted = grey + torch.tensor([0.2, -0.3, 0.1])[:, None, None]  # of the same lightness
    assert torch.allclose(opponent(grey)[:, 0], opponent(tinted)[:, 0])
    assert torch.allclose(opponent(grey)[:, 1:], torch.zeros(2, 2, 64, 64), atol=1e-6)
    light, split = pretext.trunk("light", **ARGUMENTS), pretext.trunk("split", **ARGUMENTS)
    assert torch.allclose(light(grey), light(tinted), atol=1e-5)
    a, b = split(grey), split(tinted)
    assert a.shape[1] == 16
    assert torch.allclose(a[:, :8], b[:, :8], atol=1e-5)
    assert not torch.allclose(a[:, 8:], b[:, 8:], atol=1e-3)


def test_colour_needs_no_lightness(videos):
    """What colorization must predict is the colour, whatever the light."""
    images = videos.frames[:, 1].permute(0, 3, 1, 2).float() / 2
    brighter = images + 60
    assert torch.equal(pretext.colour_bins(images, (7, 7)), pretext.colour_bins(brighter, (7, 7)))
