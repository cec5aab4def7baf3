import { elementCount, type TensorSpec } from '../tensor/tensor.ts';
import { ClipQuantiser } from './clip-quantiser.ts';
import type { Codec } from './codec.ts';
import { decodeCodes, encodeCodes } from './coding/codes.ts';
import { scratch } from './coding/scratch.ts';
import { corrupt } from './corrupt.ts';
import { bytesOf, floatCount, floatsOf, isFloat32 } from './floats.ts';
import type { CodecSpec } from './spec.ts';

const codeBuffer = scratch((n) => new Uint8Array(n));

/**
 * 8-bit quantisation between the smallest and the largest value (JALAD, ICPADS 2018, section III), of the tensor or of
 * each channel (axis 1). A channel's bounds are given in 255ths of the tensor's range, rounded outwards.
 *
 *     q8 = min:f32 max:f32 [low:u8 high:u8]{channels} codes      codes as in coding/codes.ts
 *
 * A value that is not finite becomes the nearest finite bound; NaN becomes 0 or the bound nearest to it.
 */
export const q8: Codec<Extract<CodecSpec, { name: 'q8' }>> = {
  name: 'q8',
  lossless: false,
  carries: isFloat32,
  encode(data, spec, { per }) {
    const n = floatCount(spec, 'q8');
    const floats = floatsOf(data).subarray(0, n);
    const [min, max] = rangeOf(floats);
    const blocks = blocksOf(spec, per);
    const size = n / blocks;
    const codes = codeBuffer(n);
    const bounds = new Uint8Array(per === 'channel' ? 2 * blocks : 0);
    for (let k = 0; k < blocks; k++) {
      const values = floats.subarray(k * size, (k + 1) * size);
      let [low, high] = [0, 255];
      if (per === 'channel') {
        const [least, most] = rangeOf(values);
        const scale = max > min ? 255 / (max - min) : 0;
        low = Math.max(0, Math.floor((least - min) * scale));
        high = Math.min(255, Math.ceil((most - min) * scale));
        bounds[2 * k] = low;
        bounds[2 * k + 1] = high;
      }
      const a = min + (low * (max - min)) / 255;
      const b = min + (high * (max - min)) / 255;
      const part = codes.subarray(k * size, (k + 1) * size);
      if (isRange(a, b)) quantise(values, a, b, part);
      else part.fill(0);
    }
    const coded = encodeCodes(codes, n, 8);
    const bytes = new Uint8Array(8 + bounds.length + coded.length);
    const view = new DataView(bytes.buffer);
    view.setFloat32(0, min, true);
    view.setFloat32(4, max, true);
    bytes.set(bounds, 8);
    bytes.set(coded, 8 + bounds.length);
    return bytes;
  },
  decode(bytes, spec, { per }) {
    const n = floatCount(spec, 'q8');
    const blocks = blocksOf(spec, per);
    const head = 8 + (per === 'channel' ? 2 * blocks : 0);
    if (bytes.byteLength <= head) throw corrupt('it ends early');
    const view = new DataView(bytes.buffer, bytes.byteOffset, head);
    const min = view.getFloat32(0, true);
    const max = view.getFloat32(4, true);
    if (!(min <= max) || !Number.isFinite(min) || !Number.isFinite(max)) throw corrupt('its range is invalid');
    const codes = decodeCodes(bytes.subarray(head), n, 8);
    const floats = new Float32Array(n);
    const size = n / blocks;
    const values = new Float32Array(256);
    for (let k = 0; k < blocks; k++) {
      if (per === 'channel' || k === 0) {
        const low = per === 'channel' ? bytes[8 + 2 * k]! : 0;
        const high = per === 'channel' ? bytes[9 + 2 * k]! : 255;
        if (low > high) throw corrupt("a channel's range is invalid");
        const a = min + (low * (max - min)) / 255;
        const step = ((high - low) * (max - min)) / 255 / 255;
        for (let code = 0; code < 256; code++) values[code] = a + code * step;
      }
      for (let i = k * size; i < (k + 1) * size; i++) floats[i] = values[codes[i]!]!;
    }
    return bytesOf(floats);
  },
};

function isRange(a: number, b: number): boolean {
  return b > a && Number.isFinite(255 / (b - a));
}

function quantise(values: Float32Array, a: number, b: number, codes: Uint8Array): void {
  const quantiser = new ClipQuantiser({ a, b, bits: 8 });
  quantiser.quantise(values, codes);
  const ofNothing = quantiser.code(0);
  for (let i = 0; i < values.length; i++) if (Number.isNaN(values[i]!)) codes[i] = ofNothing;
}

/** Number of blocks of a tensor with a range of their own; each block is contiguous. */
function blocksOf({ shape }: TensorSpec, per: 'tensor' | 'channel'): number {
  if (per === 'tensor' || shape.length < 2 || elementCount(shape) === 0) return 1;
  return shape[0]! * shape[1]!;
}

/** Smallest and largest finite value; 0 and 0 where there is none. */
function rangeOf(values: Float32Array): [number, number] {
  let min = Number.POSITIVE_INFINITY;
  let max = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (value < min && value !== Number.NEGATIVE_INFINITY) min = value;
    if (value > max && value !== Number.POSITIVE_INFINITY) max = value;
  }
  return min <= max ? [min, max] : [0, 0];
}
