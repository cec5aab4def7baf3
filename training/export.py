"""Exports a network as an ONNX file with normalised pixels as input, and its model.yaml; batch norms are folded into
the convolutions."""

import argparse
import copy
import json
import warnings
from collections import Counter
from pathlib import Path

import onnx
import torch
from torch import nn

from exits import EXIT, Exiting
from model import INPUT_SIZE, SceneNet
from tiles import Tiled

SHORT = {"MaxPool": "pool", "GlobalAveragePool": "average", "AveragePool": "mean", "Flatten": "flat", "Gemm": "dense"}


def without_identities(network: onnx.ModelProto) -> dict[str, str]:
    """Removes operators that only rename a tensor; returns the replacement of each removed name."""
    outputs = {port.name for port in network.graph.output}
    gone: dict[str, str] = {}
    for node in list(network.graph.node):
        node.input[:] = [gone.get(name, name) for name in node.input]
        if node.op_type == "Identity" and node.output[0] not in outputs:
            gone[node.output[0]] = node.input[0]
            network.graph.node.remove(node)
    return gone


def give_short_names(network: onnx.ModelProto) -> dict[str, str]:
    """
    Names tensors and weights by operator and number (conv1, relu1, pool1, conv2.weight): people name cuts by them.
    Returns the new name of each tensor.
    """
    weights = {weight.name for weight in network.graph.initializer}
    names = {port.name: port.name for port in [*network.graph.input, *network.graph.output]}
    counts: Counter[str] = Counter()
    for node in network.graph.node:
        kind = SHORT.get(node.op_type, node.op_type.lower())
        counts[kind] += 1
        node.name = f"{kind}{counts[kind]}"
        for part, weight in zip(("weight", "bias"), node.input[1:]):
            if weight in weights:
                names.setdefault(weight, f"{node.name}.{part}")
        for number, output in enumerate(node.output):
            names.setdefault(output, node.name if number == 0 else f"{node.name}.{number}")
    for node in network.graph.node:
        for ports in (node.input, node.output):
            ports[:] = [names.get(name, name) for name in ports]
    for weight in network.graph.initializer:
        weight.name = names.get(weight.name, weight.name)
    return names


def separates(graph: onnx.GraphProto, tensor: str) -> bool:
    """Whether this tensor is the only live tensor between input and logits; an exit may branch off before it."""
    producers = {output: node for node in graph.node for output in node.output}
    open_names, seen = ["logits"], set()
    while open_names:
        name = open_names.pop()
        if name in seen or name == tensor:
            continue
        seen.add(name)
        open_names.extend(producers[name].input if name in producers else [])
    return not seen & {port.name for port in graph.input}


class WithCuts(nn.Module):
    """
    The network with the outputs of some submodules as further outputs, so that the exported file names them; between
    them, where there is one, the logits of an exit.
    """

    def __init__(self, network: nn.Module, cuts: list[str], exit_at: str | None, head: nn.Module | None):
        super().__init__()
        self.network = network
        self.cuts, self.exit_at, self.head = cuts, exit_at, head
        self.seen: dict[str, torch.Tensor] = {}
        modules = dict(network.named_modules())
        for name in {*cuts, *([exit_at] if exit_at else [])}:
            modules[name].register_forward_hook(lambda _module, _inputs, out, name=name: self.seen.update({name: out}))

    def forward(self, pixels: torch.Tensor) -> tuple:
        logits = self.network(pixels)
        early = [self.head(self.seen[self.exit_at])] if self.head else []
        return (logits, *early, *(self.seen[cut] for cut in self.cuts))


def export_onnx(
    model: nn.Module,
    file: Path,
    size: tuple[int, int] = (INPUT_SIZE, INPUT_SIZE),
    cuts: list[str] | None = None,
    exiting: Exiting | None = None,
) -> list[str]:
    """
    Exports with the input `input` [1, 3, h, w] and the output `logits` [1, classes], and with an exit `exit` [1, classes].
    Returns the file's tensors that the submodules named in `cuts` make; each must be the only path from the input to
    the logits.
    """
    cuts = cuts or []
    outputs = ["logits", *([EXIT] if exiting else [])]
    # Works on copies, since hooks cannot be removed from the original.
    model, head = copy.deepcopy((model, exiting.head if exiting else None))
    model = WithCuts(model, cuts, exiting.at if exiting else None, head).to(memory_format=torch.contiguous_format).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            model,
            torch.zeros(1, 3, *size),
            str(file),
            input_names=["input"],
            output_names=[*outputs, *(f"cut of {cut}" for cut in cuts)],
            opset_version=17,
            dynamo=False,
        )
    network = onnx.load(str(file))
    del network.graph.output[len(outputs) :]
    gone = without_identities(network)
    names = give_short_names(network)
    onnx.checker.check_model(network, full_check=True)
    onnx.save(network, str(file))
    tensors = [names[gone.get(name, name)] for name in (f"cut of {cut}" for cut in cuts)]
    for cut, tensor in zip(cuts, tensors):
        if not separates(network.graph, tensor):
            raise SystemExit(f'"{cut}" (tensor "{tensor}") is no cut: other tensors are live there')
    return tensors


def write_card(file: Path, fields: dict) -> None:
    """Writes model.yaml; every value is written as JSON, which is valid YAML."""
    lines = []
    for key, value in fields.items():
        if isinstance(value, dict) and value:
            lines += [f"{key}:", *(f"  {inner}: {json.dumps(deep)}" for inner, deep in value.items())]
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            lines += [f"{key}:", *(f"  - {json.dumps(one)}" for one in value)]
        else:
            lines.append(f"{key}: {json.dumps(value)}")
    file.write_text("\n".join(lines) + "\n")


def export_model(
    tiled: Tiled,
    folder: Path,
    name: str,
    size: tuple[int, int],
    labels: list[str],
    normalisation: dict,
    accuracy: dict,
    exiting: Exiting | None = None,
    threshold: float = 1.0,
) -> None:
    """Writes model.onnx, model.yaml and labels.txt of a retrained network, for `tessera model add`."""
    folder.mkdir(parents=True, exist_ok=True)
    computes_tiled, tiled.is_tiled = tiled.is_tiled, False
    tensors = export_onnx(tiled.network, folder / "model.onnx", size, [stage.cut for stage in tiled.stages], exiting)
    tiled.is_tiled = computes_tiled
    tiles = [
        {"after": tensor, "grid": list(stage.grid), "padding": "zero", "clip": travel.bounds.tolist(), "bits": travel.bits}
        for tensor, stage, travel in zip(tensors, tiled.stages, tiled.travel)
    ]
    taken = {"tensor": "input", "shape": [1, 3, *size], "layout": "nchw", "color": "rgb", "resize": "stretch"}
    card = {
        "version": 1,
        "name": name,
        "model": "model.onnx",
        "task": "classify",
        "input": {**taken, **normalisation},
        "output": {"decoder": "logits", "tensors": ["logits"]},
        **({"labels": "labels.txt"} if labels else {}),
        "tiles": tiles,
        **({"exits": [{"tensor": EXIT, "threshold": threshold}]} if exiting else {}),
        "accuracy": accuracy,
    }
    if labels:
        (folder / "labels.txt").write_text("\n".join(labels) + "\n")
    write_card(folder / "model.yaml", card)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("file", type=Path)
    options = parser.parse_args()
    state = torch.load(options.checkpoint, weights_only=True)["model"]
    model = SceneNet(classes=len(state["classify.bias"]))
    model.load_state_dict(state)
    export_onnx(model, options.file)


if __name__ == "__main__":
    main()
