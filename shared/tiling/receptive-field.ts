import type { Taps } from './taps.ts';

/**
 * The receptive field of an operator's output cells along one spatial axis of one input. The output cells [a, b) need
 * the input cells
 *
 *     [ floor((a mul + lo) / div),  floor(((b - 1) mul + hi) / div) + 1 )
 *
 * This is reverse tile calculation (D3, section V). A window of extent K, stride S and padding P has mul = S, div = 1,
 * lo = -P and hi = K - 1 - P; operators that enlarge a map have div > 1.
 */
export interface ReceptiveField {
  readonly mul: number;
  readonly div: number;
  readonly lo: number;
  readonly hi: number;
  /**
   * Treatment of cells outside the input: `pad` fills them, `clip` leaves them out (the operator handles borders
   * itself).
   */
  readonly beyond: 'pad' | 'clip';
  /**
   * Set for operators that enlarge a map: run on the input cells [p, q), they make the output cells [p up + first, (q -
   * 1) up + last). Other operators make exactly the requested cells.
   */
  readonly made?: { readonly up: number; readonly first: number; readonly last: number };
  /**
   * Used in place of `lo` and `hi` where each output cell's sources are listed one by one. `lows[i]` is the lowest
   * source of cell i and all cells after it, `highs[i]` the highest of cell i and all cells before it. `mul / div` is
   * still the step.
   */
  readonly taps?: Taps & { readonly lows: Int32Array; readonly highs: Int32Array };
  /** Number of output cells when the unchanged operator is run on `cells` input cells alone (FDSP). */
  readonly alone: (cells: number) => number;
}

/** Each output cell depends on the input cell at the same position. */
export const CELL_BY_CELL: ReceptiveField = { mul: 1, div: 1, lo: 0, hi: 0, beyond: 'clip', alone: (cells) => cells };

/** One input cell serves all output cells (broadcasting along the axis). */
export const BROADCAST: ReceptiveField = { mul: 0, div: 1, lo: 0, hi: 0, beyond: 'clip', alone: (cells) => cells };

/** A window over `extent` cells (dilation counted) that moves by `stride`, with `before` cells of padding in front. */
export function windowField(
  extent: number,
  stride: number,
  before: number,
  beyond: 'pad' | 'clip',
  alone: (cells: number) => number,
): ReceptiveField {
  return { mul: stride, div: 1, lo: -before, hi: extent - 1 - before, beyond, alone };
}

/** The first input cell that output cell `a` needs; negative in the padding. */
export function firstInputCell(field: ReceptiveField, a: number): number {
  if (field.taps !== undefined) return field.taps.lows[a]!;
  return Math.floor((a * field.mul + field.lo) / field.div);
}

/** One past the last input cell that the output cells before `b` need; it may lie past the input's end. */
export function inputCellsEnd(field: ReceptiveField, b: number): number {
  if (field.taps !== undefined) return field.taps.highs[b - 1]! + 1;
  return Math.floor(((b - 1) * field.mul + field.hi) / field.div) + 1;
}
