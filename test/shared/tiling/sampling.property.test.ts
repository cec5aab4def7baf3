import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { ResolvedModel } from '../../../shared/onnx/model.ts';
import { findTileable } from '../../../shared/tiling/tileable.ts';
import { expectLossless, type GridSizes, Network } from './network.ts';

/** Set TESSERA_FUZZ_RUNS for a longer search. */
const runs = Number(process.env.TESSERA_FUZZ_RUNS ?? 150);

const side = fc.integer({ min: 1, max: 24 });
const sides = fc.tuple(side, side);
const weights = fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 4 });
const grids: fc.Arbitrary<GridSizes[]> = fc.array(fc.tuple(weights, weights), { minLength: 1, maxLength: 2 });

const resizing = fc.record({
  opset: fc.constantFrom(10, 11, 13, 17, 18, 19),
  mode: fc.constantFrom('nearest', 'linear', 'cubic'),
  coordinates: fc.constantFrom(
    'half_pixel',
    'pytorch_half_pixel',
    'asymmetric',
    'align_corners',
    'half_pixel_symmetric',
  ),
  nearest: fc.constantFrom('round_prefer_floor', 'round_prefer_ceil', 'floor', 'ceil'),
  byScales: fc.boolean(),
  exclude: fc.boolean(),
});
type Resizing = typeof resizing extends fc.Arbitrary<infer T> ? T : never;

/** x [1, 2, ...from] -> Resize to about [1, 2, ...to] -> the result, by sizes or by scales in single precision. */
function resized(how: Resizing, from: readonly number[], to: readonly number[]): ResolvedModel {
  const net = new Network(how.opset);
  const x = net.input([1, 2, ...from]);
  const scales = net.values('float32', [4], [1, 1, ...to.map((size, i) => (size + 0.3) / from[i]!)]);
  const mode = how.opset === 10 && how.mode === 'cubic' ? 'linear' : how.mode;
  if (how.opset === 10) return net.resolve(net.op('Resize', [x, scales], { mode }));
  const coordinates = how.coordinates === 'half_pixel_symmetric' && how.opset < 19 ? 'half_pixel' : how.coordinates;
  const attributes = {
    mode,
    coordinate_transformation_mode: coordinates,
    ...(mode === 'nearest' ? { nearest_mode: how.nearest } : {}),
    ...(mode === 'cubic' && how.exclude ? { exclude_outside: 1 } : {}),
  };
  const none = how.opset < 13 ? net.values('float32', [0], []) : '';
  const target = how.byScales
    ? [scales]
    : [how.opset < 13 ? net.values('float32', [0], []) : '', net.ints(1, 2, ...to)];
  return net.resolve(net.op('Resize', [x, none, ...target], attributes));
}

const NEAREST = { opset: 17, mode: 'nearest', byScales: false, exclude: false } as const;

/** Earlier findings: a position next to the middle of two cells, and a mode that treats single cells differently. */
const FOUND: [Resizing, [number, number], [number, number], GridSizes[]][] = [
  [{ ...NEAREST, coordinates: 'asymmetric', nearest: 'round_prefer_floor' }, [23, 1], [14, 1], [[[1], [1]]]],
  [{ ...NEAREST, coordinates: 'pytorch_half_pixel', nearest: 'ceil' }, [1, 8], [1, 4], [[[1], [1, 3]]]],
];

test('Resize from any size to any size equals the runtime, whatever its mode', { timeout: 3_600_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(resizing, sides, sides, grids, async (how, from, to, list) => {
      const resolved = resized(how, from, to);
      expect(findTileable(resolved, ['x0']).stops).toEqual([]);
      await expectLossless(resolved, undefined, list);
    }),
    { numRuns: runs, examples: FOUND },
  );
});

test('padding with its own cells equals the runtime', { timeout: 3_600_000 }, async () => {
  const pads = fc.tuple(fc.nat(9), fc.nat(9), fc.nat(9), fc.nat(9));
  await fc.assert(
    fc.asyncProperty(
      fc.boolean(),
      sides,
      pads,
      fc.nat(1),
      grids,
      async (reflects, [rows, cols], widths, channel, list) => {
        const limit = (n: number, size: number) => (reflects ? Math.min(n, size - 1) : n);
        const [top, left, bottom, right] = widths.map((n, i) => limit(n, i % 2 === 0 ? rows : cols));
        const net = new Network(17);
        const x = net.input([1, 2, rows, cols]);
        const given = net.ints(0, channel, top!, left!, 0, 0, bottom!, right!);
        await expectLossless(
          net.resolve(net.op('Pad', [x, given], { mode: reflects ? 'reflect' : 'edge' })),
          undefined,
          list,
        );
      },
    ),
    { numRuns: runs },
  );
});
