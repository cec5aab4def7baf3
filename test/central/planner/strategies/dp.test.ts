import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { problemOfProfile } from '../../../../central/planner/profile/problem.ts';
import { dp } from '../../../../central/planner/strategies/dp.ts';
import { exhaustive } from '../../../../central/planner/strategies/exhaustive.ts';
import { bruteForce } from '../../../support/brute-force.ts';
import { placed } from '../../../support/placements.ts';
import { randomProfiles } from '../../../support/random-profiles.ts';
import { latencyOf, proposed } from './proposed.ts';

const tiers = ['device', 'edge', 'cloud'] as const;

describe('on chains', () => {
  test('its plan is predicted to be as fast as the best pipeline, measured runs and fused layers counted', () => {
    fc.assert(
      fc.property(randomProfiles({ layers: 8, tiers, chain: true, together: true }), (profile) => {
        const problem = problemOfProfile(profile);
        const best = latencyOf(problem, proposed(exhaustive, problem));
        expect(latencyOf(problem, proposed(dp, problem))).toBeCloseTo(best, 6);
      }),
    );
  });

  test('its plan is as fast as the best of all placements, several machines in a tier', () => {
    fc.assert(
      fc.property(randomProfiles({ layers: 6, tiers: [...tiers, 'edge'], chain: true }), (profile) => {
        const problem = problemOfProfile(profile);
        const { ms } = bruteForce(placed(problem));
        expect(latencyOf(problem, proposed(dp, problem))).toBeCloseTo(ms, 6);
      }),
    );
  });
});

test('on graphs its plan takes no longer than the best placement with everything one after another', () => {
  fc.assert(
    fc.property(randomProfiles({ layers: 7, tiers }), (profile) => {
      const problem = problemOfProfile(profile);
      const { ms } = bruteForce(placed(problem));
      expect(latencyOf(problem, proposed(dp, problem))).toBeLessThanOrEqual(ms + 1e-6);
    }),
  );
});
