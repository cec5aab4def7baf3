import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { costOf, type PlacementProblem } from '../../../../central/planner/placement/placement.ts';
import {
  cheapestTwoWay,
  pairsOf,
  relabelled,
  tierPairsOf,
  twoWay,
} from '../../../../central/planner/placement/two-way.ts';
import { bruteForce, isMonotone } from '../../../support/brute-force.ts';
import { drawn, randomPlacements } from '../../../support/placements.ts';

describe('a minimum cut between two tiers is the cheapest monotone labelling', () => {
  const expectOptimum = (placement: PlacementProblem): void => {
    const { ms } = bruteForce(placement);
    const labels = cheapestTwoWay(placement, [0, 1]);
    expect(labels === undefined ? Number.POSITIVE_INFINITY : costOf(placement, labels)).toBeCloseTo(ms, 4);
    if (ms < Number.POSITIVE_INFINITY) expect(isMonotone(placement, labels!)).toBe(true);
  };

  test('of random graphs', () => {
    fc.assert(fc.property(randomPlacements({ layers: 12, tiers: ['edge', 'cloud'] }), expectOptimum));
  });

  test('with missing links, and outputs that are needed at a node', () => {
    fc.assert(fc.property(randomPlacements({ layers: 10, tiers: ['device', 'cloud'], odd: true }), expectOptimum));
  });

  test('where frames are born at a third machine', () => {
    const tiers = ['edge', 'cloud', 'device'] as const;
    fc.assert(
      fc.property(randomPlacements({ layers: 8, tiers, odd: true }), (three) => {
        // Nothing runs at the third machine.
        const vertices = three.vertices.map(({ ms, ...vertex }) => ({ ...vertex, ms: [ms[0]!, ms[1]!, Infinity] }));
        expectOptimum({ ...three, vertices, source: 2 });
      }),
    );
  });
});

test('only what lies between two neighbouring cut vertices is cut anew', () => {
  const vertices = [[-1], [0], [0], [1, 2], [3]].map((reads) => ({ ms: [1, 1], reads, bytes: 1 }));
  const all = twoWay(drawn({ ranks: [0, 1], vertices }), [0, 1], { first: 1, second: 1, transfers: 1 });
  expect(all.map((labels) => labels.join(''))).toEqual(['11111', expect.stringMatching(/^0..11$/), '00001', '00000']);
});

test('a tensor that several vertices read is paid for once', () => {
  // Sent for each reader, the tensor of 4 bytes would cost more than computing at the first machine saves.
  const vertices = [
    { ms: [0, 9], reads: [-1], bytes: 4 },
    { ms: [3, 0], reads: [0], bytes: 1 },
    { ms: [3, 0], reads: [0], bytes: 1 },
  ];
  const placement = drawn({ ranks: [0, 1], vertices });
  expect(cheapestTwoWay(placement, [0, 1])).toEqual([0, 1, 1]);
});

test('weights say what counts', () => {
  const vertices = [
    { ms: [4, 3], reads: [-1], bytes: 2 },
    { ms: [4, 3], reads: [0], bytes: 2 },
  ];
  const placement = drawn({ ranks: [0, 1], vertices });
  const labels = (first: number, second: number) =>
    relabelled(placement, [0, 0], [0, 1], () => true, { first, second, transfers: 0 });
  expect(labels(1, 2)).toEqual([0, 0]);
  expect(labels(2, 1)).toEqual([1, 1]);
});

describe('dividing the vertices of two machines anew', () => {
  test('is the best that these two can do while the others stay', () => {
    const tiers = ['device', 'edge', 'edge', 'cloud'] as const;
    fc.assert(
      fc.property(
        randomPlacements({ layers: 6, tiers, odd: true }),
        fc.array(fc.nat(3), { minLength: 6, maxLength: 6 }),
        fc.nat(5),
        (placement, drawnLabels, which) => {
          const start = placement.vertices.map((_, v) => drawnLabels[v]!);
          const pair = pairsOf(placement)[which]!;
          const isFree = (v: number): boolean => pair.includes(start[v]!);
          // Between two machines of one tier tensors may go both ways; between others only forward.
          const fixed = placement.vertices.map(({ ms, ...vertex }, v) => {
            return {
              ...vertex,
              ms: ms.map((own, m) => ((isFree(v) ? pair.includes(m) : m === start[v]) ? own : Infinity)),
            };
          });
          const { ms } = bruteForce({ ...placement, vertices: fixed });
          const labels = relabelled(placement, start, pair, isFree);
          if (ms === Number.POSITIVE_INFINITY) return;
          expect(isMonotone(placement, labels!)).toBe(true);
          expect(costOf(placement, labels!)).toBeCloseTo(ms, 4);
        },
      ),
    );
  });
});

test('pairs of machines have the earlier tier first', () => {
  const placement = drawn({ ranks: [1, 0, 1], vertices: [] });
  expect(pairsOf(placement)).toEqual([
    [0, 2],
    [1, 0],
    [1, 2],
  ]);
  expect(tierPairsOf(placement)).toEqual([
    [1, 0],
    [1, 2],
  ]);
});
