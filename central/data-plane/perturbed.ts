import type { WireRegion } from '../../shared/protocol/messages/region.ts';

/**
 * Measures how much a network amplifies rounding: its inputs are perturbed by a little more than rounding would, and
 * the outputs are compared with the original ones. Where large values nearly cancel (a constant channel that is divided
 * by its deviation, for example), two processors differ by far more than any tolerance on the outputs alone.
 */

/** By element type: its integer view, and how many units in the last place a value changes, up or down. */
const STEPS = {
  float32: { view: Int32Array, places: 8, sizeBits: 0x7fffffff, infinite: 0x7f800000 },
  float16: { view: Int16Array, places: 1, sizeBits: 0x7fff, infinite: 0x7c00 },
} as const;

/** The same regions in new buffers, with unencoded floats perturbed in their last places. */
export function perturbed(regions: readonly WireRegion[]): WireRegion[] {
  return regions.map((region) => {
    const d = new Uint8Array(region.d);
    const how = region.codec.name === 'raw' ? STEPS[region.dtype as keyof typeof STEPS] : undefined;
    if (how === undefined) return { ...region, d };
    const { view, places, sizeBits, infinite } = how;
    const bits = new view(d.buffer, 0, d.byteLength / view.BYTES_PER_ELEMENT);
    for (let i = 0; i < bits.length; i++) {
      const size = bits[i]! & sizeBits;
      // Values next to zero or infinity stay.
      if (size > places && size + places < infinite) bits[i]! += isUp(i) ? places : -places;
    }
    return { ...region, d };
  });
}

/** A pseudo-random direction for each element (Knuth's multiplicative hash). */
const isUp = (index: number): boolean => (Math.imul(index + 1, 0x9e3779b1) & 0x8000) !== 0;
