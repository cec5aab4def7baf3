import type { Taps } from './taps.ts';

/**
 * How cells of an operator's output depend on cells of one input along one spatial axis, and what the operator makes
 * when it is run on a piece of that input. Output cells [a, b) need the input cells
 *
 *     [ floor((a mul + lo) / div),  floor(((b - 1) mul + hi) / div) + 1 )
 *
 * which is reverse tile calculation (D3, section V) for a window of extent K, stride S and padding P
 * (mul = S, div = 1, lo = -P, hi = K - 1 - P), and covers enlarging operators as well (div > 1).
 */
export interface ReceptiveField {
  readonly mul: number;
  readonly div: number;
  readonly lo: number;
  readonly hi: number;
  /** What stands for cells that the input does not have: padding, or nothing (the operator handles borders itself). */
  readonly beyond: 'pad' | 'clip';
  /**
   * Enlarging operators: run on the input cells [p, q) they make the output cells [p up + first, (q - 1) up + last).
   * Absent: they make exactly the cells that were asked for.
   */
  readonly made?: { readonly up: number; readonly first: number; readonly last: number };
  /**
   * Instead of `lo` and `hi`: where each output cell comes from, written down cell by cell, with the lowest source of
   * cell i and those behind it, and the highest of cell i and those before it. `mul / div` is still the step.
   */
  readonly taps?: Taps & { readonly lows: Int32Array; readonly highs: Int32Array };
  /** Output cells when the operator, as it stands in the model, is run on `cells` input cells alone (FDSP). */
  readonly alone: (cells: number) => number;
}

/** Cell by cell. */
export const CELL_BY_CELL: ReceptiveField = { mul: 1, div: 1, lo: 0, hi: 0, beyond: 'clip', alone: (cells) => cells };

/** One cell that serves all (broadcasting along the axis). */
export const BROADCAST: ReceptiveField = { mul: 0, div: 1, lo: 0, hi: 0, beyond: 'clip', alone: (cells) => cells };

/** A window over `extent` cells (dilation counted) that moves by `stride`; `before` cells of padding stand in front. */
export function windowField(
  extent: number,
  stride: number,
  before: number,
  beyond: 'pad' | 'clip',
  alone: (cells: number) => number,
): ReceptiveField {
  return { mul: stride, div: 1, lo: -before, hi: extent - 1 - before, beyond, alone };
}

/** First input cell that output cell `a` needs; may be negative (padding). */
export function firstInputCell(reach: ReceptiveField, a: number): number {
  if (reach.taps !== undefined) return reach.taps.lows[a]!;
  return Math.floor((a * reach.mul + reach.lo) / reach.div);
}

/** One past the last input cell that output cells up to `b` (exclusive) need; may pass the input's end. */
export function inputCellsEnd(reach: ReceptiveField, b: number): number {
  if (reach.taps !== undefined) return reach.taps.highs[b - 1]! + 1;
  return Math.floor(((b - 1) * reach.mul + reach.hi) / reach.div) + 1;
}
