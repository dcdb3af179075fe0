"""Chapter 4 and appendix A, GAN dissection."""


rule rate:
    """Question sheets on the units of a generator, for people; and the answers of raters who go by the segmenter."""
    input:
        rules.dissect.output,
        rules.page.output,
        data=dissected,
        network=lambda w: [f for n in (w.network, *parser(w.dataset)) for f in module_sources(n)],
        looks=["src/dissection/dissect/survey.html", *LOOKS],
        words=lambda w: [str(path) for path in CONFIG.rows.sec_a_2_human_eval.words],
        sources=sources("dissection.dissect.rating"),
    output:
        folder=directory(units("{dataset}", "{network}", "rating")),
    log:
        log_of("rate", "{dataset}", "{network}.log"),
    benchmark:
        log_of("rate", "{dataset}", "{network}.tsv")
    wildcard_constraints:
        dataset=any_of(CONFIG.generated),
        network=any_of(CONFIG.networks),
    threads: THREADS
    resources:
        gpu=GPU,
        mem_mb=MEM_MB,
        runtime=runtime("rate"),
    params:
        units=str(paths.units(PROFILE, "{dataset}", "{network}")),
        settings=lambda w: settings(
            dissection=dissection_settings(w),
            rows={"sec_a_2_human_eval": CONFIG.rows.sec_a_2_human_eval},
        ),
    shell:
        """
        dissection rate \
            --config {CONFIGFILE:q} \
            --units {params.units:q} \
            --threads {threads} \
            --out {output.folder:q} \
            2>{log:q}
        """


rule chapter4:
    """The tables, figures and unit pages of chapter 4, of appendix A and of the generators of the PNAS paper."""
    input:
        rows_of(4),
        pages_of(CONFIG.generated),


def compared(wildcards):
    """Networks and datasets of a comparison of generated images with real ones."""
    spec = CONFIG.quality[wildcards.network]
    return [wildcards.network, CONFIG.features.network], [spec.real]


rule quality:
    """Compare a generator's images with real ones, by unit of a layer and without some of them."""
    input:
        data=lambda w: evaluated(*compared(w)),
        network=lambda w: [f for n in compared(w)[0] for f in module_sources(n)],
        looks=["src/dissection/intervene/preference.html", *LOOKS],
        sources=sources("dissection.intervene.artifacts"),
    output:
        folder=directory(str(paths.quality(PROFILE, "{network}"))),
    log:
        log_of("quality", "{network}.log"),
    benchmark:
        log_of("quality", "{network}.tsv")
    wildcard_constraints:
        network=any_of(CONFIG.quality),
    threads: THREADS
    resources:
        gpu=GPU,
        mem_mb=MEM_MB,
        runtime=runtime("quality"),
    params:
        settings=lambda w: evaluation_settings(
            *compared(w), features=CONFIG.features, quality=CONFIG.quality[w.network]
        ),
    shell:
        """
        dissection quality \
            --config {CONFIGFILE:q} \
            --network {wildcards.network:q} \
            --threads {threads} \
            --out {output.folder:q} \
            2>{log:q}
        """
