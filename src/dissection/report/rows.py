"""Every table and figure, and how its CSV is written."""

from pathlib import Path

from dissection.config import Config
from dissection.errors import DissectionError
from dissection.files import write_csv
from dissection.report import (
    Row,
    chapter3,
    chapter4,
    chapter4_interventions,
    chapter4_quality,
    chapter4_rating,
    chapter5,
    chapter5_inversion,
    chapter6,
    chapter6_effects,
    chapter6_patches,
    chapter6_propagation,
    chapter6_reflections,
    chapter6_sweep,
    interventions,
)

CHAPTERS: dict[int, tuple[Row, ...]] = {
    3: (*chapter3.ROWS, *interventions.ROWS),
    4: (
        *chapter4.ROWS,
        *chapter4_interventions.ROWS,
        *chapter4_quality.ROWS,
        *chapter4_rating.ROWS,
    ),
    5: (*chapter5.ROWS, *chapter5_inversion.ROWS),
    6: (
        *chapter6.ROWS,
        *chapter6_propagation.ROWS,
        *chapter6_effects.ROWS,
        *chapter6_reflections.ROWS,
        *chapter6_patches.ROWS,
        *chapter6_sweep.ROWS,
    ),
}
ROWS: dict[str, Row] = {row.id: row for rows in CHAPTERS.values() for row in rows}


def write_table(config: Config, row: str, out: Path, threads: int = 1) -> None:
    """The row's CSV. Raises DissectionError if an input is not there."""
    for name, path in ROWS[row].inputs(config).items():
        if not path.exists():
            raise DissectionError(
                f"{row}: {path} ({name}) is missing; make it with snakemake first"
            )
    write_csv(ROWS[row].table(config, threads), out)


def needed(config: Config) -> dict[str, list[str]]:
    """Assets of the profile -> the rows that need them, or go without them as they were never released;
    none, if only a dissection does."""
    found: dict[str, list[str]] = {}
    for row, section in config.rows:
        if section is not None:
            # what is lacking is an asset, or a sentence about weights that are still to be trained
            lacking = [asset for asset in config.lacking(row) if " " not in asset]
            for asset in dict.fromkeys([*ROWS[row].assets(config), *lacking]):
                found.setdefault(asset, []).append(row)
    for entry in config.dissections:
        for asset in config.behind(entry.dataset) + config.networks[entry.network].assets:
            found.setdefault(asset, [])
    return found
