"""Trains the bundled model. Resumes after the last complete epoch."""

import argparse
import json
from pathlib import Path

import torch

from data import read_records
from export import export_onnx
from fit import Settings, fit, save
from model import INPUT_SIZE, SceneNet, count_macs


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", type=Path, nargs="+", required=True, help="files of `npm run scenes`")
    parser.add_argument("--validation", type=Path, nargs="+", required=True, help="the same, of other seeds")
    parser.add_argument("--labels", type=Path, default=Path("config/models/scenes/labels.txt"))
    parser.add_argument("--out", type=Path, default=Path("training/runs/scenes"), help="checkpoint, ONNX file, accuracy")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=4e-3, help="highest learning rate")
    parser.add_argument("--json", action="store_true", help="progress as JSON events on standard error")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--bf16", action="store_true", help="compute in bfloat16: twice as fast on processors that have it")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)

    labels = [label for label in options.labels.read_text().split("\n") if label]
    size = (INPUT_SIZE, INPUT_SIZE)
    train, validation = read_records(options.train, size), read_records(options.validation, size)
    model = SceneNet(len(labels)).to(memory_format=torch.channels_last)
    parameters = sum(p.numel() for p in model.parameters())
    print(f"{parameters} parameters, {count_macs(model) / 1e6:.1f} million multiply-adds, {len(train)} pictures", flush=True)

    settings = Settings(options.epochs, options.rate, options.batch, options.seed, options.bf16)
    fitted = fit(model, train, validation, settings, options.out / "state.pt", "scenes")
    save({"model": model.state_dict()}, options.out / "checkpoint.pt")
    export_onnx(model, options.out / "model.onnx")
    report = {"parameters": parameters, "pictures": len(train), **fitted}
    (options.out / "accuracy.json").write_text(json.dumps(report, indent=2) + "\n")
    print(f"wrote {options.out / 'model.onnx'}, validation accuracy {report['validation']:.4f}")


if __name__ == "__main__":
    main()
