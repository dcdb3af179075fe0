"""Chapter 5, what a generator does not draw."""

from dissection.omit import JOBS as INVERSIONS

COMPARED = {
    dataset: networks
    for dataset, networks in CONFIG.compared().items()
    if any(str(paths.omission(PROFILE, dataset)) in map(str, MADE[row].values()) for row in MADE)
}


def segmenting(dataset):
    """The networks behind a comparison: generators, and what labels their images."""
    return [*COMPARED[dataset], CONFIG.segmenters[CONFIG.omission.segmenter].network]


def segmented():
    """How images are segmented."""
    name = CONFIG.omission.segmenter
    return {"omission": CONFIG.omission, "segmenters": {name: CONFIG.segmenters[name]}}


def comparing(w):
    """What a job reads that segments photographs and what generators draw of them."""
    networks = segmenting(w.dataset)
    labels = held(CONFIG.segmenters[CONFIG.omission.segmenter].labels)
    modules = [file for name in networks for file in module_sources(name)]
    return [*evaluated(networks, [w.dataset]), *labels, *modules]


def comparison(w):
    return evaluation_settings(segmenting(w.dataset), [w.dataset], **segmented())


COMPARISON = str(paths.omission(PROFILE, "{dataset}"))


rule compare:
    """Segment photographs and what generators draw of them, and compare them class by class."""
    input:
        comparing,
        parts=parts_of(COMPARISON),
        sources=sources("dissection.omit.compare"),
    output:
        directory(COMPARISON),
    log:
        log_of("compare", "{dataset}.log"),
    benchmark:
        log_of("compare", "{dataset}.tsv")
    wildcard_constraints:
        dataset=any_of(COMPARED),
    priority: 1  # a long chain begins here
    threads: THREADS
    resources:
        gpu=GPU,
        mem_mb=MEM_MB,
        runtime=runtime("compare"),
    params:
        settings=comparison,
        part=which_part,
    shell:
        """
        dissection compare \
            --config {CONFIGFILE:q} \
            --dataset {wildcards.dataset:q} \
            --threads {threads} \
            --out {output:q} \
            {params.part} {input.parts:q} \
            2>{log:q}
        """


use rule compare as compare_part with:
    output:
        temp(part_of(COMPARISON)),
    log:
        log_of("compare", "{dataset}", "{scatteritem}.log"),
    benchmark:
        log_of("compare", "{dataset}", "{scatteritem}.tsv")


INVERSION = str(paths.inversion(PROFILE, "{row}"))
INVERTED = [row for row in CONFIG.inverted() if row in MADE]


def inverting(row):
    """Networks and datasets: generator, encoders, what tells images apart or labels them, photographs."""
    datasets, networks = TABLES[row].uses(CONFIG)
    return networks, datasets


def omitting(row):
    """The comparison that says what a generator omits, if the row is of photographs that have it."""
    return [str(path) for name, path in MADE[row].items() if name == "statistics"]


rule invert:
    """Invert images: reconstruct them by what a generator can draw, for a figure."""
    input:
        data=lambda w: evaluated(*inverting(w.row)),
        labels=lambda w: [f for asset in TABLES[w.row].further(CONFIG) for f in held(asset)],
        omitted=lambda w: omitting(w.row),
        network=lambda w: [f for n in inverting(w.row)[0] for f in module_sources(n)],
        parts=parts_of(INVERSION, INVERSIONS),
        sources=sources("dissection.omit.reconstruct"),
    output:
        directory(INVERSION),
    log:
        log_of("invert", "{row}.log"),
    benchmark:
        log_of("invert", "{row}.tsv")
    wildcard_constraints:
        row=any_of(INVERTED),
    threads: THREADS
    resources:
        gpu=GPU,
        mem_mb=MEM_MB,
        runtime=runtime("invert"),
    params:
        settings=lambda w: evaluation_settings(
            *inverting(w.row),
            reconstruction=CONFIG.reconstruction,
            rows={w.row: getattr(CONFIG.rows, w.row)},
            **(segmented() if omitting(w.row) else {}),
        ),
        part=which_part,
    shell:
        """
        dissection invert \
            --config {CONFIGFILE:q} \
            --row {wildcards.row:q} \
            --threads {threads} \
            --out {output:q} \
            {params.part} {input.parts:q} \
            2>{log:q}
        """


use rule invert as invert_part with:
    output:
        temp(part_of(INVERSION)),
    log:
        log_of("invert", "{row}", "{scatteritem}.log"),
    benchmark:
        log_of("invert", "{row}", "{scatteritem}.tsv")


rule chapter5:
    """The tables and figures of chapter 5."""
    input:
        rows_of(5),
