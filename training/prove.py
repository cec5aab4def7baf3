""" Makes the table of docs/retraining.md: the loss of accuracy through tiles, clipping and quantisation, with and
without retraining. Each finished row is a line of the results file, and a later run continues with the missing rows.
Weights and decoded pictures are kept in the work folder; without it, a missing row's weights are trained again. """

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import torch

from data import read_folder, split_off
from exits import Exiting, both_logits, combine, expected_answers, measure, train_exit
from export import export_model
from fit import Settings, answers
from progressive import STEPS, apply, bytes_per_picture, run_step
from proof import BITS, CUT, DATA_SETS, EXIT_AT, EXIT_GRID, EXIT_THRESHOLDS, GRIDS, NETWORKS, all_rows, pack, read_rows, runs
from proof_table import write_document
from tiles import Stage, Tiled

# Highest learning rates.
STEP_RATES = {"fdsp": 1e-3, "clip": 5e-4, "quantise": 5e-4}
# Target size of results relative to 32-bit floats, such that the final size is below 5 %.
SHARE = 0.0475


class Proof:
    """One network on one data set with one seed: makes its missing rows."""

    def __init__(self, options, data: str, network: str, seed: int):
        self.options, self.data, self.network, self.seed = options, data, network, seed
        self.folder = options.work / f"{data}-{network}-{seed}"
        self.set = DATA_SETS[data]

    def missing(self) -> list[tuple]:
        done, run = read_rows(self.options.results), (self.data, self.network, self.seed)
        return [row for row in all_rows() if row[:3] == run and row[3] in ("", *self.options.grid) and row not in done]

    def load(self) -> None:
        size = (self.set.size, self.set.size)
        work = self.options.work
        pictures = read_folder(self.options.data / self.set.train, size, work / f"{self.data}-train.npy")
        self.test = read_folder(self.options.data / self.set.test, size, work / f"{self.data}-test.npy")
        self.train, self.validation = split_off(pictures, 0.1, seed=0)

    def settings(self, epochs: int, rate: float) -> Settings:
        return Settings(epochs, rate, self.options.batch, self.seed, self.options.bf16, self.set.size // 8)

    def of_step(self, step: str) -> Settings:
        return self.settings(self.set.step_epochs[step], STEP_RATES[step])

    def fresh(self, grid: tuple[int, int]) -> Tiled:
        torch.manual_seed(self.seed)
        network = NETWORKS[self.network](len(self.train.classes)).to(memory_format=torch.channels_last)
        return Tiled(network, [Stage(CUT, grid)], BITS)

    def whole(self, grid: tuple[int, int] = (1, 1)) -> tuple[Tiled, dict]:
        """The whole network, trained or loaded; the grid is for later steps."""
        tiled = self.fresh(grid)
        settings = self.settings(self.set.whole_epochs, 4e-3)
        return tiled, run_step(tiled, "whole", self.train, self.validation, settings, self.folder)

    def step(self, tiled: Tiled, step: str, settings: Settings, folder: Path) -> dict:
        """A step of retraining, in which the whole network is the teacher."""
        teacher, _ = self.whole()
        return run_step(tiled, step, self.train, self.validation, settings, folder, SHARE, teacher)

    def is_made(self, grid: str, step: str) -> bool:
        return (self.data, self.network, self.seed, grid, step) in read_rows(self.options.results)

    def write(self, grid: str, step: str, given: torch.Tensor, report: dict, sent: dict | None, **more) -> dict:
        """Appends the row of these predictions for the test pictures to the results."""
        row = {"data": self.data, "network": self.network, "seed": self.seed, "grid": grid, "step": step}
        right = given == self.test.labels
        row |= {
            "pictures": len(self.test),
            "accuracy": round(right.float().mean().item(), 5),
            "validation": round(report["validation"], 5),
            "epochs": report["epochs"],
            "seconds": report["seconds"],
            "bytes": sent,
            **more,
            "right": pack(right),
        }
        with self.options.results.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(f"row: {self.data} {self.network} seed {self.seed} {grid} {step}: {row['accuracy']:.4f}", flush=True)
        return row

    def note(self, tiled: Tiled, grid: str, step: str, report: dict) -> None:
        """Evaluates on the test pictures, once, and writes the row."""
        if self.is_made(grid, step):
            return
        given = answers(tiled, self.test, self.settings(0, 0))
        sent = bytes_per_picture(tiled, self.test, self.settings(0, 0)) if step == "quantise" else None
        row = self.write(grid, step, given, report, sent)
        if step == "quantise":
            self.export(tiled, grid, "model", {"retrained": row["accuracy"]}, given.tolist())

    def add_exit(self, tiled: Tiled, grid: str) -> None:
        """Trains an exit after the last step and writes its row, with the results at other thresholds."""
        if self.is_made(grid, "exit"):
            return
        torch.manual_seed(self.seed)
        exiting = Exiting(tiled, EXIT_AT, len(self.test.classes), (self.set.size, self.set.size))
        exiting.to(memory_format=torch.channels_last)
        # Hard targets: with smoothed ones scores are less calibrated.
        settings = replace(self.settings(2 * self.set.step_epochs["quantise"], 4e-3), smoothing=0.0)
        report = train_exit(exiting, self.train, self.validation, settings, self.folder / grid)
        early, late = both_logits(exiting, self.test, settings)
        given, leaves = combine(early, late, report["threshold"])
        chosen, *others = (
            measure(early, late, self.test.labels, threshold) for threshold in (report["threshold"], *EXIT_THRESHOLDS)
        )
        sent = bytes_per_picture(tiled, self.test, settings)
        figures = {**report, "validation": report["chosen_on"]["accuracy"]}
        row = self.write(grid, "exit", given, figures, sent, exit=chosen, thresholds=others)
        accuracy = {"with_exit": row["accuracy"], "leave_early": chosen["left"]}
        self.export(tiled, grid, "exit", accuracy, expected_answers(given, leaves), exiting, report["threshold"])

    def export(self, tiled: Tiled, grid: str, kind: str, accuracy: dict, expected, exiting=None, threshold=1.0) -> None:
        """A model folder, the test pictures as records and PyTorch's predictions, for `npm run bench -- tiled-accuracy`."""
        folder = self.folder / grid / kind
        export_model(
            tiled,
            folder,
            name=f"{self.data}-{self.network}-{grid}" + ("-exit" if exiting else ""),
            size=(self.set.size, self.set.size),
            labels=self.test.classes,
            normalisation={"scale": 255, "mean": [0.5], "std": [0.25]},
            accuracy={"dataset": f"{self.data}, {len(self.test)} test pictures", **accuracy},
            exiting=exiting,
            threshold=threshold,
        )
        (folder / "answers.json").write_text(json.dumps(expected) + "\n")
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
        for grid in GRIDS:
            name = f"{grid[0]}x{grid[1]}"
            if not any(row[3] == name for row in missing):
                continue
            tiled, report = self.whole(grid)
            apply(tiled, "fdsp")
            self.note(tiled, name, "untrained", {**report, "epochs": 0, "seconds": 0})
            for step in STEPS:
                report = self.step(tiled, step, self.of_step(step), self.folder / name)
                self.note(tiled, name, step, report)
            if grid == EXIT_GRID:
                self.add_exit(tiled, name)
        if any(row[4] == "control" for row in missing):
            tiled, _ = self.whole()
            # The control: the three trainings without tiles, so that longer training does not hide the loss.
            reports = [self.step(tiled, f"control-{step}", self.of_step(step), self.folder) for step in STEPS]
            total = {name: sum(report[name] for report in reports) for name in ("epochs", "seconds")}
            self.note(tiled, "", "control", {**reports[-1], **total})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with cifar/{train,test} and tiny/{train,val}, unpacked")
    parser.add_argument("--results", type=Path, default=Path("training/results.jsonl"))
    parser.add_argument("--work", type=Path, default=Path("training/runs/proof"))
    parser.add_argument("--document", type=Path, default=Path("docs/retraining.md"))
    parser.add_argument("--only", choices=list(DATA_SETS), help="one data set")
    parser.add_argument("--network", choices=list(NETWORKS))
    parser.add_argument("--seed", type=int)
    grids = [f"{rows}x{cols}" for rows, cols in GRIDS]
    parser.add_argument("--grid", nargs="+", choices=grids, default=grids, help="these grids only, beside the whole network")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--bf16", action="store_true", help="compute in bfloat16: twice as fast on processors that have it")
    parser.add_argument("--table", action="store_true", help="only write the table again")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.work.mkdir(parents=True, exist_ok=True)
    asked = (options.only, options.network, options.seed)
    for run in [] if options.table else runs():
        if any(one not in (None, own) for one, own in zip(asked, run)):
            continue
        proof = Proof(options, *run)
        began = time.time()
        if proof.missing():
            proof.run()
            print(f"{proof.data} {proof.network} seed {proof.seed}: {time.time() - began:.0f} s", flush=True)
    write_document(options.document, read_rows(options.results))


if __name__ == "__main__":
    main()
