import type { ReceptiveField } from './receptive-field.ts';

/**
 * Where the cells of an axis come from when no window that moves with the tile describes it:
 *
 *     output[i] = sum over t of weights[t][i] input[sources[t][i]]
 *
 * Every output cell is listed, so any sampling can be written down. Without weights there is one source per cell, and it
 * is copied.
 */
export interface Taps {
  readonly sources: readonly Int32Array[];
  readonly weights?: readonly Float32Array[];
}

/**
 * The reach of an axis that is sampled by `taps`. What output cells [a, b) need begins at the lowest source of cells from
 * a on and ends after the highest source of cells before b: exactly the sources' hull where they rise with the cell, and
 * where they turn back (mirrored borders) a hull whose ends still depend on one end of the band each (see everyBand).
 * `cells` are those of the input, `perCell` says how many of them one output cell stands for.
 */
export function tapsField(
  taps: Taps,
  cells: number,
  perCell: { readonly mul: number; readonly div: number },
  alone: ReceptiveField['alone'],
): ReceptiveField {
  const size = taps.sources[0]!.length;
  const lows = new Int32Array(size);
  const highs = new Int32Array(size);
  let low = cells - 1;
  let high = 0;
  for (let i = size - 1; i >= 0; i--) {
    for (const source of taps.sources) low = Math.min(low, source[i]!);
    lows[i] = low;
  }
  for (let i = 0; i < size; i++) {
    for (const source of taps.sources) high = Math.max(high, source[i]!);
    highs[i] = high;
  }
  return { ...perCell, lo: 0, hi: 0, beyond: 'clip', taps: { ...taps, lows, highs }, alone };
}

/** Positions of the sources of the output cells [from, to), counted from the input cell `origin`; for taps without weights. */
export function localIndices({ sources }: Taps, from: number, to: number, origin: number): number[] {
  return Array.from(sources[0]!.subarray(from, to), (source) => source - origin);
}

/**
 * The matrix that makes the output cells [from, to) of the input cells [start, end), as `[to - from, end - start]`, or
 * transposed for use from the right.
 */
export function tapsMatrix(
  { sources, weights }: Taps,
  [from, to]: readonly [number, number],
  [start, end]: readonly [number, number],
  transposed: boolean,
): Float32Array {
  const [made, given] = [to - from, end - start];
  const matrix = new Float32Array(made * given);
  sources.forEach((source, t) => {
    for (let i = 0; i < made; i++) {
      const j = source[from + i]! - start;
      const at = transposed ? j * made + i : i * given + j;
      matrix[at] = matrix[at]! + (weights === undefined ? 1 : weights[t]![from + i]!);
    }
  });
  return matrix;
}
