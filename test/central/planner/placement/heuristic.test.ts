import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { adjust, graphLayers, hpa } from '../../../../central/planner/placement/heuristic.ts';
import { costOf, type PlacementProblem } from '../../../../central/planner/placement/placement.ts';
import { bruteForce, isMonotone } from '../../../support/brute-force.ts';
import { drawn, randomPlacements } from '../../../support/placements.ts';

test('the graph layer of a vertex is its longest way from the frame', () => {
  const vertices = [[-1], [0], [0], [1], [0, 3]].map((reads) => ({ ms: [1], reads, bytes: 1 }));
  expect(graphLayers(drawn({ ranks: [0], vertices }))).toEqual([[0], [1, 2], [3], [4]]);
});

describe('HPA by hand', () => {
  test('takes for each vertex the machine with the least own time plus transfer', () => {
    // v0: device 4, edge 1 + 1 (frame), cloud 0.5 + 2. v1, at or behind the edge: 3, cloud 1 + 5. v2: edge 6, cloud 2 + 2.
    const vertices = [
      { ms: [4, 1, 0.5], reads: [-1], bytes: 5 },
      { ms: [9, 3, 1], reads: [0], bytes: 2 },
      { ms: [9, 6, 2], reads: [1], bytes: 1 },
    ];
    expect(hpa(drawn({ ranks: [0, 1, 2], vertices }))).toEqual([1, 1, 2]);
  });

  test('does not look ahead: it stays where each transfer alone costs more than it saves', () => {
    const vertices = [0, 1, 2].map((v) => ({ ms: [3, 0], reads: [v - 1], bytes: 5 }));
    const placement = drawn({ ranks: [0, 1], vertices, way: () => 1 });
    const slow = { ...placement, hop: (from: number, to: number) => (from === to ? 0 : 5) };
    expect(hpa(slow)).toEqual([0, 0, 0]);
    expect(bruteForce(slow)).toEqual({ labels: [1, 1, 1], ms: 5 });
  });

  test('never goes back to an earlier tier', () => {
    const vertices = [
      { ms: [9, 1], reads: [-1], bytes: 1 },
      { ms: [0, 5], reads: [0], bytes: 1 },
    ];
    expect(hpa(drawn({ ranks: [0, 1], vertices }))).toEqual([1, 1]);
  });

  test('reconsiders a sibling whose input was sent already', () => {
    // Alone v1 stays (3 < 1 + 4); v2 goes (4 + 0 < 9) and takes the tensor along; then v1 follows for 1.
    const vertices = [
      { ms: [0, 9], reads: [-1], bytes: 4 },
      { ms: [3, 1], reads: [0], bytes: 1 },
      { ms: [9, 0], reads: [0], bytes: 1 },
    ];
    expect(hpa(drawn({ ranks: [0, 1], vertices }))).toEqual([0, 1, 1]);
  });

  test('has no answer where a vertex can run nowhere', () => {
    const vertices = [{ ms: [Number.POSITIVE_INFINITY], reads: [-1], bytes: 1 }];
    expect(hpa(drawn({ ranks: [0], vertices }))).toBeUndefined();
  });

  test('makes monotone labellings, never better than the optimum', () => {
    fc.assert(
      fc.property(randomPlacements({ layers: 8, tiers: ['device', 'edge', 'cloud'] }), (placement) => {
        const labels = hpa(placement)!;
        expect(isMonotone(placement, labels)).toBe(true);
        expect(costOf(placement, labels)).toBeGreaterThanOrEqual(bruteForce(placement).ms - 1e-6);
      }),
    );
  });
});

/** The problem with other times of one machine's vertices. */
function slowed(placement: PlacementProblem, machine: number, factor: number, which = (_: number) => true) {
  const vertices = placement.vertices.map((vertex, v) => {
    return { ...vertex, ms: vertex.ms.map((ms, m) => (m === machine && which(v) ? ms * factor : ms)) };
  });
  return { ...placement, vertices };
}

describe('the local adjustment', () => {
  const band = { low: 0.8, high: 1.25 };
  const chain = drawn({
    ranks: [0, 1, 2],
    vertices: [0, 1, 2, 3, 4].map((v) => ({ ms: [2, 1, 1], reads: [v - 1], bytes: 3 })),
    way: (from, to) => (to - from) / 10,
  });
  const labels = [1, 1, 1, 1, 1];

  test('changes nothing while all times stay within the band', () => {
    expect(adjust(chain, slowed(chain, 1, 1.2), labels, band)).toEqual(labels);
  });

  test('places anew what left the band and what follows, and nothing before', () => {
    expect(
      adjust(
        chain,
        slowed(chain, 1, 4, (v) => v === 3),
        labels,
        band,
      ),
    ).toEqual([1, 1, 1, 2, 2]);
  });

  test('takes along what may not stay on an earlier tier, however slow it gets', () => {
    const later = slowed(chain, 2, 9, (v) => v !== 1);
    expect(
      adjust(
        later,
        slowed(later, 1, 4, (v) => v === 1),
        labels,
        band,
      ),
    ).toEqual([1, 2, 2, 2, 2]);
  });

  test('follows a link that left the band', () => {
    const hop = (from: number, to: number, bytes: number) => (from === to ? 0 : 20 * chain.hop(from, to, bytes));
    const now = { ...chain, hop };
    expect(adjust(chain, now, labels, band)).toEqual([0, 0, 0, 0, 0]);
  });

  test('moves the siblings of what is affected', () => {
    const vertices = [
      { ms: [0, 9], reads: [-1], bytes: 4 },
      { ms: [3, 1], reads: [0], bytes: 1 },
      { ms: [1, 0], reads: [0], bytes: 1 },
    ];
    const fork = drawn({ ranks: [0, 1], vertices });
    expect(hpa(fork)).toEqual([0, 0, 0]);
    expect(
      adjust(
        fork,
        slowed(fork, 0, 9, (v) => v === 2),
        [0, 0, 0],
        band,
      ),
    ).toEqual([0, 1, 1]);
  });

  test('leaves a machine that is gone; has no answer where no other can be reached', () => {
    const gone = slowed(chain, 1, Number.POSITIVE_INFINITY);
    expect(adjust(chain, gone, labels, band)).not.toContain(1);
    const alone = drawn({ ranks: [0], vertices: [{ ms: [1], reads: [-1], bytes: 1 }] });
    expect(adjust(alone, slowed(alone, 0, Number.POSITIVE_INFINITY), [0], band)).toBeUndefined();
  });

  test('makes monotone labellings of monotone ones, and the same where nothing changed', () => {
    fc.assert(
      fc.property(
        randomPlacements({ layers: 8, tiers: ['device', 'edge', 'cloud'] }),
        fc.nat(2),
        fc.constantFrom(0.1, 0.5, 1, 2, 10),
        (placement, machine, factor) => {
          const start = hpa(placement)!;
          const labels = adjust(placement, slowed(placement, machine, factor), start, band)!;
          expect(isMonotone(placement, labels)).toBe(true);
          if (factor === 1) expect(labels).toEqual(start);
        },
      ),
    );
  });
});
