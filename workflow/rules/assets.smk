"""Assets: fetched, taken from the user, or drawn; a record of each, by which alone it is known."""

DRAWN = {name: asset.scenes for name, asset in CONFIG.assets.items() if asset.scenes}
SHIPPED = [
    name
    for name, asset in CONFIG.assets.items()
    if asset.path and asset.path.parent == CONFIG.shipped
]


def own_copies(asset):
    """The user's files that the asset would be made from, so that a changed one is verified again."""
    own, published = CONFIG.assets.get(asset), REGISTRY.get(asset)
    if own:
        found = [own.path]
    elif CONFIG.downloads and CONFIG.downloads.expanduser().is_dir():
        parts = [CONFIG.downloads.expanduser() / part.file for part in published.parts]
        found = [in_downloads(published, CONFIG.downloads) or Path(), *parts]
    else:
        found = []
    return [str(path) for path in found if path.is_file()]


rule fetch:
    """Download an asset or take the user's own copy; verify it, unpack it, record it."""
    input:
        own=lambda w: own_copies(w.asset),
        sources=sources("dissection.assets"),
    output:
        record=record("{asset}"),
    log:
        log_of("fetch", "{asset}.log"),
    benchmark:
        log_of("fetch", "{asset}.tsv")
    wildcard_constraints:
        asset=any_of((REGISTRY.keys() | CONFIG.assets.keys()) - DRAWN.keys() - set(SHIPPED)),
    threads: 1
    resources:
        gpu=0,
        mem_mb=2000,
        runtime=1440,
    params:
        out=str(paths.DOWNLOADED),
        records=str(paths.asset_records(PROFILE)),
        settings=lambda w: settings(
            registry=REGISTRY.get(w.asset),
            assets={w.asset: CONFIG.assets.get(w.asset)},
            downloads=CONFIG.downloads,
        ),
    shell:
        """
        dissection fetch \
            --config {CONFIGFILE:q} \
            --asset {wildcards.asset:q} \
            --out {params.out:q} \
            --records {params.records:q} \
            2>{log:q}
        """


rule shipped:
    """Verify and record the weights that are shipped, all in one job: each is a matter of milliseconds."""
    input:
        own=[file for asset in SHIPPED for file in own_copies(asset)],
        sources=sources("dissection.assets"),
    output:
        records=[record(asset) for asset in SHIPPED],
    log:
        log_of("shipped.log"),
    benchmark:
        log_of("shipped.tsv")
    threads: 1
    resources:
        gpu=0,
        mem_mb=1000,
        runtime=60,
    params:
        out=str(paths.DOWNLOADED),
        records=str(paths.asset_records(PROFILE)),
        assets=[f"--asset={asset}" for asset in SHIPPED],
        settings=settings(assets={asset: CONFIG.assets[asset] for asset in SHIPPED}),
    shell:
        """
        dissection fetch \
            --config {CONFIGFILE:q} \
            {params.assets:q} \
            --out {params.out:q} \
            --records {params.records:q} \
            2>{log:q}
        """


rule scenes:
    """Draw an asset from the synthetic world, with complete ground truth, and record it."""
    input:
        sources=sources("dissection.data.scenes", "dissection.assets.fetch"),
    output:
        folder=directory(paths.generated_asset(PROFILE, "{asset}")),
        record=record("{asset}"),
    log:
        log_of("scenes", "{asset}.log"),
    benchmark:
        log_of("scenes", "{asset}.tsv")
    wildcard_constraints:
        asset=any_of(DRAWN),
    threads: THREADS
    resources:
        gpu=0,
        mem_mb=2000,
        runtime=60,
    params:
        settings=lambda w: settings(seed=CONFIG.seed, assets={w.asset: DRAWN[w.asset]}),
    shell:
        """
        dissection scenes \
            --config {CONFIGFILE:q} \
            --asset {wildcards.asset:q} \
            --threads {threads} \
            --out {output.folder:q} \
            --record {output.record:q} \
            2>{log:q}
        """


rule assets:
    """Every asset that results are made from. What only training needs is left to training."""
    input:
        lambda w: [record(asset) for asset in NEEDED],
