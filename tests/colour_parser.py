"""A parser that names pixels by their colour: what untrained generators draw has all of it, here and there."""

import torch
from torch import Tensor, nn


class Parser(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.spread = nn.InstanceNorm2d(3, affine=True)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """(n, 3, h, w) RGB from 0 to 1 -> scores by head: sky is blue, a building red, a tree green, a window dark."""
        red, green, blue = (4 * self.spread(x)).unbind(1)
        none = torch.zeros_like(red)
        things = [none, blue - red, red - green, green - blue, -(red + green + blue) / 2]
        return {
            "object": torch.stack(things, 1),
            "part": torch.stack([none, red, green, none, blue], 1),
            "material": torch.stack([none, red], 1),
            "scene": x.new_zeros(len(x), 1),
        }


def parser() -> nn.Module:
    return Parser()
