"""One command, `dissection`, with a verb per kind of job. The rules call it; so can you.

A job is told its profile, the names of what it works on, and where to write. Verbs import what they
need when they run, so that `dissection --help` answers at once.
"""

import errno
import gc
import json
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dissection import paths
from dissection.errors import DissectionError

if TYPE_CHECKING:
    from dissection.config import Config, Dissection

app = typer.Typer(
    help="Dissect deep networks: units, concepts, tables and figures.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
settings = typer.Typer(help="Profiles: check one, or print their schema.", no_args_is_help=True)
app.add_typer(settings, name="config")
registry = typer.Typer(help="Assets: list them, or ask their addresses.")
app.add_typer(registry, name="assets")

Profile = Annotated[Path, typer.Option("--config", help="the profile: a YAML file")]
AnyProfile = Annotated[
    Path | None, typer.Option("--config", help="the profile: a YAML file; none: every asset")
]
Out = Annotated[Path, typer.Option(help="where to write")]
Record = Annotated[Path, typer.Option(help="JSON to write once the asset is there")]
AssetName = Annotated[str, typer.Option("--asset", help="id of the asset")]
DatasetName = Annotated[str, typer.Option("--dataset", help="dataset of the profile")]
NetworkName = Annotated[str, typer.Option("--network", help="network of the profile")]
Row = Annotated[str, typer.Option(help="table or figure, such as fig_3_5")]
OnePart = Annotated[
    str | None, typer.Option("--part", help="do only this part of it, as 1-of-3, for a job that gathers them")
]  # fmt: skip
Parts = Annotated[
    list[Path] | None, typer.Argument(help="what jobs with --part made, in order; none: do it all here")
]  # fmt: skip
Threads = Annotated[int, typer.Option(min=1, help="threads to compute with")]


def main() -> None:
    """Run a verb. What the user can mend ends in one line and exit code 1, not in a traceback."""
    gc.set_threshold(100_000)  # an import makes a million objects, and none of them is garbage
    if run := os.environ.get("DISSECTION_RUN"):
        threading.Thread(target=_end_with, args=[int(run)], daemon=True).start()
    try:
        app()
    except DissectionError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise
        sys.exit(
            f"error: {error.filename or 'writing'}: {error.strerror}; make room or give access"
        )


def _end_with(run: int) -> None:
    """Die with the run that started this job: a killed run must leave nothing that goes on writing."""
    while True:
        try:
            os.kill(run, 0)
        except ProcessLookupError:
            for worker in multiprocessing.active_children():
                worker.kill()
            os._exit(1)
        time.sleep(0.5)


def load(profile: Path) -> "Config":
    """As `config.load`, which only the verbs that have a profile import."""
    from dissection.config import load

    return load(profile)


@app.command()
def fetch(
    config: Profile,
    asset: Annotated[list[str], typer.Option(help="id of the asset, or of several")],
    out: Annotated[Path, typer.Option(help="folder of downloads; each asset has its own in it")],
    records: Annotated[
        Path, typer.Option(help="folder of a JSON for each, written once it is there")
    ],
) -> None:
    """Download assets or take the user's own copies; verify, unpack and record them."""
    from dissection import assets

    profile = load(config)
    registry = assets.load_registry(paths.REGISTRY)
    for name in asset:
        source = profile.assets.get(name)
        entry = registry.get(name) or assets.Entry.local(name, source.sha256 if source else None)
        own = source.path if source else None
        assets.fetch(entry, out / name, profile.downloads, own, records / f"{name}.json")


@app.command()
def scenes(
    config: Profile, asset: AssetName, out: Out, record: Record, threads: Threads = 1
) -> None:
    """Draw an asset from the synthetic world and record it."""
    from dissection.assets import write_record
    from dissection.data.scenes import write_scenes

    profile = load(config)
    source = profile.assets.get(asset)
    if source is None or source.scenes is None:
        raise DissectionError(f"{config}: assets.{asset}.scenes: not there, so nothing to draw")
    write_scenes(source.scenes, profile.seed, out, threads)
    write_record(record, asset, out)


@app.command()
def train(config: Profile, network: NetworkName, out: Out, threads: Threads = 1) -> None:
    """Train a network by its recipe, resuming if a checkpoint is there."""
    from dissection.data import dataset_of, join
    from dissection.networks import adversarial
    from dissection.networks.train import train
    from dissection.omit.train import train as train_encoder
    from dissection.segment.judges import attributes, finding
    from dissection.segment.train import parsing

    profile = load(config)
    spec = _named(profile, "networks", network)
    if spec.training is None:
        key = "adversarial" if spec.latent else "recipe"
        raise DissectionError(f"{config}: networks.{network}.{key}: missing; it says how to train")
    _use_threads(threads)
    device = _device(profile)

    def opened(names: Sequence[str]):
        return join([dataset_of(profile, name) for name in names])

    if spec.adversarial is not None:
        adversarial.train(profile, network, opened(spec.adversarial.datasets), out, device)
        return
    if spec.inversion is not None:
        train_encoder(profile, network, out, device)
        return
    assert spec.recipe is not None
    train_set, validation_set = map(opened, spec.recipe.sets())
    learners = {"parsing": parsing, "attributes": attributes, "finding": finding}
    learn = learners.get(spec.recipe.target)
    train(profile, network, train_set, validation_set, out, device, learn)


@app.command()
def ship(
    config: Profile,
    out: Annotated[Path, typer.Option(help="folder of the shipped weights")],
    network: Annotated[
        list[str] | None, typer.Option(help="network of the profile; none: all with a recipe")
    ] = None,
) -> None:
    """Copy trained weights to where they are shipped from, with a new manifest."""
    from dissection.networks.train import ship

    profile = load(config)
    for name in network or [n for n, spec in profile.networks.items() if spec.training]:
        _named(profile, "networks", name)
        ship(profile, name, paths.trained(profile.profile, name), out)


@app.command()
def dissect(
    config: Profile, dataset: DatasetName, network: NetworkName, out: Out, threads: Threads = 1
) -> None:
    """Compare every unit of a network's layers with every concept of a dataset."""
    profile = load(config)
    entry = _dissection(profile, dataset, network)
    kind = "generator" if dataset in profile.generated else "run"
    run = import_module(f"dissection.dissect.{kind}").dissect
    _use_threads(threads)
    run(profile, entry, out, _device(profile), threads)


@app.command()
def accuracy(config: Profile, out: Out, threads: Threads = 1) -> None:
    """Measure the accuracy of the networks that tables and figures ask for."""
    from dissection.evaluate import accuracies

    profile = load(config)
    _use_threads(threads)
    accuracies(profile, out, _device(profile))


@app.command()
def transfer(config: Profile, row: Row, out: Out, threads: Threads = 1) -> None:
    """Train linear classifiers on the features of networks, for another task."""
    from dissection.evaluate import transfer

    profile = load(config)
    _use_threads(threads)
    transfer(profile, row, out, _device(profile))


@app.command()
def intervene(
    config: Profile, row: Row, out: Out, parts: Parts = None, part: OnePart = None, threads: Threads = 1
) -> None:  # fmt: skip
    """Remove units, attack the network, or test a unit as a detector, for a table or figure."""
    profile = load(config)
    jobs = _jobs(profile, "intervene", row, "nothing to intervene for")
    _use_threads(threads)
    _run(jobs, (profile, row), out, (_device(profile), threads), part, parts)


@app.command()
def cause(
    config: Profile,
    dataset: DatasetName,
    network: NetworkName,
    concept: Annotated[
        list[str], typer.Option(help="name of a concept of the segmenter, or of several")
    ],
    out: Annotated[Path, typer.Option(help="where to write; each concept has a folder in it")],
    threads: Threads = 1,
) -> None:
    """Search the units of a generator's layer that cause concepts."""
    from dissection.intervene.objects import search

    profile = load(config)
    _use_threads(threads)
    search(profile, dataset, network, concept, out, _device(profile))


@app.command()
def quality(config: Profile, network: NetworkName, out: Out, threads: Threads = 1) -> None:
    """Compare a generator's images with real ones, by unit of a layer and without some of them."""
    from dissection.intervene.artifacts import judge

    profile = load(config)
    _named(profile, "quality", network)
    _use_threads(threads)
    judge(profile, network, out, _device(profile))


@app.command()
def compare(
    config: Profile, dataset: DatasetName, out: Out, parts: Parts = None, part: OnePart = None, threads: Threads = 1
) -> None:  # fmt: skip
    """Segment photographs and what generators draw of them, and compare them class by class."""
    from dissection.omit.compare import compare, segmented

    profile = load(config)
    _compared(profile, dataset)
    _use_threads(threads)
    _run([segmented, compare], (profile, dataset), out, (_device(profile),), part, parts)


def _compared(profile: "Config", dataset: str) -> None:
    if dataset not in profile.compared():
        choices = ", ".join(profile.compared()) or "none"
        raise DissectionError(f"dataset {dataset}: no row compares it; choices: {choices}")


@app.command()
def invert(
    config: Profile, row: Row, out: Out, parts: Parts = None, part: OnePart = None, threads: Threads = 1
) -> None:  # fmt: skip
    """Invert images: reconstruct them by what a generator can draw, for a figure."""
    profile = load(config)
    jobs = _jobs(profile, "omit", row, "inverts no images")
    _use_threads(threads)
    _run(jobs, (profile, row), out, (_device(profile),), part, parts)


@app.command()
def edit(
    config: Profile, row: Row, out: Out, parts: Parts = None, part: OnePart = None, threads: Threads = 1
) -> None:  # fmt: skip
    """Edit a generator and measure what that does, for a table or figure."""
    profile = load(config)
    jobs = _jobs(profile, "rewrite", row, "edits nothing")
    _use_threads(threads)
    _run(jobs, (profile, row), out, (_device(profile),), part, parts)


@app.command()
def moments(
    config: Profile,
    network: NetworkName,
    layer: Annotated[str, typer.Option(help="printed name of the layer")],
    out: Out,
    truncation: Annotated[float | None, typer.Option(help="psi; default: the network's")] = None,
    images: Annotated[int, typer.Option(min=1, help="images to take keys from")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="of z")] = 1,
    threads: Threads = 1,
) -> None:
    """Gather the second moments of the keys of a generator's layer, for edits of it."""
    from dissection.rewrite.job import gather

    profile = load(config)
    _use_threads(threads)
    gather(profile, network, layer, truncation, images, seed, out, _device(profile))


@app.command()
def sweep(
    config: Profile,
    session: Annotated[Path, typer.Option(help="JSON of what is to be copied where; ours or the authors'")],
    layers: Annotated[str, typer.Option(help="printed names, with commas")],
    ranks: Annotated[str, typer.Option(help="numbers of directions, with commas")],
    out: Out,
    network: Annotated[str | None, typer.Option(help="instead of the session's")] = None,
    images: Annotated[int, typer.Option(min=1, help="to gather moments from, and as many to measure")] = 1000,
    steps: Annotated[int | None, typer.Option(help="instead of the session's")] = None,
    threads: Threads = 1,
) -> None:  # fmt: skip
    """Make an edit at several layers and ranks: a CSV and a plot of what it achieves and what else it changes."""
    from dissection.rewrite.sessions import read_session
    from dissection.rewrite.sweep import write

    profile, names = load(config), layers.split(",")
    asked = read_session(session, network=network, layer=names[0], steps=steps)
    try:
        numbers = [int(rank) for rank in ranks.split(",")]
    except ValueError:
        raise DissectionError(f"--ranks {ranks}: expected numbers such as 1,3,10") from None
    _use_threads(threads)
    write(profile, asked, names, numbers, images, out, _device(profile))


@app.command()
def rewrite(
    config: Profile,
    session: Annotated[Path, typer.Option(help="JSON of what is to be copied where; ours or the authors'")],
    out: Out,
    moments: Annotated[Path | None, typer.Option(help="file of `dissection moments`; else gathered now")] = None,
    images: Annotated[int, typer.Option(min=1, help="images to gather moments from")] = 1000,
    network: Annotated[str | None, typer.Option(help="instead of the session's, as all below")] = None,
    layer: Annotated[str | None, typer.Option(help="printed name of the layer")] = None,
    truncation: Annotated[float | None, typer.Option(help="psi")] = None,
    method: Annotated[str | None, typer.Option(help="pgd, lambda or layer")] = None,
    rank: Annotated[int | None, typer.Option(help="number of directions")] = None,
    steps: Annotated[int | None, typer.Option(help="of Adam")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="of Adam")] = None,
    erase: Annotated[int | None, typer.Option(help="units to do without, instead of a copy")] = None,
    threads: Threads = 1,
) -> None:  # fmt: skip
    """Make an edit of a generator from a session: copy, paste, context."""
    from dissection.rewrite.job import make
    from dissection.rewrite.sessions import read_session

    profile = load(config)
    asked = read_session(
        session, network=network, layer=layer, truncation=truncation, method=method, rank=rank,
        steps=steps, learning_rate=learning_rate, erase=erase,
    )  # fmt: skip
    _use_threads(threads)
    make(profile, asked, moments, images, out, _device(profile))


@app.command()
def apply(
    config: Profile,
    network: NetworkName,
    edit: Annotated[list[Path], typer.Option(help="file of an edit, or of several")],
    out: Out,
) -> None:
    """Write a generator's weights with edits made in them, in the layout of its own file."""
    from dissection.rewrite.job import write_weights

    profile = load(config)
    _named(profile, "networks", network)
    write_weights(profile, network, edit, out)


@app.command()
def survey(
    config: Profile,
    units: Annotated[Path, typer.Option(help="folder of the dissection")],
    out: Out,
) -> None:
    """Draw the question sheets of table 3.3, and let the ground-truth rater answer them."""
    from dissection.dissect.survey import write_survey

    profile = load(config)
    spec = profile.rows.table_3_3
    if spec is None:
        raise DissectionError(f"{config}: rows.table_3_3: missing; it says whose units to judge")
    _use_threads(1)
    write_survey(profile, spec, _asset(profile, profile.datasets[spec.dataset].asset), units, out)


@app.command()
def rate(
    config: Profile,
    units: Annotated[Path, typer.Option(help="folder of the dissection")],
    out: Out,
    threads: Threads = 1,
) -> None:
    """Draw the question sheets of section A.2, and let raters who go by the segmenter answer them."""
    from dissection.dissect.rating import rate

    profile = load(config)
    spec = profile.rows.sec_a_2_human_eval
    if spec is None:
        raise DissectionError(f"{config}: rows.sec_a_2_human_eval: missing; it says whose units")
    _use_threads(threads)
    rate(profile, spec, units, out, _device(profile))


@app.command()
def page(
    config: Profile,
    dataset: DatasetName,
    network: NetworkName,
    units: Annotated[Path, typer.Option(help="folder of the dissection")],
    out: Out,
    threads: Threads = 1,
) -> None:
    """Write the pages of a dissection's units."""
    import torch

    from dissection.data import Dataset, dataset_of
    from dissection.dissect.page import write_pages
    from dissection.generated import generated_of

    profile = load(config)
    entry = _dissection(profile, dataset, network)
    _use_threads(1)  # images are drawn one by one, whose rounding must not depend on `threads`
    images: Dataset
    if dataset in profile.generated:
        images = generated_of(profile, entry, torch.device("cpu"))
    else:
        images = dataset_of(profile, dataset)
    write_pages(profile, entry, images, units, out, threads)


@app.command()
def table(config: Profile, row: Row, out: Out, threads: Threads = 1) -> None:
    """Make the CSV of a table or figure."""
    from dissection.report.rows import ROWS, write_table

    if row not in ROWS:
        raise DissectionError(f"row {row}: unknown; choices: {', '.join(ROWS)}")
    write_table(load(config), row, out, threads)


@app.command()
def figure(
    row: Row,
    table: Annotated[Path, typer.Option(help="CSV to draw")],
    png: Annotated[Path, typer.Option(help="picture to write")],
    svg: Annotated[Path, typer.Option(help="drawing to write")],
    notebook: Annotated[Path, typer.Option(help="executed notebook to write")],
) -> None:
    """Draw a table or figure by its notebook."""
    from dissection.report.figure import run_figure

    run_figure(row, table, png, svg, notebook)


@app.command()
def report(
    config: Profile,
    out: Out,
    metrics: Annotated[Path, typer.Option(help="JSON of a few numbers a row to write")],
    benchmarks: Annotated[Path, typer.Option(help="folder of Snakemake's benchmark files")],
) -> None:
    """Put every table and figure beside the published one."""
    from dissection.report.page import write_report

    write_report(load(config), out, metrics, benchmarks)


@app.command()
def plan(config: Profile) -> None:
    """What is left of a profile to make: jobs, GPU hours, download and disk, by table and figure. Runs nothing."""
    from dissection.plan import dry_run, read_costs, table, training, unreleased
    from dissection.report.rows import ROWS

    profile = load(config)
    jobs = dry_run(config)  # Snakemake asks the networks what they cost, too
    rows = [row for row, section in profile.rows if section is not None and row in ROWS]
    costs = read_costs(paths.costs(profile.profile))
    print(table(profile, costs, jobs, rows))
    if to_train := training(profile, costs):
        print("", to_train, sep="\n")
    for line in unreleased(profile, {row: ROWS[row].assets(profile) for row in rows}):
        print("", line, sep="\n")


@app.command()
def record() -> None:
    """Run all of the smoke profile, and let DVC record what came of it."""
    from dissection import recording

    recording.record()


@app.command()
def restore() -> None:
    """Fetch the recorded results of the smoke profile instead of making them."""
    from dissection import recording

    recording.restore()


@settings.command()
def check(
    config: Profile,
    costs: Annotated[
        Path | None, typer.Option(help="JSON to write: what an image costs each network")
    ] = None,
) -> None:
    """Check a profile, its names and the layers of its networks."""
    import torch

    from dissection.networks import check_layers, load_network
    from dissection.networks.cost import cost

    profile = load(config)
    found: dict[str, dict] = {}
    same: dict[str, dict] = {}  # many networks differ in nothing but their weights
    for name, network in profile.networks.items():
        kind = network.model_dump_json(include={"module", "arguments", "input", "latent", "layers"})
        if kind not in same:
            try:
                with torch.device("meta"):  # the modules without their weights
                    module = load_network(network, None, profile.seed)
                check_layers(module, network.layers.values())
            except DissectionError as error:
                raise DissectionError(f"{config}: networks.{name}: {error}") from None
            same[kind] = cost(module, network) if costs else {}
        found[name] = same[kind]
    if costs:
        with paths.replacing(costs) as path:
            path.write_text(json.dumps(found))
    print(f"{config}: profile {profile.profile}, {len(profile.networks)} networks, in order")


@settings.command("schema")
def print_schema() -> None:
    """Print the JSON schema of a profile."""
    from dissection.config import schema

    print(schema(), end="")


@registry.callback(invoke_without_command=True)
def list_assets(context: typer.Context, config: AnyProfile = None) -> None:
    """List the assets of a profile: which are there, how large they are, what needs them, where they come from."""
    from dissection.assets.survey import listing, state, total

    if context.invoked_subcommand:
        return
    profile, entries, rows = _entries(config)
    states = {}
    for name, entry in entries.items():
        own = profile.assets.get(name) if profile else None
        drawn = profile and own and own.scenes and paths.generated_asset(profile.profile, name)
        downloads = profile.downloads if profile else None
        path = drawn or (own.path if own else None)
        states[name] = state(entry, paths.DOWNLOADED / name, downloads, path, bool(drawn))
    print(listing(states, rows))
    print(total(states))


@registry.command("check")
def check_assets(config: AnyProfile = None) -> None:
    """Ask every address of a profile's assets for its headers; fail if an asset has none that answers."""
    from dissection.assets.survey import answers, check, unanswered

    _, entries, _ = _entries(config)
    found = check(entries.values())
    print(answers(found))
    if lost := unanswered(entries.values(), found):
        raise DissectionError(f"no address answers for {len(lost)} assets: {', '.join(lost)}")


def _entries(config: Path | None):
    """The profile if there is one, the assets of its rows and dissections or else all, and which rows need them."""
    from dissection import assets

    known = assets.load_registry(paths.REGISTRY)
    if config is None:
        return None, known, {name: entry.needed_by for name, entry in known.items()}
    from dissection.report.rows import needed

    rows = needed(profile := load(config))
    local = assets.Entry.local
    return profile, {name: known.get(name) or local(name) for name in rows}, rows


def _named(profile: "Config", section: str, name: str):
    found = getattr(profile, section)
    if name not in found:
        raise DissectionError(f"{section}.{name}: not in the profile; choices: {', '.join(found)}")
    return found[name]


def _dissection(profile: "Config", dataset: str, network: str) -> "Dissection":
    for entry in profile.dissections:
        if (entry.dataset, entry.network) == (dataset, network):
            return entry
    known = [f"{e.network} on {e.dataset}" for e in profile.dissections]
    raise DissectionError(
        f"dissections: none of {network} on {dataset}; choices: {', '.join(known) or 'none'}"
    )


def _asset(profile: "Config", asset: str) -> Path:
    from dissection.assets import asset_path

    return asset_path(paths.asset_record(profile.profile, asset))


def _device(profile: "Config"):
    import torch

    if profile.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(profile.device)


def _jobs(profile: "Config", package: str, row: str, problem: str) -> list[Callable[..., Any]]:
    """What measures a row of the profile, by the JOBS of a package, after what does a part of that if jobs can share
    it. Raises DissectionError, naming the problem."""
    jobs = import_module(f"dissection.{package}").JOBS
    choices = [name for name in jobs if getattr(profile.rows, name) is not None]
    if row not in choices:
        raise DissectionError(f"row {row}: {problem}; choices: {', '.join(choices) or 'none'}")
    module, *names = jobs[row]
    return [getattr(import_module(f"dissection.{package}.{module}"), name) for name in names]


def _run(
    jobs: list[Callable[..., Any]], what: tuple, out: Path, how: tuple, part: str | None, parts: list[Path] | None
) -> None:  # fmt: skip
    """A job, by itself or from parts that others did; or one such part. jobs: as `_jobs` gives them."""
    from dissection.parts import Part, save

    *measure, job = jobs
    if (part or parts) and not measure:
        raise DissectionError(f"row {what[1]}: one job does it all; leave out parts")
    if part:
        one = Part.of(part)
        save(measure[0](*what, one, *how), one, out)
    else:
        job(*what, out, *how, **({"parts": parts} if parts else {}))


def _use_threads(threads: int) -> None:
    """Exactly as many as the rule was given: more than there are cores for run many times slower."""
    import torch

    torch.set_num_threads(threads)
    torch.set_num_interop_threads(1)
