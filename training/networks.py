"""Small networks for the proof: a VGG and a ResNet, of which `early` computes in tiles and `late` on the whole map."""

import torch
from torch import nn

from model import layers


class SmallVgg(nn.Module):
    """[n, 3, h, w] -> [n, classes]; `early` ends with the second pooling, at a quarter of the size."""

    def __init__(self, classes: int):
        super().__init__()
        self.early, channels = layers((24, 24, "pool", 48, 48, "pool"), 3)
        self.late, channels = layers((96, 96, "pool", 128), channels)
        self.average = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(0.2)
        self.classify = nn.Linear(channels, classes)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        features = self.average(self.late(self.early(pixels))).flatten(1)
        return self.classify(self.dropout(features))


class Block(nn.Module):
    """Two 3x3 convolutions with a way around them; the way around is a 1x1 convolution where the shape changes."""

    def __init__(self, channels_in: int, channels: int, stride: int):
        super().__init__()
        self.first = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(channels)
        self.second = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(channels)
        self.around = nn.Identity()
        if stride != 1 or channels_in != channels:
            self.around = nn.Sequential(
                nn.Conv2d(channels_in, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = torch.relu(self.first_norm(self.first(x)))
        return torch.relu(self.second_norm(self.second(inner)) + self.around(x))


class SmallResNet(nn.Module):
    """[n, 3, h, w] -> [n, classes]; `early` ends at a quarter of the size."""

    def __init__(self, classes: int):
        super().__init__()
        self.early = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            Block(16, 16, 1),
            Block(16, 32, 2),
            Block(32, 32, 1),
            Block(32, 64, 2),
        )
        self.late = nn.Sequential(Block(64, 64, 1), Block(64, 128, 2))
        self.average = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(0.2)
        self.classify = nn.Linear(128, classes)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        features = self.average(self.late(self.early(pixels))).flatten(1)
        return self.classify(self.dropout(features))
