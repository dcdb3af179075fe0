"""Which layer, which rank? An edit at several of each: what it achieves against what else it changes.

    table = sweep(network, {"layer6": "layer6.activate"}, session, [1, 3, 10], images=1000)

Efficacy is the share of the example, the object pasted into its image, that the edited generator draws there; with a
judge, of the pixels in further images that are to change, those that became the target. Collateral change is that of
those further images, but for what is to change if a judge says where that is.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn
from tqdm import tqdm

from dissection.config import Config, Swept
from dissection.errors import DissectionError
from dissection.files import write_csv
from dissection.networks import module_of, to_pixels
from dissection.networks.progan import latents
from dissection.paths import replacing
from dissection.rewrite.edits import Rewritten
from dissection.rewrite.job import latent_of, rewrite, selected_keys, truncate
from dissection.rewrite.layers import memory_of, moments
from dissection.rewrite.perceptual import outside, pixel_change
from dissection.rewrite.propagate import Domes, example
from dissection.rewrite.select import draw, session_of
from dissection.rewrite.sessions import Session


def sweep(
    network: nn.Module, layers: Mapping[str, str], session: Session, ranks: Sequence[int], images: int,
    judge: Domes | None = None,
) -> pd.DataFrame:  # fmt: skip
    """A line a layer and rank: loss_before and loss of the edit; example, the share of it that is drawn, from 0 (as
    before) to 1; change, mean over pixels of other images of the sum over colours, -1 to 1; with a judge, converted.

    layers: printed name -> path of the module; images: z for the moments, and as many others to measure. Ranks above
    the number of places that the session selects are left out. Raises DissectionError if it copies nothing.
    """
    truncate(network, session.truncation)
    size, rewritten = latent_of(network), Rewritten(network)
    z = latents(session.seed, 0, images, size)
    others = latents(session.seed + 1, 0, images, size)
    at, pair, goal, mask = example(network, session)
    target, before = to_pixels(goal)[0].cpu(), draw(network, others)
    source = torch.zeros_like(before[:, 0], dtype=torch.bool)
    if judge is not None:
        source = judge.source(before)

    def missing(drawn: Tensor) -> float:
        return float(((drawn.int() - target.int()).abs().sum(0) * mask).sum())

    lines = []
    bar = tqdm(total=len(layers) * len(ranks), desc="sweep", unit="edit", mininterval=1)
    for layer, path in layers.items():
        memory = memory_of(network, path)
        moment = moments(memory, z).moment().to(memory.device)
        for rank in ranks:
            bar.update()
            settings = session.settings.model_copy(update={"rank": rank})
            asked = session.model_copy(update={"layer": layer, "settings": settings})
            if rank > min(selected_keys(memory, asked)[0].shape):
                continue
            edit, losses = rewrite(network, path, asked, moment)
            rewritten.add(edit)
            after, drawn = draw(network, others), draw(network, at)[0]
            rewritten.remove(edit)
            change, rest = outside(pixel_change(before, after), source)
            line = {
                "layer": layer, "rank": rank,
                "loss_before": float(losses[0]), "loss": float(losses[losses.isfinite()][-1]),
                "example": 1 - missing(drawn) / missing(pair[1]), "change": float(change.sum() / rest.sum()),
            }  # fmt: skip
            if judge is not None:
                line["converted"] = float(judge.achieved(after, source).sum() / source.sum())
                line["converted_before"] = float(judge.achieved(before, source).sum() / source.sum())  # fmt: skip
            lines.append(line)
    bar.close()
    return pd.DataFrame(lines)


def run(config: Config, row: str, out: Path, device: torch.device) -> None:
    """Write sweep.csv, and session.json with what is asked for."""
    spec: Swept = getattr(config.rows, row)
    network = module_of(config, spec.network, device).requires_grad_(False)
    judge = Domes(config, spec, spec.edit, device)  # type: ignore[arg-type] # of its segmenter
    truncate(network, spec.edit.truncation)
    z = latents(spec.edit.seed, 0, spec.edit.images, latent_of(network))
    session = session_of(
        config, spec.network, spec.edit, lambda: judge.selections(draw(network, z))
    )
    layers = {name: config.networks[spec.network].layers[name] for name in spec.layers}
    with replacing(out) as folder:
        folder.mkdir()
        (folder / "session.json").write_text(session.model_dump_json(indent=1) + "\n")
        write_csv(
            sweep(network, layers, session, spec.ranks, spec.images, judge), folder / "sweep.csv"
        )


def write(
    config: Config, session: Session, layers: Sequence[str], ranks: Sequence[int], images: int, out: Path,
    device: torch.device,
) -> None:  # fmt: skip
    """Write the CSV of a session's sweep, and a plot beside it."""
    import matplotlib.pyplot as plt

    from dissection import style

    if session.network not in config.networks:
        raise DissectionError(
            f"networks.{session.network}: not in the profile; choices: {', '.join(config.networks)}"
        )
    known = config.networks[session.network].layers
    if strange := [name for name in layers if name not in known]:
        raise DissectionError(f"layer {strange[0]}: choices: {', '.join(known)}")
    network = module_of(config, session.network, device).requires_grad_(False)
    table = sweep(network, {name: known[name] for name in layers}, session, ranks, images)
    write_csv(table, out)
    style.use()
    figure, axis = plt.subplots(figsize=(6, 4))
    style.sweep(axis, table, "example", "share of the example that is drawn")
    style.save(figure, out.with_suffix(".png"), out.with_suffix(".svg"))
