import type { Dtype } from '../tensor/tensor.ts';

/**
 * Element types that the runtime's Pad accepts, with the first operator-set version that does; other types are cast.
 */
export const PADDED_SINCE: Readonly<Partial<Record<Dtype, number>>> = {
  float32: 0,
  float64: 11,
  int32: 11,
  int64: 11,
  uint32: 11,
  uint64: 11,
  uint8: 11,
  int8: 11,
  bool: 13,
};

/**
 * Whether tiles of an element type can be cropped and padded without loss: directly, or as float32 where that is exact.
 */
export function canPad(dtype: Dtype, opset: number): boolean {
  const since = PADDED_SINCE[dtype];
  return (
    (since !== undefined && opset >= since) || ['float16', 'bool', 'int8', 'uint8', 'int16', 'uint16'].includes(dtype)
  );
}
