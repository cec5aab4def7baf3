import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { planOf, planOfStages, stagesOf } from '../../../../central/planner/placement/stages.ts';
import { problemOfProfile } from '../../../../central/planner/profile/problem.ts';
import { isNoPlan } from '../../../../central/planner/strategy.ts';
import type { Plan } from '../../../../shared/plan/plan.ts';
import { checkPlan } from '../../../../shared/plan/validate.ts';
import { bruteForce } from '../../../support/brute-force.ts';
import { drawn, placed, randomPlacements } from '../../../support/placements.ts';
import { randomProfiles } from '../../../support/random-profiles.ts';
import { skipProfile } from '../profile/profiles.ts';

const problem = problemOfProfile(skipProfile());
const placement = placed(problem);

const plan = (labels: readonly number[]): Plan => {
  const made = planOf(problem, 'test', 'why', placement, labels);
  if (isNoPlan(made)) throw new Error(made.reason);
  return made;
};

test('the stages of a labelling have the tensors that others need, skips too', () => {
  const { stages, reason } = plan([0, 0, 1, 1]);
  expect(stages).toMatchObject([
    { inputs: ['picture'], outputs: ['one-out', 'two-out'], on: { mode: 'share', nodes: ['pi'] }, fallback: 'central' },
    { inputs: ['two-out', 'one-out'], outputs: ['four-out'], on: { nodes: ['central'] } },
  ]);
  expect(reason).toBe('why: 2 layers on pi, 2 layers on central');
  expect(plan([1, 1, 1, 1]).reason).toBe('why: the whole network on central');
});

test('a labelling that goes back to a machine has a further stage there', () => {
  const { stages } = plan([1, 0, 0, 1]);
  expect(stages).toMatchObject([
    { inputs: ['picture'], outputs: ['one-out'], on: { nodes: ['central'] } },
    { inputs: ['one-out'], outputs: ['three-out'], on: { nodes: ['pi'] } },
    { inputs: ['one-out', 'three-out'], outputs: ['four-out'], on: { nodes: ['central'] } },
  ]);
});

test('a stage on several nodes runs each frame on one of them', () => {
  const made = planOfStages(problem, 'test', 'why', placement, [
    { vertices: [0, 1], nodes: ['pi'] },
    { vertices: [2, 3], nodes: ['pi', 'central'] },
  ]);
  expect(made).toMatchObject({
    reason: 'why: 2 layers on pi, 2 layers on pi or central',
    stages: [{ on: { mode: 'share' } }, { on: { mode: 'replicate', nodes: ['pi', 'central'] } }],
  });
});

describe('stages', () => {
  test('of monotone labellings with a machine per tier: at most one for each machine', () => {
    fc.assert(
      fc.property(randomPlacements({ layers: 8, tiers: ['device', 'edge', 'cloud'] }), (random) => {
        const { labels } = bruteForce(random);
        expect(stagesOf(random, labels)).toHaveLength(new Set(labels).size);
      }),
    );
  });

  test('of any labelling make a valid plan that computes all outputs', () => {
    const profiles = randomProfiles({ layers: 10, tiers: ['device', 'edge', 'edge', 'cloud'] });
    fc.assert(
      fc.property(profiles, fc.array(fc.nat(3), { minLength: 10, maxLength: 10 }), (profile, labels) => {
        const random = problemOfProfile(profile);
        const made = planOf(random, 'test', 'why', placed(random), labels.slice(0, random.graph.layers.length));
        if (isNoPlan(made)) throw new Error(made.reason);
        checkPlan(made, random.graph);
        const { stages } = made;
        for (const { inputs } of stages.slice(1)) expect(inputs.length).toBeGreaterThan(0);
      }),
    );
  });
});

test('more stages than a plan may have are no plan', () => {
  const vertices = Array.from({ length: 65 }, (_, v) => ({ ms: [1, 1], reads: [v - 1], bytes: 1 }));
  const long = drawn({ ranks: [0, 0], vertices });
  const made = planOf(
    problem,
    'test',
    'why',
    long,
    vertices.map((_, v) => v % 2),
  );
  expect(made).toMatchObject({ kind: 'impossible', reason: expect.stringContaining('65 stages') });
});
