"""
Run by hand, `python3 training/test_tiles.py`: are FDSP, clipping and quantisation what Tessera's runtime and codec
compute? With `--write FILE` the vectors that the codec's own test reads (test/data/clip-vectors.json) are made again.
"""

import argparse
import json
import tempfile
from pathlib import Path

import torch

import fit
from export import export_model, separates
from fit import Settings, answers
from data import Pictures
from networks import SmallResNet, SmallVgg
from progressive import apply, run_step
from tiles import Stage, Tiled, Travel, check_grids, choose_bounds, cut_tiles, entropy_bits, paste_tiles


def travel_of(low: float, high: float, bits: int) -> Travel:
    travel = Travel(bits)
    travel.bounds = torch.tensor([low, high], dtype=torch.float64)
    travel.clips = travel.quantises = True
    return travel


def vectors() -> list[dict]:
    """Values around every bound and every rounding threshold, with the codes and what decoding gives, as float32."""
    made = []
    for low, high, bits in ((0.2, 2.0, 4), (0.0, 6.0, 8), (0.1373, 3.218, 4), (0.5, 1.5, 2), (1.25, 11.75, 3)):
        travel = travel_of(low, high, bits)
        step = (high - low) / travel.levels
        numbers = range(-1, travel.levels + 2, max(1, travel.levels // 12))
        marks = torch.tensor([low + (k + part) * step for k in numbers for part in (0.0, 0.49, 0.51)])
        x = torch.cat([marks.float(), torch.tensor([-1.0, 0.0, 1e-20, 1e6])])
        codes, y = travel.codes(x), travel(x)
        made.append({"clip": [low, high], "bits": bits, "x": x.tolist(), "q": [int(q) for q in codes], "y": y.tolist()})
    return made


def test_published_example() -> None:
    """FACTS of ADCNN: a = 0.2, b = 2.0; below a is 0, between is x - a, above is b - a."""
    travel = travel_of(0.2, 2.0, 4)
    travel.quantises = False
    given = travel(torch.tensor([-1.0, 0.1, 0.2, 0.7, 1.9, 2.0, 3.0]))
    assert torch.allclose(given, torch.tensor([0.0, 0.0, 0.0, 0.5, 1.7, 1.8, 1.8])), given


def test_codes_decode_to_what_the_network_was_trained_on() -> None:
    for vector in vectors():
        (low, high), levels = vector["clip"], 2 ** vector["bits"] - 1
        assert 0 <= min(vector["q"]) and max(vector["q"]) == levels
        decoded = torch.tensor([q * ((high - low) / levels) for q in vector["q"]], dtype=torch.float64).float()
        assert decoded.tolist() == vector["y"]


def test_gradient_passes_straight_through() -> None:
    travel = travel_of(0.2, 2.0, 4)
    x = torch.tensor([-1.0, 0.1, 0.7, 1.9, 3.0], requires_grad=True)
    travel(x).sum().backward()
    assert x.grad.tolist() == [0, 0, 1, 1, 0], x.grad


def test_tiles_are_run_alone() -> None:
    """Each tile equals the network run on that tile as a picture, and pasting undoes cutting."""
    torch.manual_seed(0)
    pixels = torch.randn(2, 3, 32, 32)
    for grid in ((1, 1), (2, 2), (2, 4), (4, 4)):
        assert torch.equal(paste_tiles(cut_tiles(pixels, grid), grid), pixels)
    network = SmallVgg(5).eval()
    tiled = Tiled(network, [Stage("early", (4, 2))], 4).eval()
    apply(tiled, "fdsp")
    (whole,) = tiled.cut_tensors(pixels)
    tiled.is_tiled = False
    for row in range(4):
        for col in range(2):
            alone = network.early(pixels[:, :, 8 * row : 8 * row + 8, 16 * col : 16 * col + 16])
            assert torch.allclose(whole[:, :, 2 * row : 2 * row + 2, 4 * col : 4 * col + 4], alone, atol=1e-5)


def test_one_tile_is_the_network_itself() -> None:
    torch.manual_seed(0)
    pixels = torch.randn(2, 3, 32, 32)
    for make in (SmallVgg, SmallResNet):
        network = make(5).eval()
        expected = network(pixels)
        tiled = Tiled(network, [Stage("early", (1, 1))], 4).eval()
        apply(tiled, "fdsp")
        assert torch.equal(tiled(pixels), expected)


def test_two_stages() -> None:
    """Tiles of a second stage are cut from what the first stage sent, quantised."""
    torch.manual_seed(0)
    network = SmallVgg(5).eval()
    tiled = Tiled(network, [Stage("early.2", (4, 4)), Stage("early", (2, 2))], 4).eval()
    pixels = torch.randn(2, 3, 32, 32)
    for travel in tiled.travel:
        travel.clips = travel.quantises = True
    first = tiled.travel[0](paste_tiles(network.early[:3](cut_tiles(pixels, (4, 4))), (4, 4)))
    second = tiled.travel[1](paste_tiles(network.early[3:](cut_tiles(first, (2, 2))), (2, 2)))
    expected = network.classify(network.average(network.late(second)).flatten(1))
    apply(tiled, "quantise")
    assert torch.allclose(tiled(pixels), expected, atol=1e-6)


def test_grids_that_do_not_fit_are_refused() -> None:
    """A 40-pixel picture in 8x8 tiles of 5 pixels cannot be halved twice; a dense layer cannot be tiled at all."""
    check_grids(Tiled(SmallVgg(5), [Stage("early", (4, 4))], 4), (32, 32))
    for make, cut, grid, size in ((SmallVgg, "early", (8, 8), 40), (SmallVgg, "classify", (2, 2), 32), (SmallVgg, "early", (3, 3), 32)):
        try:
            check_grids(Tiled(make(5), [Stage(cut, grid)], 4), (size, size))
        except (SystemExit, ValueError):
            continue
        raise AssertionError(f"{cut} {grid} {size}")


def test_bounds_keep_results_small() -> None:
    values = torch.relu(torch.randn(100_000))
    travel = Travel(4)
    low, high = choose_bounds(values, travel, 0.04)
    travel.bounds = torch.tensor([low, high], dtype=torch.float64)
    assert 0.9 * 0.04 <= entropy_bits(travel.codes(values), travel.levels) / 32 <= 1.01 * 0.04


def test_interrupted_retraining_ends_as_an_uninterrupted_one() -> None:
    """What is lost by stopping is the epoch at work, and nothing else changes."""
    torch.set_num_threads(1)
    pictures = Pictures(torch.randint(0, 256, (64, 3, 16, 16), dtype=torch.uint8), torch.arange(64) % 4, list("abcd"))
    settings = Settings(epochs=2, rate=1e-3, batch=16, reach=2)

    def begin() -> Tiled:
        torch.manual_seed(3)
        return Tiled(SmallVgg(4), [Stage("early", (2, 2))], 4)

    class Stopped(Exception):
        pass

    with tempfile.TemporaryDirectory() as folder:
        through = begin()
        for step in ("fdsp", "clip", "quantise"):
            run_step(through, step, pictures, pictures, settings, Path(folder) / "a")
        expected = answers(through, pictures, settings)
        kept, calls = fit.train_epoch, 0

        def stopping(*given):
            nonlocal calls
            calls += 1
            if calls == 4:
                raise Stopped
            kept(*given)

        fit.train_epoch = stopping
        try:
            for attempt in range(2):
                stopped = begin()
                try:
                    for step in ("fdsp", "clip", "quantise"):
                        run_step(stopped, step, pictures, pictures, settings, Path(folder) / "b")
                except Stopped:
                    continue
        finally:
            fit.train_epoch = kept
        assert calls == 7
        assert torch.equal(answers(stopped, pictures, settings), expected)
        for (name, value), other in zip(through.state_dict().items(), stopped.state_dict().values()):
            assert torch.equal(value, other), name


def test_export_names_the_cut_and_leaves_tiles_out() -> None:
    import onnx

    with tempfile.TemporaryDirectory() as folder:
        for make, after in ((SmallVgg, "pool2"), (SmallResNet, "relu9")):
            tiled = Tiled(make(5), [Stage("early", (4, 4))], 4)
            export_model(tiled, Path(folder), "x", (32, 32), list("abcde"), {"scale": 255}, {"whole": 0.5})
            graph = onnx.load(str(Path(folder) / "model.onnx")).graph
            assert f'"after": "{after}"' in (Path(folder) / "model.yaml").read_text()
            assert separates(graph, after) and not separates(graph, "conv4" if make is SmallResNet else "nothing")
            assert [port.name for port in graph.output] == ["logits"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    if options.write:
        options.write.write_text(json.dumps(vectors()) + "\n")
        return
    for name, test in list(globals().items()):
        if name.startswith("test_"):
            test()
            print(f"passed: {name[5:].replace('_', ' ')}")


if __name__ == "__main__":
    main()
