"""Chapter 5, what a generator does not draw."""

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


scattergather:
    segment=CONFIG.shards,


PART = str(paths.omission(PROFILE, "{{dataset}}.parts") / "{scatteritem}.safetensors")
PARTS = gather.segment(PART) if len(gather.segment(PART)) > 1 else []


rule segment:
    """Segment a part of the photographs and of what generators draw of them."""
    input:
        comparing,
        sources=sources("dissection.omit.compare"),
    output:
        counts=temp(PART.replace("{{dataset}}", "{dataset}")),
    log:
        log_of("segment", "{dataset}", "{scatteritem}.log"),
    benchmark:
        log_of("segment", "{dataset}", "{scatteritem}.tsv")
    wildcard_constraints:
        dataset=any_of(COMPARED),
    threads: THREADS
    resources:
        gpu=GPU,
        mem_mb=MEM_MB,
        runtime=runtime("segment"),
    params:
        settings=comparison,
    shell:
        """
        dissection segment \
            --config {CONFIGFILE:q} \
            --dataset {wildcards.dataset:q} \
            --part {wildcards.scatteritem:q} \
            --threads {threads} \
            --out {output.counts:q} \
            2>{log:q}
        """


rule compare:
    """Segment photographs and what generators draw of them, and compare them class by class."""
    input:
        comparing,
        parts=PARTS,
        sources=sources("dissection.omit.compare"),
    output:
        folder=directory(str(paths.omission(PROFILE, "{dataset}"))),
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
    shell:
        """
        dissection compare \
            --config {CONFIGFILE:q} \
            --dataset {wildcards.dataset:q} \
            --threads {threads} \
            --out {output.folder:q} \
            {input.parts:q} \
            2>{log:q}
        """


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
        sources=sources("dissection.omit.reconstruct"),
    output:
        folder=directory(str(paths.inversion(PROFILE, "{row}"))),
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
    shell:
        """
        dissection invert \
            --config {CONFIGFILE:q} \
            --row {wildcards.row:q} \
            --threads {threads} \
            --out {output.folder:q} \
            2>{log:q}
        """


rule chapter5:
    """The tables and figures of chapter 5."""
    input:
        rows_of(5),
