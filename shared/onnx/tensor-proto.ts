import { TesseraError } from '../errors.ts';
import { elementTypeOf } from './element-types.ts';
import type { Initializer } from './model.ts';
import { embedded, type Field, fields, fixed, integer, MessageWriter, text, varints } from './protobuf.ts';

/**
 * TensorProto (onnx.proto3): dims 1, data_type 2, segment 3, float_data 4, int32_data 5, string_data 6, int64_data 7,
 * name 8, raw_data 9, double_data 10, uint64_data 11, external_data 13 {key 1, value 2}, data_location 14. Typed fields
 * become the bytes that raw_data would hold. The doc string (12), metadata (16) and the checksum of external data are
 * dropped: none of them changes the values.
 */
const KEY_VALUE = { key: 1, value: 2 } as const;

function invalid(name: string, what: string): TesseraError {
  return new TesseraError('TESSERA_MODEL_INVALID', `Constant tensor "${name}" ${what}.`, {
    hint: 'The file is damaged or was written by a faulty exporter: export it again.',
  });
}

/** Joins byte arrays; a single one is returned without a copy. */
function joined(pieces: readonly Uint8Array[]): Uint8Array {
  if (pieces.length === 1) return pieces[0]!;
  const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let offset = 0;
  for (const piece of pieces) {
    whole.set(piece, offset);
    offset += piece.length;
  }
  return whole;
}

/** The low `width` bytes of each number, little endian. */
function narrowed(values: readonly bigint[], width: 1 | 2 | 4 | 8): Uint8Array {
  const bytes = new Uint8Array(values.length * width);
  const view = new DataView(bytes.buffer);
  values.forEach((value, i) => {
    if (width === 8) view.setBigUint64(i * 8, BigInt.asUintN(64, value), true);
    else if (width === 4) view.setUint32(i * 4, Number(BigInt.asUintN(32, value)), true);
    else if (width === 2) view.setUint16(i * 2, Number(BigInt.asUintN(16, value)), true);
    else bytes[i] = Number(BigInt.asUintN(8, value));
  });
  return bytes;
}

/**
 * Checks the location of external data. Absolute paths, `..` and the in-memory markers of runtimes would let a model
 * file read other files.
 */
function externalData(name: string, entries: ReadonlyMap<string, string>, computed: number | undefined) {
  const location = entries.get('location') ?? '';
  const offset = Number(entries.get('offset') ?? '0');
  const length = Number(entries.get('length') ?? computed ?? Number.NaN);
  const unsafe =
    location === '' ||
    /^[/\\]|^[A-Za-z]:|[*\0]/.test(location) ||
    location.split(/[/\\]/).some((segment) => segment === '..');
  if (unsafe) throw invalid(name, `lies in "${location}", which is not a file beside the model`);
  if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(length) || offset < 0 || length < 0) {
    throw invalid(name, 'has an external offset or length that is not a size');
  }
  if (!Number.isSafeInteger(offset + length) || (computed !== undefined && length !== computed)) {
    throw invalid(name, `has ${length} bytes of external data where its shape needs ${computed}`);
  }
  return { kind: 'external', location, offset, length } as const;
}

function keyValue(message: Uint8Array): [string, string] {
  let key = '';
  let value = '';
  for (const field of fields(message)) {
    if (field.number === KEY_VALUE.key) key = text(field);
    else if (field.number === KEY_VALUE.value) value = text(field);
  }
  return [key, value];
}

/** Bytes that a shape needs, or undefined for strings. Throws where a dimension is negative or the size overflows. */
function neededBytes(name: string, dims: readonly number[], bits: number): number | undefined {
  let count = 1;
  for (const size of dims) {
    if (size < 0) throw invalid(name, `has a negative dimension: [${dims}]`);
    count *= size;
    if (!Number.isSafeInteger(count)) throw invalid(name, `has absurd dimensions: [${dims}]`);
  }
  return bits === 0 ? undefined : Math.ceil((count * bits) / 8);
}

/** Reads a TensorProto; inline bytes are views of the message where it holds raw data. Throws TESSERA_MODEL_INVALID. */
export function readTensor(message: Uint8Array): Initializer {
  const dims: number[] = [];
  const floats: Uint8Array[] = [];
  const doubles: Uint8Array[] = [];
  const words: Field[] = [];
  const longs: Field[] = [];
  const strings: Uint8Array[] = [];
  const external = new Map<string, string>();
  let raw: Uint8Array | undefined;
  let name = '';
  let elementType = 0;
  let isExternal = false;
  for (const field of fields(message)) {
    if (field.number === 1) for (const size of varints(field)) dims.push(Number(size));
    else if (field.number === 2) elementType = integer(field);
    else if (field.number === 3) throw invalid(name, 'is stored in segments, which Tessera does not read');
    else if (field.number === 4) floats.push(fixed(field, 4));
    else if (field.number === 5) words.push(field);
    else if (field.number === 6) strings.push(field.encoded);
    else if (field.number === 7 || field.number === 11) longs.push(field);
    else if (field.number === 8) name = text(field);
    else if (field.number === 9) raw = embedded(field);
    else if (field.number === 10) doubles.push(fixed(field, 8));
    else if (field.number === 13) external.set(...keyValue(embedded(field)));
    else if (field.number === 14) isExternal = field.varint === 1n;
  }
  const type = elementTypeOf(elementType);
  if (type === undefined) throw invalid(name, `has element type ${elementType}, which ONNX does not define`);
  if (dims.length > 64) throw invalid(name, `has ${dims.length} dimensions`);
  const needed = neededBytes(name, dims, type.bits);
  const header = { name, dtype: type.dtype, elementType, dims };
  if (isExternal) return { ...header, data: externalData(name, external, needed) };

  let bytes: Uint8Array;
  if (type.dtype === 'string') bytes = joined(strings);
  else if (raw !== undefined) bytes = raw;
  else if (floats.length > 0) bytes = joined(floats);
  else if (doubles.length > 0) bytes = joined(doubles);
  else if (longs.length > 0) bytes = narrowed(longs.flatMap(varints), elementType === 12 ? 4 : 8);
  else if (words.length > 0) bytes = narrowed(words.flatMap(varints), type.bits <= 8 ? 1 : type.bits === 16 ? 2 : 4);
  else bytes = new Uint8Array(0);
  if (type.dtype === 'string' ? strings.length !== countOf(dims) : bytes.length !== needed) {
    throw invalid(name, `has ${bytes.length} bytes of data where its shape [${dims}] needs ${needed ?? 'other text'}`);
  }
  return { ...header, data: { kind: 'inline', bytes } };
}

function countOf(dims: readonly number[]): number {
  return dims.reduce((product, size) => product * size, 1);
}

/** Encodes a TensorProto; the initializer's bytes are taken by reference. */
export function writeTensor(tensor: Initializer): MessageWriter {
  const message = new MessageWriter().packedVarints(1, tensor.dims).varint(2, tensor.elementType);
  if (tensor.name !== '') message.text(8, tensor.name);
  if (tensor.data.kind === 'inline') {
    return tensor.dtype === 'string' ? message.encoded(tensor.data.bytes) : message.bytes(9, tensor.data.bytes);
  }
  const { location, offset, length } = tensor.data;
  for (const [key, value] of [
    ['location', location],
    ['offset', String(offset)],
    ['length', String(length)],
  ] as const) {
    message.message(13, new MessageWriter().text(KEY_VALUE.key, key).text(KEY_VALUE.value, value));
  }
  return message.varint(14, 1);
}
