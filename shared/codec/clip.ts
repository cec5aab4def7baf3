import { ClipQuantiser } from './clip-quantiser.ts';
import type { Codec } from './codec.ts';
import { decodeCodes, encodeCodes, encodeDense, encodeSparse, SPARSE_SHARE } from './coding/codes.ts';
import { scratch } from './coding/scratch.ts';
import { bitsOf, bytesOf, floatCount, floatsOf, isFloat32 } from './floats.ts';
import type { ClipSpec } from './spec.ts';

const positionBuffer = scratch((n) => new Uint32Array(n));
const valueBuffer = scratch((n) => new Uint8Array(n));
const codeBuffer = scratch((n) => new Uint8Array(n));

const BLOCK = 512;

/**
 * ADCNN's codec (ICPP 2020, section 4): clipped ReLU with bounds a and b, quantisation to `bits` bits
 * (clip-quantiser.ts), and entropy coding (coding/codes.ts). A code q decodes to
 *
 *     base + q * (b - a) / (2^bits - 1)
 *
 * with base 0 unless the plan gives another: decoded values are those of the clipped ReLU, which is 0 where x is a.
 */
export const clip: Codec<ClipSpec> = {
  name: 'clip',
  lossless: false,
  carries: isFloat32,
  encode(data, spec, codec) {
    const n = floatCount(spec, 'clip');
    return encodeValues(floatsOf(data).subarray(0, n), codec);
  },
  decode(bytes, spec, codec) {
    const n = floatCount(spec, 'clip');
    const codes = decodeCodes(bytes, n, codec.bits);
    const values = valuesOf(codec);
    const floats = new Float32Array(n);
    for (let i = 0; i < n; i++) floats[i] = values[codes[i]!]!;
    return bytesOf(floats);
  },
};

function encodeValues(floats: Float32Array, codec: ClipSpec): Uint8Array {
  const { bits } = codec;
  const n = floats.length;
  const quantiser = new ClipQuantiser(codec);
  if (quantiser.threshold > 0) {
    const all = bitsOf(floats);
    const most = n * SPARSE_SHARE;
    const positions = positionBuffer(Math.floor(most) + BLOCK + 1);
    let count = 0;
    for (let start = 0; start < n && count <= most; start += BLOCK)
      count = quantiser.positions(all, start, Math.min(start + BLOCK, n), positions, count);
    if (count <= most) {
      const values = valueBuffer(count);
      for (let i = 0; i < count; i++) values[i] = quantiser.code(floats[positions[i]!]!);
      return encodeSparse({ n, count, positions, values }, bits);
    }
  }
  const codes = codeBuffer(n);
  quantiser.quantise(floats, codes);
  return quantiser.threshold > 0 ? encodeDense(codes, n, bits) : encodeCodes(codes, n, bits);
}

/**
 * Decodes to codes, one byte each, without dequantising: central keeps them so, and stages with quantised inputs read
 * them.
 */
export function decodeClipCodes(bytes: Uint8Array, count: number, { bits }: ClipSpec): Uint8Array {
  return decodeCodes(bytes, count, bits);
}

/** Encodes codes that are quantised already; the result decodes as that of `clip.encode`. */
export function encodeClipCodes(codes: Uint8Array, { bits }: ClipSpec): Uint8Array {
  return encodeCodes(codes, codes.length, bits);
}

/** Quantises a float32 tensor's bytes to codes, one byte each. */
export function clipCodes(data: Uint8Array, codec: ClipSpec): Uint8Array {
  const floats = floatsOf(data);
  const codes = new Uint8Array(floats.length);
  new ClipQuantiser(codec).quantise(floats, codes);
  return codes;
}

/** The value that each code decodes to. */
export function valuesOf({ a, b, bits, base = 0 }: ClipSpec): Float32Array {
  const step = (b - a) / (2 ** bits - 1);
  return Float32Array.from({ length: 2 ** bits }, (_, code) => base + code * step);
}

/** The code whose value is nearest to 0; it fills the parts of a tensor that never arrived. */
export function zeroCode({ a, b, bits, base = 0 }: ClipSpec): number {
  const most = 2 ** bits - 1;
  return Math.min(Math.max(Math.round((-base * most) / (b - a)), 0), most);
}
