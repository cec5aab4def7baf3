import { describe, expect, it } from 'vitest';
import { checkCount, differences, lowerEnd, Tally } from '../../../cli/calibrate/tally.ts';
import { bytesOf } from '../../../shared/codec/floats.ts';
import { TesseraError } from '../../../shared/errors.ts';
import type { Tensor } from '../../../shared/tensor/tensor.ts';

/** An agreement that is counted wrongly is a promise that a cluster cannot keep. */

const tensor = (...values: number[]): Tensor => ({
  dtype: 'float32',
  shape: [values.length],
  data: bytesOf(Float32Array.from(values)),
});
const outcome = { bytes: 100, same: true, largest: 0, mean: 0 };

describe('differences', () => {
  it('are shares of the range, for the output that differs most', () => {
    const reference = new Map([
      ['a', tensor(0, 4, 2)],
      ['b', tensor(0, 10)],
    ]);
    const outputs = new Map([
      ['a', tensor(0, 4, 3)],
      ['b', tensor(0, 9)],
    ]);
    const { largest, mean } = differences(reference, outputs);
    expect(largest).toBeCloseTo(0.25);
    expect(mean).toBeCloseTo(1 / 12);
  });
});

describe('Tally', () => {
  it('counts equal top predictions of classifiers, and the largest difference of other networks', () => {
    const tally = new Tally();
    tally.add({ ...outcome, largest: 0.1, mean: 0.02, bytes: 101 });
    tally.add({ ...outcome, same: false, largest: 0.3, mean: 0.04 });
    expect(tally.agreement('answers')).toBe(0.5);
    expect(tally.agreement('differences')).toBeCloseTo(0.7);
    expect(tally.mean).toBeCloseTo(0.03);
    expect(tally.bytes).toBe(101);
    tally.add({ ...outcome, largest: Number.POSITIVE_INFINITY });
    expect(tally.agreement('differences')).toBe(0);
  });

  it('ends as soon as the bound is out of reach, and not before', () => {
    const tally = new Tally();
    for (const same of [true, false]) tally.add({ ...outcome, same, largest: same ? 0 : 0.01 });
    // Wilson: one lost of 600 shows 99.06 % at best, two 98.79 %.
    expect(tally.isHopeless('answers', 0.99, 600)).toBe(false);
    expect(tally.isHopeless('differences', 0.99, 600)).toBe(false);
    tally.add({ ...outcome, same: false, largest: 0.011 });
    expect(tally.isHopeless('answers', 0.99, 600)).toBe(true);
    expect(tally.isHopeless('differences', 0.99, 600)).toBe(true);
  });
});

describe('lowerEnd', () => {
  it("is Wilson's: known values, and never above the share", () => {
    // Newcombe 1998, table I: 81 of 263 gives 0.2553 to 0.3662.
    expect(lowerEnd(81, 263)).toBeCloseTo(0.2553, 4);
    expect(lowerEnd(0, 20)).toBe(0);
    expect(lowerEnd(200, 200)).toBeCloseTo(0.9812, 4);
  });
});

describe('checkCount', () => {
  it('refuses a bound that the pictures cannot show, and names how many do and what they can', () => {
    // 200 of 200 shows 98.12 %, 380 of 380 less than 99 %.
    expect(() => checkCount(381, 0.99)).not.toThrow();
    expect(() => checkCount(380, 0.99)).toThrow(/380 pictures cannot show/);
    expect(hintOf(() => checkCount(200, 0.99))).toBe(
      'use at least 381 pictures (--images, --limit), or ask for at most --agreement 0.9811',
    );
    expect(() => checkCount(200, 0.9811)).not.toThrow();
    expect(hintOf(() => checkCount(1000, 1))).toBe('ask for at most --agreement 0.9961');
  });
});

function hintOf(act: () => void): string | undefined {
  try {
    act();
  } catch (error) {
    if (error instanceof TesseraError) return error.hint;
    throw error;
  }
  return undefined;
}
