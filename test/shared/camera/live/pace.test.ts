import { describe, expect, it } from 'vitest';
import { Pace } from '../../../../shared/camera/live/pace.ts';

/** Frames at `fps` for `seconds`, with a jitter between early and late; how many the limit passes. */
function taken(pace: Pace, fps: number, seconds: number, jitterMs: number): number {
  let count = 0;
  for (let n = 0; n < fps * seconds; n++)
    if (pace.take((n * 1000) / fps + (n % 2 === 0 ? jitterMs : -jitterMs))) count++;
  return count;
}

describe('the frame rate limit of a stream', () => {
  it('skips frames over the rate', () => {
    expect(taken(new Pace(5), 30, 10, 0)).toBeGreaterThanOrEqual(50);
    expect(taken(new Pace(5), 30, 10, 0)).toBeLessThanOrEqual(52);
  });

  it('passes a source of exactly that rate although it jitters; otherwise every second frame would be lost', () => {
    expect(taken(new Pace(10), 10, 10, 20)).toBe(100);
  });

  it('does not make up for a pause with a burst', () => {
    const pace = new Pace(10);
    expect(pace.take(0)).toBe(true);
    const after = [5000, 5001, 5002, 5060, 5160].filter((now) => pace.take(now));
    expect(after).toEqual([5000, 5060, 5160]);
  });

  it('ends a wait when it is aborted', async () => {
    const pace = new Pace(0.001);
    const stop = new AbortController();
    await pace.turn(stop.signal);
    const waiting = pace.turn(stop.signal);
    stop.abort();
    await expect(waiting).rejects.toMatchObject({ name: 'AbortError' });
  });
});
