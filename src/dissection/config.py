"""The configuration of a profile, checked before any job runs.

    config = load("config/smoke.yaml")
    config.networks["alexnet_scenes"].layers

One pydantic model per section; an unknown key, a wrong type or a name that is not defined ends in a
`DissectionError` of one line that names the key and the choices. Whether the layers exist, the
networks themselves are asked (`dissection config check`), for that needs torch.
"""

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)

from dissection import paths
from dissection.errors import DissectionError

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]  # becomes a file name
ProtocolName = Literal["cvpr2017", "iclr2019", "pnas2020"]
Numbers = list[Annotated[int, Field(ge=0)]]
Sizes = list[Annotated[int, Field(gt=0)]]
Share = Annotated[float, Field(gt=0, lt=1)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Scenes(Section):
    """Synthetic scenes, drawn instead of fetched."""

    format: Literal["broden", "places", "lsun"] = Field(description="on-disk format to write")
    domains: list[str] = Field(
        default=["all"], description="scene classes or domains to draw; `all` for all"
    )
    images: int = Field(gt=0, description="number of images")
    first: int = Field(
        default=0, ge=0, description="index of the first image: disjoint ranges give disjoint sets"
    )
    size: int = Field(default=64, ge=32, le=512, description="height and width in pixels")
    close: bool = Field(
        default=False,
        description="fewer and larger things, for networks of few pixels: churches and rooms only",
    )
    split: Literal["train", "val"] = Field(
        default="val", description="split named by the folders and lists (Broden splits by hash)"
    )
    attributes: list[str] = Field(
        default=[],
        description="for places: those (attributes, or objects shown) that are true of an image name"
        " its class, instead of its scene",
    )


class Asset(Section):
    """Where this profile takes an asset from, instead of the address in config/assets.yaml."""

    path: Path | None = Field(
        default=None, description="the user's own copy (a file, an archive or a folder)"
    )
    sha256: str | None = Field(default=None, description="hash that the file at `path` must have")
    scenes: Scenes | None = Field(default=None, description="draw it from the synthetic world")

    @model_validator(mode="after")
    def _one_source(self) -> "Asset":
        if (self.path is None) == (self.scenes is None):
            raise ValueError("give either path or scenes")
        return self


class Dataset(Section):
    """Images in a fixed order, with labels where there are any."""

    reader: Literal["broden", "places", "lsun", "folder", "labelmefacade"] = Field(
        description="format on disk"
    )
    asset: str = Field(description="asset that holds the files")
    split: str | None = Field(
        default=None, description="part of the dataset, where the format has splits"
    )
    images: int | None = Field(default=None, gt=0, description="use only the first so many images")
    segmenter: str | None = Field(
        default=None,
        description="what labels the images for a dissection, instead of labels of their own",
    )


class Input(Section):
    """How an image becomes a network's input: stretch to `resize`, crop the centre, normalise."""

    size: int = Field(gt=0, description="height and width of the network's input in pixels")
    resize: int | None = Field(
        default=None, gt=0, description="stretch to this before the centre crop; default: size"
    )
    order: Literal["RGB", "BGR"] = Field(default="RGB", description="channel order")
    mean: list[float] = Field(
        default=[0.0, 0.0, 0.0],
        min_length=3,
        max_length=3,
        description="subtracted per channel (in `order`), in units of 0 to 255",
    )
    std: list[float] = Field(
        default=[255.0, 255.0, 255.0],
        min_length=3,
        max_length=3,
        description="divided by per channel after the mean, in units of 0 to 255",
    )
    mean_image: str | None = Field(
        default=None,
        description="asset of a Caffe mean image (binaryproto) at `resize`, "
        "cropped as the image is and subtracted instead of `mean`",
    )


class Recipe(Section):
    """How the network is trained by `snakemake weights`."""

    dataset: str = Field(description="dataset to train on")
    validation: str = Field(description="dataset to measure accuracy on")
    target: Literal[
        "class", "object", "hybrid", "context", "puzzle", "egomotion", "tracking", "moving", "videoorder",
        "audio", "crosschannel", "colorization", "objectcentric", "parsing", "attributes", "finding",
    ] = Field(
        default="class",
        description="what to learn: the class of an image, of an object cut out, both, a self-supervised task,"
        " the labels of every pixel, or, of some concepts, whether they are true of an image or where it shows them",
    )  # fmt: skip
    concepts: list[str] = Field(default=[], description="those to learn of, for the last two")
    further: list[tuple[str, str]] = Field(
        default=[], description="further datasets to train on, each with its own to validate on"
    )
    seed: int | None = Field(default=None, ge=0, description="another seed than the profile's")
    epochs: int = Field(gt=0, description="passes over the training set")
    batch: int = Field(default=64, gt=0, description="images a step")
    learning_rate: float = Field(gt=0, description="learning rate, at its highest")
    weight_decay: float = Field(default=5e-4, ge=0, description="weight decay")
    drop: int = Field(
        default=0,
        ge=0,
        description="iterations after which the rate falls to a tenth, again and again, under SGD with"
        " momentum 0.9, as Caffe trains; 0: AdamW under a one-cycle schedule",
    )
    snapshots: list[int] = Field(default=[], description="iterations at which the weights are kept")

    def sets(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The datasets to train on, and those to validate on."""
        train, validation = zip((self.dataset, self.validation), *self.further, strict=True)
        return train, validation

    @property
    def datasets(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(sum(self.sets(), ())))


class Latent(Section):
    """The input of a generator: z, of independent standard normal numbers."""

    size: int = Field(gt=0, description="numbers in z")


class Adversarial(Section):
    """How the generator is trained, against a critic, by `snakemake weights`."""

    dataset: str = Field(description="dataset to learn to draw")
    loss: Literal["nonsaturating", "wgan-gp"] = Field(
        default="nonsaturating",
        description="logistic with R1, or Wasserstein with gradient penalty",
    )
    seed: int | None = Field(default=None, ge=0, description="another seed than the profile's")
    iterations: int = Field(gt=0, description="steps of the generator, and of the critic")
    growth: int = Field(
        default=0,
        ge=0,
        description="iterations at 4 pixels, then to fade each further resolution in, and at each but"
        " the last; 0: the last from the start",
    )
    batch: int = Field(default=32, gt=0, description="images a step")
    learning_rate: float = Field(default=2e-3, gt=0, description="of Adam")
    critic_rate: float | None = Field(default=None, gt=0, description="the critic's, if another")
    penalty: float = Field(gt=0, description="weight of the gradient penalty")
    every: int = Field(
        default=16,
        gt=0,
        description="iterations from one penalty to the next, which counts for all",
    )
    averaging: int = Field(
        default=10000,
        gt=0,
        description="half-life of the averaged generator, in images; a tenth of those shown at"
        " its resolution, if that is less",
    )
    critic: list[int] = Field(
        min_length=1, description="units of the critic at 4, 8, 16 ... pixels"
    )
    stddev: bool = Field(default=True, description="the critic sees how much a batch varies")
    snapshots: list[int] = Field(default=[], description="iterations at which the weights are kept")

    @property
    def datasets(self) -> tuple[str, ...]:
        return (self.dataset,)


class Inversion(Section):
    """How an encoder learns, on what a generator draws, to invert it (thesis 5.3.2), by `snakemake weights`."""

    generator: str = Field(description="generator to invert")
    layered: bool = Field(
        default=True,
        description="each layer's network first by itself; false: the whole from the start (method b)",
    )
    loss: Literal["thesis", "released"] = Field(
        default="thesis",
        description="L1 (eq. 5.3), or, as in the authors' code, cosine distances and squared errors",
    )
    right: float = Field(default=0.01, ge=0, description="lambda_R of eq. 5.3")
    seed: int | None = Field(default=None, ge=0, description="another seed than the profile's")
    batch: int = Field(default=32, gt=1, description="z a step")
    layer_steps: int = Field(default=0, ge=0, description="steps of the network of each layer")
    image_steps: int = Field(default=0, ge=0, description="... of the one that sees the image")
    joint_steps: int = Field(default=0, ge=0, description="... of all together")
    learning_rate: float = Field(
        default=1e-3, gt=0, description="of Adam at the start; it falls to 0 along a cosine"
    )
    joint_rate: float = Field(default=1e-4, gt=0, description="... of all together, if layered")

    @property
    def datasets(self) -> tuple[str, ...]:
        return ()

    @property
    def snapshots(self) -> list[int]:
        return []


class Network(Section):
    """A torch module, its weights, its input and the layers to look at.

    A generator has a `latent` instead of an `input`, which is then None, and is trained by `adversarial`
    instead of a `recipe`; the encoder of a generator by `inversion`.
    """

    module: str = Field(
        description="`package.module:function` or `file.py:function` that builds the module"
    )
    arguments: dict[str, Any] = Field(default={}, description="keyword arguments of that function")
    weights: str | None = Field(
        default=None,
        description="asset of the weights; none: those that it was trained to, or seeded random ones",
    )
    input: Input = Field(  # type: ignore[assignment] # what takes images has one; a generator, None
        default=None, description="input convention, of a network of images"
    )
    latent: Latent | None = Field(default=None, description="input of a generator of images")
    layers: dict[Name, str] = Field(
        min_length=1, description="layers to look at: printed name -> module path"
    )
    recipe: Recipe | None = Field(default=None, description="how `snakemake weights` trains it")
    adversarial: Adversarial | None = Field(default=None, description="... a generator")
    inversion: Inversion | None = Field(default=None, description="... the encoder of a generator")

    @model_validator(mode="after")
    def _image_or_latent(self) -> "Network":
        if (self.input is None) == (self.latent is None):
            raise ValueError("missing input (input convention), or latent of a generator")
        if ((self.recipe or self.inversion) and self.latent) or (self.adversarial and self.input):
            raise ValueError(
                "recipe and inversion are for a network of input, adversarial for one of latent"
            )
        if self.recipe and self.inversion:
            raise ValueError("recipe and inversion: give one")
        return self

    @property
    def training(self) -> Recipe | Adversarial | Inversion | None:
        return self.recipe or self.adversarial or self.inversion

    @property
    def assets(self) -> list[str]:
        """What it is made of."""
        mean_image = self.input.mean_image if self.input else None
        return [asset for asset in (self.weights, mean_image) if asset]


class Segmenter(Section):
    """A network that names what every pixel shows."""

    network: str = Field(description="network with heads for objects, parts and materials")
    labels: str = Field(
        description="asset of the classes of its heads: labels.json, or a folder that has one"
    )
    vocabulary: str = Field(
        default="netpqc",
        pattern="^netp?q?c?$",
        description="labels to give: net: objects, materials, parts of sky, building and person;"
        " p: parts of all objects; q: halves of each object (-t, -l, -b, -r); c: colours",
    )
    sizes: Sizes = Field(
        default=[], description="sides of the squares that images are scaled to; none: of its input"
    )


class Features(Section):
    """What the Fréchet distance compares: a layer's units, their means over the image."""

    name: str = Field(description="what tables call them; FID-Inception only if that it is")
    network: str = Field(description="network of the profile")
    layer: str = Field(description="printed name of the layer")


class Generated(Section):
    """Images that a generator draws, in place of a dataset: those of whichever generator is dissected on it."""

    segmenter: str = Field(description="what labels them")
    images: int = Field(gt=0, description="number of images, and of z")
    seed: int = Field(
        default=1,
        ge=0,
        description="seed of z; thresholds by concept are chosen on as many images of the next seed",
    )


class Basis(Section):
    """A layer seen in random bases too: Q^power for rotations Q drawn uniformly, one for each seed."""

    layer: str = Field(description="printed name of the layer")
    powers: list[Annotated[float, Field(gt=0, le=1)]] = Field(
        min_length=1, description="powers of Q; 0 would be the layer itself"
    )
    seeds: Numbers = Field(min_length=1, description="a rotation for each")


class Search(Section):
    """How the units that cause a concept are searched for (thesis 4.3.2, A.4); the released code's defaults."""

    layer: str = Field(default="layer4", description="printed name of the generators' layer")
    protocol: ProtocolName = Field(
        default="iclr2019", description="protocol of the IoU to begin with"
    )
    images: int = Field(
        default=10000, gt=0, description="z that may have a location with it, and as many without"
    )
    seeds: tuple[int, int] = Field(default=(10, 11), description="of those z")
    places: int = Field(
        default=1000, gt=0, description="locations with it, and without, to learn from"
    )
    held_out: int = Field(default=200, gt=0, description="of either, to choose the best alpha by")
    tries: int = Field(default=5, gt=0, description="locations of an image tried as candidates")
    size: tuple[int, int] = Field(
        default=(1, 1),
        description="cells of the layer that a location is high and wide; a small image's objects cover several",
    )
    epochs: int = Field(default=10, ge=0, description="passes over the locations")
    batch: int = Field(default=20, gt=0, description="of either kind, for one step of Adam")
    learning_rate: float = Field(default=0.01, gt=0, description="of Adam")
    l2: float = Field(
        default=0.005, ge=0, description="lambda of eq. 4.6, on the sum of the squares of alpha"
    )
    seed: int = Field(default=1, ge=0, description="of the locations tried, and of their order")


class Quality(Section):
    """How realistic a generator's images are, by unit of a layer and without some (thesis 4.4.2, A.1, A.3)."""

    real: str = Field(description="dataset of images that were not generated")
    layer: str = Field(default="layer4", description="printed name of the layer")
    images: int = Field(default=200000, gt=1, description="number of z")
    seed: int = Field(default=1, ge=0, description="of z")
    top: int = Field(
        default=10000,
        gt=1,
        description="images that stand for a unit: those that it is most active on; likewise for a set",
    )
    units: int = Field(default=20, gt=0, description="units ablated together; of 512 in the thesis")
    flagged: Numbers = Field(
        default=[],
        description="artifact units, as a person flags them on the pages of the layer's units",
    )
    pairs: int = Field(
        default=1000, gt=0, description="images with and without units that raters compare"
    )


class Omission(Section):
    """How photographs and generated images are compared class by class (thesis 5.3.1, 5.4)."""

    segmenter: str = Field(description="what labels both; its objects count")
    images: int = Field(
        default=10000,
        gt=1,
        description="generated images of a sample, and photographs; twice as many of these",
    )
    size: int = Field(
        default=256, gt=0, description="photographs: pixels that the central square is scaled to"
    )
    seed: int = Field(default=1, ge=0, description="of z, and of the choice of photographs")
    classes: int = Field(
        default=30, gt=0, description="classes that figures show: the most frequent"
    )
    level: float = Field(
        default=0.01,
        gt=0,
        lt=1,
        description="probability that the test finds any class where there is none to find",
    )
    permutations: int = Field(default=10000, gt=0, description="of the test")
    replicates: int = Field(default=200, gt=0, description="of the bootstrap of the distance")
    splits: int = Field(
        default=20,
        ge=0,
        description="times that the photographs are parted in two, for the noise floor",
    )
    sizes: list[Annotated[int, Field(gt=1)]] = Field(
        default=[], description="further numbers of images at which the noise floor is measured"
    )

    @model_validator(mode="after")
    def _fits(self) -> "Omission":
        if max(self.sizes, default=0) > self.images:
            raise ValueError(f"sizes: {max(self.sizes)}, more than the {self.images} images")
        return self


class Reconstruction(Section):
    """How images are inverted (thesis 5.3.2): norms are means over components. Settings are the thesis's, or where it
    has none the authors' code's."""

    network: str = Field(description="V of eq. 5.5: network of images")
    layer: str = Field(description="printed name of its layer; the authors' is relu4_2")
    raw: bool = Field(
        default=False,
        description="V sees images from -1 to 1, not as it was trained, as in the authors' code",
    )
    weight: float = Field(default=1.0, ge=0, description="lambda_V of eq. 5.5")
    regularization: float = Field(default=1.0, ge=0, description="lambda_reg of eq. 5.5")
    perturbed: Sizes | None = Field(
        default=None,
        description="layers that have a delta; none: all n. In the authors' code all but the last",
    )
    steps: int = Field(default=3000, gt=0, description="of Adam, over the deltas (method f)")
    learning_rate: float = Field(default=0.01, gt=0, description="at the start; halved three times")
    z_steps: int = Field(default=3000, gt=0, description="... over z (methods a, c and e)")
    z_rate: float = Field(default=0.01, gt=0, description="... over z")
    z_loss: Literal["thesis", "released"] = Field(
        default="thesis",
        description="of methods c and e: that of eq. 5.5, or, as in the authors' code, pixels and the encoder's z",
    )
    batch: int = Field(default=16, gt=0, description="images inverted at once")
    double: bool = Field(
        default=False,
        description="in float64, in which the batch makes no difference and steps cost three times as much",
    )
    seed: int = Field(
        default=1, ge=0, description="of z of generated images; of the choice of photographs"
    )


class Layered(Section):
    """Images as several layers of a network see them."""

    network: str = Field(description="network of the profile")
    layers: list[str] = Field(
        min_length=1, description="printed names of its layers, from fine to coarse"
    )
    size: int | None = Field(
        default=None, gt=0, description="that images are scaled to; none: as they are"
    )


class Perceptual(Layered):
    """How far apart two images look, by LPIPS (Zhang et al. 2018)."""

    name: str = Field(description="what tables call it; LPIPS only if that it is")
    heads: str | None = Field(
        default=None, description="asset of the published weights of the layers' units; none: 1"
    )


class Attribute(Section):
    """An attribute of faces, as a classifier tells it."""

    network: str = Field(description="network of the profile")
    output: int = Field(default=0, ge=0, description="its output for it; above 0 it is there")
    shape: tuple[int, int] | None = Field(
        default=None,
        description="height and width that images are scaled to; none: its input's size",
    )


class Finder(Section):
    """Where an image shows something."""

    network: str = Field(
        description="network of the profile, with a score for each class and pixel"
    )
    classes: Numbers = Field(
        default=[1], min_length=1, description="its outputs that count, from 0"
    )


class Judging(Section):
    """What the edits of chapter 6 are judged by (tables 6.1 to 6.3)."""

    perceptual: Perceptual | None = Field(default=None, description="of undesired changes")
    smile: Attribute | None = Field(default=None, description="of smiles")
    mouth: Finder | None = Field(default=None, description="where a face may change")
    earring: Finder | None = Field(default=None, description="of the concept `earring`")
    glasses: Finder | None = Field(default=None, description="of the concept `glasses`")
    text: Finder | None = Field(default=None, description="of watermarks")
    correspondence: Layered | None = Field(
        default=None, description="of images, along which a baseline carries an example"
    )


class Dissection(Section):
    """One network dissected on one dataset, all layers and protocols in one pass."""

    network: str = Field(description="network to dissect")
    dataset: str = Field(description="dataset with labels; for a generator, one of `generated`")
    protocols: list[ProtocolName] = Field(
        min_length=1, description="definitions of threshold and IoU to apply"
    )
    batch: int = Field(default=10, gt=0, description="images a forward pass")
    bases: list[Basis] = Field(default=[], description="layers to be dissected in random bases too")
    top_images: int = Field(default=10, gt=0, description="images kept per unit for its page")
    pages: bool = Field(default=True, description="draw pages of its units to browse")


class Table31(Section):
    """Statistics of the labelled dataset by category."""

    dataset: str = Field(description="dataset with labels")


class Counts(Section):
    """Detectors of several networks, all dissected on one dataset; in the last of their `layers`."""

    dataset: str = Field(description="dataset the networks were dissected on")
    protocol: ProtocolName = Field(default="cvpr2017", description="protocol to count by")
    networks: dict[str, str] = Field(
        min_length=1, description="published name (or any) -> network that stands for it"
    )
    elsewhere: dict[str, str] = Field(
        default={}, description="network -> its dataset, where that is another one"
    )

    def on(self, network: str) -> str:
        """The dataset it was dissected on."""
        return self.elsewhere.get(network, self.dataset)


class Accurate(Counts):
    """Detectors beside the accuracy of the networks."""

    validation: str | None = Field(default=None, description="dataset to measure accuracy on")


class Transfer(Counts):
    """Detectors beside the accuracy of a linear classifier of the layer's pooled features."""

    train: str = Field(description="dataset of another task, to train the classifier on")
    test: str = Field(description="dataset to test it on")
    svm_c: float = Field(default=0.001, gt=0, description="C of the support vector machine")


class OfOne(Section):
    """One dissected network."""

    dataset: str = Field(description="dataset the network was dissected on")
    protocol: ProtocolName = Field(default="pnas2020", description="protocol of labels and IoU")
    network: str = Field(description="network of the profile")


class Rotated(OfOne):
    """Detectors of one layer in its own basis and in the dissection's random `bases`."""

    protocol: ProtocolName = Field(default="cvpr2017", description="protocol to count by")
    layer: str = Field(description="layer of those bases")


class Tested(Section):
    """A line of table 3.2."""

    network: str = Field(description="network of the profile")
    training: Literal["none", "supervised", "self"] = Field(description="kind of training")
    architecture: str = Field(description="as printed")
    task: str = Field(description="published name of its training set or task")
    validation: str | None = Field(
        default=None, description="dataset with labels to measure its accuracy on"
    )


class Table32(Section):
    """The networks tested."""

    networks: list[Tested] = Field(min_length=1, description="a line each")


class Table33(OfOne):
    """Units' labels judged by people, or by a rater who knows the true labels."""

    protocol: ProtocolName = Field(default="cvpr2017", description="protocol of labels and regions")
    phrases: Path | None = Field(
        default=None, description="CSV of what people wrote of the units: layer, unit, phrase"
    )
    answers: list[Path] = Field(
        default=[], description="CSVs saved by the raters' page; none: the ground-truth rater's"
    )
    second_answers: list[Path] = Field(
        default=[], description="CSVs of a second group of raters, for human consistency"
    )


class Detector(Section):
    """One unit as a detector of a concept, by its peak activation."""

    concept: str = Field(description="concept; the unit is the one that matches it best")
    train: str = Field(description="dataset on which the threshold is chosen")
    train_present: list[str] = Field(
        min_length=1,
        description="classes, or labels where there are no classes, of its images with it",
    )
    test: str = Field(description="dataset to test the threshold on")
    test_present: list[str] = Field(min_length=1, description="classes or labels there")


class PnasFig1(OfOne):
    """The labels of a network's last layer, the counts of all layers, and one unit as a detector."""

    detector: Detector | None = Field(default=None, description="a unit of its last layer")


class PnasFig2(OfOne):
    """How much each class depends on each unit of a network's last layer."""

    train: str = Field(description="dataset on which units are ranked")
    validation: str = Field(description="dataset on which they are removed together")
    scene: str = Field(description="class that stands for the published ski_resort")
    top: int = Field(default=4, gt=0, description="units that count as important to a class")
    many: int = Field(default=20, gt=0, description="units that a class's accuracy is to rest on")
    counts: Numbers = Field(
        default=[], description="numbers of units to remove together; none: all numbers"
    )
    every_count: list[str] = Field(
        default=[], description="classes for which all numbers are removed all the same"
    )


class PnasFig5(OfOne):
    """Adversarial images, and the units that they change. Units are ranked as for pnas_fig_2, on its network."""

    validation: str = Field(description="dataset whose images are attacked")
    example: tuple[str, str] = Field(
        description="classes that stand for the published ski_resort and bedroom: an image of the"
        " first is made the second"
    )
    targets: list[str] = Field(min_length=1, description="classes to make of other images")
    images: int = Field(gt=0, description="images attacked for each target")
    top: int = Field(default=4, gt=0, description="units that count as important to a class")
    steps: int = Field(default=5, gt=0, description="steps of the binary search for c")
    iterations: int = Field(default=1000, ge=10, description="gradient steps for each c")
    learning_rate: float = Field(default=5e-3, gt=0, description="of Adam")
    constant: float = Field(default=1e-2, gt=0, description="first c")
    confidence: float = Field(default=0, ge=0, description="margin of the target's score")


class SingleImage(OfOne):
    """One image, and the units without which it is taken for something else."""

    validation: str = Field(description="dataset with the image")
    scene: str = Field(description="class of the image; baseball_field in the talk")
    image: int | None = Field(
        default=None, ge=0, description="its number; none: a right one that few units change"
    )


class Matched(Counts):
    """Units of generators by the concept that they match best."""

    protocol: ProtocolName = Field(default="iclr2019", description="protocol to count by")
    layers: dict[str, str] = Field(
        default={},
        description="published layer -> layer that stands for it; none: all, by their own names",
    )


class Variants(Matched):
    """Generators by their training: what their units match, and how far their images are from real ones."""

    real: str = Field(description="dataset that they learned to draw")
    concepts: list[str] = Field(default=[], description="concepts whose best units are shown")
    images: int = Field(
        default=16384, gt=0, description="real and generated images that are compared"
    )
    seed: int = Field(default=3, ge=0, description="of z, and of where patches are taken")


class Unit(Section):
    """One unit of a generator."""

    network: str = Field(description="generator")
    layer: str = Field(description="printed name of its layer")
    concept: str = Field(description="concept; the unit is the one that matches it best")
    published: str | None = Field(default=None, description="published value that it stands for")


class Dissected(Section):
    """Generators that were dissected."""

    dataset: str = Field(description="generated images that they were dissected on")
    protocol: ProtocolName = Field(default="iclr2019", description="protocol of labels and regions")


class Units(Dissected):
    """Single units of generators, and the images that move them most."""

    networks: list[Unit] = Field(min_length=1, description="the units")


class PnasFig3(Dissected):
    """The concepts of all layers of a generator, the units of one, and one of these as a classifier."""

    protocol: ProtocolName = Field(default="pnas2020", description="protocol to count by")
    network: str = Field(description="generator")
    layer: str = Field(default="layer5", description="layer whose units are shown")
    concept: str = Field(default="window", description="the unit is the one that matches it best")
    area: float = Field(
        default=0.05, ge=0, lt=1, description="share of an image from which on it has the concept"
    )


class Forced(Section):
    """Units of one layer of generators (`search.layer`) forced on or off, in images of their own."""

    dataset: str = Field(description="generated images that the generators were dissected on")
    images: int = Field(default=1000, gt=0, description="number of z")
    seed: int = Field(default=3, ge=0, description="of z")
    units: int = Field(default=20, gt=0, description="units forced together")

    def caused(self) -> dict[str, tuple[str, str]]:
        """Published name -> the generator and the concept whose causal units are searched for."""
        return {}


class Caused(Forced):
    """The units that cause a concept in a generator's images."""

    network: str = Field(description="generator")
    concept: str = Field(description="concept")

    def caused(self) -> dict[str, tuple[str, str]]:
        return {self.concept: (self.network, self.concept)}


class Removed(Caused):
    """A concept removed by more and more units."""

    others: list[str] = Field(default=[], description="concepts that are to stay")
    counts: Numbers = Field(default=list(range(21)), description="numbers of units ablated")
    shown: Numbers = Field(
        default=[0, 5, 10, 20], min_length=1, description="those of the pictures"
    )


class Traced(Caused):
    """A concept inserted at one location at a time."""

    high: Share | None = Field(
        default=None,
        description="units are forced to what they exceed at this share; none: to their mean at the concept (A.4)",
    )


class Inserted(Traced):
    """A concept inserted, by what is there."""

    contexts: dict[str, str] = Field(
        default={}, description="published name -> concept that stands at the location"
    )
    least: int = Field(default=1, gt=0, description="locations that a context is to be met at")


class PnasFig4(Removed, Inserted):
    """One concept removed and another inserted, by the units that match them best."""

    protocol: ProtocolName = Field(default="pnas2020", description="protocol of IoU")
    inserted: str = Field(description="what is inserted; `concept` is removed")
    insertions: int = Field(gt=0, description="the first so many z, for that")
    high: Share | None = Field(
        default=0.005, description="units are forced to what they exceed at this share"
    )

    def caused(self) -> dict[str, tuple[str, str]]:
        return {}


class RemovedEach(Forced):
    """Concepts of one generator, each removed by its own units."""

    network: str = Field(description="generator")
    concepts: dict[Name, str] = Field(min_length=1, description="published name -> concept")

    def caused(self) -> dict[str, tuple[str, str]]:
        return {name: (self.network, concept) for name, concept in self.concepts.items()}


class RemovedFrom(Forced):
    """One concept removed from several generators' images."""

    networks: dict[Name, str] = Field(min_length=1, description="published name -> generator")
    concept: str = Field(description="concept")

    def caused(self) -> dict[str, tuple[str, str]]:
        return {name: (network, self.concept) for name, network in self.networks.items()}


class Judged(Section):
    """A generator of the profile's `quality`."""

    network: str = Field(description="generator")


class Preferred(Judged):
    """... and what raters prefer."""

    answers: list[Path] = Field(
        default=[], description="CSVs saved by the raters' page; none: preference is not measured"
    )


class JudgedUnits(Judged, Dissected):
    """... with the images and labels of its units."""


class Filtered(JudgedUnits):
    """Units of realistic images only."""

    limit: float | None = Field(
        default=None,
        gt=0,
        description="distance from which on a unit's images are unrealistic; none: what a tenth of units reach",
    )


class Shown(JudgedUnits):
    """Single units."""

    shown: Numbers = Field(
        default=[], description="the units; none: the two of the most unrealistic images"
    )


class Banner(Dissected):
    """The units of a generator that draw a banner of text, switched off."""

    network: str = Field(description="generator")
    layer: str = Field(default="layer4", description="printed name of its layer")
    train: str | None = Field(
        default=None, description="scenes with labels, to learn from what a banner looks like"
    )
    concept: str = Field(default="text", description="what banners are made of, among those labels")
    label: str = Field(default="text", description="... among the segmenter's")
    given: Numbers = Field(
        default=[], description="the units, if they are known; none: found by what they draw"
    )
    images: int = Field(default=1000, gt=0, description="z to find units on, and as many to test")
    seeds: tuple[int, int] = Field(default=(1, 3), description="of those z")
    most: int = Field(default=20, gt=0, description="of these images, those with most banner count")
    counts: Sizes = Field(default=[1, 2, 4, 7], description="numbers of units ablated")
    draws: int = Field(default=5, gt=0, description="as many random sets of units as well")
    units: int = Field(default=2, gt=0, description="units ablated in the pictures")
    shown: int = Field(default=10, gt=0, description="images of the pictures")

    @model_validator(mode="after")
    def _given_or_found(self) -> "Banner":
        if self.train is None and not self.given:
            raise ValueError("missing train (labelled scenes to find units by), or the units given")
        return self


class Rated(Dissected):
    """Units of a generator's layer named by people, or by a rater who goes by the segmenter's labels."""

    network: str = Field(description="generator whose units are judged")
    layer: str = Field(default="layer4", description="printed name of its layer")
    words: list[Path] = Field(
        default=[], description="CSVs saved by the raters' page words.html; none: by segmenter"
    )
    answers: list[Path] = Field(
        default=[], description="CSVs saved by their page index.html; none: by segmenter"
    )
    raters: int = Field(default=5, gt=0, description="raters by segmenter, in the first round")


class Omitted(Section):
    """Photographs and what generators draw of them, compared class by class, as `omission` says."""

    dataset: str = Field(description="photographs that the generators have learned from")
    networks: dict[Name, str] = Field(min_length=1, description="published name -> generator")


class Inverted(Section):
    """Images inverted, as `reconstruction` says."""

    network: str = Field(description="generator")
    networks: dict[Literal["layered", "direct"], str] = Field(
        min_length=1,
        description="encoders that invert it: `layered` by layers, `direct` end to end",
    )
    shown: int = Field(default=6, gt=0, description="images that the figure shows of a kind")


class OmittedPairs(Omitted):
    """... with photographs that are full of what a generator omits, and what it makes of them."""

    networks: dict[Name, str] = Field(
        min_length=1, max_length=1, description="published name -> generator"
    )
    encoder: str | None = Field(default=None, description="encoder that inverts it by layers")
    pairs: int = Field(default=20, gt=0, description="photographs to reconstruct")
    shown: int = Field(default=4, gt=0, description="... that the figure shows")

    @property
    def inverted(self) -> Inverted | None:
        if self.encoder is None:
            return None
        (generator,) = self.networks.values()
        return Inverted(network=generator, networks={"layered": self.encoder})


class InversionMethods(Inverted):
    """Methods to invert a generator, compared."""

    dataset: str = Field(description="photographs")
    images: int = Field(default=100, gt=0, description="generated images")
    photographs: int = Field(default=6, gt=0, description="photographs")


class InvertedGroups(Inverted):
    """Photographs of several kinds, inverted."""

    networks: dict[Literal["layered"], str] = Field(  # type: ignore[assignment] # narrower
        min_length=1, description="its encoder"
    )
    datasets: dict[Literal["train", "holdout", "indoor", "outdoor"], str] = Field(
        min_length=1, description="photographs by group"
    )
    images: int = Field(default=100, gt=0, description="of each group")


class Edited(Section):
    """A generator edited, as chapter 6 edits it."""

    network: str = Field(description="generator")
    segmenter: str | None = Field(default=None, description="what says where something is")


class Rewriting(Section):
    """One rewrite of a generator: what was selected, by a person or by rule, and how it is made (thesis 6.4, B.5)."""

    layer: str = Field(description="printed name of its layer")
    session: str | None = Field(
        default=None, description="asset with the selections; none: they are made by rule"
    )
    source: str | None = Field(default=None, description="concept that changes")
    target: str | None = Field(default=None, description="concept that it becomes")
    aligned: bool = Field(
        default=False, description="it goes where it is in its own image, as in pictures of faces"
    )
    filled: bool = Field(
        default=False, description="it fills the box of what changes, as a wall does a window's"
    )
    images: int = Field(default=1000, gt=0, description="drawn for the rule to select from")
    context: int = Field(
        default=4,
        gt=0,
        description="regions that the rule selects as context, the pasted one first",
    )
    rank: int = Field(default=1, ge=1, description="number of directions")
    steps: int = Field(default=2001, ge=1, description="of Adam")
    learning_rate: float = Field(default=0.05, gt=0, description="of Adam")
    moments: int = Field(default=1000, gt=0, description="images whose keys give C")
    seed: int = Field(default=1, ge=0, description="of the z of all these")
    truncation: float = Field(default=1.0, ge=0, description="psi; 1: none")


class Swept(Edited):
    """A rewrite at several layers and ranks."""

    edit: Rewriting = Field(description="what is asked for; layer and rank are the sweep's")
    layers: list[str] = Field(min_length=1, description="printed names")
    ranks: list[int] = Field(min_length=1, description="numbers of directions")
    images: int = Field(default=1000, gt=0, description="further images, to measure")


class Reflected(Edited):
    """A rule between two things that are apart, inverted (thesis 6.5.3, B.6)."""

    dataset: str = Field(description="generated images that it was dissected on")
    protocol: ProtocolName = Field(default="iclr2019", description="protocol of IoU")
    concept: str = Field(default="window", description="what units add and remove")
    surfaces: list[str] = Field(
        default=["table", "countertop"], min_length=1, description="concepts with reflections"
    )
    layer: str = Field(default="layer4", description="layer of the units")
    units: int = Field(default=20, gt=0, description="units of the highest IoU")
    on: float = Field(default=10.0, description="value of units that add")
    off: float = Field(default=-5.0, description="value of units that remove")
    target: str = Field(default="layer8", description="layer whose features are swapped")
    masks: str | None = Field(
        default=None, description="asset with the authors' posneg.json; none: chosen by segmenter"
    )
    candidates: int = Field(default=1000, gt=0, description="images to choose pairs from")
    pairs: int = Field(default=15, gt=0, description="pairs of scenes")
    search_steps: int = Field(default=100, gt=0, description="of Adam, at each layer")
    search_rate: float = Field(default=0.02, gt=0, description="of Adam, at each layer")
    steps: int = Field(default=10001, gt=0, description="of Adam, at the layer of the lowest loss")
    rate: float = Field(default=0.01, gt=0, description="of Adam, there")
    every: int = Field(default=10, gt=0, description="steps from one projection to the next")
    images: int = Field(default=1000, gt=0, description="further images, to measure")
    shown: int = Field(default=6, gt=0, description="... that the figure shows")


class Isolated(Section):
    """Parts of layers of generators rendered alone (thesis B.7)."""

    networks: dict[Name, str] = Field(min_length=1, description="published name -> generator")
    sides: list[int] = Field(default=[32, 64, 128], min_length=1, description="pixels of patches")
    images: int = Field(
        default=50_000, gt=1, description="patches of each size, and as many to compare"
    )
    shown: int = Field(default=4, gt=0, description="images that the figures show")
    side: int = Field(default=32, gt=0, description="pixels of the patches that they show")
    seed: int = Field(default=1, ge=0, description="of z, and of places")


class IsolatedShown(Section):
    """... and what that looks like; of a row `Isolated` with this network."""

    network: str = Field(description="generator")


class Edit(Section):
    """A concept added to a photograph, or removed."""

    concept: str = Field(description="concept, by the units that cause it")
    onto: str | None = Field(
        default=None,
        description="concept to add it to, where it is not yet; none: it is removed where it is",
    )


class PhotoEdited(Forced):
    """Photographs inverted as `reconstruction` says, a generator adapted to each, and edits of them by units."""

    network: str = Field(description="generator")
    networks: dict[Literal["layered"], str] = Field(min_length=1, description="its encoder")
    real: str = Field(description="dataset of photographs")
    photographs: int = Field(default=6, gt=0, description="photographs")
    edits: dict[Name, Edit] = Field(min_length=1, description="what is done to each")
    size: tuple[int, int] = Field(
        default=(2, 2), description="cells of the layer that what is added is high and wide"
    )
    high: Share | None = Field(
        default=None, description="units that add are forced to what they exceed at this share"
    )
    steps: int = Field(default=1000, gt=0, description="of Adam, over the weights")
    learning_rate: float = Field(default=0.01, gt=0, description="at the start; halved three times")
    weight: float = Field(default=1.0, ge=0, description="of R(theta)")

    def caused(self) -> dict[str, tuple[str, str]]:
        return {name: (self.network, edit.concept) for name, edit in self.edits.items()}


class Propagated(Edited):
    """Edits carried to all that a generator draws, by every method."""

    edits: dict[Name, Rewriting] = Field(
        min_length=1,
        description="by published name: smile, spire, tree; smile: of mouths, by `judging`",
    )
    images: int = Field(default=10000, gt=0, description="edited and measured")
    first: int = Field(
        default=0, ge=0, description="seed of the z of the first; the next have the next"
    )
    shown: int = Field(default=6, gt=0, description="of these, in pictures")
    finetune_steps: int = Field(default=2001, gt=0, description="of Adam, of all weights")
    finetune_rate: float = Field(default=0.0001, gt=0, description="its learning rate")


class Pictured(Section):
    """Pictures of what other rows compute."""

    rows: list[Name] = Field(min_length=1, description="these")


class Sampled(Edited):
    """Edits measured on what the generator draws; a job makes them for all such rows of a generator."""

    shown: int = Field(default=12, gt=0, description="images that the figure shows")

    def judges(self, config: "Config") -> list[str]:
        """The networks that it needs."""
        segmenter = [config.segmenters[self.segmenter].network] if self.segmenter else []
        finders = [config.finder(concept) for concept in self.looked_for()]
        return [self.network, *segmenter, *dict.fromkeys(f.network for f in finders if f)]

    def looked_for(self) -> list[str]:
        """What `judging` may have finders of."""
        return []


class Unmarked(Sampled):
    """Watermarks removed (thesis 6.5.2), as `judging.text` finds them."""

    edit: Rewriting = Field(description="the erasure of rank one; `context` annotated images")
    images: int = Field(default=1000, gt=0, description="in which watermarks are counted")
    units: tuple[int, int] = Field(
        default=(30, 60), description="units to zero, of 512: the same shares of a layer of fewer"
    )
    validation: str = Field(description="dataset with true masks, to validate `judging.text` on")

    def looked_for(self) -> list[str]:
        return ["text"]


class Recalled(Sampled):
    """Keys that match a context across images, and values rendered alone (figure 6-2)."""

    segmenter: str = Field(description="what says where something is")
    edit: Rewriting = Field(description="`layer`, and the images whose keys are looked at")
    concepts: list[str] = Field(
        min_length=1, description="a key for each, of the largest region of it"
    )


class Changed(Sampled):
    """An edit, on the images that score highest in the direction of its context (appendix B)."""

    segmenter: str = Field(description="what says where something is")
    edit: Rewriting = Field(
        description="`target` none: the source is removed; the same as the source: it grows"
    )
    middle: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="share of the width, in the middle of the image, where the source's regions count",
    )

    def looked_for(self) -> list[str]:
        return [concept for concept in (self.edit.source, self.edit.target) if concept]


class Stacked(Sampled):
    """Edits of one generator, one upon the other (figure 6-1); first that of rows.table_6_3."""

    segmenter: str = Field(description="what says where something is")
    edits: dict[Name, Rewriting] = Field(min_length=1, description="what it is -> edit")


class Rows(Section):
    """Tables and figures to make; an absent row is not made."""

    table_3_1: Table31 | None = Field(default=None, description="Broden statistics by category")
    table_3_2: Table32 | None = Field(default=None, description="networks tested")
    table_3_3: Table33 | None = Field(default=None, description="evaluation of units' labels")
    fig_1_4: Rotated | None = Field(default=None, description="natural and random basis")
    fig_3_4: Rotated | None = Field(default=None, description="unique detectors under rotation")
    fig_3_5: Counts | None = Field(default=None, description="unique detectors by layer")
    fig_3_6: Counts | None = Field(default=None, description="best units of deep networks")
    fig_3_7: Counts | None = Field(default=None, description="unique detectors by architecture")
    fig_3_8: Counts | None = Field(default=None, description="unique detectors by supervision")
    fig_3_9: Counts | None = Field(default=None, description="best units of self-supervised ones")
    fig_3_10: Counts | None = Field(
        default=None, description="unique detectors by iteration: `networks` by iteration"
    )
    fig_3_11: Accurate | None = Field(default=None, description="... by regularisation")
    fig_3_12: Transfer | None = Field(default=None, description="... against another task")
    fig_3_13: Accurate | None = Field(default=None, description="... by width of the layer")
    pnas_fig_1: PnasFig1 | None = Field(default=None, description="VGG-16 dissected")
    pnas_fig_2: PnasFig2 | None = Field(default=None, description="classes that rest on few units")
    pnas_fig_5: PnasFig5 | None = Field(default=None, description="units changed by an attack")
    fig_slides_single_image: SingleImage | None = Field(
        default=None, description="one image without each unit"
    )
    fig_4_3: Units | None = Field(default=None, description="top images of units of generators")
    fig_4_5: Matched | None = Field(default=None, description="units of generators by scene")
    fig_4_6: Matched | None = Field(default=None, description="... by layer")
    fig_4_7: Variants | None = Field(default=None, description="... by variant of training")
    fig_a_7: Matched | None = Field(
        default=None, description="... by iteration of training: `networks` by iteration"
    )
    fig_a_8: Matched | None = Field(default=None, description="... of all layers")
    pnas_fig_3: PnasFig3 | None = Field(default=None, description="a generator dissected")
    fig_4_4: Removed | None = Field(default=None, description="trees removed by tree units")
    fig_4_9: RemovedEach | None = Field(default=None, description="five classes removed")
    fig_4_10: RemovedFrom | None = Field(default=None, description="windows removed from scenes")
    fig_4_11: Inserted | None = Field(default=None, description="doors inserted, by what is there")
    fig_a_6: Traced | None = Field(default=None, description="insertions traced through layers")
    pnas_fig_4: PnasFig4 | None = Field(
        default=None, description="trees removed and doors inserted, by IoU"
    )
    table_4_1: Preferred | None = Field(default=None, description="artifact units ablated")
    table_a_1: Judged | None = Field(default=None, description="... chosen by hand or by distance")
    fig_4_8: JudgedUnits | None = Field(default=None, description="... and images repaired")
    fig_a_1: JudgedUnits | None = Field(
        default=None, description="distances by unit, and the artifact units that they tell"
    )
    fig_a_2: Judged | None = Field(default=None, description="images repaired by either choice")
    fig_a_4: Shown | None = Field(default=None, description="units that draw unrealistic images")
    fig_a_5: Filtered | None = Field(default=None, description="units by concept without those")
    fig_slides_banner: Banner | None = Field(default=None, description="banner units switched off")
    sec_a_2_human_eval: Rated | None = Field(default=None, description="people's names of units")
    fig_a_3: Rated | None = Field(default=None, description="units that they name otherwise")
    fig_5_1: OmittedPairs | None = Field(
        default=None, description="objects that churches go without"
    )
    fig_5_2: Omitted | None = Field(default=None, description="two generators of bedrooms")
    fig_5_4: Omitted | None = Field(
        default=None, description="photographs against photographs; and a generator, for comparison"
    )
    fig_5_5: OmittedPairs | None = Field(
        default=None, description="objects that bedrooms go without"
    )
    table_5_1: Omitted | None = Field(default=None, description="Fréchet segmentation distance")
    fig_5_6: InversionMethods | None = Field(
        default=None, description="methods to invert, compared"
    )
    fig_5_7: InvertedGroups | None = Field(default=None, description="photographs by bedrooms")
    fig_5_8: InvertedGroups | None = Field(default=None, description="... by churches")
    fig_6_6: Reflected | None = Field(default=None, description="windows and reflections")
    fig_sweep: Swept | None = Field(default=None, description="an edit by layer and rank")
    fig_b_7: Isolated | None = Field(
        default=None, description="patches of StyleGAN2 rendered alone, their distances by layer"
    )
    fig_b_8: IsolatedShown | None = Field(default=None, description="... of churches, as pictures")
    fig_b_9: IsolatedShown | None = Field(default=None, description="... of kitchens")
    fig_b_10: Isolated | None = Field(default=None, description="... of Progressive GAN")
    fig_b_11: IsolatedShown | None = Field(default=None, description="... of churches, as pictures")
    fig_b_12: IsolatedShown | None = Field(default=None, description="... of kitchens")
    fig_slides_photo_edit: PhotoEdited | None = Field(
        default=None, description="photographs edited by units of generators adapted to them"
    )
    table_6_1: Propagated | None = Field(default=None, description="smiles, by every method")
    table_6_2: Propagated | None = Field(default=None, description="spires and trees for domes")
    fig_6_4: Pictured | None = Field(default=None, description="... in pictures")
    fig_6_1: Stacked | None = Field(default=None, description="three successive edits")
    fig_6_2: Recalled | None = Field(default=None, description="keys matched, values rendered")
    fig_6_3: Pictured | None = Field(default=None, description="copy, paste, context of a row")
    table_6_3: Unmarked | None = Field(default=None, description="watermarks removed")
    fig_6_5: Pictured | None = Field(default=None, description="... in pictures")
    fig_b_1: Changed | None = Field(default=None, description="hats added")
    fig_b_2: Changed | None = Field(default=None, description="something made longer")
    fig_b_3: Changed | None = Field(default=None, description="main windows removed")
    fig_b_4: Changed | None = Field(default=None, description="fewer trees before buildings")
    fig_b_5: Changed | None = Field(default=None, description="earrings removed")
    fig_b_6: Changed | None = Field(default=None, description="glasses removed")


class Config(Section):
    """A profile: what to run, on which data, with which networks."""

    profile: str = Field(
        pattern=r"^[a-z0-9_]+$", description="name; results go to results/<profile>"
    )
    seed: int = Field(
        default=1, ge=0, description="seed of everything random: scenes, weights, training"
    )
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="where torch runs")
    memory_gb: float = Field(
        default=4.0,
        gt=0,
        description="memory for activations and thresholds of one dissection; "
        "more of either costs further forward passes, never accuracy",
    )
    shards: int = Field(
        default=1,
        gt=0,
        description="jobs that share the images of pnas_fig_5, of a comparison of chapter 5 or of fig_5_6 to fig_5_8,"
        " or the layers of fig_b_7 or fig_b_10; results are the same for any number",
    )
    downloads: Path | None = Field(
        default=None, description="folder of the user's own downloads, by published file name"
    )
    assets: dict[Name, Asset] = Field(
        default={}, description="sources that differ from config/assets.yaml"
    )
    shipped: Path | None = Field(
        default=None,
        description="folder of shipped weights: each entry of its manifest.json is an asset of that name",
    )
    datasets: dict[Name, Dataset] = Field(default={}, description="datasets by name")
    networks: dict[Name, Network] = Field(default={}, description="networks by name")
    features: Features | None = Field(
        default=None, description="features of images, for the Fréchet distance"
    )
    segmenters: dict[Name, Segmenter] = Field(
        default={}, description="what labels images that have no labels"
    )
    generated: dict[Name, Generated] = Field(
        default={}, description="images drawn by generators, in place of datasets"
    )
    dissections: list[Dissection] = Field(default=[], description="what to dissect")
    search: Search = Field(default=Search(), description="units that cause a concept")
    quality: dict[Name, Quality] = Field(
        default={}, description="generators whose images are compared with real ones, by unit"
    )
    omission: Omission | None = Field(
        default=None, description="what generators leave out; for the rows of chapter 5"
    )
    reconstruction: Reconstruction | None = Field(
        default=None, description="how images are inverted; for rows of chapter 5"
    )
    judging: Judging | None = Field(
        default=None, description="what edits are judged by; for the rows of chapter 6"
    )
    rows: Rows = Field(default=Rows(), description="tables and figures")

    _lost: dict[str, list[str]] = PrivateAttr(default_factory=dict)  # network -> what it lacks
    _lacking: dict[str, list[str]] = PrivateAttr(
        default_factory=dict
    )  # row -> what it does without

    @field_validator("dissections")
    @classmethod
    def _once(cls, dissections: list[Dissection]) -> list[Dissection]:
        pairs = [(entry.network, entry.dataset) for entry in dissections]
        if len(set(pairs)) < len(pairs):
            raise ValueError("a network is dissected on one dataset twice; merge the two entries")
        return dissections

    @field_validator("networks")
    @classmethod
    def _trained(cls, networks: dict[str, Network]) -> dict[str, Network]:
        return {
            name: n.model_copy(update={"weights": name}) if n.training and n.weights is None else n
            for name, n in networks.items()
        }

    @model_validator(mode="after")
    def _ranked(self) -> "Config":
        attack, ranking = self.rows.pnas_fig_5, self.rows.pnas_fig_2
        if attack and (ranking is None or ranking.network != attack.network):
            raise ValueError("rows.pnas_fig_5 needs rows.pnas_fig_2 of the same network")
        return self

    @model_validator(mode="after")
    def _comparable(self) -> "Config":
        if self.quality and self.features is None:
            raise ValueError("features: missing; quality compares images by them")
        return self

    @model_validator(mode="after")
    def _rated(self) -> "Config":
        shown, judged = self.rows.fig_a_3, self.rows.sec_a_2_human_eval
        if shown and shown != judged:
            raise ValueError("rows.fig_a_3 needs rows.sec_a_2_human_eval with the same settings")
        return self

    @model_validator(mode="after")
    def _protocols(self) -> "Config":
        if both := self.datasets.keys() & self.generated.keys():
            raise ValueError(
                f"generated.{min(both)}: there is a dataset of that name; give another"
            )
        for i, entry in enumerate(self.dissections):
            # anchored at receptive fields of the input, or choosing thresholds on another sample of z
            if entry.dataset in self.generated and "cvpr2017" in entry.protocols:
                raise ValueError(f"dissections.{i}.protocols: cvpr2017 is for networks of images")
            if entry.dataset in self.datasets and "iclr2019" in entry.protocols:
                raise ValueError(f"dissections.{i}.protocols: iclr2019 is for generators")
        return self

    @model_validator(mode="after")
    def _segmented(self) -> "Config":
        if self.compared() and self.omission is None:
            raise ValueError("omission: missing; rows of chapter 5 need it")
        if self.inverted() and self.reconstruction is None:
            raise ValueError("reconstruction: missing; rows that invert images need it")
        rows = self.rows
        if rows.fig_6_6 and rows.fig_6_6.segmenter is None:
            raise ValueError("rows.fig_6_6.segmenter: missing; it says where windows are")
        if (rows.fig_b_7 or rows.fig_b_10) and self.features is None:
            raise ValueError("features: missing; fig_b_7 and fig_b_10 compare patches by them")
        for name, of in (("fig_b_7", ("8", "9")), ("fig_b_10", ("11", "12"))):
            whole = getattr(rows, name)
            for number in of:
                shown = getattr(rows, f"fig_b_{number}")
                if shown and (whole is None or shown.network not in whole.networks.values()):
                    raise ValueError(f"rows.fig_b_{number} needs rows.{name} with {shown.network}")
        return self

    def finder(self, concept: str) -> Finder | None:
        """What finds a concept that segmenters do not know, or hardly; `judging` may have one."""
        found = getattr(self.judging, concept, None)
        return found if isinstance(found, Finder) else None

    def inverted(self) -> dict[str, Inverted | PhotoEdited]:
        """The rows that invert images, and by what."""
        found = ((row, getattr(section, "inverted", section)) for row, section in self.rows)
        return {row: how for row, how in found if isinstance(how, Inverted | PhotoEdited)}

    def edited(self) -> dict[str, Edited | Isolated]:
        """The rows that edit generators, or render parts of their layers."""
        found = {row: section for row, section in self.rows}
        return {row: s for row, s in found.items() if isinstance(s, Edited | Isolated)}

    def searched(self, dataset: str, network: str) -> list[str]:
        """The concepts whose causal units rows ask for, in the images of a generator."""
        rows = [row for _, row in self.rows if isinstance(row, Forced) and row.dataset == dataset]
        return sorted({c for row in rows for n, c in row.caused().values() if n == network})

    def sharing(self, row: str) -> list[str]:
        """The rows whose edits one job makes, of the same generator; it is that of the first."""
        one = getattr(self.rows, row)
        if not isinstance(one, Sampled):
            return [row]
        return [
            name
            for name, other in self.edited().items()
            if isinstance(other, Sampled)
            and other.network == one.network
            and not self.missing(other.judges(self))
        ]

    def compared(self) -> dict[str, list[str]]:
        """Photographs -> the generators that rows compare with them; those that can be had."""
        found: dict[str, dict[str, None]] = {}
        for _, row in self.rows:
            if isinstance(row, Omitted):
                names = [name for name in row.networks.values() if name not in self._lost]
                found[row.dataset] = found.get(row.dataset, {}) | dict.fromkeys(names)
        return {dataset: list(names) for dataset, names in found.items() if names}

    def segmenter(self, images: str) -> str | None:
        """The segmenter that labels generated images, or those of a dataset, if one does."""
        return (self.generated.get(images) or self.datasets[images]).segmenter

    def parser(self, images: str) -> str:
        """The network of that segmenter."""
        return self.segmenters[str(self.segmenter(images))].network

    def labelling(self, images: str) -> list[str]:
        """Assets of that segmenter."""
        segmenter = self.segmenters[str(self.segmenter(images))]
        return [segmenter.labels, *self.networks[segmenter.network].assets]

    def behind(self, images: str) -> list[str]:
        """Assets of a dataset's images and labels, and of what labels them."""
        own = [] if images in self.generated else [self.datasets[images].asset]
        return own + (self.labelling(images) if self.segmenter(images) else [])

    def measured(self) -> list[tuple[str, str | None]]:
        """(network, dataset to measure its accuracy on, or None) that rows ask for."""
        table = self.rows.table_3_2
        asked = [(line.network, line.validation) for line in (table.networks if table else [])]
        for _, row in self.rows:
            if isinstance(row, Accurate):
                asked += [(network, row.validation) for network in row.networks.values()]
        return [pair for pair in dict.fromkeys(asked) if pair[0] not in self._lost]

    def lacking(self, row: str) -> list[str]:
        """What was never released, or not trained yet, and the row is made without."""
        return self._lacking.get(row, [])

    def missing(self, networks: Iterable[str]) -> list[str]:
        """What these networks cannot be had without, and is not there."""
        return sorted({a for n in networks for a in self._lost.get(n, [])})

    def untrained(self) -> dict[str, str]:
        """Weights and snapshots that recipes lead to and that are not there yet -> how to have them."""
        found: dict[str, str] = {}
        for name, network in self.networks.items():
            if network.training:
                steps = (f"{name}.{iteration}" for iteration in network.training.snapshots)
                how = f"weights of {name} (snakemake weights trains them)"
                found |= {asset: how for asset in (name, *steps) if asset not in self.assets}
        return found

    def without(self, unreleased: set[str], untrained: Mapping[str, str]) -> "Config":
        """The profile without networks of these assets, and of weights that are not there yet (see `untrained`): their
        dissections go, and rows leave them out if they have others."""
        rows: dict[str, Any] = {}
        networks = dict(self.networks)
        lost, lacking = {}, {}
        for name, network in self.networks.items():
            if how := untrained.get(network.weights or ""):
                lost[name] = [how]
                networks[name] = network.model_copy(update={"weights": None})
            elif unreleased.intersection(network.assets):
                lost[name] = sorted(unreleased.intersection(network.assets))
        for row, section in self.rows:
            entries = getattr(section, "networks", None) or {}
            pairs = list(entries.items() if isinstance(entries, dict) else enumerate(entries))
            names = [getattr(entry, "network", entry) for _, entry in pairs]
            left = [pair for pair, name in zip(pairs, names, strict=True) if name not in lost]
            if left and len(left) < len(pairs):
                rest = dict(left) if isinstance(entries, dict) else [entry for _, entry in left]
                rows[row] = section.model_copy(update={"networks": rest})
                lacking[row] = sorted({a for name in names for a in lost.get(name, [])})
            if isinstance(section, OmittedPairs) and section.encoder in lost:
                rows[row] = section.model_copy(update={"encoder": None})
                lacking[row] = lost[section.encoder]
        dissections = [
            entry
            for entry in self.dissections
            if entry.network not in lost
            and (not self.segmenter(entry.dataset) or self.parser(entry.dataset) not in lost)
        ]
        found = {"rows": self.rows.model_copy(update=rows), "networks": networks}
        result = self.model_copy(update=found | {"dissections": dissections})
        result._lost, result._lacking = lost, lacking
        return result


def load(path: Path | str) -> Config:
    """The profile in a YAML file. Raises DissectionError: the key, what was found, the choices."""
    from dissection.assets.registry import YAML, load_registry

    path = Path(path)
    try:
        content = yaml.load(path.read_text(), YAML)
    except (OSError, UnicodeDecodeError) as error:
        raise DissectionError(f"{path}: cannot be read ({error})") from None
    except yaml.YAMLError as error:
        raise DissectionError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise DissectionError(f"{path}: expected keys and values; see config/smoke.yaml")
    if isinstance(content.get("shipped"), str):
        content["assets"] = _shipped(Path(content["shipped"]), path) | (content.get("assets") or {})
    try:
        config = Config.model_validate(content)
    except ValidationError as error:
        raise DissectionError(f"{path}: {_first(error)}") from None
    registry, untrained = load_registry(paths.REGISTRY), config.untrained()
    for key, name, choices in _references(config, [*config.assets, *registry, *untrained]):
        if name not in choices:
            raise DissectionError(f"{path}: {key}: {_choose(name, choices)}")
    unreleased = {name for name, entry in registry.items() if entry.status == "not_released"}
    untrained = {asset: how for asset, how in untrained.items() if asset not in registry}
    return config.without(unreleased - config.assets.keys(), untrained)


def _shipped(folder: Path, profile: Path) -> dict[str, Any]:
    """The weights in a folder as assets, each with the hash that its manifest gives."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
    except (OSError, ValueError) as error:
        raise DissectionError(
            f"{profile}: shipped: no manifest of weights in {folder} ({error})"
        ) from None
    return {
        name: {"path": str(folder / entry["file"]), "sha256": entry["sha256"]}
        for name, entry in manifest.items()
    }


def schema() -> str:
    """The JSON schema of a profile, as it stands in config/schema.json."""
    return json.dumps(Config.model_json_schema(), indent=2) + "\n"


def _references(config: Config, assets: list[str]) -> Iterator[tuple[str, str, list[str]]]:
    """(key, name, names that are defined) wherever one section names another."""
    datasets, networks = list(config.datasets), list(config.networks)

    def at(key: str, network: str, *layers: str) -> Iterator[tuple[str, str, list[str]]]:
        if network in networks:  # or else that is what is said
            for layer in layers:
                yield key, layer, list(config.networks[network].layers)

    for name, sample in config.generated.items():
        yield f"generated.{name}.segmenter", sample.segmenter, list(config.segmenters)
    for name, dataset in config.datasets.items():
        yield f"datasets.{name}.asset", dataset.asset, assets
        if dataset.segmenter is not None:
            yield f"datasets.{name}.segmenter", dataset.segmenter, list(config.segmenters)
    for name, network in config.networks.items():
        if network.weights is not None:
            yield f"networks.{name}.weights", network.weights, assets
        if network.input and network.input.mean_image is not None:
            yield f"networks.{name}.input.mean_image", network.input.mean_image, assets
        if network.recipe is not None:
            yield f"networks.{name}.recipe.dataset", network.recipe.dataset, datasets
            yield f"networks.{name}.recipe.validation", network.recipe.validation, datasets
            for further in sum(network.recipe.further, ()):
                yield f"networks.{name}.recipe.further", further, datasets
        if network.adversarial is not None:
            yield f"networks.{name}.adversarial.dataset", network.adversarial.dataset, datasets
        if network.inversion is not None:
            generators = [n for n, of in config.networks.items() if of.latent]
            yield f"networks.{name}.inversion.generator", network.inversion.generator, generators
    if (features := config.features) is not None:
        yield "features.network", features.network, networks
        yield from at("features.layer", features.network, features.layer)
    for name, segmenter in config.segmenters.items():
        yield f"segmenters.{name}.network", segmenter.network, networks
        yield f"segmenters.{name}.labels", segmenter.labels, assets
    if config.omission is not None:
        yield "omission.segmenter", config.omission.segmenter, list(config.segmenters)
    if (how := config.reconstruction) is not None:
        yield "reconstruction.network", how.network, networks
        yield from at("reconstruction.layer", how.network, how.layer)
    for key, judge in dict(config.judging or {}).items():
        if judge is None:
            continue
        yield f"judging.{key}.network", judge.network, networks
        if isinstance(judge, Perceptual):
            if judge.heads is not None:
                yield f"judging.{key}.heads", judge.heads, assets
            yield from at(f"judging.{key}.layers", judge.network, *judge.layers)
    for i, entry in enumerate(config.dissections):
        yield f"dissections.{i}.network", entry.network, networks
        drawn = entry.network in networks and config.networks[entry.network].latent
        choices = list(config.generated) if drawn else datasets
        yield f"dissections.{i}.dataset", entry.dataset, choices
        for j, basis in enumerate(entry.bases):
            yield from at(f"dissections.{i}.bases.{j}.layer", entry.network, basis.layer)
    for name, quality in config.quality.items():
        yield f"quality.{name}", name, networks
        yield f"quality.{name}.real", quality.real, datasets
        yield from at(f"quality.{name}.layer", name, quality.layer)
    for row, section in config.rows:
        if isinstance(section, Judged):
            yield f"rows.{row}.network", section.network, list(config.quality)
        for key, name in named(section):
            if isinstance(section, Omitted | Inverted) and key.startswith("dataset"):
                yield f"rows.{row}.{key}", name, datasets
                continue
            if key == "networks.layered":  # an encoder; none is dissected
                yield f"rows.{row}.{key}", name, networks
                continue
            if key.split()[0] in ("dataset", "validation", "train", "test", "real"):
                yield f"rows.{row}.{key}", name, [*datasets, *config.generated]
                continue
            searched = config.search.protocol if isinstance(section, Forced) else None
            wanted = getattr(section, "protocol", searched)
            if wanted:  # a count needs the dissection that it counts
                on = section.on(name) if isinstance(section, Counts) else section.dataset
                dissected = [
                    e.network
                    for e in config.dissections
                    if wanted in e.protocols and e.dataset == on
                ]
            yield f"rows.{row}.{key}", name, dissected if wanted else networks
            if isinstance(section, Forced):
                yield from at("search.layer", name, config.search.layer)
        if isinstance(section, Reflected) and section.masks is not None:
            yield f"rows.{row}.masks", section.masks, assets
        if isinstance(section, Edited) and section.segmenter is not None:
            yield f"rows.{row}.segmenter", section.segmenter, list(config.segmenters)
        for key, rewriting in rewritings(section):
            if rewriting.session is not None:
                yield f"rows.{row}.{key}.session", rewriting.session, assets
        for key, generator, layer in _layers(section):
            yield from at(f"rows.{row}.{key}", generator, layer)


def _layers(section: Section | None) -> Iterator[tuple[str, str, str]]:
    """(key, network, layer) of the layers of generators that a row names."""
    if isinstance(section, Matched):
        for name, layer in section.layers.items():
            for network in section.networks.values():
                yield f"layers.{name}", network, layer
    if isinstance(section, Units):
        for i, unit in enumerate(section.networks):
            yield f"networks.{i}.layer", unit.network, unit.layer
    if isinstance(section, PnasFig3 | Banner | Rated | Reflected):
        yield "layer", section.network, section.layer
    if isinstance(section, Swept):
        for layer in section.layers:
            yield "layers", section.network, layer
    if isinstance(section, Reflected):
        yield "target", section.network, section.target
    if isinstance(section, Edited):
        for key, rewriting in rewritings(section):
            yield f"{key}.layer", section.network, rewriting.layer


def rewritings(section: Section | None) -> Iterator[tuple[str, Rewriting]]:
    """(key, rewrite) of a row's."""
    for key, value in section or ():
        found = value.items() if isinstance(value, dict) else [("", value)]
        for name, rewriting in found:
            if isinstance(rewriting, Rewriting):
                yield f"{key}.{name}".rstrip("."), rewriting


def named(section: Section | None) -> Iterator[tuple[str, str]]:
    """(key, name) of the datasets and networks that a row names."""
    for key in ("dataset", "validation", "train", "test", "real", "network", "encoder"):
        if (name := getattr(section, key, None)) is not None:
            yield key, name
    if (detector := getattr(section, "detector", None)) is not None:
        yield from named(detector)
    for group, name in getattr(section, "datasets", {}).items():
        yield f"dataset {group}", name
    networks = getattr(section, "networks", {})
    for label, network in networks.items() if isinstance(networks, dict) else enumerate(networks):
        if isinstance(network, Tested | Unit):
            yield f"networks.{label}.network", network.network
            if isinstance(network, Tested) and network.validation is not None:
                yield "validation", network.validation
        else:
            yield f"networks.{label}", network


def _choose(found: Any, choices: list[str]) -> str:
    close = difflib.get_close_matches(str(found), choices, 5)
    meant = f", did you mean {close[0]}?" if close else ","
    if len(choices) > 60:  # a registry; more than a line can show
        text = f"{', '.join(close) or ', '.join(choices[:5])}, ... ({len(choices)} in all)"
    else:
        text = ", ".join(choices) or "none"
    return f"found {found!r}{meant} choices: {text}"


def _first(error: ValidationError) -> str:
    """The first problem in one line, and how many more there are."""
    first, *others = error.errors(include_url=False)
    *parents, last = first["loc"] or ("file",)
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        text = f"{key}: unknown key, {_choose(last, list(_section(parents).model_fields))}"
    elif first["type"] == "missing":
        text = f"{key}: missing ({_section(parents).model_fields[str(last)].description})"
    elif first["type"] == "value_error" and isinstance(first["input"], dict):  # of a whole section
        text = f"{key}: {first['msg'].removeprefix('Value error, ')}"
    else:
        text = f"{key}: {first['msg']}, found {first['input']!r}"
    text = text.removeprefix(": ")  # of the whole profile
    return text + (f" (and {len(others)} more)" if others else "")


def _section(location: list[str | int]) -> type[Section]:
    """The model of the section at a location such as ("networks", "alexnet_scenes", "input")."""
    kind: Any = Config
    for part in location:
        if hasattr(kind, "model_fields"):
            kind = kind.model_fields[part].annotation
            if type(None) in get_args(kind):  # X | None
                kind = get_args(kind)[0]
        else:
            kind = get_args(kind)[-1]  # the values of a dict, the items of a list
    return kind
