import fc from 'fast-check';
import { expect, test } from 'vitest';
import { believe, LEAST_COMPUTING } from '../../../central/scheduler/belief.ts';

const ms = fc.double({ min: 0, max: 1e6, noNaN: true });
const anything = fc.oneof(fc.double(), ms, fc.constantFrom(0, -0, -1, 1e308, Number.NaN, Number.POSITIVE_INFINITY));

test('whatever a node reports, its compute and queue times add up to what central measured, and neither is negative', () => {
  fc.assert(
    fc.property(anything, anything, ms, ms, (queueMs, computeMs, elapsedMs, busyMs) => {
      const { computeMs: computed, transferMs } = believe({ queueMs, computeMs }, elapsedMs, busyMs);
      expect(computed).toBeGreaterThanOrEqual(0);
      expect(transferMs).toBeGreaterThanOrEqual(0);
      // The part may have waited for as long as the node was busy with others, and no longer.
      expect(computed + transferMs).toBeLessThanOrEqual(elapsedMs * (1 + 1e-9));
      expect(computed + transferMs).toBeGreaterThanOrEqual((elapsedMs - busyMs) * (1 - 1e-9) - 1e-9);
    }),
  );
});

test('plausible times are used as reported', () => {
  fc.assert(
    fc.property(ms, ms, ms, (queueMs, computeMs, wayMs) => {
      fc.pre(computeMs >= LEAST_COMPUTING * (computeMs + wayMs));
      // Its last result of an earlier message arrives after this message's turn began.
      const { computeMs: computed, transferMs } = believe(
        { queueMs, computeMs },
        queueMs + computeMs + wayMs,
        queueMs + wayMs,
      );
      expect(computed).toBeCloseTo(computeMs, 3);
      expect(transferMs).toBeCloseTo(wayMs, 3);
    }),
  );
});

test('a report of no compute time, or of an hour in the queue, makes no node faster than central measured', () => {
  expect(believe({ queueMs: 0, computeMs: 0 }, 80, 0)).toEqual({ computeMs: 10, transferMs: 70 });
  expect(believe({ queueMs: 3.6e6, computeMs: 0 }, 80, 0)).toEqual({ computeMs: 10, transferMs: 70 });
  expect(believe({ queueMs: 3.6e6, computeMs: 0 }, 80, 40)).toEqual({ computeMs: 5, transferMs: 35 });
  expect(believe({ queueMs: 0, computeMs: 1e9 }, 80, 0)).toEqual({ computeMs: 80, transferMs: 0 });
});
