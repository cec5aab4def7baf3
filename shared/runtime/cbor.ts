import { Encoder, setSizeLimits } from 'cbor-x';
import { TesseraError } from '../errors.ts';
import { scanCbor } from '../protocol/cbor-scan.ts';
import { parse, type z } from '../schema.ts';

/**
 * CBOR with its options fixed, imported here and nowhere else.
 *
 * `useRecords: false` and `tagUint8Array: false` make it plain CBOR that any other library reads. What arrives is
 * scanned (protocol/cbor-scan.ts), then decoded, then validated; nothing is built from bytes that fail the scan.
 */

/** Largest body that is decoded, bytes; the wire's reassembly cap lies below it. */
export const MAX_CBOR_BYTES = 256 * 2 ** 20;

/** Deepest nesting and most items of one body; a manifest of 65 536 blobs has about 330 000 items. */
const LIMITS = { depth: 32, items: 500_000 };

/** Larger buffers are released after use instead of being kept for the next message. */
const KEEP_BYTES = 4 * 2 ** 20;

/** cbor-x resets its position after encoding, so that one warm buffer serves every message. */
const RESET_BUFFER_MODE = 1024;

const OPTIONS = { useRecords: false, tagUint8Array: false, variableMapSize: true, mapsAsObjects: true } as const;

setSizeLimits({ maxArraySize: LIMITS.items, maxMapSize: LIMITS.items, maxObjectSize: LIMITS.items });

type FullEncoder = Encoder & { encode(value: unknown, mode: number): Uint8Array };
/** `int64AsNumber` is missing from the types: other senders write times in 64 bits, and a BigInt fits no schema. */
const newCoder = (): FullEncoder => new Encoder({ ...OPTIONS, int64AsNumber: true } as object) as FullEncoder;

let coder = newCoder();

/** Encodes a message into bytes of its own (exact size, shared with nothing), which may be kept or transferred. */
export function encode(value: unknown): Uint8Array {
  const view = coder.encode(value, RESET_BUFFER_MODE);
  const bytes = new Uint8Array(view.byteLength);
  bytes.set(view);
  if (view.buffer.byteLength > KEEP_BYTES) coder = newCoder();
  return bytes;
}

/**
 * Decodes and validates one message; `what` names it in the error. Byte strings of the value alias `bytes` at odd
 * offsets: copy before making a Float32Array of them or transferring them. Throws TesseraError TESSERA_MESSAGE_INVALID
 * for anything that is not exactly one plain CBOR item of this schema.
 */
export function decode<T>(bytes: Uint8Array, schema: z.ZodType<T>, what: string): T {
  const invalid = (why: string) => new TesseraError('TESSERA_MESSAGE_INVALID', `${what}: ${why}`);
  if (bytes.byteLength > MAX_CBOR_BYTES) throw invalid(`${bytes.byteLength} bytes, the limit is ${MAX_CBOR_BYTES}`);
  const fault = scanCbor(bytes, LIMITS);
  if (fault !== undefined) throw invalid(`not a CBOR message of this protocol: it ${fault}`);
  let value: unknown;
  try {
    // A plain view: the decoder sets a property on its source, and a Buffer would give Buffers in the result.
    value = coder.decode(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  } catch (error) {
    throw invalid(`not CBOR: ${error instanceof Error ? error.message : String(error)}`);
  }
  return parse(schema, value, 'TESSERA_MESSAGE_INVALID', what);
}
