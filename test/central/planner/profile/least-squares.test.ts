import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nonNegative, normalEquations, type Row, without } from '../../../../central/planner/profile/least-squares.ts';

const coefficient = fc.double({ min: 0.01, max: 10, noNaN: true });

describe('non-negative least squares', () => {
  it('find the coefficients of exact sums', () => {
    fc.assert(
      fc.property(fc.tuple(coefficient, coefficient), ([a, b]) => {
        const rows = [
          [1, 0],
          [1, 3],
          [4, 1],
          [0, 2],
        ].map(([x, y]): Row => ({ features: [x!, y!], value: a * x! + b * y! }));
        const found = nonNegative(normalEquations(rows, 2));
        const sum = (features: readonly number[]) => features[0]! * found[0]! + features[1]! * found[1]!;
        for (const { features, value } of rows) expect(sum(features) / value).toBeCloseTo(1, 4);
      }),
    );
  });

  it('give no coefficient below 0, or else a larger layer would take less time', () => {
    const rows = [
      { features: [1, 1], value: 1 },
      { features: [1, 2], value: 0.5 },
    ];
    const [first, second] = nonNegative(normalEquations(rows, 2));
    expect(second).toBe(0);
    // The best constant for relative errors of 1 and 0.5: (1 / 1 + 1 / 0.5) / (1 / 1 + 1 / 0.25).
    expect(first).toBeCloseTo(0.6);
  });

  it('leave a row out as if it had never been there', () => {
    const rows = [
      { features: [1, 2], value: 3 },
      { features: [2, 1], value: 5 },
      { features: [5, 5], value: 1 },
    ];
    const left = without(normalEquations(rows, 2), rows[2]!);
    const anew = normalEquations(rows.slice(0, 2), 2);
    expect(left.vector.map((value, i) => value - anew.vector[i]!)).toEqual([expect.closeTo(0), expect.closeTo(0)]);
    expect(nonNegative(left)[0]).toBeCloseTo(nonNegative(anew)[0]!);
  });
});
