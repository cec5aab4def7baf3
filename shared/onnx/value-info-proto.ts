import type { TensorSpec } from '../tensor/tensor.ts';
import { dtypeOf, elementNumber } from './element-types.ts';
import type { ValueInfo } from './model.ts';
import { embedded, type Field, fields, integer, MessageWriter, text } from './protobuf.ts';

/**
 * ValueInfoProto (onnx.proto3): name 1, type 2. TypeProto: tensor_type 1 {elem_type 1, shape 2 {dim 1}}.
 * Dimension: dim_value 1, dim_param 2. Doc strings and denotations are dropped.
 */
function readDimension(message: Uint8Array): number | string {
  let size: number | string = '';
  for (const field of fields(message)) {
    if (field.number === 1) size = integer(field);
    else if (field.number === 2) size = text(field);
  }
  return size;
}

function readShape(message: Uint8Array): (number | string)[] {
  const shape: (number | string)[] = [];
  for (const field of fields(message)) if (field.number === 1) shape.push(readDimension(embedded(field)));
  return shape;
}

function only(message: Uint8Array, number: number): Field | undefined {
  let found: Field | undefined;
  for (const field of fields(message)) if (field.number === number) found = field;
  return found;
}

/** Reads a ValueInfoProto. Throws TESSERA_MODEL_INVALID where the bytes are not one. */
export function readValueInfo(message: Uint8Array): ValueInfo {
  const nameField = only(message, 1);
  const name = nameField === undefined ? '' : text(nameField);
  const typeField = only(message, 2);
  const untyped = { name, dtype: 'other', elementType: 0, shape: undefined } as const;
  if (typeField === undefined) return untyped;
  const tensorField = only(embedded(typeField), 1);
  if (tensorField === undefined) return { ...untyped, type: typeField.payload };
  const tensor = embedded(tensorField);
  const elementField = only(tensor, 1);
  const shapeField = only(tensor, 2);
  const elementType = elementField === undefined ? 0 : integer(elementField);
  const shape = shapeField === undefined ? undefined : readShape(embedded(shapeField));
  return { name, dtype: dtypeOf(elementType) ?? 'other', elementType, shape };
}

/** Encodes a ValueInfoProto. */
export function writeValueInfo(value: ValueInfo): MessageWriter {
  const message = new MessageWriter().text(1, value.name);
  if (value.type !== undefined) return message.bytes(2, value.type);
  if (value.elementType === 0 && value.shape === undefined) return message;
  const tensor = new MessageWriter().varint(1, value.elementType);
  if (value.shape !== undefined) {
    const shape = new MessageWriter();
    for (const size of value.shape) {
      const dimension = new MessageWriter();
      if (typeof size === 'number') dimension.varint(1, size);
      else if (size !== '') dimension.text(2, size);
      shape.message(1, dimension);
    }
    tensor.message(2, shape);
  }
  return message.message(2, new MessageWriter().message(1, tensor));
}

/** Name and type of a tensor as a graph declares its inputs and outputs. */
export function valueInfo(name: string, spec: TensorSpec): ValueInfo {
  return { name, dtype: spec.dtype, elementType: elementNumber(spec.dtype), shape: spec.shape };
}
