"""What a job leaves: tables and pictures, each written beside its place and renamed."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from PIL import Image

from dissection.paths import replacing

if TYPE_CHECKING:  # tables are made without torch, which takes seconds to start
    from torch import Tensor


def write_csv(table: pd.DataFrame, out: Path) -> None:
    """Without the index, and with six digits of every float."""
    with replacing(out) as path:
        table.to_csv(path, index=False, lineterminator="\n", float_format="%.6g")


def write_png(out: Path, *rows: "Tensor", order: str = "RGB") -> None:
    """Rows of (n, 3, h, w) uint8 images side by side, one row below the other. order: of channels, RGB or BGR."""
    pixels = np.concatenate([np.concatenate(list(row.numpy(force=True)), 2) for row in rows], 1)
    channels = pixels if order == "RGB" else pixels[::-1]
    with replacing(out) as path:
        Image.fromarray(np.ascontiguousarray(channels.transpose(1, 2, 0))).save(path, "PNG")
