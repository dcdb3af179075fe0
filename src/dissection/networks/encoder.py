"""Networks that invert a generator layer by layer: an image to z (thesis 5.3.2, eq. 5.4).

    network = Encoder()               # the published one: 256 px -> layer4 (512 units, 8 x 8) -> ... -> z (512)
    network(images)                   # (n, 3, 256, 256) from -1 to 1 -> (n, 512, 1, 1)
    network.resnet, network.inv4      # e_f, and e_4: layer4 -> layer3; inv1: layer1 -> z

A residual network sees the image and says what the generator's last inverted layer was, and one small network a layer
goes back from there. Modules are named as in the published state dicts, whose `model.` is left out.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from dissection.networks.progan import PixelNorm


class Encoder(nn.Sequential):
    """(n, 3, h, h) from -1 to 1 -> (n, latent, 1, 1), of which every z has mean square 1.

    Modules: resnet, inv<n> ... inv1. The defaults are the published encoder of layers 1 to 4.
    """

    def __init__(
        self,
        latent: int = 512,
        units: Sequence[int] = (512, 512, 512, 512),
        sides: Sequence[int] = (4, 4, 8, 8),
        hidden: Sequence[int] = (512, 512, 512, 512),
        widths: Sequence[int] = (64, 128, 256, 512),
        depth: int = 2,
        kernel: int = 7,
        stride: int = 2,
        pool: bool = True,
    ):
        """
        units, sides: of the generator's layers 1 to n. hidden: width of the network that inverts each.

        widths, depth: of the residual network's stages, all but the first of which halve the size. kernel, stride: of
        its first convolution; pool: whether pooling follows.
        """
        super().__init__()
        self.add_module("resnet", Trunk(units[-1], widths, depth, kernel, stride, pool))
        for i in range(len(units) - 1, 0, -1):
            # at 4 x 4 the published network of layer 2 has no third convolution
            third = i > 1 or hidden[i] != units[i - 1]
            step = sides[i] // sides[i - 1]
            self.add_module(f"inv{i + 1}", Inverse(units[i], hidden[i], units[i - 1], step, third))
        self.add_module("inv1", Inlet(units[0], hidden[0], latent, sides[0]))
        self.latent, self.layers = latent, len(units)

    def own_key(self, key: str) -> str:
        return key.removeprefix("model.")

    def estimates(self, images: Tensor) -> list[Tensor]:
        """What each network puts out: r_n, ..., r_1, z."""
        found, x = [], images
        for network in self:
            x = network(x)
            found.append(x)
        return found


class Inverse(nn.Sequential):
    """e_i: (n, inputs, h, w) -> (n, outputs, h / stride, w / stride)."""

    def __init__(self, inputs: int, hidden: int, outputs: int, stride: int, third: bool):
        super().__init__()
        self.pnorm = PixelNorm()
        self.conv1 = _convolution(inputs, hidden, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(hidden)
        self.relu1 = nn.LeakyReLU(0.2)
        self.conv2 = _convolution(hidden, hidden, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(hidden)
        self.relu2 = nn.LeakyReLU(0.2)
        if third:
            self.conv3 = _convolution(hidden, outputs, 1, stride=stride)


class Inlet(nn.Sequential):
    """e_1: (n, inputs, side, side) -> (n, latent, 1, 1)."""

    def __init__(self, inputs: int, hidden: int, latent: int, side: int):
        super().__init__()
        self.pnorm = PixelNorm()
        self.conv1 = _convolution(inputs, hidden, side)
        self.bn1 = nn.BatchNorm2d(hidden)
        self.relu1 = nn.LeakyReLU(0.2)
        self.conv2 = _convolution(hidden, latent, 1)
        self.pnormout = PixelNorm()


class Trunk(nn.Sequential):
    """e_f: ResNet-18 without its classifier, but with a convolution to the units of the generator's layer."""

    def __init__(
        self, units: int, widths: Sequence[int], depth: int, kernel: int, stride: int, pool: bool
    ):
        super().__init__()
        self.conv1 = nn.Conv2d(3, widths[0], kernel, stride, kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, 1) if pool else nn.Identity()
        channels = widths[0]
        for i, width in enumerate(widths, start=1):
            blocks = [Residual(channels, width, 1 if i == 1 else 2)]
            blocks += [Residual(width, width, 1) for _ in range(1, depth)]
            self.add_module(f"layer{i}", nn.Sequential(*blocks))
            channels = width
        last = nn.Sequential()
        last.add_module("conv5", nn.Conv2d(channels, units, 1))
        last.add_module("relu5", nn.LeakyReLU(0.2))
        self.add_module("layer5", last)


class Residual(nn.Module):
    """(n, channels, h, w) -> (n, width, h / stride, w / stride)."""

    def __init__(self, channels: int, width: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or channels != width:
            shortcut = nn.Conv2d(channels, width, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(y)) + self.downsample(x))


def _convolution(
    inputs: int, units: int, kernel: int, stride: int = 1, padding: int = 0
) -> nn.Conv2d:
    convolution = nn.Conv2d(inputs, units, kernel, stride, padding)
    nn.init.kaiming_normal_(convolution.weight)
    nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
    return convolution
