import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { TesseraError } from '../errors.ts';

/**
 * The wire format of Protocol Buffers, as far as ONNX needs it: a message is a sequence of fields, each a tag (number
 * << 3 | wire type) and a value. This file does not know what the fields mean.
 *
 *   wire type 0: varint   1: eight bytes   2: length, bytes   5: four bytes
 */

/** One field of an encoded message. All bytes are views of the message. */
export interface Field {
  readonly number: number;
  readonly wire: 0 | 1 | 2 | 5;
  /** Value of a varint, as a signed 64-bit number; 0n for other wire types. */
  readonly varint: bigint;
  /** Value of wire types 1, 2 and 5; empty for a varint. */
  readonly payload: Uint8Array;
  /** The whole field with its tag, so that an uninterpreted field can be written back. */
  readonly encoded: Uint8Array;
}

const NONE = new Uint8Array(0);
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function damaged(what: string, cause?: unknown): TesseraError {
  return new TesseraError('TESSERA_MODEL_INVALID', `The file is not a readable ONNX model: ${what}.`, {
    hint: 'The file may be cut short or not be ONNX at all: fetch or export it again.',
    cause,
  });
}

/** Iterates over the fields of a message; throws TESSERA_MODEL_INVALID where the bytes are no message. */
export function* fields(message: Uint8Array): Generator<Field, void, undefined> {
  const reader = new BinaryReader(message);
  while (reader.pos < reader.len) {
    const start = reader.pos;
    let field: Field;
    try {
      const [number, type] = reader.tag();
      let varint = 0n;
      let payload: Uint8Array = NONE;
      let wire: Field['wire'];
      if (type === WireType.Varint) {
        wire = 0;
        varint = BigInt(reader.int64());
      } else if (type === WireType.LengthDelimited) {
        wire = 2;
        payload = reader.bytes();
      } else if (type === WireType.Bit32 || type === WireType.Bit64) {
        wire = type === WireType.Bit32 ? 5 : 1;
        payload = reader.skip(type);
      } else {
        throw new Error(`wire type ${type} at byte ${start}`);
      }
      field = { number, wire, varint, payload, encoded: message.subarray(start, reader.pos) };
    } catch (error) {
      throw damaged(error instanceof Error ? error.message : String(error), error);
    }
    yield field;
  }
}

/** Text of a length-delimited field; throws TESSERA_MODEL_INVALID where it is not UTF-8. */
export function text(field: Field): string {
  const value = optionalText(field);
  if (value === undefined) throw damaged(`field ${field.number} should be UTF-8 text and is not`);
  return value;
}

/** Text of a length-delimited field, or undefined where it is not UTF-8. */
export function optionalText(field: Field): string | undefined {
  if (field.wire !== 2) return undefined;
  try {
    return utf8.decode(field.payload);
  } catch {
    return undefined;
  }
}

/** Bytes of an embedded message; throws TESSERA_MODEL_INVALID where the field is of another wire type. */
export function embedded(field: Field): Uint8Array {
  if (field.wire !== 2) throw damaged(`field ${field.number} should be a message and is not`);
  return field.payload;
}

/** Value of a varint field as a safe integer; throws TESSERA_MODEL_INVALID where it is not one. */
export function integer(field: Field): number {
  const value = Number(field.varint);
  if (field.wire !== 0 || !Number.isSafeInteger(value)) throw damaged(`field ${field.number} should be a number`);
  return value;
}

/** Values of a repeated varint field, packed or not. */
export function varints(field: Field): bigint[] {
  if (field.wire === 0) return [field.varint];
  const values: bigint[] = [];
  const reader = new BinaryReader(embedded(field));
  try {
    while (reader.pos < reader.len) values.push(BigInt(reader.int64()));
  } catch (error) {
    throw damaged(`field ${field.number} is cut short`, error);
  }
  return values;
}

/** Bytes of a repeated fixed-width field (float: 4, double: 8), packed or not, little endian. */
export function fixed(field: Field, width: 4 | 8): Uint8Array {
  if (field.wire === 0 || field.payload.length % width !== 0) {
    throw damaged(`field ${field.number} should hold ${width}-byte numbers`);
  }
  return field.payload;
}

/** Chunks of at least this many bytes are kept by reference until `finish`. */
const BY_REFERENCE = 4096;

/**
 * Encodes one message. Embedded messages and large byte strings are kept by reference and copied once, by `finish`, so
 * that writing a model needs its size in memory only once.
 */
export class MessageWriter {
  readonly #chunks: Uint8Array[] = [];
  #chunkBytes = 0;
  #small = new BinaryWriter();
  #smallBytes = false;

  /** Writes a varint field. */
  varint(field: number, value: number | bigint): this {
    this.#small.tag(field, WireType.Varint).int64(typeof value === 'bigint' ? value : BigInt(value));
    this.#smallBytes = true;
    return this;
  }

  /** Writes a float field of 32 bits. */
  float(field: number, value: number): this {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setFloat32(0, value, true);
    this.#small.tag(field, WireType.Bit32).raw(bytes);
    this.#smallBytes = true;
    return this;
  }

  /** Writes a text field. */
  text(field: number, value: string): this {
    this.#small.tag(field, WireType.LengthDelimited).string(value);
    this.#smallBytes = true;
    return this;
  }

  /** Writes a byte string; the caller must not change it until `finish`. */
  bytes(field: number, value: Uint8Array): this {
    this.#small.tag(field, WireType.LengthDelimited).uint32(value.length);
    this.#smallBytes = true;
    return this.encoded(value);
  }

  /** Writes an embedded message, which must not be written to afterwards. */
  message(field: number, value: MessageWriter): this {
    value.#flush();
    this.#small.tag(field, WireType.LengthDelimited).uint32(value.#chunkBytes);
    this.#smallBytes = true;
    for (const chunk of value.#chunks) this.encoded(chunk);
    return this;
  }

  /** Writes repeated varints as one packed field; nothing for an empty list. */
  packedVarints(field: number, values: readonly (number | bigint)[]): this {
    if (values.length === 0) return this;
    const packed = new BinaryWriter();
    for (const value of values) packed.int64(typeof value === 'bigint' ? value : BigInt(value));
    return this.bytes(field, packed.finish());
  }

  /** Appends fields that are encoded already. */
  encoded(value: Uint8Array): this {
    if (value.length >= BY_REFERENCE) {
      this.#flush();
      this.#chunks.push(value);
      this.#chunkBytes += value.length;
    } else if (value.length > 0) {
      this.#small.raw(value);
      this.#smallBytes = true;
    }
    return this;
  }

  #flush(): void {
    if (!this.#smallBytes) return;
    const chunk = this.#small.finish();
    this.#small = new BinaryWriter();
    this.#smallBytes = false;
    this.#chunks.push(chunk);
    this.#chunkBytes += chunk.length;
  }

  /** The encoded message; throws TESSERA_MODEL_UNSUPPORTED beyond the 2 GB that Protocol Buffers allow. */
  finish(): Uint8Array {
    this.#flush();
    if (this.#chunkBytes > 0x7fffffff) {
      throw new TesseraError(
        'TESSERA_MODEL_UNSUPPORTED',
        'The model is larger than 2 GB, the most an ONNX file holds.',
        {
          hint: 'Keep its weights in an external data file.',
        },
      );
    }
    const whole = new Uint8Array(this.#chunkBytes);
    let offset = 0;
    for (const chunk of this.#chunks) {
      whole.set(chunk, offset);
      offset += chunk.length;
    }
    return whole;
  }
}
