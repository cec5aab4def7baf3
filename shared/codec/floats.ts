import { TesseraError } from '../errors.ts';
import { elementCount, type TensorSpec } from '../tensor/tensor.ts';

/** Whether a tensor is float32, the only type that lossy codecs support. */
export function isFloat32(spec: TensorSpec): boolean {
  return spec.dtype === 'float32';
}

/**
 * The number of values of a float32 tensor. Throws TESSERA_CODEC for other types, for which a plan must not choose the
 * codec.
 */
export function floatCount(spec: TensorSpec, codec: string): number {
  if (spec.dtype !== 'float32')
    throw new TesseraError('TESSERA_CODEC', `codec ${codec} carries float32, not ${spec.dtype}`);
  return elementCount(spec.shape);
}

/** A float32 tensor's bytes as numbers; copied where they are not aligned. */
export function floatsOf(data: Uint8Array): Float32Array {
  const aligned = data.byteOffset % 4 === 0 ? data : data.slice();
  return new Float32Array(aligned.buffer, aligned.byteOffset, aligned.byteLength >> 2);
}

/** The same memory as integers: the bits of each float. */
export function bitsOf(floats: Float32Array): Int32Array {
  return new Int32Array(floats.buffer, floats.byteOffset, floats.length);
}

/** The bytes of an array of numbers. */
export function bytesOf(floats: Float32Array | Int32Array): Uint8Array {
  return new Uint8Array(floats.buffer, floats.byteOffset, floats.byteLength);
}
