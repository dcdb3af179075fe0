"""Count detectors from the best labels of units (thesis section 3.2.2 and figure 3-5).

    best = best_labels(units)           # one row per unit and category
    count_detectors(best, iou=0.04)     # unique detectors and detector units by category

The thesis and its released figures count in two ways. `by_category`: in every category, the
distinct labels of the units whose best label of that category passes, so that one unit may count
once in each category; this is how the published figures were made. `best_label`: each unit counts
only for its best label of all, as the text says. A figure's total is the sum over its categories.
"""

import pandas as pd

COUNTINGS = ("by_category", "best_label")


def best_labels(units: pd.DataFrame) -> pd.DataFrame:
    """
    units: rows of units.csv of one layer and protocol: unit, `<category>_label`, `<category>_iou`.
    Returns unit, category, label, iou: the best label of each category, unit after unit.
    """
    categories = [c.removesuffix("_label") for c in units.columns if c.endswith("_label")]
    best = [
        units[["unit", f"{c}_label", f"{c}_iou"]]
        .set_axis(["unit", "label", "iou"], axis=1)
        .assign(category=c)
        for c in categories
    ]
    return pd.concat(best).sort_values("unit", kind="stable", ignore_index=True)


def count_detectors(best: pd.DataFrame, iou: float) -> pd.DataFrame:
    """
    best: as returned by `best_labels`; iou: a unit detects a label if its IoU is greater.
    Returns one row per (counting, category), categories in the order of `best`: the number of
    distinct labels detected and of the units that detect one.
    """
    categories = list(dict.fromkeys(best["category"]))
    detecting = best[best["iou"] > iou]
    overall = detecting.sort_values("iou", ascending=False, kind="stable").drop_duplicates("unit")
    rows = []
    for counting, chosen in zip(COUNTINGS, (detecting, overall), strict=True):
        for category in categories:
            of_category = chosen[chosen["category"] == category]
            rows.append((counting, category, of_category["label"].nunique(), len(of_category)))
    columns = ["counting", "category", "unique_detectors", "detector_units"]
    return pd.DataFrame(rows, columns=columns)
