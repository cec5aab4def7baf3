import { describe, expect, test } from 'vitest';
import { MOST_INPUT, MOST_WORK, worthwhileTiling } from '../../../../central/planner/cuts/worthwhile.ts';
import { planningNetwork } from '../../../../central/planner/tiler.ts';
import type { Region } from '../../../../shared/tiling/form.ts';
import { haloCosts } from '../../../../shared/tiling/halo-form.ts';
import { tileSegment } from '../../../../shared/tiling/segment.ts';
import { haloStage, Network } from '../../../shared/tiling/network.ts';

const pads = [1, 1, 1, 1];
const GRIDS = [
  { rows: 2, cols: 2 },
  { rows: 1, cols: 2 },
  { rows: 1, cols: 1 },
];

interface Size {
  readonly side: number;
  readonly channels: number;
  readonly count: number;
  readonly pools?: number;
}

/** 3x3 convolutions of `channels` over maps of `side` cells; the first `pools` have 8, and a pool each that halves the map. */
function convolutions({ side, channels, count, pools = 0 }: Size) {
  const net = new Network();
  let x = net.input([1, 3, side, side]);
  let from = 3;
  for (let i = 0; i < count; i++) {
    const to = i < pools ? 8 : channels;
    x = net.conv(x, from, to, [3, 3], { pads });
    from = to;
    if (i < pools) x = net.op('MaxPool', [x], { kernel_shape: [2, 2], strides: [2, 2] });
  }
  return net.resolve(net.op('GlobalAveragePool', [x]));
}

describe('a network without explicit cuts', () => {
  test('is cut where its computation is large and its halo small', () => {
    const resolved = convolutions({ side: 96, channels: 64, count: 6 });
    const { tiling } = worthwhileTiling(planningNetwork(resolved), { nodeCount: 4 }, GRIDS);
    expect(tiling?.grid).toEqual({ rows: 2, cols: 2 });
    expect(tiling!.input).toBeLessThanOrEqual(MOST_INPUT);
    expect(tiling!.work).toBeLessThanOrEqual(MOST_WORK);
    expect(tiling!.time).toBeLessThan(0.85);
  });

  test('is not cut where every tile would need the whole picture, however large it is', () => {
    const resolved = convolutions({ side: 64, channels: 96, count: 40, pools: 3 });
    const worth = worthwhileTiling(planningNetwork(resolved), { nodeCount: 4 }, [{ rows: 2, cols: 2 }]);
    expect(worth.tiling).toBeUndefined();
    expect('nearest' in worth && worth.nearest!.input > MOST_INPUT).toBe(true);
  });

  test('is not cut where messages take longer than its computation', () => {
    const resolved = convolutions({ side: 48, channels: 8, count: 4 });
    expect(worthwhileTiling(planningNetwork(resolved), { nodeCount: 4 }, GRIDS).tiling).toBeUndefined();
  });

  test('gets a smaller grid where the grid for all nodes has too much halo', () => {
    const resolved = convolutions({ side: 48, channels: 128, count: 6 });
    const { tiling } = worthwhileTiling(planningNetwork(resolved), { nodeCount: 4 }, [{ rows: 4, cols: 4 }, ...GRIDS]);
    expect(tiling!.grid.rows * tiling!.grid.cols).toBeLessThan(16);
  });

  test('is not cut for nodes that share the cores of one machine unless that is faster', () => {
    const resolved = convolutions({ side: 96, channels: 64, count: 6 });
    expect(
      worthwhileTiling(planningNetwork(resolved), { nodeCount: 4, sharedCores: 2 * 2 }, GRIDS).tiling?.time ?? 1,
    ).toBeGreaterThan(0.5);
    expect(
      worthwhileTiling(planningNetwork(resolved), { nodeCount: 4, sharedCores: 1 * 2 }, GRIDS).tiling,
    ).toBeUndefined();
  });

  test('is estimated from the regions and the computation of its tiles', () => {
    const resolved = convolutions({ side: 96, channels: 64, count: 6 });
    const { end } = worthwhileTiling(planningNetwork(resolved), { nodeCount: 4 }, GRIDS).tiling!;
    const { rows, cols } = end.cells;
    const sizes = [
      [rows / 2, rows / 2],
      [cols / 2, cols / 2],
    ] as const;
    const costs = haloCosts(tileSegment(resolved, ['x0'], end.made), ...sizes);
    const { parts } = haloStage(resolved, ['x0'], end.made, [2, 2]);
    expect(costs.map(({ macs }) => macs)).toEqual(parts.map((part) => part.macs));
    const bytes = (regions: readonly Region[]): number =>
      regions.reduce((sum, { box }) => sum + 4 * box.reduce((size, [from, to]) => size * (to - from), 1), 0);
    expect(costs.map(({ bytes_in }) => bytes_in)).toEqual(parts.map((part) => bytes(part.in)));
    expect(costs.map(({ bytes_out }) => bytes_out)).toEqual(parts.map((part) => bytes(part.out)));
  });
});
