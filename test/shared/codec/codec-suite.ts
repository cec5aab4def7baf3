import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { findCodec } from '../../../shared/codec/codecs.ts';
import type { CodecSpec } from '../../../shared/codec/spec.ts';
import { TesseraError } from '../../../shared/errors.ts';
import { byteLength, type TensorSpec } from '../../../shared/tensor/tensor.ts';

/** Properties of a codec beyond those that the suite tests for all. */
export interface Promised {
  /** Largest error of a decoded finite value, given the values of its tensor. */
  readonly within: (values: Float32Array) => number;
  /** Whether encoding decoded values again changes nothing. */
  readonly settles: boolean;
}

/** Bytes of floats, in memory of their own. */
export function bytesOf(values: Iterable<number>): Uint8Array {
  return new Uint8Array(Float32Array.from(values).buffer);
}

/** Floats of bytes at any offset. */
export function floatsOf(bytes: Uint8Array): Float32Array {
  return new Float32Array(bytes.slice().buffer);
}

/** Values as in results: zeros, small and large ones of both signs. */
const value = fc.oneof(
  { weight: 4, arbitrary: fc.constant(0) },
  { weight: 6, arbitrary: fc.float({ min: 0, max: 8, noNaN: true }) },
  { weight: 2, arbitrary: fc.float({ min: -8, max: 8, noNaN: true }) },
);
/** Every kind of 32-bit float. */
const anything = fc.oneof(
  fc.float(),
  fc.constantFrom(0, -0, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 1e-42, 3.4e38, -3.4e38),
);

const shapes = fc.oneof(
  fc.constantFrom([0], [1], [1, 1, 1, 1], [1, 3, 0, 2]),
  fc.tuple(
    fc.constant(1),
    fc.integer({ min: 1, max: 9 }),
    fc.integer({ min: 1, max: 9 }),
    fc.integer({ min: 1, max: 9 }),
  ),
);

function tensorOf(values: fc.Arbitrary<number>): fc.Arbitrary<{ spec: TensorSpec; data: Uint8Array }> {
  return shapes.chain((shape) => {
    const n = shape.reduce((product, size) => product * size, 1);
    return fc
      .array(values, { minLength: n, maxLength: n })
      .map((list) => ({ spec: { dtype: 'float32', shape }, data: bytesOf(list) }) as const);
  });
}

/** The tests that every codec has to pass. */
export function codecSuite(name: string, codec: CodecSpec, { within, settles }: Promised): void {
  const { encode, decode, lossless, carries } = findCodec(codec.name)!;
  const coded = (error: unknown): void => {
    if (!(error instanceof TesseraError) || error.code !== 'TESSERA_CODEC') throw error;
  };

  describe(name, () => {
    it('restores every value within its error bound', () => {
      fc.assert(
        fc.property(tensorOf(value), ({ spec, data }) => {
          const values = floatsOf(data);
          const back = floatsOf(decode(encode(data, spec, codec), spec, codec));
          expect(back.length).toBe(values.length);
          const most = within(values);
          values.forEach((each, i) => {
            expect(Math.abs(back[i]! - each)).toBeLessThanOrEqual(most);
          });
        }),
      );
    });

    it('accepts any values, NaN and infinities included', () => {
      fc.assert(
        fc.property(tensorOf(anything), ({ spec, data }) => {
          const back = decode(encode(data, spec, codec), spec, codec);
          expect(back.byteLength).toBe(byteLength(spec));
          if (lossless) expect(back).toEqual(data);
        }),
      );
    });

    it.runIf(settles)('changes nothing when decoded values are encoded again', () => {
      fc.assert(
        fc.property(tensorOf(value), ({ spec, data }) => {
          const once = decode(encode(data, spec, codec), spec, codec);
          const twice = floatsOf(decode(encode(once, spec, codec), spec, codec));
          floatsOf(once).forEach((each, i) => {
            expect(twice[i]).toBeCloseTo(each, 4);
          });
        }),
      );
    });

    it('does not change its input, and reads it at any offset', () => {
      const spec = { dtype: 'float32', shape: [1, 2, 3, 4] } as const;
      const data = bytesOf(Array.from({ length: 24 }, (_, i) => (i % 3 === 0 ? 0 : i / 4)));
      const kept = data.slice();
      const bytes = encode(data, spec, codec);
      const keptBytes = bytes.slice();
      const shifted = new Uint8Array(bytes.length + 3);
      shifted.set(bytes, 3);
      expect(floatsOf(decode(shifted.subarray(3), spec, codec))).toEqual(floatsOf(decode(bytes, spec, codec)));
      expect(data).toEqual(kept);
      expect(bytes).toEqual(keptBytes);
    });

    it('encodes tensors in sequence without mixing them up', () => {
      const spec = { dtype: 'float32', shape: [3000] } as const;
      const make = (salt: number) =>
        bytesOf(Array.from({ length: 3000 }, (_, i) => ((i * salt) % 7 < 4 ? 0 : (i * salt) % 5)));
      const [one, two] = [encode(make(3), spec, codec), encode(make(11), spec, codec)];
      expect(one).toEqual(encode(make(3), spec, codec));
      const [a, b] = [decode(one, spec, codec), decode(two, spec, codec)];
      expect(a).toEqual(decode(one, spec, codec));
      expect(b).toEqual(decode(two, spec, codec));
    });

    it('refuses truncated and empty data and data of another tensor', () => {
      const spec = { dtype: 'float32', shape: [1, 4, 6, 5] } as const;
      const bytes = encode(bytesOf(Array.from({ length: 120 }, (_, i) => Math.max(0, Math.sin(i) * 3))), spec, codec);
      const wrong = [new Uint8Array(0), bytes.subarray(0, bytes.length - 1), bytes.subarray(0, bytes.length >> 1)];
      for (const part of wrong) expect(() => decode(part, spec, codec)).toThrowError(/./);
      expect(() => decode(bytes, { ...spec, shape: [1, 4, 6, 6] }, codec)).toThrow(TesseraError);
      expect(() => decode(bytes, { ...spec, shape: [1, 4, 6, 4] }, codec)).toThrow(TesseraError);
    });

    it('decodes damaged data to a tensor or fails with TESSERA_CODEC, nothing else', () => {
      const edits = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 });
      fc.assert(
        fc.property(tensorOf(value), edits, fc.nat(400), ({ spec, data }, changes, length) => {
          const bytes = encode(data, spec, codec).slice(0, Math.max(1, length));
          for (const [place, byte] of changes) if (bytes.length > 0) bytes[place % bytes.length] = byte;
          try {
            expect(decode(bytes, spec, codec).byteLength).toBe(byteLength(spec));
          } catch (error) {
            coded(error);
          }
        }),
        { numRuns: 300 },
      );
    });

    it('does the same with arbitrary bytes', () => {
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 200 }), shapes, (bytes, shape) => {
          const spec = { dtype: 'float32', shape } as const;
          try {
            expect(decode(bytes, spec, codec).byteLength).toBe(byteLength(spec));
          } catch (error) {
            coded(error);
          }
        }),
        { numRuns: 500 },
      );
    });

    it('declares its element types, and refuses others by name', () => {
      expect(carries({ dtype: 'float32', shape: [1] })).toBe(true);
      const other = { dtype: 'int64', shape: [2] } as const;
      if (carries(other))
        expect(decode(encode(new Uint8Array(16), other, codec), other, codec)).toEqual(new Uint8Array(16));
      else expect(() => encode(new Uint8Array(16), other, codec)).toThrow(/float32, not int64/);
    });
  });
}
