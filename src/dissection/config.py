"""The configuration of a profile, checked before any job runs.

    config = load("config/smoke.yaml")
    config.networks["alexnet_scenes"].layers

One pydantic model per section; an unknown key, a wrong type or a name that is not defined ends in a
`DissectionError` of one line. `python -m dissection.config` prints the JSON schema.
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from dissection.dissect.protocols import PROTOCOLS

ProtocolName = Literal["cvpr2017", "pnas2020"]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Scenes(Section):
    """Synthetic scenes, drawn instead of fetched."""

    format: Literal["broden", "places", "lsun"] = Field(description="on-disk format to write")
    domains: list[str] = Field(default=["all"], description="scene classes or domains to draw; `all` for all")
    images: int = Field(gt=0, description="number of images")
    first: int = Field(default=0, ge=0, description="index of the first image: disjoint ranges give disjoint sets")
    size: int = Field(default=64, ge=32, le=512, description="height and width in pixels")


class Asset(Section):
    """Where this profile takes an asset from, instead of the address in config/assets.yaml."""

    path: Path | None = Field(default=None, description="the user's own copy (a file, an archive or a folder)")
    scenes: Scenes | None = Field(default=None, description="draw it from the synthetic world")


class Dataset(Section):
    """Images in a fixed order, with labels where there are any."""

    reader: Literal["broden", "places", "lsun", "folder", "labelmefacade"] = Field(description="format on disk")
    asset: str = Field(description="asset that holds the files")
    split: str | None = Field(default=None, description="part of the dataset, where the format has splits")
    images: int | None = Field(default=None, gt=0, description="use only the first so many images")


class Input(Section):
    """How an image becomes the input of a network: stretch to `resize`, crop the centre, scale, normalise."""

    size: int = Field(gt=0, description="height and width of the network's input in pixels")
    resize: int | None = Field(default=None, gt=0, description="stretch to this before the centre crop; default: size")
    order: Literal["RGB", "BGR"] = Field(default="RGB", description="channel order")
    mean: list[float] = Field(default=[0.0, 0.0, 0.0], min_length=3, max_length=3,
                              description="subtracted per channel (in `order`), in units of 0 to 255")
    std: list[float] = Field(default=[255.0, 255.0, 255.0], min_length=3, max_length=3,
                             description="divided by per channel after the mean, in units of 0 to 255")
    mean_image: str | None = Field(default=None, description="asset of a Caffe mean image (binaryproto) at `resize`, "
                                   "cropped as the image is and subtracted instead of `mean`")


class Recipe(Section):
    """How the network is trained by `snakemake weights`."""

    dataset: str = Field(description="dataset to train on")
    validation: str = Field(description="dataset to measure accuracy on")
    epochs: int = Field(gt=0, description="passes over the training set")
    batch: int = Field(default=64, gt=0, description="images a step")
    learning_rate: float = Field(gt=0, description="peak learning rate of the one-cycle schedule")
    weight_decay: float = Field(default=5e-4, ge=0, description="decoupled weight decay")
    snapshots: list[int] = Field(default=[], description="iterations at which the weights are kept")


class Network(Section):
    """A torch module, its weights, its input and the layers to look at."""

    module: str = Field(description="`package.module:function` or `file.py:function` that builds the module")
    arguments: dict[str, Any] = Field(default={}, description="keyword arguments of that function")
    weights: str | None = Field(default=None, description="asset of the weights; none: seeded random weights")
    input: Input = Field(description="input convention")
    layers: dict[str, str] = Field(min_length=1, description="layers to look at: printed name -> module path")
    recipe: Recipe | None = Field(default=None, description="how `snakemake weights` trains it")


class Dissection(Section):
    """One network dissected on one dataset, all layers and protocols in one pass."""

    network: str = Field(description="network to dissect")
    dataset: str = Field(description="dataset with labels")
    protocols: list[ProtocolName] = Field(min_length=1, description="definitions of threshold and IoU to apply")
    batch: int = Field(default=10, gt=0, description="images a forward pass")
    top_images: int = Field(default=10, gt=0, description="images kept per unit for its page")


class Table31(Section):
    """Statistics of the labelled dataset by category."""

    dataset: str = Field(description="dataset with labels")


class Fig35(Section):
    """Unique detectors by layer and category."""

    dataset: str = Field(description="dataset the networks were dissected on")
    protocol: ProtocolName = Field(default="cvpr2017", description="protocol to count by")
    networks: dict[str, str] = Field(min_length=1, description="published network name (or any) -> network")


class Rows(Section):
    """Tables and figures to make; an absent row is not made."""

    table_3_1: Table31 | None = Field(default=None, description="Broden statistics by category")
    fig_3_5: Fig35 | None = Field(default=None, description="unique detectors by layer")


class Config(Section):
    """A profile: what to run, on which data, with which networks."""

    profile: str = Field(pattern=r"^[a-z0-9_]+$", description="name; results go to results/<profile>")
    seed: int = Field(default=1, ge=0, description="seed of everything random: scenes, weights, training")
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="where torch runs")
    memory_gb: float = Field(default=4.0, gt=0, description="memory for activations and thresholds of one dissection; "
                             "more of either costs further forward passes, never accuracy")
    downloads: Path | None = Field(default=None, description="folder of the user's own downloads, by published file name")
    assets: dict[str, Asset] = Field(default={}, description="sources that differ from config/assets.yaml")
    datasets: dict[str, Dataset] = Field(default={}, description="datasets by name")
    networks: dict[str, Network] = Field(default={}, description="networks by name")
    dissections: list[Dissection] = Field(default=[], description="what to dissect")
    rows: Rows = Field(default=Rows(), description="tables and figures")
