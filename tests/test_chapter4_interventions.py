"""The rows that force units of generators on and off: their values against hand computation, and what jobs write."""

import numpy as np
import pandas as pd
import pytest
import torch

from dissection import paths
from dissection.config import Config
from dissection.errors import DissectionError
from dissection.intervene import objects
from dissection.report.chapter3 import used_by
from dissection.report.rows import ROWS, write_table


def made(config: Config, row: str, **files: str) -> pd.DataFrame:
    """The row's table, as it is read again, from CSVs given as lines with blanks."""
    folder = paths.intervention(config.profile, row)
    folder.mkdir(parents=True)
    for name, lines in files.items():
        text = "\n".join(",".join(line.split()) for line in lines.strip().splitlines())
        (folder / f"{name}.csv").write_text(text + "\n")
    (folder / "before.png").write_bytes(b"")
    write_table(config, row, paths.table(config.profile, row))
    return pd.read_csv(paths.table(config.profile, row))


REMOVAL = """
order units concept images present removed interval
ace   0     tree    12     0.2     0       0
ace   5     tree    12     0.2     0.3     0.1
ace   5     sky     12     0.3     -0.01   0.02
ace   20    tree    12     0.2     0.7     0.2
iou   5     tree    12     0.2     0.25    0.1
"""


def test_removed_by_order(config: Config) -> None:
    table = made(config, "fig_4_4", removal=REMOVAL)
    values = ROWS["fig_4_4"].values(table)
    assert values == {
        "ace": {"n5": 0.3, "n10": None, "n20": 0.7},
        "iou": {"n5": 0.25, "n10": None, "n20": None},
    }
    image = table[table["part"] == "image"]
    assert image["name"].tolist() == ["before"]


CONTEXTS = """
concept category locations images effect deviation interval sample
window  part     30        8      0.5    0.1       0.05     9
window  object   20        7      0.4    0.1       0.04     9
tree    object   90        9      0.01   0.1       0.03     9
sky     object   90        9      0.0    0.1       0.02     9
"""


def test_contexts_by_published_name(config: Config) -> None:
    """Of a name that stands for several concepts, the one with the largest effect counts."""
    table = made(config, "pnas_fig_4", removal=REMOVAL.replace("ace", "iou"), contexts=CONTEXTS)
    values = ROWS["pnas_fig_4"].values(table[table["removed"] != 0.25])
    assert values["d_added"] == {"window": 0.5, "tree": 0.01}
    assert values["d_error"] == {"window": 0.05, "tree": 0.03}
    assert values["a_units"] == [0, 5, 20]
    assert values["a_removed"] == [0, 0.3, 0.7]
    assert values["a_removed_at"]["n20"] == 0.7
    assert values["a_removed_at"]["n30"] is None
    assert values["a_band_at_20"] == pytest.approx({"low": 0.5, "high": 0.9})
    text = ROWS["pnas_fig_4"].texts(table)["pnas_text_tree_ablation"]
    assert text == {"reduction": 0.7, "units": 20, "images": 12}


def test_layers_by_visibility(config: Config) -> None:
    """The peak is that of all locations, and a kind that has none is not there."""
    layers = """
    layer  visible locations effect interval
    layer4 True    2         0.1    0.01
    layer4 False   8         0.05   0.01
    layer5 True    2         0.9    0.01
    layer5 False   8         0.1    0.01
    layer6 True    2         0.2    0.01
    layer6 False   8         0.3    0.01
    """
    values = ROWS["fig_a_6"].values(made(config, "fig_a_6", layers=layers))
    assert values["peak_layer"] == 6  # 2.8 over all locations; layer5 2.6
    assert values["effect_at_peak"] == {"visible": 0.2, "not_visible": 0.3}
    assert values["effect_at_4"] == {"visible": 0.1, "not_visible": 0.05}
    assert values["locations"] == {"visible": 2, "not_visible": 8}


def test_searched_units_are_read_as_written(config: Config) -> None:
    folder = paths.causal(config.profile, "scenes", "a") / "tree"
    folder.mkdir(parents=True)
    (folder / "units.csv").write_text(
        "unit,alpha,rank,value,iou\n0,.2,3,1,.5\n1,.9,1,2,.1\n2,.4,2,3,.2\n"
    )
    found = objects.read_units(config, "scenes", "a", "tree")
    assert found.order.tolist() == [1, 2, 0]
    assert found.strongest(2).tolist() == pytest.approx([0, 0.9, 0.4])
    assert found.value.tolist() == [1, 2, 3]


def test_concepts_by_name() -> None:
    concepts = pd.DataFrame(
        {"name": ["door", "tree", "door"]}, index=pd.Index([1, 2, 3], name="number")
    )
    assert objects.number_of(concepts, "door") == 1
    with pytest.raises(DissectionError, match="ghost"):
        objects.number_of(concepts, "ghost")


def test_maps() -> None:
    maps = torch.arange(12.0).view(2, 2, 3)
    for size, high, wide in (((1, 1), 1 / 2, 1 / 3), ((2, 1), 1 / 3, 1 / 3)):  # of a cell
        lines = objects.map_lines(maps, "change", size)
        assert np.allclose(lines["high"], size[0] * high)
        assert np.allclose(lines["wide"], wide)
        at = lines.assign(
            y=(lines["y"] / high).round().astype(int), x=(lines["x"] / wide).round().astype(int)
        )
        assert np.allclose(at["y"] * high, lines["y"])
        assert np.allclose(at["x"] * wide, lines["x"])
        places = at[["example", "y", "x", "change"]].itertuples(index=False)
        assert all(maps[i, y, x] == v for i, y, x, v in places)
    assert objects.most(torch.tensor([1, 5, 5, 2]), 3).tolist() == [1, 2, 3]


def test_rows_know_their_networks(config: Config) -> None:
    """What a row's search needs: the generators, and what labels their images."""
    assert config.rows.fig_4_10
    assert config.rows.fig_4_9
    assert config.rows.pnas_fig_4
    assert config.rows.fig_4_10.caused() == {"church": ("a", "window"), "bedroom": ("b", "window")}
    assert config.rows.fig_4_9.caused() == {"window": ("a", "window"), "person": ("a", "tree")}
    assert config.rows.pnas_fig_4.caused() == {}
    assert config.searched("scenes", "a") == ["tree", "window"]
    assert config.searched("scenes", "b") == ["window"]
    assert used_by("fig_4_10")(config) == (["scenes"], ["a", "b", "parser"])
