import {
  ABSENT,
  bitsFor,
  clampLevel,
  FIRST_LEVEL,
  hasSlope,
  LEAST_SLOPE,
  type LevelTable,
  MAX_LEVEL,
  MOST_SLOPE,
  WEIGHTS,
} from './levels.ts';

/** How the encoder chooses the levels of a table (levels.ts): the fewest bits for the table and its symbols together. */

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
