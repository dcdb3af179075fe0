"""The published values, the claims on them, and the counting rule that must reproduce them."""

import pandas as pd
import pytest

from dissection import published
from dissection.dissect.count import best_labels, count_detectors
from dissection.published.claims import FAILS, HOLDS, UNTESTED, judge

CLAIMS = [(e["id"], c) for e in published.entries().values() for c in e.get("claims", [])]
NETWORKS = {  # file of best labels -> (name among the released counts, name in the sheet)
    "caffe_reference_imagenet": ("caffe_reference_imagenet", "alexnet_imagenet"),
    "caffe_reference_places205": ("caffe_reference_places205", "alexnet_places205"),
    "caffe_reference_places365": ("caffe_reference_places365", "alexnet_places365"),
    "ResNet-152-model_imagenet": ("resnet-152-torch-imagenet", "resnet152_imagenet"),
    "ResNet-152-model_places365": ("resnet-152-torch-places365", "resnet152_places365"),
}


@pytest.mark.parametrize(("entry", "claim"), CLAIMS, ids=[c["id"] for _, c in CLAIMS])
def test_claims_on_published_values(entry: str, claim: dict) -> None:
    others = {name: e["values"] for name, e in published.entries().items()}
    verdict = judge(claim["expr"], others[entry], others)
    assert verdict.outcome == {True: HOLDS, False: FAILS, None: UNTESTED}[claim["holds"]], verdict


def test_missing_values_are_named() -> None:
    values = {"a": {"x": 3, "y": None}, "b": 2.5}
    assert judge("a.x > b", values).detail == "3 > 2.5"
    assert judge("a.x > a.y", values).detail == "no value for a.y"
    assert judge("a.x < 0 and E.fig.c == 1", values).detail == "no value for E.fig.c"
    assert judge("max(vals(a)) > 1", values).detail == "no value for a"
    assert judge("a.x / (b - 2.5) > 1", values).outcome == UNTESTED
    assert judge("float > 1", {"float": float("nan")}).outcome == UNTESTED


def test_grammar() -> None:
    values = {"m": {"u": 1, "v": 3}, "n": 2}
    for holds in (
        "m.u < n < m.v", "argmax(m) == 'v' and argmin(m) == 'u'", "sum(vals(m)) / n == 2",
        "nonincreasing([3, 2, 2]) and nondecreasing([m.u, n, m.v])", "abs(-n) == 2 or n == 0",
        "argmax(m) in ('u', 'v')", "round(2.4) == n", "not n > 3", "len(m) == 2",
    ):  # fmt: skip
        assert judge(holds, values).outcome == HOLDS, holds


@pytest.mark.parametrize(
    "expression",
    ["__import__('os').system('true')", "n.__class__", "[x for x in m]", "n ** 9", "open('f')",
     "m['u']", "(lambda: 1)()", "max(m, key=n)", "n if n else n", "f'{n}'", "b'n' == n"],
)  # fmt: skip
def test_nothing_is_executed(expression: str) -> None:
    values = {"m": {"u": 1}, "n": 2}
    try:
        assert judge(expression, values).outcome == UNTESTED
    except ValueError as error:
        assert "grammar" in str(error)  # noqa: PT017 - either answer is safe


@pytest.mark.parametrize("name", NETWORKS)
def test_counting_gives_the_published_numbers(name: str) -> None:
    released, in_sheet = NETWORKS[name]
    units = published.table(f"netdissect_units/{name}_by_category")
    categories = [c for c in units.columns if f"{c}_iou" in units.columns]
    best = best_labels(units.rename(columns={c: f"{c}_label" for c in categories}))
    counts = count_detectors(best, iou=0.04).set_index(["counting", "category"])

    def published_row(table: str) -> pd.Series:
        return published.table(table).set_index("network").loc[released]

    unique, detecting = counts["unique_detectors"], counts["detector_units"]
    expected = published_row("netdissect_cvpr2017_unique_detectors")
    assert unique["by_category"].to_dict() == expected[categories].to_dict()
    assert unique["by_category"].sum() == expected["total"]
    expected = published_row("netdissect_cvpr2017_detector_units")
    assert detecting["by_category"].to_dict() == expected[categories].to_dict()
    assert detecting["best_label"].sum() == expected["units_with_any"]
    sheet = published.entry("netdissect_best_label_counts")["values"][in_sheet]
    assert unique["best_label"].sum() == sheet["unique_best"]
    assert unique["by_category"].sum() == sheet["unique_percategory"]
    overall = published.table(f"netdissect_units/{name}")
    chosen = overall[overall["iou"] > 0.04]
    assert unique["best_label"].to_dict() == {
        c: chosen.loc[chosen["category"] == c, "label"].nunique() for c in categories
    }
