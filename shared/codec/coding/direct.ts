import { corrupt } from '../corrupt.ts';
import { type BitReader, BitWriter } from './bit-io.ts';
import { chooseLevels } from './choose-levels.ts';
import { CONTEXTS, type CodeClasses, codeClasses } from './classes.ts';
import { decodeLanes, encodeInContext } from './lanes.ts';
import { LevelTable, putLevels, readLevels } from './levels.ts';
import { PRESET_COUNT, preset } from './presets.ts';
import { scratch } from './scratch.ts';
import { TailWriter } from './tail-writer.ts';
import { type DecodeTables, decodeTables, encodeTables, leastLog, MAX_LOG } from './tans.ts';

/**
 * Codes every code with the table of its context: how large the code before it is. The tables are a preset's, or the
 * tile's own, which are sent as differences from a preset's. Of many codes the first half is one lane and the second
 * half the other; few codes are one lane, since each lane costs a state.
 *
 *     direct = form:5 [preset:5 table{8}] lanes extra*      extra: lowest bits of codes whose class has some
 *
 * The form is OWN_FORM where the stream has its own tables, else that of its preset.
 */

/** Forms of codes (codes.ts) that this file reads: OWN_FORM, and PRESET_FORM + preset. */
export const OWN_FORM = 2;
export const PRESET_FORM = 3;
export const FORM_BITS = 5;

/** Fewest codes that are split into two lanes. */
const TWO_LANES = 1024;
/** Fewest codes for which own tables are worth the time to make them; from FEW on where no preset fits. */
const OWN_TABLES = 8192;
const OWN_TABLES_FEW = 1024;
/** A preset fits if it takes at most this many times the bits of the best possible tables. */
const FITS = 1.1;
/** Approximate bits of own tables. */
const OWN_TABLES_BITS = 250;
/** From this many codes on, only a sample is counted to choose the tables. */
const COUNT_ALL = 1024;
const COUNTED_BLOCK = 64;
/** Prime, so that the sampled blocks do not all lie in the same rows of each channel. */
const COUNTED_STEP = 251;
/** Bits of a preset's number. */
const PRESET_BITS = 5;
/** Bytes reserved in front of the symbols for tables and header. */
const ROOM = 4096;

const countBuffer = scratch((n) => new Int32Array(n));
const presentBuffer = scratch((n) => new Uint16Array(n));
const outputBuffer = scratch((n) => new Uint8Array(n));

/** Each of the eight contexts has a table. */
const USERS = Uint8Array.from({ length: CONTEXTS }, (_, context) => context);

function lanesOf(n: number): readonly [a: number, b: number] {
  return n < TWO_LANES ? [n, 0] : [(n + 1) >> 1, n >> 1];
}

/** Begin of a context's items in the tables, by the code before. */
function rowsOf({ count: symbols, of, context }: CodeClasses): Uint16Array {
  return Uint16Array.from({ length: 256 }, (_, code) => context[of[code]!]! * symbols);
}

/** Rows by bits. */
const ROWS: readonly Uint16Array[] = Array.from({ length: 9 }, (_, bits) => rowsOf(codeClasses(bits)));

/** Counts the items; of many codes only a sample. Returns the share that was counted, at most 1. */
function count(codes: Uint8Array, n: number, row: Uint16Array, of: Uint8Array, counts: Int32Array): number {
  if (n < COUNT_ALL) {
    countBlock(codes, 0, n, row, of, counts);
    return 1;
  }
  let counted = 0;
  for (let start = 0; start < n; start += COUNTED_STEP) {
    const end = Math.min(start + COUNTED_BLOCK, n);
    countBlock(codes, start, end, row, of, counts);
    counted += end - start;
  }
  return counted / n;
}

function countBlock(
  codes: Uint8Array,
  from: number,
  to: number,
  row: Uint16Array,
  of: Uint8Array,
  counts: Int32Array,
): void {
  let start = row[from > 0 ? codes[from - 1]! : 0]!;
  for (let i = from; i < to; i++) {
    const code = codes[i]!;
    counts[start + of[code]!]!++;
    start = row[code]!;
  }
}

/** Size of tables for `n` symbols each, known to both sides: larger ones fit better and take longer to make. */
export function logFor(n: number, symbols: number): number {
  return Math.min(Math.max(29 - Math.clz32(Math.max(8, n)), leastLog(symbols)), MAX_LOG - 1);
}

/** Size of own tables of n codes: large tiles fill some contexts much more than others. */
function ownLog(n: number, symbols: number): number {
  return logFor(n >> 1, symbols);
}

function newTables(symbols: number): LevelTable[] {
  return Array.from({ length: CONTEXTS }, () => new LevelTable(symbols));
}

/** The preset that needs the fewest bits for the counted items, and that number. */
function bestPreset(counts: Int32Array, items: number, bits: number): { index: number; needed: number } {
  const present = presentBuffer(items);
  let kinds = 0;
  for (let item = 0; item < items; item++) if (counts[item]! > 0) present[kinds++] = item;
  let best = { index: 0, needed: Number.POSITIVE_INFINITY };
  for (let index = 0; index < PRESET_COUNT; index++) {
    const { costs } = preset(index, bits);
    let needed = 0;
    for (let k = 0; k < kinds; k++) needed += counts[present[k]!]! * costs[present[k]!]!;
    if (needed < best.needed) best = { index, needed };
  }
  return best;
}

/** Encodes `codes[0..n)`, n > 0; undefined where the result would take about `limit` bytes or more. */
export function encodeDirect(codes: Uint8Array, n: number, bits: number, limit: number): Uint8Array | undefined {
  const classes = codeClasses(bits);
  const { count: symbols, of } = classes;
  const row = ROWS[bits]!;
  const counts = countBuffer(CONTEXTS * symbols).fill(0, 0, CONTEXTS * symbols);
  const share = count(codes, n, row, of, counts);
  const { index, needed } = bestPreset(counts, CONTEXTS * symbols, bits);
  const chosen = preset(index, bits);
  const tries =
    n >= OWN_TABLES ||
    (n >= OWN_TABLES_FEW && needed > FITS * conditionalEntropy(counts, symbols) + OWN_TABLES_BITS * share);
  const own = tries ? ownTables(counts, symbols, chosen.tables) : undefined;
  const isOwn = own !== undefined && own.bits + (own.needed - own.bits) / share < needed / share;
  const extraBits = classes.exact ? 0 : countExtra(counts, classes) / share;
  const estimate = isOwn ? own.bits + (own.needed - own.bits) / share : needed / share;
  if ((estimate + extraBits) / 8 >= limit) return undefined;

  const tables = isOwn ? encodeTables({ log: ownLog(n, symbols), tables: own.tables }, USERS) : chosen.encode;
  const room = ROOM + ((n * tables.log) >> 3);
  const output = outputBuffer(room + (classes.exact ? 0 : n >> 1) + 8);
  const writer = new TailWriter(output, room);
  encodeInContext(writer, codes, ...lanesOf(n), tables, row, of);
  if (isOwn) {
    for (let t = CONTEXTS - 1; t >= 0; t--) putLevels(writer, own.tables[t]!, chosen.tables[t]);
    writer.put(index, PRESET_BITS);
  }
  writer.put(isOwn ? OWN_FORM : PRESET_FORM + index, FORM_BITS);
  const last = writer.finish();
  const end = classes.exact ? (last + 7) >> 3 : putExtra(codes, n, classes, new BitWriter(output, last));
  return output.slice(writer.at, end);
}

/** Bits of the counted items with the best possible tables, without the tables themselves. */
function conditionalEntropy(counts: Int32Array, symbols: number): number {
  let bits = 0;
  for (let row = 0; row < CONTEXTS * symbols; row += symbols) {
    let total = 0;
    for (let s = 0; s < symbols; s++) {
      const times = counts[row + s]!;
      if (times === 0) continue;
      total += times;
      bits -= times * Math.log2(times);
    }
    if (total > 0) bits += total * Math.log2(total);
  }
  return bits;
}

/** Tables for the counted items; `needed`: bits of items and tables together, of which `bits` are the tables'. */
function ownTables(
  counts: Int32Array,
  symbols: number,
  base: readonly LevelTable[],
): { tables: LevelTable[]; needed: number; bits: number } {
  const tables = newTables(symbols);
  let needed = PRESET_BITS;
  let bits = PRESET_BITS;
  tables.forEach((table, t) => {
    const cost = chooseLevels(counts, t * symbols, table, base[t]);
    needed += cost.table + cost.symbols;
    bits += cost.table;
  });
  return { tables, needed, bits };
}

function countExtra(counts: Int32Array, { count: symbols, extra }: CodeClasses): number {
  let bits = 0;
  for (let item = 0; item < CONTEXTS * symbols; item++) bits += counts[item]! * extra[item % symbols]!;
  return bits;
}

function putExtra(codes: Uint8Array, n: number, { of, extra }: CodeClasses, writer: BitWriter): number {
  for (let i = 0; i < n; i++) {
    const code = codes[i]!;
    const width = extra[of[code]!]!;
    if (width > 0) writer.put(code & ((1 << width) - 1), width);
  }
  return writer.finish();
}

/**
 * Decodes out.length codes, at least one, of a stream whose form was read already and which ends at byte `end`. Throws
 * TESSERA_CODEC or RangeError.
 */
export function decodeDirect(reader: BitReader, end: number, bits: number, form: number, out: Uint8Array): void {
  const n = out.length;
  const classes = codeClasses(bits);
  const tables = form === OWN_FORM ? readOwn(reader, n, bits, classes) : preset(form - PRESET_FORM, bits).decode;
  decodeLanes(reader, out, ...lanesOf(n), tables, 0);
  if (!classes.exact) addExtra(reader, classes, out);
  reader.finish(end);
}

function readOwn(reader: BitReader, n: number, bits: number, { count: symbols, context }: CodeClasses): DecodeTables {
  const index = reader.take(PRESET_BITS);
  if (index >= PRESET_COUNT) throw corrupt(`it has no preset ${index}`);
  const base = preset(index, bits).tables;
  const tables = newTables(symbols);
  const next = new Uint8Array(CONTEXTS * symbols);
  tables.forEach((table, t) => {
    readLevels(reader, table, base[t]);
    next.set(context, t * symbols);
  });
  return decodeTables({ log: ownLog(n, symbols), tables }, next);
}

/** Turns classes into codes. */
function addExtra(reader: BitReader, { base, extra }: CodeClasses, out: Uint8Array): void {
  const n = out.length;
  for (let i = 0; i < n; i++) {
    const symbol = out[i]!;
    const width = extra[symbol]!;
    out[i] = base[symbol]! + (width > 0 ? reader.take(width) : 0);
  }
}
