import { describe, expect, it } from 'vitest';
import { trendOfLows } from '../../../bench/soak/trend.ts';

/**
 * The fit by which memory counts as flat: one that misses a leak, or reports a saw-tooth as a leak, is worse than none.
 */

const minutes = 10;
const samples = (value: (second: number) => number) =>
  Array.from({ length: minutes * 60 }, (_, at) => ({ at, value: value(at) }));

describe('the trend of the lows', () => {
  it('is flat under a saw-tooth of garbage collection', () => {
    const { mean, perMinute } = trendOfLows(
      samples((at) => 100 + (at % 37)),
      12,
    );
    expect(Math.abs(perMinute)).toBeLessThan(0.1);
    expect(mean).toBeCloseTo(100, 0);
  });

  it('finds a leak below the saw-tooth', () => {
    const { perMinute, error } = trendOfLows(
      samples((at) => 100 + (at % 37) + (3 * at) / 60),
      12,
    );
    expect(perMinute).toBeCloseTo(3, 0);
    expect(perMinute - 2 * error).toBeGreaterThan(1);
  });

  it('gives its confidence interval', () => {
    const wild = trendOfLows(
      samples((at) => 100 + 30 * Math.sin(at / 40)),
      12,
    );
    expect(wild.error).toBeGreaterThan(1);
  });
});
