"""The bundled network: a small VGG whose four poolings can all lie inside tiles."""

import torch
from torch import nn

INPUT_SIZE = 128

# Numbers are 3x3 convolutions (output channels), "pool" is a 2x2 maximum. Four poolings of 128 pixels leave 8x8, so
# the grids 2x2, 4x4 and 8x8 cut every feature map of TILEABLE evenly; TAIL computes on the whole map.
TILEABLE = (16, "pool", 32, "pool", 48, 48, "pool", 64, 64, "pool")
TAIL = (96, 128)


def conv_block(channels_in: int, channels_out: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution, batch norm, ReLU; the size is divided by `stride`. On export the norm is folded into the convolution."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel, stride, (kernel - 1) // 2, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )


def layers(plan: tuple, channels: int) -> tuple[nn.Sequential, int]:
    """Builds the layers of a list like TILEABLE; returns them and their output channels."""
    built: list[nn.Module] = []
    for step in plan:
        if step == "pool":
            built.append(nn.MaxPool2d(2))
        else:
            built.append(conv_block(channels, step))
            channels = step
    return nn.Sequential(*built), channels


class SceneNet(nn.Module):
    """[n, 3, 128, 128] normalised pixels -> [n, classes] logits."""

    def __init__(self, classes: int):
        super().__init__()
        self.tileable, channels = layers(TILEABLE, 3)
        self.tail, channels = layers(TAIL, channels)
        self.average = nn.AdaptiveAvgPool2d(1)
        self.classify = nn.Linear(channels, classes)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        features = self.tail(self.tileable(pixels))
        return self.classify(self.average(features).flatten(1))


def count_macs(model: nn.Module, size: int = INPUT_SIZE, channels: int = 3, until: str = "") -> int:
    """Multiply-adds of one square picture or map, counted while one runs; `until`: only through that submodule."""
    total, counting = 0, True

    def count(layer: nn.Module, _inputs: tuple, output: torch.Tensor) -> None:
        nonlocal total
        weights = layer.weight
        total += weights[0].numel() * output[0].numel() if counting else 0

    def stop(*_given) -> None:
        nonlocal counting
        counting = False

    hooks = [m.register_forward_hook(count) for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    hooks.append(model.get_submodule(until).register_forward_hook(stop))
    was_training = model.training
    model.eval()
    with torch.no_grad():
        model(torch.zeros(1, channels, size, size))
    model.train(was_training)
    for hook in hooks:
        hook.remove()
    return total
