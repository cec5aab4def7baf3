import { describe, expect, test } from 'vitest';
import { haloCosts } from '../../../shared/tiling/halo-form.ts';
import { tileSegment } from '../../../shared/tiling/segment.ts';
import { MOST_INPUT, MOST_WORK, worthwhileTiles } from '../../../shared/tiling/worthwhile.ts';
import { haloStage, Network } from './network.ts';

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
    const { tiling } = worthwhileTiles(resolved, ['x0'], GRIDS);
    expect(tiling?.grid).toEqual({ rows: 2, cols: 2 });
    expect(tiling!.input).toBeLessThanOrEqual(MOST_INPUT);
    expect(tiling!.work).toBeLessThanOrEqual(MOST_WORK);
    expect(tiling!.time).toBeLessThan(0.85);
  });

  test('is not cut where every tile would need the whole picture, however large it is', () => {
    const resolved = convolutions({ side: 64, channels: 96, count: 40, pools: 3 });
    const worth = worthwhileTiles(resolved, ['x0'], [{ rows: 2, cols: 2 }]);
    expect(worth.tiling).toBeUndefined();
    expect('nearest' in worth && worth.nearest!.input > MOST_INPUT).toBe(true);
  });

  test('is not cut where messages take longer than its computation', () => {
    const resolved = convolutions({ side: 48, channels: 8, count: 4 });
    expect(worthwhileTiles(resolved, ['x0'], GRIDS).tiling).toBeUndefined();
  });

  test('gets a smaller grid where the grid for all nodes has too much halo', () => {
    const resolved = convolutions({ side: 48, channels: 128, count: 6 });
    const { tiling } = worthwhileTiles(resolved, ['x0'], [{ rows: 4, cols: 4 }, ...GRIDS]);
    expect(tiling!.grid.rows * tiling!.grid.cols).toBeLessThan(16);
  });

  test('is not cut for nodes that share the cores of one machine unless that is faster', () => {
    const resolved = convolutions({ side: 96, channels: 64, count: 6 });
    expect(worthwhileTiles(resolved, ['x0'], GRIDS, 2).tiling?.time ?? 1).toBeGreaterThan(0.5);
    expect(worthwhileTiles(resolved, ['x0'], GRIDS, 1).tiling).toBeUndefined();
  });

  test('is estimated from the regions and the computation of its tiles', () => {
    const resolved = convolutions({ side: 96, channels: 64, count: 6 });
    const { prefix } = worthwhileTiles(resolved, ['x0'], GRIDS).tiling!;
    const { rows, cols } = prefix.reference!;
    const sizes = [
      [rows / 2, rows / 2],
      [cols / 2, cols / 2],
    ] as const;
    const { macs, bytesIn } = haloCosts(tileSegment(resolved, ['x0'], prefix.outputs), ...sizes);
    const { parts } = haloStage(resolved, ['x0'], prefix.outputs, [2, 2]);
    expect(macs).toEqual(parts.map((part) => part.macs));
    const bytes = parts.map((part) =>
      part.in.reduce((sum, { box }) => sum + 4 * box.reduce((size, [from, to]) => size * (to - from), 1), 0),
    );
    expect(bytesIn).toEqual(bytes);
  });
});
