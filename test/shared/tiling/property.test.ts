import fc from 'fast-check';
import { expect, test } from 'vitest';
import { expectLossless } from './network.ts';
import { randomNetwork, steps } from './random-network.ts';

const weights = fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 4 });

/** Set TESSERA_FUZZ_RUNS for a longer search. */
const runs = Number(process.env.TESSERA_FUZZ_RUNS ?? 150);

test('random networks on random grids equal the whole', { timeout: 3_600_000 }, async () => {
  let built = 0;
  await fc.assert(
    fc.asyncProperty(
      steps,
      fc.integer({ min: 5, max: 19 }),
      fc.integer({ min: 5, max: 19 }),
      fc.array(fc.tuple(weights, weights), { minLength: 2, maxLength: 2 }),
      async (list, rows, cols, grids) => {
        const network = randomNetwork(list, rows, cols);
        if (network === undefined) return;
        built++;
        await expectLossless(network.resolved, network.outputs, grids);
      },
    ),
    { numRuns: runs },
  );
  expect(built, 'most random networks are networks').toBeGreaterThan(runs / 2);
});
