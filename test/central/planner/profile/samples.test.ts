import { expect, it } from 'vitest';
import { sampledTime } from '../../../../central/planner/profile/samples.ts';

it('a time is the median of its samples, so that one hiccup does not count, with the spread beside it', () => {
  expect(sampledTime([5, 1, 2, 3, 1000])).toEqual({ ms: 3, p10_ms: 1.4, p90_ms: 602 });
  expect(sampledTime([7])).toEqual({ ms: 7, p10_ms: 7, p90_ms: 7 });
  expect(sampledTime([1, 2]).ms).toBe(1.5);
});
