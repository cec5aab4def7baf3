import fc from 'fast-check';
import { expect, test } from 'vitest';
import { problemOfProfile } from '../../../../central/planner/profile/problem.ts';
import { mincut } from '../../../../central/planner/strategies/mincut.ts';
import { bruteForce } from '../../../support/brute-force.ts';
import { placed } from '../../../support/placements.ts';
import { randomProfiles } from '../../../support/random-profiles.ts';
import { bareProfile } from '../profile/profiles.ts';
import { latencyOf, nodesOf, proposed } from './proposed.ts';

test('for two tiers its plan takes no longer than the best placement', () => {
  fc.assert(
    fc.property(randomProfiles({ layers: 9, tiers: ['device', 'cloud'] }), (profile) => {
      const problem = problemOfProfile(profile);
      const plans = proposed(mincut, problem);
      expect(plans).toHaveLength(1);
      expect(latencyOf(problem, plans)).toBeLessThanOrEqual(bruteForce(placed(problem)).ms + 1e-4);
    }),
  );
});

test('of several machines it takes the best pair', () => {
  const problem = problemOfProfile(bareProfile());
  const [plan] = proposed(mincut, problem);
  expect(nodesOf(plan!)).toEqual([['box']]);
});

test('for frames per second both machines work', () => {
  const profile = bareProfile();
  const problem = problemOfProfile({
    ...profile,
    nodes: profile.nodes.slice(0, 2).map((node) => ({ ...node, block_ms: [20, 20, 20] })),
    links: [{ from: 'pi', to: 'box', rtt_ms: 0, mbps: 80 }],
  });
  expect(nodesOf(proposed(mincut, problem)[0]!)).toEqual([['pi']]);
  const constraints = { ...problem.constraints, objective: 'throughput' } as const;
  const [plan] = proposed(mincut, { ...problem, constraints });
  expect(plan!.reason).toContain('heavy load');
  expect(nodesOf(plan!)).toEqual([['pi'], ['box']]);
});

test('one tier is no problem for a cut', () => {
  const problem = problemOfProfile(bareProfile());
  const nodes = problem.nodes.map((node) => ({ ...node, tier: 'edge' as const }));
  expect(mincut.propose({ ...problem, nodes })).toMatchObject({
    kind: 'impossible',
    reason: expect.stringContaining('tier'),
  });
});
