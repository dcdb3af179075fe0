"""What a dissection found, read from the files that `dissection dissect` wrote."""

from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.numpy import load_file

from dissection.errors import DissectionError


def iou_of(folder: Path, layer: str, protocol: str, concept: str) -> np.ndarray:
    """(units,) IoU of a layer's units with a concept. Raises DissectionError if the labels have no such concept."""
    concepts = pd.read_csv(folder / "concepts.csv", keep_default_na=False)
    columns = np.flatnonzero(concepts["name"] == concept)
    if not len(columns):
        raise DissectionError(
            f"concept {concept!r}: not in {folder}/concepts.csv; give one that is"
        )
    return load_file(folder / "iou.safetensors")[f"{layer}.{protocol}"][:, columns].max(1)
