import { corrupt } from '../corrupt.ts';
import { BitReader, READ_AHEAD } from './bit-io.ts';
import { type Direct, decodeDirect, encodeDirect } from './direct.ts';
import { packCodes, packedLength, unpackCodes } from './pack.ts';
import { PRESET_COUNT } from './presets.ts';
import { bestWidth, putPairs, readPairs } from './run-length.ts';
import { scratch } from './scratch.ts';
import { decodeZeroRuns, encodeZeroRuns, type Sparse } from './zero-runs.ts';

/**
 * Codes of 1 to 8 bits in as few bytes as it takes: packed bits, ADCNN's run-length pairs, or an entropy coder.
 *
 *   codes    = header body
 *   header   = form:5 detail:3                 one byte, form in the upper bits
 *   form 0   packed bits (pack.ts)             detail 0
 *   form 1   pairs (run-length.ts)             detail: width of a field of zeros - 1
 *   form 2   count:varint [stream]             zero runs (zero-runs.ts); detail: bits of padding in front of the stream
 *   form 3   stream                            direct with own tables (direct.ts); detail: as above
 *   form 4+p stream                            direct with the tables of preset p; detail: as above
 *   varint   = 7 bits a byte, lowest first, the eighth says that more follow
 */
const PACKED = 0;
const PAIRS = 1;
const ZERO_RUNS = 2;
const OWN = 3;
const PRESET = 4;

/** Above this share of codes that are not zero, coding them one by one is smaller, and fast enough. */
export const SPARSE_SHARE = 1 / 6;

/** Sparse tiles of fewer codes are coded one by one: that is smaller, and takes little time as they are small. */
const LEAST_ZERO_RUNS = 4096;

/** Pairs are tried up to so many codes that are not zero: with more, tables cost less than fixed fields. */
const MAX_PAIRS = 96;

const positionBuffer = scratch((n) => new Uint32Array(n));
const valueBuffer = scratch((n) => new Uint8Array(n));
const codeBuffer = scratch((n) => new Uint8Array(n));
const inputBuffer = scratch((n) => new Uint8Array(n));

/** Codes are looked at in blocks, to stop early where they are not sparse. */
const BLOCK = 512;

/** The codes that are not zero, or undefined where they are too many. Valid until the next call. */
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

/** Writes every position and keeps those of codes that are not zero: a branch would be mispredicted too often. */
function nonZero(codes: Uint8Array, start: number, end: number, positions: Uint32Array, from: number): number {
  let count = from;
  for (let i = start; i < end; i++) {
    positions[count] = i;
    count += (codes[i]! + 255) >> 8;
  }
  return count;
}

/** Encodes codes[0..n), each below 2^bits, into bytes of their own. */
export function encodeCodes(codes: Uint8Array, n: number, bits: number): Uint8Array {
  const sparse = sparseOf(codes, n);
  return sparse === undefined ? encodeDense(codes, n, bits) : encodeSparse(sparse, bits, codes);
}

/** Encodes codes of which many are not zero. */
export function encodeDense(codes: Uint8Array, n: number, bits: number): Uint8Array {
  const packed = packedLength(n, bits);
  const direct = encodeDirect(codes, n, bits, packed);
  if (direct !== undefined && direct.bytes.byteLength <= packed) return withHeader(direct);
  const bytes = new Uint8Array(1 + packed);
  bytes[0] = PACKED << 3;
  packCodes(codes, n, bits, bytes, 1);
  return bytes;
}

function withHeader({ bytes, padding, preset }: Direct): Uint8Array {
  bytes[0] = ((preset === undefined ? OWN : PRESET + preset) << 3) | padding;
  return bytes;
}

/** Encodes codes of which few are not zero; `codes`: all of them, where they are at hand. */
export function encodeSparse(sparse: Sparse, bits: number, codes?: Uint8Array): Uint8Array {
  const { n, count } = sparse;
  if (n === 0) return Uint8Array.of(PACKED << 3);
  if (count === 0) return Uint8Array.of(ZERO_RUNS << 3, 0);
  const bytes = n < LEAST_ZERO_RUNS ? directOf(sparse, bits, codes) : zeroRunsOf(sparse, bits);
  return (count <= MAX_PAIRS ? pairsOf(sparse, bits, bytes.byteLength) : undefined) ?? bytes;
}

/** A small tile code by code: that has tables at hand, while tables for zero runs would have to be sent. */
function directOf(sparse: Sparse, bits: number, codes: Uint8Array = allOf(sparse)): Uint8Array {
  return encodeDense(codes, sparse.n, bits);
}

function allOf({ n, count, positions, values }: Sparse): Uint8Array {
  const codes = codeBuffer(n).fill(0, 0, n);
  for (let i = 0; i < count; i++) codes[positions[i]!] = values[i]!;
  return codes;
}

function zeroRunsOf(sparse: Sparse, bits: number): Uint8Array {
  const { bytes, padding } = encodeZeroRuns(sparse, bits);
  // Five bytes of room for the header are in front; the count takes as many as it needs.
  let length = 1;
  for (let rest = sparse.count >>> 7; rest > 0; rest >>>= 7) length++;
  const start = 5 - 1 - length;
  bytes[start] = (ZERO_RUNS << 3) | padding;
  let rest = sparse.count;
  for (let i = 1; i <= length; i++, rest >>>= 7) bytes[start + i] = (rest & 127) | (i < length ? 128 : 0);
  return start === 0 ? bytes : bytes.slice(start);
}

/** The codes as pairs, if those are smaller than `limit` bytes. */
function pairsOf({ n, count, positions, values }: Sparse, bits: number, limit: number): Uint8Array | undefined {
  const leading = positions[0]!;
  const pairs: number[] = leading > 0 ? [0, leading - 1] : [];
  for (let i = 0; i < count; i++) pairs.push(values[i]!, (i + 1 < count ? positions[i + 1]! : n) - positions[i]! - 1);
  const { width, bits: pairBits } = bestWidth(pairs, bits);
  const length = 1 + Math.ceil(pairBits / 8);
  if (length >= limit) return undefined;
  const bytes = new Uint8Array(length);
  bytes[0] = (PAIRS << 3) | (width - 1);
  putPairs(pairs, bits, width, bytes, 1);
  return bytes;
}

/** Decodes exactly n codes of `bits` bits; throws TESSERA_CODEC for anything that is not their encoding. */
export function decodeCodes(bytes: Uint8Array, n: number, bits: number): Uint8Array {
  if (bytes.byteLength < 1) throw corrupt('it is empty');
  if (bytes.byteLength > 1 + packedLength(n, bits)) throw corrupt('it is longer than its codes without any coding');
  const form = bytes[0]! >> 3;
  const detail = bytes[0]! & 7;
  try {
    if (form === PACKED && detail === 0) {
      if (bytes.byteLength !== 1 + packedLength(n, bits)) throw corrupt('its length is not that of its codes');
      const out = new Uint8Array(n);
      unpackCodes(bytes, 1, bits, out);
      return out;
    }
    if (form === ZERO_RUNS) return readZeroRuns(bytes, detail, n, bits);
    const { reader, end } = readerOf(bytes, 1, detail);
    if (form === PAIRS) {
      reader.bit = 0;
      const out = new Uint8Array(n);
      readPairs(reader, end, bits, detail + 1, out);
      return out;
    }
    if (form < OWN || form >= PRESET + PRESET_COUNT || n === 0) throw corrupt(`its form ${form} is not known`);
    const out = new Uint8Array(n);
    decodeDirect(reader, end, bits, form === OWN ? undefined : form - PRESET, out);
    return out;
  } catch (error) {
    // Reading past the end of the buffer, with its few bytes of padding.
    if (error instanceof RangeError) throw corrupt('it ends early');
    throw error;
  }
}

function readZeroRuns(bytes: Uint8Array, padding: number, n: number, bits: number): Uint8Array {
  let count = 0;
  let at = 1;
  for (let shift = 0; ; shift += 7) {
    const byte = bytes[at++];
    if (byte === undefined || shift > 28) throw corrupt('its count has no end');
    count += (byte & 127) * 2 ** shift;
    if (byte < 128) break;
  }
  if (count > n) throw corrupt('it has more codes than the tensor');
  if (count === 0) {
    if (at !== bytes.byteLength || padding !== 0) throw corrupt('something follows its end');
    return new Uint8Array(n);
  }
  const { reader, end } = readerOf(bytes, at, padding);
  const out = new Uint8Array(n);
  decodeZeroRuns(reader, end, n, count, bits, out);
  return out;
}

/** A reader of bytes[from..]; the copy has the bytes behind it that the reader may look at. */
function readerOf(bytes: Uint8Array, from: number, bit: number): { reader: BitReader; end: number } {
  const end = bytes.byteLength - from;
  const input = inputBuffer(end + READ_AHEAD);
  input.set(from === 0 ? bytes : bytes.subarray(from));
  input.fill(0, end, end + READ_AHEAD);
  return { reader: new BitReader(new DataView(input.buffer, 0, end + READ_AHEAD), bit), end };
}
