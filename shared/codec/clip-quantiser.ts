import { TesseraError } from '../errors.ts';

/** Parameters of ADCNN's clipped ReLU with quantisation. */
export interface ClipBounds {
  /** Values below `a` become 0, values from `b` on saturate. */
  readonly a: number;
  readonly b: number;
  /** Bits of a code, 2 to 8. */
  readonly bits: number;
}

const floatBits = new Int32Array(1);
const floatValue = new Float32Array(floatBits.buffer);

/** Above this a product is not turned into a whole number by `| 0`. */
const SAFE = 2e9;

/**
 * Codes of values by ADCNN's clipped ReLU and quantisation (section 4):
 *
 *   y = 0 if x < a; x - a if a <= x < b; b - a if x >= b
 *   q = floor(y * (2^bits - 1) / (b - a) + 1/2)
 *
 * in float64. NaN becomes 0.
 */
export class ClipQuantiser {
  readonly a: number;
  readonly most: number;
  readonly scale: number;
  /** Smallest float32 whose code is not 0, as its bits; 0 where it is not positive. */
  readonly threshold: number;

  constructor({ a, b, bits }: ClipBounds) {
    this.a = a;
    this.most = (1 << bits) - 1;
    this.scale = this.most / (b - a);
    if (!Number.isFinite(this.scale))
      throw new TesseraError('TESSERA_CODEC', `clip bounds ${a} and ${b} are no range of numbers`);
    this.threshold = this.#findThreshold();
  }

  /** The code of one value. */
  code(x: number): number {
    const scaled = (x - this.a) * this.scale + 0.5;
    if (!(scaled >= 1)) return 0;
    return scaled >= this.most ? this.most : Math.floor(scaled);
  }

  #findThreshold(): number {
    floatValue[0] = this.a + 0.5 / this.scale;
    if (!(floatValue[0] > 0) || floatBits[0]! < 8) return 0;
    // Positive floats are in the order of their bits.
    floatBits[0]! -= 4;
    while (this.code(floatValue[0]) === 0) floatBits[0]! += 1;
    return floatBits[0]!;
  }

  /** Codes of all values, into `codes`. */
  quantise(values: Float32Array, codes: Uint8Array): void {
    const { a, scale, most } = this;
    const n = values.length;
    for (let i = 0; i < n; i++) {
      let scaled = (values[i]! - a) * scale + 0.5;
      if (!(scaled < SAFE && scaled > -SAFE)) scaled = scaled > 0 ? most : 0;
      // Branches on the data would be mispredicted; clamping by masks takes half the time.
      let code = scaled | 0;
      code &= ~(code >> 31);
      const above = most - code;
      codes[i] = most - (above & ~(above >> 31));
    }
  }

  /**
   * Collects the positions in [start, end) of values whose code is not 0, into `positions` from index `count` on, and
   * returns the new count. `bits` are the values' bits. Only valid where `threshold` is positive.
   */
  positions(bits: Int32Array, start: number, end: number, positions: Uint32Array, count: number): number {
    const below = this.threshold - 1;
    let at = count;
    for (let i = start; i < end; i++) {
      const value = bits[i]!;
      positions[at] = i;
      at += (below - (value & ~(value >> 31))) >>> 31;
    }
    return at;
  }
}
