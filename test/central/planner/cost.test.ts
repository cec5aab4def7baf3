import { expect, test } from 'vitest';
import { frameTime, partsAtOnce } from '../../../central/planner/cost.ts';
import type { CompiledPlan } from '../../../shared/plan/compiled-plan.ts';

/** Lost if these fail: of several plans a slower one is used. */

/** Multiply-adds of the parts of each stage, and bytes to nodes and back. */
function planOf(stages: number[][], bytesOut = 0, bytesBack = 0): CompiledPlan {
  const costs = stages.map((parts) => ({ parts: parts.map((cost) => ({ cost })) }));
  return { stages: costs, cost: { bytesOut, bytesBack } } as unknown as CompiledPlan;
}

test("a plan's latency is its slowest parts, one stage after another, and its bytes and messages", () => {
  const alone = frameTime(planOf([[4e9]]), 2);
  expect(alone).toBe(4e9);
  const halves = frameTime(planOf([[2e9, 1e9], [1e9]]), 2);
  expect(halves).toBeGreaterThan(3e9);
  expect(halves).toBeLessThan(alone);
  expect(frameTime(planOf([[1e9, 1e9, 1e9, 1e9]]), 2)).toBeGreaterThanOrEqual(2e9);
  expect(frameTime(planOf([[4e9]], 1e6), 2)).toBe(frameTime(planOf([[4e9]], 0, 1e6), 2));
  expect(frameTime(planOf([[4e9]], 1e6), 2)).toBeGreaterThan(alone);
});

test('nodes of one machine compute no more parts at once than its processors can', () => {
  expect(partsAtOnce({ nodeCount: 4 })).toBe(4);
  expect(partsAtOnce({ nodeCount: 4, sharedCores: 4 })).toBe(2);
  expect(partsAtOnce({ nodeCount: 4, sharedCores: 1 })).toBe(1);
});
