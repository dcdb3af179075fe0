"""UPerNet for unified perceptual parsing (Xiao et al. 2018), laid out as its published weights are.

    network = upernet(objects=336, parts=427, materials=26, scenes=365)
    scores = network(images)          # {"object": (n, 336, h / 4, w / 4), "part", "material", "scene": (n, 365)}

A ResNet with a stem of three convolutions (`encoder`), and on it (`decoder`) a pyramid pooling module, a feature
pyramid, and a head for each kind of label: object and part look at all levels of the pyramid, material at the
finest, scene at the coarsest. The part head has a run of channels for each object with parts, `-` included.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torch.nn.utils.fusion import fuse_conv_bn_eval

EXPANSION = 4  # a residual block puts out so many times its width
# counts and sums that the authors' synchronised batch norm keeps in training, and evaluation does not need
UNUSED = ("_tmp_running_mean", "_tmp_running_var", "_running_iter")


def upernet(
    objects: int,
    parts: int,
    materials: int,
    scenes: int,
    stem: Sequence[int] = (64, 64, 128),
    pool: bool = True,
    widths: Sequence[int] = (64, 128, 256, 512),
    blocks: Sequence[int] = (3, 4, 6, 3),
    bins: Sequence[int] = (1, 2, 3, 6),
    pooled: int = 512,
    pyramid: int = 512,
) -> "UPerNet":
    """The published network by default, but for the number of classes of each head, `-` included.

    stem, pool: widths of the stem's convolutions, and whether pooling follows. widths, blocks: of the four stages.
    bins, pooled: of the pyramid pooling module, a side and a width. pyramid: width of the feature pyramid.
    """
    heads = {"scene": scenes, "object": objects, "part": parts, "material": materials}
    levels = [EXPANSION * width for width in widths]
    return UPerNet(
        Encoder(stem, pool, widths, blocks), Decoder(levels, bins, pooled, pyramid, heads)
    )


class UPerNet(nn.Module):
    def __init__(self, encoder: "Encoder", decoder: "Decoder"):
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """(n, 3, h, w) -> scores by head: (n, classes, h', w'), of scenes (n, classes)."""
        return self.decoder(self.encoder(images))

    def fold(self) -> None:
        """Make each batch norm part of the convolution before it, as evaluation sees it: a seventh less to do."""
        for module in list(self.modules()):
            children = list(module.named_children())
            for (first, convolution), (second, norm) in pairwise(children):
                if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    setattr(module, first, fuse_conv_bn_eval(convolution, norm))
                    setattr(module, second, nn.Identity())

    def own_key(self, key: str) -> str | None:
        return None if key.endswith(UNUSED) else key


class Encoder(nn.Module):
    """ResNet without its classifier: (n, 3, h, w) -> what its four stages put out."""

    def __init__(
        self, stem: Sequence[int], pool: bool, widths: Sequence[int], blocks: Sequence[int]
    ):
        super().__init__()
        first, second, third = stem
        self.conv1 = nn.Conv2d(3, first, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(first)
        self.conv2 = nn.Conv2d(first, second, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(second)
        self.conv3 = nn.Conv2d(second, third, 3, 1, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(third)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1) if pool else nn.Identity()
        ends = [third, *(EXPANSION * width for width in widths)]
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            _stage(ends[i], widths[i], blocks[i], stride=1 if i == 0 else 2) for i in range(4)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        x = self.maxpool(self.relu(self.bn3(self.conv3(x))))
        levels = []
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
            levels.append(x)
        return levels


def _stage(channels: int, width: int, blocks: int, stride: int) -> nn.Sequential:
    first = Bottleneck(channels, width, stride)
    return nn.Sequential(
        first, *(Bottleneck(EXPANSION * width, width, 1) for _ in range(1, blocks))
    )


class Bottleneck(nn.Module):
    """(n, channels, h, w) -> (n, EXPANSION * width, h / stride, w / stride)."""

    def __init__(self, channels: int, width: int, stride: int):
        super().__init__()
        out = EXPANSION * width
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = nn.Identity()
        if stride != 1 or channels != out:
            shortcut = nn.Conv2d(channels, out, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(out))  # type: ignore[assignment]

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        return self.relu(self.bn3(self.conv3(y)) + self.downsample(x))


def _convolution(channels: int, width: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width, kernel, 1, kernel // 2, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
    )


class Decoder(nn.Module):
    """What the encoder's stages put out, finest first -> scores by head."""

    def __init__(
        self, levels: Sequence[int], bins: Sequence[int], pooled: int, pyramid: int, heads: dict[str, int]
    ):  # fmt: skip
        super().__init__()
        *finer, coarsest = levels
        self.bins = tuple(bins)
        self.ppm_conv = nn.ModuleList(_convolution(coarsest, pooled, 1) for _ in bins)
        self.ppm_last_conv = _convolution(coarsest + len(bins) * pooled, pyramid, 3)
        self.fpn_in = nn.ModuleList(_convolution(channels, pyramid, 1) for channels in finer)
        self.fpn_out = nn.ModuleList(
            nn.Sequential(_convolution(pyramid, pyramid, 3)) for _ in finer
        )
        self.conv_fusion = _convolution(len(levels) * pyramid, pyramid, 3)
        self.scene_head, self.object_head, self.part_head, self.material_head = (
            nn.Sequential(
                _convolution(pyramid, pyramid, 3),
                *([nn.AdaptiveAvgPool2d(1)] if head == "scene" else []),
                nn.Conv2d(pyramid, heads[head], 1),
            )
            for head in ("scene", "object", "part", "material")
        )

    def forward(self, levels: list[Tensor]) -> dict[str, Tensor]:
        *finer, x = levels
        pools = [
            _resize(conv(precise_pool(x, bins)), x)
            for bins, conv in zip(self.bins, self.ppm_conv, strict=True)
        ]
        x = self.ppm_last_conv(torch.cat([x, *pools], 1))
        scores = {"scene": self.scene_head(x).flatten(1)}
        pyramid = [x]
        for level, enter, leave in reversed(
            list(zip(finer, self.fpn_in, self.fpn_out, strict=True))
        ):
            side = enter(level)
            x = side + _resize(x, side)
            pyramid.insert(0, leave(x))
        scores["material"] = self.material_head(pyramid[0])
        fused = self.conv_fusion(torch.cat([_resize(p, pyramid[0]) for p in pyramid], 1))
        scores["object"], scores["part"] = self.object_head(fused), self.part_head(fused)
        return scores


def _resize(x: Tensor, like: Tensor) -> Tensor:
    return interpolate(x, like.shape[2:], mode="bilinear", align_corners=False)


def precise_pool(features: Tensor, bins: int) -> Tensor:
    """Precise region pooling (Jiang et al. 2018) of whole maps: (n, c, h, w) -> (n, c, bins, bins).

    The mean over each of bins x bins equal parts of [0, h] x [0, w] of the map's bilinear interpolation, which
    has sample (i, j) at the point (i, j) and falls to zero beyond the last ones. The integral is exact, and as
    interpolation works on rows and columns apart, it is two matrix products.
    """
    rows, columns = (_weights(side, bins).to(features) for side in features.shape[2:])
    return rows @ features @ columns.T


def _weights(side: int, bins: int) -> Tensor:
    """(bins, side): mean over each bin of the hat function that is 1 at sample i and 0 from i - 1 and i + 1 on."""
    edges = torch.linspace(0, side, bins + 1, dtype=torch.float64)
    t = (edges[:, None] - torch.arange(side)).clamp(-1, 1)
    integral = t - t * t.abs() / 2  # of the hat, from its middle to t
    return integral.diff(dim=0) * bins / side
