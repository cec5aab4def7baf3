import { expect, test } from 'vitest';
import { TokenBuckets } from '../../shared/token-buckets.ts';

test('a subject has its burst at once, then tokens that return with time; others have their own', () => {
  const allowances = new TokenBuckets({ burst: 3, perSecond: 2 });
  const taken = (subject: string, now: number): number => {
    let count = 0;
    while (count < 100 && allowances.take(subject, now)) count++;
    return count;
  };
  expect(taken('a', 0)).toBe(3);
  expect(taken('b', 0)).toBe(3);
  expect(taken('a', 1000)).toBe(2);
  expect(taken('a', 1_000_000)).toBe(3);
});

test('tokens that were overspent have to return first', () => {
  const allowances = new TokenBuckets({ burst: 10, perSecond: 10 });
  allowances.spend('a', 30, 0);
  expect(allowances.has('a', 1900)).toBe(false);
  expect(allowances.has('a', 2100)).toBe(true);
});

test('the number of remembered subjects is bounded, however many names a client makes up', () => {
  const allowances = new TokenBuckets({ burst: 1, perSecond: 0 });
  for (let k = 0; k < 20_000; k++) allowances.take(`stranger-${k}`, 0);
  expect(allowances.take('stranger-19999', 0)).toBe(false);
});
