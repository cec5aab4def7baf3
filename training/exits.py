""" Early exits: a small classifier on an intermediate tensor, trained with all other weights frozen. A picture with a
confident prediction ends there, and later layers are skipped. Confident: the highest softmax probability reaches a
threshold. """

from pathlib import Path

import torch
from torch import nn

from data import Pictures, normalise
from fit import Settings, fit, save
from progress import Run
from tiles import Tiled, paste_tiles

# Name of the exit's logits in exported files.
EXIT = "exit"
# Decimal places of the threshold: few enough for model.yaml, fine enough for the choice.
THRESHOLDS = tuple(round(number / 100, 2) for number in range(30, 100))


class Head(nn.Module):
    """
    [n, c, h, w] -> [n, classes] logits: a 3x3 convolution of stride 2, means over about 4x4 fields, a dense layer. The
    fields keep coarse positions: with the mean over the whole map far fewer pictures are confident.
    """

    def __init__(self, shape: tuple[int, int, int], classes: int, channels: int = 64):
        super().__init__()
        fields = [max(1, -(-side // 2) // 4) for side in shape[1:]]
        self.convolution = nn.Conv2d(shape[0], channels, 3, 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.average = nn.AvgPool2d(fields) if max(fields) > 1 else nn.Identity()
        cells = [-(-side // 2) // field for side, field in zip(shape[1:], fields)]
        self.classify = nn.Linear(channels * cells[0] * cells[1], classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classify(self.average(torch.relu(self.norm(self.convolution(x)))).flatten(1))


class Exiting(nn.Module):
    """
    A retrained network, frozen, with an exit on the output of the submodule named `at`: a cut, where the exit gets the
    clipped and quantised tensor, or any submodule after the last cut. Called as a module it returns the exit's
    logits.
    """

    def __init__(self, tiled: Tiled, at: str, classes: int, size: tuple[int, int]):
        super().__init__()
        self.tiled, self.at = tiled, at
        self.seen: torch.Tensor | None = None
        modules = dict(tiled.network.named_modules())
        if at not in modules:
            raise SystemExit(f'the network has no submodule "{at}"; it has: {", ".join(filter(None, modules))}')
        # Registered after the hook of Tiled on the same submodule, so that it sees the output of that hook: at a cut that a
        # further stage follows that is its tiles.
        cuts = [stage.cut for stage in tiled.stages]
        grid = tiled.stages[cuts.index(at) + 1].grid if at in cuts[:-1] else (1, 1)
        modules[at].register_forward_hook(lambda _module, _inputs, out: self.look(out.detach(), grid))
        self.tiled.eval()
        self.run(torch.zeros(1, 3, *size))
        if self.seen is None or self.seen.dim() != 4 or len(self.seen) != 1:
            raise SystemExit(f'"{at}" cannot have an exit, as its output is no whole feature map: use a cut, or a map after the last cut')
        self.shape = tuple(self.seen.shape[1:])
        self.head = Head(self.shape, classes)

    def look(self, handed_on: torch.Tensor, grid: tuple[int, int]) -> None:
        self.seen = paste_tiles(handed_on, grid) if grid != (1, 1) and self.tiled.is_tiled else handed_on

    def train(self, mode: bool = True) -> "Exiting":
        super().train(mode)
        # Neither its weights nor its means and variances may change.
        self.tiled.eval()
        return self

    @torch.no_grad()
    def run(self, pixels: torch.Tensor) -> torch.Tensor:
        """Logits of the network; stores the exit's input in `seen`."""
        self.seen = None
        return self.tiled(pixels)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        self.run(pixels)
        return self.head(self.seen)


@torch.no_grad()
def both_logits(exiting: Exiting, pictures: Pictures, settings: Settings) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of the exit and of the whole network [n, classes], computed in float32."""
    exiting.eval()
    early, late = [], []
    for pixels in pictures.pixels.split(200):
        late.append(exiting.run(normalise(pixels, settings.mean, settings.std)))
        early.append(exiting.head(exiting.seen))
    return torch.cat(early), torch.cat(late)


def combine(early: torch.Tensor, late: torch.Tensor, threshold: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The class of each picture and whether it ends at the exit, by central's rule."""
    score, chosen = early.double().softmax(1).max(1)
    leaves = score >= threshold
    return torch.where(leaves, chosen, late.argmax(1)), leaves


def expected_answers(given: torch.Tensor, leaves: torch.Tensor) -> dict:
    """Content of answers.json for a network with an exit: the classes, and the index in `exits` of model.yaml at which each picture ended."""
    return {"answers": given.tolist(), "exits": [0 if left else None for left in leaves.tolist()]}


def measure(early: torch.Tensor, late: torch.Tensor, labels: torch.Tensor, threshold: float) -> dict:
    """Shares: of pictures that end at the exit, of correct predictions, and of correct ones among those that end there (null: none)."""
    given, leaves = combine(early, late, threshold)
    right = (given == labels).double()
    return {
        "threshold": threshold,
        "left": round(leaves.double().mean().item(), 5),
        "accuracy": round(right.mean().item(), 5),
        "accuracy_left": round(right[leaves].mean().item(), 5) if leaves.any() else None,
    }


def largest_loss(lost: int, won: int, count: int) -> float:
    """
    The upper end of the one-sided 95 % interval of a loss of accuracy, measured on the same `count` pictures: `lost` are
    right only without the exit, `won` only with it. Agresti and Min, 2005: half a picture is added to both.
    """
    lost, won, count = lost + 0.5, won + 0.5, count + 2
    loss = (lost - won) / count
    return loss + 1.645 * ((lost + won) / count - loss**2) ** 0.5 / count**0.5


def exit_curve(early: torch.Tensor, late: torch.Tensor, labels: torch.Tensor) -> list[dict]:
    """For each threshold: the share that ends at the exit, accuracy, its loss, and the upper end of the loss."""
    without = late.argmax(1) == labels
    curve = []
    for threshold in THRESHOLDS:
        given, leaves = combine(early, late, threshold)
        right = given == labels
        lost, won = (without & ~right).sum().item(), (right & ~without).sum().item()
        curve.append(
            {
                "threshold": threshold,
                "left": round(leaves.double().mean().item(), 5),
                "accuracy": round(right.double().mean().item(), 5),
                "loss": round((lost - won) / len(labels), 5),
                "loss_at_most": round(largest_loss(lost, won, len(labels)), 5),
            }
        )
    return curve


def choose_threshold(curve: list[dict], loss: float) -> float:
    """
    The least threshold of a curve at which, and at all higher ones too, the upper end of the loss is at most `loss`. 1
    where even the highest may cost more: then nearly no picture ends at the exit.
    """
    chosen = 1.0
    for point in reversed(curve):
        if point["loss_at_most"] > loss:
            break
        chosen = point["threshold"]
    return chosen


def train_exit(
    exiting: Exiting,
    train: Pictures,
    validation: Pictures,
    settings: Settings,
    folder: Path,
    loss: float = 0.005,
    run: Run | None = None,
) -> dict:
    """
    Trains the exit, saves it in FOLDER/exit.pt, and chooses its threshold on `validation`, so that at most `loss` of
    accuracy is lost there with 95 % confidence. An existing exit is loaded; interrupted training is resumed. Returns the
    figures.
    """
    kept = folder / "exit.pt"
    if kept.exists():
        state = torch.load(kept, weights_only=True)
        report = state["report"]
        if report["at"] != exiting.at:
            raise SystemExit(f'{kept} is an exit after "{report["at"]}": delete it to train another')
        exiting.head.load_state_dict(state["head"])
    else:
        folder.mkdir(parents=True, exist_ok=True)
        report = fit(exiting, train, validation, settings, folder / "exit.state.pt", "exit", run=run)
        report |= {"at": exiting.at}
        save({"head": exiting.head.state_dict(), "report": report}, kept)
    early, late = both_logits(exiting, validation, settings)
    curve = exit_curve(early, late, validation.labels)
    threshold = choose_threshold(curve, loss)
    chosen_on = measure(early, late, validation.labels, threshold)
    return report | {"threshold": threshold, "chosen_on": chosen_on, "curve": curve}
