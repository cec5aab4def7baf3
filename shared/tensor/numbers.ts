import { DTYPE_BYTES, type Tensor } from './tensor.ts';

/** A tensor's elements as numbers, without copying where type and alignment allow it. */
export function numbers({ dtype, data }: Tensor): ArrayLike<number> {
  const { buffer, byteOffset, byteLength } = data.byteOffset % DTYPE_BYTES[dtype] === 0 ? data : data.slice();
  switch (dtype) {
    case 'float32':
      return new Float32Array(buffer, byteOffset, byteLength / 4);
    case 'float64':
      return new Float64Array(buffer, byteOffset, byteLength / 8);
    case 'int8':
      return new Int8Array(buffer, byteOffset, byteLength);
    case 'uint16':
      return new Uint16Array(buffer, byteOffset, byteLength / 2);
    case 'int16':
      return new Int16Array(buffer, byteOffset, byteLength / 2);
    case 'uint32':
      return new Uint32Array(buffer, byteOffset, byteLength / 4);
    case 'int32':
      return new Int32Array(buffer, byteOffset, byteLength / 4);
    case 'int64':
      return Float64Array.from(new BigInt64Array(buffer, byteOffset, byteLength / 8), Number);
    case 'uint64':
      return Float64Array.from(new BigUint64Array(buffer, byteOffset, byteLength / 8), Number);
    case 'float16':
      return Float32Array.from(new Uint16Array(buffer, byteOffset, byteLength / 2), halfToNumber);
    case 'uint8':
    case 'bool':
      return data;
  }
}

/** The number with these binary16 bits (IEEE 754): 1 sign bit, 5 exponent bits with bias 15, 10 fraction bits. */
export function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

const SCRATCH = new DataView(new ArrayBuffer(4));

/**
 * The binary16 bits of a number, rounded to the nearest, ties to even, as the runtime's Cast does; from 65520 on the
 * result is infinite.
 */
export function numberToHalf(value: number): number {
  SCRATCH.setFloat32(0, value);
  const sign = (SCRATCH.getUint32(0) >>> 16) & 0x8000;
  if (Number.isNaN(value)) return sign | 0x7e00;
  const size = Math.abs(value);
  if (size >= 65_520) return sign | 0x7c00;
  // Binary16 numbers of this exponent are multiples of this step; below 2^-14 they are evenly spaced.
  const exponent = Math.max(-14, Math.floor(Math.log2(size)));
  const steps = nearestEven(size / 2 ** (exponent - 10));
  return sign | (steps < 1024 ? steps : ((exponent + 15) << 10) + (steps - 1024));
}

function nearestEven(value: number): number {
  const low = Math.floor(value);
  const rest = value - low;
  if (rest !== 0.5) return rest < 0.5 ? low : low + 1;
  return low % 2 === 0 ? low : low + 1;
}
