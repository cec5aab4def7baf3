import fc from 'fast-check';
import { expect, test } from 'vitest';
import { hpa } from '../../../../central/planner/placement/heuristic.ts';
import { costOf } from '../../../../central/planner/placement/placement.ts';
import { refined } from '../../../../central/planner/placement/refine.ts';
import { bruteForce, isMonotone } from '../../../support/brute-force.ts';
import { drawn, randomPlacements } from '../../../support/placements.ts';

test('a refined labelling is monotone and never worse', () => {
  fc.assert(
    fc.property(randomPlacements({ layers: 8, tiers: ['device', 'edge', 'edge', 'cloud'] }), (placement) => {
      const start = hpa(placement)!;
      const labels = refined(placement, start);
      expect(isMonotone(placement, labels)).toBe(true);
      expect(costOf(placement, labels)).toBeLessThanOrEqual(costOf(placement, start));
    }),
  );
});

test('a labelling that is impossible, and that no pair of machines makes possible, stays as it is', () => {
  const vertices = [{ ms: [Infinity, Infinity], reads: [-1], bytes: 1 }];
  expect(refined(drawn({ ranks: [0, 1], vertices, way: () => 1 }), [0])).toEqual([0]);
});

test('with two machines it is the optimum', () => {
  fc.assert(
    fc.property(randomPlacements({ layers: 8, tiers: ['device', 'edge'] }), (placement) => {
      const start = placement.vertices.map(() => 0);
      expect(costOf(placement, refined(placement, start))).toBeCloseTo(bruteForce(placement).ms, 4);
    }),
  );
});
