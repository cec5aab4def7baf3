import { frequenciesOf, type LevelTable } from './levels.ts';

/**
 * Tables of asymmetric numeral systems (tANS: J. Duda, arXiv:1311.2540; made as in FSE, github.com/Cyan4973). A symbol
 * of share p owns that share of the states; coding it writes about -log2 p bits of the state and moves to the next.
 * lanes.ts codes with them.
 */

/** Largest table, as a power of two: two reads of a lane's bits fit one 32-bit word. */
export const MAX_LOG = 11;
export const MIN_LOG = 5;

/** The smallest table size that gives each of `symbols` symbols a share and can still tell shares apart. */
export function leastLog(symbols: number): number {
  return Math.max(MIN_LOG, 33 - Math.clz32(symbols - 1));
}

/** Several tables of one size and one number of symbols. */
export interface Tables {
  readonly log: number;
  readonly tables: readonly LevelTable[];
}

/** Spreads each symbol over its states (the step of FSE visits every state once). */
function spread(frequencies: Int32Array, symbols: number, log: number): Uint8Array {
  const size = 1 << log;
  const step = (size >> 1) + (size >> 3) + 3;
  const owners = new Uint8Array(size);
  let state = 0;
  for (let s = 0; s < symbols; s++)
    for (let k = frequencies[s]!; k > 0; k--) {
      owners[state] = s;
      state = (state + step) & (size - 1);
    }
  return owners;
}

/** Encoding tables: bits to write by (state + bits) >> 16, next state by states[(state >> bits) + offset]. */
export interface EncodeTables {
  readonly log: number;
  readonly bits: Int32Array;
  readonly offset: Int32Array;
  readonly states: Uint16Array;
  /** Index in `states` of the first state that an item owns. */
  readonly first: Int32Array;
}

/**
 * Tables for encoding. Item u * symbols + s is symbol s of table users[u]: contexts may
 * share a table.
 */
export function encodeTables({ log, tables }: Tables, users: Uint8Array): EncodeTables {
  const size = 1 << log;
  const { symbols } = tables[0]!;
  const frequencies = new Int32Array(symbols);
  const states = new Uint16Array(tables.length * size);
  const bits = new Int32Array(users.length * symbols);
  const offset = new Int32Array(users.length * symbols);
  const first = new Int32Array(users.length * symbols);
  const next = new Int32Array(symbols);
  for (let t = 0; t < tables.length; t++) {
    frequenciesOf(tables[t]!, log, frequencies);
    const from = users.indexOf(t) * symbols;
    let start = t * size;
    for (let s = 0; s < symbols; s++) {
      const frequency = frequencies[s]!;
      if (frequency === 0) continue;
      const most = frequency === 1 ? log : log - 31 + Math.clz32(frequency - 1);
      bits[from + s] = (most << 16) - (frequency << most);
      offset[from + s] = start - frequency;
      first[from + s] = start;
      next[s] = start;
      start += frequency;
    }
    for (let u = 0; u < users.length; u++) {
      if (users[u] !== t || u * symbols === from) continue;
      for (const items of [bits, offset, first]) items.copyWithin(u * symbols, from, from + symbols);
    }
    const owners = spread(frequencies, symbols, log);
    for (let state = 0; state < size; state++) states[next[owners[state]!]!++] = size + state;
  }
  return { log, bits, offset, states, first };
}

/**
 * Decoding table by state: symbol, bits to read << 8, whether the state is the first that the symbol owns << 12, and
 * the next state without those bits << 16.
 */
export interface DecodeTables {
  readonly log: number;
  readonly entries: Uint32Array;
}

/** Tables for decoding; after symbol s of table t a lane continues in table next[t * symbols + s]. */
export function decodeTables({ log, tables }: Tables, next: Uint8Array): DecodeTables {
  const size = 1 << log;
  const { symbols } = tables[0]!;
  const frequencies = new Int32Array(symbols);
  const entries = new Uint32Array(tables.length * size);
  for (let t = 0; t < tables.length; t++) {
    frequenciesOf(tables[t]!, log, frequencies);
    const places = frequencies.slice();
    const owners = spread(frequencies, symbols, log);
    for (let state = 0; state < size; state++) {
      const s = owners[state]!;
      const place = places[s]!++;
      const width = log - 31 + Math.clz32(place);
      const base = (next[t * symbols + s]! << log) + (place << width) - size;
      const isFirst = place === frequencies[s] ? 1 : 0;
      entries[t * size + state] = (base << 16) | (isFirst << 12) | (width << 8) | s;
    }
  }
  return { log, entries };
}
