import fc from 'fast-check';
import { codecNames, findCodec } from '../../../shared/codec/codecs.ts';
import type { CodecSpec } from '../../../shared/codec/spec.ts';
import { TesseraError } from '../../../shared/errors.ts';
import { byteLength, type Dtype, type TensorSpec } from '../../../shared/tensor/tensor.ts';
import { applyEdits, editScript, MOST_BYTES } from '../edits.ts';
import { type FuzzTarget, must, same } from '../target.ts';

/**
 * Every codec under damaged data. An input is a head of five bytes and what claims to be encoded:
 *
 *   input = codec dtype channels rows columns encoded
 */
const HEAD = 5;
const DTYPES = ['float32', 'uint8', 'int8', 'int32', 'float16', 'int64'] as const satisfies readonly Dtype[];

const SPECS: readonly CodecSpec[] = [
  { name: 'raw' },
  { name: 'packed' },
  { name: 'fp16' },
  { name: 'q8', per: 'tensor' },
  { name: 'q8', per: 'channel' },
  { name: 'clip', a: 0.2, b: 2, bits: 4 },
  { name: 'clip', a: -1, b: 3, bits: 8 },
  { name: 'clip', a: 0.5, b: 1.5, bits: 2, base: 0.5 },
];
const missing = codecNames().filter((name) => SPECS.every((spec) => spec.name !== name));
if (missing.length > 0) throw new Error(`codecs without a spec to be fuzzed with: ${missing}`);

const codecOf = (input: Uint8Array): CodecSpec => SPECS[input[0]! % SPECS.length]!;

function specOf(input: Uint8Array): TensorSpec {
  const dtype = DTYPES[input[1]! % DTYPES.length]!;
  return { dtype, shape: [1, 1 + (input[2]! % 8), 1 + (input[3]! % 40), 1 + (input[4]! % 40)] };
}

/** A tensor with long runs of zeros, as rectified maps have them. */
function dataOf(spec: TensorSpec, salt: number): Uint8Array {
  const data = new Uint8Array(byteLength(spec));
  if (spec.dtype === 'float32') {
    const floats = Float32Array.from({ length: data.length / 4 }, (_, k) =>
      (k * 7 + salt) % 11 < 8 ? 0 : Math.sin(k + salt) * 3,
    );
    data.set(new Uint8Array(floats.buffer));
  } else for (let k = 0; k < data.length; k++) data[k] = (k + salt) % 5 < 3 ? 0 : (k * 31 + salt) & 255;
  return data;
}

/** A valid input, where the codec takes that type. */
function encoded(head: readonly number[]): Uint8Array | undefined {
  const start = Uint8Array.from(head);
  const spec = specOf(start);
  const params = codecOf(start);
  const codec = findCodec(params.name)!;
  if (!codec.carries(spec)) return undefined;
  return new Uint8Array(Buffer.concat([start, codec.encode(dataOf(spec, head[3]!), spec, params)]));
}

/** Encoded tensors. */
export const codecs: FuzzTarget = {
  name: 'codecs',
  weight: 3,
  about: 'damaged data of every codec: exactly the bytes of the tensor, or a coded error; lossless ones give back all',
  seeds: () =>
    SPECS.flatMap((_, codec) =>
      DTYPES.flatMap((_, dtype) => [
        encoded([codec, dtype, 2, 7, 9]),
        encoded([codec, dtype, 7, 31, 39]),
        encoded([codec, dtype, 0, 0, 0]),
      ]),
    ).filter((seed) => seed !== undefined),
  inputs: (seeds) =>
    fc
      .tuple(
        fc.constantFrom(...seeds),
        fc.option(editScript, { freq: 8 }),
        fc.option(fc.nat(255), { freq: 1, nil: null }),
        fc.nat(HEAD - 1),
      )
      .map(([seed, script, value, place]) => {
        const body = script === null ? seed.subarray(HEAD) : applyEdits(seed.subarray(HEAD), script, seeds, MOST_BYTES);
        const input = new Uint8Array(Buffer.concat([seed.subarray(0, HEAD), body]));
        // Another type or size than the data was made for.
        if (value !== null && value % 4 === 0) input[place] = value;
        return input;
      }),
  open: () => ({
    judge(input) {
      if (input.length < HEAD) return 'refused';
      const params = codecOf(input);
      const codec = findCodec(params.name)!;
      const spec = specOf(input);
      // A decoder has requested the tensor in that form, and requests only what a codec can carry.
      if (!codec.carries(spec)) return 'refused';
      let data: Uint8Array;
      try {
        data = codec.decode(input.subarray(HEAD), spec, params);
      } catch (error) {
        if (error instanceof TesseraError && error.code === 'TESSERA_CODEC') return 'refused';
        throw error;
      }
      must(
        data.length === byteLength(spec),
        () => `${params.name}: ${data.length} bytes where ${byteLength(spec)} belong`,
      );
      if (codec.lossless)
        must(
          same(codec.decode(codec.encode(data, spec, params), spec, params), data),
          `${params.name} loses something`,
        );
      return 'accepted';
    },
  }),
};
