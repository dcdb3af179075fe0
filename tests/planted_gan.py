"""A small generator and a segmenter for tests. All weights, and z once rounded, are multiples of powers of two, so
that every activation is exact in float32 whatever the order of the sums, and can be checked to the last count."""

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional as F

LATENT, SIZE = 6, 32
MIDDLE = [0.25, 0.5, 0.25]  # so that all colours occur
LAYERS = {"layer1": "layer1", "layer2": "layer2", "layer3": "layer3"}


def latents(seed, count):
    return torch.from_numpy(np.random.RandomState(seed).standard_normal((count, LATENT))).float()


def dyadic(shape, rng, step=0.25):
    """Few bits, so that sums of products stay exact."""
    return torch.from_numpy(rng.integers(-2, 3, shape) * step).float()


class Block(nn.Module):
    def __init__(self, before, units, rng):
        super().__init__()
        self.conv = nn.Conv2d(before, units, 3, padding=1)
        self.conv.weight.data = dyadic(self.conv.weight.shape, rng)
        self.conv.bias.data = dyadic(units, rng)

    def forward(self, x):
        return F.leaky_relu(self.conv(F.interpolate(x, scale_factor=2)), 0.25)


class PlantedGAN(nn.Module):
    """z -> 4 x 4 -> 8 x 8 -> 16 x 16 -> an image of 32 x 32 from -1 to 1. The first units of layer 2 and of
    layer 3 are what the image is made of."""

    def __init__(self):
        super().__init__()
        rng = np.random.default_rng(0)
        self.layer1 = nn.ConvTranspose2d(LATENT, 7, 4)
        self.layer1.weight.data = dyadic(self.layer1.weight.shape, rng)
        self.layer1.bias.data = dyadic(7, rng)
        self.layer2, self.layer3 = Block(7, 9, rng), Block(9, 6, rng)

    def forward(self, z):
        x = (z.view(len(z), LATENT, 1, 1) * 4).round() / 4
        x = self.layer2(self.layer1(x))
        y = self.layer3(x)
        image = (F.interpolate(x, scale_factor=4) + F.interpolate(y, scale_factor=2)[:, :1])[:, :3]
        return image / 8 - torch.tensor(MIDDLE).view(3, 1, 1)


class ColourSegmenter:
    """Concepts by how red, green or blue a pixel is: several at one pixel, in three categories, one of which never
    occurs. A rare one is below the coverage that a threshold by concept asks for."""

    concepts = pd.DataFrame(
        {
            "name": ["tree", "sky", "door", "tree-t", "tree-b", "ghost", "brick", "wood", "speck"],
            "category": ["object"] * 3 + ["part"] * 3 + ["material"] * 3,
        },
        index=pd.Index([1, 2, 4, 5, 6, 7, 9, 10, 11], name="number"),
    )

    def __call__(self, images, downsample):
        start = downsample // 2
        return {
            c: m[..., start::downsample, start::downsample] for c, m in self.labels(images).items()
        }

    def labels(self, images):
        red, green, blue = images.int().unbind(1)
        zero, upper = torch.zeros_like(red), torch.zeros_like(red)
        upper[:, : SIZE // 2] = 1
        tree = red > 150
        objects = [zero + tree, zero + 2 * (green > 160), zero + 4 * ((blue > 150) & (green < 120))]
        part = torch.where(tree, torch.where(upper == 1, 5, 6), 0)
        speck = zero.clone()
        speck[:, 1, 1] = 11 * (red[:, 1, 1] > 200)
        material = torch.where(blue < 100, 9, torch.where(blue > 170, 10, 0))
        return {
            "object": torch.stack(objects, 1).int(),
            "part": part[:, None].int(),
            "material": torch.stack([material, speck], 1).int(),
        }
