import { corrupt } from '../corrupt.ts';
import type { BitReader } from './bit-io.ts';
import type { TailWriter } from './tail-writer.ts';

/**
 * How tables of symbol frequencies are encoded: as levels, symbol s having a share of about 2^(-level/2). Half a bit is fine
 * enough (0.0072 bits a symbol lost on average). What is written is how a level differs from what the table before and
 * a slope let expect; as feature maps have smooth histograms, most symbols take one bit.
 *
 *   table    = (1 | 0 used:width(symbols)) [slope + 8:4] step{used}   used: one more than the last symbol that occurs;
 *                                                        1: all symbols
 *   step     = 0                                         the level is `expected` plus the same as for the symbol before
 *            | 1 0 sign | 1 1 0 sign                     1 or 2 away; sign 1: more
 *            | 1 1 1 0                                   the symbol does not occur
 *            | 1 1 1 1 1{m} 0 sign                       3 + m away
 *   expected = before[s] + (s * slope >> 2)              before: of the table before; of the first: 0
 *
 * The slope is absent where `used` is at most 2. Before the first symbol of the first table the level is FIRST_LEVEL.
 */
export const ABSENT = 255;

/** The least share that levels express is 2^-12; smaller ones are rounded up to it. */
export const MAX_LEVEL = 24;
/** The level before the first symbol of the first table. */
export const FIRST_LEVEL = 4;
/** Bounds of the slope. */
export const LEAST_SLOPE = -8;
export const MOST_SLOPE = 7;

/** Weight of each level: 2^(15 - level/2). */
export const WEIGHTS = Uint16Array.from({ length: MAX_LEVEL + 1 }, (_, level) => Math.round(2 ** (15 - level / 2)));

/** The level whose weight is nearest, halfway between two being the rarer one. */
export function levelOfWeight(weight: number): number {
  let level = 0;
  while (level < MAX_LEVEL && 2 * weight <= WEIGHTS[level]! + WEIGHTS[level + 1]!) level++;
  return level;
}

/** Bits of `used` where it is less than the number of symbols. */
export function bitsFor(symbols: number): number {
  return 32 - Math.clz32(symbols - 1);
}

/** Whether a table of so many used symbols has a slope. */
export function hasSlope(used: number): boolean {
  return used > 2;
}

/** The nearest level. */
export function clampLevel(level: number): number {
  return level < 0 ? 0 : level > MAX_LEVEL ? MAX_LEVEL : level;
}

/**
 * One table as it is sent: levels, and the levels that the next table expects of symbols that do not occur in this one.
 */
export class LevelTable {
  readonly levels: Uint8Array;
  /** Levels for every symbol, those of absent ones guessed. */
  readonly smooth: Int32Array;
  used = 0;
  slope = 0;

  constructor(symbols: number) {
    this.levels = new Uint8Array(symbols).fill(ABSENT);
    this.smooth = new Int32Array(symbols);
  }

  get symbols(): number {
    return this.levels.length;
  }

  expected(before: LevelTable | undefined, s: number): number {
    return (before === undefined ? 0 : before.smooth[s]!) + ((s * this.slope) >> 2);
  }
}

/** Writes a table in front of the stream, as `readLevels` reads it. */
export function putLevels(writer: TailWriter, table: LevelTable, before: LevelTable | undefined): void {
  const { levels, used } = table;
  // Each field goes in front of the previous one, so the last symbol's is written first.
  for (let s = used - 1; s >= 0; s--) {
    const level = levels[s]!;
    if (level === ABSENT) {
      writer.put(0b0111, 4);
      continue;
    }
    let p = s - 1;
    while (p >= 0 && levels[p] === ABSENT) p--;
    const residual = p < 0 ? (before === undefined ? FIRST_LEVEL : 0) : levels[p]! - table.expected(before, p);
    const step = level - table.expected(before, s) - residual;
    const distance = Math.abs(step);
    if (distance > 0) writer.put(step > 0 ? 1 : 0, 1);
    if (distance < 3) writer.put((1 << distance) - 1, distance + 1);
    else {
      writer.put(0, 1);
      for (let ones = distance + 1; ones > 0; ones -= 16) {
        const width = Math.min(ones, 16);
        writer.put((1 << width) - 1, width);
      }
    }
  }
  if (hasSlope(used)) writer.put(table.slope - LEAST_SLOPE, 4);
  if (used < table.symbols) writer.put(used, bitsFor(table.symbols));
  writer.put(used === table.symbols ? 1 : 0, 1);
}

/** Longest step: from one end of the levels to the other, and as far again by slope. */
const MAX_STEP = 256;

/** Reads a table. Throws TESSERA_CODEC. */
export function readLevels(reader: BitReader, table: LevelTable, before: LevelTable | undefined): void {
  const { levels, smooth, symbols } = table;
  const used = reader.take(1) === 1 ? symbols : reader.take(bitsFor(symbols));
  if (used > symbols) throw corrupt('a table has too many symbols');
  table.used = used;
  table.slope = hasSlope(used) ? reader.take(4) + LEAST_SLOPE : 0;
  let residual = before === undefined ? FIRST_LEVEL : 0;
  for (let s = 0; s < symbols; s++) {
    const expected = table.expected(before, s);
    const step = s < used ? readStep(reader) : ABSENT;
    if (step === ABSENT) {
      if (s === used - 1) throw corrupt('a table ends in nothing');
      levels[s] = ABSENT;
      smooth[s] = clampLevel(expected + residual);
      continue;
    }
    residual += step;
    const level = expected + residual;
    if (level < 0 || level > MAX_LEVEL) throw corrupt('a table leaves its range');
    levels[s] = level;
    smooth[s] = level;
  }
}

/** A step with its sign, or ABSENT. */
function readStep(reader: BitReader): number {
  let ones = 0;
  while (ones < 3 && reader.take(1) === 1) ones++;
  let distance = ones;
  if (ones === 3) {
    if (reader.take(1) === 0) return ABSENT;
    for (; reader.take(1) === 1; distance++) if (distance > MAX_STEP) throw corrupt('a table has no end');
  }
  if (distance === 0) return 0;
  return reader.take(1) === 1 ? distance : -distance;
}

/**
 * Frequencies that add up to `1 << log`, at least 1 for each symbol that occurs, in proportion to the levels' weights.
 * The result is the same on every machine, since all numbers are integers below 2^53. An empty table gives everything
 * to symbol 0.
 */
export function frequenciesOf({ levels, symbols }: LevelTable, log: number, frequencies: Int32Array): void {
  const size = 1 << log;
  let weight = 0;
  for (let s = 0; s < symbols; s++) if (levels[s] !== ABSENT) weight += WEIGHTS[levels[s]!]!;
  if (weight === 0) {
    frequencies.fill(0, 0, symbols);
    frequencies[0] = size;
    return;
  }
  let left = size;
  let largest = 0;
  for (let s = 0; s < symbols; s++) {
    const level = levels[s]!;
    const frequency =
      level === ABSENT ? 0 : Math.max(1, Math.floor((WEIGHTS[level]! * size * 2 + weight) / (2 * weight)));
    frequencies[s] = frequency;
    left -= frequency;
    if (frequency > frequencies[largest]!) largest = s;
  }
  // The rounding remainder goes to the largest frequency, or is spread where it would change that one much.
  if (Math.abs(left) * 16 <= frequencies[largest]!) {
    frequencies[largest]! += left;
    return;
  }
  const step = left > 0 ? 1 : -1;
  for (; left !== 0; left -= step) {
    for (let s = 0; s < symbols; s++) if (frequencies[s]! > frequencies[largest]!) largest = s;
    frequencies[largest]! += step;
  }
}
