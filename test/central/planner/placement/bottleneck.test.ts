import fc from 'fast-check';
import { expect, test } from 'vitest';
import { bottleneckOf, smallBottleneck } from '../../../../central/planner/placement/bottleneck.ts';
import { cheapestTwoWay } from '../../../../central/planner/placement/two-way.ts';
import { bruteForce } from '../../../support/brute-force.ts';
import { drawn, randomPlacements } from '../../../support/placements.ts';

test('the bottleneck is the busiest machine or all transfers', () => {
  const vertices = [
    { ms: [5, 5], reads: [-1], bytes: 3 },
    { ms: [4, 4], reads: [0], bytes: 1 },
  ];
  const placement = drawn({ ranks: [0, 1], vertices });
  expect(bottleneckOf(placement, [0, 0])).toBe(9);
  expect(bottleneckOf(placement, [0, 1])).toBe(5);
  expect(bottleneckOf({ ...placement, hop: (from, to) => (from === to ? 0 : 7) }, [0, 1])).toBe(7);
});

test('a pipeline of both machines takes more frames than the plan with the least time of one frame', () => {
  const vertices = [0, 1, 2, 3].map((v) => ({ ms: [10, 8], reads: [v - 1], bytes: 1 }));
  const placement = drawn({ ranks: [0, 1], vertices });
  expect(cheapestTwoWay(placement, [0, 1])).toEqual([1, 1, 1, 1]);
  expect(smallBottleneck(placement, [0, 1])).toEqual([0, 0, 1, 1]);
});

test('the bottleneck is at most three times the least possible', () => {
  fc.assert(
    fc.property(randomPlacements({ layers: 9, tiers: ['device', 'cloud'] }), (placement) => {
      const { ms } = bruteForce(placement, (labels) => bottleneckOf(placement, labels));
      const labels = smallBottleneck(placement, [0, 1])!;
      expect(bottleneckOf(placement, labels)).toBeLessThanOrEqual(3 * ms + 1e-6);
    }),
  );
});
