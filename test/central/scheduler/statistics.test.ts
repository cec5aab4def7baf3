import { describe, expect, test } from 'vitest';
import {
  estimateSpeeds,
  ewma,
  forgetPlan,
  newStatistics,
  observeAtMost,
  observeLink,
  observeResponse,
  observeWork,
  RESPONSES,
  slowResponse,
  stageKey,
} from '../../../central/scheduler/statistics.ts';

const KEY = stageKey('p-1', 0);

test('Algorithm 2: s <- (1 - gamma) s + gamma n, beginning with the first observation', () => {
  expect(ewma(undefined, 8, 0.25)).toBe(8);
  expect(ewma(8, 4, 0.25)).toBe(7);
});

test('the statistic is speed: a node that did all it was asked for at half the pace counts half', () => {
  const [fast, slow] = [newStatistics(), newStatistics()];
  observeWork(fast, KEY, 1e6, 10, 0.3);
  observeWork(slow, KEY, 1e6, 20, 0.3);
  expect(fast.stages.get(KEY)!.speed).toBe(1e8);
  expect(slow.stages.get(KEY)!.speed).toBe(5e7);
});

test('silence lowers a speed and never raises it', () => {
  const node = newStatistics();
  observeWork(node, KEY, 1e6, 10, 0.5);
  observeAtMost(node, KEY, 2e8, 0.5);
  expect(node.stages.get(KEY)!.speed).toBe(1e8);
  observeAtMost(node, KEY, 5e7, 0.5);
  expect(node.stages.get(KEY)!.speed).toBe(7.5e7);
});

describe('speeds to allocate by', () => {
  test('nobody has done anything: unknown', () => {
    expect(estimateSpeeds([newStatistics(), newStatistics()], KEY)).toEqual([undefined, undefined]);
  });

  test('a newcomer is taken for the median of the others, so that it gets work at once', () => {
    const nodes = [1, 2, 4].map((ms) => {
      const node = newStatistics();
      observeWork(node, KEY, 1e3, ms, 1);
      return node;
    });
    expect(estimateSpeeds([...nodes, newStatistics()], KEY)).toEqual([1e6, 5e5, 2.5e5, 5e5]);
  });

  test('a node known from another stage is scaled by what the stage is to those who know both', () => {
    const [both, other] = [newStatistics(), newStatistics()];
    observeWork(both, stageKey('p-0', 0), 1e6, 1, 1);
    observeWork(both, KEY, 1e6, 10, 0.5);
    observeWork(other, stageKey('p-0', 0), 1e6, 2, 1);
    // both: 1e8 here, 5.5e8 over all; other: 5e8 over all
    const [here, estimated] = estimateSpeeds([both, other], KEY);
    expect(here).toBe(1e8);
    expect(estimated).toBeCloseTo((5e8 * 1e8) / 5.5e8, 0);
  });
});

test('response times are bounded, and their 95th percentile is by nearest rank', () => {
  const node = newStatistics();
  expect(slowResponse(node, KEY)).toBeUndefined();
  for (let ms = 1; ms <= 1000; ms++) observeResponse(node, KEY, ms);
  expect(node.stages.get(KEY)!.responses).toHaveLength(RESPONSES);
  expect(slowResponse(node, KEY)).toBe(1000 - RESPONSES + Math.ceil(0.95 * RESPONSES));
});

test('a link has a time per byte, never a negative one', () => {
  const node = newStatistics();
  observeLink(node, 0, 10, 0.5);
  expect(node.ms_per_byte).toBeUndefined();
  observeLink(node, 1000, 10, 0.5);
  expect(node.ms_per_byte).toBe(0.01);
  observeLink(node, 1000, -10, 0.5);
  expect(node.ms_per_byte).toBe(0.005);
});

test('a plan that is gone takes its stages with it', () => {
  const node = newStatistics();
  observeWork(node, stageKey('p-1', 0), 1, 1, 1);
  observeWork(node, stageKey('p-12', 0), 1, 1, 1);
  forgetPlan(node, 'p-1');
  expect([...node.stages.keys()]).toEqual(['p-12/0']);
});
