import fc from 'fast-check';
import { expect, test } from 'vitest';
import { problemOfProfile } from '../../../../central/planner/profile/problem.ts';
import { neurosurgeon } from '../../../../central/planner/strategies/neurosurgeon.ts';
import { bruteForce } from '../../../support/brute-force.ts';
import { placed } from '../../../support/placements.ts';
import { randomProfiles } from '../../../support/random-profiles.ts';
import { bareProfile } from '../profile/profiles.ts';
import { latencyOf, nodesOf, proposed } from './proposed.ts';

test('on a chain and two tiers it is the optimum', () => {
  fc.assert(
    fc.property(randomProfiles({ layers: 10, tiers: ['device', 'cloud'], chain: true }), (profile) => {
      const problem = problemOfProfile(profile);
      expect(latencyOf(problem, proposed(neurosurgeon, problem))).toBeCloseTo(bruteForce(placed(problem)).ms, 6);
    }),
  );
});

test('it cuts once', () => {
  // In front of the slow link the output of b is the smallest; a third machine in between would be faster.
  const profile = bareProfile();
  const nodes = profile.nodes.map((node, n) => ({
    ...node,
    block_ms: [
      [1, 1, 900],
      [900, 1, 900],
      [900, 900, 1],
    ][n]!,
  }));
  const problem = problemOfProfile({ ...profile, nodes });
  const [plan] = proposed(neurosurgeon, problem);
  expect(nodesOf(plan!)).toEqual([['pi'], ['vm']]);
  expect(plan!.stages[0]!.outputs).toEqual(['b']);
});
