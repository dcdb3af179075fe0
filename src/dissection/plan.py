"""What a profile will take, before anything starts: jobs, GPU hours, download and disk, by table and figure.

    costs = read_costs(paths.costs("full"))         # of the networks, by their own modules
    seconds(config, costs, "dissect", {"dataset": "broden_227", "network": "alexnet_places205"})
    print(table(config, costs, dry_run(path), rows))

A job's time is that of the forward passes of its networks (floating-point operations, counted on their modules), or of
reading its images, if that takes longer, and of starting. A backward pass counts as two forward ones. What is done with
the activations is not counted; the estimate is good to a factor of three, and an upper bound where a search may end
early.
"""

import json
import math
import re
import subprocess
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from dissection import paths
from dissection.assets import Entry, load_registry
from dissection.assets.survey import State, columns, readable, state
from dissection.config import (
    Changed,
    Config,
    Forced,
    Inserted,
    InvertedGroups,
    Isolated,
    OmittedPairs,
    PhotoEdited,
    PnasFig4,
    Propagated,
    Recalled,
    Reflected,
    RemovedEach,
    RemovedFrom,
    Rewriting,
    Sampled,
    Stacked,
    Swept,
    Traced,
    Unmarked,
    named,
)
from dissection.errors import DissectionError

RATE = {
    True: 8e12,
    False: 2e11,
}  # operations a second: two fifths of an A100's peak in float32; 4 CPU cores
READ = 500  # images a second, with their labels, decoded and scaled by 8 threads
FAST = 8000  # ... of 256 pixels, without labels, to train on: 1040 to 2390 by one thread, measured
START = 20  # seconds: Python, torch, weights
REMOVAL = (
    1 / 545
)  # of a forward pass: one more set of units removed, measured on VGG-16 (see `ablation`)
LAYER = 0.1  # of a forward pass: one layer on a crop
METHODS = 8  # of tables 6.1 and 6.2, unmodified images among them
UNKNOWN = 100_000  # images of a dataset that nobody has counted
PAGE = 200_000  # bytes for a unit of a dissection, with the pictures of its page
CPU = {"fetch", "shipped", "scenes", "page", "survey", "figure", "report"}  # minutes each, if that
GROUPS = {"assets", "all", "weights"}  # and chapters: they run nothing


@dataclass(frozen=True)
class Cost:
    """Of one image: flop, floating-point operations of a forward pass; units, (units, h, w) by layer. None: the module
    does not run without its weights."""

    parameters: int
    flop: float | None
    units: dict[str, tuple[int, ...]]


def read_costs(path: Path) -> dict[str, Cost]:
    """Of every network of a profile, as the Snakefile keeps them."""
    return {name: Cost(**values) for name, values in json.loads(path.read_text())["costs"].items()}


@dataclass
class Work:
    """What a job does: forward passes of networks, by name, and images read."""

    passes: dict[str, float] = field(default_factory=dict)
    read: float = 0

    def add(self, networks: Iterable[str], passes: float) -> "Work":
        for name in networks:
            self.passes[name] = self.passes.get(name, 0) + passes
        return self


def seconds(
    config: Config,
    costs: Mapping[str, Cost],
    rule: str,
    wildcards: Mapping[str, str],
    gpu: bool = True,
) -> float | None:
    """Of a job; None if the rule, or what one of its networks costs, is not known."""
    rule = rule.removesuffix("_part")
    if rule not in WORK:
        return None
    work, flop = WORK[rule](config, costs, wildcards), 0.0
    if work is None:
        return None
    for name, passes in work.passes.items():
        one = costs[name].flop
        if one is None:
            return None
        flop += passes * one
    return START + max(flop / RATE[gpu], work.read / READ)  # read ahead


def minutes(
    config: Config, costs: Mapping[str, Cost], rule: str, wildcards: Mapping[str, str], gpu: bool
) -> int:
    """The time limit of a job on a cluster: three times the estimate, and an hour at least; a day if there is none."""
    time = seconds(config, costs, rule, wildcards, gpu)
    return 1440 if time is None else max(60, math.ceil(3 * time / 60))


_registry = cache(load_registry)


def images(config: Config, dataset: str) -> int:
    """Of a dataset or of generated images; UNKNOWN if nobody has counted them."""
    if dataset in config.generated:
        return config.generated[dataset].images
    spec = config.datasets[dataset]
    own, known = config.assets.get(spec.asset), _registry(paths.REGISTRY).get(spec.asset)
    number = own.scenes.images if own and own.scenes else (known.images if known else None)
    return min(number or UNKNOWN, spec.images or UNKNOWN**2)


# ---------------------------------------------------------------- what the jobs of each rule do


def _dissect(config: Config, costs: Mapping[str, Cost], job: Mapping[str, str]) -> Work:
    """Two passes, for thresholds and for overlaps; a segmenter sees each image once."""
    n = images(config, job["dataset"])
    if job["dataset"] in config.datasets:
        parsers = [config.parser(job["dataset"])] if config.segmenter(job["dataset"]) else []
        return Work(read=2 * n).add([job["network"]], 2 * n).add(parsers, n)
    entry = next(
        e for e in config.dissections if (e.dataset, e.network) == (job["dataset"], job["network"])
    )
    samples = 2 if "iclr2019" in entry.protocols else 1
    return (
        Work()
        .add([job["network"]], 2 * n * samples)
        .add([config.parser(job["dataset"])], n * samples)
    )


def _accuracy(config: Config, costs: Mapping[str, Cost], job: Mapping[str, str]) -> Work:
    work = Work()
    for network, dataset in config.measured():
        if dataset:
            n = images(config, dataset)
            work.add([network], n).read += n
    return work


def _transfer(config: Config, costs: Mapping[str, Cost], job: Mapping[str, str]) -> Work:
    spec = config.rows.fig_3_12
    assert spec is not None
    n, networks = images(config, spec.train) + images(config, spec.test), spec.networks.values()
    return Work(read=n * len(networks)).add(networks, n)


def _cause(config: Config, costs: Mapping[str, Cost], job: Mapping[str, str]) -> Work:
    spec = config.search
    learned = 2 * (3 * spec.places + spec.held_out) * spec.epochs
    networks = job["network"], config.parser(job["dataset"])
    concepts = len(config.searched(job["dataset"], job["network"]))
    return Work().add(networks, concepts * (spec.images * (2 + spec.tries) + learned))


def _quality(config: Config, costs: Mapping[str, Cost], job: Mapping[str, str]) -> Work:
    spec, features = config.quality[job["network"]], config.features
    assert features is not None
    real, sets = images(config, spec.real), 5 if spec.flagged else 3
    drawn = spec.images + sets * spec.top
    return Work(read=real).add([job["network"]], drawn).add([features.network], drawn + real)


def _share(config: Config, job: Mapping[str, str]) -> float:
    """Of work that jobs can share: all of it, of a part its share, of the job that gathers the parts nothing."""
    if config.shards == 1:
        return 1
    return 1 / config.shards if job.get("scatteritem") else 0


def _compare(config: Config, costs: Mapping[str, Cost], job: Mapping[str, str]) -> Work:
    """The photographs, and as many images of each generator that is compared with them."""
    spec, generators = config.omission, config.compared()[job["dataset"]]
    assert spec is not None
    parser, n = config.segmenters[spec.segmenter].network, spec.images * _share(config, job)
    work = Work(read=2 * n).add(generators, n)
    return work.add([parser], n * (2 + len(generators)))


def _invert(config: Config, costs: Mapping[str, Cost], job: Mapping[str, str]) -> Work:
    row, how = getattr(config.rows, job["row"]), config.reconstruction
    spec = config.inverted()[job["row"]]
    assert how is not None
    steps = how.steps  # method f
    number: float
    if isinstance(row, PhotoEdited):
        number, steps = row.photographs, how.z_steps + row.steps
    elif isinstance(row, OmittedPairs):
        number = row.pairs
    elif isinstance(row, InvertedGroups):
        number = row.images * len(row.datasets) * _share(config, job)
    else:
        number = (row.images + row.photographs) * _share(config, job)
        steps += how.z_steps * (1 + len(spec.networks))  # a; c or e of each encoder
    return Work(read=number).add([spec.network, how.network], 3 * steps * number)


def _intervene(config: Config, costs: Mapping[str, Cost], job: Mapping[str, str]) -> Work | None:
    row, spec = job["row"], getattr(config.rows, job["row"])
    if isinstance(spec, PhotoEdited):
        return _invert(config, costs, job)
    if isinstance(spec, Forced):
        return _forced(config, costs, spec)
    if row == "pnas_fig_1":
        if spec.detector is None:
            return Work()
        n = images(config, spec.detector.train) + images(config, spec.detector.test)
        return Work(read=n).add([spec.network], n)
    if row == "pnas_fig_2":
        units = next(reversed(costs[spec.network].units.values()), (512,))[0]
        train, validation = images(config, spec.train), images(config, spec.validation)
        counts = [k for k in spec.counts if k <= units] or range(units + 1)
        sets = 2 * (365 * len(counts) + len(spec.every_count) * units)  # Places has 365 classes
        passes = train * (1 + REMOVAL * units) + validation * (1 + REMOVAL * (units + sets))
        return Work(read=train + validation).add([spec.network], passes)
    if row == "pnas_fig_5":
        share, steps = _share(config, job), 3 * spec.steps * spec.iterations
        n = images(config, spec.validation) if share else 0  # every part asks which are eligible
        attacks = share * spec.images * len(spec.targets)
        return Work(read=n).add([spec.network], n + attacks * steps)
    if row == "fig_slides_single_image":
        n = images(config, spec.validation)
        return Work(read=n).add([spec.network], n)
    if row == "pnas_fig_3":
        n = 2 * images(config, spec.dataset)
        return Work().add([spec.network, config.parser(spec.dataset)], n)
    if row == "fig_4_7":
        return Work(read=2 * spec.images).add(spec.networks.values(), spec.images)
    if row == "fig_slides_banner":
        if spec.layer not in costs[spec.network].units:
            return None
        units = costs[spec.network].units[spec.layer][0]
        changes = 2 + len(spec.counts) * (2 + spec.draws)
        drawn = spec.images * changes + units * spec.most
        return Work().add([spec.network, config.parser(spec.dataset)], drawn)
    return None


def _forced(config: Config, costs: Mapping[str, Cost], spec: Forced) -> Work | None:
    """Every image as it is, and once for each change of its units. None if the layer's size is not known."""
    work, parser = Work(), config.parser(spec.dataset)
    if isinstance(spec, RemovedEach | RemovedFrom):
        for network, _ in spec.caused().values():
            work.add([network, parser], 3 * spec.images)  # ablated everywhere, inserted somewhere
        return work
    network = getattr(spec, "network")  # noqa: B009 # of all others
    if config.search.layer not in costs[network].units:
        return None
    _, h, w = costs[network].units[config.search.layer]
    places = (h - config.search.size[0] + 1) * (w - config.search.size[1] + 1)
    changes = 1.0
    if isinstance(spec, PnasFig4):
        changes += len(spec.counts) + (1 + places) * spec.insertions / spec.images
    elif isinstance(spec, Traced):
        changes += places if isinstance(spec, Inserted) else 2 * places
    else:
        changes += 2 * len(getattr(spec, "counts", ()))  # in two orders
    return work.add([network, parser], changes * spec.images)


def _rewriting(edit: Rewriting) -> float:
    """Passes of a generator: images to select from, those of C, and the loop, whose steps see one layer's crop."""
    return (0 if edit.session else edit.images) + edit.moments + 3 * LAYER * edit.steps


def _edit(config: Config, costs: Mapping[str, Cost], job: Mapping[str, str]) -> Work:
    work = Work()
    for spec in (getattr(config.rows, name) for name in config.sharing(job["row"])):
        if isinstance(spec, Isolated):
            assert config.features is not None
            for network in spec.networks.values():
                layers, sides = len(config.networks[network].layers), len(spec.sides)
                drawn = spec.images * _share(config, job)
                work.add([network], drawn * (1 + layers * sides))
                work.add([config.features.network], drawn * (2 + layers) * sides)
            continue
        drawn, judged = 0.0, 0.0
        if isinstance(spec, Propagated):
            for edit in spec.edits.values():
                drawn += 4 * _rewriting(edit) + 3 * spec.finetune_steps + METHODS * spec.images
                judged += edit.images + METHODS * spec.images
            if config.judging is not None:
                parts = config.judging.perceptual, config.judging.correspondence
                times = METHODS * spec.images * len(spec.edits)
                work.add([part.network for part in parts if part], times)
        elif isinstance(spec, Swept):
            tried = len(spec.layers) * len(spec.ranks)
            drawn = _rewriting(spec.edit) + tried * (3 * LAYER * spec.edit.steps + spec.images)
            judged = spec.edit.images + (1 + tried) * spec.images
        elif isinstance(spec, Reflected):
            searched = len(config.networks[spec.network].layers) * spec.search_steps
            drawn = 3 * spec.pairs * (searched + spec.steps) + spec.candidates + 4 * spec.images
            judged = spec.candidates + 4 * spec.images
        elif isinstance(spec, Stacked):
            drawn = sum(_rewriting(edit) for edit in spec.edits.values())
            judged = sum(edit.images for edit in spec.edits.values())
        elif isinstance(spec, Unmarked):
            judged = drawn = _rewriting(spec.edit) + 4 * spec.images
        elif isinstance(spec, Changed | Recalled):
            drawn, judged = _rewriting(spec.edit), spec.edit.images
        work.add([spec.network], drawn)
        if isinstance(spec, Sampled):
            work.add(spec.judges(config)[1:], judged)
        elif spec.segmenter:
            work.add([config.segmenters[spec.segmenter].network], judged)
    return work


def _rate(config: Config, costs: Mapping[str, Cost], job: Mapping[str, str]) -> Work:
    n = images(config, job["dataset"])
    return Work().add([job["network"], config.parser(job["dataset"])], n)


def _train(config: Config, costs: Mapping[str, Cost], job: Mapping[str, str]) -> Work:
    spec = config.networks[job["network"]]
    if (how := spec.recipe) is not None:
        train, validation = (sum(images(config, d) for d in names) for names in how.sets())
        n = how.epochs * (3 * train + validation)
        return Work(read=how.epochs * (train + validation) * READ / FAST).add([job["network"]], n)
    if (against := spec.adversarial) is not None:  # a critic costs as much as the generator
        shown = against.iterations * against.batch
        return Work(read=shown * READ / FAST).add([job["network"]], 12 * shown)
    assert spec.inversion is not None
    steps = spec.inversion.layer_steps + spec.inversion.image_steps + spec.inversion.joint_steps
    networks = job["network"], spec.inversion.generator
    return Work().add(networks, 3 * steps * spec.inversion.batch)


WORK: dict[str, Callable[[Config, Mapping[str, Cost], Mapping[str, str]], Work | None]] = {
    "dissect": _dissect,
    "accuracy": _accuracy,
    "transfer": _transfer,
    "cause": _cause,
    "quality": _quality,
    "compare": _compare,
    "invert": _invert,
    "edit": _edit,
    "intervene": _intervene,
    "rate": _rate,
    "train": _train,
}


# ---------------------------------------------------------------- the jobs of a dry run


@dataclass(frozen=True)
class Job:
    rule: str
    wildcards: dict[str, str]
    inputs: frozenset[str]
    outputs: frozenset[str]


def dry_run(profile: Path) -> list[Job]:
    """The jobs that are left of a profile. Raises DissectionError if Snakemake refuses."""
    command = ["snakemake", "--configfile", str(profile), "--dry-run", "--nolock"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise DissectionError(f"{profile}: {done.stdout.strip().splitlines()[-1]}")
    return jobs(done.stdout)


def jobs(printed: str) -> list[Job]:
    """Of what Snakemake prints in a dry run."""
    found = []
    for block in re.split(r"^(?=(?:local)?rule \w+:$)", printed, flags=re.M)[1:]:
        rule = block.partition(":")[0].split()[1]
        fields = dict(re.findall(r"^    (input|output|wildcards): (.*)$", block, flags=re.M))
        parts = {key: value.split(", ") for key, value in fields.items()}
        wildcards = dict(pair.split("=", 1) for pair in parts.get("wildcards", []))
        inputs, outputs = (frozenset(parts.get(key, [])) for key in ("input", "output"))
        found.append(Job(rule, wildcards, inputs, outputs))
    return found


def behind(job: Job, makers: Mapping[str, int], every: list[Job]) -> set[int]:
    """Numbers of the jobs that a job needs, with its own."""
    found: set[int] = set()
    left = [every.index(job)]
    while left:
        number = left.pop()
        if number not in found:
            found.add(number)
            left += {makers[path] for path in every[number].inputs if path in makers}
    return found


def table(config: Config, costs: Mapping[str, Cost], every: list[Job], rows: list[str]) -> str:
    """A line for each of the rows that jobs are left of, and one for all; then what the numbers mean."""
    every = [job for job in every if job.rule not in GROUPS and not job.rule.startswith("chapter")]
    makers = {path: number for number, job in enumerate(every) for path in job.outputs}
    time = [seconds(config, costs, job.rule, job.wildcards) for job in every]
    there = {
        job.wildcards["asset"]: _state(config, job.wildcards["asset"])
        for job in every
        if job.rule == "fetch"
    }

    def line(name: str, numbers: Iterable[int]) -> tuple[str, ...]:
        chosen = list(numbers)
        assets = {every[i].wildcards["asset"] for i in chosen if every[i].rule == "fetch"}
        results = sum(_pages(costs, every[i]) for i in chosen)
        load = _download(there[asset] for asset in assets)
        gpu = sum(time[i] or 0 for i in chosen) / 3600
        return name, str(len(chosen)), f"{gpu:,.1f}", readable(load), readable(load + results)

    lines = []
    for row in rows:
        last = [j for j in every if (j.rule, j.wildcards.get("row")) == ("figure", row)]
        last += [j for j in every if j.rule == row]
        if last:
            lines.append(line(row, set().union(*(behind(job, makers, every) for job in last))))
    lines.append(line("all", range(len(every))))
    text = columns(("row", "jobs", "GPU hours", "download", "disk"), lines)
    sizes = sorted(n for n, one in there.items() if one.state == "missing" and not one.bytes)
    minor = {*CPU, *rows}
    times = sorted(
        {
            " ".join([job.rule, *job.wildcards.values()])
            for job, t in zip(every, time, strict=True)
            if t is None and job.rule not in minor
        }
    )
    notes = [
        "Of a row made alone: rows share jobs, and `all` counts each once. Hours of one A100: forward passes of the "
        f"networks at {RATE[True] / 1e12:g} TFLOP/s (a backward pass is two), reading at {READ} images a second, "
        f"{START} s to start; good to a factor of three. Jobs without a GPU take minutes. Disk: the download and "
        "what is kept of the units; while an archive is unpacked, as much again as it holds.",
        *([f"Size unknown: {', '.join(sizes)}."] if sizes else []),
        *([f"Time unknown: {', '.join(times)}."] if times else []),
    ]
    return "\n".join([text, "", *notes])


def training(config: Config, costs: Mapping[str, Cost]) -> str:
    """A line for each network that has a recipe and no weights yet; nothing if there is none."""
    lines, untrained = [], config.untrained()
    for name, network in config.networks.items():
        if not network.training or name not in untrained:
            continue
        waiting = [
            row
            for row, section in config.rows
            if untrained[name]
            in {*config.lacking(row), *config.missing(of for _, of in named(section))}
        ]
        time = seconds(config, costs, "train", {"network": name})
        hours = "unknown" if time is None else f"{time / 3600:,.0f}"
        assets = {config.datasets[d].asset for d in network.training.datasets}
        load = readable(_download(_state(config, asset) for asset in assets))
        lines.append((name, hours, load, ", ".join(waiting)))
    if not lines:
        return ""
    head = "Only on request, `snakemake weights` and then `dissection ship`; rows are made without, or wait:"
    return "\n".join([head, columns(("network", "GPU hours", "download", "rows"), lines)])


def unreleased(config: Config, needs: Mapping[str, Iterable[str]]) -> list[str]:
    """A line for each row that needs what was never released and the user does not give. needs: row -> assets."""
    lines, known = [], _registry(paths.REGISTRY)
    for row, assets in needs.items():
        lost = [a for a in assets if a not in config.assets and known[a].status == "not_released"]
        if lost:
            own = f"your own copy can be given: `assets: {{{lost[0]}: {{path: <file or folder>}}}}`"
            lines.append(f"{row} is not available without {', '.join(lost)}; {own}")
    return lines


def _state(config: Config, asset: str) -> State:
    own = config.assets.get(asset)
    entry = _registry(paths.REGISTRY).get(asset) or Entry.local(asset)
    return state(entry, paths.DOWNLOADED / asset, config.downloads, own.path if own else None)


def _download(found: Iterable[State]) -> int:
    return sum(one.bytes or 0 for one in found if one.state == "missing")


def _pages(costs: Mapping[str, Cost], job: Job) -> int:
    if job.rule != "page":
        return 0
    return PAGE * sum(shape[0] for shape in costs[job.wildcards["network"]].units.values())
