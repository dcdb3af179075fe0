"""An edit of one layer against a plain transcription of the published loops, both in one run; and second moments.

    OMP_NUM_THREADS=1 python benchmarks/rewriting_speed.py                       # as published: 256 px, 2001 steps
    OMP_NUM_THREADS=1 python benchmarks/rewriting_speed.py --steps 201 --images 100

A StyleGAN2 of random weights. A step's milliseconds are of float32; the changes of the weight are compared in float64.
The second moments' seconds are without drawing the images, which either way is the same. Seconds are those of the
processor, so that whatever else the machine does hardly counts.
"""

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from dissection.networks.progan import latents
from dissection.networks.stylegan2 import StyleGAN2
from dissection.rewrite.directions import key_directions
from dissection.rewrite.insert import Goal, insert, paste
from dissection.rewrite.layers import Cut, Ending, Memory, memory_of, moments
from dissection.stats import SecondMoment

PROJECTED, BATCH = 10, 10


def published_insert(
    key: Tensor, target: Tensor, weight: Tensor, ending: Ending | None, directions: Tensor,
    method: str, steps: int, rate: float = 0.05, low_rank_gradient: bool = False,
) -> Tensor:  # fmt: skip
    """The change of a layer's weight (units, inputs, kh, kw), each step running the layer on the cropped keys.

    key: (1, inputs, h, w), target: (1, units, h, w) at the crop; ending: its `add` (units, h, w).
    """
    first = weight.detach().clone()
    within = torch.einsum("uihw,di->udhw", first, directions)
    apart = first - torch.einsum("udhw,di->uihw", within, directions)
    of_lambda = method == "lambda"
    x = (torch.zeros_like(within) if of_lambda else first.clone()).requires_grad_()
    optimiser = torch.optim.Adam([x], lr=rate)
    for step in range(steps):
        now = first + torch.einsum("udhw,di->uihw", x, directions) if of_lambda else x
        padding = now.shape[2] // 2
        if ending is None:
            value = F.conv2d(key, now, padding=padding)
        else:
            # the scale is a factor of the style here, and of the published weight
            scale = (now[0].numel()) ** -0.5
            value = F.conv2d(key, scale * now, padding=padding)
            styled = scale * now * (ending.style / scale)[None, :, None, None]
            value = value * torch.rsqrt(styled.pow(2).sum((1, 2, 3)) + 1e-8)[None, :, None, None]
            value = F.leaky_relu(value + ending.add[None], 0.2) * 2**0.5
        loss = F.l1_loss(target, value)
        optimiser.zero_grad()
        loss.backward()
        if low_rank_gradient:
            along = torch.einsum("uihw,di->udhw", x.grad, directions)
            x.grad[...] = torch.einsum("udhw,di->uihw", along, directions)
        optimiser.step()
        if not of_lambda and (step % PROJECTED == 0 or step == steps - 1):
            with torch.no_grad():
                inside = torch.einsum("uihw,di->udhw", x, directions)
                x[...] = apart + torch.einsum("udhw,di->uihw", inside, directions)
    with torch.no_grad():
        return torch.einsum("udhw,di->uihw", x, directions) if of_lambda else x - first


def outer_products(keys: Tensor, into: Tensor) -> None:
    """Adds k k^T for each of (places, inputs) keys."""
    into.addbmm_(keys[:, :, None], keys[:, None, :])


def seconds(run: Callable[[], object]) -> float:
    started = time.process_time()
    run()
    return time.process_time() - started


def crop(memory: Memory, cut: Cut, at: int, size: int) -> tuple[Goal, Tensor]:
    """A patch of the first image pasted into the second: the goal, and the keys (1, inputs, size, size) there."""
    before = cut.before
    cuts = [
        Cut(cut.key[i : i + 1], before._replace(w=before.w[i : i + 1], seed=before.seed[i : i + 1]))
        for i in (0, 1)
    ]
    patch = slice(at, at + size)
    mask = torch.zeros(cut.key.shape[2:])
    mask[patch, patch] = 1
    return paste(memory, cuts[0], mask, cuts[1], mask, padded=True), cuts[1].key[:, :, patch, patch]


def both(memory: Memory, cut: Cut, directions: Tensor, patch: int, method: str, steps: int):
    """Seconds of ours and of the published loop, and how far the changes of the weight are apart."""
    goal, key = crop(memory, cut, 8, patch)
    shape = (len(memory.weight), *key.shape[2:])
    ending = goal.ending._replace(add=goal.ending.add.reshape(shape))
    found = []

    def ours():
        change, _ = insert(goal, memory.weight, directions, method, steps)
        found.append(torch.einsum("urhw,ri->uihw", change, directions))

    def theirs():
        target = goal.target.reshape(1, *shape)
        found.append(
            published_insert(key, target, memory.weight, ending, directions, method, steps)
        )

    took = seconds(ours), seconds(theirs)
    return *took, float((found[0] - found[1]).norm() / found[1].norm())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=2001)
    parser.add_argument(
        "--checked", type=int, default=201, help="steps of the comparison in float64"
    )
    parser.add_argument("--images", type=int, default=1000, help="of the second moments")
    parser.add_argument("--patch", type=int, default=8, help="cells of the patch's sides, of 32")
    parser.add_argument("--rank", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(1)
    network = StyleGAN2().eval().requires_grad_(False)
    memory = memory_of(network, "layer8")
    cut = memory.cut(latents(1, 0, BATCH, 512))
    moment = moments(memory, latents(1, 0, BATCH, 512)).moment()
    places = cut.key[:4, :, 8:16, 8:16].movedim(1, -1).reshape(-1, 512)
    directions = key_directions(places, torch.ones(len(places)), moment, args.rank)
    print(f"{args.patch} x {args.patch} of {cut.key.shape[2]} x {cut.key.shape[3]} cells")
    both(memory, cut, directions.float(), args.patch, "lambda", 1)  # what torch loads at first use
    for method in ("lambda", "pgd"):
        ours, theirs, _ = both(memory, cut, directions.float(), args.patch, method, args.steps)
        network.double()
        state = cut.before._replace(w=cut.before.w.double())
        exact = Cut(cut.key.double(), state)
        *_, error = both(memory, exact, directions, args.patch, method, args.checked)
        network.float()
        each = 1000 / args.steps
        print(f"{method}, {args.steps} steps: {ours:.1f} s, {ours * each:.2f} ms a step; published {theirs:.1f} s,"
              f" {theirs * each:.2f} ms: {theirs / ours:.1f} times; relative difference after {args.checked} steps"
              f" in float64 {error:.1e}")  # fmt: skip

    keys = cut.key.movedim(1, -1).flatten(0, -2)
    moment_of, loop = SecondMoment(512), torch.zeros(512, 512)
    rounds = -(-args.images // BATCH)
    ours = seconds(lambda: [moment_of.add(keys) for _ in range(rounds)])
    theirs = seconds(lambda: [outer_products(keys, loop) for _ in range(rounds)])
    error = float((loop / (rounds * len(keys)) - moment_of.moment()).norm() / moment_of.moment().norm())  # fmt: skip
    print(f"second moments of {rounds * BATCH} images: {ours:.1f} s; outer products {theirs:.1f} s:"
          f" {theirs / ours:.1f} times; relative difference {error:.1e}")  # fmt: skip


if __name__ == "__main__":
    main()
