"""The contents of the table in docs/retraining.md: data sets, networks, steps, rows, and the file with the rows."""

import base64
import json
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from networks import SmallResNet, SmallVgg
from progressive import STEPS

NETWORKS = {"vgg": SmallVgg, "resnet": SmallResNet}
CUT = "early"
BITS = 3


@dataclass(frozen=True)
class DataSet:
    """Folders of pictures, their size, and the epochs of the whole network and of each step."""

    train: str
    test: str
    size: int
    whole_epochs: int
    step_epochs: dict[str, int]


DATA_SETS = {
    "cifar10": DataSet("cifar/train", "cifar/test", 32, whole_epochs=12, step_epochs={"fdsp": 4, "clip": 1, "quantise": 2}),
    "tiny-imagenet-20": DataSet("tiny/train", "tiny/val", 64, whole_epochs=20, step_epochs={"fdsp": 7, "clip": 2, "quantise": 3}),
}
GRIDS = ((2, 2), (4, 4), (8, 8))
# Three seeds for one network on each data set, one for the other.
SEEDS = {"vgg": (1, 2, 3), "resnet": (1,)}
ROWS = ("untrained", *STEPS)
TITLES = {
    "whole": "whole",
    "control": "whole, trained on as long",
    "untrained": "FDSP, not retrained",
    "fdsp": "FDSP",
    "clip": "+ clipped ReLU",
    "quantise": f"+ {BITS} bits",
    "exit": "+ exit",
}
# The grid whose network gets an exit, and its position: at the cut or after it; thresholds listed beside the chosen one.
EXIT_GRID = (4, 4)
EXIT_AT = CUT
EXIT_THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


def table_rows() -> list[tuple[str, str]]:
    """Grid and step of each row of one network on one data set with one seed."""
    tiled = [
        (f"{grid[0]}x{grid[1]}", step) for grid in GRIDS for step in (*ROWS, *(["exit"] if grid == EXIT_GRID else []))
    ]
    return [("", "whole"), ("", "control"), *tiled]


def runs() -> list[tuple[str, str, int]]:
    """Data set, network and seed, in the order of the seeds, so that every network on every data set has a first row early."""
    return [
        (data, network, seed) for seed in (1, 2, 3) for data in DATA_SETS for network in NETWORKS if seed in SEEDS[network]
    ]


def all_rows() -> list[tuple]:
    """The keys of all rows."""
    return [(*run, grid, step) for run in runs() for grid, step in table_rows()]


def key(row: dict) -> tuple:
    """The key of a row."""
    return (row["data"], row["network"], row["seed"], row["grid"], row["step"])


def pack(right: torch.Tensor) -> str:
    """Which test pictures were classified correctly, as text."""
    return base64.b64encode(zlib.compress(np.packbits(right.numpy()).tobytes(), 9)).decode()


def unpack(row: dict) -> np.ndarray:
    """The inverse of `pack` for a row: 1 for each test picture that was classified correctly, else 0."""
    bits = np.unpackbits(np.frombuffer(zlib.decompress(base64.b64decode(row["right"])), np.uint8))
    return bits[: row["pictures"]].astype(float)


def read_rows(file: Path) -> dict[tuple, dict]:
    """The rows of the results file by their keys; none where there is no file yet."""
    rows = [json.loads(line) for line in file.read_text().split("\n") if line] if file.exists() else []
    return {key(row): row for row in rows}
