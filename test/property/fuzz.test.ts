import { describe, expect, it } from 'vitest';
import { corpusOf } from '../../bench/fuzz/corpus.ts';
import { runTarget } from '../../bench/fuzz/engine.ts';
import { TARGETS } from '../../bench/fuzz/targets.ts';

/**
 * Fuzzes every decoder of untrusted input for a moment: first all earlier findings (test/corpus), then new inputs,
 * other ones every hour. `npm run bench -- fuzz --inputs 1000000` runs longer, in child processes. `--keep` puts a
 * finding into the corpus, where it stays with its fix.
 */

const SECONDS = Number(process.env.TESSERA_FUZZ_SECONDS ?? 0.5);
const SEED = Math.floor(Date.now() / 3_600_000);

describe('fuzzing the decoders', () => {
  it.each(TARGETS.map((target) => [target.name, target] as const))(
    '%s',
    async (name, target) => {
      const corpus = corpusOf(name);
      const run = { seed: SEED, from: 0, inputs: 1e9, seconds: SECONDS, corpus };
      const { findings, accepted } = await runTarget(target, run);
      // The benchmark judges slowness, on a machine without other load.
      const faults = findings.filter(({ kind }) => kind !== 'slow');
      const shown = faults.map(({ index, what, input }) => ({
        target: name,
        seed: SEED,
        index,
        what,
        input: Buffer.from(input).toString('base64').slice(0, 2000),
      }));
      expect(shown).toEqual([]);
      expect(accepted, 'valid inputs are taken').toBeGreaterThan(0);
    },
    60_000 + SECONDS * 1000,
  );
});
