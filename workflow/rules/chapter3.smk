"""Chapter 3, network dissection: what single units of a network detect."""


def units(dataset, network, name):
    return str(paths.units(PROFILE, dataset, network) / name)


def needs(dataset, network=None):
    """Assets of the images and labels, and of what the network is made of."""
    assets = {"dataset": CONFIG.datasets[dataset].asset}
    if network:
        spec = CONFIG.networks[network]
        assets |= {"weights": spec.weights, "mean_image": spec.input.mean_image}
    return {name: asset for name, asset in assets.items() if asset}


def dissected(wildcards):
    assets = needs(wildcards.dataset, wildcards.network)
    return {name: held(asset) for name, asset in assets.items()}


DISSECTIONS = {
    (entry.dataset, entry.network): entry
    for entry in CONFIG.dissections
    if obtainable(*needs(entry.dataset, entry.network).values())
}
CHAPTER3 = []
if (row := CONFIG.rows.table_3_1) and obtainable(*needs(row.dataset).values()):
    CHAPTER3.append("table_3_1")
    NEEDED |= set(needs(row.dataset).values())
if (row := CONFIG.rows.fig_3_5) and all(
    (row.dataset, network) in DISSECTIONS for network in row.networks.values()
):
    CHAPTER3.append("fig_3_5")
ROWS += CHAPTER3
NEEDED |= {asset for names in DISSECTIONS for asset in needs(*names).values()}


def dissection_settings(wildcards):
    dataset, network = wildcards.dataset, CONFIG.networks[wildcards.network]
    seeded = {} if network.weights else {"seed": CONFIG.seed}
    return settings(
        device=CONFIG.device,
        datasets={dataset: CONFIG.datasets[dataset]},
        networks={wildcards.network: network.model_dump(mode="json", exclude={"recipe"})},
        dissections=DISSECTIONS[dataset, wildcards.network],
        **seeded,
    )


rule dissect:
    """Compare every unit of a network's layers with every concept of a dataset, by all protocols."""
    input:
        unpack(dissected),
        network=lambda w: module_sources(w.network),
        sources=sources("dissection.dissect.run", "dissection.networks", "dissection.data"),
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
        dataset=any_of(CONFIG.datasets),
        network=any_of(CONFIG.networks),
    threads: MOST_THREADS
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
        unpack(dissected),
        rules.dissect.output,
        looks=[*sorted(Path("src/dissection/dissect").glob("*.html")), "src/dissection/style.css"],
        sources=sources("dissection.dissect.page"),
    output:
        pages=directory(units("{dataset}", "{network}", "pages")),
    log:
        log_of("page", "{dataset}", "{network}.log"),
    benchmark:
        log_of("page", "{dataset}", "{network}.tsv")
    wildcard_constraints:
        dataset=any_of(CONFIG.datasets),
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


rule table_3_1:
    """Table 3.1: how many classes of each category the dataset has, and how many images show one."""
    input:
        dataset=lambda w: held(CONFIG.datasets[CONFIG.rows.table_3_1.dataset].asset),
        sources=sources("dissection.report.rows"),
    output:
        table=table("table_3_1"),
    log:
        log_of("table_3_1.log"),
    benchmark:
        log_of("table_3_1.tsv")
    threads: 4
    resources:
        gpu=0,
        mem_mb=2000,
    params:
        settings=lambda w: settings(
            rows={"table_3_1": CONFIG.rows.table_3_1},
            datasets={d: CONFIG.datasets[d] for d in [CONFIG.rows.table_3_1.dataset]},
        ),
    shell:
        """
        dissection table \
            --config {CONFIGFILE:q} \
            --row table_3_1 \
            --threads {threads} \
            --out {output.table:q} \
            2>{log:q}
        """


rule fig_3_5:
    """Figure 3-5: the number of unique detectors of each category in each layer."""
    input:
        units=lambda w: [
            units(CONFIG.rows.fig_3_5.dataset, network, "units.csv")
            for network in CONFIG.rows.fig_3_5.networks.values()
        ],
        sources=sources("dissection.report.rows"),
    output:
        table=table("fig_3_5"),
    log:
        log_of("fig_3_5.log"),
    benchmark:
        log_of("fig_3_5.tsv")
    threads: 1
    resources:
        gpu=0,
        mem_mb=1000,
    params:
        settings=lambda w: settings(rows={"fig_3_5": CONFIG.rows.fig_3_5}),
    shell:
        """
        dissection table \
            --config {CONFIGFILE:q} \
            --row fig_3_5 \
            --threads {threads} \
            --out {output.table:q} \
            2>{log:q}
        """


rule chapter3:
    """The tables, figures and unit pages of chapter 3."""
    input:
        expand(table("{row}"), row=CHAPTER3),
        expand(figure("{row}", "png"), row=CHAPTER3),
        [units(dataset, network, "pages") for dataset, network in DISSECTIONS],
