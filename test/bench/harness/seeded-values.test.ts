import { expect, test } from 'vitest';
import { SeededValues } from '../../../bench/harness/seeded-values.ts';

test('seeded values are normally distributed, the same for a seed and stream, and others for other ones', () => {
  const values = new SeededValues(3).normal(100_000, 1, 0.5, 2);
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
  expect([mean, Math.sqrt(variance)]).toEqual([expect.closeTo(2, 2), expect.closeTo(0.5, 2)]);
  expect(values.filter((value) => Math.abs(value - 2) < 0.5).length / values.length).toBeCloseTo(0.683, 2);
  expect(new SeededValues(3).normal(100_000, 1, 0.5, 2)).toEqual(values);
  expect(new SeededValues(3).normal(100_000, 2, 0.5, 2)).not.toEqual(values);
  expect(new SeededValues(4).normal(100_000, 1, 0.5, 2)).not.toEqual(values);
});
