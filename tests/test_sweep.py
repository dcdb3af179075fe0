"""A sweep over layers and ranks: each line is the edit made by itself."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from dissection.config import load
from dissection.errors import DissectionError
from dissection.networks.progan import latents
from dissection.networks.stylegan2 import StyleGAN2
from dissection.rewrite.edits import Rewritten
from dissection.rewrite.job import rewrite
from dissection.rewrite.layers import memory_of, moments
from dissection.rewrite.propagate import example
from dissection.rewrite.select import draw
from dissection.rewrite.sessions import Selection, Session, Settings, mask_url
from dissection.rewrite.sweep import sweep, write

PROFILE = """
profile: tiny
device: cpu
networks:
  church:
    module: dissection.networks.stylegan2:StyleGAN2
    arguments: {latent: 8, widths: [6, 6, 5], style: 8, depth: 2}
    latent: {size: 8}
    layers: {layer3: layer3.activate, layer4: layer4.activate}
"""


@pytest.fixture
def session() -> Session:
    where = np.zeros((16, 16), bool)
    where[4:12, 4:12] = True
    part = {"mask": mask_url(where)}
    return Session(
        network="church", layer="layer4", settings=Settings(steps=15),
        object=Selection(image=2, **part), paste=Selection(image=5, **part),
    )  # fmt: skip


def test_a_line_is_the_edit_by_itself(session):
    torch.manual_seed(0)
    network = StyleGAN2(latent=8, widths=[6, 6, 5], style=8, depth=2).eval()
    before = {name: x.clone() for name, x in network.state_dict().items()}
    layers = {"layer3": "layer3.activate", "layer4": "layer4.activate"}
    table = sweep(network, layers, session, [1, 2, 7], 6)
    assert all(torch.equal(x, before[name]) for name, x in network.state_dict().items())
    # of 6 inputs there are no 7 directions
    assert table[["layer", "rank"]].to_numpy().tolist() == [
        [layer, rank] for layer in layers for rank in (1, 2)
    ]

    line = table.set_index(["layer", "rank"]).loc[("layer4", 2)]
    asked = session.model_copy(update={"settings": Settings(steps=15, rank=2)})
    memory = memory_of(network, "layer4.activate")
    moment = moments(memory, latents(1, 0, 6, 8)).moment()
    edit, losses = rewrite(network, "layer4.activate", asked, moment)
    assert line["loss"] == pytest.approx(float(losses[-1]))
    assert line["loss"] < line["loss_before"]
    z, pair, goal, mask = example(network, session)
    others = latents(2, 0, 6, 8)
    was = draw(network, others)
    Rewritten(network).add(edit)
    change = (draw(network, others).int() - was.int()).abs().sum(1) / 127.5
    assert line["change"] == pytest.approx(float(change.mean()))
    target = ((goal[0] + 1) * 127.5).round().clamp(0, 255)
    far = [(x.float() - target).abs()[:, mask].sum() for x in (draw(network, z)[0], pair[1])]
    assert line["example"] == pytest.approx(1 - float(far[0] / far[1]), abs=0.02)


def test_a_table_and_a_plot(session, tmp_path: Path):
    (tmp_path / "tiny.yaml").write_text(PROFILE)
    profile, out = load(tmp_path / "tiny.yaml"), tmp_path / "found.csv"
    cpu = torch.device("cpu")
    write(profile, session, ["layer3", "layer4"], [1, 2], 5, out, cpu)
    assert len(pd.read_csv(out)) == 4
    assert out.with_suffix(".png").exists()
    with pytest.raises(DissectionError, match="layer9: choices: layer3, layer4"):
        write(profile, session, ["layer3", "layer9"], [1], 5, out, cpu)
