import type { AxisRanges, Ranges } from './axis-ranges.ts';
import type { Axis, Layout } from './layout.ts';
import type { Taps } from './taps.ts';

/** What the model of halo tiles (halo-model.ts) is fed for each tile: pads, shapes, factors and samples. */

/** Ranges of all bands along an axis, with the outputs' ranges that they were computed from. */
export interface GridRanges extends AxisRanges {
  readonly wanted: ReadonlyMap<string, Ranges>;
}

/** Ranges of all bands, by axis. */
export type RangesByAxis = Readonly<Record<Axis, GridRanges>>;

/**
 * A point of the graph where the cells that a tensor has differ from the cells that the next operator needs: a Pad pads
 * or crops there.
 */
export interface Adjustment {
  readonly layout: Layout;
  readonly rank: number;
  readonly from: (along: GridRanges) => Ranges;
  readonly to: (along: GridRanges) => Ranges;
}

/**
 * A part of the geometry vector: the pads of an adjustment, or the target shape of a Reshape whose input `node` makes.
 */
export type GeometrySlot =
  | { readonly kind: 'adjustment'; readonly adjustment: Adjustment }
  | { readonly kind: 'shape'; readonly node: number; readonly dims: readonly (number | Axis | 'hw')[] };

/** A vector of factors along an axis that each tile is fed (see AveragePool). */
export interface CountFeed {
  readonly name: string;
  readonly dtype: 'float32' | 'float64';
  readonly axis: Axis;
  readonly shape: readonly number[];
  readonly node: number;
  readonly factors: readonly number[];
}

/** The extra input that resamples an axis (see Taps): positions for a Gather, or a matrix for one side of a MatMul. */
export interface SampleFeed {
  readonly name: string;
  readonly axis: Axis;
  readonly node: number;
  readonly taps: Taps;
  readonly by: 'positions' | 'left' | 'right';
}
