"""Do people name the units of a generator as dissection does (thesis A.2)? Question sheets, and a rater by segmenter.

    rate(config, spec, folder, folder / "rating", device)
    evaluation(units, words, ratings)      # a line a unit, as section A.2 counts them

In a first round (words.html) people write one or two words of the highlighted regions of a unit's top images; a word
that stands in half of a unit's answers or more is their consensus. In a second round (index.html) they say whether a
phrase, the label by dissection or the consensus, describes most of the regions. Answers are rows of rater, layer,
unit, source, phrase, answer, as `survey` has them: source `own` in the first round, `dissection` and `written` in the
second.

Images that a generator draws have no true labels. The rater by segmenter sees in a region what the segmenter labels
more than half of its pixels with, halves of things being those things. In the first round each of several such raters
looks at another half of the top images, and writes the thing that more than half of the regions show or, if there is
none, what most of them show. In the second, it looks at all of them. What it cannot tell is how good the segmenter
is, only whether a few top images speak for all images.
"""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tqdm import tqdm

from dissection import style
from dissection.config import Config, Rated
from dissection.dissect.page import GAP, SIDE, Strips, interpolation
from dissection.dissect.protocols import PROTOCOLS
from dissection.dissect.survey import COLUMNS, majority, read_answers
from dissection.files import write_csv
from dissection.generated import generated_of
from dissection.networks import to_pixels
from dissection.paths import replacing
from dissection.probe import Probe
from dissection.segment import segmenter_of

RATER = "rater by segmenter"


class Words:
    """What concepts are called: halves (bed-t) by what they are halves of.

    names: words, in the order of the concepts, the first `things` of them of objects; of: concept -> word;
    index: (numbers,) 1 + index of the word of each concept number, 0 for halves and for none.
    """

    def __init__(self, concepts: pd.DataFrame):
        known = set(concepts["name"])
        self.of = {name: _whole(name, known) for name in concepts["name"]}
        whole = [name for name in concepts["name"] if self.of[name] == name]
        self.names = list(dict.fromkeys(whole))
        self.things = int((concepts["category"][concepts["name"].isin(whole)] == "object").sum())
        self.index = torch.zeros(int(concepts.index.max()) + 1, dtype=torch.int64)
        for number, name in zip(concepts.index, concepts["name"], strict=True):
            if self.of[name] == name:
                self.index[number] = 1 + self.names.index(name)


def _whole(name: str, known: set[str]) -> str:
    half = re.fullmatch(r"(.+)-[tblr]", name)
    return half[1] if half and half[1] in known else name


def shown(regions: torch.Tensor, maps: torch.Tensor, words: int) -> torch.Tensor:
    """
    Whether a region shows a word: more than half of its pixels carry it. regions: (n, units, pixels) bool; maps:
    (n, maps, pixels) 1 + index of a word, 0 for none. Returns (n, units, words) bool.
    """
    there = torch.zeros(len(maps), maps.shape[2], words + 1, device=maps.device)
    there.scatter_(2, maps.transpose(1, 2), 1.0)
    carried = regions.to(there.dtype) @ there[..., 1:]
    return 2 * carried > regions.sum(2, keepdim=True)


@torch.inference_mode()
def rate(config: Config, spec: Rated, folder: Path, out: Path, device: torch.device) -> None:
    """
    words.html, index.html: the sheets. words.csv, ratings.csv: the answers of the raters by segmenter.
    regions.csv: unit, phrase, top, sample (share of the regions of the top images, and of those of all images, that
    show it), images (in which the unit has a region). sample/: a strip a unit of such images, evenly spaced from the
    most active to the least.

    folder: files of the dissection, beside whose `pages` the sheets lie.
    """
    (entry,) = (
        e for e in config.dissections if (e.network, e.dataset) == (spec.network, spec.dataset)
    )
    protocol = PROTOCOLS[spec.protocol]
    table = pd.read_csv(folder / "units.csv", keep_default_na=False)
    table = table[(table["protocol"] == spec.protocol) & (table["layer"] == spec.layer)]
    table = table.sort_values("unit", ignore_index=True)
    segmenter = segmenter_of(config, config.generated[spec.dataset].segmenter, device)
    words, images = Words(segmenter.concepts), generated_of(config, entry, device)
    with safe_open(folder / "top.safetensors", framework="pt") as file:
        top, metadata = file.get_tensor(f"{spec.layer}.images"), file.metadata()
    threshold = torch.tensor(table["threshold"].to_numpy(np.float32), device=device)[:, None, None]
    module = config.networks[spec.network].layers[spec.layer]
    of_top = torch.zeros(*top.shape, len(words.names), dtype=torch.bool)
    in_sample = torch.zeros(len(table), len(words.names), dtype=torch.int64)
    kept, active = [], []
    centres = json.loads(metadata["centres"])[spec.layer]
    with Probe(images.generator, [module]) as probe:
        for start in tqdm(range(0, len(images), entry.batch), "rating", unit="batch"):
            pixels = to_pixels(probe(images.z[start : start + entry.batch].to(device)))
            a, size = probe.kept[module], pixels.shape[-1]
            rows, columns = (
                torch.from_numpy(m).to(device)
                for m in interpolation(
                    protocol, (a.shape[2], a.shape[3]), centres, size, size // protocol.downsample
                )
            )
            labels = segmenter(pixels, protocol.downsample).values()
            maps = torch.cat([words.index[m.long().cpu()].flatten(2) for m in labels], 1)
            regions = (rows @ a @ columns.T > threshold).flatten(2)
            shows = shown(regions, maps.to(device), len(words.names)).cpu()
            in_sample += shows.sum(0)
            where = (top >= start) & (top < start + len(pixels))
            unit, place = where.nonzero(as_tuple=True)
            of_top[unit, place] = shows[top[unit, place] - start, unit]
            kept.append(a.half().cpu())
            active.append(regions.any(2).cpu())
    first, consensus = _first_round(spec, table, of_top, words)
    second = _second_round(spec, table, consensus, of_top, words)
    number = torch.cat(active).sum(0)
    lines = [
        (unit, phrase, of_top[unit, :, w].float().mean().item(), int(number[unit]),
         in_sample[unit, w].item() / max(1, int(number[unit])))
        for unit, phrase in zip(second["unit"], second["phrase"], strict=True)
        for w in [words.names.index(phrase)] if phrase in words.names
    ]  # fmt: skip
    regions_table = pd.DataFrame(lines, columns=["unit", "phrase", "top", "images", "sample"])
    _write_sheets(spec, table, second, top.shape[1], out)
    for name, answers in (("words", first), ("ratings", second), ("regions", regions_table)):
        write_csv(answers.drop_duplicates(), out / f"{name}.csv")
    chosen = spaced(torch.cat(kept).float().amax((2, 3)), torch.cat(active), top.shape[1])
    with replacing(out / "sample") as beside:
        (beside / spec.layer / spec.protocol).mkdir(parents=True)
        maps = torch.cat(kept)[chosen, torch.arange(len(table))[:, None]]
        tensors = {f"{spec.layer}.images": chosen, f"{spec.layer}.maps": maps}
        save_file(tensors, beside / "top.safetensors", metadata)
        strips = Strips(config, entry, images, beside, beside)
        strips.draw(spec.layer, spec.protocol, 0, threshold[:, 0, 0].cpu().numpy())


def spaced(peaks: torch.Tensor, active: torch.Tensor, number: int) -> torch.Tensor:
    """
    (units, number) images of each unit, evenly spaced from the most active one to the least active one that has a
    region. peaks: (images, units); active: (images, units) bool.
    """
    order = peaks.masked_fill(~active, -torch.inf).argsort(dim=0, descending=True, stable=True)
    among = active.sum(0).clamp(min=1)
    place = torch.arange(number) * among[:, None] // number
    return order.T.gather(1, place)


def _first_round(
    spec: Rated, table: pd.DataFrame, of_top: torch.Tensor, words: Words
) -> tuple[pd.DataFrame, pd.Series]:
    """What the raters by segmenter write, and the consensus by unit: theirs, or that of the people who have written."""
    number, lines = of_top.shape[1], []
    for rater in range(spec.raters):
        seen = [(rater * number // spec.raters + j) % number for j in range(max(1, number // 2))]
        count = of_top[:, seen].sum(1)
        most, word = count.max(1)
        things, thing = count[:, : words.things].max(1)
        word = torch.where(2 * things > len(seen), thing, word)
        for unit, (times, best) in enumerate(zip(most.tolist(), word.tolist(), strict=True)):
            phrase = words.names[best] if times else ""
            lines.append((f"{RATER} {rater + 1}", spec.layer, unit, "own", phrase, ""))
    own = pd.DataFrame(lines, columns=COLUMNS)
    people = read_answers(spec.words, ["layer", "unit", "phrase"]) if spec.words else own
    return own, consensus_of(people)["word"]


def _second_round(
    spec: Rated, table: pd.DataFrame, consensus: pd.Series, of_top: torch.Tensor, words: Words
) -> pd.DataFrame:
    """Answers of the rater by segmenter: on each confident label, and on each consensus."""
    confident = table[table["iou"] > PROTOCOLS[spec.protocol].iou]
    asked = [("dissection", u, words.of[label]) for u, label in confident[["unit", "label"]].values]
    asked += [("written", u, word) for u, word in consensus.items() if word]
    lines = []
    for source, unit, phrase in asked:
        found = (
            of_top[unit, :, words.names.index(phrase)]
            if phrase in words.names
            else torch.zeros(1, dtype=torch.bool)
        )
        answer = "yes" if 2 * found.sum() > len(found) else "no"
        lines.append((RATER, spec.layer, unit, source, phrase, answer))
    return pd.DataFrame(lines, columns=COLUMNS)


def _write_sheets(
    spec: Rated, table: pd.DataFrame, second: pd.DataFrame, images: int, out: Path
) -> None:
    template = style.templates(Path(__file__).parent).get_template("survey.html")
    order = np.random.default_rng(0)
    first = table[["layer", "unit"]].assign(source="own", phrase="")
    asked = second[["layer", "unit", "source", "phrase"]]
    for name, questions in (("words", first), ("index", asked)):
        html = template.render(
            network=f"{spec.network} {name}",
            asked=questions.iloc[order.permutation(len(questions))].to_dict("records"),
            strips=f"../pages/LAYER/{spec.protocol}/UNIT.jpg",
            images=images,
            side=SIDE,
            step=SIDE + GAP,
        )
        with replacing(out / f"{name}.html") as path:
            path.write_text(html, encoding="utf-8")


def consensus_of(words: pd.DataFrame) -> pd.DataFrame:
    """
    Index unit; labels (answers of a unit), word (in half of them or more, else ""), share (of them with the most
    common word). An answer has its words and the whole phrase; of equally common ones the longer counts.

    words: rows of unit, phrase.
    """
    lines = {}
    for unit, phrases in words["phrase"].fillna("").astype(str).groupby(words["unit"]):
        counts: dict[str, int] = {}
        for phrase in phrases:
            plain = " ".join(phrase.lower().split())
            for word in {plain, *re.findall(r"\w+", plain)} - {""}:
                counts[word] = counts.get(word, 0) + 1
        best = max(sorted(counts), key=lambda word: (counts[word], len(word)), default="")
        share = counts.get(best, 0) / len(phrases)
        lines[unit] = (len(phrases), best if share >= 0.5 else "", share)
    return pd.DataFrame.from_dict(lines, orient="index", columns=["labels", "word", "share"])


def evaluation(
    units: pd.DataFrame, words: pd.DataFrame, ratings: pd.DataFrame, limit: float
) -> pd.DataFrame:
    """
    A line a unit: unit, label, category, iou, labelled (IoU above the limit), labels, word, share (`consensus_of`),
    same (the label, without which half, is that word), label_rated, word_rated: whether most raters find the label,
    the word, accurate; None where they were not asked.

    units: rows of units.csv of one layer and protocol; words, ratings: answers to the two rounds.
    """
    table = units[["unit", "label", "category", "iou"]].set_index("unit", drop=False)
    table = table.join(consensus_of(words)).fillna({"word": "", "labels": 0})
    whole = [re.sub(r"-[tblr]$", "", label) for label in table["label"]]
    table["labelled"] = table["iou"] > limit
    table["same"] = [a == b and a != "" for a, b in zip(whole, table["word"], strict=True)]
    yes = majority(ratings).droplevel("layer")
    for source, name in (("dissection", "label_rated"), ("written", "word_rated")):
        of = yes[yes.index.get_level_values("source") == source].droplevel("source")
        table[name] = of.reindex(table.index)
    return table.reset_index(drop=True)
