import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { clip } from '../../../shared/codec/clip.ts';
import { alternativeRules, clipFor, MIN_MAX, ValueCounts } from '../../../shared/codec/clip-bounds.ts';
import { bytesOf, floatsOf } from '../../../shared/codec/floats.ts';
import { codecText, parseCodec } from '../../../shared/codec/spec.ts';

/** If one of these fails, clip bounds change the values of a network that was not retrained for them. */

function counted(...parts: readonly (readonly number[])[]): ValueCounts {
  const counts = new ValueCounts();
  for (const part of parts) counts.add(Float32Array.from(part));
  return counts;
}

/** Values after encoding and decoding. */
function travelled(values: readonly number[], spec: ReturnType<typeof clipFor>): Float32Array {
  const shape = { dtype: 'float32', shape: [values.length] } as const;
  return floatsOf(clip.decode(clip.encode(bytesOf(Float32Array.from(values)), shape, spec), shape, spec));
}

const value = fc.float({ min: -1e6, max: 1e6, noNaN: true });
/** Subnormal numbers, below 2^-126, have fewer bits than a bin needs to be narrow. */
const normal = value.map((x) => (Math.abs(x) < 2 ** -126 ? 0 : x));

describe('ValueCounts', () => {
  it('finds bounds beyond which at most the given share lies, and not much less', () => {
    fc.assert(
      fc.property(
        fc.array(normal, { minLength: 1, maxLength: 400 }),
        fc.constantFrom(0, 0.01, 0.1),
        (values, beyond) => {
          const floats = [...Float32Array.from(values)];
          const [low, high] = counted(floats).within(beyond);
          const others = floats.filter((x) => x !== 0);
          expect(floats.filter((x) => x > high).length).toBeLessThanOrEqual(beyond * others.length);
          expect(floats.filter((x) => x < low).length).toBeLessThanOrEqual(beyond * others.length);
          // A bin is 0.8 % wide: a bound moved in by that is too tight, or the next value is that near.
          const tight = high > 0 ? high * 0.99 : high * 1.01;
          if (high !== 0) expect(floats.filter((x) => x > tight).length).toBeGreaterThan(beyond * others.length - 1e-9);
        },
      ),
    );
  });

  it('holds exactly the smallest and largest value for min-max, over all pictures', () => {
    expect(counted([0, 3], [-2, 1]).within(0)).toEqual([-2, 3]);
    expect(counted([0, 0, 0]).within(0)).toEqual([0, 0]);
    expect(counted([-4, -1]).within(0)).toEqual([-4, -1]);
  });

  it('ignores NaN and infinities', () => {
    const counts = counted([Number.NaN, Number.POSITIVE_INFINITY, 1, 2]);
    expect([counts.min, counts.max]).toEqual([1, 2]);
  });
});

describe('clipFor', () => {
  it('keeps every value within half a step, by min-max', () => {
    fc.assert(
      fc.property(fc.array(value, { minLength: 2, maxLength: 100 }), fc.integer({ min: 2, max: 8 }), (values, bits) => {
        const floats = [...Float32Array.from(values)];
        const spec = clipFor(counted(floats), MIN_MAX, bits);
        const step = (spec.b - spec.a) / (2 ** bits - 1);
        const far = Math.max(...travelled(floats, spec).map((x, i) => Math.abs(x - floats[i]!)));
        // Bounds are rounded to a ten-thousandth of the range.
        expect(far).toBeLessThanOrEqual(0.5 * step + 2e-4 * (spec.b - spec.a));
        expect(parseCodec(codecText(spec))).toEqual(spec);
      }),
    );
  });

  it('keeps zeros zeros after ReLU, and widens them in a dead zone', () => {
    const values = [0, 0.29, 0.31, 0.69, 6];
    const counts = counted(values);
    expect(clipFor(counts, MIN_MAX, 4)).toEqual({ name: 'clip', a: 0, b: 6, bits: 4 });
    // A step is 0.4: values from 0.2, or 0.3, on are not 0.
    expect([...travelled(values, clipFor(counts, MIN_MAX, 4))].filter((x) => x === 0)).toHaveLength(1);
    const dead = clipFor(counts, { beyond: 0, deadZone: 0.25 }, 4);
    expect(dead).toEqual({ name: 'clip', a: 0.1, b: 6.1, bits: 4 });
    expect([...travelled(values, dead)].filter((x) => x === 0)).toHaveLength(2);
    expect(travelled(values, dead)[4]).toBeCloseTo(6, 5);
  });

  it('gives constant tensors, and tensors without values, a range', () => {
    expect(clipFor(counted([0, 0]), MIN_MAX, 4)).toMatchObject({ a: 0, b: 1 });
    expect(clipFor(counted([5, 5]), MIN_MAX, 4)).toMatchObject({ a: 5, b: 10, base: 5 });
    expect(clipFor(counted([]), MIN_MAX, 4)).toMatchObject({ a: 0, b: 1 });
  });

  it('tries dead zones only where there is a ReLU', () => {
    expect(alternativeRules([counted([-1, 1])]).every(({ deadZone }) => deadZone === 0)).toBe(true);
    expect(alternativeRules([counted([0, 1])]).some(({ deadZone }) => deadZone > 0)).toBe(true);
  });
});
