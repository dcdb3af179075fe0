"""Chapter 3, network dissection: its survey, and networks measured by tasks."""


rule survey:
    """Question sheets on the labels of units, for people; and the answers of one who knows."""
    input:
        rules.dissect.output,
        rules.page.output,
        data=dissected,
        looks=["src/dissection/dissect/survey.html", *LOOKS],
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
        runtime=60,
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
    threads: THREADS
    resources:
        gpu=GPU,
        mem_mb=MEM_MB,
        runtime=runtime("accuracy"),
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
    threads: THREADS
    resources:
        gpu=GPU,
        mem_mb=MEM_MB,
        runtime=runtime("transfer"),
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
