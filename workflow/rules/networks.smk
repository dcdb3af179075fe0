"""Networks: training, only ever asked for by `snakemake weights`. No other target leads here: the
weights that are shipped are assets, and shipping is a deliberate copy (`dissection ship`)."""

RECIPES = {name: n.training for name, n in CONFIG.networks.items() if n.training}


def trained(network, name):
    return str(paths.trained(PROFILE, network) / name)


def inverted(network):
    """The generator that an encoder learns from."""
    recipe = CONFIG.networks[network].inversion
    return [recipe.generator] if recipe else []


def training_data(wildcards):
    assets = [CONFIG.datasets[name].asset for name in RECIPES[wildcards.network].datasets]
    assets += [a for n in inverted(wildcards.network) for a in CONFIG.networks[n].assets]
    return [file for asset in assets for file in held(asset)]


def training_sources(wildcards):
    recipe = CONFIG.networks[wildcards.network].recipe
    if inverted(wildcards.network):
        return sources("dissection.omit.train")
    if recipe is None:
        return sources("dissection.networks.adversarial")
    modules = {
        "parsing": "segment.train",
        "attributes": "segment.judges",
        "finding": "segment.judges",
    }
    return sources(f"dissection.{modules.get(recipe.target, 'networks.train')}")


rule train:
    """Train a network by its recipe, from the checkpoint of a run that was broken off if there is one."""
    input:
        data=training_data,
        network=lambda w: [f for n in (w.network, *inverted(w.network)) for f in module_sources(n)],
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
        mem_mb=max(4000, MEM_MB),
        runtime=runtime("train"),
    params:
        out=str(paths.trained(PROFILE, "{network}")),
        settings=lambda w: settings(
            seed=CONFIG.seed,
            device=CONFIG.device,
            networks={
                w.network: CONFIG.networks[w.network].model_dump(exclude={"weights", "layers"}),
                **{n: CONFIG.networks[n] for n in inverted(w.network)},
            },
            datasets={d: CONFIG.datasets[d] for d in RECIPES[w.network].datasets},
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
