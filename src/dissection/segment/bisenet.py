"""BiSeNet (Yu et al. 2018) as modified by the face parser that the authors use, laid out as its published weights are.

    network = bisenet()
    scores = network(images)          # (n, 19, h, w): background, skin, ... 11 mouth, 12 upper lip, 13 lower lip ...

A ResNet-18 gives features at 1/8, 1/16 and 1/32 of the size (`cp.resnet`). The coarser two are weighted by their own
means, added up from coarse to fine (`cp`) and fused with the finest (`ffm`), in place of a spatial path.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate


class Convolution(nn.Module):
    """Convolution `conv`, batch norm `bn`, rectifier."""

    def __init__(self, inputs: int, units: int, kernel: int = 3):
        super().__init__()
        self.conv = nn.Conv2d(inputs, units, kernel, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(units)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.bn(self.conv(x)))


class Block(nn.Module):
    """A residual block of two convolutions."""

    def __init__(self, inputs: int, units: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, units, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(units)
        self.conv2 = nn.Conv2d(units, units, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(units)
        self.downsample = nn.Sequential()
        if inputs != units or stride > 1:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, units, 1, stride, bias=False), nn.BatchNorm2d(units)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + self.downsample(x))


class ResNet18(nn.Module):
    """(n, 3, h, w) -> the outputs of the last three stages."""

    def __init__(self, widths: Sequence[int], stem: tuple[int, int], pool: bool):
        super().__init__()
        kernel, stride = stem
        self.conv1 = nn.Conv2d(3, widths[0], kernel, stride, kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.maxpool = nn.MaxPool2d(3, 2, 1) if pool else nn.Identity()
        inputs = widths[0]
        for number, units in enumerate(widths, 1):
            first = Block(inputs, units, 1 if number == 1 else 2)
            self.add_module(f"layer{number}", nn.Sequential(first, Block(units, units, 1)))
            inputs = units

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.maxpool(torch.relu(self.bn1(self.conv1(x))))
        found = []
        for number in range(1, 5):
            x = self.get_submodule(f"layer{number}")(x)
            found.append(x)
        return found[1:]


class Attention(nn.Module):
    """Features weighted, unit by unit, by what their means say."""

    def __init__(self, inputs: int, units: int):
        super().__init__()
        self.conv = Convolution(inputs, units)
        self.conv_atten = nn.Conv2d(units, units, 1, bias=False)
        self.bn_atten = nn.BatchNorm2d(units)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return x * torch.sigmoid(self.bn_atten(self.conv_atten(x.mean((2, 3), keepdim=True))))


class ContextPath(nn.Module):
    """Features at 1/8, and those of the coarser stages brought to 1/8."""

    def __init__(self, resnet: ResNet18, widths: Sequence[int], units: int):
        super().__init__()
        self.resnet = resnet
        self.arm16, self.arm32 = Attention(widths[2], units), Attention(widths[3], units)
        self.conv_head32, self.conv_head16 = Convolution(units, units), Convolution(units, units)
        self.conv_avg = Convolution(widths[3], units, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        fine, middle, coarse = self.resnet(x)
        x = self.arm32(coarse) + self.conv_avg(coarse.mean((2, 3), keepdim=True))
        x = self.conv_head32(interpolate(x, middle.shape[2:]))
        x = self.conv_head16(interpolate(self.arm16(middle) + x, fine.shape[2:]))
        return fine, x


class Fusion(nn.Module):
    def __init__(self, inputs: int, units: int):
        super().__init__()
        self.convblk = Convolution(inputs, units, 1)
        self.conv1 = nn.Conv2d(units, units // 4, 1, bias=False)
        self.conv2 = nn.Conv2d(units // 4, units, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.convblk(x)
        weight = self.conv2(torch.relu(self.conv1(x.mean((2, 3), keepdim=True))))
        return x * torch.sigmoid(weight) + x


class Output(nn.Module):
    def __init__(self, units: int, classes: int):
        super().__init__()
        self.conv = Convolution(units, units)
        self.conv_out = nn.Conv2d(units, classes, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv_out(self.conv(x))


class BiSeNet(nn.Module):
    """(n, 3, h, w) -> (n, classes, h, w) scores"""

    def __init__(self, cp: ContextPath, fused: tuple[int, int], classes: int):
        super().__init__()
        self.cp, self.ffm, self.conv_out = cp, Fusion(*fused), Output(fused[1], classes)

    def forward(self, images: Tensor) -> Tensor:
        scores = self.conv_out(self.ffm(torch.cat(self.cp(images), 1)))
        return interpolate(scores, images.shape[2:], mode="bilinear", align_corners=True)

    @staticmethod
    def own_key(key: str) -> str | None:
        """Two further heads are for training alone."""
        return None if key.startswith(("conv_out16.", "conv_out32.")) else key


def bisenet(
    classes: int = 19,
    widths: Sequence[int] = (64, 128, 256, 512),
    stem: tuple[int, int] = (7, 2),
    pool: bool = True,
    context: int = 128,
    fused: int = 256,
) -> BiSeNet:
    """The published network by default, made for 512 pixels. widths: of the stages. stem, pool: kernel and stride of
    the first convolution, and whether pooling follows. context, fused: units of the context path and after it."""
    path = ContextPath(ResNet18(widths, stem, pool), widths, context)
    return BiSeNet(path, (widths[1] + context, fused), classes)
