"""The tables: which rows the profile makes, a rule for each, and what jobs behind several rows share."""

from dissection.report.rows import CHAPTERS
from dissection.report.rows import ROWS as TABLES

MADE = {
    row: TABLES[row].inputs(CONFIG)
    for row, section in CONFIG.rows
    if section
    and obtainable(*TABLES[row].assets(CONFIG))
    and not CONFIG.missing(TABLES[row].uses(CONFIG)[1])
}
ROWS += MADE
NEEDED |= {asset for row in MADE for asset in TABLES[row].assets(CONFIG)}


def rows_of(chapter):
    """Tables and figures of a chapter."""
    rows = [row.id for row in CHAPTERS[chapter] if row.id in MADE]
    return expand(table("{row}"), row=rows) + expand(figure("{row}", "png"), row=rows)


def row_settings(row):
    """A row's section, the layers of its networks (it counts in the last), and what it reads itself."""
    datasets, networks = TABLES[row].uses(CONFIG)
    return settings(
        rows={row: getattr(CONFIG.rows, row)},
        **images_settings(datasets),
        networks={n: list(CONFIG.networks[n].layers) for n in networks},
    )


RECORDS = {record(asset): asset for asset in NEEDED}


def of_records(path):
    """The files of an asset, for its record; any other file is what it is."""
    return held(RECORDS[str(path)]) if str(path) in RECORDS else [str(path)]


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
            runtime=60,
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


scattergather:
    part=CONFIG.shards,


def parts_of(folder, jobs=None):
    """The parts that a job gathers: none if it does all by itself, or if it is one of those that do a part. jobs: of
    rows; one that can be shared has a function for a part before its own."""

    def parts(w):
        alone = CONFIG.shards == 1 or (jobs and len(jobs[w.row]) < 3)
        if alone or w.get("scatteritem"):
            return []
        return gather.part(part_of(folder.format(**dict(w.items()))))

    return parts


def part_of(folder):
    """The file that a job leaves which does a part of what is in a folder."""
    return f"{folder}.parts/{{scatteritem}}.safetensors"


def which_part(w):
    """The option of a job that does a part."""
    return ["--part", w.scatteritem] if w.get("scatteritem") else []


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
        **{k: v for k, v in images_settings(datasets).items() if k not in more},
        networks={n: CONFIG.networks[n].model_dump(mode="json") for n in networks},
        **more,
    )
