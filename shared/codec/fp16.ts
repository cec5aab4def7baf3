import { TesseraError } from '../errors.ts';
import type { Codec } from './codec.ts';
import { bitsOf, bytesOf, floatCount, floatsOf, isFloat32 } from './floats.ts';

/**
 * IEEE 754 half precision, little endian. Rounds to the nearest, ties to even; values that are too large become 65504.
 */
export const fp16: Codec<{ readonly name: 'fp16' }> = {
  name: 'fp16',
  lossless: false,
  carries: isFloat32,
  encode(data, spec) {
    const n = floatCount(spec, 'fp16');
    const bits = bitsOf(floatsOf(data));
    const halves = new Uint16Array(n);
    for (let i = 0; i < n; i++) halves[i] = halfOf(bits[i]!);
    return new Uint8Array(halves.buffer);
  },
  decode(bytes, spec) {
    const n = floatCount(spec, 'fp16');
    if (bytes.byteLength !== 2 * n)
      throw new TesseraError('TESSERA_CODEC', `fp16 data has ${bytes.byteLength} bytes where ${2 * n} are expected`);
    const aligned = bytes.byteOffset % 2 === 0 ? bytes : bytes.slice();
    const halves = new Uint16Array(aligned.buffer, aligned.byteOffset, n);
    const bits = new Int32Array(n);
    for (let i = 0; i < n; i++) bits[i] = floatBitsOf(halves[i]!);
    return bytesOf(bits);
  },
};

const MOST = 0x7bff;
const INFINITY = 0x7f800000;
/** 2^-14, the smallest float whose half is normal, and 65520, the smallest that would round to infinity. */
const LEAST_NORMAL = 0x38800000;
const TOO_LARGE = 0x477ff000;

const tinyBits = new Int32Array(1);
const tiny = new Float32Array(tinyBits.buffer);

/** Bits of the half-precision number that is nearest to the float with these bits. */
export function halfOf(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const size = bits & 0x7fffffff;
  if (size >= LEAST_NORMAL) {
    if (size > INFINITY) return sign | 0x7e00;
    if (size >= TOO_LARGE) return sign | MOST;
    // The exponent's bias is 112 less. Rounding adds half of the part that is cut off, minus one where the result is
    // even.
    return sign | ((size - 0x38000000 + 0xfff + ((size >>> 13) & 1)) >>> 13);
  }
  // Denormal halves are whole multiples of 2^-24: adding 1.5 * 2^(23 - 24) lets the processor round.
  tinyBits[0] = size;
  tiny[0] = tiny[0]! + 0.5;
  return sign | (tinyBits[0]! - 0x3f000000);
}

/** Bits of the float that equals a half-precision number. */
export function floatBitsOf(half: number): number {
  const sign = (half & 0x8000) << 16;
  const size = half & 0x7fff;
  if (size >= 0x7c00) return sign | INFINITY | ((size & 0x3ff) << 13);
  if (size >= 0x400) return sign | ((size << 13) + 0x38000000);
  tiny[0] = size * 2 ** -24;
  return sign | tinyBits[0]!;
}
