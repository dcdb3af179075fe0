"""From tables to figures, and from both to the report."""


rule figure:
    """Run a figure's notebook on its table. It draws, and computes nothing."""
    input:
        table=table("{row}"),
        notebook="figures/{row}.ipynb",
        sources=sources("dissection.report.figure", "dissection.style"),
    output:
        png=figure("{row}", "png"),
        svg=figure("{row}", "svg"),
        notebook=figure("{row}", "ipynb"),
    log:
        log_of("figure", "{row}.log"),
    benchmark:
        log_of("figure", "{row}.tsv")
    threads: 1
    resources:
        gpu=0,
        mem_mb=1000,
        runtime=60,
    shell:
        """
        dissection figure \
            --row {wildcards.row:q} \
            --table {input.table:q} \
            --png {output.png:q} \
            --svg {output.svg:q} \
            --notebook {output.notebook:q} \
            2>{log:q}
        """


rule report:
    """Every table and figure beside the published one, and what became of each claim."""
    input:
        tables=expand(table("{row}"), row=ROWS),
        figures=expand(figure("{row}", "svg"), row=ROWS),
        summaries=[str(paths.units(PROFILE, *names) / "summary.json") for names in DISSECTIONS],
        published=[
            "src/dissection/published/paper.yaml",
            *sorted(map(str, Path("src/dissection/published").rglob("*.csv"))),
        ],
        looks=["src/dissection/report/report.html", *LOOKS],
        sources=sources("dissection.report.page"),
    output:
        report=str(paths.report(PROFILE)),
        metrics=str(paths.metrics(PROFILE)),
    log:
        log_of("report.log"),
    benchmark:
        log_of("report.tsv")
    threads: 1
    resources:
        gpu=0,
        mem_mb=1000,
        runtime=60,
    params:
        benchmarks=log_of(),
        settings=settings(**CONFIG.model_dump(mode="json", exclude={"memory_gb", "downloads"})),
    shell:
        """
        dissection report \
            --config {CONFIGFILE:q} \
            --benchmarks {params.benchmarks:q} \
            --metrics {output.metrics:q} \
            --out {output.report:q} \
            2>{log:q}
        """
