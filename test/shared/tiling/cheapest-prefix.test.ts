import { describe, expect, test } from 'vitest';
import { affordablePrefixes, cheapestPrefix } from '../../../shared/tiling/cheapest-prefix.ts';
import { haloMacs } from '../../../shared/tiling/halo-form.ts';
import { longestPrefix, type Prefix } from '../../../shared/tiling/prefix.ts';
import { tileSegment } from '../../../shared/tiling/segment.ts';
import { haloStage, Network } from './network.ts';

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
  const grid = { rows: 2, cols: 4 };
  const total = longestPrefix(resolved, ['x0'], grid).macs;

  /** Multiply-adds on the critical path: the slowest of 2 x 4 tiles, then the rest on one machine. */
  const critical = (prefix: Prefix) => {
    const { rows, cols } = prefix.reference!;
    const tiles = haloMacs(
      tileSegment(resolved, ['x0'], prefix.outputs),
      [rows / 2, rows / 2],
      Array(4).fill(cols / 4),
    );
    return Math.max(...tiles) + total - prefix.macs;
  };

  test('ends where a deeper halo would cost more than it spreads', () => {
    const longest = longestPrefix(resolved, ['x0'], grid);
    const cheapest = cheapestPrefix(resolved, ['x0'], grid);
    expect(critical(cheapest)).toBeLessThan(0.8 * critical(longest));
    expect(cheapest.convMacs).toBeGreaterThanOrEqual(0.8 * longest.convMacs);
  });

  test('prefixes with smaller results are offered as long as their halo is affordable, the smallest first', () => {
    const found = affordablePrefixes(resolved, ['x0'], grid, 4);
    const shortest = critical(cheapestPrefix(resolved, ['x0'], grid));
    const bytes = found.map(({ reference }) => reference!.rows * reference!.cols);
    expect(found.length).toBeGreaterThan(0);
    expect(bytes).toEqual([...bytes].sort((a, b) => a - b));
    for (const prefix of found) expect(critical(prefix)).toBeLessThanOrEqual(1.25 * shortest);
    expect(affordablePrefixes(resolved, ['x0'], grid, 1)).toHaveLength(1);
  });

  test('its estimate uses the multiply-adds of the tiles', () => {
    const { outputs, reference } = longestPrefix(resolved, ['x0'], grid);
    const form = haloStage(resolved, ['x0'], outputs, [2, 4]);
    const sizes = [Array(2).fill(reference!.rows / 2), Array(4).fill(reference!.cols / 4)] as const;
    expect(haloMacs(tileSegment(resolved, ['x0'], outputs), ...sizes)).toEqual(form.parts.map(({ macs }) => macs));
  });

  test('is empty where tiles would compute almost nothing of the network', () => {
    const net = new Network();
    const thin = net.conv(net.input([1, 3, 16, 16]), 3, 1, [1, 1]);
    const pooled = net.op('GlobalAveragePool', [net.op('Mul', [thin, net.op('ReduceMean', [thin], { axes: [2, 3] })])]);
    const classes = net.op('Gemm', [net.op('Flatten', [pooled]), net.weight(1, 20_000)]);
    const resolved = net.resolve(classes);
    const empty = { outputs: [], macs: 0, convMacs: 0 };
    expect(longestPrefix(resolved, ['x0'], grid)).toMatchObject(empty);
    expect(cheapestPrefix(resolved, ['x0'], grid)).toMatchObject(empty);
    expect(longestPrefix(resolved, ['x0'], grid).stops.map(({ op }) => op)).toContain('ReduceMean');
  });

  test('is empty where nothing can be tiled', () => {
    const net = new Network();
    const nothing = net.resolve(net.op('GlobalAveragePool', [net.input([1, 3, 8, 8])]));
    expect(cheapestPrefix(nothing, ['x0'], grid).outputs).toEqual([]);
  });
});
