import type { Attribute } from './model.ts';
import { embedded, type Field, fields, fixed, MessageWriter, optionalText, text, varints } from './protobuf.ts';
import { readTensor, writeTensor } from './tensor-proto.ts';

/**
 * AttributeProto (onnx.proto3): name 1, f 2, i 3, s 4, t 5, g 6, floats 7, ints 8, strings 9, graphs 11, doc_string 13,
 * type 20, ref_attr_name 21. Attributes of other kinds than `Attribute` names stay encoded. The doc string of a decoded
 * attribute is dropped.
 */
const KINDS: Readonly<Record<string, Attribute['kind']>> = {
  1: 'float',
  2: 'int',
  3: 'string',
  4: 'tensor',
  6: 'floats',
  7: 'ints',
  8: 'strings',
};
/** Kind by the field that carries the value. Files of IR version 1 have no `type`. */
const KIND_OF_FIELD: Readonly<Record<number, Attribute['kind']>> = {
  2: 'float',
  3: 'int',
  4: 'string',
  5: 'tensor',
  7: 'floats',
  8: 'ints',
  9: 'strings',
};
const INT64_MAX = 2n ** 63n - 1n;

/**
 * The integer as a JavaScript number, or undefined where it is not exact. The greatest int64 is kept: it means "to the
 * end".
 */
function exact(value: bigint): number | undefined {
  const number = Number(value);
  return value === INT64_MAX || BigInt(number) === value ? number : undefined;
}

function allExact(values: readonly bigint[]): number[] | undefined {
  const numbers = values.map(exact);
  return numbers.every((number) => number !== undefined) ? numbers : undefined;
}

function floatsOf(bytes: Uint8Array): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: bytes.length / 4 }, (_, i) => view.getFloat32(i * 4, true));
}

function attributeOf(kind: Attribute['kind'], values: readonly Field[]): Attribute | undefined {
  if (kind === 'ints') {
    const value = allExact(values.flatMap(varints));
    return value && { kind, value };
  }
  if (kind === 'floats') return { kind, value: values.flatMap((field) => floatsOf(fixed(field, 4))) };
  if (kind === 'strings') {
    const value = values.map(optionalText);
    return value.every((item) => item !== undefined) ? { kind, value } : undefined;
  }
  const last = values.at(-1);
  if (kind === 'int') {
    const value = exact(last?.varint ?? 0n);
    return value === undefined ? undefined : { kind, value };
  }
  if (kind === 'float') return { kind, value: last === undefined ? 0 : (floatsOf(fixed(last, 4))[0] ?? 0) };
  if (kind === 'string') {
    const value = last === undefined ? '' : optionalText(last);
    return value === undefined ? undefined : { kind, value };
  }
  return kind === 'tensor' && last !== undefined ? { kind, value: readTensor(embedded(last)) } : undefined;
}

/** Reads an AttributeProto. Throws TESSERA_MODEL_INVALID where the bytes are not one. */
export function readAttribute(bytes: Uint8Array): { name: string; attribute: Attribute } {
  let name = '';
  let type: string | undefined;
  let foreign = false;
  const values = new Map<Attribute['kind'], Field[]>();
  for (const field of fields(bytes)) {
    const kind = KIND_OF_FIELD[field.number];
    if (field.number === 1) name = text(field);
    else if (field.number === 20) type = field.varint.toString();
    else if (kind !== undefined) {
      const list = values.get(kind);
      if (list === undefined) values.set(kind, [field]);
      else list.push(field);
    } else if (field.number !== 13) foreign = true;
  }
  const kind = type === undefined || type === '0' ? [...values.keys()][0] : KINDS[type];
  const attribute = foreign || kind === undefined ? undefined : attributeOf(kind, values.get(kind) ?? []);
  return { name, attribute: attribute ?? { kind: 'other', bytes } };
}

/** The inverse of `exact`: a number from 2^63 on was the greatest int64. */
function int64(value: number): bigint {
  return value >= 2 ** 63 ? INT64_MAX : BigInt(value);
}

/** Encodes an AttributeProto with this name. */
export function writeAttribute(name: string, attribute: Attribute): MessageWriter {
  if (attribute.kind === 'other') return new MessageWriter().encoded(attribute.bytes);
  const message = new MessageWriter().text(1, name);
  switch (attribute.kind) {
    case 'float':
      return message.float(2, attribute.value).varint(20, 1);
    case 'int':
      return message.varint(3, int64(attribute.value)).varint(20, 2);
    case 'string':
      return message.text(4, attribute.value).varint(20, 3);
    case 'tensor':
      return message.message(5, writeTensor(attribute.value)).varint(20, 4);
    case 'floats':
      for (const value of attribute.value) message.float(7, value);
      return message.varint(20, 6);
    case 'ints':
      return message.packedVarints(8, attribute.value.map(int64)).varint(20, 7);
    case 'strings':
      for (const value of attribute.value) message.text(9, value);
      return message.varint(20, 8);
  }
}
