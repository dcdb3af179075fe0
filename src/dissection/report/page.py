"""The report: each table or figure of a run beside the published one, in one file that opens offline.

write_report(config, Path("results/smoke/report.html"), Path("results/smoke/metrics.json"),
             benchmarks=Path("logs/smoke"))
"""

import base64
import csv
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from dissection import paths, published, style
from dissection.config import Config, Judged, Preferred
from dissection.published.claims import FAILS, HOLDS, UNTESTED, judge, show
from dissection.report.rows import ROWS, Row

MARKS = {HOLDS: ("✓", "holds"), FAILS: ("✗", "fails"), UNTESTED: ("○", "untested")}
BASIS = {
    "text": "printed",
    "released_data": "from data that the authors released",
    "figure_pixels": "measured from a released figure",
    "mixed": "partly printed, partly from data or figures that the authors released",
    "none": "none",
}


def write_report(config: Config, out: Path, metrics: Path, benchmarks: Path) -> None:
    """
    out: the HTML file; its links are relative. metrics: JSON of a few numbers a row.
    benchmarks: folder of Snakemake's benchmark files of the profile.
    A row whose table is absent says which assets it waits for; nothing else fails.
    """
    chosen = [ROWS[name] for name, section in config.rows if section is not None]
    tables = {
        row.id: pd.read_csv(path, keep_default_na=False, na_values={})
        for row in chosen
        if (path := paths.table(config.profile, row.id)).exists()
    }
    values = {name: ROWS[name].values(table) for name, table in tables.items()}
    texts = {name: ROWS[name].texts(table) for name, table in tables.items()}
    values |= {name: of for by_entry in texts.values() for name, of in by_entry.items()}
    rows = [
        _row(config, row, list(texts.get(row.id, ())), values, out.parent, benchmarks)
        for row in chosen
    ]
    environment = style.templates(Path(__file__).parent)
    environment.filters["cell"] = _cell
    html = environment.get_template("report.html").render(
        profile=config.profile,
        seed=config.seed,
        synthetic=any(source.scenes for source in config.assets.values()),
        made=len(tables),
        rows=rows,
        tally=sum((row["tally"] for row in rows), Counter()),
        dissections=list(_dissections(config, out.parent)),
    )
    numbers = {
        row["id"]: {
            "claims": {outcome.replace(" ", "_"): row["tally"][outcome] for outcome in MARKS},
            **ROWS[row["id"]].metrics(tables[row["id"]]),
        }
        for row in rows
        if row["id"] in tables
    }
    for path, text in ((metrics, json.dumps(numbers, indent=2) + "\n"), (out, html)):
        with paths.replacing(path) as beside:
            beside.write_text(text, encoding="utf-8")


def number_blocks(paper: Mapping[str, Any], run: Mapping[str, Any]) -> list[dict[str, Any]]:
    """
    Published values and this run's as small tables: the last name of a dotted path is the column, the
    rest is the line; lines that share a column share a table. Values are None where there is none.
    """
    sides = {"published": _by_line(paper), "run": _by_line(run)}
    blocks: list[dict[str, Any]] = []
    for line in dict.fromkeys([*sides["run"], *sides["published"]]):
        cells = {side: values.get(line, {}) for side, values in sides.items()}
        columns = [  # text and lists only where the run has them too
            c
            for c in dict.fromkeys([*cells["published"], *cells["run"]])
            if c in cells["run"] or isinstance(cells["published"][c], int | float | None)
        ]
        if all(of_side.get(c) is None for of_side in cells.values() for c in columns):
            continue
        block = next((b for b in blocks if set(b["columns"]) & set(columns)), None)
        if block is None:
            blocks.append(block := {"columns": [], "lines": []})
        block["columns"] += [c for c in columns if c not in block["columns"]]
        block["lines"].append({"name": line, **cells})
    for block in blocks:
        for line in block["lines"]:
            for side in sides:
                line[side] = [line[side].get(c) for c in block["columns"]]
    return blocks


def _by_line(values: Mapping[str, Any], line: str = "") -> dict[str, dict[str, Any]]:
    """Nested values by the dotted path above their last name."""
    lines: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            lines |= _by_line(value, f"{line}.{name}" if line else name)
        else:
            lines.setdefault(line, {})[name] = value
    return lines


def _row(
    config: Config,
    row: Row,
    texts: list[str],
    values: Mapping[str, Any],
    folder: Path,
    benchmarks: Path,
) -> dict[str, Any]:
    """What the template says of one row. texts: entries of the text it has values for; folder: of the report."""
    paper = published.entry(row.entry or row.id)
    head = {
        "id": row.id,
        "name": row.name,
        "title": row.title,
        "where": paper["where"],
        "tally": Counter[str](),
        "runtime": "",
    }
    if row.id not in values:
        absent = [
            asset
            for asset in row.assets(config)
            if not paths.asset_record(config.profile, asset).exists()
        ]
        absent += [a for a in config.missing(row.uses(config)[1]) if a not in absent]
        reason = f"not available: {', '.join(absent)}" if absent else "not made in this run"
        if own := next((a for a in absent if " " not in a), None):
            reason += f". Your own copy can be given: assets: {{{own}: {{path: <file or folder>}}}}"
        return {**head, "missing": reason}
    claims = [
        _claim(claim, values[name], values)
        for name, entry in ((row.id, paper), *((t, published.entry(t)) for t in texts))
        for claim in entry.get("claims", [])
    ]
    jobs = list(_jobs(config, row, benchmarks))
    known = paper["values"]
    if row.entry:  # an entry of many things, of which the row is about some
        known = {name: value for name, value in known.items() if name in values[row.id]}
    blocks = number_blocks(known, values[row.id])
    for name in texts:
        blocks += number_blocks(published.entry(name)["values"], values[name])
    datasets, networks = row.uses(config)
    svg = paths.figure(config.profile, row.id, "svg")
    lacking = [f"Not available: {', '.join(a)}." for a in [config.lacking(row.id)] if a]
    return {
        **head,
        "missing": "",
        "measures": (measures := paper.get("measures", row.caption))[:1].upper() + measures[1:],
        "datasets": datasets,
        "networks": networks,
        "caption": " ".join([row.caption, *lacking]),
        "figure": _inline(svg) if svg.exists() else "",
        "claims": claims,
        "tally": Counter(claim["outcome"] for claim in claims if claim["counted"]),
        "numbers": blocks,
        "basis": BASIS[paper["basis"]],
        "links": list(_links(config, row, folder)),
        "jobs": jobs,
        "runtime": duration(sum(job["seconds"] for job in jobs)) if jobs else "",
        "settings": _settings(config, row),
    }


def _claim(claim: Mapping[str, Any], values: Mapping, others: Mapping) -> dict[str, Any]:
    """A claim with its verdict on this run. What only checks the published sheet is not counted."""
    counted = claim["kind"] != "consistency"
    if counted:
        verdict = judge(claim["expr"], values, others)
        outcome, detail = verdict.outcome, verdict.detail
    else:
        outcome, detail = UNTESTED, "a relation between published numbers, not a result of a run"
    mark, kind = MARKS[outcome]
    return {**claim, "outcome": outcome, "detail": detail, "counted": counted,
            "mark": mark, "style": kind}  # fmt: skip


def _cell(value: Any) -> str:
    return (
        "–"
        if value is None
        else ", ".join(map(show, value))
        if isinstance(value, list)
        else show(value)
    )


def _jobs(config: Config, row: Row, benchmarks: Path) -> Iterator[dict[str, Any]]:
    """Snakemake's measurements of the jobs behind a row."""
    datasets, networks = row.uses(config)
    dissections = [f"dissect/{d}/{n}" for n in networks for d in datasets]
    judged = [f"quality/{n}" for n in networks if isinstance(getattr(config.rows, row.id), Judged)]
    for job in (*dissections, *judged, f"intervene/{row.id}", row.id, f"figure/{row.id}"):
        path = benchmarks / f"{job}.tsv"
        if path.exists():
            with open(path, encoding="utf-8", newline="") as file:
                measured = next(csv.DictReader(file, delimiter="\t"))
            seconds = float(measured["s"])
            peak = measured["max_rss"]
            memory = f"{float(peak):,.0f} MB" if peak.replace(".", "").isdigit() else "–"
            name = f"table/{job}" if job == row.id else job
            yield {"name": name, "seconds": seconds, "time": duration(seconds), "memory": memory}


def duration(seconds: float) -> str:
    """As `0.4 s`, `12 s`, `3 min 5 s` or `2 h 10 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{rest} s"
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _links(config: Config, row: Row, folder: Path) -> Iterator[dict[str, str]]:
    files = {
        "table (CSV)": paths.table(config.profile, row.id),
        "notebook": paths.figure(config.profile, row.id, "ipynb"),
        "figure (PNG)": paths.figure(config.profile, row.id, "png"),
        "figure (SVG)": paths.figure(config.profile, row.id, "svg"),
    }
    datasets, networks = row.uses(config)
    for dataset in datasets:
        for network in networks:
            files[f"units of {network}"] = _pages(config, dataset, network)
    if isinstance(spec := getattr(config.rows, row.id), Preferred):
        files["pairs for raters"] = paths.quality(config.profile, spec.network) / "index.html"
    for text, path in files.items():
        if path.exists():
            yield {"text": text, "href": os.path.relpath(path, folder)}


def _pages(config: Config, dataset: str, network: str) -> Path:
    return paths.units(config.profile, dataset, network) / "pages" / "index.html"


def _dissections(config: Config, folder: Path) -> Iterator[dict[str, Any]]:
    for entry in config.dissections:
        path = paths.units(config.profile, entry.dataset, entry.network) / "summary.json"
        if path.exists():
            summary = json.loads(path.read_text(encoding="utf-8"))
            pages = _pages(config, entry.dataset, entry.network)
            yield {
                "network": entry.network,
                "dataset": entry.dataset,
                "href": os.path.relpath(pages, folder) if pages.exists() else "",
                "images": f"{summary['images']:,}",
                "layers": len(summary["layers"]),
                "units": f"{sum(layer['units'] for layer in summary['layers'].values()):,}",
                "protocols": ", ".join(entry.protocols),
            }


def _settings(config: Config, row: Row) -> str:
    """The parts of the configuration that decide a row, as YAML."""
    datasets, networks = row.uses(config)
    dissections = [d for d in config.dissections if d.network in networks and d.dataset in datasets]
    chosen = {
        "rows": {row.id: getattr(config.rows, row.id)},
        "dissections": dissections,
        "datasets": {d: config.datasets[d] for d in datasets if d in config.datasets},
        "generated": {d: config.generated[d] for d in datasets if d in config.generated},
        "networks": {n: config.networks[n] for n in networks},
        "quality": {n: config.quality[n] for n in networks if n in config.quality},
        "assets": {a: config.assets[a] for a in row.assets(config) if a in config.assets},
    }
    plain = {
        "seed": config.seed,
        **{key: _plain(value) for key, value in chosen.items() if value},
    }
    return yaml.safe_dump(plain, sort_keys=False, default_flow_style=None, width=96)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.model_dump(
        mode="json", exclude_defaults=True, exclude={"recipe", "adversarial", "inversion"}
    )


def _inline(svg: Path) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg.read_bytes()).decode("ascii")
