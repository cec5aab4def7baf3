"""Progressive retraining (ADCNN, Algorithm 1): tiles, then clipped ReLU, then quantisation, each from the weights before."""

from pathlib import Path

import torch
from torch import nn

from data import Pictures, normalise
from fit import Settings, accuracy, fit, save
from progress import Run
from tiles import Tiled, choose_bounds, entropy_bits

STEPS = ("fdsp", "clip", "quantise")
# Largest allowed entropy of the codes, relative to the requested share.
TOLERANCE = 1.05


def apply(tiled: Tiled, step: str) -> None:
    """Enables the changes of this step; any other name (`whole`) disables all."""
    at = STEPS.index(step) if step in STEPS else -1
    tiled.is_tiled = at >= 0
    for travel in tiled.travel:
        travel.clips, travel.quantises = at >= 1, at >= 2


def set_bounds(tiled: Tiled, pictures: Pictures, settings: Settings, share: float) -> None:
    """Chooses each stage's clip bounds from the values at its cut for these pictures, with earlier stages already clipped."""
    apply(tiled, "fdsp")
    tiled.eval()
    pixels = normalise(pictures.pixels[:512], settings.mean, settings.std)
    for number, travel in enumerate(tiled.travel):
        values = torch.cat([tiled.cut_tensors(part)[number] for part in pixels.split(64)])
        travel.bounds = torch.tensor(choose_bounds(values, travel, share), dtype=torch.float64)
        travel.clips = True


@torch.no_grad()
def bytes_per_picture(tiled: Tiled, pictures: Pictures, settings: Settings) -> dict:
    """
    Bytes of the cut tensors of one picture, all stages together, mean of up to 512 pictures: as floats (`raw`), packed
    (`packed`), and the entropy of each picture's codes (`entropy`; the output of an entropy coder is close to it, with
    some bytes more for each tile).
    """
    tiled.eval()
    chosen = pictures.pixels[:512]
    result = {"raw": 0.0, "packed": 0.0, "entropy": 0.0}
    for part in chosen.split(64):
        for travel, whole in zip(tiled.travel, tiled.cut_tensors(normalise(part, settings.mean, settings.std))):
            result["raw"] += 4 * whole.numel()
            result["packed"] += travel.bits * whole.numel() / 8
            for picture in travel.codes(whole):
                result["entropy"] += entropy_bits(picture, travel.levels) * picture.numel() / 8
    return {kind: round(total / len(chosen), 1) for kind, total in result.items()}


def sent_share(tiled: Tiled, pictures: Pictures, settings: Settings) -> float:
    """The entropy of the codes relative to 32-bit floats, all stages together."""
    sent = bytes_per_picture(tiled, pictures, settings)
    return sent["entropy"] / sent["raw"]


def run_step(
    tiled: Tiled,
    step: str,
    train: Pictures,
    validation: Pictures,
    settings: Settings,
    folder: Path,
    share: float = 0.03,
    teacher: nn.Module | None = None,
    run: Run | None = None,
    selected_on: str | None = None,
) -> dict:
    """
    One step: changes the network, retrains it, saves weights and figures in FOLDER/<step>.pt. A step that
    exists already is loaded; an interrupted one is resumed. `tiled` holds the weights of the step before.
    `share`: size of the codes relative to 32-bit floats: bounds are chosen for it and retraining is constrained to it, by a price
    during training and by the choice of the epoch. `teacher`: the whole network, for distillation. `run`: the
    progress of all steps. `selected_on`: which pictures `validation` holds, in words; a step that was made with others is
    refused. Returns the figures.
    """
    is_coded = step in ("clip", "quantise")
    made = {"bits": [travel.bits for travel in tiled.travel], "share": share} if is_coded else {}
    if selected_on is not None:
        made["selected_on"] = selected_on
    kept = folder / f"{step}.pt"
    if kept.exists():
        state = torch.load(kept, weights_only=True)
        if any(state["report"].get(name) != value for name, value in made.items()):
            raise SystemExit(f"{kept} was made for other bits, another share or other pictures: delete it and the later steps")
        tiled.load_state_dict(state["model"])
        apply(tiled, step)
        return state["report"]
    folder.mkdir(parents=True, exist_ok=True)
    if step == "clip":
        set_bounds(tiled, train, settings, share)
    for travel in tiled.travel:
        travel.share = share
    apply(tiled, step)
    before = accuracy(tiled, validation, settings)
    print(f"{step}: validation accuracy before retraining {before:.4f}", flush=True)

    def is_small() -> bool:
        return sent_share(tiled, validation, settings) <= TOLERANCE * share

    state_file = folder / f"{step}.state.pt"
    report = fit(
        tiled, train, validation, settings, state_file, step, teacher, tiled.cost, is_small if is_coded else None, run
    )
    report |= {"before": before, **made}
    if is_coded:
        sent = sent_share(tiled, validation, settings)
        if sent > TOLERANCE * share:
            print(
                f"{step}: results take {100 * sent:.1f} % of the floats, not {100 * share:.1f} %: it needs more epochs",
                flush=True,
            )
        report["bounds"] = [travel.bounds.tolist() for travel in tiled.travel]
    save({"model": tiled.state_dict(), "report": report}, kept)
    return report
