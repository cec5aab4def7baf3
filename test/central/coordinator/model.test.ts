import fc from 'fast-check';
import { expect, test } from 'vitest';
import { chaos } from '../../sim/chaos.ts';

/** More seeds by `TESSERA_SIM_SEEDS=500 npx vitest run test/central/coordinator/model.test.ts`. */
const SEEDS = Number(process.env.TESSERA_SIM_SEEDS ?? 12);

test('whatever happens to nodes, links, plans and cameras, every invariant holds after every step and all frames end', () => {
  let steps = 0;
  const outcomes = { ok: 0, degraded: 0, error: 0 };
  const notes = { duplicate: 0, stray: 0, late: 0, 'stale-epoch': 0 };
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 31 }), (seed) => {
      const cluster = chaos(seed, 30_000);
      steps += cluster.steps;
      for (const { outcome } of cluster.published) outcomes[outcome]++;
      const snapshot = cluster.coordinator.snapshot();
      for (const [note, count] of Object.entries(snapshot.notes)) notes[note as keyof typeof notes] += count;
      expect(snapshot).toMatchObject({ open_frames: 0, open_bytes: 0, payload_bytes: 0 });
    }),
    { numRuns: SEEDS, endOnFailure: true },
  );
  // A simulation in which nothing goes wrong would prove nothing.
  expect(steps).toBeGreaterThan(20_000);
  for (const count of [outcomes.ok, outcomes.degraded, outcomes.error, notes.duplicate, notes.late])
    expect(count).toBeGreaterThan(0);
  expect(outcomes.ok).toBeGreaterThan(outcomes.error);
});

test('the same seed replays the same run, event for event and effect for effect', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 31 }), (seed) => {
      expect(chaos(seed, 5_000, true).log).toEqual(chaos(seed, 5_000, true).log);
    }),
    { numRuns: 2 },
  );
});
