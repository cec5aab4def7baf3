import { corrupt } from '../corrupt.ts';
import { type BitReader, BitWriter } from './bit-io.ts';
import { codeClasses, runBase, runClass, runExtra } from './classes.ts';
import { logFor } from './direct.ts';
import { decodeLanes, encodeItems } from './lanes.ts';
import { chooseLevels, LevelTable, putLevels, readLevels } from './levels.ts';
import { scratch } from './scratch.ts';
import { TailWriter } from './tail-writer.ts';
import { decodeTables, encodeTables } from './tans.ts';

/**
 * Codes of which most are zero: how many zeros, then a code that is none, and so on; the time it takes goes with the
 * codes that are not zero. Classes of runs are one lane, classes of codes the other.
 *
 *   stream = table{2} lanes (extraRun extraCode)*          the second table does not expect what the first is
 */

const itemBuffer = scratch((n) => new Uint16Array(n));
const countBuffer = scratch((n) => new Int32Array(n));
const outputBuffer = scratch((n) => new Uint8Array(n));
const symbolBuffer = scratch((n) => new Uint8Array(n));
const USERS = Uint8Array.of(0, 1);

/** Codes that are not zero, in order, and where they are. */
export interface Sparse {
  readonly n: number;
  readonly count: number;
  readonly positions: Uint32Array;
  readonly values: Uint8Array;
}

/** Symbols that each of the two tables has for runs within n codes. */
function symbolsFor(n: number, bits: number): number {
  return Math.max(runClass(n) + 1, codeClasses(bits).count - 1);
}

/** Encodes with five bytes in front for a header; count > 0. `padding`: bits in front of the stream. */
export function encodeZeroRuns(
  { n, count, positions, values }: Sparse,
  bits: number,
): { bytes: Uint8Array; padding: number } {
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
  const padding = writer.finish();
  const extra = new BitWriter(output, room);
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
  return { bytes: output.slice(writer.at - 5, extra.finish()), padding };
}

/** Decodes `count` codes that are not zero into `out`, which is all zeros; the stream ends at byte `end`. Throws TESSERA_CODEC or RangeError. */
export function decodeZeroRuns(
  reader: BitReader,
  end: number,
  n: number,
  count: number,
  bits: number,
  out: Uint8Array,
): void {
  const classes = codeClasses(bits);
  const symbols = symbolsFor(n, bits);
  const log = logFor(count, symbols);
  const tables = [new LevelTable(symbols), new LevelTable(symbols)];
  for (const table of tables) readLevels(reader, table, undefined);
  const next = new Uint8Array(2 * symbols).fill(1, symbols);
  const lanes = symbolBuffer(2 * count);
  decodeLanes(reader, lanes, count, count, decodeTables({ log, tables }, next), 1);
  if ((reader.bit & 7) !== 0) throw corrupt('it does not end where it should');
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
