"""Run a figure's notebook: it reads a table and draws, nothing else."""

import base64
import os
from pathlib import Path
from typing import Any

import nbformat
import papermill
from papermill.engines import Engine, NotebookExecutionManager, papermill_engines

from dissection.errors import DissectionError
from dissection.paths import replacing

NOTEBOOKS = Path("figures")


class InProcess(Engine):
    """Runs the cells in this process: a kernel of its own takes longer to start than most figures to draw."""

    @classmethod
    def execute_managed_notebook(
        cls, nb_man: NotebookExecutionManager, kernel_name: str, **options: Any
    ) -> None:
        names: dict[str, Any] = {}
        for number, cell in enumerate(nb_man.nb.cells):
            nb_man.cell_start(cell, number)
            if cell.cell_type == "code":
                cell.execution_count = number
                exec(compile(cell.source, f"cell {number}", "exec"), names)
            nb_man.cell_complete(cell, number)


papermill_engines.register("in-process", InProcess)


def run_figure(row: str, table: Path, png: Path, svg: Path, notebook: Path) -> None:
    """
    Execute figures/<row>.ipynb on `table`; keep the executed notebook, with the picture that it made and without dates
    and durations, so that equal tables give equal bytes. Raises DissectionError with the failing cell's error.
    """
    source = NOTEBOOKS / f"{row}.ipynb"
    if not source.exists():
        raise DissectionError(f"{source} is missing: each table or figure has its notebook there")
    for path in (png, svg, notebook):
        path.parent.mkdir(parents=True, exist_ok=True)
    parameters = {"table": str(table), "png": str(png), "svg": str(svg)}
    os.environ["MPLBACKEND"] = "agg"  # no windows
    try:
        done = papermill.execute_notebook(
            source, None, parameters, engine_name="in-process", progress_bar=False
        )
    except Exception as error:
        last = f"{type(error).__name__}: {error}"
        raise DissectionError(f"{source} failed on {table}: {last}") from error
    for metadata in (done.metadata, *(cell.metadata for cell in done.cells)):
        for dated in ("papermill", "execution"):
            metadata.pop(dated, None)
    for number, cell in enumerate(done.cells):
        cell.id = f"cell-{number}"  # papermill names the injected cell at random
    picture = {"image/png": base64.b64encode(png.read_bytes()).decode()}
    done.cells[-1].outputs = [nbformat.v4.new_output("display_data", picture)]
    with replacing(notebook) as path:
        nbformat.write(done, path)
