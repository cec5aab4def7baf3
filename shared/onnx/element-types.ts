import type { Dtype } from '../tensor/tensor.ts';
import type { Initializer } from './model.ts';

/** What a number of TensorProto.DataType means: the dtype, and the bits of one element (0 for strings). */
export interface ElementType {
  readonly dtype: Initializer['dtype'];
  readonly bits: number;
}

/** TensorProto.DataType of onnx.proto3 (ONNX 1.20), by number. */
const ELEMENT_TYPES: Readonly<Record<number, ElementType>> = {
  1: { dtype: 'float32', bits: 32 },
  2: { dtype: 'uint8', bits: 8 },
  3: { dtype: 'int8', bits: 8 },
  4: { dtype: 'uint16', bits: 16 },
  5: { dtype: 'int16', bits: 16 },
  6: { dtype: 'int32', bits: 32 },
  7: { dtype: 'int64', bits: 64 },
  8: { dtype: 'string', bits: 0 },
  9: { dtype: 'bool', bits: 8 },
  10: { dtype: 'float16', bits: 16 },
  11: { dtype: 'float64', bits: 64 },
  12: { dtype: 'uint32', bits: 32 },
  13: { dtype: 'uint64', bits: 64 },
  14: { dtype: 'other', bits: 64 }, // complex64
  15: { dtype: 'other', bits: 128 }, // complex128
  16: { dtype: 'bfloat16', bits: 16 },
  17: { dtype: 'other', bits: 8 }, // float8e4m3fn
  18: { dtype: 'other', bits: 8 }, // float8e4m3fnuz
  19: { dtype: 'other', bits: 8 }, // float8e5m2
  20: { dtype: 'other', bits: 8 }, // float8e5m2fnuz
  21: { dtype: 'other', bits: 4 }, // uint4
  22: { dtype: 'other', bits: 4 }, // int4
  23: { dtype: 'other', bits: 4 }, // float4e2m1
  24: { dtype: 'other', bits: 8 }, // float8e8m0
  25: { dtype: 'other', bits: 2 }, // uint2
  26: { dtype: 'other', bits: 2 }, // int2
};

const NUMBER_OF = new Map<string, number>(
  Object.entries(ELEMENT_TYPES).flatMap(([number, { dtype }]) => (dtype === 'other' ? [] : [[dtype, Number(number)]])),
);

/** The meaning of an element type's number, or undefined where ONNX has none. */
export function elementTypeOf(number: number): ElementType | undefined {
  return Object.hasOwn(ELEMENT_TYPES, number) ? ELEMENT_TYPES[number] : undefined;
}

/** ONNX's number of a dtype. */
export function elementNumber(dtype: Dtype): number {
  return NUMBER_OF.get(dtype)!;
}

/** The dtype of an element type, or undefined for element types that Tessera's tensors cannot have. */
export function dtypeOf(number: number): Dtype | undefined {
  const dtype = elementTypeOf(number)?.dtype;
  return dtype === undefined || dtype === 'other' || dtype === 'string' || dtype === 'bfloat16' ? undefined : dtype;
}
