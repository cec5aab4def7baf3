import type { ClipSpec } from './spec.ts';

/** A rule that derives clip bounds from the values that a tensor took. */
export interface BoundsRule {
  /**
   * Share of the non-zero values that may lie beyond each bound; 0 is JALAD's min-max normalisation (ICPADS 2018,
   * section III).
   */
  readonly beyond: number;
  /**
   * Dead zone: the lower bound of ADCNN's clipped ReLU, as a share of a step above the middle of the first two codes. A
   * larger one makes more zeros and fewer bytes. Only for tensors without negative values whose least value is 0.
   */
  readonly deadZone: number;
}

/** JALAD's rule: the smallest value becomes the first code, the largest the last. */
export const MIN_MAX: BoundsRule = { beyond: 0, deadZone: 0 };

/** Rules besides min-max that may need fewer bytes for the same predictions; calibration tries them. */
const OTHERS: readonly BoundsRule[] = [0, 1e-4, 1e-3, 1e-2].flatMap((beyond) =>
  [0, 0.25].map((deadZone) => ({ beyond, deadZone })),
);

/** Top 16 bits of a float32: sign, exponent and 7 bits of mantissa, so a bin is 0.8 % wide. */
const BINS = 1 << 16;
const SIGN = BINS >> 1;

const bits = new Uint32Array(1);
const float = new Float32Array(bits.buffer);

/** A histogram of a tensor's values over many pictures, in half a megabyte. */
export class ValueCounts {
  min = Number.POSITIVE_INFINITY;
  max = Number.NEGATIVE_INFINITY;
  readonly #counts = new Float64Array(BINS);
  #others = 0;

  /** Adds values; those that are not finite are ignored. */
  add(values: Float32Array): void {
    const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
    for (let i = 0; i < values.length; i++) {
      const value = values[i]!;
      if (!Number.isFinite(value)) continue;
      if (value < this.min) this.min = value;
      if (value > this.max) this.max = value;
      if (value === 0) continue;
      const bin = words[i]! >>> 16;
      // Negative floats are in the reverse order of their bits.
      this.#counts[bin < SIGN ? bin + SIGN : BINS - 1 - bin]!++;
      this.#others++;
    }
  }

  /** Bounds such that at most this share of the non-zero values lies beyond either; 0 is always within. */
  within(beyond: number): readonly [low: number, high: number] {
    const most = beyond * this.#others;
    let low = 0;
    for (let left = most; low < BINS - 1 && left >= this.#counts[low]!; low++) left -= this.#counts[low]!;
    let high = BINS - 1;
    for (let left = most; high > 0 && left >= this.#counts[high]!; high--) left -= this.#counts[high]!;
    // Zero lies between the two halves of the histogram.
    const [a, b] = [Math.min(low, SIGN), Math.max(high, SIGN - 1)];
    return [
      a === SIGN ? Math.max(0, this.min) : Math.max(this.min, edge(a, false)),
      b === SIGN - 1 ? Math.min(0, this.max) : Math.min(this.max, edge(b, true)),
    ];
  }
}

/** The lower or upper edge of a bin, by its place in the order of sizes. */
function edge(place: number, upper: boolean): number {
  const negative = place < SIGN;
  const bin = negative ? BINS - 1 - place : place - SIGN;
  // A bin's edge away from 0 is the next one's towards 0.
  bits[0] = (negative === upper ? bin : bin + 1) << 16;
  return float[0]!;
}

/** Whether the tensor is the output of a ReLU: no value is negative and the least is 0. */
function isRectified({ min }: ValueCounts): boolean {
  return min === 0;
}

/** Rules besides min-max to try for tensors with these values. */
export function alternativeRules(counts: readonly ValueCounts[]): BoundsRule[] {
  const rectified = counts.some(isRectified);
  return OTHERS.filter(({ beyond, deadZone }) => beyond + deadZone > 0 && (rectified || deadZone === 0));
}

/** `value`, rounded to `unit`. */
function rounded(value: number, unit: number): number {
  return Number((Math.round(value / unit) * unit).toPrecision(12));
}

/**
 * The clip codec that a rule yields for a tensor's values. Code 0 decodes to the lower bound (to 0 with a dead zone),
 * so decoded values are not shifted. Bounds are rounded to a ten-thousandth of their distance.
 */
export function clipFor(counts: ValueCounts, { beyond, deadZone }: BoundsRule, codeBits: number): ClipSpec {
  let [a, b] = counts.min <= counts.max ? counts.within(beyond) : [0, 1];
  // A constant tensor has no range.
  if (!(b > a)) b = a + Math.max(1, Math.abs(a));
  const unit = 10 ** (Math.floor(Math.log10(b - a)) - 4);
  a = rounded(a, unit);
  b = rounded(b, unit);
  if (isRectified(counts) && a === 0) {
    const shift = (deadZone * b) / (2 ** codeBits - 1);
    return { name: 'clip', a: rounded(shift, unit), b: rounded(b + shift, unit), bits: codeBits };
  }
  return { name: 'clip', a, b, bits: codeBits, base: a };
}
