import { createRandom } from '../../shared/random.ts';

const TABLE_BITS = 16;
const TABLE_SIZE = 2 ** TABLE_BITS;

/**
 * Samples of a standard normal distribution to draw from: each with its negative, and scaled to variance 1, so that a
 * layer with a long inner dimension has no drift. A table because VGG-19 takes 143 million draws.
 */
function normalTable(seed: number): Float64Array {
  const random = createRandom(seed);
  const table = new Float64Array(TABLE_SIZE);
  let squares = 0;
  for (let i = 0; i < TABLE_SIZE; i += 2) {
    const sample = Math.sqrt(-2 * Math.log(1 - random.next())) * Math.cos(2 * Math.PI * random.next());
    table[i] = sample;
    table[i + 1] = -sample;
    squares += 2 * sample * sample;
  }
  const scale = Math.sqrt(TABLE_SIZE / squares);
  return table.map((sample) => sample * scale);
}

/** Values of weights: the same seed and stream give the same ones on every machine. */
export class SeededValues {
  readonly #seed: number;
  #table: Float64Array | undefined;

  constructor(seed: number) {
    this.#seed = seed;
  }

  /** Normally distributed values, drawn from stream number `stream`. */
  normal(count: number, stream: number, deviation: number, mean = 0): Float32Array {
    this.#table ??= normalTable(this.#seed);
    const table = this.#table;
    const values = new Float32Array(count);
    let state = createRandom(this.#seed, stream).next() * 2 ** 32;
    for (let i = 0; i < count; i++) {
      // Knuth's linear congruential generator; only its upper bits are random enough.
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      values[i] = mean + table[state >>> (32 - TABLE_BITS)]! * deviation;
    }
    return values;
  }
}
