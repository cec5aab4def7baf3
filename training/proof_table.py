"""Writes the table of docs/retraining.md from the rows that prove.py made."""

import math
from pathlib import Path
from statistics import mean

import numpy as np

from exits import Exiting
from model import count_macs
from progressive import apply
from proof import BITS, CUT, DATA_SETS, EXIT_AT, EXIT_GRID, EXIT_THRESHOLDS, NETWORKS, SEEDS, TITLES, all_rows, table_rows, unpack
from tiles import Stage, Tiled


# A row of a network, and its control: the whole network, trained on as long with the same seed.
Pair = tuple[dict, dict]


def with_control(rows: dict[tuple, dict], found: list[dict]) -> list[Pair]:
    """The rows with an existing control, each with it."""
    beside = [(row, rows.get((row["data"], row["network"], row["seed"], "", "control"))) for row in found]
    return [(row, control) for row, control in beside if control is not None]


def interval(pairs: list[Pair]) -> tuple[float, float]:
    """
    Mean loss in points against the controls, and half of its 95 % interval: of each picture the mean over the pairs,
    then the normal interval of the mean over pictures; seeds share their pictures, so they do not count as more of them.
    """
    losses = np.mean([unpack(control) - unpack(row) for row, control in pairs], axis=0) * 100
    return losses.mean(), 1.96 * losses.std(ddof=1) / math.sqrt(len(losses))


def share_sent(found: list[dict]) -> float:
    """Size of these rows' results by entropy, in percent of the floats."""
    return 100 * mean(row["bytes"]["entropy"] / row["bytes"]["raw"] for row in found)


def table(rows: dict[tuple, dict]) -> list[str]:
    lines = []
    for data, data_set in DATA_SETS.items():
        for network in NETWORKS:
            own = [row for row in rows.values() if row["data"] == data and row["network"] == network]
            if not own:
                continue
            tiled = Tiled(NETWORKS[network](10), [Stage(CUT, (1, 1))], BITS)
            macs = count_macs(tiled.network, data_set.size)
            in_tiles = count_macs(tiled.network, data_set.size, until=CUT)
            lines += [
                f"### {network}, {data} ({data_set.size}x{data_set.size})",
                "",
                f"{macs / 1e6:.1f} million multiply-adds, {100 * in_tiles / macs:.0f} % of them in tiles.",
                "",
                "| grid | step | accuracy, % | seeds | loss, points | 95 % interval | bytes a picture | of raw | leave early, % "
                "| epochs | s |",
                "|---|---|---|---|---|---|---|---|---|---|---|",
            ]
            for grid, step in table_rows():
                found = [row for row in own if row["grid"] == grid and row["step"] == step]
                if not found:
                    continue
                pairs = [] if step in ("whole", "control") else with_control(rows, found)
                loss = spread = ""
                if pairs:
                    middle, half = interval(pairs)
                    loss, spread = f"{middle:.2f}", f"{middle - half:.2f} to {middle + half:.2f}"
                size = share = ""
                if found[0]["bytes"]:
                    size, share = f"{mean(row['bytes']['entropy'] for row in found):.0f}", f"{share_sent(found):.1f} %"
                left = f"{100 * mean(row['exit']['left'] for row in found):.1f}" if step == "exit" else ""
                lines.append(
                    f"| {grid} | {TITLES[step]} | {100 * mean(row['accuracy'] for row in found):.2f} | {len(found)} | {loss} | "
                    f"{spread} | {size} | {share} | {left} | {mean(row['epochs'] for row in found):.0f} | "
                    f"{mean(row['seconds'] for row in found):.0f} |"
                )
            lines.append("")
            lines += exit_table([row for row in own if row["step"] == "exit"], tiled, data_set.size)
    return lines


# Targets of docs/retraining.md: data set and grid, and limits.
TARGETS = (("cifar10", "4x4"), ("tiny-imagenet-20", "4x4"), ("tiny-imagenet-20", "8x8"))
MOST_LOSS, MOST_UPPER_END, MOST_SENT = 1.0, 2.0, 5.0


def summary(rows: dict[tuple, dict]) -> list[str]:
    """For each target, for each network and for both together: the loss at the last step, its interval, the bytes sent."""
    lines = [
        f"Asked for: a mean loss of at most {MOST_LOSS:.0f} point, an upper end of at most {MOST_UPPER_END:.0f}, results of at most "
        f"{MOST_SENT:.0f} % of the floats.",
        "",
        "| data, grid | network | runs | loss, points | 95 % interval | of raw | reached |",
        "|---|---|---|---|---|---|---|",
    ]
    for data, grid in TARGETS:
        for title, networks in [*((name, (name,)) for name in NETWORKS), ("both", tuple(NETWORKS))]:
            last = [row for row in rows.values() if (row["data"], row["grid"], row["step"]) == (data, grid, "quantise")]
            pairs = with_control(rows, [row for row in last if row["network"] in networks])
            found = [row for row, _ in pairs]
            if {row["network"] for row in found} != set(networks):
                continue
            planned = sum(len(SEEDS[network]) for network in networks)
            middle, half = interval(pairs)
            sent = share_sent(found)
            is_reached = middle <= MOST_LOSS and middle + half <= MOST_UPPER_END and sent <= MOST_SENT
            lines.append(
                f"| {data} {grid} | {title} | {len(found)} of {planned} | {middle:.2f} | {middle - half:.2f} to {middle + half:.2f} | "
                f"{sent:.1f} % | {'yes' if is_reached else 'no'} |"
            )
    return [*lines, ""]


def exit_table(found: list[dict], tiled: Tiled, size: int) -> list[str]:
    """Results of the exit at the chosen threshold and at others."""
    if not found:
        return []
    apply(tiled, "quantise")
    exiting = Exiting(tiled, EXIT_AT, 10, (size, size))
    own = count_macs(exiting.head, exiting.shape[1], exiting.shape[0])
    apply(tiled, "whole")
    in_tiles, before = (count_macs(tiled.network, size, until=place) for place in (CUT, EXIT_AT))
    behind = count_macs(tiled.network, size) - before
    lines = [
        f"The exit at {EXIT_GRID[0]}x{EXIT_GRID[1]} is {own / 1e6:.2f} million multiply-adds of its own, which every picture costs; "
        f"one that leaves is spared the {behind / 1e6:.2f} million behind it.",
        "",
        "| threshold | leave early, % | right among them, % | accuracy, % | million multiply-adds behind the tiles, mean |",
        "|---|---|---|---|---|",
    ]
    chosen = ", ".join(f"{row['exit']['threshold']:.2f}" for row in found)
    kinds = [(f"{chosen} (chosen)", [row["exit"] for row in found])]
    kinds += [(f"{one:.2f}", [row["thresholds"][at] for row in found]) for at, one in enumerate(EXIT_THRESHOLDS)]
    for title, figures in kinds:
        left = mean(figure["left"] for figure in figures)
        sure = [figure["accuracy_left"] for figure in figures if figure["accuracy_left"] is not None]
        lines.append(
            f"| {title} | {100 * left:.1f} | {f'{100 * mean(sure):.1f}' if sure else ''} | "
            f"{100 * mean(figure['accuracy'] for figure in figures):.2f} | {(before - in_tiles + own + (1 - left) * behind) / 1e6:.2f} |"
        )
    return [*lines, ""]


MARK = "<!-- table: training/prove.py writes what follows -->"


def write_document(file: Path, rows: dict[tuple, dict]) -> None:
    """Writes the table after the marker in the document, and lists missing rows."""
    everything = all_rows()
    missing = [row for row in everything if row not in rows]
    head = file.read_text().split(MARK)[0]
    done = [
        f"{len(everything) - len(missing)} of {len(everything)} rows are made"
        + ("." if not missing else "; missing: " + ", ".join(sorted({f"{d} {n} seed {s}" for d, n, s, *_ in missing})) + ".")
    ]
    file.write_text("\n".join([head + MARK, "", *done, "", *summary(rows), *table(rows)]).rstrip() + "\n")
