import { describe, expect, test } from 'vitest';
import { difference } from '../../../shared/tensor/compare.ts';
import type { Tensor } from '../../../shared/tensor/tensor.ts';

const floats = (...values: number[]): Tensor => ({
  dtype: 'float32',
  shape: [values.length],
  data: new Uint8Array(Float32Array.from(values).buffer),
});

describe('difference', () => {
  test('is measured in shares of the range of the reference', () => {
    expect(difference(floats(0, 10), floats(0, 9))).toEqual({ largest: 0.1, mean: 0.05, range: 10 });
  });
  test('a NaN in place of a number is an infinite difference', () => {
    expect(difference(floats(0, 1), floats(0, Number.NaN)).largest).toBe(Number.POSITIVE_INFINITY);
  });
  test('another shape or dtype is an infinite difference', () => {
    expect(difference(floats(0, 1), floats(0)).largest).toBe(Number.POSITIVE_INFINITY);
    expect(difference(floats(0), { ...floats(0), dtype: 'int32' }).largest).toBe(Number.POSITIVE_INFINITY);
  });
  test('a constant output is compared absolutely', () => {
    expect(difference(floats(2, 2), floats(2, 2.5)).largest).toBe(0.5);
  });
  test('unaligned bytes are read correctly', () => {
    const { data } = floats(1, 2);
    const shifted = new Uint8Array(9);
    shifted.set(data, 1);
    expect(difference(floats(1, 2), { dtype: 'float32', shape: [2], data: shifted.subarray(1) }).largest).toBe(0);
  });
});
