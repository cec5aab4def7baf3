""" Run by hand, `python3 training/test_tiles.py`: checks that FDSP, clipping and quantisation equal those of Tessera's
runtime and codec. `--write FILE` writes the vectors for the codec's own test (test/data/clip-vectors.json). """

import argparse
import contextlib
import io
import json
import tempfile
from pathlib import Path

import torch

import fit
from exits import Exiting, both_logits, choose_threshold, combine, exit_curve, largest_loss, measure, train_exit
from export import export_model, separates
from fit import Settings, answers
from data import Pictures, normalise
from model import layers
from networks import SmallResNet, SmallVgg, TwoParts
from progress import Progress, Run
from progressive import apply, run_step
from tiles import Stage, Tiled, Travel, check_grids, choose_bounds, cut_tiles, distortion, entropy_bits, paste_tiles


class Pooled(TwoParts):
    """`early` ends with the second of its poolings, at a quarter of the size."""

    def __init__(self, classes: int):
        early, channels = layers((24, 24, "pool", 48, 48, "pool"), 3)
        late, channels = layers((96, 96, "pool", 128), channels)
        super().__init__(early, late, channels, classes)


def random_pictures(count: int, side: int, classes: str) -> Pictures:
    pixels = torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8)
    return Pictures(pixels, torch.arange(count) % len(classes), list(classes))


def travel_of(low: float, high: float, bits: int) -> Travel:
    travel = Travel(bits)
    travel.bounds = torch.tensor([low, high], dtype=torch.float64)
    travel.clips = travel.quantises = True
    return travel


def vectors() -> list[dict]:
    """Values around every bound and every rounding threshold, with their codes and decoded values, as float32."""
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
    """ADCNN's published example: a = 0.2, b = 2.0; below a is 0, between is x - a, above is b - a."""
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
    network = Pooled(5).eval()
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
    for make in (Pooled, SmallResNet, SmallVgg):
        network = make(5).eval()
        expected = network(pixels)
        tiled = Tiled(network, [Stage("early", (1, 1))], 4).eval()
        apply(tiled, "fdsp")
        assert torch.equal(tiled(pixels), expected)


def test_two_stages() -> None:
    """Tiles of a second stage are cut from the first stage's quantised result."""
    torch.manual_seed(0)
    network = Pooled(5).eval()
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
    check_grids(Tiled(Pooled(5), [Stage("early", (4, 4))], 4), (32, 32))
    for make, cut, grid, size in ((Pooled, "early", (8, 8), 40), (Pooled, "classify", (2, 2), 32), (Pooled, "early", (3, 3), 32)):
        try:
            check_grids(Tiled(make(5), [Stage(cut, grid)], 4), (size, size))
        except SystemExit:
            continue
        raise AssertionError(f"{cut} {grid} {size}")


def test_bounds_keep_results_small() -> None:
    torch.manual_seed(4)
    values = torch.relu(torch.randn(100_000)).double()
    lost = {}
    for bits in (3, 4):
        travel = Travel(bits)
        low, high = choose_bounds(values, travel, 0.04)
        travel.bounds = torch.tensor([low, high], dtype=torch.float64)
        codes = travel.codes(values)
        assert 0.9 * 0.04 <= entropy_bits(codes, travel.levels) / 32 <= 1.01 * 0.04
        lost[bits] = distortion(values, codes, travel.levels)
    # With little entropy, few codes are better than many of which most values get the first.
    assert lost[3] < lost[4] < values.var()
    # Of 1, 2, 2, 9 in codes 0, 1, 1, 2 nothing is lost, in 0, 1, 1, 1 the distances of 2, 2, 9 from their mean.
    some = torch.tensor([1.0, 2.0, 2.0, 9.0]).double()
    assert distortion(some, torch.tensor([0, 1, 1, 2]), 3) == 0
    assert abs(distortion(some, torch.tensor([0, 1, 1, 1]), 3) - 98 / 12) < 1e-9


def test_retraining_holds_results_to_their_share() -> None:
    """Values whose training target would exceed the allowed share."""
    torch.manual_seed(5)
    wanted = torch.relu(torch.randn(20_000))
    ends = {}
    for share in (1.0, 0.03):
        travel = travel_of(0.0, 3.0, 4)
        travel.share = share
        values = torch.nn.Parameter(torch.full_like(wanted, 0.5))
        optimiser = torch.optim.Adam([values], 0.01)
        for _ in range(800):
            loss = (travel(values) - wanted).square().mean() + travel.cost
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        ends[share] = entropy_bits(travel.codes(values.detach()), travel.levels) / 32
    assert ends[1.0] > 0.06, ends
    assert 0.9 * 0.03 <= ends[0.03] <= 1.1 * 0.03, ends


def test_interrupted_retraining_ends_as_an_uninterrupted_one() -> None:
    """An interruption loses only the current epoch, and nothing else changes."""
    torch.set_num_threads(1)
    pictures = random_pictures(64, 16, "abcd")
    settings = Settings(epochs=2, rate=1e-3, batch=16, reach=2)

    def begin() -> Tiled:
        torch.manual_seed(3)
        return Tiled(Pooled(4), [Stage("early", (2, 2))], 4)

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


def test_an_epoch_that_is_fit_goes_before_better_ones() -> None:
    pictures = random_pictures(64, 16, "abcd")
    settings = Settings(epochs=3, rate=1e-3, batch=16, reach=2)
    torch.manual_seed(3)
    tiled = Tiled(Pooled(4), [Stage("early", (2, 2))], 4)
    weights, fitness = [], iter((False, True, False))

    def is_fit() -> bool:
        weights.append(tiled.network.classify.weight.detach().clone())
        return next(fitness)

    with tempfile.TemporaryDirectory() as folder:
        fit.fit(tiled, pictures, pictures, settings, Path(folder) / "state.pt", "x", is_fit=is_fit)
    assert torch.equal(tiled.network.classify.weight, weights[1])


def test_a_step_made_for_other_bits_is_refused() -> None:
    pictures = random_pictures(32, 16, "abcd")
    settings = Settings(epochs=1, rate=1e-3, batch=16, reach=2)
    with tempfile.TemporaryDirectory() as folder:
        for bits, share, is_refused in ((4, 0.03, False), (4, 0.03, False), (3, 0.03, True), (4, 0.04, True)):
            tiled = Tiled(Pooled(4), [Stage("early", (2, 2))], bits)
            try:
                run_step(tiled, "clip", pictures, pictures, settings, Path(folder), share)
            except SystemExit as refusal:
                assert is_refused and "delete it" in str(refusal)
            else:
                assert not is_refused, (bits, share)


def test_export_names_the_cut_and_leaves_tiles_out() -> None:
    import onnx

    with tempfile.TemporaryDirectory() as folder:
        for make, after in ((Pooled, "pool2"), (SmallResNet, "relu4"), (SmallVgg, "concat1")):
            tiled = Tiled(make(5), [Stage("early", (4, 4))], 4)
            export_model(tiled, Path(folder), "x", (32, 32), list("abcde"), {"scale": 255}, {"whole": 0.5})
            graph = onnx.load(str(Path(folder) / "model.onnx")).graph
            assert f'"after": "{after}"' in (Path(folder) / "model.yaml").read_text()
            assert separates(graph, after) and not separates(graph, "conv4" if make is SmallResNet else "nothing")
            assert [port.name for port in graph.output] == ["logits"]


def retrained(network: torch.nn.Module, cut: str = "early") -> Tiled:
    """A network as after the last step, with wide bounds."""
    tiled = Tiled(network, [Stage(cut, (4, 4))], 4)
    apply(tiled, "quantise")
    return tiled


def test_a_picture_leaves_at_its_threshold() -> None:
    """At or above the threshold the exit's class is used, below it the network's."""
    even = torch.zeros(2)
    early = torch.stack([torch.tensor([0.0, 4.0]), torch.tensor([1.0, 0.0]), even])
    late = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    given, leaves = combine(early, late, 0.9)
    assert (given.tolist(), leaves.tolist()) == ([1, 1, 1], [True, False, False])
    given, leaves = combine(early, late, 0.5)
    assert (given.tolist(), leaves.tolist()) == ([1, 0, 0], [True, True, True])
    figures = measure(early, late, torch.tensor([1, 1, 0]), 0.9)
    assert figures == {"threshold": 0.9, "left": 0.33333, "accuracy": 0.66667, "accuracy_left": 1.0}
    assert measure(early, late, torch.tensor([1, 1, 0]), 0.99)["accuracy_left"] is None


def test_the_threshold_is_the_least_that_keeps_the_accuracy() -> None:
    """No higher threshold may lose more: a lower one that is good by chance does not count."""
    # Scores 0.955 (right), 0.855 (right), 0.755 (wrong), 0.655 and 0.555 (right, where the rest of the network is wrong),
    # 400 pictures of each.
    scores = torch.tensor([0.955, 0.855, 0.755, 0.655, 0.555]).double().repeat(400)
    early = torch.stack([scores.log(), (1 - scores).log()], 1)
    labels = torch.tensor([0, 0, 1, 0, 0]).repeat(400)
    late = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]]).repeat(400, 1)

    def chosen(early: torch.Tensor, late: torch.Tensor, labels: torch.Tensor, loss: float) -> float:
        return choose_threshold(exit_curve(early, late, labels), loss)

    # Nothing differs down to 0.76: of 2000 pictures that shows a loss of at most 0.08 points.
    assert chosen(early, late, labels, 0.001) == 0.76
    assert chosen(early, late, labels, 0.0005) == 1.0
    # A fifth is lost from 0.75 on, and won back below.
    assert chosen(early, late, labels, 0.2) == 0.76
    assert chosen(early, late, labels, 0.22) == 0.3
    assert chosen(3 * early, -early, torch.ones(2000).long(), 0.001) == 1.0
    # Few pictures show little: the same shares of ten pictures.
    assert chosen(early[:10], late[:10], labels[:10], 0.1) == 1.0


def test_the_bound_of_a_loss() -> None:
    """By hand: 10 lost, 4 won of 998 pictures: (10.5 - 4.5) / 1000 + 1.645 * sqrt((15 / 1000 - 0.006^2) / 1000)."""
    assert abs(largest_loss(10, 4, 998) - 0.0123635) < 1e-6
    assert abs(largest_loss(0, 0, 998) - 1.645 / 1000) < 1e-9


def test_time_left_is_that_of_the_run() -> None:
    """Of two steps with 10 batches each, the first done earlier: after 5 more of the second a quarter of the run is left."""
    lines = []
    clock = iter([0.0, 10.0, 20.0])
    run = Run("retrain", {"fdsp": 10, "clip": 10, "quantise": 0})
    run.progress = Progress("retrain", 20, "batches", 10, as_json=True, now=lambda: next(clock))
    report = run.begin("clip", 0)
    with contextlib.redirect_stderr(io.StringIO()) as said:
        report(5, "epoch 1 of 1")
        report(10, "epoch 1 of 1")
    lines = [json.loads(line) for line in said.getvalue().splitlines()]
    assert [(line["done"], line["of"], line["left_s"]) for line in lines] == [(15, 20, 10), (20, 20, 0)], lines


def test_an_exit_leaves_everything_else_as_it_is() -> None:
    """Training the exit changes no weight, no mean and no prediction of the network; a trained exit is loaded again."""
    torch.set_num_threads(1)
    pictures = random_pictures(64, 32, "abcd")
    settings = Settings(epochs=2, rate=1e-2, batch=16, reach=2)
    torch.manual_seed(3)
    tiled = retrained(Pooled(4))
    before = {name: value.clone() for name, value in tiled.state_dict().items()}
    expected = answers(tiled, pictures, settings)
    with tempfile.TemporaryDirectory() as folder:
        exiting = Exiting(tiled, "early", 4, (32, 32))
        untrained, _ = both_logits(exiting, pictures, settings)
        report = train_exit(exiting, pictures, pictures, settings, Path(folder))
        early, late = both_logits(exiting, pictures, settings)
        again = Exiting(tiled, "early", 4, (32, 32))
        assert train_exit(again, pictures, pictures, settings, Path(folder)) == report
        assert torch.equal(both_logits(again, pictures, settings)[0], early)
    assert not torch.equal(early, untrained)
    assert torch.equal(late.argmax(1), expected) and torch.equal(answers(tiled, pictures, settings), expected)
    for name, value in tiled.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_an_exit_between_two_tile_stages_sees_the_whole_map() -> None:
    """The exit gets the first stage's result, not the second stage's tiles."""
    torch.manual_seed(0)
    network = Pooled(5).eval()
    tiled = Tiled(network, [Stage("early.2", (4, 4)), Stage("early", (2, 2))], 4).eval()
    apply(tiled, "quantise")
    pixels = torch.randn(2, 3, 32, 32)
    exiting = Exiting(tiled, "early.2", 5, (32, 32))
    exiting.run(pixels)
    assert torch.equal(exiting.seen, tiled.travel[0](tiled.cut_tensors(pixels)[0]))
    with tempfile.TemporaryDirectory() as folder:
        export_model(tiled, Path(folder), "x", (32, 32), list("abcde"), {"scale": 255}, {"whole": 0.5}, exiting, 0.5)
        assert '"tensor": "exit"' in (Path(folder) / "model.yaml").read_text()


def test_places_without_a_whole_map_get_no_exit() -> None:
    """Inside tiles there is no whole map yet, and after the last pooling there is none any more."""
    for at in ("early.2", "classify", "nowhere"):
        try:
            Exiting(retrained(Pooled(4)), at, 4, (32, 32))
        except SystemExit:
            continue
        raise AssertionError(at)


def test_exported_exits_decide_as_here() -> None:
    """The file's `exit` and `logits`, computed by onnxruntime from the decoded cut tensor, give the same decisions."""
    import onnx
    import onnxruntime

    torch.manual_seed(5)
    for make, at, cut in ((Pooled, "early", "pool2"), (Pooled, "late.1", "pool2"), (SmallResNet, "early", "relu4"), (SmallVgg, "early", "concat1")):
        tiled = retrained(make(5))
        exiting = Exiting(tiled, at, 5, (32, 32)).eval()
        pictures = random_pictures(40, 32, "abcde")
        settings = Settings(0, 0)
        early, late = both_logits(exiting, pictures, settings)
        with tempfile.TemporaryDirectory() as folder:
            threshold = round(early.softmax(1).amax(1).median().item(), 4)
            size = (32, 32)
            export_model(tiled, Path(folder), "x", size, list("abcde"), {"scale": 255}, {"whole": 0.5}, exiting, threshold)
            assert f'"tensor": "exit", "threshold": {threshold}' in (Path(folder) / "model.yaml").read_text()
            file = str(Path(folder) / "model.onnx")
            graph = onnx.load(file).graph
            assert [port.name for port in graph.output] == ["logits", "exit"] and separates(graph, cut)
            rest = str(Path(folder) / "rest.onnx")
            onnx.utils.extract_model(file, rest, [cut], ["exit", "logits"])
            session = onnxruntime.InferenceSession(rest)
        (whole,) = tiled.cut_tensors(normalise(pictures.pixels))
        arrived = tiled.travel[0](whole)
        ran = [session.run(["exit", "logits"], {cut: one[None].numpy()}) for one in arrived]
        given = [torch.cat([torch.from_numpy(pair[number]) for pair in ran]) for number in (0, 1)]
        assert torch.allclose(given[0], early, atol=1e-4) and torch.allclose(given[1], late, atol=1e-4)
        for expected, there in zip(combine(early, late, threshold), combine(*given, threshold)):
            assert (expected == there).sum() >= 39
        assert 10 < combine(early, late, threshold)[1].sum() < 30


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
