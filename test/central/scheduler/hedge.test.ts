import { expect, test } from 'vitest';
import { hedgeDelay, hedgeTarget, percentile } from '../../../central/scheduler/hedge.ts';

test('percentile: nearest rank', () => {
  expect(percentile([], 0.5)).toBeUndefined();
  expect(percentile([3, 1, 2], 0.5)).toBe(2);
  expect(percentile([5], 0.95)).toBe(5);
  expect(percentile([1, 2, 3, 4], 0)).toBe(1);
  expect(percentile([1, 2, 3, 4], 1)).toBe(4);
});

test('hedging waits for twice the prediction, for what is usual for this node, and for the floor', () => {
  expect(hedgeDelay(100, 150, 50)).toBe(200);
  expect(hedgeDelay(100, 350, 50)).toBe(350);
  expect(hedgeDelay(10, undefined, 50)).toBe(50);
});

test('the fastest idle node is asked; a busy one only if it would be done sooner than the time already lost', () => {
  const idle = (finishMs: number) => ({ idle: true, finishMs });
  const busy = (finishMs: number) => ({ idle: false, finishMs });
  expect(hedgeTarget([busy(1), idle(20), idle(10)], 100)).toBe(2);
  expect(hedgeTarget([busy(90), busy(50)], 100)).toBe(1);
  expect(hedgeTarget([busy(101)], 100)).toBe(-1);
  expect(hedgeTarget([], 100)).toBe(-1);
});
