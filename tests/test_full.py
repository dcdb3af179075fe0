"""The full profile, with training and a tiny file in place of each of 84 GB: run by `make full-simulated`."""

import json

import pytest
import yaml

from simulated import simulation

pytestmark = [pytest.mark.simulated, pytest.mark.timeout(3600)]


def test_from_download_to_report(tmp_path):
    with simulation(tmp_path) as made:
        assert "does not answer" not in made.run("dissection", "assets", "check")
        made.run("snakemake", "weights", "--configfile", "config/full.yaml")
        made.run("dissection", "ship", "--config", "config/full.yaml", "--out", "weights/full")
        made.run("snakemake", "--configfile", "config/full.yaml")
    folder = made.folder / "results/full"
    rows = yaml.safe_load((made.folder / "config/full.yaml").read_text())["rows"]
    missing = {"fig_3_12"}  # of pictures that the user has to have
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics.keys() == rows.keys() - missing
    for row in metrics:
        assert (folder / f"tables/{row}.csv").stat().st_size
        assert (folder / f"figures/{row}.png").stat().st_size
    report = (folder / "report.html").read_text()
    assert report.count("not available: ") >= len(missing)
