"""Writes the network as an ONNX file that takes normalised pixels; batch norms end up inside the convolutions."""

import argparse
import warnings
from collections import Counter
from pathlib import Path

import onnx
import torch
from torch import nn

from model import INPUT_SIZE, SceneNet


def give_short_names(network: onnx.ModelProto) -> None:
    """Names tensors and weights by operator and number (conv1, relu1, pool1, conv2.weight): people name cuts by them."""
    short = {"Conv": "conv", "Relu": "relu", "MaxPool": "pool", "GlobalAveragePool": "average", "Flatten": "flat", "Gemm": "dense"}
    kept = {port.name for port in [*network.graph.input, *network.graph.output]}
    names: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for node in network.graph.node:
        kind = short[node.op_type]
        counts[kind] += 1
        node.name = f"{kind}{counts[kind]}"
        for part, weight in zip(("weight", "bias"), node.input[1:]):
            names[weight] = f"{node.name}.{part}"
        names[node.output[0]] = node.name
        for ports in (node.input, node.output):
            ports[:] = [name if name in kept else names.get(name, name) for name in ports]
    for weight in network.graph.initializer:
        weight.name = names[weight.name]


def export_onnx(model: nn.Module, file: Path) -> None:
    """Exports with the input `input` [1, 3, 128, 128] and the output `logits` [1, classes]."""
    model = model.to(memory_format=torch.contiguous_format).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            model,
            torch.zeros(1, 3, INPUT_SIZE, INPUT_SIZE),
            str(file),
            input_names=["input"],
            output_names=["logits"],
            opset_version=17,
            dynamo=False,
        )
    network = onnx.load(str(file))
    give_short_names(network)
    onnx.checker.check_model(network, full_check=True)
    onnx.save(network, str(file))


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
