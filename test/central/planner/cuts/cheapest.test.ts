import { describe, expect, test } from 'vitest';
import { affordableEnds, cheapestEnd } from '../../../../central/planner/cuts/cheapest.ts';
import type { TileEnd } from '../../../../central/planner/strategy.ts';
import { planningNetwork } from '../../../../central/planner/tiler.ts';
import { haloCosts } from '../../../../shared/tiling/halo-form.ts';
import { longestPrefix } from '../../../../shared/tiling/prefix.ts';
import { tileSegment } from '../../../../shared/tiling/segment.ts';
import { haloStage, Network } from '../../../shared/tiling/network.ts';

const pads = [1, 1, 1, 1];

/** VGG-like: three blocks, each followed by a pool, 64 -> 8 cells; the last block has few multiply-adds and a wide halo. */
function deep() {
  const net = new Network();
  let x = net.input([1, 3, 64, 64]);
  let from = 3;
  for (const to of [8, 8, 8]) {
    x = net.conv(net.conv(x, from, to, [3, 3], { pads }), to, to, [3, 3], { pads });
    x = net.op('MaxPool', [x], { kernel_shape: [2, 2], strides: [2, 2] });
    from = to;
  }
  for (let i = 0; i < 4; i++) x = net.conv(x, from, from, [3, 3], { pads });
  return net.resolve(net.op('GlobalAveragePool', [x]));
}

describe('the prefix with the shortest critical path', () => {
  const resolved = deep();
  const network = planningNetwork(resolved);
  const grid = { rows: 2, cols: 4 };
  const [longest] = network.tiler.reach(undefined, grid, { leastShare: 1, most: 1 }) as [TileEnd];

  /** Multiply-adds on the critical path: the slowest of 2 x 4 tiles, then the rest on one machine. */
  const critical = (end: TileEnd) => {
    const { rows, cols } = end.cells;
    const tiles = network.tiler.parts(undefined, end, [rows / 2, rows / 2], Array(4).fill(cols / 4));
    return Math.max(...tiles.map(({ macs }) => macs)) + longest.macs - end.macs;
  };

  test('is not where a deeper halo would cost more than it spreads', () => {
    const cheapest = cheapestEnd(network, undefined, grid)!;
    expect(critical(cheapest)).toBeLessThan(0.8 * critical(longest));
    expect(cheapest.macs).toBeGreaterThanOrEqual(0.8 * longest.macs);
  });

  test('is offered beside others with smaller results as long as their halo is affordable, the smallest first', () => {
    const found = affordableEnds(network, grid, 4);
    const shortest = critical(cheapestEnd(network, undefined, grid)!);
    const cells = found.map((end) => end.cells.rows * end.cells.cols);
    expect(found.length).toBeGreaterThan(0);
    expect(cells).toEqual([...cells].sort((a, b) => a - b));
    for (const end of found) expect(critical(end)).toBeLessThanOrEqual(1.25 * shortest);
    expect(affordableEnds(network, grid, 1)).toHaveLength(1);
  });

  test('is estimated with the multiply-adds of the tiles', () => {
    const { outputs, reference } = longestPrefix(resolved, ['x0'], grid);
    const form = haloStage(resolved, ['x0'], outputs, [2, 4]);
    const sizes = [Array(2).fill(reference!.rows / 2), Array(4).fill(reference!.cols / 4)] as const;
    const costs = haloCosts(tileSegment(resolved, ['x0'], outputs), ...sizes);
    expect(costs.map(({ macs }) => macs)).toEqual(form.parts.map(({ macs }) => macs));
  });

  test('does not exist where tiles would compute almost nothing of the network', () => {
    const net = new Network();
    const thin = net.conv(net.input([1, 3, 16, 16]), 3, 1, [1, 1]);
    const pooled = net.op('GlobalAveragePool', [net.op('Mul', [thin, net.op('ReduceMean', [thin], { axes: [2, 3] })])]);
    const classes = net.op('Gemm', [net.op('Flatten', [pooled]), net.weight(1, 20_000)]);
    const resolved = net.resolve(classes);
    const empty = { outputs: [], macs: 0, convMacs: 0 };
    expect(longestPrefix(resolved, ['x0'], grid)).toMatchObject(empty);
    expect(cheapestEnd(planningNetwork(resolved), undefined, grid)).toBeUndefined();
    expect(longestPrefix(resolved, ['x0'], grid).stops.map(({ op }) => op)).toContain('ReduceMean');
  });

  test('does not exist where nothing can be tiled', () => {
    const net = new Network();
    const nothing = net.resolve(net.op('GlobalAveragePool', [net.input([1, 3, 8, 8])]));
    expect(cheapestEnd(planningNetwork(nothing), undefined, grid)).toBeUndefined();
  });
});
