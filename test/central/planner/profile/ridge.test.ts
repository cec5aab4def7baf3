import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Row, ridge } from '../../../../central/planner/profile/ridge.ts';

const coefficient = fc.double({ min: 0.01, max: 10, noNaN: true });

describe('coefficients', () => {
  it('are those of exact sums, wherever they are sought', () => {
    fc.assert(
      fc.property(fc.tuple(coefficient, coefficient), fc.tuple(coefficient, coefficient), ([a, b], near) => {
        const rows = [
          [1, 0],
          [1, 3],
          [4, 1],
          [0, 2],
        ].map(([x, y]): Row => ({ features: [x!, y!], value: a * x! + b * y! }));
        const [x, y] = ridge(rows, near, 1e-12);
        expect(x! / a).toBeCloseTo(1, 3);
        expect(y! / b).toBeCloseTo(1, 3);
      }),
    );
  });

  it('are never below 0, or else a larger layer would take less time', () => {
    const rows = [
      { features: [1, 1], value: 1 },
      { features: [1, 2], value: 0.5 },
    ];
    const [first, second] = ridge(rows, [1, 1], 1e-9);
    expect(second).toBe(0);
    // The best constant for relative errors of 1 and 0.5: (1 / 1 + 1 / 0.5) / (1 / 1 + 1 / 0.25).
    expect(first).toBeCloseTo(0.6);
  });

  it('stay where they are sought as far as the rows say nothing', () => {
    const sums = [{ features: [1, 1, 0], value: 6 }];
    const [a, b, c] = ridge(sums, [1, 2, 7], 0.02);
    expect(a! + b!).toBeCloseTo(6, 0);
    // Of two that share a sum, the larger one moves more: relative distances count.
    expect(b! / a!).toBeGreaterThan(2);
    expect(c).toBe(7);
    expect(ridge(sums, [0, 1, 1], 1e-6)[0]).toBe(0);
  });
});
