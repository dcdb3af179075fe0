"""Chapter 6 and appendix B, generators rewritten."""

from dissection.rewrite import JOBS as EDITS

EDIT = str(paths.edits(PROFILE, "{row}"))
EDITED = {row: section for row, section in CONFIG.edited().items() if row in MADE}


def judging(row):
    """Networks and datasets of the rows of a job: the generator, what judges its images, photographs."""
    datasets, networks = zip(*(TABLES[r].uses(CONFIG) for r in CONFIG.sharing(row)))
    return sorted({n for of in networks for n in of}), sorted({d for of in datasets for d in of})


def picked(row):
    """What a row goes by that picks units, as it does for its table."""
    if "units" not in MADE[row]:
        return []
    files = ("iou.safetensors", "concepts.csv")
    return [units(EDITED[row].dataset, EDITED[row].network, name) for name in files]


rule edit:
    """Edit a generator and measure what that does, for a table or figure."""
    input:
        data=lambda w: evaluated(*judging(w.row)),
        further=lambda w: [
            f
            for row in CONFIG.sharing(w.row)
            for asset in TABLES[row].further(CONFIG)
            for f in held(asset)
        ],
        units=lambda w: picked(w.row),
        network=lambda w: [f for n in judging(w.row)[0] for f in module_sources(n)],
        parts=parts_of(EDIT, EDITS),
        sources=lambda w: sources(f"dissection.rewrite.{EDITS[w.row][0]}"),
    output:
        directory(EDIT),
    log:
        log_of("edit", "{row}.log"),
    benchmark:
        log_of("edit", "{row}.tsv")
    wildcard_constraints:
        row=any_of(EDITED),
    threads: THREADS
    resources:
        gpu=GPU,
        mem_mb=MEM_MB,
        runtime=runtime("edit"),
    params:
        settings=lambda w: evaluation_settings(
            *judging(w.row),
            judging=CONFIG.judging,
            segmenters=CONFIG.segmenters,
            features=CONFIG.features,
            rows={row: EDITED[row] for row in CONFIG.sharing(w.row)},
        ),
        part=which_part,
    shell:
        """
        dissection edit \
            --config {CONFIGFILE:q} \
            --row {wildcards.row:q} \
            --threads {threads} \
            --out {output:q} \
            {params.part} {input.parts:q} \
            2>{log:q}
        """


use rule edit as edit_part with:
    output:
        temp(part_of(EDIT)),
    log:
        log_of("edit", "{row}", "{scatteritem}.log"),
    benchmark:
        log_of("edit", "{row}", "{scatteritem}.tsv")


rule chapter6:
    """The tables and figures of chapter 6 and of appendix B."""
    input:
        rows_of(6),
