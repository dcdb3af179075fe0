"""Results are written beside their place and renamed."""

import pytest

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
