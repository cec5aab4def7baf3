import { type BitReader, BitWriter } from '../../shared/codec/coding/bit-io.ts';

/**
 * ADCNN's run-length code (ICPP 2020, section 4): pairs of a code and the number of zeros that follow it. A pair
 * is `code:bits zeros:width`; more zeros than a field can say go on in pairs of code 0, which is a zero itself.
 */

/** The pairs as one list: `[1, 0, 2, 0, 1, 0, 0]` becomes `[1, 1, 2, 1, 1, 2]`. */
export function toPairs(codes: ArrayLike<number>): number[] {
  const pairs: number[] = [];
  for (let i = 0; i < codes.length; ) {
    const code = codes[i++]!;
    const start = i;
    while (i < codes.length && codes[i] === 0) i++;
    pairs.push(code, i - start);
  }
  return pairs;
}

/** Bits of the pairs with zeros in fields of `width` bits. */
function pairBits(pairs: readonly number[], bits: number, width: number): number {
  const most = (1 << width) - 1;
  let count = 0;
  for (let i = 1; i < pairs.length; i += 2) count += Math.ceil((pairs[i]! + 1) / (most + 1));
  return count * (bits + width);
}

/** The field width (1..8) that takes the fewest bits. */
export function bestWidth(pairs: readonly number[], bits: number): { width: number; bits: number } {
  let best = { width: 1, bits: Number.POSITIVE_INFINITY };
  for (let width = 1; width <= 8; width++) {
    const needed = pairBits(pairs, bits, width);
    if (needed < best.bits) best = { width, bits: needed };
  }
  return best;
}

/** Writes pairs into `out` from `bit` on. */
export function putPairs(pairs: readonly number[], bits: number, width: number, out: Uint8Array, bit: number): void {
  const most = (1 << width) - 1;
  const writer = new BitWriter(out, bit);
  for (let i = 0; i < pairs.length; i += 2) {
    let code = pairs[i]!;
    let zeros = pairs[i + 1]!;
    for (;;) {
      const here = Math.min(zeros, most);
      writer.put(code, bits);
      writer.put(here, width);
      if (zeros === here) break;
      // The next pair's own code is one of the zeros.
      zeros -= here + 1;
      code = 0;
    }
  }
  writer.finish();
}

/** Reads pairs into `out`, which is all zeros, until it is full. */
export function readPairs(reader: BitReader, bits: number, width: number, out: Uint8Array): void {
  const n = out.length;
  for (let i = 0; i < n; ) {
    out[i] = reader.take(bits);
    i += 1 + reader.take(width);
  }
}
