"""What is intervened on: a network and a layer of it, and the images of a profile's datasets."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from tqdm import tqdm

from dissection.config import Config
from dissection.data import Dataset
from dissection.errors import DissectionError
from dissection.networks import Preprocess, network_of


@dataclass(frozen=True)
class Subject:
    """name: of the layer, as printed; layer: path of its module."""

    network: nn.Module
    name: str
    layer: str
    preprocess: Preprocess
    device: torch.device
    threads: int

    def images(self, dataset: Dataset, indices: Sequence[int]) -> Tensor:
        """(images, 3, size, size) uint8, in the network's geometry and order of channels."""
        with ThreadPoolExecutor(self.threads) as pool:
            crops = pool.map(lambda i: self.preprocess.crop(dataset.image(i)), indices)
            return torch.stack(list(crops)).to(self.device)

    def batches(self, dataset: Dataset, batch: int, text: str) -> Iterator[tuple[range, Tensor]]:
        """(indices, the network's input) of all images, with a progress bar."""
        starts = range(0, len(dataset), batch)
        for start in tqdm(starts, text, unit="batch", mininterval=1):
            indices = range(start, min(start + batch, len(dataset)))
            yield indices, self.preprocess.normalise(self.images(dataset, indices))

    def classes(self, dataset: Dataset) -> tuple[str, ...]:
        """Names of the network's outputs. Raises DissectionError unless the dataset has as many classes."""
        size = self.preprocess.size
        with torch.no_grad():
            outputs = self.network(torch.zeros(1, 3, size, size, device=self.device)).shape[1]
        if outputs != len(dataset.classes):
            raise DissectionError(
                f"layer {self.name}: its network has {outputs} outputs, the dataset {len(dataset.classes)} "
                "classes; name a dataset with the classes that the network was trained on"
            )
        return dataset.classes


def load_subject(config: Config, network: str, device: torch.device, threads: int) -> Subject:
    """A network of the profile with the last of its `layers`."""
    name, layer = list(config.networks[network].layers.items())[-1]
    module, preprocess = network_of(config, network, device)
    return Subject(module.requires_grad_(False), name, layer, preprocess, device, threads)


def class_number(classes: Sequence[str], name: str, key: str) -> int:
    """Raises DissectionError, naming the key of the profile, if there is no such class."""
    if name not in classes:
        raise DissectionError(f"{key}: no class {name!r}; choices: {', '.join(classes)}")
    return list(classes).index(name)
