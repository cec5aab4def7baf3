import { describe, expect, it } from 'vitest';
import { speedUpBound } from '../../../bench/cluster/bound.ts';
import { freeShare } from '../../../bench/cluster/calibration.ts';
import { busyMs, usedBetween } from '../../../bench/cluster/cpu-time.ts';
import { NETWORKS } from '../../../bench/cluster/networks.ts';
import { evenSizes, planOf } from '../../../bench/cluster/plans.ts';
import { modelTotals } from '../../../shared/onnx/cost.ts';
import { resolveModel } from '../../../shared/onnx/resolve.ts';
import { compilePlan } from '../../../shared/plan/compile.ts';

describe('plans of the testbed', () => {
  it('deal cells evenly, and never make empty tiles', () => {
    expect(evenSizes(7, 8)).toEqual([1, 1, 1, 1, 1, 1, 1]);
    expect(evenSizes(7, 4)).toEqual([2, 2, 2, 1]);
    expect(evenSizes(7, 1)).toEqual([7]);
  });

  it.each(Object.entries(NETWORKS))(
    '%s has plans for 1 to 8 nodes, whose bounds grow',
    (_, { build, plan, lossless }) => {
      const resolved = resolveModel(build());
      const { macs } = modelTotals(resolved);
      for (const form of [plan, lossless]) {
        const bounds = [1, 2, 4, 8].map((nodes) =>
          speedUpBound(compilePlan(planOf(form(nodes), '0'.repeat(64)), resolved), macs, nodes),
        );
        expect(bounds[0]).toBeCloseTo(1, 1);
        expect(bounds).toEqual([...bounds].sort((a, b) => a - b));
        expect(bounds[3]).toBeGreaterThan(2);
      }
    },
  );
});

describe('the bound of the speed-up', () => {
  const part = (cost: number) => ({ cost }) as never;

  it('is that of the largest part of each stage', () => {
    expect(speedUpBound({ stages: [{ parts: [part(50), part(30), part(20)] }] }, 100, 8)).toBe(2);
    expect(speedUpBound({ stages: [{ parts: [part(40), part(40)] }, { parts: [part(20)] }] }, 100, 8)).toBe(100 / 60);
  });

  it('has several parts at a machine where there are more parts than machines', () => {
    expect(speedUpBound({ stages: [{ parts: [part(25), part(25), part(25), part(25)] }] }, 100, 2)).toBe(2);
  });
});

describe('the free share of a quota', () => {
  const row = (work_ms: number, idle_ms: number) => {
    const expected_ms = work_ms / 0.1;
    return { work_ms, expected_ms, idle_ms, busy_ms: 0, idle_free: 1 - idle_ms / expected_ms, busy_free: 0 };
  };
  const rows = [row(1, 1), row(10, 91), row(100, 991)];

  it('shrinks with the length of the work, as the time that is free does not grow', () => {
    expect(freeShare(rows, 0.5, 0.1)).toBeCloseTo(0.9);
    expect(freeShare(rows, 10, 0.1)).toBeCloseTo(0.09);
    expect(freeShare(rows, 50, 0.1)).toBeCloseTo(0.018);
    expect(freeShare(rows, 1000, 0.1)).toBeCloseTo(0.0009);
  });
});

describe('CPU time', () => {
  it('of a machine leaves out idleness, and counts what hypervisors take', () => {
    expect(busyMs('cpu  100 2 30 5000 77 3 4 50 0 0\ncpu0 1 1 1 1\n')).toBe(1890);
  });

  it('of threads names the main one, and counts those that began meanwhile', () => {
    const used = usedBetween(
      7,
      new Map([
        [7, 10],
        [8, 5],
      ]),
      new Map([
        [7, 14],
        [8, 6],
        [9, 3],
      ]),
    );
    expect(used).toEqual({ main: 4, others: [3, 1] });
  });
});
