"""Results are written beside their place and renamed."""

import numpy as np
import pytest
import torch
from PIL import Image

from dissection.files import write_png
from dissection.paths import replacing


def test_a_failed_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "a" / "table.csv"
    with replacing(path) as beside:
        beside.write_text("first")
    with pytest.raises(FileNotFoundError), replacing(path) as beside:
        (tmp_path / f"absent {beside.write_text('half')}").read_text()
    assert path.read_text() == "first"
    assert list(path.parent.iterdir()) == [path]


def test_what_a_killed_job_left_is_cleared_away(tmp_path):
    path = tmp_path / "table.csv"
    (tmp_path / ".table.csv.partial").write_text("half of a job that was killed")
    with replacing(path) as beside:
        assert not beside.exists()
        beside.write_text("whole")
    assert [p.name for p in tmp_path.iterdir()] == ["table.csv"]


def test_a_picture_has_rows_of_images_side_by_side(tmp_path):
    rows = torch.randint(0, 256, (2, 3, 3, 4, 5), dtype=torch.uint8)
    for order, drawn in ("RGB", rows), ("BGR", rows.flip(2)):
        write_png(tmp_path / "a.png", *drawn, order=order)
        picture = np.asarray(Image.open(tmp_path / "a.png"))
        assert picture.shape == (8, 15, 3)
        assert np.array_equal(picture[4:, 10:], rows[1, 2].permute(1, 2, 0))
