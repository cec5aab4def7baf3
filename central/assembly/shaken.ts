import type { WireRegion } from '../../shared/protocol/messages/region.ts';

/**
 * How far rounding may carry a network: its inputs are changed by a little more than rounding would, and what comes out is
 * compared with what came out before. Where large values nearly cancel (a channel that is the same everywhere and is
 * divided by its deviation), two processors differ by far more than any tolerance that looks at outputs alone.
 */

/** By element type: its integer view and how many of its last places change, in either direction. */
const STEPS = {
  float32: { view: Int32Array, places: 8, sizeBits: 0x7fffffff, infinite: 0x7f800000 },
  float16: { view: Int16Array, places: 1, sizeBits: 0x7fff, infinite: 0x7c00 },
} as const;

/** The same regions, with bytes of their own; fractions that travel as they are differ in their last places. */
export function shaken(regions: readonly WireRegion[]): WireRegion[] {
  return regions.map((region) => {
    const d = new Uint8Array(region.d);
    const how = region.codec.name === 'raw' ? STEPS[region.dtype as keyof typeof STEPS] : undefined;
    if (how === undefined) return { ...region, d };
    const { view, places, sizeBits, infinite } = how;
    const bits = new view(d.buffer, 0, d.byteLength / view.BYTES_PER_ELEMENT);
    for (let i = 0; i < bits.length; i++) {
      const size = bits[i]! & sizeBits;
      // What is next to zero or to infinity stays.
      if (size > places && size + places < infinite) bits[i]! += isUp(i) ? places : -places;
    }
    return { ...region, d };
  });
}

/** A direction for each element that has no pattern (Knuth's multiplicative hash). */
const isUp = (index: number): boolean => (Math.imul(index + 1, 0x9e3779b1) & 0x8000) !== 0;
