"""From a session to an edit of a network."""

import hashlib
from pathlib import Path

import torch
from torch import Tensor, nn

from dissection.config import Config
from dissection.errors import DissectionError
from dissection.networks import asset_of, module_of
from dissection.networks.progan import latents
from dissection.networks.stylegan2 import StyleGAN2
from dissection.rewrite.directions import key_directions, key_units
from dissection.rewrite.edits import Edit, Rewritten, export
from dissection.rewrite.insert import Goal, erase, insert, paste
from dissection.rewrite.layers import Cut, Memory, memory_of, moments
from dissection.rewrite.sessions import Selection, Session, read_mask
from dissection.stats import SecondMoment


def cut_of(memory: Memory, session: Session, selection: Selection) -> Cut:
    """Of the selection's image."""
    return memory.cut(latents(session.seed, selection.image, 1, latent_of(memory.network)))


def latent_of(network: nn.Module) -> int:
    return network.latent  # type: ignore[return-value] # of a ProGAN or StyleGAN2


def truncate(network: nn.Module, psi: float) -> None:
    """Raises DissectionError if the network has no truncation and psi is not 1."""
    if isinstance(network, StyleGAN2):
        network.truncation = psi
    elif psi != 1:
        raise DissectionError(f"truncation {psi}: a {type(network).__name__} has none; set it to 1")


def selected_keys(memory: Memory, session: Session) -> tuple[Tensor, Tensor]:
    """(places, inputs) keys of the context, and (places,) how much of each is selected."""
    single = session.settings.single
    chosen = session.contexts if single is None else session.contexts[single : single + 1]
    keys, weights = [], []
    for selection in chosen:
        key = cut_of(memory, session, selection).key
        area = read_mask(selection.mask, *key.shape[2:]).to(key).flatten()
        keys.append(key[0].flatten(1).T[area > 0])
        weights.append(area[area > 0])
    return torch.cat(keys), torch.cat(weights)


def goal_of(memory: Memory, session: Session, keys: Tensor, weights: Tensor, moment: Tensor) -> Goal:  # fmt: skip
    settings, target = session.settings, cut_of(memory, session, session.paste)
    if settings.erase is not None:
        units = key_units(keys, weights, moment, settings.erase)
        mask = read_mask(session.paste.mask, *target.key.shape[2:])
        return erase(memory, target, units, None if settings.whole else mask, settings.padded)
    assert session.object is not None
    copied = cut_of(memory, session, session.object)
    size = memory.value(target).shape[2:]
    masks = [read_mask(s.mask, *size).to(memory.device) for s in (session.object, session.paste)]
    return paste(memory, copied, masks[0], target, masks[1], settings.padded)


def rewrite(
    network: nn.Module, layer: str, session: Session, moment: Tensor, progress: bool = False
) -> tuple[Edit, Tensor]:
    """The edit that a session asks for, and its loss by step.

    layer: path of the module; moment: C of its keys. The network is left as it was, but for its truncation, which is
    set to the session's. Raises DissectionError if the session does not suit it.
    """
    truncate(network, session.truncation)
    memory, settings, rewritten = memory_of(network, layer), session.settings, Rewritten(network)
    keys, weights = selected_keys(memory, session)
    moment = moment.to(memory.device)
    directions = None
    if settings.method != "layer":
        directions = key_directions(keys, weights, moment, settings.rank, settings.keys)
        directions = directions.to(memory.weight)
    provenance = {
        "network": session.network, "layer": session.layer, "settings": settings.model_dump_json(),
        "session": hashlib.sha256(session.model_dump_json().encode()).hexdigest(),
    }  # fmt: skip
    edits, losses = list[Edit](), []
    try:
        for _ in range(settings.repeats):
            goal = goal_of(memory, session, keys, weights, moment)
            change, loss = insert(
                goal, memory.weight, directions, settings.method, settings.steps, settings.learning_rate,
                settings.every, settings.low_rank_gradient, settings.patience, progress,
            )  # fmt: skip
            losses.append(loss)
            span = torch.eye(keys.shape[1]).to(change) if directions is None else directions
            edits.append(Edit(memory.name, span, change, provenance))
            rewritten.add(edits[-1])
    finally:
        rewritten.remove(*edits[: len(rewritten.edits)])
    total = torch.stack([edit.change for edit in edits]).sum(0)
    return Edit(memory.name, edits[0].directions, total, provenance), torch.cat(losses)


def gather(config: Config, network: str, layer: str, truncation: float | None, images: int, seed: int, out: Path,
           device: torch.device) -> None:  # fmt: skip
    """Write C of a layer's keys over images of the profile's generator."""
    module, path = _layer(config, network, layer, device)
    if truncation is not None:
        truncate(module, truncation)
    z = latents(seed, 0, images, latent_of(module))
    moments(memory_of(module, path), z).save(out)


def make(
    config: Config, session: Session, moments_file: Path | None, images: int, out: Path,
    device: torch.device,
) -> None:  # fmt: skip
    """Write the edit that a session asks for. moments_file: as `gather` writes; without, of so many images of z."""
    module, path = _layer(config, session.network, session.layer, device)
    truncate(module, session.truncation)
    if moments_file is None:
        z = latents(session.seed, 0, images, latent_of(module))
        found = moments(memory_of(module, path), z)
    else:
        found = SecondMoment.load(moments_file)
    edit, losses = rewrite(module, path, session, found.moment(), progress=True)
    edit.save(out)
    taken = losses[losses.isfinite()]
    print(f"{out}: rank {edit.rank} in {edit.weight}, loss {taken[0]:.4f} to {taken[-1]:.4f}")


def write_weights(config: Config, network: str, files: list[Path], out: Path) -> None:
    """Write the weights of the profile's generator with edits made in them, in the layout that they came in."""
    spec = config.networks[network]
    if spec.weights is None:
        raise DissectionError(f"networks.{network}.weights: missing, so there is no file to edit")
    module = module_of(config, network, torch.device("cpu"))
    export(asset_of(config, spec.weights), module, [Edit.load(file) for file in files], out)


def _layer(config: Config, network: str, layer: str, device: torch.device) -> tuple[nn.Module, str]:
    """The profile's generator, and the path of its layer of that printed name."""
    if network not in config.networks:
        raise DissectionError(
            f"networks.{network}: not in the profile; choices: {', '.join(config.networks)}"
        )
    layers = config.networks[network].layers
    if layer not in layers:
        raise DissectionError(f"networks.{network}.layers.{layer}: choices: {', '.join(layers)}")
    return module_of(config, network, device), layers[layer]
