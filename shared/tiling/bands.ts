import type { Box } from '../tensor/tensor.ts';
import { emptyRanges, type Ranges } from './axis-ranges.ts';
import { boundaries } from './grid.ts';
import { type Axis, cells, type Layout } from './layout.ts';
import type { Segment } from './segment.ts';

/** Bands of tiles along one axis, as ranges of every output of a stage. */
export interface Bands {
  /** What tiles of a band give: over all bands of a grid a partition of each output. A range may be empty. */
  readonly given: ReadonlyMap<string, Ranges>;
  /** The same with empty ranges widened to one cell, since a run makes every output. */
  readonly wanted: ReadonlyMap<string, Ranges>;
}

function bandsBetween(segment: Segment, axis: Axis, starts: readonly number[], ends: readonly number[]): Bands {
  const given = new Map<string, Ranges>();
  const wanted = new Map<string, Ranges>();
  const total = cells(segment.layouts.get(segment.reference)!, axis);
  for (const output of segment.outputs) {
    const size = cells(segment.layouts.get(output)!, axis);
    const exact = emptyRanges(starts.length);
    const widened = emptyRanges(starts.length);
    for (let k = 0; k < starts.length; k++) {
      const lo = Math.round((starts[k]! * size) / total);
      const hi = Math.round((ends[k]! * size) / total);
      exact.lo[k] = lo;
      exact.hi[k] = hi;
      widened.lo[k] = lo === hi && lo === size ? lo - 1 : lo;
      widened.hi[k] = lo === hi && lo < size ? hi + 1 : hi;
    }
    given.set(output, exact);
    wanted.set(output, widened);
  }
  return { given, wanted };
}

/** Bands of the given sizes, in cells of the stage's reference output; other outputs are cut at the same places, rounded. */
export function gridBands(segment: Segment, axis: Axis, sizes: readonly number[]): Bands {
  const ends = boundaries(sizes);
  return bandsBetween(segment, axis, ends.slice(0, -1), ends.slice(1));
}

/**
 * Enough bands to stand for every band of every grid. Where a range of some tensor begins depends on where the band
 * begins, and where it ends on the band's end, so all beginnings with a far end, all ends with a far beginning, and all
 * single cells show everything that can happen.
 */
export function everyBand(segment: Segment, axis: Axis): Bands {
  const total = cells(segment.layouts.get(segment.reference)!, axis);
  const starts: number[] = [];
  const ends: number[] = [];
  for (let k = 0; k < total; k++) {
    starts.push(k, k, 0);
    ends.push(k + 1, total, k + 1);
  }
  return bandsBetween(segment, axis, starts, ends);
}

/** A tile's region of a tensor: whole along axes that are neither rows nor columns. */
export function tileBox(
  shape: readonly number[],
  layout: Layout,
  ranges: Readonly<Record<Axis, Ranges>>,
  row: number,
  col: number,
): Box {
  return shape.map((size, dim) => {
    if (dim === layout.h) return [ranges.h.lo[row]!, ranges.h.hi[row]!] as const;
    if (dim === layout.w) return [ranges.w.lo[col]!, ranges.w.hi[col]!] as const;
    return [0, size] as const;
  });
}
