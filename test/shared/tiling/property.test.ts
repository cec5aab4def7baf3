import fc from 'fast-check';
import { expect, test } from 'vitest';
import { differenceBound } from '../../../shared/tiling/difference-bound.ts';
import { findTileable } from '../../../shared/tiling/tileable.ts';
import { expectLossless, stageOf } from './network.ts';
import { randomNetwork, steps } from './random-network.ts';

const weights = fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 4 });
const side = fc.integer({ min: 5, max: 19 });
const grids = fc.array(fc.tuple(weights, weights), { minLength: 2, maxLength: 2 });
const opset = fc.constantFrom(17, 14, 15, 16, 18, 19, 20, 21, 22);

/** Set TESSERA_FUZZ_RUNS for a longer search. */
const runs = Number(process.env.TESSERA_FUZZ_RUNS ?? 150);

test('random networks on random grids equal the whole', { timeout: 3_600_000 }, async () => {
  let built = 0;
  await fc.assert(
    fc.asyncProperty(steps, side, side, grids, opset, async (list, rows, cols, tiles, version) => {
      const network = randomNetwork(list, rows, cols, { opset: version });
      if (network === undefined) return;
      built++;
      await expectLossless(network.resolved, network.outputs, tiles);
    }),
    { numRuns: runs },
  );
  expect(built, 'most random networks are networks').toBeGreaterThan(runs / 2);
});

test('random float16 networks stay within their bound', { timeout: 3_600_000 }, async () => {
  let built = 0;
  await fc.assert(
    fc.asyncProperty(steps, side, side, grids, opset, async (list, rows, cols, tiles, version) => {
      const network = randomNetwork(list, rows, cols, { opset: version, dtype: 'float16' });
      if (network === undefined) return;
      const { resolved, outputs } = network;
      // float16 maps are not interpolated by non-integer factors.
      if (findTileable(resolved, ['x0']).stops.length > 0) return;
      const bound = differenceBound(resolved, [
        stageOf(['x0'], outputs, { kind: 'tiles', padding: 'halo', rows: [1], cols: [1] }),
      ]);
      if ('unbounded' in bound) throw new Error(bound.unbounded);
      built++;
      await expectLossless(resolved, outputs, tiles, ['x0'], bound.largest);
    }),
    { numRuns: runs },
  );
  expect(built, 'many random networks are networks').toBeGreaterThan(runs / 3);
});
