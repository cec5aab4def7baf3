import fc from 'fast-check';
import { expect, test } from 'vitest';
import { tensorsAgree } from '../../../central/data-plane/tensors-agree.ts';
import { clip } from '../../../shared/codec/clip.ts';
import { fp16 } from '../../../shared/codec/fp16.ts';
import { q8 } from '../../../shared/codec/q8.ts';
import type { CodecSpec } from '../../../shared/codec/spec.ts';
import type { Dtype, Tensor } from '../../../shared/tensor/tensor.ts';

/**
 * If rounding counts as a wrong answer, honest nodes are excluded; if a wrong answer counts as rounding, dishonest ones
 * stay.
 */

const raw: CodecSpec = { name: 'raw' };
const floats = (values: readonly number[]): Tensor => ({
  dtype: 'float32',
  shape: [values.length],
  data: new Uint8Array(Float32Array.from(values).buffer),
});
const of = (dtype: Dtype, data: ArrayBufferView): Tensor => {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return { dtype, shape: [bytes.length], data: bytes };
};
const values = fc.array(fc.double({ min: -1e4, max: 1e4, noNaN: true }), { minLength: 4, maxLength: 200 });

test('sums in another order agree, of whatever size the values are', () => {
  fc.assert(
    fc.property(values, fc.double({ min: -1e-6, max: 1e-6, noNaN: true }), (exact, error) => {
      const scale = Math.max(...exact.map(Math.abs));
      expect(tensorsAgree(floats(exact), floats(exact.map((value) => value + error * scale)), raw, 'smooth')).toBe(
        true,
      );
    }),
  );
});

test('values that a codec rounds to either side of a step agree', () => {
  const codecs = [
    [fp16, { name: 'fp16' }],
    [q8, { name: 'q8', per: 'tensor' }],
    [clip, { name: 'clip', a: 0, b: 50, bits: 3 }],
  ] as const;
  fc.assert(
    fc.property(values, (exact) => {
      for (const [codec, spec] of codecs) {
        const tensor = floats(exact);
        const through = (value: Tensor): Tensor => ({
          ...value,
          // biome-ignore lint/suspicious/noExplicitAny: each codec with its own spec.
          data: (codec as any).decode((codec as any).encode(value.data, value, spec), value, spec),
        });
        const scale = Math.max(...exact.map(Math.abs));
        const near = floats(exact.map((value, k) => value + (k % 2 === 0 ? 1e-6 : -1e-6) * scale));
        expect(tensorsAgree(through(tensor), through(near), spec, 'smooth')).toBe(true);
      }
    }),
  );
});

test.each<[string, (exact: number[]) => number[]]>([
  ['all alike', (exact) => exact.map(() => 7)],
  ['all zeros', (exact) => exact.map(() => 0)],
  ['one value far off', (exact) => exact.map((value, k) => (k === 3 ? value + 1 : value))],
  [
    'one value beyond all bounds, so that everything else looks small',
    (exact) => exact.map((value, k) => (k === 3 ? 1e30 : value)),
  ],
  ['no number', (exact) => exact.map((value, k) => (k === 3 ? Number.NaN : value))],
  ['an infinity', (exact) => exact.map((value, k) => (k === 3 ? Number.POSITIVE_INFINITY : value))],
  ['one percent more of everything', (exact) => exact.map((value) => 1.01 * value)],
  ['signs turned', (exact) => exact.map((value) => -value)],
])('%s is another answer', (_, lie) => {
  const exact = Array.from({ length: 64 }, (_, k) => Math.sin(k + 1));
  for (const rounding of ['smooth', 'jumps'] as const) {
    if (rounding === 'jumps' && /one|no number|an infinity/.test(_)) continue;
    expect(tensorsAgree(floats(exact), floats(lie(exact)), raw, rounding)).toBe(false);
    expect(tensorsAgree(floats(lie(exact)), floats(exact), raw, rounding)).toBe(false);
  }
});

test('a blank tile with one value just above zero agrees with a tile of zeros', () => {
  expect(tensorsAgree(floats([0, 0, 0, 0]), floats([0, 2e-5, 0, 0]), raw, 'smooth')).toBe(true);
});

test('the same infinities and NaNs agree', () => {
  const odd = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 1];
  expect(tensorsAgree(floats(odd), floats(odd), raw, 'smooth')).toBe(true);
});

test('integers are compared exactly, except codes of quantised networks, which may differ by a step or two', () => {
  expect(
    tensorsAgree(of('int64', BigInt64Array.of(5n, 6n)), of('int64', BigInt64Array.of(5n, 7n)), raw, 'smooth'),
  ).toBe(false);
  expect(tensorsAgree(of('uint8', Uint8Array.of(5, 6)), of('uint8', Uint8Array.of(5, 8)), raw, 'smooth')).toBe(true);
  expect(tensorsAgree(of('uint8', Uint8Array.of(5, 6)), of('uint8', Uint8Array.of(5, 60)), raw, 'smooth')).toBe(false);
});

test('after operators that jump a few elements may differ by any amount; after random operators all may', () => {
  const labels = (n: number): Tensor =>
    of(
      'int64',
      BigInt64Array.from({ length: 100 }, (_, k) => (k < n ? 9n : 1n)),
    );
  expect(tensorsAgree(labels(0), labels(2), raw, 'jumps')).toBe(true);
  expect(tensorsAgree(labels(0), labels(50), raw, 'jumps')).toBe(false);
  expect(tensorsAgree(labels(0), labels(50), raw, 'random')).toBe(true);
});
