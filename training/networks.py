"""Small networks for the proof: a VGG and a ResNet, of which `early` computes in tiles and `late` on the whole map."""

import torch
from torch import nn

from model import conv_block, layers


def patches(channels: int) -> nn.Sequential:
    """
    [n, 3, h, w] -> [n, channels, h / 2, w / 2]: a convolution over patches of 2x2 pixels that do not overlap, as networks
    of patches begin. A tile's edge hides nothing from it; a 3x3 convolution of pixels sees an edge of its own along every
    tile, against padding, which costs small tiles two points and more.
    """
    return nn.Sequential(nn.Conv2d(3, channels, 2, 2, bias=False), nn.BatchNorm2d(channels), nn.ReLU(inplace=True))


def pointwise(channels_in: int, channels: int) -> nn.Sequential:
    """A 1x1 convolution, batch norm, ReLU, as in configuration C of VGG."""
    return nn.Sequential(nn.Conv2d(channels_in, channels, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU(inplace=True))


class TwoParts(nn.Module):
    """[n, 3, h, w] -> [n, classes]: `early`, which can be computed in tiles, `late` on its whole map, a dense layer on the means."""

    def __init__(self, early: nn.Module, late: nn.Module, channels: int, classes: int):
        super().__init__()
        self.early = early
        self.late = late
        self.average = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(0.2)
        self.classify = nn.Linear(channels, classes)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        features = self.average(self.late(self.early(pixels))).flatten(1)
        return self.classify(self.dropout(features))


class SmallVgg(TwoParts):
    """`early` ends at half the size."""

    def __init__(self, classes: int):
        early = nn.Sequential(patches(32), conv_block(32, 64), pointwise(64, 96), pointwise(96, 32))
        late, channels = layers((64, "pool", 96, 96, "pool", 128), 32)
        super().__init__(early, late, channels, classes)


class Bottleneck(nn.Module):
    """ResNet's block of a 1x1, a 3x3 and a 1x1 convolution with a way around them; `middle` channels within."""

    def __init__(self, channels_in: int, middle: int, channels: int, stride: int):
        super().__init__()
        self.inner = nn.Sequential(
            pointwise(channels_in, middle),
            nn.Conv2d(middle, middle, 3, stride, 1, bias=False),
            nn.BatchNorm2d(middle),
            nn.ReLU(inplace=True),
            nn.Conv2d(middle, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.around = nn.Identity()
        if stride != 1 or channels_in != channels:
            self.around = nn.Sequential(
                nn.Conv2d(channels_in, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.inner(x) + self.around(x))


class SmallResNet(TwoParts):
    """`early` ends at half the size."""

    def __init__(self, classes: int):
        early = nn.Sequential(patches(48), Bottleneck(48, 48, 96, 1))
        late = nn.Sequential(
            Bottleneck(96, 32, 96, 1),
            Bottleneck(96, 64, 128, 2),
            Bottleneck(128, 64, 128, 1),
            Bottleneck(128, 64, 192, 2),
        )
        super().__init__(early, late, 192, classes)
