import { describe, expect, it } from 'vitest';
import { Backoff } from '../../../shared/runtime/backoff.ts';

// Lost if these fail: a hundred nodes connect at the same moment to a broker that has just restarted.

describe('Backoff', () => {
  it('doubles up to its limit', () => {
    const backoff = new Backoff({ firstMs: 100, maxMs: 1000, random: () => 0 });
    expect([0, 0, 0, 0, 0, 0].map((now) => backoff.next(now))).toEqual([100, 200, 400, 800, 1000, 1000]);
  });

  it('varies: each wait is shortened by up to a half', () => {
    expect(new Backoff({ firstMs: 100, random: () => 0.999 }).next(0)).toBeCloseTo(50, 0);
  });

  it('starts again from the shortest wait only after a connection that lasted', () => {
    const backoff = new Backoff({ firstMs: 100, maxMs: 1000, steadyMs: 5000, random: () => 0 });
    backoff.next(0);
    backoff.succeeded(0);
    expect(backoff.next(4999)).toBe(200);
    backoff.succeeded(5000);
    expect(backoff.next(10_000)).toBe(100);
  });

  it('stops waiting at once when cancelled, also before', async () => {
    const backoff = new Backoff({ firstMs: 1e6 });
    const waiting = backoff.wait();
    backoff.cancel();
    await waiting;
    await backoff.wait();
  });
});
