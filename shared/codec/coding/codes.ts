import { corrupt } from '../corrupt.ts';
import { BitReader, READ_AHEAD } from './bit-io.ts';
import { decodeDirect, encodeDirect, FORM_BITS, OWN_FORM, PRESET_FORM } from './direct.ts';
import { packCodes, packedLength, unpackCodes } from './pack.ts';
import { PRESET_COUNT } from './presets.ts';
import { scratch } from './scratch.ts';
import { decodeZeroRuns, encodeZeroRuns, type Sparse, ZERO_RUNS_FORM } from './zero-runs.ts';

/**
 * Codes of 1 to 8 bits in as few bytes as it takes: packed bits, or an entropy coder.
 *
 *   codes    = form:5 body                           bits, least significant first; the last byte is filled with zeros
 *   form 0   nothing:3 packed bits                   (pack.ts)
 *   form 1   zero runs                               (zero-runs.ts)
 *   form 2   codes one by one with own tables        (direct.ts)
 *   form 3+p codes one by one with those of preset p (direct.ts)
 *   form 31  nothing:3                               all codes are 0
 */
const PACKED = 0;
const ZEROS = 31;

/** Above this share of non-zero codes, coding every code is smaller and fast enough. */
export const SPARSE_SHARE = 1 / 6;

/** Sparse tiles of fewer codes are coded code by code: the result is smaller, and small tiles take little time. */
const LEAST_ZERO_RUNS = 4096;

const positionBuffer = scratch((n) => new Uint32Array(n));
const valueBuffer = scratch((n) => new Uint8Array(n));
const codeBuffer = scratch((n) => new Uint8Array(n));
const inputBuffer = scratch((n) => new Uint8Array(n));

/** Codes are scanned in blocks, to stop early where they are not sparse. */
const BLOCK = 512;

/** The non-zero codes, or undefined where there are too many. Valid until the next call. */
function sparseOf(codes: Uint8Array, n: number): Sparse | undefined {
  const most = n * SPARSE_SHARE;
  const positions = positionBuffer(Math.floor(most) + BLOCK + 1);
  let count = 0;
  for (let start = 0; start < n; start += BLOCK) {
    count = nonZero(codes, start, Math.min(start + BLOCK, n), positions, count);
    if (count > most) return undefined;
  }
  const values = valueBuffer(count);
  for (let i = 0; i < count; i++) values[i] = codes[positions[i]!]!;
  return { n, count, positions, values };
}

/** Collects the positions of non-zero codes without a branch, which would be mispredicted too often. */
function nonZero(codes: Uint8Array, start: number, end: number, positions: Uint32Array, from: number): number {
  let count = from;
  for (let i = start; i < end; i++) {
    positions[count] = i;
    count += (codes[i]! + 255) >> 8;
  }
  return count;
}

/** Encodes codes[0..n), each below 2^bits, into new bytes. */
export function encodeCodes(codes: Uint8Array, n: number, bits: number): Uint8Array {
  const sparse = sparseOf(codes, n);
  return sparse === undefined ? encodeDense(codes, n, bits) : encodeSparse(sparse, bits, codes);
}

/** Encodes codes of which many are non-zero. */
export function encodeDense(codes: Uint8Array, n: number, bits: number): Uint8Array {
  const packed = packedLength(n, bits);
  const direct = encodeDirect(codes, n, bits, packed);
  if (direct !== undefined && direct.byteLength <= packed) return direct;
  const bytes = new Uint8Array(1 + packed);
  bytes[0] = PACKED;
  packCodes(codes, n, bits, bytes, 1);
  return bytes;
}

/** Encodes codes of which few are non-zero; `codes` are all of them, where the caller has them. */
export function encodeSparse(sparse: Sparse, bits: number, codes?: Uint8Array): Uint8Array {
  const { n, count } = sparse;
  if (count === 0) return Uint8Array.of(ZEROS);
  // Small tiles need a preset's tables; tables for zero runs would have to be sent.
  return n < LEAST_ZERO_RUNS ? encodeDense(codes ?? allOf(sparse), n, bits) : encodeZeroRuns(sparse, bits);
}

function allOf({ n, count, positions, values }: Sparse): Uint8Array {
  const codes = codeBuffer(n).fill(0, 0, n);
  for (let i = 0; i < count; i++) codes[positions[i]!] = values[i]!;
  return codes;
}

/** Decodes exactly n codes of `bits` bits; throws TESSERA_CODEC for anything that is not their encoding. */
export function decodeCodes(bytes: Uint8Array, n: number, bits: number): Uint8Array {
  const end = bytes.byteLength;
  if (end < 1) throw corrupt('it is empty');
  if (end > 1 + packedLength(n, bits)) throw corrupt('it is longer than its codes would be unencoded');
  const reader = readerOf(bytes);
  const form = reader.take(FORM_BITS);
  try {
    switch (form) {
      case ZEROS:
        reader.finish(end);
        return new Uint8Array(n);
      case PACKED: {
        if (reader.take(3) !== 0) throw corrupt('its header is invalid');
        if (end !== 1 + packedLength(n, bits)) throw corrupt('its length does not match its codes');
        const out = new Uint8Array(n);
        unpackCodes(bytes, 1, bits, out);
        return out;
      }
      case ZERO_RUNS_FORM: {
        const out = new Uint8Array(n);
        decodeZeroRuns(reader, end, bits, out);
        return out;
      }
      default: {
        if (form < OWN_FORM || form >= PRESET_FORM + PRESET_COUNT || n === 0)
          throw corrupt(`its form ${form} is not known`);
        const out = new Uint8Array(n);
        decodeDirect(reader, end, bits, form, out);
        return out;
      }
    }
  } catch (error) {
    // Reading past the end of the buffer, with its few bytes of padding.
    if (error instanceof RangeError) throw corrupt('it ends early');
    throw error;
  }
}

/** A reader of bytes, copied with the padding that the reader needs. */
function readerOf(bytes: Uint8Array): BitReader {
  const end = bytes.byteLength;
  const input = inputBuffer(end + READ_AHEAD);
  input.set(bytes);
  input.fill(0, end, end + READ_AHEAD);
  return new BitReader(new DataView(input.buffer, 0, end + READ_AHEAD), 0);
}
