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
const MAX_LEVEL = 24;
const FIRST_LEVEL = 4;
const LEAST_SLOPE = -8;
const MOST_SLOPE = 7;

/** Weight of each level: 2^(15 - level/2). */
export const WEIGHTS = Uint16Array.from({ length: MAX_LEVEL + 1 }, (_, level) => Math.round(2 ** (15 - level / 2)));

/** The level whose weight is nearest, halfway between two being the rarer one. */
export function levelOfWeight(weight: number): number {
  let level = 0;
  while (level < MAX_LEVEL && 2 * weight <= WEIGHTS[level]! + WEIGHTS[level + 1]!) level++;
  return level;
}

/** Half-bit level by share in 1/1024. */
const LEVEL_OF = Uint8Array.from({ length: 1025 }, (_, share) =>
  share === 0 ? 20 : Math.min(MAX_LEVEL, Math.round(-2 * Math.log2(share / 1024))),
);

function levelOf(count: number, total: number): number {
  const share = (count * 1024) / total;
  if (share >= 32) return LEVEL_OF[Math.round(share)]!;
  return Math.min(MAX_LEVEL, Math.round(-2 * Math.log2(count / total)));
}

/** Bits of a step to a level `distance` away. */
function stepBits(distance: number): number {
  return distance === 0 ? 1 : distance < 3 ? distance + 2 : distance + 3;
}

/** Bits lost by a level that is 1 too high or low, for each time the symbol occurs: (ln 2 / 2)^2 / 2 / ln 2. */
const LOSS = 0.0867;

/** Bits of `used` where it is less than the number of symbols. */
function bitsFor(symbols: number): number {
  return 32 - Math.clz32(symbols - 1);
}

function hasSlope(used: number): boolean {
  return used > 2;
}

function clampLevel(level: number): number {
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

const idealBuffer = new Uint8Array(256);

/**
 * Chooses the levels of symbols that occur `counts[from + s]` times. A level nearer to the expected one is chosen where
 * the shorter step outweighs the worse share. With `before` every symbol gets a level. Returns the bits of the table,
 * and those of the symbols coded with it.
 */
export function chooseLevels(
  counts: Int32Array,
  from: number,
  table: LevelTable,
  before: LevelTable | undefined,
): { table: number; symbols: number } {
  const { symbols } = table;
  let total = 0;
  let used = 0;
  for (let s = 0; s < symbols; s++) {
    const count = counts[from + s]!;
    if (count === 0) continue;
    total += count;
    used = s + 1;
  }
  // A table that is sent as a difference lists all symbols, since the counts may be those of a sample.
  if (before !== undefined) used = symbols;
  table.used = used;
  for (let s = 0; s < used; s++) {
    const count = counts[from + s]!;
    idealBuffer[s] = count === 0 ? ABSENT : levelOf(count, total);
  }
  table.slope = hasSlope(used) ? bestSlope(table, before) : 0;
  let residual = before === undefined ? FIRST_LEVEL : 0;
  let bits = (used === symbols ? 1 : 1 + bitsFor(symbols)) + (hasSlope(used) ? 4 : 0);
  let weight = 0;
  let data = 0;
  for (let s = 0; s < symbols; s++) {
    const expected = table.expected(before, s);
    let ideal = s < used ? idealBuffer[s]! : ABSENT;
    if (ideal === ABSENT) {
      table.levels[s] = ABSENT;
      table.smooth[s] = clampLevel(expected + residual);
      if (before === undefined) {
        if (s < used) bits += 4;
        continue;
      }
      ideal = table.smooth[s]!;
    }
    const wanted = ideal - expected;
    const away = Math.abs(wanted - residual);
    const count = counts[from + s]!;
    let best = 0;
    let bestCost = stepBits(away);
    for (let short = 1; short <= away; short++) {
      const cost = stepBits(away - short) + LOSS * count * short * short;
      const level = expected + (wanted > residual ? wanted - short : wanted + short);
      if (cost >= bestCost || level < 0 || level > MAX_LEVEL) continue;
      best = short;
      bestCost = cost;
    }
    residual = wanted > residual ? wanted - best : wanted + best;
    const level = expected + residual;
    table.levels[s] = level;
    table.smooth[s] = level;
    weight += WEIGHTS[level]!;
    bits += stepBits(away - best);
    data += (count * level) / 2;
  }
  return { table: bits, symbols: total === 0 ? 0 : data + total * (Math.log2(weight) - 15) };
}

/** The slope that makes the steps short: the line through the ideal levels, and its neighbours. */
function bestSlope(table: LevelTable, before: LevelTable | undefined): number {
  const { used } = table;
  let n = 0;
  let sumS = 0;
  let sumD = 0;
  let sumSS = 0;
  let sumSD = 0;
  for (let s = 1; s < used; s++) {
    if (idealBuffer[s] === ABSENT) continue;
    const difference = idealBuffer[s]! - (before === undefined ? 0 : before.smooth[s]!);
    n += 1;
    sumS += s;
    sumD += difference;
    sumSS += s * s;
    sumSD += s * difference;
  }
  const spread = n * sumSS - sumS * sumS;
  const line = spread === 0 ? 0 : Math.round((4 * (n * sumSD - sumS * sumD)) / spread);
  let best = 0;
  let bestBits = Number.POSITIVE_INFINITY;
  for (let slope = line - 1; slope <= line + 1; slope++) {
    if (slope < LEAST_SLOPE || slope > MOST_SLOPE) continue;
    let bits = 0;
    let residual = before === undefined ? FIRST_LEVEL : 0;
    for (let s = 0; s < used; s++) {
      if (idealBuffer[s] === ABSENT) continue;
      const wanted = idealBuffer[s]! - (before === undefined ? 0 : before.smooth[s]!) - ((s * slope) >> 2);
      bits += stepBits(Math.abs(wanted - residual));
      residual = wanted;
    }
    if (bits >= bestBits) continue;
    best = slope;
    bestBits = bits;
  }
  return best;
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
