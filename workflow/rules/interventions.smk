"""Interventions: units removed or forced on, the network attacked, one unit as a detector."""

from dissection.config import Forced
from dissection.intervene import JOBS


def intervention(row):
    return str(paths.intervention(PROFILE, row))


def cause(dataset, network):
    return str(paths.causal(PROFILE, dataset, network))


def forced(row):
    """The row, if it is one that forces units of generators on and off."""
    section = getattr(CONFIG.rows, row)
    return section if isinstance(section, Forced) else None


def intervening(row):
    """Networks and datasets that a job runs; a dataset that the network was dissected on is not run."""
    section = getattr(CONFIG.rows, row)
    if section.dataset in CONFIG.generated:
        datasets, networks = TABLES[row].uses(CONFIG)
        return networks, datasets
    of = section.detector if row == "pnas_fig_1" else section
    names = [getattr(of, part, None) for part in ("train", "validation", "test")]
    return [section.network], [name for name in names if name]


def intervened(wildcards):
    """Images and weights; and the dissection, or the ranking of units, that a job goes by."""
    section = getattr(CONFIG.rows, wildcards.row)
    found = {"data": evaluated(*intervening(wildcards.row))}
    if wildcards.row in ("pnas_fig_1", "pnas_fig_3", "pnas_fig_4", "fig_slides_banner"):
        names = "iou.safetensors", "concepts.csv"
        found["dissection"] = [units(section.dataset, section.network, name) for name in names]
    if wildcards.row == "pnas_fig_5":
        found["ranking"] = intervention("pnas_fig_2")
    if spec := forced(wildcards.row):
        found["causes"] = sorted({cause(spec.dataset, n) for n, _ in spec.caused().values()})
    if wildcards.row in CONFIG.inverted():
        found["inverted"] = str(paths.inversion(PROFILE, wildcards.row))
    return found


rule cause:
    """Search the units of a generator's layer that cause concepts: all that rows ask for."""
    input:
        data=lambda w: evaluated([w.network], [w.dataset]),
        dissection=[
            units("{dataset}", "{network}", name) for name in ("iou.safetensors", "concepts.csv")
        ],
        network=lambda w: [f for n in (w.network, *parser(w.dataset)) for f in module_sources(n)],
        sources=sources("dissection.intervene.objects"),
    output:
        folder=directory(cause("{dataset}", "{network}")),
    log:
        log_of("cause", "{dataset}", "{network}.log"),
    benchmark:
        log_of("cause", "{dataset}", "{network}.tsv")
    wildcard_constraints:
        dataset=any_of(CONFIG.generated),
        network=any_of(CONFIG.networks),
    priority: 1  # a long chain begins here
    threads: THREADS
    resources:
        gpu=GPU,
        mem_mb=MEM_MB,
        runtime=runtime("cause"),
    params:
        settings=lambda w: evaluation_settings(
            [w.network, *parser(w.dataset)], [w.dataset], search=CONFIG.search
        ),
        concepts=lambda w: [f"--concept={c}" for c in CONFIG.searched(w.dataset, w.network)],
    shell:
        """
        dissection cause \
            --config {CONFIGFILE:q} \
            --dataset {wildcards.dataset:q} \
            --network {wildcards.network:q} \
            {params.concepts:q} \
            --threads {threads} \
            --out {output.folder:q} \
            2>{log:q}
        """


rule intervene:
    """Remove units, attack the network, or test a unit as a detector, for a table or figure."""
    input:
        unpack(intervened),
        network=lambda w: [f for n in intervening(w.row)[0] for f in module_sources(n)],
        parts=parts_of(intervention("{row}"), JOBS),
        sources=lambda w: sources(f"dissection.intervene.{JOBS[w.row][0]}"),
    output:
        directory(intervention("{row}")),
    log:
        log_of("intervene", "{row}.log"),
    benchmark:
        log_of("intervene", "{row}.tsv")
    wildcard_constraints:
        row=any_of(JOBS),
    threads: THREADS
    resources:
        gpu=GPU,
        mem_mb=MEM_MB,
        runtime=runtime("intervene"),
    params:
        settings=lambda w: evaluation_settings(
            *intervening(w.row),
            rows={w.row: getattr(CONFIG.rows, w.row)},
            **({"search": CONFIG.search.layer} if forced(w.row) else {}),
        ),
        part=which_part,
    shell:
        """
        dissection intervene \
            --config {CONFIGFILE:q} \
            --row {wildcards.row:q} \
            --threads {threads} \
            --out {output:q} \
            {params.part} {input.parts:q} \
            2>{log:q}
        """


use rule intervene as intervene_part with:
    output:
        temp(part_of(intervention("{row}"))),
    log:
        log_of("intervene", "{row}", "{scatteritem}.log"),
    benchmark:
        log_of("intervene", "{row}", "{scatteritem}.tsv")
