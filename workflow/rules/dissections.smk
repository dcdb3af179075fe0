"""Dissections: what single units of a network detect, and pages to browse them."""


def units(dataset, network, name):
    return str(paths.units(PROFILE, dataset, network) / name)


def needs(dataset, network=None):
    """Assets of the images and labels, and of what the network is made of."""
    return CONFIG.behind(dataset) + (CONFIG.networks[network].assets if network else [])


def dissected(wildcards):
    return [f for asset in needs(wildcards.dataset, wildcards.network) for f in held(asset)]


def parser(dataset):
    """The network that labels the images, if one does."""
    return [CONFIG.parser(dataset)] if CONFIG.segmenter(dataset) else []


def dissection_sources(wildcards):
    if wildcards.dataset in CONFIG.generated:
        return sources("dissection.dissect.generator")
    return sources("dissection.dissect.run", "dissection.networks", "dissection.data")


DISSECTIONS = {
    (entry.dataset, entry.network): entry
    for entry in CONFIG.dissections
    if obtainable(*needs(entry.dataset, entry.network))
}
NEEDED |= {asset for names in DISSECTIONS for asset in needs(*names)}


def pages_of(datasets):
    """Pages of the networks dissected on these."""
    wanted = [names for names, entry in DISSECTIONS.items() if entry.pages and names[0] in datasets]
    return [units(*names, "pages") for names in wanted]


def images_settings(names):
    """The sections of datasets and of generated images, with what labels them."""
    drawn = {d: CONFIG.generated[d] for d in names if d in CONFIG.generated}
    used = {s: CONFIG.segmenters[s] for s in map(CONFIG.segmenter, names) if s}
    read = {d: CONFIG.datasets[d] for d in names if d in CONFIG.datasets}
    sections = ({"generated": drawn} if drawn else {}) | ({"segmenters": used} if used else {})
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
    priority: 1  # a long chain begins here
    threads: THREADS
    resources:
        gpu=GPU,
        mem_mb=MEM_MB,
        runtime=runtime("dissect"),
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
        looks=[*sorted(Path("src/dissection/dissect").glob("*.html")), *LOOKS],
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
    threads: THREADS
    resources:
        gpu=0,
        mem_mb=4000,  # maps of all layers' top images: 0.6 GB for VGG-16
        runtime=240,
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
