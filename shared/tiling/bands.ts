import type { Box } from '../tensor/tensor.ts';
import { emptyRanges, type Ranges } from './axis-ranges.ts';
import { boundaries } from './grid.ts';
import { type Axis, cells, type Layout } from './layout.ts';
import type { Segment } from './segment.ts';

/** Bands of tiles along one axis (a band is a row or a column of tiles), as ranges of every output of a stage. */
export interface Bands {
  /** The cells that each band contributes: together the bands of a grid partition each output. A range may be empty. */
  readonly given: ReadonlyMap<string, Ranges>;
  /** The same ranges, with empty ones widened to one cell, since a run makes every output. */
  readonly wanted: ReadonlyMap<string, Ranges>;
}

type Outputs = Pick<Segment, 'layouts' | 'outputs' | 'reference'>;

function bandsBetween(segment: Outputs, axis: Axis, starts: readonly number[], ends: readonly number[]): Bands {
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

/**
 * Bands of the given sizes, in cells of the stage's reference output. Other outputs are cut at the same relative
 * positions, rounded.
 */
export function gridBands(segment: Outputs, axis: Axis, sizes: readonly number[]): Bands {
  const ends = boundaries(sizes);
  return bandsBetween(segment, axis, ends.slice(0, -1), ends.slice(1));
}

/**
 * A set of bands that covers every case of every possible grid. A tensor's range begins where the band's begin demands
 * and ends where the band's end demands. So these bands suffice: every begin with the last end, every end with the
 * first begin, and every single cell.
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

/** A tile's region of a tensor; axes other than rows and columns are whole. */
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
