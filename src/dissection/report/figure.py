"""Run a figure's notebook: it reads a table and draws, nothing else."""

import os
from pathlib import Path

import nbformat
import papermill

from dissection.errors import DissectionError
from dissection.paths import replacing

NOTEBOOKS = Path("figures")


def run_figure(row: str, table: Path, png: Path, svg: Path, notebook: Path) -> None:
    """
    Execute figures/<row>.ipynb on `table`; keep the executed notebook without dates and durations,
    so that equal tables give equal bytes. Raises DissectionError with the failing cell's last line.
    """
    source = NOTEBOOKS / f"{row}.ipynb"
    if not source.exists():
        raise DissectionError(f"{source} is missing: each table or figure has its notebook there")
    for path in (png, svg, notebook):
        path.parent.mkdir(parents=True, exist_ok=True)
    parameters = {"table": str(table), "png": str(png), "svg": str(svg)}
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")  # a debugger's warning
    try:
        done = papermill.execute_notebook(
            source, None, parameters, kernel_name="python3", progress_bar=False
        )
    except papermill.PapermillExecutionError as error:
        last = f"{error.ename}: {error.evalue}"
        raise DissectionError(f"{source} failed on {table}: {last}") from error
    for metadata in (done.metadata, *(cell.metadata for cell in done.cells)):
        for dated in ("papermill", "execution"):
            metadata.pop(dated, None)
    for number, cell in enumerate(done.cells):
        cell.id = f"cell-{number}"  # papermill names the injected cell at random
    with replacing(notebook) as path:
        nbformat.write(done, path)
