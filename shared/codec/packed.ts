import type { Codec } from './codec.ts';
import { decodeCodes, encodeCodes } from './coding/codes.ts';
import { scratch } from './coding/scratch.ts';
import { corrupt } from './corrupt.ts';
import { bitsOf, bytesOf, floatCount, floatsOf, isFloat32 } from './floats.ts';

const codeBuffer = scratch((n) => new Uint8Array(n));
const restBuffer = scratch((n) => new Uint8Array(n));

/** Bits of an exponent's code, and how many exponents have a code. */
const CODE_BITS = 5;
const EXPONENTS = 30;
const ESCAPE = 31;

/**
 * Lossless float32: exponents as codes, which compress well, and the other bits of each value unchanged, which do not
 * compress. A zero is a code and nothing else.
 *
 *     packed = top:u8 length:u32 codes rest*
 *     code   = 0 for +0 | 1 + top - exponent, 1..30 | 31 for everything else
 *     rest   = of codes 1..30 the sign and 23 bits of mantissa, 3 bytes; of code 31 the value, 4 bytes
 */
export const packed: Codec<{ readonly name: 'packed' }> = {
  name: 'packed',
  lossless: true,
  carries: isFloat32,
  encode(data, spec) {
    const n = floatCount(spec, 'packed');
    const bits = bitsOf(floatsOf(data));
    const codes = codeBuffer(n);
    const rest = restBuffer(4 * n);
    const top = topExponent(bits, n);
    let at = 0;
    for (let i = 0; i < n; i++) {
      const value = bits[i]!;
      if (value === 0) {
        codes[i] = 0;
        continue;
      }
      const below = top - ((value >>> 23) & 255);
      rest[at] = value;
      rest[at + 1] = value >> 8;
      if (below >= 0 && below < EXPONENTS) {
        codes[i] = below + 1;
        rest[at + 2] = ((value >> 16) & 127) | ((value >>> 24) & 128);
        at += 3;
      } else {
        codes[i] = ESCAPE;
        rest[at + 2] = value >> 16;
        rest[at + 3] = value >>> 24;
        at += 4;
      }
    }
    const coded = encodeCodes(codes, n, CODE_BITS);
    const bytes = new Uint8Array(5 + coded.length + at);
    bytes[0] = top;
    new DataView(bytes.buffer).setUint32(1, coded.length, true);
    bytes.set(coded, 5);
    bytes.set(rest.subarray(0, at), 5 + coded.length);
    return bytes;
  },
  decode(bytes, spec) {
    const n = floatCount(spec, 'packed');
    if (bytes.byteLength < 5) throw corrupt('it ends early');
    const top = bytes[0]!;
    const length = new DataView(bytes.buffer, bytes.byteOffset, 5).getUint32(1, true);
    let at = 5 + length;
    if (at > bytes.byteLength) throw corrupt('it ends early');
    const codes = decodeCodes(bytes.subarray(5, at), n, CODE_BITS);
    let left = 0;
    for (let i = 0; i < n; i++) left += codes[i] === 0 ? 0 : codes[i] === ESCAPE ? 4 : 3;
    if (at + left !== bytes.byteLength) throw corrupt('its length does not match its values');
    const bits = new Int32Array(n);
    for (let i = 0; i < n; i++) {
      const code = codes[i]!;
      if (code === 0) continue;
      const low = bytes[at]! | (bytes[at + 1]! << 8);
      const high = bytes[at + 2]!;
      if (code === ESCAPE) {
        bits[i] = low | (high << 16) | (bytes[at + 3]! << 24);
        at += 4;
      } else {
        const exponent = top + 1 - code;
        if (exponent < 0) throw corrupt('an exponent is out of range');
        bits[i] = low | ((high & 127) << 16) | (exponent << 23) | ((high & 128) << 24);
        at += 3;
      }
    }
    return bytesOf(bits);
  },
};

/** The largest exponent of a finite value. */
function topExponent(bits: Int32Array, n: number): number {
  let top = 0;
  for (let i = 0; i < n; i++) {
    const exponent = (bits[i]! >>> 23) & 255;
    if (exponent > top && exponent < 255) top = exponent;
  }
  return top;
}
