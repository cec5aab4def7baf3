import { describe, expect, it } from 'vitest';
import { ap50, type LabelledBox } from '../../../bench/accuracy/average-precision.ts';
import { bootstrapInterval, shareInterval } from '../../../bench/accuracy/statistics.ts';

const at = (x: number, label = 'cat'): LabelledBox => ({ label, box: [x, 0, x + 10, 10] });
const find = (x: number, score: number, label = 'cat') => ({ ...at(x, label), score });

describe('ap50', () => {
  it('is 1 where every object is found exactly and 0 where none is', () => {
    expect(ap50([{ truth: [at(0), at(50)], found: [find(0, 0.9), find(50, 0.8)] }])).toBe(1);
    expect(ap50([{ truth: [at(0)], found: [find(0, 0.9, 'dog')] }])).toBe(0);
    expect(ap50([{ truth: [at(0)], found: [] }])).toBe(0);
  });

  it('counts a second detection of the same object as wrong', () => {
    // right, wrong, right: precision 1 up to recall 0.5, then 2/3.
    const value = ap50([{ truth: [at(0), at(50)], found: [find(0, 0.9), find(1, 0.8), find(50, 0.7)] }]);
    expect(value).toBeCloseTo((51 + 50 * (2 / 3)) / 101, 6);
  });

  it('requires an overlap (IoU) of one half', () => {
    expect(ap50([{ truth: [at(0)], found: [find(3.3, 0.9)] }])).toBe(1);
    expect(ap50([{ truth: [at(0)], found: [find(3.4, 0.9)] }])).toBe(0);
  });

  it('is the mean over the classes that occur, each ranked over all pictures', () => {
    const pictures = [
      { truth: [at(0)], found: [find(0, 0.5)] },
      { truth: [at(0, 'dog')], found: [find(0, 0.9), find(90, 0.1, 'dog')] },
    ];
    // cat: the wrong find ranks first, so precision is 1/2; dog: nothing right.
    expect(ap50(pictures)).toBeCloseTo(0.25, 6);
  });
});

describe('intervals', () => {
  it("are Wilson's for a share", () => {
    const [low, high] = shareInterval(110, 125);
    expect([low, high].map((bound) => Number(bound.toFixed(3)))).toEqual([0.811, 0.926]);
    expect(shareInterval(0, 10)[0]).toBe(0);
  });

  it('hold the mean of a sample and are the same in every run', () => {
    const values = Array.from({ length: 40 }, (_, i) => i);
    const mean = (sample: readonly number[]) => sample.reduce((sum, i) => sum + values[i]!, 0) / sample.length;
    const [low, high] = bootstrapInterval(40, mean);
    expect(low).toBeLessThan(19.5);
    expect(high).toBeGreaterThan(19.5);
    expect(bootstrapInterval(40, mean)).toEqual([low, high]);
  });
});
