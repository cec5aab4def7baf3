""" Retrains a network for tiles and small results: FDSP, clipped ReLU, quantisation, one after the other. Writes a
folder for `tessera model add`. Resumes after an interruption. """

import argparse
import copy
import importlib.util
import inspect
import json
import re
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from data import SCALE, Pictures, classes_of, read_folder, read_records, split_off
from exits import Exiting, both_logits, combine, expected_answers, measure, train_exit
from export import export_model, export_onnx
from fit import Settings, accuracy, answers
from model import SceneNet
from networks import SmallResNet, SmallVgg
from progress import Run
from progressive import STEPS, apply, bytes_per_picture, run_step
from tiles import Stage, Tiled, check_grids

OURS = {"scenes": SceneNet, "vgg": SmallVgg, "resnet": SmallResNet}


def stage(text: str) -> Stage:
    """features.9=4x4"""
    cut, _, grid = text.partition("=")
    found = re.fullmatch(r"([1-9]\d?)x([1-9]\d?)", grid)
    if cut == "" or found is None:
        raise argparse.ArgumentTypeError(f'"{text}" given: expected SUBMODULE=ROWSxCOLS, as in features.9=4x4')
    return Stage(cut, (int(found[1]), int(found[2])))


def size(text: str) -> tuple[int, int]:
    """128 or 240x320 (height x width)"""
    parts = [int(part) for part in text.split("x")]
    return (parts[0], parts[-1])


def numbers(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--module", required=True, help=f"FILE.py:CLASS (a PyTorch module), or one of {', '.join(OURS)}")
    parser.add_argument("--weights", type=Path, help="its trained weights (a state_dict); without: trained first")
    parser.add_argument("--train", type=Path, nargs="+", required=True, help="a folder with one folder of pictures a class, or record files")
    parser.add_argument("--test", type=Path, nargs="+", required=True, help="the same, of pictures kept out of training")
    parser.add_argument("--validation", type=Path, nargs="+", help="the same, of pictures that neither --weights nor this run are trained on: they select epochs and the exit's threshold; default: a tenth of --train")
    parser.add_argument("--labels", type=Path, help="class names, one a line; default: the folders' names")
    parser.add_argument("--size", type=size, required=True, help="of the network's input: 128, or HEIGHTxWIDTH")
    parser.add_argument("--mean", type=numbers, default=[0.5], help="of (pixel / 255 - mean) / std; one number or three")
    parser.add_argument("--std", type=numbers, default=[0.25])
    parser.add_argument("--tiles", type=stage, action="append", required=True, metavar="SUBMODULE=RxC", help="a tile stage ends after this submodule; repeat for a second stage")
    parser.add_argument("--bits", type=int, default=3, choices=range(2, 9))
    parser.add_argument("--share", type=float, default=0.03, help="bytes of the results relative to raw floats; sets the clip bounds and constrains retraining")
    parser.add_argument("--whole-epochs", type=int, default=10, help="without --weights: epochs of the whole network")
    parser.add_argument("--epochs", type=int, default=2, help="after each of the three steps")
    parser.add_argument("--imitate", action="store_true", help="distillation: learn the network's earlier predictions besides the labels; takes a third more time")
    parser.add_argument("--exit", metavar="SUBMODULE", help="adds an early exit after this submodule: one of --tiles, or one after the last of them")
    parser.add_argument("--exit-epochs", type=int, default=4)
    parser.add_argument("--exit-loss", type=float, default=0.5, help="largest loss of accuracy through the exit, points; sets its threshold")
    parser.add_argument("--rate", type=float, default=1e-3, help="highest learning rate of the three steps")
    parser.add_argument("--whole-rate", type=float, default=4e-3)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--reach", type=int, help="largest shift of training pictures, pixels; default: a sixteenth of their height")
    parser.add_argument("--json", action="store_true", help="progress as JSON events on standard error")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--bf16", action="store_true", help="compute in bfloat16: twice as fast on processors that have it")
    parser.add_argument("--name", default="retrained", help="of the model")
    parser.add_argument("--out", type=Path, help="default: training/runs/<name>")
    options = parser.parse_args()
    # Checked before hours of training: `tessera model add` accepts no other names.
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", options.name):
        parser.error(f'--name "{options.name}": expected 1 to 64 of A-Z a-z 0-9 _ -')
    return options


def make_network(module: str, classes: int) -> nn.Module:
    """One of OURS, or a class or function of a file, called with the number of classes if it has a parameter `classes` or `num_classes`."""
    if module in OURS:
        return OURS[module](classes)
    file, _, name = module.rpartition(":")
    spec = importlib.util.spec_from_file_location("users_module", file) if file else None
    if spec is None or not Path(file).exists():
        raise SystemExit(f'--module "{module}": expected FILE.py:CLASS or one of {", ".join(OURS)}')
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    make = getattr(loaded, name)
    taken = [key for key in ("classes", "num_classes") if key in inspect.signature(make).parameters]
    return make(**{key: classes for key in taken})


def read_pictures(paths: list[Path], picture_size: tuple[int, int], store: Path) -> Pictures:
    if len(paths) == 1 and paths[0].is_dir():
        return read_folder(paths[0], picture_size, store)
    return read_records(paths, picture_size)


def classes_at(paths: list[Path], picture_size: tuple[int, int]) -> tuple[list[str], int]:
    """Names of the classes where known, and their number; no picture is decoded."""
    if len(paths) == 1 and paths[0].is_dir():
        names = classes_of(paths[0])
        return names, len(names)
    return [], int(read_records(paths, picture_size).labels.max()) + 1


def every_tenth(points: list[dict]) -> list[dict]:
    """Every tenth point of an exit's curve, for people."""
    return [point for point in points if round(100 * point["threshold"]) % 10 == 0]


def load_weights(network: nn.Module, file: Path) -> None:
    state = torch.load(file, map_location="cpu", weights_only=True)
    network.load_state_dict(state["model"] if "model" in state else state)


def main() -> None:
    options = arguments()
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    out = options.out or Path("training/runs") / options.name
    out.mkdir(parents=True, exist_ok=True)

    names, count = classes_at(options.train, options.size)
    labels = [line for line in options.labels.read_text().split("\n") if line] if options.labels else names
    classes = max(len(labels), count)

    network = make_network(options.module, classes).to(memory_format=torch.channels_last)
    # A copy of the network without hooks, for the export.
    teacher = copy.deepcopy(network) if options.imitate else None
    tiled = Tiled(network, options.tiles, options.bits)
    common = {
        "batch": options.batch,
        "seed": options.seed,
        "bf16": options.bf16,
        "reach": options.reach if options.reach is not None else max(1, options.size[0] // 16),
        "mean": torch.tensor(options.mean).view(1, -1, 1, 1),
        "std": torch.tensor(options.std).view(1, -1, 1, 1),
    }
    settings = Settings(epochs=options.epochs, rate=options.rate, **common)
    # Checked before hours of training: whether the network can be cut there and exported.
    cuts = [stage.cut for stage in options.tiles]
    if len(options.tiles) > 2:
        raise SystemExit("--tiles can be given twice: plans have at most two tile stages")
    check_grids(tiled, options.size)
    exiting = None
    if options.exit:
        apply(tiled, "fdsp")
        exiting = Exiting(tiled, options.exit, classes, options.size).to(memory_format=torch.channels_last)
        apply(tiled, "whole")
    tensors = export_onnx(network, out / "model.onnx", options.size, cuts, exiting)

    pictures = read_pictures(options.train, options.size, out / "train.npy")
    test = read_pictures(options.test, options.size, out / "test.npy")
    sets = [test]
    if options.validation:
        train, validation = pictures, read_pictures(options.validation, options.size, out / "validation.npy")
        sets.append(validation)
        selected_on = f"{len(validation)} pictures of --validation"
    else:
        train, validation = split_off(pictures, 0.1, seed=0)
        selected_on = f"{len(validation)} pictures of --train"
        if options.weights:
            selected_on += ", which --weights may have been trained on"
            print(
                f"note: epochs{' and the threshold of the exit' if exiting else ''} are selected on a tenth of --train. If "
                "--weights were trained on these pictures, they look better there than they are: give others with --validation",
                flush=True,
            )
    if any(other.classes != pictures.classes for other in sets):
        raise SystemExit("--train, --test and --validation have other classes")
    print(f"{len(train)} pictures for training, {len(validation)} for selection; cut after {', '.join(tensors)}", flush=True)
    batches = -(-len(train) // options.batch)
    epochs = {"whole": 0 if options.weights else options.whole_epochs, **{step: options.epochs for step in STEPS}}
    epochs["exit"] = options.exit_epochs if exiting else 0
    run = Run(f"retrain {options.name}", {step: number * batches for step, number in epochs.items()})

    if options.weights:
        load_weights(network, options.weights)
    else:
        run_step(tiled, "whole", train, validation, Settings(epochs=options.whole_epochs, rate=options.whole_rate, **common), out, run=run, selected_on=selected_on)
    if teacher is not None:
        teacher.load_state_dict(network.state_dict())
    # Every accuracy of the report is of the test pictures, but those named `validation` and `chosen_on`.
    report = {"selected_on": selected_on, "whole": {"test": accuracy(tiled, test, settings)}}
    print(f"whole: test accuracy {report['whole']['test']:.4f}", flush=True)
    tiled.is_tiled = True
    report["tiles without retraining"] = {"test": accuracy(tiled, test, settings)}
    print(f"tiles without retraining: test accuracy {report['tiles without retraining']['test']:.4f}", flush=True)
    for step in STEPS:
        report[step] = run_step(tiled, step, train, validation, settings, out, options.share, teacher, run, selected_on)
        report[step]["test"] = accuracy(tiled, test, settings)
        report[step]["bytes"] = bytes_per_picture(tiled, test, settings)
        print(f"{step}: test accuracy {report[step]['test']:.4f}, bytes {report[step]['bytes']}", flush=True)
    expected, threshold, with_exit = answers(tiled, test, settings).tolist(), 1.0, {}
    if exiting:
        sharp = replace(settings, epochs=options.exit_epochs, rate=options.whole_rate, smoothing=0.0)
        report["exit"] = train_exit(exiting, train, validation, sharp, out, options.exit_loss / 100, run)
        threshold = report["exit"]["threshold"]
        early, late = both_logits(exiting, test, settings)
        figures = report["exit"]["test"] = measure(early, late, test.labels, threshold)
        given, leaves = combine(early, late, threshold)
        expected = expected_answers(given, leaves)
        with_exit = {"with_exit": round(figures["accuracy"], 4), "leave_early": round(figures["left"], 4)}
        print(f"exit: on {selected_on}\nthreshold  end there  accuracy   loss  at most (points, 95 %)")
        for point in every_tenth(report["exit"]["curve"]):
            shares = (100 * point[name] for name in ("left", "accuracy", "loss", "loss_at_most"))
            print("{:9.2f}  {:7.1f} %  {:6.2f} %  {:5.2f}  {:7.2f}".format(point["threshold"], *shares))
        if threshold == 1.0:
            print(f"exit: no threshold is shown to lose at most {options.exit_loss} points: give more pictures to select on, or a larger --exit-loss")
        print(f"exit at {threshold}: {100 * figures['left']:.1f} % end at the exit, test accuracy {figures['accuracy']:.4f}", flush=True)
    (out / "report.json").write_text(json.dumps(report, indent=2) + "\n")

    export_model(
        tiled,
        out,
        name=options.name,
        size=options.size,
        labels=labels,
        normalisation={"scale": SCALE, "mean": options.mean, "std": options.std},
        accuracy={
            "dataset": f"{len(test)} pictures kept out of training; epochs selected on {selected_on}",
            "whole": round(report["whole"]["test"], 4),
            "tiles_without_retraining": round(report["tiles without retraining"]["test"], 4),
            "retrained": round(report["quantise"]["test"], 4),
            **with_exit,
        },
        exiting=exiting,
        threshold=threshold,
    )
    # For `npm run bench -- tiled-accuracy`, which compares the deployed network's predictions.
    (out / "answers.json").write_text(json.dumps(expected) + "\n")
    print(f"wrote {out}; next: npx tessera model add {out}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit("stopped; the same command goes on after the last complete epoch") from None
