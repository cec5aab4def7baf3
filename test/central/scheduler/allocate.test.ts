import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { allocate, allocateTogether, type Load, type NodeCapacity } from '../../../central/scheduler/allocate.ts';

const equal = (count: number): Load[] => new Array(count).fill({ cost: 1, bytes: 1 });
const places = (speeds: readonly number[], caps: readonly number[] = []): NodeCapacity[] =>
  speeds.map((speed, k) => ({
    speed,
    messageMs: 0,
    msPerByte: 0,
    busyMs: 0,
    roomBytes: caps[k] ?? Number.POSITIVE_INFINITY,
  }));
const perPlace = (chosen: readonly number[], count: number): number[] =>
  Array.from({ length: count }, (_, k) => chosen.filter((place) => place === k).length);

describe('the published vectors: 64 equal tiles', () => {
  test.each([
    [[8, 8, 8, 8, 8, 8, 8, 8], undefined, [8, 8, 8, 8, 8, 8, 8, 8]],
    [[8, 8, 8, 8, 4, 4, 4, 4], undefined, [11, 11, 11, 11, 5, 5, 5, 5]],
    [[8, 8, 8, 8, 8, 8, 8, 0], undefined, [10, 9, 9, 9, 9, 9, 9, 0]],
    [
      [8, 8, 8, 8, 4, 4, 4, 4],
      [9, 9, 9, 9, 16, 16, 16, 16],
      [9, 9, 9, 9, 7, 7, 7, 7],
    ],
  ] as const)('speeds %j, caps %j', (speeds, caps, expected) => {
    const counts = perPlace(allocate(equal(64), places(speeds, caps)), 8);
    expect(counts).toEqual(expected);
  });
});

/** The least possible max x_k / s_k of equal tiles, by trying every split. */
function optimum(tiles: number, speeds: readonly number[], busy: readonly number[], caps: readonly number[]): number {
  if (speeds.length === 0) return tiles === 0 ? 0 : Number.POSITIVE_INFINITY;
  let best = Number.POSITIVE_INFINITY;
  for (let x = 0; x <= Math.min(tiles, caps[0]!); x++) {
    const here = x === 0 ? 0 : busy[0]! + (1000 * x) / speeds[0]!;
    best = Math.min(best, Math.max(here, optimum(tiles - x, speeds.slice(1), busy.slice(1), caps.slice(1))));
  }
  return best;
}

test('equal tiles: no other allocation is faster, whatever the speeds, loads and caps', () => {
  const node = fc.record({
    speed: fc.integer({ min: 1, max: 16 }),
    busyMs: fc.constantFrom(0, 0, 100, 777),
    cap: fc.integer({ min: 1, max: 8 }),
  });
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 8 }), fc.array(node, { minLength: 1, maxLength: 4 }), (count, nodes) => {
      const speeds = nodes.map((each) => each.speed);
      const caps = nodes.map((each) => each.cap);
      const busy = nodes.map((each) => each.busyMs);
      const given = places(speeds, caps).map((place, k) => ({ ...place, busyMs: busy[k]! }));
      const counts = perPlace(allocate(equal(count), given), nodes.length);
      const placed = counts.reduce((a, b) => a + b, 0);
      expect(placed).toBe(
        Math.min(
          count,
          caps.reduce((a, b) => a + b),
        ),
      );
      const time = Math.max(0, ...counts.map((x, k) => (x === 0 ? 0 : busy[k]! + (1000 * x) / speeds[k]!)));
      expect(time).toBeCloseTo(optimum(placed, speeds, busy, caps), 6);
    }),
    { numRuns: 300 },
  );
});

test('unequal tiles on equal nodes: within 4/3 of the best possible (LPT)', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 7 }),
      fc.integer({ min: 1, max: 3 }),
      (costs, count) => {
        const chosen = allocate(
          costs.map((cost) => ({ cost, bytes: 0 })),
          places(new Array(count).fill(1)),
        );
        const sums = (of: readonly number[]): number =>
          Math.max(...Array.from({ length: count }, (_, k) => costs.reduce((s, c, t) => s + (of[t] === k ? c : 0), 0)));
        let best = Number.POSITIVE_INFINITY;
        for (let code = 0; code < count ** costs.length; code++)
          best = Math.min(best, sums(costs.map((_, t) => Math.floor(code / count ** t) % count)));
        expect(sums(chosen)).toBeLessThanOrEqual((best * 4) / 3 + 1e-9);
      },
    ),
    { numRuns: 100 },
  );
});

test('a busy node gets fewer tiles, and so does a node behind a slow link', () => {
  const [a, b] = places([1, 1]);
  expect(perPlace(allocate(equal(8), [{ ...a!, busyMs: 4000 }, b!]), 2)).toEqual([2, 6]);
  expect(perPlace(allocate(equal(8), [{ ...a!, msPerByte: 2000 }, b!]), 2)).toEqual([2, 6]);
});

test('a message costs its overhead once per node, and each further node gets its message later', () => {
  const far = places([1, 1, 1, 1]).map((place) => ({ ...place, messageMs: 9000 }));
  expect(perPlace(allocate(equal(8), far), 4)).toEqual([2, 2, 2, 2]);
  const tiny = equal(8).map((tile) => ({ ...tile, cost: 0.001 }));
  expect(perPlace(allocate(tiny, far, undefined, 10), 4)).toEqual([8, 0, 0, 0]);
  expect(perPlace(allocate(equal(8), far, undefined, 10), 4)).toEqual([2, 2, 2, 2]);
});

test("a tile too large for every node's memory still runs, alone on an idle node; it waits for a busy one", () => {
  const [place] = places([1], [0.5]);
  expect(allocate(equal(2), [place!])).toEqual([0, -1]);
  expect(allocate(equal(1), [{ ...place!, busyMs: 1 }])).toEqual([-1]);
});

test('a node that may not have a tile does not get it', () => {
  expect(allocate(equal(3), places([9, 1]), (tile, place) => place === 1 || tile === 0)).toEqual([0, 1, 1]);
  expect(allocate(equal(1), places([1]), () => false)).toEqual([-1]);
});

test('together: all tiles go to the node that would finish first', () => {
  const given = places([2, 1, 8]);
  expect(allocateTogether(equal(4), given)).toBe(2);
  expect(allocateTogether(equal(4), [given[0]!, given[1]!, { ...given[2]!, busyMs: 1e6 }])).toBe(0);
  expect(allocateTogether(equal(4), given, (tile, place) => !(tile === 1 && place === 2))).toBe(0);
});
