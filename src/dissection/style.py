"""One look for figures, pages and reports: the colour of each category of concepts, and the axes.

    style.use()
    axis.bar(x, y, color=style.colour("texture"))
    style.save(figure, png, svg)

The web pages share what is in pages/, beside this file.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dissection.paths import replacing

if TYPE_CHECKING:
    import jinja2
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from pandas import DataFrame

CATEGORIES = {  # in the order of the thesis's figures
    "object": "#3f72af",
    "part": "#86b6dc",
    "scene": "#4e9b6f",
    "material": "#8f74b5",
    "texture": "#e3a13f",
    "color": "#c95d4b",
}
INK, PALE = "#2b2f36", "#8a909a"


def templates(folder: Path) -> "jinja2.Environment":
    """The page templates in a folder, and in pages/, which they extend; an undefined name is an error, and all
    text is escaped."""
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, Path(__file__).with_name("pages")]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )


def colour(category: str) -> str:
    """Hex colour of a category, the same everywhere; grey for one that the thesis does not have."""
    return CATEGORIES.get(category, PALE)


def ordered(categories: Iterable[str]) -> list[str]:
    """Categories in the thesis's order, others after them by name."""
    given = set(categories)
    known = [c for c in CATEGORIES if c in given]
    return known + sorted(given - set(known))


def use() -> None:
    """Quiet axes, and drawings whose bytes depend on the data alone."""
    import matplotlib as mpl

    mpl.rcParams.update(
        {
            "axes.axisbelow": True,
            "axes.edgecolor": "#c9cdd3",
            "axes.grid": True,
            "axes.grid.axis": "y",
            "axes.labelcolor": INK,
            "axes.labelsize": 9.5,
            "axes.spines.left": False,
            "axes.spines.right": False,
            "axes.spines.top": False,
            "axes.titlelocation": "left",
            "axes.titlepad": 10,
            "axes.titlesize": 11,
            "figure.dpi": 110,
            "font.size": 9.5,
            "grid.color": "#e8eaed",
            "grid.linewidth": 0.8,
            "legend.frameon": False,
            "savefig.dpi": 160,
            "svg.fonttype": "path",
            "svg.hashsalt": "dissection",
            "text.color": INK,
            "xtick.bottom": False,
            "xtick.color": INK,
            "ytick.color": PALE,
            "ytick.left": False,
        }
    )


def stack(axis: "Axes", counts: "DataFrame", value: str, names: list[str]) -> None:
    """Bars of `value` by category, one on the other, for each of the networks in `names`, with the sum."""
    bars = counts.pivot_table(index="network", columns="category", values=value).loc[names]
    below = 0 * bars.sum(axis=1)
    for category in ordered(map(str, bars)):
        axis.bar(names, bars[category], 0.72, below, color=colour(category), label=category)
        below = below + bars[category].fillna(0)
    for x, total in enumerate(below):
        axis.annotate(f"{total:.0f}", (x, total), (0, 3), textcoords="offset points", ha="center")
    axis.set_ylim(0, 1.1 * max(1, below.max()))
    axis.margins(x=0.02)
    if sum(map(len, names)) > 60:
        axis.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor")


def departures(above: "Axes", below: "Axes", lines: "DataFrame") -> None:
    """
    Classes of things, of which generated images have more or less than photographs. Above: `delta` with its interval,
    in colour where it is `found`, with a number where a bar leaves the frame; below: percent of the image.
    """
    colours = {"omitted": CATEGORIES["color"], "added": CATEGORIES["texture"]}
    x, top = range(len(lines)), 1.15
    above.bar(x, lines["delta"], 0.8, color=[colours.get(f, "#c9cdd3") for f in lines["found"]])
    low, high = (lines[end].clip(-1, 2 * top) for end in ("low", "high"))
    above.vlines(x, low, high, color=INK, linewidth=0.8)
    above.set_ylim(-1.02, top)
    for i, delta in enumerate(lines["delta"]):
        if delta > top:
            above.annotate(
                f"{delta:.1f}",
                (i, top),
                (0, 1),
                textcoords="offset points",
                ha="center",
                fontsize=7.5,
            )
    above.axhline(0, color=PALE, linewidth=0.8)
    below.bar(x, lines["real_percent"], 0.8, color=CATEGORIES["part"], label="photographs")
    made = lines["generated_percent"]
    below.plot(
        x, made.where(made > 0), "o-", color=INK, markersize=3, linewidth=1.2, label="generated"
    )
    below.set_yscale("log")
    for axis in (above, below):
        axis.set_xlim(-0.7, len(lines) - 0.3)
    above.set_xticks([])
    below.set_xticks(x, lines["label"], rotation=50, ha="right", rotation_mode="anchor")


def pairs(rows: "Sequence[Sequence[Axes]]", lines: "DataFrame") -> None:
    """
    Photographs, and below what a generator makes of them by methods d and f; on the right all segmented.

    rows: of two axes, three. lines: parts `image`, of their files, `pair`, of the class that each was chosen for, and
    `label`, of colours.
    """
    import matplotlib.pyplot as plt
    from matplotlib.patches import Patch

    files = lines[lines["part"] == "image"].set_index("name")["file"]
    chosen = lines[lines["part"] == "pair"]
    names = {"photographs": "photograph", "d": "d: G(E(x))", "f": "f: layers"}
    for axes, (name, text) in zip(rows, names.items(), strict=True):
        counted = chosen[chosen["method"] == (name if len(name) == 1 else "f")]
        counts = counted["reconstruction" if len(name) == 1 else "photograph"] / counted["pixels"]
        for axis, file in zip(axes, (name, f"segmented_{name}"), strict=True):
            strip = plt.imread(files[file])
            side = strip.shape[0]
            axis.imshow(strip, interpolation="nearest")
            axis.vlines(
                [i - 0.5 for i in range(side, strip.shape[1], side)],
                -0.5,
                side - 0.5,
                color="white",
            )
            axis.set(xticks=[], yticks=[])
            axis.grid(visible=False)
        axes[0].set_ylabel(text)
        for i in range(strip.shape[1] // side):
            said = f"{counted['label'].iloc[i]} {counts.iloc[i]:.1%}"
            axes[1].text((i + 0.5) * side, -0.04 * side, said, ha="center", va="bottom", fontsize=8)
    some = (chosen["found"] == "omitted").any()
    rows[0][0].set_title(
        "most of the classes found omitted" if some else "no class is found omitted; most of the least drawn",
        fontsize=8, pad=4,
    )  # fmt: skip
    labels = lines[lines["part"] == "label"][:20]
    rows[-1][0].legend(
        handles=[Patch(color=c, label=t) for c, t in zip(labels["colour"], labels["label"], strict=True)],
        loc="upper left", bbox_to_anchor=(0, -0.06), ncols=7, fontsize=8,
        handlelength=1, borderaxespad=0, columnspacing=1.2,
    )  # fmt: skip


def sweep(axis: "Axes", lines: "DataFrame", efficacy: str, label: str) -> None:
    """Efficacy of edits against what else they change: a line a layer, a point a rank."""
    colours = [*CATEGORIES.values(), PALE, INK]
    for number, (layer, some) in enumerate(lines.groupby("layer", sort=False)):
        colour = colours[number % len(colours)]
        axis.plot(some["change"], some[efficacy], "o-", color=colour, label=layer)
        for x, y, rank in zip(some["change"], some[efficacy], some["rank"], strict=True):
            axis.annotate(str(rank), (x, y), (4, 4), textcoords="offset points", fontsize=8)
    axis.set_xlabel("change elsewhere (sum over colours from -1 to 1)")
    axis.set_ylabel(label)
    axis.legend(title="layer; points: rank", fontsize=8)


def save(figure: "Figure", png: str | Path, svg: str | Path) -> None:
    """Write both files, without date or version, each beside and then renamed."""
    with replacing(Path(png)) as path:
        figure.savefig(path, format="png", bbox_inches="tight", metadata={"Software": None})
    with replacing(Path(svg)) as path:
        figure.savefig(path, format="svg", bbox_inches="tight", metadata={"Date": None})


def strip(axis: "Axes", file: str, title: str) -> None:
    """A picture, pixel by pixel, and what it is."""
    import matplotlib.pyplot as plt

    axis.imshow(plt.imread(file), interpolation="nearest")
    axis.set_title(title, loc="left", fontsize=8)
    axis.set_axis_off()


def effect(lines: "DataFrame") -> "Figure":
    """
    An edit and what it does: pictures `selections` and `pairs` (part image), and bars of the percent of pixels, before
    and after (part effect), of its source and target (part edit).
    """
    import matplotlib.pyplot as plt
    import pandas as pd

    figure, (above, middle, below) = plt.subplots(3, 1, figsize=(9, 6), height_ratios=[1.6, 1.6, 1])
    figure.subplots_adjust(hspace=0.3)
    files = lines[lines["part"] == "image"].set_index("name")["file"]
    edit = lines[lines["part"] == "edit"].iloc[0]
    shown = f"object, paste, and {int(edit['context'])} of context; below, what of them is selected"
    strip(above, files["selections"], shown)
    strip(middle, files["pairs"], "highest in the context's direction: unmodified, and changed")
    found = lines[lines["part"] == "effect"]
    measured = found.dropna(axis=1, how="all")
    names = [what for what in ("source", "target") if f"{what}_before" in measured]
    for shift, when, colour_ in ((-0.2, "before", PALE), (0.2, "after", CATEGORIES["object"])):
        shares = [pd.to_numeric(found[f"{what}_{when}"]).mean() for what in names]
        below.barh([at + shift for at in range(len(names))], shares, 0.4, color=colour_, label=when)
    below.set_yticks(range(len(names)), [f"{what}: {edit[what]}" for what in names])
    below.invert_yaxis()
    inside, outside = (pd.to_numeric(found[where]).mean() for where in ("inside", "outside"))
    there = "" if pd.isna(inside) else f"by {inside:.2f} there and "  # the source may be nowhere
    below.set_xlabel(
        f"percent of pixels; colours change {there}by {outside:.2f} elsewhere (0 to 6)"
    )
    below.legend(fontsize=8)
    return figure
