import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { costOf, type PlacementProblem } from '../../../../central/planner/placement/placement.ts';
import { MOST_MACHINES, searchLabels } from '../../../../central/planner/placement/search.ts';
import { problemOfProfile } from '../../../../central/planner/profile/problem.ts';
import { bruteForce, isMonotone } from '../../../support/brute-force.ts';
import { drawn, placed, randomPlacements } from '../../../support/placements.ts';
import { MEASURED, measuredFile, measuredProfile, whyNoProfiles } from '../profile/profiles.ts';

const UNBOUNDED = { each: Number.POSITIVE_INFINITY, total: Number.POSITIVE_INFINITY };
const THREE = ['device', 'edge', 'cloud'] as const;

function expectOptimum(placement: PlacementProblem): void {
  const { ms } = bruteForce(placement);
  const found = searchLabels(placement, UNBOUNDED);
  if (ms === Number.POSITIVE_INFINITY) {
    expect(found).toBeUndefined();
    return;
  }
  expect(isMonotone(placement, found!.labels)).toBe(true);
  expect(found!.isExact).toBe(true);
  expect(found!.ms).toBeCloseTo(ms, 6);
  expect(costOf(placement, found!.labels)).toBeCloseTo(ms, 6);
}

describe('an unbounded search finds the cheapest monotone labelling', () => {
  test('of random graphs, three tiers', () => {
    fc.assert(fc.property(randomPlacements({ layers: 8, tiers: THREE }), expectOptimum));
  });

  test('of graphs with up to twelve vertices', () => {
    fc.assert(fc.property(randomPlacements({ layers: 12, tiers: ['device', 'cloud'] }), expectOptimum));
  });

  test('with several machines in a tier, missing links, and outputs that are needed at a node', () => {
    const tiers = ['device', 'edge', 'edge', 'cloud'] as const;
    fc.assert(fc.property(randomPlacements({ layers: 6, tiers, odd: true }), expectOptimum));
  });

  test('of chains whose blocks take another time together than alone', () => {
    fc.assert(
      fc.property(randomPlacements({ layers: 7, tiers: THREE, chain: true, together: true }, 'chain'), expectOptimum),
    );
  });
});

/** Two branches that are open at once, and where they meet. */
const fork = drawn({
  ranks: [0, 1],
  vertices: [
    { ms: [5, 1], reads: [-1], bytes: 3 },
    { ms: [1, 4], reads: [0], bytes: 1 },
    { ms: [9, 1], reads: [0], bytes: 1 },
    { ms: [9, 2], reads: [1, 2], bytes: 1 },
  ],
});

test('a bounded search keeps the cheapest states and says that others were left out', () => {
  expect(searchLabels(fork, UNBOUNDED)).toEqual({ labels: [1, 1, 1, 1], ms: 9, isExact: true });
  const narrow = searchLabels(fork, { each: 1, total: Number.POSITIVE_INFINITY })!;
  expect(narrow.isExact).toBe(false);
  expect(narrow.ms).toBeGreaterThanOrEqual(9);
  expect(narrow.ms).toBe(costOf(fork, narrow.labels));
});

test('a search that would keep too many states in all has no answer', () => {
  expect(searchLabels(fork, { each: Number.POSITIVE_INFINITY, total: 5 })).toBeUndefined();
});

test('more machines than a number has bits are refused', () => {
  const ranks = Array.from({ length: MOST_MACHINES + 1 }, () => 0);
  const wide = drawn({ ranks, vertices: [{ ms: ranks, reads: [-1], bytes: 1 }] });
  expect(() => searchLabels(wide, UNBOUNDED)).toThrow(RangeError);
});

test('is as good as the best pipeline that Scission finds', ({ skip }) => {
  const why = whyNoProfiles();
  skip(why !== undefined, why);
  type Golden = Record<string, Record<string, { top5: { latency_ms: number }[] }>>;
  const golden = measuredFile('scission-golden.json') as Golden;
  for (const [network, link] of MEASURED) {
    const placement = placed(problemOfProfile(measuredProfile(network, link)), 'chain');
    expect(searchLabels(placement, UNBOUNDED)!.ms).toBeCloseTo(golden[network]![link]!.top5[0]!.latency_ms, 2);
  }
});
