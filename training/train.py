"""Trains the bundled model. Started again after an interruption, it goes on from the last whole epoch."""

import argparse
import json
import time
from pathlib import Path

import torch
from torch import nn

from data import Scenes, normalise, vary
from export import export_onnx
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
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--bf16", action="store_true", help="compute in bfloat16: twice as fast on processors that have it")
    return parser.parse_args()


@torch.no_grad()
def accuracy(model: nn.Module, scenes: Scenes) -> float:
    """The share of pictures whose highest logit is their class."""
    model.eval()
    right = 0
    for pixels, labels in zip(scenes.pixels.split(256), scenes.labels.split(256)):
        right += (model(normalise(pixels)).argmax(1) == labels).sum().item()
    return right / len(scenes)


def train_epoch(model, optimiser, schedule, scenes: Scenes, options, epoch: int, started: float, first: int) -> None:
    """One pass over the training pictures. The order depends on the seed and the epoch only, so that resuming repeats it."""
    model.train()
    random = torch.Generator().manual_seed(options.seed * 1000 + epoch)
    batches = torch.randperm(len(scenes), generator=random).split(options.batch)
    measure = nn.CrossEntropyLoss(label_smoothing=0.05)
    loss_sum = right = seen = 0
    for number, chosen in enumerate(batches, 1):
        pixels, labels = vary(scenes.pixels[chosen], random), scenes.labels[chosen]
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=options.bf16):
            logits = model(normalise(pixels))
        loss = measure(logits.float(), labels)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        loss_sum += loss.item() * len(chosen)
        right += (logits.argmax(1) == labels).sum().item()
        seen += len(chosen)
        if number % 50 == 0 or number == len(batches):
            done = (epoch - first) * len(batches) + number
            left = (time.time() - started) / done * ((options.epochs - first) * len(batches) - done)
            print(
                f"epoch {epoch + 1}/{options.epochs}  batch {number}/{len(batches)}  loss {loss_sum / seen:.4f}  "
                f"accuracy {right / seen:.4f}  {left / 60:.1f} min left",
                flush=True,
            )


def main() -> None:
    options = arguments()
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    checkpoint = options.out / "checkpoint.pt"

    labels = options.labels.read_text().split("\n")
    labels = [label for label in labels if label]
    train, validation = Scenes(options.train, INPUT_SIZE), Scenes(options.validation, INPUT_SIZE)
    model = SceneNet(len(labels)).to(memory_format=torch.channels_last)
    parameters = sum(p.numel() for p in model.parameters())
    print(f"{parameters} parameters, {count_macs(model) / 1e6:.1f} million multiply-adds, {len(train)} pictures", flush=True)

    optimiser = torch.optim.AdamW(model.parameters(), lr=options.rate, weight_decay=0.02)
    steps = options.epochs * -(-len(train) // options.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, options.rate, total_steps=steps, pct_start=0.2)
    first, history = 0, []
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        schedule.load_state_dict(state["schedule"])
        first, history = state["epoch"], state["history"]
        print(f"going on after epoch {first}", flush=True)

    started = time.time()
    for epoch in range(first, options.epochs):
        began = time.time()
        train_epoch(model, optimiser, schedule, train, options, epoch, started, first)
        history.append({"epoch": epoch + 1, "validation": accuracy(model, validation), "seconds": round(time.time() - began)})
        print(f"epoch {epoch + 1}: validation accuracy {history[-1]['validation']:.4f}", flush=True)
        state = {
            "model": model.state_dict(),
            "optimiser": optimiser.state_dict(),
            "schedule": schedule.state_dict(),
            "epoch": epoch + 1,
            "history": history,
        }
        torch.save(state, checkpoint.with_suffix(".tmp"))
        checkpoint.with_suffix(".tmp").replace(checkpoint)

    export_onnx(model, options.out / "model.onnx")
    report = {"validation": history[-1]["validation"], "parameters": parameters, "pictures": len(train), "history": history}
    (options.out / "accuracy.json").write_text(json.dumps(report, indent=2) + "\n")
    print(f"wrote {options.out / 'model.onnx'}, validation accuracy {report['validation']:.4f}")


if __name__ == "__main__":
    main()
