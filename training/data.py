"""Reads the files that `npm run scenes` writes, and varies pictures a little more while training."""

from pathlib import Path

import numpy as np
import torch

# (pixel / SCALE - MEAN) / STD, the same for red, green and blue; stated again in model.yaml.
SCALE, MEAN, STD = 255.0, 0.5, 0.25


class Scenes:
    """Labels and pictures of some files: records of a label byte and three planes of size x size bytes."""

    def __init__(self, files: list[Path], size: int):
        record = 1 + 3 * size * size
        parts = []
        for file in files:
            if file.stat().st_size % record != 0:
                raise SystemExit(f"{file} does not hold whole pictures of {size}x{size}: was it written with --size {size}?")
            parts.append(np.fromfile(file, dtype=np.uint8).reshape(-1, record))
        records = np.concatenate(parts) if len(parts) > 1 else parts[0]
        self.labels = torch.from_numpy(records[:, 0].astype(np.int64))
        self.pixels = torch.from_numpy(records[:, 1:].reshape(-1, 3, size, size))

    def __len__(self) -> int:
        return len(self.labels)


def normalise(pixels: torch.Tensor) -> torch.Tensor:
    """Bytes -> what the network takes."""
    return (pixels.float() / SCALE - MEAN) / STD


def vary(pixels: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """Mirrors half of the pictures and shifts each by up to 8 pixels: new pictures for nothing."""
    mirrored = torch.rand(len(pixels), generator=random) < 0.5
    pixels = torch.where(mirrored[:, None, None, None], pixels.flip(3), pixels)
    dx, dy = torch.randint(-8, 9, (2,), generator=random).tolist()
    return pixels.roll((dy, dx), dims=(2, 3))
