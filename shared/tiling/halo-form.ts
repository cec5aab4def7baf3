import { TesseraError } from '../errors.ts';
import { nodeMacs } from '../onnx/cost.ts';
import { boxShape, byteLength } from '../tensor/tensor.ts';
import { axisRanges, type Ranges, sameRanges } from './axis-ranges.ts';
import { type Bands, gridBands, tileBox } from './bands.ts';
import type { Feed, PartForm, PartOutline, Region, StageForm } from './form.ts';
import type { Adjustment, GeometrySlot, GridRanges, RangesByAxis, SampleFeed } from './halo-feeds.ts';
import { type HaloModel, haloModel } from './halo-model.ts';
import { AXES, type Axis, cells } from './layout.ts';
import type { Segment } from './segment.ts';
import { localIndices, tapsMatrix } from './taps.ts';
import { GEOMETRY } from './tile-model-builder.ts';

/**
 * Pads of an adjustment for one tile, as ONNX' Pad takes them: [before per axis, after per axis]. Negative ones crop.
 */
function padsOf({ layout, rank, from, to }: Adjustment, ranges: RangesByAxis, row: number, col: number): number[] {
  const pads = new Array<number>(2 * rank).fill(0);
  for (const axis of AXES) {
    const dim = layout[axis];
    if (dim < 0) continue;
    const k = axis === 'h' ? row : col;
    const [held, given] = [from(ranges[axis]), to(ranges[axis])];
    pads[dim] = held.lo[k]! - given.lo[k]!;
    pads[dim + rank] = given.hi[k]! - held.hi[k]!;
  }
  return pads;
}

function shapeOf(slot: GeometrySlot & { kind: 'shape' }, ranges: RangesByAxis, row: number, col: number): number[] {
  const { h, w } = { h: ranges.h.runs[slot.node]!, w: ranges.w.runs[slot.node]! };
  const rows = h.hi[row]! - h.lo[row]!;
  const cols = w.hi[col]! - w.lo[col]!;
  return slot.dims.map((dim) => (dim === 'h' ? rows : dim === 'w' ? cols : dim === 'hw' ? rows * cols : dim));
}

/** Positions and matrices of the resampled axes, per axis and band; all tiles of a band share them. */
function sampleFeeds({ samples }: HaloModel, ranges: RangesByAxis): Readonly<Record<Axis, readonly Feed[][]>> {
  const bandsOf = (axis: Axis, count: number) =>
    Array.from({ length: count }, (_, k) =>
      samples.filter((s) => s.axis === axis).map((s) => sampleFeed(s, ranges, k)),
    );
  const count = (axis: Axis) => [...ranges[axis].wanted.values()][0]!.lo.length;
  return { h: bandsOf('h', count('h')), w: bandsOf('w', count('w')) };
}

function sampleFeed({ name, axis, node, taps, by }: SampleFeed, ranges: RangesByAxis, k: number): Feed {
  const [run, given] = [ranges[axis].runs[node]!, ranges[axis].given[node]![0]!];
  const [from, to, start, end] = [run.lo[k]!, run.hi[k]!, given.lo[k]!, given.hi[k]!];
  if (by === 'positions')
    return { name, dtype: 'int64', shape: [to - from], values: localIndices(taps, from, to, start) };
  const shape = by === 'left' ? [to - from, end - start] : [end - start, to - from];
  return { name, dtype: 'float32', shape, values: tapsMatrix(taps, [from, to], [start, end], by === 'right') };
}

function feedsOf(form: HaloModel, ranges: RangesByAxis, row: number, col: number): Feed[] {
  const feeds: Feed[] = [];
  const values = form.slots.flatMap((slot) =>
    slot.kind === 'adjustment' ? padsOf(slot.adjustment, ranges, row, col) : shapeOf(slot, ranges, row, col),
  );
  if (values.length > 0) feeds.push({ name: GEOMETRY, dtype: 'int64', shape: [values.length], values });
  for (const { name, dtype, axis, shape, node, factors } of form.counts) {
    const run = ranges[axis].runs[node]!;
    const k = axis === 'h' ? row : col;
    const slice = factors.slice(run.lo[k]!, run.hi[k]!);
    feeds.push({ name, dtype, shape: shape.map((n) => (n === -1 ? slice.length : n)), values: slice });
  }
  return feeds;
}

/**
 * Multiply-adds of a tile: those of each node, times the share of its rows and of its columns that the tile computes.
 */
function macsOf(segment: Segment, ranges: RangesByAxis): (row: number, col: number) => number {
  const costs = segment.nodes.flatMap(({ node, rule }, index) => {
    const macs = nodeMacs(segment.resolved, node);
    if (macs === 0 || rule === undefined) return [];
    const share = (axis: Axis, k: number) => {
      const run = ranges[axis].runs[index]!;
      return (run.hi[k]! - run.lo[k]!) / cells(rule.outputs[0]!, axis);
    };
    return [{ macs, share }];
  });
  return (row, col) =>
    Math.round(costs.reduce((sum, { macs, share }) => sum + macs * share('h', row) * share('w', col), 0));
}

/**
 * The outputs of which a tile gives a region. An output with fewer cells than bands comes from some of the tiles only; one
 * without an axis comes from one band along it.
 */
function givenBy(
  { outputs }: Segment,
  bands: Readonly<Record<Axis, Bands>>,
  row: number,
  col: number,
): readonly string[] {
  const gives = (tensor: string, axis: Axis, k: number): boolean => {
    const { lo, hi } = bands[axis].given.get(tensor)!;
    return lo[k]! < hi[k]!;
  };
  return outputs.filter((tensor) => gives(tensor, 'h', row) && gives(tensor, 'w', col));
}

/** The regions and multiply-adds of a grid's tiles, row by row. */
function outlinesOf(
  segment: Segment,
  bands: Readonly<Record<Axis, Bands>>,
  ranges: RangesByAxis,
  rows: readonly number[],
  cols: readonly number[],
): PartOutline[] {
  const macs = macsOf(segment, ranges);
  const { specs } = segment.resolved;
  const read = segment.inputs.filter((tensor) => ranges.h.need.has(tensor));
  return rows.flatMap((_, row) =>
    cols.map((_, col): PartOutline => {
      const region = (tensor: string, of: (axis: Axis) => Ranges): Region => {
        const layout = segment.layouts.get(tensor)!;
        return { tensor, box: tileBox(specs.get(tensor)!.shape, layout, { h: of('h'), w: of('w') }, row, col) };
      };
      return {
        t_id: row * cols.length + col,
        in: read.map((tensor) => region(tensor, (axis) => ranges[axis].need.get(tensor)!)),
        out: givenBy(segment, bands, row, col).map((tensor) =>
          region(tensor, (axis) => bands[axis].given.get(tensor)!),
        ),
        macs: macs(row, col),
      };
    }),
  );
}

/** The parts of a stage of tiles with halos, as `haloForm` compiles them, without their model. */
export function haloOutlines(segment: Segment, rows: readonly number[], cols: readonly number[]): PartOutline[] {
  const bands = { h: gridBands(segment, 'h', rows), w: gridBands(segment, 'w', cols) };
  const ranged = (axis: Axis): GridRanges => {
    const { wanted } = bands[axis];
    return { ...axisRanges(segment, axis, wanted), wanted };
  };
  return outlinesOf(segment, bands, { h: ranged('h'), w: ranged('w') }, rows, cols);
}

/** What one tile costs, halo included: multiply-adds, and bytes of the regions that it reads and makes. */
export interface TileCost {
  readonly macs: number;
  readonly bytes_in: number;
  readonly bytes_out: number;
}

/** The costs of a grid's tiles, row by row, computed without building their model. */
export function haloCosts(segment: Segment, rows: readonly number[], cols: readonly number[]): TileCost[] {
  const { specs } = segment.resolved;
  const bytes = (regions: readonly Region[]): number =>
    regions.reduce((sum, { tensor, box }) => sum + byteLength({ ...specs.get(tensor)!, shape: boxShape(box) }), 0);
  return haloOutlines(segment, rows, cols).map(({ macs, in: read, out }) => {
    return { macs, bytes_in: bytes(read), bytes_out: bytes(out) };
  });
}

/**
 * Checks that no band needs a crop where the model has none. Such a band would compute wrong cells, so this is a fault
 * of Tessera.
 */
function checkUntouched(form: HaloModel, ranges: RangesByAxis): void {
  for (const adjustment of form.untouched)
    for (const axis of AXES)
      if (!sameRanges(adjustment.from(ranges[axis]), adjustment.to(ranges[axis])))
        throw new TesseraError('TESSERA_INTERNAL', 'a tile needs a crop that the model of its stage does not have', {
          hint: 'Please report the model and the grid; --grid 1x1 avoids it.',
        });
}

/**
 * Compiles a stage of tiles with halos: their results equal those of the whole network (reverse tile calculation).
 * `rows` and `cols` add up to the size of the reference output.
 */
export function haloForm(segment: Segment, rows: readonly number[], cols: readonly number[]): StageForm {
  const form = haloModel(segment);
  const bands = { h: gridBands(segment, 'h', rows), w: gridBands(segment, 'w', cols) };
  const walked = (axis: Axis): GridRanges => {
    const { wanted } = bands[axis];
    return { ...axisRanges(segment, axis, wanted, (node) => form.alignment[axis][node]!), wanted };
  };
  const ranges: RangesByAxis = { h: walked('h'), w: walked('w') };
  checkUntouched(form, ranges);
  const sampled = sampleFeeds(form, ranges);
  const parts = outlinesOf(segment, bands, ranges, rows, cols).map((outline): PartForm => {
    const [row, col] = [Math.floor(outline.t_id / cols.length), outline.t_id % cols.length];
    const feeds = [...feedsOf(form, ranges, row, col), ...sampled.h[row]!, ...sampled.w[col]!];
    return { ...outline, model: form.model, slices: [], feeds };
  });
  return { parts, approximate: false };
}
