"""Trains a network for some epochs, with progress; resumes after the last complete epoch."""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from data import MEAN, STD, Pictures, normalise, vary
from progress import Run


# Weight of the distillation loss where there is a teacher, and its temperature.
IMITATION = 0.8
TEMPERATURE = 2.0


@dataclass(frozen=True)
class Settings:
    """Training settings; `reach` is the largest shift of pictures in pixels, `rate` the highest learning rate."""

    epochs: int
    rate: float
    batch: int = 64
    seed: int = 1
    bf16: bool = False
    reach: int = 8
    weight_decay: float = 0.02
    smoothing: float = 0.05
    mean: float | torch.Tensor = MEAN
    std: float | torch.Tensor = STD


@torch.no_grad()
def answers(model: nn.Module, pictures: Pictures, settings: Settings) -> torch.Tensor:
    """The class with the highest logit of each picture, computed in float32."""
    model.eval()
    return torch.cat(
        [model(normalise(pixels, settings.mean, settings.std)).argmax(1) for pixels in pictures.pixels.split(200)]
    )


def accuracy(model: nn.Module, pictures: Pictures, settings: Settings) -> float:
    """The share of pictures whose highest logit is their class."""
    return (answers(model, pictures, settings) == pictures.labels).float().mean().item()


def save(value: object, file: Path) -> None:
    """Writes the file atomically."""
    torch.save(value, file.with_suffix(".tmp"))
    file.with_suffix(".tmp").replace(file)


def imitation_loss(logits: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Hinton, Vinyals and Dean, 2015: cross-entropy with the teacher's probabilities, both at TEMPERATURE, times its square."""
    probabilities = F.softmax(wanted / TEMPERATURE, 1)
    return -(probabilities * F.log_softmax(logits / TEMPERATURE, 1)).sum(1).mean() * TEMPERATURE**2


def train_epoch(
    model, optimiser, schedule, pictures: Pictures, settings: Settings, epoch: int, progress, teacher=None, cost=None
) -> None:
    """One pass over the pictures. The order depends on the seed and the epoch only, so that resuming repeats it."""
    model.train()
    random = torch.Generator().manual_seed(settings.seed * 1000 + epoch)
    # Dropout draws from the global generator.
    torch.manual_seed(settings.seed * 1000 + epoch)
    batches = torch.randperm(len(pictures), generator=random).split(settings.batch)
    measure = nn.CrossEntropyLoss(label_smoothing=settings.smoothing)
    loss_sum = right = seen = 0
    for number, chosen in enumerate(batches, 1):
        pixels, labels = vary(pictures.pixels[chosen], random, settings.reach), pictures.labels[chosen]
        pixels = normalise(pixels, settings.mean, settings.std).to(memory_format=torch.channels_last)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=settings.bf16):
            logits = model(pixels)
        loss = measure(logits.float(), labels)
        if teacher is not None:
            with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=settings.bf16):
                wanted = teacher(pixels)
            loss = (1 - IMITATION) * loss + IMITATION * imitation_loss(logits.float(), wanted.float())
        if cost is not None:
            loss = loss + cost()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        loss_sum += loss.item() * len(chosen)
        right += (logits.argmax(1) == labels).sum().item()
        seen += len(chosen)
        progress(
            epoch * len(batches) + number,
            f"epoch {epoch + 1} of {settings.epochs}, loss {loss_sum / seen:.4f}, accuracy {right / seen:.4f}",
        )


def fit(
    model: nn.Module,
    train: Pictures,
    validation: Pictures,
    settings: Settings,
    state_file: Path,
    name: str,
    teacher: nn.Module | None = None,
    cost: Callable[[], torch.Tensor | float] | None = None,
    is_fit: Callable[[], bool] | None = None,
    run: Run | None = None,
) -> dict:
    """
    Trains, and leaves the model with the weights of the best epoch on `validation` (the later of equal ones).
    Returns that accuracy and each epoch's; `state_file` holds the state for resuming, and is deleted at the end.
    With a `teacher`, the model learns its predictions besides the labels (distillation). `cost` is called after each run of the model
    and added to the loss; `is_fit` is called after each epoch, and an epoch for which it is true is preferred to others.
    `run`: the progress of the run whose step `name` this is.
    """
    optimiser = torch.optim.AdamW(model.parameters(), lr=settings.rate, weight_decay=settings.weight_decay)
    batches = -(-len(train) // settings.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.rate, total_steps=max(1, settings.epochs * batches), pct_start=0.2
    )
    if teacher is not None:
        teacher.eval()
    first, history, best = 0, [], None
    if state_file.exists():
        state = torch.load(state_file, weights_only=True)
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        schedule.load_state_dict(state["schedule"])
        first, history, best = state["epoch"], state["history"], state["best"]
        print(f"{name}: resuming after epoch {first}", flush=True)
    run = run or Run(name, {name: settings.epochs * batches})
    progress = run.begin(name, first * batches)
    for epoch in range(first, settings.epochs):
        began = time.time()
        train_epoch(model, optimiser, schedule, train, settings, epoch, progress, teacher, cost)
        share = accuracy(model, validation, settings)
        history.append({"epoch": epoch + 1, "validation": share, "seconds": round(time.time() - began, 1)})
        print(f"{name}  epoch {epoch + 1}: validation accuracy {share:.4f}", flush=True)
        worth = [is_fit is None or is_fit(), share]
        if best is None or worth >= best["worth"]:
            best = {"worth": worth, "validation": share, "model": copy.deepcopy(model.state_dict())}
        save(
            {
                "model": model.state_dict(),
                "optimiser": optimiser.state_dict(),
                "schedule": schedule.state_dict(),
                "epoch": epoch + 1,
                "history": history,
                "best": best,
            },
            state_file,
        )
    if best is not None:
        model.load_state_dict(best["model"])
    state_file.unlink(missing_ok=True)
    return {
        "validation": best["validation"] if best else accuracy(model, validation, settings),
        "epochs": settings.epochs,
        "seconds": round(sum(epoch["seconds"] for epoch in history), 1),
        "history": history,
    }
