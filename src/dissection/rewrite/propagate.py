"""Tables 6.1 and 6.2 and figure 6-4: an edit carried to all that a generator draws, by eight methods (thesis 6.5.1).

    methods = Methods(generator, layer, session, moment, spec, baselines)
    methods(z)                                      # {"ours": (n, 3, h, w) uint8, ..., "unmodified": ...}

Four rewrite a layer: projected gradient descent (ours), optimisation of Lambda, a direction of the pasted place alone,
and no direction. One tunes all weights until the generator draws the example (eq. 6.3). Two edit images, along
correspondences with the example (`buddies`). The example is the object, copied as pixels onto the image where it is
pasted.

A row's folder has sessions as JSON, `images.csv` with what each method did to each image, and strips as PNG: `<edit>`
with the images of object and paste and the example, `<edit>.<method>` with those images that show most of the source.
"""

import copy
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor, nn
from tqdm import tqdm

from dissection.adam import Adam
from dissection.config import Config, Propagated, Rewriting
from dissection.errors import DissectionError
from dissection.features import Features, Target
from dissection.files import write_csv, write_png
from dissection.networks import module_of, network_of, to_pixels
from dissection.networks.progan import latents
from dissection.paths import replacing
from dissection.rewrite.buddies import Transfer
from dissection.rewrite.counts import shows
from dissection.rewrite.edits import Rewritten
from dissection.rewrite.insert import placed
from dissection.rewrite.job import latent_of, rewrite, truncate
from dissection.rewrite.layers import memory_of, moments
from dissection.rewrite.perceptual import LPIPS, Pyramid, load_lpips, load_pyramid, outside
from dissection.rewrite.select import Region, Selections, by_size, draw, regions, session_of
from dissection.rewrite.sessions import Session, read_mask
from dissection.segment import segmenter_of
from dissection.segment.judges import load_attributes, load_finder

REWRITES = ("ours", "direct_lambda", "single_image_direction", "single_layer_no_direction")
METHODS = (*REWRITES, "finetune_all", "nbb_copy", "nbb_laplace", "unmodified")
BATCH = 50
SEVERAL = 8  # regions of about the pasted size, of which the surest is copied


class Baselines(NamedTuple):
    """features: what tuning of all weights compares; pyramid: what correspondences are sought in."""

    features: Features
    pyramid: Pyramid


class Methods:
    """All of them for one edit. The generator is left as it was, its truncation being the session's."""

    def __init__(self, network: nn.Module, path: str, session: Session, moment: Tensor, spec: Propagated,
                 baselines: Baselines):  # fmt: skip
        """path: of the layer's module; moment: C of its keys."""
        self.network, self.rewritten = network, Rewritten(network)
        self.edits = {
            name: rewrite(network, path, variant(session, name), moment)[0] for name in REWRITES
        }
        z, self.before, goal, self.mask = example(network, session)
        self.goal = to_pixels(goal)[0].cpu()
        self.tuned = finetune(network, z, Target(goal, baselines.features, 0.01, True), spec)
        self.transfer = Transfer(baselines.pyramid, self.goal, self.mask)

    def __call__(self, z: Tensor) -> dict[str, Tensor]:
        """z (n, size) -> method -> (n, 3, h, w) uint8"""
        unmodified = draw(self.network, z)
        made = {}
        for name, edit in self.edits.items():
            self.rewritten.add(edit)
            made[name] = draw(self.network, z)
            self.rewritten.remove(edit)
        copied = self.transfer(unmodified)
        made |= {"finetune_all": draw(self.tuned, z), "nbb_copy": copied["copy"]}
        return made | {"nbb_laplace": copied["laplace"], "unmodified": unmodified}


def variant(session: Session, name: str) -> Session:
    """The session as one of REWRITES has it."""
    if name == "single_image_direction":  # without a context, it is at the pasted place
        return session.model_copy(update={"context": []})
    method = {"direct_lambda": "lambda", "single_layer_no_direction": "layer"}.get(name, "pgd")
    settings = session.settings.model_copy(update={"method": method})
    return session.model_copy(update={"settings": settings})


@torch.no_grad()
def example(network: nn.Module, session: Session) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """z (1, size) of the image where the session pastes; (2, 3, h, w) uint8, the images of object and paste; what it
    asks for there, (1, 3, h, w) from -1 to 1; (h, w) bool, where that was pasted.

    Raises DissectionError if it copies nothing.
    """
    if session.object is None:
        raise DissectionError("session: it copies nothing, so it has no example")
    size, device = latent_of(network), next(network.parameters()).device
    z = torch.cat(
        [latents(session.seed, s.image, 1, size) for s in (session.object, session.paste)]
    )
    images = network(z.to(device))
    masks = [read_mask(s.mask, *images.shape[2:]) for s in (session.object, session.paste)]
    goal, (rows, across), area = placed(images[:1], masks[0].to(device), images[1:], masks[1])
    mask = torch.zeros(images.shape[2:], dtype=torch.bool)
    mask[rows, across] = area.cpu() >= 0.5
    return z[1:].to(device), to_pixels(images).cpu(), goal.clamp(-1, 1), mask


def finetune(network: nn.Module, z: Tensor, target: Target, spec: Propagated) -> nn.Module:
    """A copy of the generator, all weights of which Adam has changed until it draws the target from z (eq. 6.3).

    The target is, as in the authors' code, L1 and 0.01 times the squared difference of features; of whole images,
    where that code compares the pasted box.
    """
    tuned = copy.deepcopy(network).requires_grad_(True)
    adam = Adam(tuned.parameters(), spec.finetune_rate)
    for _ in tqdm(range(spec.finetune_steps), "all weights", unit="step", mininterval=1):
        tuned.zero_grad()
        target(tuned(z)).sum().backward()
        adam.step()
    return tuned.requires_grad_(False)


# ------------------------------------------------------------------------------------------------ judges


class Domes:
    """A concept of the segmenter's that becomes another; what the table calls correct modification."""

    def __init__(self, config: Config, spec: Propagated, edit: Rewriting, device: torch.device):
        if spec.segmenter is None or edit.source is None or edit.target is None:
            raise DissectionError("edits of concepts need a segmenter, a source and a target")
        self.edit, self.segmenter = edit, segmenter_of(config, spec.segmenter, device)
        names = self.segmenter.concepts["name"]
        for name in (edit.source, edit.target):
            if not (names == name).any():
                raise DissectionError(f"concept {name!r}: not one of the segmenter's {len(names)}")
        self.numbers = {n: names.index[names == n].tolist() for n in (edit.source, edit.target)}

    def where(self, images: Tensor, *names: str | None) -> list[Tensor]:
        """(n, h, w) bool of each."""
        labels = self.segmenter(images)
        both = torch.cat([labels["object"], labels["part"]], 1)
        return [shows(both, self.numbers[name]) for name in names if name]

    def source(self, images: Tensor) -> Tensor:
        """(n, h, w) bool, of unmodified images: what may change."""
        return self.where(images, self.edit.source)[0]

    def achieved(self, images: Tensor, source: Tensor) -> Tensor:
        """(n,) pixels of the source that are of the target now."""
        found, some = torch.zeros(len(images), dtype=torch.int64), source.flatten(1).any(1)
        if some.any():
            now = self.where(images[some], self.edit.target)[0]
            found[some] = (now & source[some]).flatten(1).sum(1)
        return found

    def selections(self, images: Tensor) -> Selections:
        """Onto the largest source, with the next as context, the surest target of about its size; of an image without
        source, if there is one."""
        source, target = self.where(images, self.edit.source, self.edit.target)
        sources, without = regions(source), ~source.flatten(1).any(1)
        every = regions(target)
        targets = [r for r in every if without[r.image]] or every
        if sources and targets:
            sides = torch.tensor([r.size for r in [sources[0], *targets]]).log()
            alike = (sides[1:] - sides[0]).abs().amax(1)
            nearest = alike.argsort(stable=True)[:SEVERAL].tolist()
            targets = [max((targets[i] for i in nearest), key=lambda r: self._sure(images, r))]
        return by_size(sources[: self.edit.context], targets)

    @torch.no_grad()
    def _sure(self, images: Tensor, region: Region) -> float:
        """The mean probability of the target in the region."""
        image = images[region.image : region.image + 1].float()
        scores = [self.segmenter.scores(image, n)[0] for n in self.numbers[self.edit.target or ""]]
        return float(torch.stack(scores).amax(0).cpu()[torch.from_numpy(region.mask)].mean())


class Smiles:
    """Mouths that are to smile."""

    def __init__(self, config: Config, edit: Rewriting, device: torch.device):
        self.edit = edit
        self.mouth = load_finder(config, "mouth", device)
        self.smile = load_attributes(config, device)

    def source(self, images: Tensor) -> Tensor:
        return self.mouth(images).cpu()

    def achieved(self, images: Tensor, source: Tensor) -> Tensor:
        """(n,) 1 of a face that smiles."""
        return self.smile(images).cpu().long()

    def selections(self, images: Tensor) -> Selections:
        """The mouth of the surest smile onto that of the least, in whose company are the next."""
        scores = self.smile.scores(images).cpu()
        mouths = {region.image: region for region in regions(self.source(images))}
        order = [i for i in scores.argsort(stable=True).tolist() if i in mouths]
        if len(order) <= self.edit.context:
            raise DissectionError(f"selections: mouths in {len(order)} images; look at more")
        closed = [mouths[i] for i in order[: max(self.edit.context, 1)]]
        return Selections(mouths[order[-1]], closed[0], closed)


Judge = Domes | Smiles


# ------------------------------------------------------------------------------------------------ job


def run(config: Config, row: str, out: Path, device: torch.device) -> None:
    """Make each of the row's edits by all methods, and measure them on the same images."""
    spec: Propagated = getattr(config.rows, row)
    lpips, baselines = load_lpips(config, device), load_baselines(config, device)
    network = module_of(config, spec.network, device).requires_grad_(False)
    seeds = range(spec.first, spec.first + spec.images)
    z = torch.cat([latents(seed, 0, 1, latent_of(network)) for seed in seeds])
    tables = []
    with replacing(out) as folder:
        folder.mkdir()
        for name, edit in spec.edits.items():
            smiles = edit.target == "smile"
            judge = Smiles(config, edit, device) if smiles else Domes(config, spec, edit, device)
            session, methods = prepare(config, spec, edit, network, judge, baselines)
            (folder / f"{name}.json").write_text(session.model_dump_json(indent=1) + "\n")
            table = measure(methods, judge, lpips, z)
            tables.append(table.assign(edit=name, measure=lpips.name))
            show(methods, table, z, spec.shown, folder, name)
        write_csv(pd.concat(tables), folder / "images.csv")


def load_baselines(config: Config, device: torch.device) -> Baselines:
    correspondence = config.judging.correspondence if config.judging else None
    how = config.reconstruction
    if correspondence is None or how is None:
        raise DissectionError(
            "judging.correspondence, reconstruction: missing; baselines need both"
        )
    network, preprocess = network_of(config, how.network, device)
    layer = config.networks[how.network].layers[how.layer]
    features = Features(network, layer, preprocess, raw=True)
    return Baselines(features, load_pyramid(config, correspondence, device))


def prepare(config: Config, spec: Propagated, edit: Rewriting, network: nn.Module, judge: Judge, baselines: Baselines
            ) -> tuple[Session, Methods]:  # fmt: skip
    """What is asked for, and the methods ready to apply."""
    truncate(network, edit.truncation)
    path, size = config.networks[spec.network].layers[edit.layer], latent_of(network)
    session = session_of(
        config, spec.network, edit,
        lambda: judge.selections(draw(network, latents(edit.seed, 0, edit.images, size))),
    )  # fmt: skip
    memory = memory_of(network, path)
    moment = moments(memory, latents(edit.seed, 0, edit.moments, size)).moment()
    return session, Methods(network, path, session, moment.to(memory.device), spec, baselines)


def measure(methods: Methods, judge: Judge, lpips: LPIPS, z: Tensor) -> pd.DataFrame:
    """A line an image and method: source, its pixels that may change; achieved, those that became the target, or
    1 if it smiles; change, the sum of the perceptual distance over its `rest` other pixels."""
    tables = []
    for first in tqdm(range(0, len(z), BATCH), "edited images", unit="batch", mininterval=1):
        made = methods(z[first : first + BATCH])
        source = judge.source(made["unmodified"])
        for method, images in made.items():
            apart = torch.zeros(source.shape)
            if method != "unmodified":
                apart = lpips.spatial(made["unmodified"], images)
            change, rest = outside(apart, source)
            columns = {
                "method": method, "image": range(first, first + len(images)),
                "source": source.flatten(1).sum(1), "achieved": judge.achieved(images, source),
                "change": change.cpu(), "rest": rest.cpu(),
            }  # fmt: skip
            tables.append(pd.DataFrame(columns))
    return pd.concat(tables)


def show(methods: Methods, table: pd.DataFrame, z: Tensor, shown: int, folder: Path, name: str) -> None:  # fmt: skip
    """Strips of the example, and by each method of the images with most of the source that have not the target yet."""
    write_png(folder / f"{name}.png", torch.cat([methods.before, methods.goal[None]]))
    lines = table[table["method"] == "unmodified"]
    lines = lines.sort_values(["achieved", "source"], ascending=[True, False], kind="stable")
    chosen = torch.tensor(lines["image"].to_numpy()[:shown])
    for method, images in methods(z[chosen]).items():
        write_png(folder / f"{name}.{method}.png", images)
