import { corrupt } from '../corrupt.ts';
import type { BitReader } from './bit-io.ts';
import type { TailWriter } from './tail-writer.ts';
import type { DecodeTables, EncodeTables } from './tans.ts';

/**
 * Symbols in two lanes of one stream: the lanes' states do not depend on each other, so that a processor works on both
 * at once. Lane A has as many symbols as lane B, one more, or all.
 *
 *   lanes = stateA:log [stateB:log] (bitsA bitsB)*       in the order in which the symbols are decoded
 *
 * The last symbol of a lane costs nothing: the encoder begins in the first of its states. Encoding goes from the last symbol
 * to the first. These loops are where a node's time goes: bits are gathered in a local variable and stored four bytes at
 * a time, without a branch (2.4 times as fast as with one).
 */

/** Encodes table items (tans.ts): lane A is items[0..a), lane B items[a..a+b). */
export function encodeItems(writer: TailWriter, items: Uint16Array, a: number, b: number, tables: EncodeTables): void {
  const { bits, offset, states } = tables;
  const { view } = writer;
  let stateA = firstState(tables, items[a - 1]!);
  let stateB = b > 0 ? firstState(tables, items[a + b - 1]!) : 0;
  for (let i = a - 2; i >= b - 1 && i >= 0; i--) stateA = encodeOne(writer, tables, stateA, items[i]!);
  let { at, pending, held } = writer;
  for (let i = b - 2; i >= 0; i--) {
    const itemA = items[i]!;
    const itemB = items[a + i]!;
    const widthA = (stateA + bits[itemA]!) >> 16;
    const widthB = (stateB + bits[itemB]!) >> 16;
    pending = (((pending << widthB) | (stateB & ((1 << widthB) - 1))) << widthA) | (stateA & ((1 << widthA) - 1));
    held += widthA + widthB;
    view.setUint32(at - 4, pending << (32 - held), true);
    at -= held >> 3;
    held &= 7;
    stateB = states[offset[itemB]! + (stateB >> widthB)]!;
    stateA = states[offset[itemA]! + (stateA >> widthA)]!;
  }
  writer.at = at;
  writer.pending = pending;
  writer.held = held;
  putStates(writer, tables, stateA, stateB, b);
}

/**
 * Encodes codes in their contexts: lane A is codes[0..a), lane B codes[a..a+b), and a code's item is
 * row[code before] + of[code], with row[0] for the first of a lane.
 */
export function encodeInContext(
  writer: TailWriter,
  codes: Uint8Array,
  a: number,
  b: number,
  tables: EncodeTables,
  row: Uint16Array,
  of: Uint8Array,
): void {
  const { bits, offset, states } = tables;
  const { view } = writer;
  const itemAt = (i: number, start: number): number => row[i > start ? codes[i - 1]! : 0]! + of[codes[i]!]!;
  let stateA = firstState(tables, itemAt(a - 1, 0));
  let stateB = b > 0 ? firstState(tables, itemAt(a + b - 1, a)) : 0;
  for (let i = a - 2; i >= b - 1 && i >= 0; i--) stateA = encodeOne(writer, tables, stateA, itemAt(i, 0));
  let { at, pending, held } = writer;
  let i = b - 2;
  if (i > 0) {
    let codeA = codes[i]!;
    let codeB = codes[a + i]!;
    for (; i > 0; i--) {
      const beforeA = codes[i - 1]!;
      const beforeB = codes[a + i - 1]!;
      const itemA = row[beforeA]! + of[codeA]!;
      const itemB = row[beforeB]! + of[codeB]!;
      const widthA = (stateA + bits[itemA]!) >> 16;
      const widthB = (stateB + bits[itemB]!) >> 16;
      pending = (((pending << widthB) | (stateB & ((1 << widthB) - 1))) << widthA) | (stateA & ((1 << widthA) - 1));
      held += widthA + widthB;
      view.setUint32(at - 4, pending << (32 - held), true);
      at -= held >> 3;
      held &= 7;
      stateB = states[offset[itemB]! + (stateB >> widthB)]!;
      stateA = states[offset[itemA]! + (stateA >> widthA)]!;
      codeA = beforeA;
      codeB = beforeB;
    }
  }
  writer.at = at;
  writer.pending = pending;
  writer.held = held;
  if (b > 1) {
    stateB = encodeOne(writer, tables, stateB, itemAt(a, a));
    stateA = encodeOne(writer, tables, stateA, itemAt(0, 0));
  }
  putStates(writer, tables, stateA, stateB, b);
}

/** The state of a lane after its last symbol: the first state that the symbol owns. */
function firstState({ states, first }: EncodeTables, item: number): number {
  return states[first[item]!]!;
}

function encodeOne(writer: TailWriter, { bits, offset, states }: EncodeTables, state: number, item: number): number {
  const width = (state + bits[item]!) >> 16;
  writer.put(state & ((1 << width) - 1), width);
  return states[offset[item]! + (state >> width)]!;
}

function putStates(writer: TailWriter, { log }: EncodeTables, stateA: number, stateB: number, b: number): void {
  const size = 1 << log;
  if (b > 0) writer.put(stateB - size, log);
  writer.put(stateA - size, log);
}

/** Decodes symbols into out[0..a) and out[a..a+b); lane B begins in table `tableB`. Throws TESSERA_CODEC, or RangeError past the end. */
export function decodeLanes(
  reader: BitReader,
  out: Uint8Array,
  a: number,
  b: number,
  { log, entries }: DecodeTables,
  tableB: number,
): void {
  let stateA = reader.take(log);
  let stateB = b > 0 ? (tableB << log) + reader.take(log) : 0;
  const { view } = reader;
  let { bit } = reader;
  const both = b - 1;
  for (let i = 0; i < both; i++) {
    const entryA = entries[stateA]!;
    const entryB = entries[stateB]!;
    out[i] = entryA;
    out[a + i] = entryB;
    const widthA = (entryA >>> 8) & 15;
    const widthB = (entryB >>> 8) & 15;
    const word = view.getUint32(bit >>> 3, true) >>> (bit & 7);
    stateA = (entryA >>> 16) + (word & ((1 << widthA) - 1));
    stateB = (entryB >>> 16) + ((word >>> widthA) & ((1 << widthB) - 1));
    bit += widthA + widthB;
  }
  for (let i = Math.max(both, 0); i < a - 1; i++) {
    const entry = entries[stateA]!;
    const width = (entry >>> 8) & 15;
    out[i] = entry;
    stateA = (entry >>> 16) + ((view.getUint32(bit >>> 3, true) >>> (bit & 7)) & ((1 << width) - 1));
    bit += width;
  }
  out[a - 1] = lastSymbol(entries[stateA]!);
  if (b > 0) out[a + b - 1] = lastSymbol(entries[stateB]!);
  reader.bit = bit;
}

/** The encoder began in the first state of this symbol; a damaged stream hardly ever ends there. */
function lastSymbol(entry: number): number {
  if ((entry & 0x1000) === 0) throw corrupt('it does not end where it began');
  return entry & 255;
}
