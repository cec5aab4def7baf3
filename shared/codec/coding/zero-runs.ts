import { corrupt } from '../corrupt.ts';
import { type BitReader, BitWriter } from './bit-io.ts';
import { chooseLevels } from './choose-levels.ts';
import { codeClasses, runBase, runClass, runExtra } from './classes.ts';
import { FORM_BITS, logFor } from './direct.ts';
import { decodeLanes, encodeItems } from './lanes.ts';
import { LevelTable, putLevels, readLevels } from './levels.ts';
import { scratch } from './scratch.ts';
import { TailWriter } from './tail-writer.ts';
import { decodeTables, encodeTables } from './tans.ts';

/**
 * Coding of mostly zero codes: the number of zeros, then a non-zero code, and so on. The time depends on the number of
 * non-zero codes only. Classes of runs are one lane, classes of codes the other.
 *
 *     zero runs = form:5 width:5 count:width table{2} lanes (extraRun extraCode)*
 *
 * `count` codes are not zero. The second table is sent without reference to the first.
 */

const itemBuffer = scratch((n) => new Uint16Array(n));
const countBuffer = scratch((n) => new Int32Array(n));
const outputBuffer = scratch((n) => new Uint8Array(n));
const symbolBuffer = scratch((n) => new Uint8Array(n));
const USERS = Uint8Array.of(0, 1);

/** The form of codes (codes.ts) that this file reads, and the bits of the count's width. */
export const ZERO_RUNS_FORM = 1;
const WIDTH_BITS = 5;

/** The non-zero codes in order, and their positions. */
export interface Sparse {
  readonly n: number;
  readonly count: number;
  readonly positions: Uint32Array;
  readonly values: Uint8Array;
}

/** Number of symbols of each of the two tables, for runs within n codes. */
function symbolsFor(n: number, bits: number): number {
  return Math.max(runClass(n) + 1, codeClasses(bits).count - 1);
}

/** Encodes codes of which at least one is not zero. */
export function encodeZeroRuns({ n, count, positions, values }: Sparse, bits: number): Uint8Array {
  const classes = codeClasses(bits);
  const symbols = symbolsFor(n, bits);
  const items = itemBuffer(2 * count);
  const counts = countBuffer(2 * symbols).fill(0, 0, 2 * symbols);
  let next = 0;
  for (let i = 0; i < count; i++) {
    const position = positions[i]!;
    const run = runClass(position - next);
    const item = symbols + classes.of[values[i]!]! - 1;
    next = position + 1;
    items[i] = run;
    items[count + i] = item;
    counts[run]!++;
    counts[item]!++;
  }
  const tables = [new LevelTable(symbols), new LevelTable(symbols)];
  tables.forEach((table, t) => {
    chooseLevels(counts, t * symbols, table, undefined);
  });
  const log = logFor(count, symbols);
  const room = 1024 + ((2 * count * log) >> 3);
  const output = outputBuffer(room + 4 * count + 8);
  const writer = new TailWriter(output, room);
  encodeItems(writer, items, count, count, encodeTables({ log, tables }, USERS));
  for (const table of tables.toReversed()) putLevels(writer, table, undefined);
  const width = 32 - Math.clz32(count);
  putLong(writer, count, width);
  writer.put(width, WIDTH_BITS);
  writer.put(ZERO_RUNS_FORM, FORM_BITS);
  const extra = new BitWriter(output, writer.finish());
  next = 0;
  for (let i = 0; i < count; i++) {
    const position = positions[i]!;
    const runWidth = runExtra(items[i]!);
    if (runWidth > 0) extra.putLong((position - next) & ((1 << runWidth) - 1), runWidth);
    next = position + 1;
    const value = values[i]!;
    const width = classes.extra[classes.of[value]!]!;
    if (width > 0) extra.put(value & ((1 << width) - 1), width);
  }
  return output.slice(writer.at, extra.finish());
}

function putLong(writer: TailWriter, value: number, width: number): void {
  if (width > 16) writer.put(value >>> 16, width - 16);
  writer.put(value & 0xffff, Math.min(width, 16));
}

/**
 * Decodes into `out`, which is all zeros, a stream whose form was read already and which ends at byte `end`. Throws
 * TESSERA_CODEC or RangeError.
 */
export function decodeZeroRuns(reader: BitReader, end: number, bits: number, out: Uint8Array): void {
  const n = out.length;
  const width = reader.take(WIDTH_BITS);
  const count = reader.takeLong(width);
  if (count < 1 || count > n) throw corrupt(`it has ${count} codes that are not zero`);
  const classes = codeClasses(bits);
  const symbols = symbolsFor(n, bits);
  const log = logFor(count, symbols);
  const tables = [new LevelTable(symbols), new LevelTable(symbols)];
  for (const table of tables) readLevels(reader, table, undefined);
  const next = new Uint8Array(2 * symbols).fill(1, symbols);
  const lanes = symbolBuffer(2 * count);
  decodeLanes(reader, lanes, count, count, decodeTables({ log, tables }, next), 1);
  let position = 0;
  for (let i = 0; i < count; i++) {
    const run = lanes[i]!;
    const symbol = lanes[count + i]! + 1;
    if (symbol >= classes.count) throw corrupt('a code is out of range');
    position += runBase(run);
    const runWidth = runExtra(run);
    if (runWidth > 0) position += reader.takeLong(runWidth);
    const width = classes.extra[symbol]!;
    if (position >= n) throw corrupt('its zeros run past the end');
    out[position++] = classes.base[symbol]! + (width > 0 ? reader.take(width) : 0);
  }
  reader.finish(end);
}
