"""How well networks do: at what they were trained for, and as features for another task.

    accuracies(config, Path("results/smoke/accuracy.csv"), device)     # of table 3.2, figures 3-11 and 3-13
    transfer(config, "fig_3_12", Path("results/smoke/transfer.csv"), device)

One job for all networks: what takes time is starting torch and reading the images, which they share.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from dissection import paths
from dissection.assets import asset_path
from dissection.config import Config, Input
from dissection.data import Dataset, dataset_of
from dissection.errors import DissectionError
from dissection.files import write_csv
from dissection.networks import Preprocess, network_of
from dissection.networks.train import evaluate, examples, of_classes
from dissection.probe import Probe

BATCH = 100


def accuracies(config: Config, out: Path, device: torch.device) -> None:
    """
    Writes network, parameters, dataset, images, classes, top1 (share of images whose class has the
    highest score; empty without a dataset). Raises DissectionError if the classes are not the network's.
    """
    examples_of: dict[str, tuple[torch.Tensor, list[str]]] = {}
    lines = []
    for name, dataset in tqdm(config.measured(), "accuracy", unit="network"):
        network, preprocess = network_of(config, name, device)
        line = {"network": name, "parameters": sum(p.numel() for p in network.parameters())}
        if dataset is not None:
            recipe = config.networks[name].recipe
            learnt, source = recipe.target if recipe else "class", dataset_of(config, dataset)
            target = "class" if source.concepts.empty else learnt
            key = f"{dataset} {target} {_geometry(config.networks[name].input)}"
            if key not in examples_of:
                examples_of[key] = examples(source, target, preprocess, config.memory_gb)
            classes = list(source.classes) if learnt == "class" else _classes(config, name)
            if target != "object" and (strange := sorted(set(source.classes) - set(classes))):
                raise DissectionError(
                    f"network {name}: {dataset} has a class {strange[0]} that it was not trained for; "
                    "name a dataset in the format of its training set"
                )
            images, names = examples_of[key]
            kept, targets = of_classes(names, classes)
            images = images[kept]
            with torch.inference_mode():
                shown = preprocess.normalise(images[:1].permute(0, 3, 1, 2)).to(device)
                outputs = network(shown).shape[1]
            if outputs != len(classes):
                raise DissectionError(
                    f"network {name}: {outputs} outputs, but {dataset} has {len(classes)} classes"
                )
            top1, _ = evaluate(network, preprocess, images, targets, device)
            line |= {
                "dataset": dataset,
                "images": len(images),
                "classes": len(classes),
                "top1": top1,
            }
        lines.append(line)
    columns = ["network", "parameters", "dataset", "images", "classes", "top1"]
    write_csv(
        pd.DataFrame(lines, columns=columns).astype({"images": "Int64", "classes": "Int64"}), out
    )


def transfer(config: Config, row: str, out: Path, device: torch.device) -> None:
    """
    Writes network, features, svm_c, classes, train_images, test_images, accuracy: a linear support
    vector machine of each network's last layer, every unit's mean over the image, standardised on the
    training images; accuracy is the mean over the classes (thesis 3.3.6).
    """
    from sklearn.metrics import recall_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import LinearSVC

    spec = getattr(config.rows, row)
    sets = [dataset_of(config, name) for name in (spec.train, spec.test)]
    if sets[0].classes != sets[1].classes or len(sets[0].classes) < 2:
        raise DissectionError(f"rows.{row}: {spec.train} and {spec.test} need the same classes")
    names = list(dict.fromkeys(spec.networks.values()))
    pixels: dict[str, list[torch.Tensor]] = {}
    lines = []
    for name in tqdm(names, "features", unit="network"):
        network, preprocess = network_of(config, name, device)
        key = _geometry(config.networks[name].input)
        if key not in pixels:
            pixels[key] = [_pixels(source, preprocess) for source in sets]
        layer = list(config.networks[name].layers.values())[-1]
        with Probe(network, [layer], stop=True) as probe, torch.inference_mode():
            features = [
                np.concatenate([
                    _kept(probe, layer, preprocess.normalise(batch).to(device))
                    for batch in images.split(BATCH)
                ])
                for images in pixels[key]
            ]  # fmt: skip
        targets = [np.array([s.target(i) for i in range(len(s))]) for s in sets]
        machine = make_pipeline(
            StandardScaler(),  # and classes weigh the same, as they are as frequent in action40
            LinearSVC(C=spec.svm_c, dual=False, class_weight="balanced", random_state=config.seed),
        )
        machine.fit(features[0], targets[0])
        accuracy = recall_score(targets[1], machine.predict(features[1]), average="macro")
        lines.append({
            "network": name, "features": features[0].shape[1], "svm_c": spec.svm_c,
            "classes": len(sets[0].classes), "train_images": len(sets[0]),
            "test_images": len(sets[1]), "accuracy": accuracy,
        })  # fmt: skip
    write_csv(pd.DataFrame(lines), out)


def _kept(probe: Probe, layer: str, batch: torch.Tensor) -> np.ndarray:
    probe(batch)
    return probe.kept[layer].mean((2, 3)).cpu().numpy()


def _pixels(dataset: Dataset, preprocess: Preprocess) -> torch.Tensor:
    """(images, 3, size, size) uint8."""
    return torch.stack([preprocess.crop(dataset.image(i)) for i in range(len(dataset))])


def _geometry(spec: Input) -> str:
    return f"{spec.size} {spec.resize} {spec.order}"


def _classes(config: Config, name: str) -> list[str]:
    """What a network of objects tells apart: the manifest beside its weights says it."""
    weights = config.networks[name].weights
    path = asset_path(paths.asset_record(config.profile, weights)) if weights else Path(name)
    manifest = path.with_name("manifest.json")
    try:
        entry = json.loads(manifest.read_text())[path.stem]
        return list(entry["metrics"]["classes"])
    except (OSError, KeyError):
        raise DissectionError(
            f"{manifest}: does not say the classes of {path.stem}; ship it"
        ) from None
