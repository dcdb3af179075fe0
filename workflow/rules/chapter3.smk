"""Chapter 3, network dissection: what single units of a network detect. And the table of every row."""

from dissection.report.rows import CHAPTERS
from dissection.report.rows import ROWS as TABLES


def units(dataset, network, name):
    return str(paths.units(PROFILE, dataset, network) / name)


def needs(dataset, network=None):
    """Assets of the images and labels, and of what the network is made of."""
    return CONFIG.behind(dataset) + (CONFIG.networks[network].assets if network else [])


def dissected(wildcards):
    return [f for asset in needs(wildcards.dataset, wildcards.network) for f in held(asset)]


def parser(dataset):
    """The network that labels generated images, if they are that."""
    if dataset not in CONFIG.generated:
        return []
    return [CONFIG.segmenters[CONFIG.generated[dataset].segmenter].network]


def dissection_sources(wildcards):
    if wildcards.dataset in CONFIG.generated:
        return sources("dissection.dissect.generator")
    return sources("dissection.dissect.run", "dissection.networks", "dissection.data")


DISSECTIONS = {
    (entry.dataset, entry.network): entry
    for entry in CONFIG.dissections
    if obtainable(*needs(entry.dataset, entry.network))
}
MADE = {
    row: TABLES[row].inputs(CONFIG)
    for row, section in CONFIG.rows
    if section
    and obtainable(*TABLES[row].assets(CONFIG))
    and not CONFIG.missing(TABLES[row].uses(CONFIG)[1])
}
ROWS += MADE
NEEDED |= {asset for row in MADE for asset in TABLES[row].assets(CONFIG)}
NEEDED |= {asset for names in DISSECTIONS for asset in needs(*names)}


def rows_of(chapter):
    """Tables and figures of a chapter."""
    rows = [row.id for row in CHAPTERS[chapter] if row.id in MADE]
    return expand(table("{row}"), row=rows) + expand(figure("{row}", "png"), row=rows)


def pages_of(datasets):
    """Pages of the networks dissected on these."""
    wanted = [names for names, entry in DISSECTIONS.items() if entry.pages and names[0] in datasets]
    return [units(*names, "pages") for names in wanted]


def images_settings(names):
    """The sections of datasets and of generated images, with what labels these."""
    drawn = {d: CONFIG.generated[d] for d in names if d in CONFIG.generated}
    used = {d.segmenter: CONFIG.segmenters[d.segmenter] for d in drawn.values()}
    sections = {"generated": drawn, "segmenters": used} if drawn else {}
    read = {d: CONFIG.datasets[d] for d in names if d in CONFIG.datasets}
    return sections | ({"datasets": read} if read or not drawn else {})


def dissection_settings(wildcards):
    dataset, networks = wildcards.dataset, [wildcards.network, *parser(wildcards.dataset)]
    specs = {n: CONFIG.networks[n] for n in networks}
    seeded = {} if all(spec.weights for spec in specs.values()) else {"seed": CONFIG.seed}
    return settings(
        device=CONFIG.device,
        **images_settings([dataset]),
        networks={
            n: spec.model_dump(mode="json", exclude={"recipe", "adversarial", "inversion"})
            for n, spec in specs.items()
        },
        dissections=DISSECTIONS[dataset, wildcards.network].model_dump(
            mode="json", exclude={"pages"}
        ),
        **seeded,
    )


rule dissect:
    """Compare every unit of a network's layers with every concept of a dataset, by all protocols."""
    input:
        data=dissected,
        network=lambda w: [f for n in (w.network, *parser(w.dataset)) for f in module_sources(n)],
        sources=dissection_sources,
    output:
        units=units("{dataset}", "{network}", "units.csv"),
        concepts=units("{dataset}", "{network}", "concepts.csv"),
        iou=units("{dataset}", "{network}", "iou.safetensors"),
        counts=units("{dataset}", "{network}", "counts.safetensors"),
        top=units("{dataset}", "{network}", "top.safetensors"),
        summary=units("{dataset}", "{network}", "summary.json"),
    log:
        log_of("dissect", "{dataset}", "{network}.log"),
    benchmark:
        log_of("dissect", "{dataset}", "{network}.tsv")
    wildcard_constraints:
        dataset=any_of([*CONFIG.datasets, *CONFIG.generated]),
        network=any_of(CONFIG.networks),
    threads: THREADS
    resources:
        gpu=GPU,
        mem_mb=MEM_MB,
    params:
        out=str(paths.units(PROFILE, "{dataset}", "{network}")),
        settings=dissection_settings,
    shell:
        """
        dissection dissect \
            --config {CONFIGFILE:q} \
            --dataset {wildcards.dataset:q} \
            --network {wildcards.network:q} \
            --threads {threads} \
            --out {params.out:q} \
            2>{log:q}
        """


rule page:
    """Units of every layer with the images that move them most, as pages to browse offline."""
    input:
        rules.dissect.output,
        data=dissected,
        looks=[*sorted(Path("src/dissection/dissect").glob("*.html")), "src/dissection/style.css"],
        sources=sources("dissection.dissect.page"),
    output:
        pages=directory(units("{dataset}", "{network}", "pages")),
    log:
        log_of("page", "{dataset}", "{network}.log"),
    benchmark:
        log_of("page", "{dataset}", "{network}.tsv")
    wildcard_constraints:
        dataset=any_of([*CONFIG.datasets, *CONFIG.generated]),
        network=any_of(CONFIG.networks),
    threads: 4
    resources:
        gpu=0,
        mem_mb=2000,
    params:
        units=str(paths.units(PROFILE, "{dataset}", "{network}")),
        settings=dissection_settings,
    shell:
        """
        dissection page \
            --config {CONFIGFILE:q} \
            --dataset {wildcards.dataset:q} \
            --network {wildcards.network:q} \
            --units {params.units:q} \
            --threads {threads} \
            --out {output.pages:q} \
            2>{log:q}
        """


rule survey:
    """Question sheets on the labels of units, for people; and the answers of one who knows."""
    input:
        rules.dissect.output,
        rules.page.output,
        data=dissected,
        looks=["src/dissection/dissect/survey.html", "src/dissection/style.css"],
        phrases=lambda w: [str(path) for path in [CONFIG.rows.table_3_3.phrases] if path],
        sources=sources("dissection.dissect.survey"),
    output:
        page=units("{dataset}", "{network}", "survey/index.html"),
        questions=units("{dataset}", "{network}", "survey/questions.csv"),
        answers=units("{dataset}", "{network}", "survey/ground_truth.csv"),
    log:
        log_of("survey", "{dataset}", "{network}.log"),
    benchmark:
        log_of("survey", "{dataset}", "{network}.tsv")
    wildcard_constraints:
        dataset=any_of(CONFIG.datasets),
        network=any_of(CONFIG.networks),
    threads: 1
    resources:
        gpu=0,
        mem_mb=4000,
    params:
        units=str(paths.units(PROFILE, "{dataset}", "{network}")),
        out=units("{dataset}", "{network}", "survey"),
        settings=lambda w: settings(
            seed=CONFIG.seed,
            datasets={w.dataset: CONFIG.datasets[w.dataset]},
            rows={"table_3_3": CONFIG.rows.table_3_3},
        ),
    shell:
        """
        dissection survey \
            --config {CONFIGFILE:q} \
            --units {params.units:q} \
            --out {params.out:q} \
            2>{log:q}
        """


def row_settings(row):
    """A row's section, the layers of its networks (it counts in the last), and what it reads itself."""
    datasets, networks = TABLES[row].uses(CONFIG)
    return settings(
        rows={row: getattr(CONFIG.rows, row)},
        **images_settings(datasets),
        networks={n: list(CONFIG.networks[n].layers) for n in networks},
    )


def of_records(path):
    """The files of an asset, for its record; any other file is what it is."""
    named = {record(asset): asset for asset in NEEDED}
    return held(named[str(path)]) if str(path) in named else [str(path)]


for row in MADE:

    rule:
        """The CSV of a table or figure, as its module in `dissection.report` makes it."""
        name:
            row
        input:
            files=[file for path in MADE[row].values() for file in of_records(path)],
            sources=sources(TABLES[row].table.__module__),
        output:
            table=table(row),
        log:
            log_of(f"{row}.log"),
        benchmark:
            log_of(f"{row}.tsv")
        threads: TABLES[row].threads
        resources:
            gpu=0,
            mem_mb=2000,
        params:
            row=row,
            settings=row_settings(row),
        shell:
            """
            dissection table \
                --config {CONFIGFILE:q} \
                --row {params.row:q} \
                --threads {threads} \
                --out {output.table:q} \
                2>{log:q}
            """


def evaluated(networks, datasets):
    """What a job reads that runs several networks on several datasets."""
    specs = [CONFIG.networks[n] for n in networks]
    assets = [a for d in datasets for a in CONFIG.behind(d)]
    assets += [a for spec in specs for a in spec.assets]
    return [file for asset in dict.fromkeys(assets) for file in held(asset)]


def evaluation_settings(networks, datasets, **more):
    return settings(
        seed=CONFIG.seed,
        device=CONFIG.device,
        **images_settings(datasets),
        networks={n: CONFIG.networks[n].model_dump(mode="json") for n in networks},
        **more,
    )


MEASURED = CONFIG.measured()
VALIDATED = sorted({dataset for _, dataset in MEASURED if dataset})


rule accuracy:
    """Parameters and accuracy of the networks, on images that they were not trained on."""
    input:
        data=lambda w: evaluated(dict(MEASURED), VALIDATED),
        networks=lambda w: sorted({f for n, _ in MEASURED for f in module_sources(n)}),
        sources=sources("dissection.evaluate"),
    output:
        table=str(paths.accuracy(PROFILE)),
    log:
        log_of("accuracy.log"),
    benchmark:
        log_of("accuracy.tsv")
    threads: MOST_THREADS
    resources:
        gpu=GPU,
        mem_mb=MEM_MB,
    params:
        settings=lambda w: evaluation_settings(dict(MEASURED), VALIDATED, rows=MEASURED),
    shell:
        """
        dissection accuracy \
            --config {CONFIGFILE:q} \
            --threads {threads} \
            --out {output.table:q} \
            2>{log:q}
        """


rule transfer:
    """How well a linear classifier does another task on the features of each network."""
    input:
        data=lambda w: evaluated(
            CONFIG.rows.fig_3_12.networks.values(),
            [CONFIG.rows.fig_3_12.train, CONFIG.rows.fig_3_12.test],
        ),
        networks=lambda w: sorted(
            {f for n in CONFIG.rows.fig_3_12.networks.values() for f in module_sources(n)}
        ),
        sources=sources("dissection.evaluate"),
    output:
        table=str(paths.transfer(PROFILE)),
    log:
        log_of("transfer.log"),
    benchmark:
        log_of("transfer.tsv")
    threads: MOST_THREADS
    resources:
        gpu=GPU,
        mem_mb=MEM_MB,
    params:
        settings=lambda w: evaluation_settings(
            CONFIG.rows.fig_3_12.networks.values(),
            [CONFIG.rows.fig_3_12.train, CONFIG.rows.fig_3_12.test],
            rows={"fig_3_12": CONFIG.rows.fig_3_12},
        ),
    shell:
        """
        dissection transfer \
            --config {CONFIGFILE:q} \
            --row fig_3_12 \
            --threads {threads} \
            --out {output.table:q} \
            2>{log:q}
        """


rule chapter3:
    """The tables, figures and unit pages of chapter 3."""
    input:
        rows_of(3),
        pages_of(CONFIG.datasets),
