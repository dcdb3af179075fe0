"""Interventions on a generator that is built so that its causal units are known."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from dissection.errors import DissectionError
from dissection.intervene import causal
from dissection.intervene.generator import (
    Generator,
    Intervention,
    cell_centres,
    cell_pixels,
    locations,
    only,
    sweep,
)
from dissection.intervene.local import Chain, following
from dissection.probe import Probe

UNITS, SIZE, GRID, IMAGE = 12, 16, 4, 16
TREE, SKY = 1, 2
PLANTED = [3, 7]  # draw green together
DECOY = 5  # on wherever they are, and draws nothing


class Planted(nn.Sequential):
    """z -> features that are on at random places -> colours; grey where no unit is on."""

    def __init__(self):
        super().__init__()
        draw = torch.Generator().manual_seed(0)
        self.layer1 = nn.Sequential(
            nn.Linear(SIZE, UNITS * GRID * GRID), nn.Unflatten(1, (UNITS, GRID, GRID)), nn.ReLU()
        )
        self.layer2 = nn.Sequential(
            nn.Upsample(scale_factor=4), nn.Conv2d(UNITS, 8, 3, padding=1), nn.ReLU()
        )
        self.layer3 = nn.Sequential(nn.Conv2d(8, 3, 1), nn.Hardtanh())
        with torch.no_grad():
            weight = torch.randn(UNITS, GRID * GRID, SIZE, generator=draw) / SIZE**0.5
            weight[DECOY] = 2 * weight[3]  # what the causal units have in common
            weight[3], weight[7] = weight[3] + weight[7] / 2, weight[3] - weight[7] / 2
            self.layer1[0].weight.copy_(weight.flatten(0, 1))
            self.layer1[0].bias.fill_(-0.4)
            paint, colour = self.layer2[1], self.layer3[0]
            for conv in (paint, colour):
                conv.weight.zero_()
                conv.bias.zero_()
            for unit in PLANTED:
                paint.weight[0, unit, 1, 1] = 1.0
                paint.weight[0, unit, 1, 0] = 0.25
            for unit in (0, 1, 2):  # brightness
                paint.weight[1, unit] = 0.05
            for unit in (4, 6):  # blue
                paint.weight[2, unit, 1, 1] = 1.0
            colour.weight[1, 0] = 0.7  # green
            colour.weight[:, 1] = 0.2
            colour.weight[2, 2] = 0.9


class Unchained(Planted):
    """The same, but what follows the layer is more than a chain of modules."""

    def forward(self, z):
        features = self.layer1(z)
        return self.layer3(self.layer2(features)) + 0 * features.mean((1, 2, 3), keepdim=True)


class Colours:
    """Tree where green exceeds red, sky where blue does; a tree is also a part named tree."""

    concepts = pd.DataFrame(
        {"name": ["tree", "sky"], "category": ["object", "object"]},
        index=pd.Index([TREE, SKY], name="number"),
    )

    def __call__(self, images):
        red, green, blue = images.int().unbind(1)
        tree, sky = (green - red > 60).int(), (blue - red > 60).int()
        objects = torch.where(tree > 0, TREE, SKY * sky)[:, None]
        return {"object": objects, "part": TREE * tree[:, None]}

    def scores(self, images, concept):
        red, green, blue = images.unbind(1)
        return (((green if concept == TREE else blue) - red - 60) / 10).sigmoid()


@pytest.fixture(params=[Planted, Unchained])
def network(request):
    return request.param()


@pytest.fixture
def generator(network):
    return Generator(network, "layer1")


@pytest.fixture
def chained():
    return Generator(Planted(), "layer1")


def latents(images, seed):
    return torch.from_numpy(np.random.RandomState(seed).standard_normal((images, SIZE))).float()


def rerun(network, z, edit):
    """The image of one z, all from the start, as an (H, W, 3) array of integers."""
    with torch.no_grad():
        features = network.layer1(z[None])
        edit(features[0])
        image = network.layer3(network.layer2(features))[0]
    return np.rint((image.numpy().transpose(1, 2, 0) + 1) * np.float32(127.5)).astype(int)


def is_concept(image, y, x, concept):
    red, green, blue = image[y, x]
    tree = green - red > 60
    return bool(tree) if concept == TREE else bool(not tree and blue - red > 60)


def count(image, concept, rows=range(IMAGE), columns=range(IMAGE)):
    return sum(is_concept(image, y, x, concept) for y in rows for x in columns)


def inside(cell):
    side = IMAGE // GRID
    return [range(i * side, (i + 1) * side) for i in cell]


def test_head_and_tail_are_the_whole(network, generator):
    z = latents(5, 1)
    state = generator.head(z)
    whole = ((network(z) + 1) * 127.5).round()
    assert torch.equal(generator.images(state).float(), whole)
    untouched = Intervention(torch.zeros(UNITS), torch.full((UNITS,), 9.0))
    assert torch.equal(untouched(state[0]), state[0])


def test_an_edit_is_made_where_the_mask_says_and_nowhere_else(generator):
    r = generator.head(latents(3, 2))[0]
    where = torch.zeros(3, GRID, GRID, dtype=torch.bool)
    where[0, 1, 2] = where[2, 3, 0] = True
    alpha = only([2, 8], UNITS, torch.linspace(0, 1, UNITS))
    k = torch.arange(UNITS).float()
    edited = Intervention(alpha, k, where)(r)
    for n, u, y, x in np.ndindex(*r.shape):
        a = float(alpha[u]) if where[n, y, x] else 0.0
        expected = a * float(k[u]) + (1 - a) * float(r[n, u, y, x])
        assert float(edited[n, u, y, x]) == pytest.approx(expected, rel=1e-6)
    assert torch.equal(edited[1], r[1])
    forced = Intervention(only([4], UNITS), k, where[0])(r)
    assert (forced[:, 4, 1, 2] == 4.0).all()  # exactly k
    assert torch.equal(Intervention(only([4], UNITS))(r)[:, 4], torch.zeros(3, GRID, GRID))


def test_counts_agree_with_rerunning_the_generator(network, generator):
    z = latents(6, 3)
    k = torch.full((UNITS,), 2.0)
    cell = locations(GRID, GRID)[torch.tensor([0, 5, 10, 15, 3, 6])]
    changes = [
        Intervention(only(PLANTED, UNITS)),
        Intervention(only(PLANTED, UNITS), k, cell),
        Intervention(0.5 * only([3, 6], UNITS)),
    ]
    counts = sweep(generator, Colours(), z, changes, [TREE, SKY], batch=4)

    def ablate(r):
        r[PLANTED] = 0

    def insert(r, y, x):
        r[PLANTED, y, x] = 2.0

    def weaken(r):
        r[[3, 6]] *= 0.5

    for i in range(len(z)):
        y, x = divmod([0, 5, 10, 15, 3, 6][i], GRID)
        images = [
            rerun(network, z[i], ablate),
            rerun(network, z[i], lambda r, y=y, x=x: insert(r, y, x)),
            rerun(network, z[i], weaken),
        ]
        plain = rerun(network, z[i], lambda r: None)
        for c, concept in enumerate((TREE, SKY)):
            assert counts.before[i, c] == count(plain, concept)
            for e, image in enumerate(images):
                assert counts.after[i, e, c] == count(image, concept)
            assert counts.before_inside[i, 1, c] == count(plain, concept, *inside((y, x)))
            assert counts.after_inside[i, 1, c] == count(images[1], concept, *inside((y, x)))
    assert counts.before.sum(0).min() > 0
    assert counts.area.tolist() == [[256, 16, 256]] * 6


def test_average_causal_effect_agrees_with_brute_force(network, generator):
    z, value = latents(20, 4), torch.rand(UNITS) + 1
    alpha = 0.8 * only(PLANTED, UNITS)
    found, _ = causal.average_causal_effect(
        generator, Colours(), z, [alpha, only([DECOY], UNITS)], value, [TREE], seed=7
    )
    cells = torch.randint(16, (20,), generator=torch.Generator().manual_seed(7)).tolist()
    before = ablated = inserted = 0

    def weaken(r):
        r[PLANTED] *= 1 - 0.8

    def force(r, y, x):
        r[PLANTED, y, x] = 0.8 * value[PLANTED] + (1 - 0.8) * r[PLANTED, y, x]

    for i, cell in enumerate(cells):
        y, x = divmod(cell, GRID)
        before += count(rerun(network, z[i], lambda r: None), TREE)
        ablated += count(rerun(network, z[i], weaken), TREE)
        image = rerun(network, z[i], lambda r, y=y, x=x: force(r, y, x))
        inserted += count(image, TREE, *inside((y, x)))
    present, gone, added = before / (20 * 256), ablated / (20 * 256), inserted / (20 * 16)
    row = found.iloc[0]
    assert row["effect"] == pytest.approx((added - gone) / present, rel=1e-9)
    assert row["removed"] == pytest.approx(1 - gone / present, rel=1e-9)
    assert row["present"] == pytest.approx(present, rel=1e-9)
    assert row["effect"] > 1
    assert found.iloc[1]["removed"] == 0


@pytest.mark.parametrize("batch", [1, 3, 50])
def test_counts_do_not_depend_on_the_batch_or_on_parts(generator, batch):
    z = latents(7, 5)
    cells = locations(GRID, GRID)
    changes = [Intervention(only([3], UNITS), 3.0, where) for where in cells[:5]]
    changes.append(Intervention(torch.ones(UNITS), torch.rand(UNITS), cells[:7]))
    whole = sweep(generator, Colours(), z, changes, [TREE, SKY], batch=8)
    for a, b in zip(
        sweep(generator, Colours(), z, changes, [TREE, SKY], batch), whole, strict=True
    ):
        assert torch.equal(a, b)
    parts = [sweep(generator, Colours(), z[s], changes[:5], [TREE, SKY], batch)
             for s in (slice(3), slice(3, 7))]  # fmt: skip
    assert torch.equal(torch.cat([p.after for p in parts]), whole.after[:, :5])


def test_a_unit_without_effect_has_none_and_the_causal_ones_do(generator):
    counts = sweep(
        generator, Colours(), latents(30, 6), causal.removals(torch.tensor([DECOY, 10, 11, 3, 7, 0, 1,
        2, 4, 6, 8, 9]), range(6)), [TREE, SKY],
    )  # fmt: skip
    table = causal.effects(counts, [TREE, SKY]).pivot(
        index="intervention", columns="concept", values="change"
    )
    assert (table.loc[:3] == 0).all(axis=None)
    assert table[TREE][5] < -0.9
    assert table[TREE][4] < 0
    before, after = counts.before[:, 0].double(), counts.after[:, 4, 0].double()
    line = causal.effects(counts, [TREE]).iloc[4]
    expected = (after - before).mean() / before.mean()
    assert line["change"] == pytest.approx(float(expected))
    spread = float((after - before).std()) / 30**0.5 / float(before.mean())
    assert line["interval"] == pytest.approx(2.58 * spread)


def test_an_edit_that_changes_nothing_is_not_run(generator, monkeypatch):
    z = latents(4, 8)
    changes = [Intervention(torch.zeros(UNITS), 5.0), Intervention(only([3], UNITS))]
    images = []
    plain = Generator.edited

    def counted(self, state, before, image, features, box):
        images.append(len(features))
        return plain(self, state, before, image, features, box)

    monkeypatch.setattr(Generator, "edited", counted)
    sweep(generator, Colours(), z, changes, [TREE], batch=4)
    assert 0 < sum(images) <= 4


class UnitNorm(nn.Module):
    def forward(self, x):
        return x / (x.square().mean(1, keepdim=True) + 1e-8).sqrt()


@pytest.mark.parametrize(
    ("block", "local"),
    [
        (nn.Conv2d(6, 6, 5, padding=2), True),
        (nn.Sequential(UnitNorm(), nn.Upsample(scale_factor=2), nn.Conv2d(6, 6, 3, padding=1)), True),
        (nn.Upsample(scale_factor=2, mode="bilinear"), True),
        (nn.ConvTranspose2d(6, 6, 4, stride=2, padding=1), True),
        (nn.ReLU(inplace=True), True),
        (nn.InstanceNorm2d(6), False),  # of the whole image
        (nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True), False),  # a crop is scaled otherwise
        (nn.Conv2d(6, 6, 3, padding=1, stride=2), False),
        (nn.AdaptiveAvgPool2d(8), False),
    ],
)  # fmt: skip
@torch.no_grad()
def test_what_an_edit_reaches_is_all_that_changes(block, local):
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 6, 1), nn.Conv2d(6, 6, 3, padding=1), block, nn.LeakyReLU(0.2),
        nn.Conv2d(6, 3, 3, padding=1),
    ).eval()  # fmt: skip
    chain = Chain(following(network, "0"))
    assert len(chain.blocks) == 4
    features = network[0](torch.randn(3, 3, 9, 12))
    plain = chain.run(features)
    assert torch.equal(plain[-1], network[1:](features.clone()))
    assert chain.reach[0] is not None
    assert (chain.reach[1] is not None) == local
    images = torch.tensor([2, 0, 2])
    for rows in (range(1), range(4, 6), range(8, 9), range(9)):
        for columns in (range(1), range(5, 6), range(11, 12), range(2, 12)):
            edited = features[images]
            part = edited[:, :, rows.start : rows.stop, columns.start : columns.stop]
            part.copy_(torch.randn(part.shape))
            found = chain.patched(plain, images, edited, (rows, columns))
            assert torch.allclose(found, network[1:](edited.clone()), atol=1e-5)


def test_a_chain_is_fed_by_nothing_else(network):
    blocks = following(network, "layer1")
    assert (blocks is None) == isinstance(network, Unchained)
    nested = nn.Sequential(nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU()), nn.Conv2d(3, 3, 1))
    assert following(nested, "0.0") == [nested[0][1], nested[1]]


def test_pixels_by_cell_and_centres():
    rng = np.random.default_rng(0)
    maps = rng.integers(0, 4, (2, 3, 11, 6))
    found = cell_pixels(torch.from_numpy(maps), torch.tensor([1, 3]), 4, 3)
    centres = cell_centres(torch.from_numpy(maps), 4, 3)
    expected = np.zeros((2, 2, 4, 3), int)
    for n, y, x in np.ndindex(2, 11, 6):
        cell = int((y + 0.5) * 4 / 11), int((x + 0.5) * 3 / 6)
        for c, concept in enumerate((1, 3)):
            expected[n, c, *cell] += concept in maps[n, :, y, x]
    assert found.tolist() == expected.tolist()
    for y, x in np.ndindex(4, 3):
        at = maps[:, :, int((y + 0.5) * 11 / 4), int((x + 0.5) * 6 / 3)]
        assert centres[:, :, y, x].tolist() == at.tolist()


def test_constants_are_means_weighted_by_cover(network, generator):
    z = latents(12, 9)
    found = causal.survey(generator, Colours(), z, [TREE, SKY], batch=5)
    for c, concept in enumerate((TREE, SKY)):
        total, weight = np.zeros(UNITS), 0.0
        for i in range(len(z)):
            image = rerun(network, z[i], lambda r: None)
            r = network.layer1(z[i][None])[0].numpy()
            for y, x in np.ndindex(GRID, GRID):
                pixels = count(image, concept, *inside((y, x)))
                assert found.pixels[i, c, y, x] == pixels
                total += pixels / 16 * r[:, y, x]
                weight += pixels / 16
        assert np.allclose(found.value[c], total / weight, rtol=1e-6)
    again = causal.survey(generator, Colours(), z, [TREE, SKY], batch=12)
    assert torch.allclose(found.value, again.value, rtol=1e-6)


def test_high_values_are_quantiles(generator):
    z = latents(25, 10)
    values = np.sort(generator.head(z)[0].permute(1, 0, 2, 3).flatten(1).numpy(), 1)
    found = causal.high_values(generator, z, 0.05, batch=7)
    assert found.tolist() == values[:, -(int(0.05 * values.shape[1]) + 1)].tolist()


def dissected_iou(generator, z):
    """IoU of each unit being on with the tree, by cell."""
    pixels = causal.survey(generator, Colours(), z, [TREE]).pixels[:, 0] > 8
    on = generator.head(z)[0] > 0.3
    return (on & pixels[:, None]).sum((0, 2, 3)) / (on | pixels[:, None]).sum((0, 2, 3))


SEARCH = causal.Search(places=80, held_out=20, tries=3, epochs=12, batch=8, learning_rate=0.05, l2=0.02)  # fmt: skip


def test_the_optimisation_finds_the_planted_units(chained):
    iou = dissected_iou(chained, latents(200, 11))
    assert iou.argmax() == DECOY
    found = causal.find_units(
        chained, Colours(), TREE, latents(160, 12), latents(160, 13), iou, SEARCH
    )
    assert set(found.order[:2].tolist()) == set(PLANTED)
    others = [u for u in range(UNITS) if u not in PLANTED]
    assert found.alpha[PLANTED].min() > 0.5
    assert found.alpha[others].max() < 0.05
    assert found.places[0] > 50
    assert found.history["loss"].iloc[0] == pytest.approx(
        SEARCH.l2 * float(causal.initial(iou).square().sum()) - found.history["effect"].iloc[0], rel=1e-5
    )  # fmt: skip
    assert found.history["loss"].min() < found.history["loss"].iloc[0]
    by_iou, z = iou.argsort(descending=True), latents(100, 14)
    removed = [
        causal.effects(sweep(chained, Colours(), z, causal.removals(order, [2]), [TREE]), [TREE])["change"][0]
        for order in (found.order, by_iou)
    ]  # fmt: skip
    assert removed[0] < removed[1]


def test_the_objective_is_the_mean_score_where_the_edit_is(network, generator):
    places = [
        causal.Places(latents(3, seed), locations(GRID, GRID)[torch.tensor(cells)])
        for seed, cells in ((15, [1, 6, 9]), (16, [4, 0, 15]))
    ]
    value, alpha = torch.full((UNITS,), 1.5), torch.linspace(0, 1, UNITS, requires_grad=True)
    objective = causal.Objective(generator, Colours(), TREE, value)
    effect = objective.effect(alpha, objective.prepare(*places, batch=2), torch.tensor([0, 2]))
    for row, i in enumerate((0, 2)):
        scores = []
        for k, place in zip((0.0, 1.5), places, strict=True):
            y, x = np.argwhere(place.where[i].numpy())[0]
            with torch.no_grad():
                r = network.layer1(place.z[i : i + 1])
                r[0, :, y, x] = alpha * k + (1 - alpha) * r[0, :, y, x]
                image = network.layer3(network.layer2(r))
                score = Colours().scores((image + 1) * 127.5, TREE)[0]
            scores.append(score[4 * y : 4 * y + 4, 4 * x : 4 * x + 4].mean())
        assert effect[row].item() == pytest.approx(float(scores[1] - scores[0]), abs=1e-5)
    effect.sum().backward()
    assert alpha.grad.abs().max() > 0


@pytest.mark.parametrize("size", [(1, 1), (2, 1)])
def test_places_of_the_class_and_candidates(generator, size):
    z, every = latents(60, 17), locations(GRID, GRID, size)
    found = causal.survey(generator, Colours(), z, [TREE])
    pixels = found.pixels[:, 0]
    present = causal.present_places(pixels, z, every, 10)
    area = torch.stack([pixels[:, where].sum(1) for where in every]).max(0).values
    chosen = sorted(np.argsort(-area.numpy(), kind="stable")[:10])
    assert torch.equal(present.z, z[chosen])
    for i, where in zip(chosen, present.where, strict=True):
        assert where.sum() == size[0] * size[1]
        assert pixels[i][where].sum() == area[i]
    value = torch.full((UNITS,), 2.0) * only(PLANTED, UNITS)
    for batch in (4, 60):
        candidates = causal.candidate_places(
            generator, Colours(), z, TREE, value, present, every, 200, SEARCH, batch
        )
        assert len(candidates.z) > 20
        index = [int((z == row).all(1).nonzero()) for row in candidates.z]
        assert index == sorted(index)
        assert not pixels[index][candidates.where].any()
        changes = [Intervention(torch.ones(UNITS), value, candidates.where)]
        gained = sweep(generator, Colours(), candidates.z, changes, [TREE]).after_inside
        assert (gained > 0).all()
        if batch == 4:
            first = candidates
    assert torch.equal(first.where, candidates.where)


def test_locations_are_all_rectangles():
    every = locations(3, 4, (2, 3))
    assert every.shape == (4, 3, 4)
    for where, (y, x) in zip(every, [(0, 0), (0, 1), (1, 0), (1, 1)], strict=True):
        assert where.sum() == 6
        assert where[y : y + 2, x : x + 3].all()
    with pytest.raises(DissectionError, match="4 by 1 cells do not fit"):
        locations(3, 4, (4, 1))


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (1, 2)])
def test_insertion_by_context_agrees_with_brute_force(network, generator, size):
    z, alpha, value = latents(30, 18), only(PLANTED, UNITS), torch.full((UNITS,), 1.5)
    doors = causal.insert_each(
        generator, Colours(), z, Intervention(alpha, value), TREE, size, batch=5
    )
    table = causal.by_context(doors, Colours.concepts).set_index("name")
    x = {TREE: {}, SKY: {}}
    before = []
    for i in range(len(z)):
        plain = rerun(network, z[i], lambda r: None)
        before.append(count(plain, TREE))
        for y, x_ in np.ndindex(GRID + 1 - size[0], GRID + 1 - size[1]):
            rows, columns = slice(y, y + size[0]), slice(x_, x_ + size[1])

            def insert(r, rows=rows, columns=columns):
                r[PLANTED, rows, columns] = 1.5

            change = count(rerun(network, z[i], insert), TREE) - before[-1]
            assert doors.change[i, y, x_] == change
            cells = [(y + dy, x_ + dx) for dy, dx in np.ndindex(*size)]
            pixels = list(np.ndindex(4 * size[0], 4 * size[1]))
            free = not any(is_concept(plain, 4 * y + dy, 4 * x_ + dx, TREE) for dy, dx in pixels)
            for concept in (TREE, SKY):
                stands = all(is_concept(plain, 4 * v + 2, 4 * u + 2, concept) for v, u in cells)
                if stands and (free or concept == TREE):
                    x[concept].setdefault(i, []).append(change)
    for concept, name in ((TREE, "tree"), (SKY, "sky")):
        of_image = [np.array(v) / np.mean(before) for v in x[concept].values()]
        every = np.concatenate(of_image)
        row, n = table.loc[name], len(of_image)
        assert row["locations"] == len(every)
        assert row["images"] == n
        assert row["effect"] == pytest.approx(every.mean())
        assert row["deviation"] == pytest.approx(every.std(ddof=1))
        squares = sum((v - every.mean()).sum() ** 2 for v in of_image)
        assert row["interval"] == pytest.approx(2.58 * (squares * n / (n - 1)) ** 0.5 / len(every))
    assert causal.by_context(doors, Colours.concepts, least=10**6).empty


def test_a_trace_agrees_with_brute_force(network):
    z = latents(5, 19)
    change = Intervention(only(PLANTED, UNITS), torch.full((UNITS,), 1.5))
    later = ["layer2", "layer3"]
    found = causal.trace(network, "layer1", later, z, change, batch=3)
    assert found.shape == (5, 2, GRID, GRID)
    with Probe(network, later) as probe, torch.no_grad():
        probe(z)
        plain = probe.kept
    for j, name in enumerate(later):
        norm = plain[name].abs().mean((0, 2, 3))
        assert (norm == 0).any() == (name == "layer2")
        for i, y, x in ((0, 0, 0), (2, 1, 3), (4, 3, 2)):
            where = torch.zeros(GRID, GRID, dtype=torch.bool)
            where[y, x] = True
            force = Intervention(change.alpha, change.value, where)
            with Probe(network, later, {"layer1": force}) as probe, torch.no_grad():
                probe(z[i : i + 1])
                moved = (probe.kept[name][0] - plain[name][i]).abs().mean((1, 2))
            expected = (moved / norm)[norm > 0].mean()
            assert float(found[i, j, y, x]) == pytest.approx(float(expected), rel=1e-4)
    visible = torch.arange(5 * GRID * GRID).view(5, GRID, GRID) % 3 == 0
    table = causal.by_visibility(found, later, visible).set_index(["layer", "visible"])
    for j, name in enumerate(later):
        for shown in (True, False):
            values = found[:, j].numpy()[visible.numpy() == shown].astype(float)
            assert table.loc[(name, shown), "locations"] == len(values)
            assert table.loc[(name, shown), "effect"] == pytest.approx(values.mean())
            assert table.loc[(name, shown), "interval"] == pytest.approx(
                2.58 * values.std(ddof=1) / len(values) ** 0.5
            )
    still = Intervention(torch.zeros(UNITS), 3.0)
    assert not causal.trace(network, "layer1", later, z, still).any()


def test_what_cannot_be_measured_is_said(generator):
    nowhere = Colours()
    nowhere.concepts = pd.DataFrame(
        {"name": ["boat"], "category": ["object"]}, index=pd.Index([8], name="number")
    )
    z, ones = latents(4, 20), torch.ones(UNITS)
    with pytest.raises(DissectionError, match="'boat': in none of 4"):
        causal.average_causal_effect(generator, nowhere, z, [ones], ones, [8], seed=1)
    with pytest.raises(DissectionError, match="'boat': 0 of 4 images have it"):
        causal.find_units(generator, nowhere, 8, z, z, ones, SEARCH)
    with pytest.raises(DissectionError, match=r"above 0 \(A.1\)"):
        causal.initial(torch.zeros(3))
    with pytest.raises(DissectionError, match="in none of 4"):
        causal.by_context(
            causal.insert_each(generator, nowhere, z, Intervention(ones, ones), 8), Colours.concepts
        )
