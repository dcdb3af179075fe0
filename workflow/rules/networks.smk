"""Networks: training, only ever asked for by `snakemake weights`. No other target leads here: the
weights that are shipped are assets, and shipping is a deliberate copy (`dissection ship`)."""

RECIPES = {name: n.recipe for name, n in CONFIG.networks.items() if n.recipe}


def trained(network, name):
    return str(paths.trained(PROFILE, network) / name)


def training_data(wildcards):
    sets = zip(("train_set", "validation_set"), RECIPES[wildcards.network].sets())
    return {
        kind: sum((held(CONFIG.datasets[name].asset) for name in names), []) for kind, names in sets
    }


def training_sources(wildcards):
    parsing = RECIPES[wildcards.network].target == "parsing"
    return sources("dissection.segment.train" if parsing else "dissection.networks.train")


rule train:
    """Train a network by its recipe, from the checkpoint of a run that was broken off if there is one."""
    input:
        unpack(training_data),
        network=lambda w: module_sources(w.network),
        sources=training_sources,
    output:
        weights=trained("{network}", "weights.safetensors"),
        curve=trained("{network}", "curve.csv"),
        metrics=trained("{network}", "metrics.json"),
    log:
        log_of("train", "{network}.log"),
    benchmark:
        log_of("train", "{network}.tsv")
    wildcard_constraints:
        network=any_of(RECIPES),
    threads: MOST_THREADS
    resources:
        gpu=GPU,
        mem_mb=4000,
    params:
        out=str(paths.trained(PROFILE, "{network}")),
        settings=lambda w: settings(
            seed=CONFIG.seed,
            device=CONFIG.device,
            networks={
                w.network: CONFIG.networks[w.network].model_dump(exclude={"weights", "layers"})
            },
            datasets={
                d: CONFIG.datasets[d] for d in sum(RECIPES[w.network].sets(), ())
            },
        ),
    shell:
        """
        dissection train \
            --config {CONFIGFILE:q} \
            --network {wildcards.network:q} \
            --threads {threads} \
            --out {params.out:q} \
            2>{log:q}
        """


rule weights:
    """Train every network of the profile that has a recipe."""
    input:
        expand(rules.train.output, network=RECIPES),
