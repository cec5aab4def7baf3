import type { ReceptiveField } from './receptive-field.ts';

/**
 * The sources of an axis' cells, for resampling that no sliding window describes:
 *
 *     output[i] = sum over t of weights[t][i] input[sources[t][i]]
 *
 * Every output cell is listed, so any resampling can be expressed. Without weights there is one source per cell, and it
 * is copied.
 */
export interface Taps {
  readonly sources: readonly Int32Array[];
  readonly weights?: readonly Float32Array[];
}

/**
 * The receptive field of an axis that is resampled by `taps`. The input cells of the output cells [a, b) begin at the
 * lowest source of the cells from a on, and end after the highest source of the cells before b. Where sources rise with
 * the cell this is exact. Where they turn back (mirrored borders) it is a superset, of which each end still depends on
 * one end of the band only (see everyBand). `cells` counts the input's cells; `perCell` is the number of them per
 * output cell.
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

/** Sources of the output cells [from, to), counted from the input cell `origin`; for taps without weights. */
export function localIndices({ sources }: Taps, from: number, to: number, origin: number): number[] {
  return Array.from(sources[0]!.subarray(from, to), (source) => source - origin);
}

/**
 * The matrix that computes the output cells [from, to) from the input cells [start, end), as `[to - from, end -
 * start]`, or transposed for multiplying from the right.
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
