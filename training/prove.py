"""
Makes the table of docs/retraining.md: what tiles, clipping and quantisation cost in accuracy, and what retraining gives
back. Row by row: each finished row is a line of the results file, and a later run goes on with what is missing. Weights
and decoded pictures are kept in the work folder; where that is gone, what a missing row needs is trained again.
"""

import argparse
import base64
import json
import math
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from data import Pictures, read_folder, split_off
from export import export_model
from fit import Settings, answers
from model import count_macs
from networks import SmallResNet, SmallVgg
from progressive import STEPS, apply, bytes_per_picture, run_step
from tiles import Stage, Tiled

NETWORKS = {"vgg": SmallVgg, "resnet": SmallResNet}
CUT = "early"
BITS = 4


@dataclass(frozen=True)
class DataSet:
    """Folders of pictures, their size, and for how many epochs the whole network and each step are trained."""

    train: str
    test: str
    size: int
    whole_epochs: int
    step_epochs: int


DATA_SETS = {
    "cifar10": DataSet("cifar/train", "cifar/test", 32, whole_epochs=20, step_epochs=2),
    "tiny-imagenet-20": DataSet("tiny/train", "tiny/val", 64, whole_epochs=30, step_epochs=4),
}
GRIDS = ((2, 2), (4, 4), (8, 8))
# Three seeds for one network on each data set, one for the other.
SEEDS = {"vgg": (1, 2, 3), "resnet": (1,)}
# Early exits are to be trained here too: a further step behind "quantise", with a row for each threshold.
ROWS = ("untrained", *STEPS)
TITLES = {"untrained": "FDSP, not retrained", "fdsp": "FDSP", "clip": "+ clipped ReLU", "quantise": f"+ {BITS} bits"}


def key(row: dict) -> tuple:
    return (row["data"], row["network"], row["seed"], row["grid"], row["step"])


def pack(right: torch.Tensor) -> str:
    """Which test pictures were right, as text."""
    return base64.b64encode(zlib.compress(np.packbits(right.numpy()).tobytes(), 9)).decode()


def unpack(row: dict) -> np.ndarray:
    bits = np.unpackbits(np.frombuffer(zlib.decompress(base64.b64decode(row["right"])), np.uint8))
    return bits[: row["pictures"]].astype(float)


def read_rows(file: Path) -> dict[tuple, dict]:
    rows = [json.loads(line) for line in file.read_text().split("\n") if line] if file.exists() else []
    return {key(row): row for row in rows}


class Proof:
    """One network on one data set with one seed: makes its missing rows."""

    def __init__(self, options, data: str, network: str, seed: int):
        self.options, self.data, self.network, self.seed = options, data, network, seed
        self.folder = options.work / f"{data}-{network}-{seed}"
        self.set = DATA_SETS[data]

    def wanted(self) -> list[tuple]:
        own = (self.data, self.network, self.seed)
        return [
            *((*own, "", step) for step in ("whole", "control")),
            *((*own, f"{rows}x{cols}", step) for rows, cols in GRIDS for step in ROWS),
        ]

    def missing(self) -> list[tuple]:
        done = read_rows(self.options.results)
        return [row for row in self.wanted() if row not in done]

    def load(self) -> None:
        size = (self.set.size, self.set.size)
        work = self.options.work
        pictures = read_folder(self.options.data / self.set.train, size, work / f"{self.data}-train.npy")
        self.test = read_folder(self.options.data / self.set.test, size, work / f"{self.data}-test.npy")
        self.train, self.validation = split_off(pictures, 0.1, seed=0)

    def settings(self, epochs: int, rate: float) -> Settings:
        return Settings(epochs, rate, self.options.batch, self.seed, self.options.bf16, self.set.size // 8)

    def fresh(self, grid: tuple[int, int]) -> Tiled:
        torch.manual_seed(self.seed)
        network = NETWORKS[self.network](len(self.train.classes)).to(memory_format=torch.channels_last)
        return Tiled(network, [Stage(CUT, grid)], BITS)

    def whole(self, grid: tuple[int, int] = (1, 1)) -> tuple[Tiled, dict]:
        """The whole network, trained or loaded; the grid is for what is to come."""
        tiled = self.fresh(grid)
        settings = self.settings(self.set.whole_epochs, 4e-3)
        return tiled, run_step(tiled, "whole", self.train, self.validation, settings, self.folder)

    def note(self, tiled: Tiled, grid: str, step: str, report: dict) -> None:
        """Evaluates on the test pictures, once, and writes the row."""
        row = {"data": self.data, "network": self.network, "seed": self.seed, "grid": grid, "step": step}
        if key(row) in read_rows(self.options.results):
            return
        given = answers(tiled, self.test, self.settings(0, 0))
        right = given == self.test.labels
        row |= {
            "pictures": len(self.test),
            "accuracy": round(right.float().mean().item(), 5),
            "validation": round(report["validation"], 5),
            "epochs": report["epochs"],
            "seconds": report["seconds"],
            "bytes": bytes_per_picture(tiled, self.test, self.settings(0, 0)) if step == "quantise" else None,
            "right": pack(right),
        }
        with self.options.results.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(f"row: {self.data} {self.network} seed {self.seed} {grid} {step}: {row['accuracy']:.4f}", flush=True)
        if step == "quantise":
            self.export(tiled, grid, row, given)

    def export(self, tiled: Tiled, grid: str, row: dict, given: torch.Tensor) -> None:
        """A model folder, the test pictures as records and PyTorch's answers, for `npm run bench -- tiled-accuracy`."""
        folder = self.folder / grid / "model"
        export_model(
            tiled,
            folder,
            name=f"{self.data}-{self.network}-{grid}",
            size=(self.set.size, self.set.size),
            labels=self.test.classes,
            normalisation={"scale": 255, "mean": [0.5], "std": [0.25]},
            accuracy={"dataset": f"{self.data}, {len(self.test)} test pictures", "retrained": row["accuracy"]},
        )
        (folder / "answers.json").write_text(json.dumps(given.tolist()) + "\n")
        records = self.options.work / f"{self.data}-test.bin"
        if not records.exists():
            pixels = self.test.pixels.reshape(len(self.test), -1)
            torch.cat([self.test.labels[:, None].byte(), pixels], 1).numpy().tofile(records)

    def run(self) -> None:
        missing = self.missing()
        if not missing:
            return
        self.load()
        tiled, report = self.whole()
        self.note(tiled, "", "whole", report)
        if any(row[4] == "control" for row in missing):
            # As many further epochs as the three steps have: what is lost is not to be hidden by longer training.
            settings = self.settings(3 * self.set.step_epochs, 1e-3)
            self.note(tiled, "", "control", run_step(tiled, "control", self.train, self.validation, settings, self.folder))
        # 4x4 first: it is what the target asks of both data sets.
        for grid in sorted(GRIDS, key=lambda grid: grid != (4, 4)):
            name = f"{grid[0]}x{grid[1]}"
            if not any(row[3] == name for row in missing):
                continue
            tiled, report = self.whole(grid)
            apply(tiled, "fdsp")
            self.note(tiled, name, "untrained", {**report, "epochs": 0, "seconds": 0})
            for step in STEPS:
                settings = self.settings(self.set.step_epochs, 1e-3)
                report = run_step(tiled, step, self.train, self.validation, settings, self.folder / name)
                self.note(tiled, name, step, report)


def interval(pairs: list[tuple[np.ndarray, np.ndarray]]) -> tuple[float, float]:
    """
    Mean loss in points against the reference, and half of its 95 % interval: of each picture the mean over the seeds,
    then the normal interval of the mean over pictures; seeds share their pictures, so they do not count as more of them.
    """
    losses = np.mean([reference - given for reference, given in pairs], axis=0) * 100
    return losses.mean(), 1.96 * losses.std(ddof=1) / math.sqrt(len(losses))


def table(rows: dict[tuple, dict]) -> list[str]:
    lines = []
    for data, data_set in DATA_SETS.items():
        for network in NETWORKS:
            own = [row for row in rows.values() if row["data"] == data and row["network"] == network]
            if not own:
                continue
            tiled = Tiled(NETWORKS[network](10), [Stage(CUT, (1, 1))], BITS)
            macs = count_macs(tiled.network, data_set.size)
            share = count_macs(tiled.network.early, data_set.size) / macs
            lines += [
                f"### {network}, {data} ({data_set.size}x{data_set.size})",
                "",
                f"{macs / 1e6:.1f} million multiply-adds, {100 * share:.0f} % of them in tiles.",
                "",
                "| grid | step | accuracy, % | seeds | loss, points | 95 % interval | bytes a picture | of raw | epochs | s |",
                "|---|---|---|---|---|---|---|---|---|---|",
            ]
            for grid, step in [("", "whole"), ("", "control"), *((f"{r}x{c}", step) for r, c in GRIDS for step in ROWS)]:
                found = [row for row in own if row["grid"] == grid and row["step"] == step]
                if not found:
                    continue
                pairs = []
                for row in found:
                    reference = rows.get((data, network, row["seed"], "", "control"))
                    if reference is not None and step not in ("whole", "control"):
                        pairs.append((unpack(reference), unpack(row)))
                loss = spread = ""
                if pairs:
                    mean, half = interval(pairs)
                    loss, spread = f"{mean:.2f}", f"{mean - half:.2f} to {mean + half:.2f}"
                sizes = [row["bytes"] for row in found if row["bytes"]]
                sent = sum(size["entropy"] for size in sizes) / len(sizes) if sizes else 0
                title = {"whole": "whole", "control": "whole, trained on as long"}.get(step) or TITLES[step]
                means = {field: sum(row[field] for row in found) / len(found) for field in ("accuracy", "epochs", "seconds")}
                size = f"{sent:.0f}" if sizes else ""
                share_sent = f"{100 * sent / sizes[0]['raw']:.1f} %" if sizes else ""
                lines.append(
                    f"| {grid} | {title} | {100 * means['accuracy']:.2f} | {len(found)} | {loss} | {spread} | "
                    f"{size} | {share_sent} | {means['epochs']:.0f} | {means['seconds']:.0f} |"
                )
            lines.append("")
    return lines


MARK = "<!-- table: training/prove.py writes what follows -->"


def write_document(file: Path, rows: dict[tuple, dict], options) -> None:
    """Puts the table behind the mark of the document, with what is still missing."""
    everything = [row for proof in proofs(options, all_of_them=True) for row in proof.wanted()]
    missing = [row for row in everything if row not in rows]
    head = file.read_text().split(MARK)[0]
    done = [
        f"{len(everything) - len(missing)} of {len(everything)} rows are made"
        + ("." if not missing else "; missing: " + ", ".join(sorted({f"{d} {n} seed {s}" for d, n, s, _, _ in missing})) + ".")
    ]
    file.write_text("\n".join([head + MARK, "", *done, "", *table(rows)]).rstrip() + "\n")


def proofs(options, all_of_them: bool = False) -> list[Proof]:
    """In the order of the seeds, so that every network on every data set has a first answer early."""
    return [
        Proof(options, data, network, seed)
        for seed in (1, 2, 3)
        for data in DATA_SETS
        for network in NETWORKS
        if seed in SEEDS[network]
        and (all_of_them or ((options.only is None or options.only == data) and (options.network in (None, network))))
        and (all_of_them or options.seed in (None, seed))
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with cifar/{train,test} and tiny/{train,val}, unpacked")
    parser.add_argument("--results", type=Path, default=Path("training/results.jsonl"))
    parser.add_argument("--work", type=Path, default=Path("training/runs/proof"))
    parser.add_argument("--document", type=Path, default=Path("docs/retraining.md"))
    parser.add_argument("--only", choices=list(DATA_SETS), help="one data set")
    parser.add_argument("--network", choices=list(NETWORKS))
    parser.add_argument("--seed", type=int)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--bf16", action="store_true", help="compute in bfloat16: twice as fast on processors that have it")
    parser.add_argument("--table", action="store_true", help="only write the table again")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.work.mkdir(parents=True, exist_ok=True)
    for proof in [] if options.table else proofs(options):
        began = time.time()
        if proof.missing():
            proof.run()
            print(f"{proof.data} {proof.network} seed {proof.seed}: {time.time() - began:.0f} s", flush=True)
    write_document(options.document, read_rows(options.results), options)


if __name__ == "__main__":
    main()
