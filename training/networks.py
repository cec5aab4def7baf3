"""Small networks for docs/retraining.md: a VGG and a ResNet, of which `early` runs in tiles and `late` on the whole
map."""

import torch
from torch import nn

from model import conv_block, layers


def patches(channels: int) -> nn.Sequential:
    """
    [n, 3, h, w] -> [n, channels, h / 2, w / 2]: a convolution over patches of 2x2 pixels that do not overlap, as networks
    of patches begin. It needs no neighbours beyond a tile's edge (docs/decisions/0015-networks-for-small-tiles.md).
    """
    return conv_block(3, channels, 2, 2)


def pointwise(channels_in: int, channels: int) -> nn.Sequential:
    """A 1x1 convolution, batch norm, ReLU, as in configuration C of VGG."""
    return conv_block(channels_in, channels, 1)


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


class Fire(nn.Module):
    """SqueezeNet's module: a 1x1 convolution to few channels, then 1x1 and 3x3 convolutions of them side by side."""

    def __init__(self, channels_in: int, squeezed: int, pointwise_channels: int, neighbour_channels: int):
        super().__init__()
        self.squeeze = pointwise(channels_in, squeezed)
        self.expand1 = pointwise(squeezed, pointwise_channels)
        self.expand3 = conv_block(squeezed, neighbour_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.squeeze(x)
        return torch.cat([self.expand1(x), self.expand3(x)], 1)


class SmallVgg(TwoParts):
    """`early` ends at half the size."""

    def __init__(self, classes: int):
        early = nn.Sequential(patches(64), pointwise(64, 96), Fire(96, 32, 24, 8))
        late, channels = layers((48, 64, "pool", 96, 96, "pool", 128), 32)
        super().__init__(early, late, channels, classes)


class Block(nn.Module):
    """
    ResNet's block: convolutions one after the other, of kernels (3, 3) or (1, 3, 1), with a way around them. `middle`
    channels within; the first convolution has the stride.
    """

    def __init__(self, channels_in: int, kernels: tuple[int, ...], middle: int, channels: int, stride: int):
        super().__init__()
        within = len(kernels) - 1
        widths = (channels_in, *[middle] * within, channels)
        strides = (stride, *[1] * within)
        inner = [layer for given in zip(widths, widths[1:], kernels, strides) for layer in conv_block(*given)]
        # The sum gets the last ReLU.
        self.inner = nn.Sequential(*inner[:-1])
        self.around = nn.Identity()
        if stride != 1 or channels_in != channels:
            self.around = conv_block(channels_in, channels, 1, stride)[:-1]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.inner(x) + self.around(x))


class SmallResNet(TwoParts):
    """`early` ends at half the size."""

    def __init__(self, classes: int):
        early = nn.Sequential(patches(96), Block(96, (1, 3, 1), 8, 32, 1))
        late = nn.Sequential(Block(32, (3, 3), 48, 48, 1), Block(48, (3, 3), 96, 96, 2), Block(96, (3, 3), 128, 128, 2))
        super().__init__(early, late, 128, classes)
