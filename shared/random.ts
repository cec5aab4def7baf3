/** A seeded stream of numbers: the same seed and stream give the same numbers on every machine. */
export interface Random {
  /** The next number in [0, 1). */
  next(): number;
  /** A number in [low, high). */
  between(low: number, high: number): number;
  /** A whole number in [low, high], both included. */
  whole(low: number, high: number): number;
  /** True with the given probability. */
  chance(probability: number): boolean;
  /** One of the items, each equally likely; the list must not be empty. */
  pick<T>(items: readonly T[]): T;
}

/** Mixes all bits of a 32-bit word (the finaliser of MurmurHash3), so that neighbouring seeds share nothing. */
function mix(word: number): number {
  let h = word >>> 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/**
 * Makes the stream numbered `stream` of a seed: the sfc32 generator of PractRand, started from mixed words.
 * Separate streams of one seed let one part of a scene change without disturbing the others.
 */
export function createRandom(seed: number, stream = 0): Random {
  let a = mix(seed);
  let b = mix(Math.floor(seed / 2 ** 32) ^ 0x9e3779b9);
  let c = mix(stream + 0x632be5ab);
  let counter = 1;

  function next(): number {
    const sum = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + sum) | 0;
    return (sum >>> 0) / 2 ** 32;
  }
  for (let warmUp = 0; warmUp < 12; warmUp++) next();

  return {
    next,
    between: (low, high) => low + (high - low) * next(),
    whole: (low, high) => low + Math.floor((high - low + 1) * next()),
    chance: (probability) => next() < probability,
    pick: (items) => items[Math.floor(items.length * next())]!,
  };
}
