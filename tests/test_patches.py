"""Patches rendered in isolation: what is rendered alone, where, and how many."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dissection import config as model
from dissection.errors import DissectionError
from dissection.features import Extractor
from dissection.networks import Preprocess, to_pixels
from dissection.networks.progan import ProGAN, latents
from dissection.networks.stylegan2 import StyleGAN2, doubled
from dissection.rewrite.patches import Cut, cropped, patch_distances, patch_gaussians, places
from dissection.stats import Gaussian, frechet_distance


@pytest.fixture(params=["progan", "stylegan2"])
def network(request) -> nn.Module:
    torch.manual_seed(0)
    if request.param == "progan":
        return ProGAN(latent=8, widths=[6, 6, 5, 4]).eval()
    return StyleGAN2(latent=8, widths=[6, 6, 5, 4], style=8, depth=2).eval()


@pytest.fixture
def z() -> torch.Tensor:
    return latents(1, 0, 7, 8)


def test_the_whole_map_renders_the_image_and_a_crop_its_part(network, z):
    with torch.no_grad():
        image = to_pixels(network(z))
    for number in range(1, 8):
        cut = Cut(network, f"layer{number}")
        alone, whole = cut.patches(z, 32, 1)
        assert torch.equal(whole, image)
        assert (alone.int() - image.int()).abs().max() <= 1  # rounding
    alone, whole = cut.patches(z, 8, 1)
    assert alone.shape == whole.shape == (7, 3, 8, 8)
    assert torch.equal(whole, cropped(image, places(7, 25, 1), 8))
    # far from the crop's border the image is the same, where no noise is added
    if isinstance(network, ProGAN):
        alone, whole = cut.patches(z, 16, 1)
        assert (alone.int() - whole.int())[:, :, 4:12, 4:12].abs().max() <= 1


def test_a_crop_of_features_is_rendered_with_nothing_around_it(z):
    torch.manual_seed(0)
    network = ProGAN(latent=8, widths=[6, 6, 5]).eval()
    cut = Cut(network, "layer3")
    alone, _ = cut.patches(z, 4, 5)
    with torch.no_grad():
        layers = list(network)
        features = nn.Sequential(*layers[:3])(z.view(7, 8, 1, 1))  # 8 x 8 cells for 16 pixels
        at = places(7, 7, 5)
        for i, (row, column) in enumerate(at.tolist()):
            crop = features[i : i + 1, :, row : row + 2, column : column + 2]
            expected = to_pixels(nn.Sequential(*layers[3:])(crop))[0]
            assert (alone[i].int() - expected.int()).abs().max() <= 1


def test_the_image_so_far_is_cropped_along(z):
    """Of a StyleGAN2: behind layer4, at 8 x 8, the image so far has 8 pixels too, and doubled meets the next part."""
    torch.manual_seed(0)
    network = StyleGAN2(latent=8, widths=[6, 6, 5], style=8, depth=2).eval()
    alone, _ = Cut(network, "layer4").patches(z, 4, 3)
    with torch.no_grad():
        state = network.run(network.start(z), until="rgb2")
        at = places(7, 7, 3)
        features = cropped(state.features, at, 2)
        part = network.run(state._replace(features=features, rgb=None), after="rgb2").rgb
        so_far = cropped(doubled(state.rgb), 2 * at, 4)
    assert (alone.int() - to_pixels(part + so_far).int()).abs().max() <= 1
    with pytest.raises(DissectionError, match="the last; nothing is left"):
        Cut(network, "layer6").patches(z, 4, 3)


def test_patches_have_their_own_places_whatever_the_batch(network, z):
    cut = Cut(network, "layer5")
    every, whole = cut.patches(z, 16, 1)
    some, part = cut.patches(z[4:], 16, 1, first=4)
    assert (every[4:].int() - some.int()).abs().max() <= 1
    assert (whole[4:].int() - part.int()).abs().max() <= 1
    at = places(500, 3, 1)
    assert torch.equal(at[400:], places(100, 3, 1, first=400))
    assert np.unique(at, axis=0).shape == (9, 2)


def test_patches_are_of_whole_cells(network, z):
    for side in (4, 12, 64):
        with pytest.raises(
            DissectionError, match=r"patches of \d+ pixels: layer1 has 4 cells for 32"
        ):
            Cut(network, "layer1").patches(z, side, 1)


def test_the_distance_is_of_all_patches_from_crops_of_other_images(network):
    torch.manual_seed(1)
    convolved = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    extractor = Extractor("mini", convolved, "1", Preprocess(model.Input(size=16)), torch.device("cpu"))  # fmt: skip
    cut, z = Cut(network, "layer3"), latents(1, 0, 120, 8)
    mine, others = z[:70], z[70:]
    layers = ["image", "layer3", "layer1", "others"]
    found = patch_distances(patch_gaussians(network, layers, extractor, mine, others, [4, 8], 4))

    def gaussian(images):
        pixels = F.interpolate(images.float(), (16, 16)) if images.shape[2] == 16 else images
        fitted = Gaussian(4)
        fitted.add(extractor(pixels.byte()))
        return fitted

    with torch.no_grad():
        whole = cropped(to_pixels(network(others)), places(50, 25, 4, first=70), 8)
        same = cropped(to_pixels(network(mine)), places(70, 25, 4), 8)
    found = found.set_index(["side", "layer"])["distance"]
    # 4 pixels are one cell of layer3 and half a cell of layer1
    assert list(found.index) == [(4, "image"), (4, "layer3"), (8, "image"), (8, "layer3"), (8, "layer1")]  # fmt: skip
    for layer, patches in (("layer3", cut.patches(mine, 8, 4)[0]), ("image", same)):
        expected = frechet_distance(gaussian(whole), gaussian(patches))
        assert found[8, layer] == pytest.approx(expected.total, rel=1e-3)
    assert (found > 0).all()


def test_a_mosaic_is_of_all_patches(network, z):
    cut = Cut(network, "layer4")
    found = cut.mosaic(z[:3], 8)
    assert cut.cell(z) == 4
    assert found.shape == (3, 3, 36, 36)
    halfway = cut.halfway(z[:3])
    for row, column in ((0, 0), (2, 1), (3, 3)):
        alone = cut.alone(halfway, torch.tensor([[2 * row, 2 * column]] * 3), 2)
        part = found[:, :, 9 * row : 9 * row + 9, 9 * column : 9 * column + 9]
        assert torch.equal(part[:, :, :8, :8], alone)
        assert (part[:, :, 8] == 255).all()
        assert (part[:, :, :, 8] == 255).all()
