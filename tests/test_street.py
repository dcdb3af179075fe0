"""The street profile on a few of its photographs, where they are at hand."""

from pathlib import Path

import pandas as pd
import pytest
import yaml

from conftest import copy_repository

STREET = Path(__file__).parents[2] / "shared" / "street"


@pytest.mark.smoke
@pytest.mark.skipif(not STREET.exists(), reason="needs ../shared/street")
def test_every_row_of_the_street_profile(tmp_path: Path) -> None:
    made = copy_repository(tmp_path / "repository", None)
    file = made.folder / "config" / "street.yaml"
    profile = yaml.safe_load(file.read_text()) | {"downloads": str(STREET)}
    for dataset in profile["datasets"].values():
        dataset["images"] = 40
    profile["dissections"][1]["bases"] = [{"layer": "fire9", "powers": [0.5, 1], "seeds": [1]}]
    file.write_text(yaml.safe_dump(profile, sort_keys=False))
    made.run("snakemake", "--configfile", "config/street.yaml")

    results = made.folder / "results" / "street"
    report = (results / "report.html").read_text()
    for row in profile["rows"]:
        table = pd.read_csv(results / "tables" / f"{row}.csv")
        assert len(table), row
        assert (results / "figures" / f"{row}.png").stat().st_size > 1000
        assert f'id="{row}"' in report
    answered = pd.read_csv(results / "tables" / "table_3_3.csv")
    assert set(answered["raters"]) == {"ground-truth rater"}
    trained, random = (
        pd.read_csv(results / "units" / "labelmefacade" / f"squeezenet_{name}" / "units.csv")
        for name in ("places365", "random")
    )
    fire9 = trained[(trained["layer"] == "fire9") & (trained["protocol"] == "cvpr2017")]
    assert fire9["iou"].mean() > random["iou"].mean()  # photographs were learnt from
