import { describe, expect, it } from 'vitest';
import { createRandom } from '../../shared/random.ts';

describe('createRandom', () => {
  it('gives the same numbers for the same seed and stream, and others otherwise', () => {
    const first = (seed: number, stream: number) => {
      const random = createRandom(seed, stream);
      return [random.next(), random.next(), random.next()].join();
    };
    expect(first(5, 1)).toBe(first(5, 1));
    expect(new Set([first(5, 1), first(5, 2), first(6, 1), first(5 + 2 ** 32, 1)]).size).toBe(4);
  });

  it('is uniform, also in the first number of neighbouring seeds', () => {
    const tenths = new Array<number>(10).fill(0);
    for (let seed = 0; seed < 10_000; seed++) tenths[Math.floor(10 * createRandom(seed).next())]!++;
    for (const count of tenths) expect(Math.abs(count - 1000)).toBeLessThan(150);
  });

  it('stays within its bounds', () => {
    const random = createRandom(1);
    const wholes = new Set(Array.from({ length: 200 }, () => random.whole(2, 4)));
    expect([...wholes].sort()).toEqual([2, 3, 4]);
    for (let i = 0; i < 200; i++) {
      const value = random.between(-1, 0.5);
      expect(value).toBeGreaterThanOrEqual(-1);
      expect(value).toBeLessThan(0.5);
    }
    expect(random.chance(0)).toBe(false);
    expect(random.chance(1)).toBe(true);
    expect(random.pick(['a'])).toBe('a');
  });
});
