"""Interventions: units removed, the network attacked, one unit as a detector. Tables are made by chapter3.smk."""


def intervention(row):
    return str(paths.intervention(PROFILE, row))


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
    if wildcards.row in ("pnas_fig_1", "pnas_fig_3"):
        names = "iou.safetensors", "concepts.csv"
        found["dissection"] = [units(section.dataset, section.network, name) for name in names]
    if wildcards.row == "pnas_fig_5":
        found["ranking"] = intervention("pnas_fig_2")
    return found


rule intervene:
    """Remove units, attack the network, or test a unit as a detector, for a table or figure."""
    input:
        unpack(intervened),
        network=lambda w: [f for n in intervening(w.row)[0] for f in module_sources(n)],
        sources=sources(
            "dissection.intervene.importance",
            "dissection.intervene.attack",
            "dissection.intervene.detector",
        ),
    output:
        folder=directory(intervention("{row}")),
    log:
        log_of("intervene", "{row}.log"),
    benchmark:
        log_of("intervene", "{row}.tsv")
    threads: MOST_THREADS
    resources:
        gpu=GPU,
        mem_mb=MEM_MB,
    params:
        settings=lambda w: evaluation_settings(
            *intervening(w.row), rows={w.row: getattr(CONFIG.rows, w.row)}
        ),
    shell:
        """
        dissection intervene \
            --config {CONFIGFILE:q} \
            --row {wildcards.row:q} \
            --threads {threads} \
            --out {output.folder:q} \
            2>{log:q}
        """
