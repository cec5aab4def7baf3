/**
 * Symbols for numbers that are too many for one table: a number becomes a class and some of its lowest bits, as in a
 * floating-point number. Classes below `exact` are the numbers themselves.
 */

/** Classes of codes of `bits` bits. Up to 5 bits a code is its class; above, it keeps its four highest bits. */
export interface CodeClasses {
  /** Number of classes. */
  readonly count: number;
  /** Class by code. */
  readonly of: Uint8Array;
  /** Smallest code by class, and the number of its lowest bits that are sent beside it. */
  readonly base: Uint8Array;
  readonly extra: Uint8Array;
  /** Context (0..7) that a class provides for the next symbol: small classes have one each, large ones share. */
  readonly context: Uint8Array;
  /** Whether no class has extra bits. */
  readonly exact: boolean;
}

/** Contexts that `CodeClasses.context` tells apart. */
export const CONTEXTS = 8;

const CONTEXT_BOUNDS = [0, 1, 2, 3, 5, 8, 11];

function classesOf(bits: number): CodeClasses {
  const most = (1 << bits) - 1;
  const of = new Uint8Array(256);
  const base: number[] = [];
  const extra: number[] = [];
  for (let code = 0; code <= most; code++) {
    const width = bits <= 5 || code < 16 ? 0 : 28 - Math.clz32(code);
    const start = (code >> width) << width;
    // The largest code has a class of its own: values above the upper bound saturate there.
    if (start === code || code === most) {
      base.push(code);
      extra.push(code === most ? 0 : width);
    }
    of[code] = base.length - 1;
  }
  const context = Uint8Array.from(base, (code) => {
    const level = (code * 15) / most;
    if (code === 0) return 0;
    const index = CONTEXT_BOUNDS.findIndex((bound, i) => i > 0 && level <= bound);
    return index === -1 ? 7 : index;
  });
  return {
    count: base.length,
    of,
    base: Uint8Array.from(base),
    extra: Uint8Array.from(extra),
    context,
    exact: extra.every((width) => width === 0),
  };
}

const CODE_CLASSES: readonly CodeClasses[] = Array.from({ length: 9 }, (_, bits) => classesOf(bits));

/** Classes of codes of 1 to 8 bits. */
export function codeClasses(bits: number): CodeClasses {
  return CODE_CLASSES[bits]!;
}

/** Classes of run lengths: 0..7 exactly, then four to each doubling. */
export const EXACT_RUNS = 8;

/** The class of a run length. */
export function runClass(length: number): number {
  if (length < EXACT_RUNS) return length;
  const octave = 31 - Math.clz32(length);
  return (octave - 1) * 4 + ((length >>> (octave - 2)) & 3);
}

/** Lowest bits of a run length that are sent beside its class. */
export function runExtra(runClass: number): number {
  return runClass < EXACT_RUNS ? 0 : (runClass >> 2) - 1;
}

/** The shortest run of a class. */
export function runBase(runClass: number): number {
  if (runClass < EXACT_RUNS) return runClass;
  return (4 + (runClass & 3)) << ((runClass >> 2) - 1);
}
