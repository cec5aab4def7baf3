import { floatAttribute, intAttribute, intsAttribute, stringAttribute } from '../../onnx/attributes.ts';
import type { Initializer } from '../../onnx/model.ts';
import { constantTensor } from '../../onnx/values.ts';
import { type Axis, axisAt, type Layout } from '../layout.ts';
import { CELL_BY_CELL, type ReceptiveField, windowField } from '../receptive-field.ts';
import { tapsField } from '../taps.ts';
import { unfolded } from './channels.ts';
import { resized } from './enlarging.ts';
import { axisIndex, type NodeRule, type NodeView, type Obstacle, obstacle, type Rewrite } from './rule.ts';
import { paddedTaps } from './sampling.ts';
import { slidingLayout } from './windows.ts';

/** One axis of a Slice: start and step. */
interface AxisSlice {
  readonly dim: number;
  readonly start: number;
  readonly end: number;
  readonly step: number;
}

/** The end of a Slice that takes everything; it fits int32, the narrower of the two index types. */
const TO_THE_END = 2 ** 31 - 1;

function cutsOf(view: NodeView, shape: readonly number[]): readonly AxisSlice[] | Obstacle {
  const old = view.opset < 10;
  const starts = old ? intsAttribute(view.node, 'starts') : view.values(1);
  const ends = old ? intsAttribute(view.node, 'ends') : view.values(2);
  const axes = old ? intsAttribute(view.node, 'axes') : view.present(3) ? view.values(3) : starts?.map((_, i) => i);
  const steps = !old && view.present(4) ? view.values(4) : starts?.map(() => 1);
  if (starts === undefined || ends === undefined || steps === undefined || (axes === undefined && !old))
    return obstacle('has bounds that are not constant');
  return starts.map((start, i) => {
    const dim = axisIndex(axes?.[i] ?? i, shape.length);
    const size = shape[dim]!;
    const inside = (at: number) => Math.min(size, Math.max(0, at < 0 ? at + size : at));
    return { dim, start: inside(start), end: inside(ends[i]!), step: steps[i]! };
  });
}

/** The bounds of a rewritten Slice: the tile is cropped before it, so only the step remains along rows and columns. */
function sliceRewrite(view: NodeView, layout: Layout, cuts: readonly AxisSlice[]): Rewrite {
  const kept = cuts.filter((cut) => axisAt(layout, cut.dim) === undefined || cut.step !== 1);
  if (kept.length === 0) return { identity: true };
  const spatial = (cut: AxisSlice) => axisAt(layout, cut.dim) !== undefined;
  const given = new Map(cuts.map((cut, i) => [cut.dim, i]));
  const old = view.opset < 10;
  const original = (input: number, name: string) => (old ? intsAttribute(view.node, name) : view.values(input))!;
  const starts = kept.map((cut) => (spatial(cut) ? 0 : original(1, 'starts')[given.get(cut.dim)!]!));
  const ends = kept.map((cut) => (spatial(cut) ? TO_THE_END : original(2, 'ends')[given.get(cut.dim)!]!));
  const axes = kept.map((cut) => cut.dim);
  const ints = (value: readonly number[]) => ({ kind: 'ints', value }) as const;
  if (old) return { attributes: { starts: ints(starts), ends: ints(ends), axes: ints(axes) } };
  const constant = (name: string, values: readonly number[]): Initializer =>
    constantTensor(name, 'int64', [values.length], values);
  return {
    constants: new Map([
      [1, constant('starts', starts)],
      [2, constant('ends', ends)],
      [3, constant('axes', axes)],
      [
        4,
        constant(
          'steps',
          kept.map((cut) => cut.step),
        ),
      ],
    ]),
  };
}

/** Slice-1..13: along rows and columns with positive steps (x[:, :, ::2, ::2]), along other axes as it is. */
export function slice(view: NodeView): NodeRule | Obstacle {
  const layout = view.map(0);
  const shape = view.input(0)?.shape;
  if (layout === undefined || shape === undefined) return obstacle('has bounds that are computed from the frame');
  const cuts = cutsOf(view, shape);
  if ('reason' in cuts) return cuts;
  const out = view.output(0);
  const touching = cuts.filter((cut) => layout.h === cut.dim || layout.w === cut.dim);
  const moving = touching.filter((cut) => cut.start !== 0 || cut.end !== shape[cut.dim] || cut.step !== 1);
  const rest = { outputs: [resizedUnlessFolded(layout, out)], inputs: [{ layout, h: CELL_BY_CELL, w: CELL_BY_CELL }] };
  if (touching.length === 0) return { ...rest, runs: 'anywhere' };
  const folded = unfolded(layout);
  if (folded !== undefined) return folded;
  if (moving.some((cut) => cut.step < 0)) return obstacle('reverses rows or columns');
  const fields: Record<Axis, ReceptiveField> = { h: CELL_BY_CELL, w: CELL_BY_CELL };
  for (const { dim, start, end, step } of moving) {
    const alone = (cells: number) =>
      Math.max(0, Math.ceil((Math.min(end === shape[dim] ? cells : end, cells) - start) / step));
    fields[axisAt(layout, dim)!] = windowField(1, step, -start, 'clip', alone);
  }
  return {
    outputs: rest.outputs,
    inputs: [{ layout, ...fields }],
    runs: 'exact',
    rewrite: sliceRewrite(view, layout, cuts),
  };
}

function resizedUnlessFolded(layout: Layout, out: readonly number[]): Layout {
  return unfolded(layout) === undefined ? resized(layout, out) : layout;
}

/** Pads of every axis, before and after; undefined where they are not constant. */
function padsOf(view: NodeView, rank: number): { before: number[]; after: number[] } | undefined {
  const given =
    view.opset < 11 ? (intsAttribute(view.node, 'pads') ?? intsAttribute(view.node, 'paddings')) : view.values(1);
  const axes = view.present(3) ? view.values(3) : Array.from({ length: rank }, (_, i) => i);
  if (given === undefined || axes === undefined) return undefined;
  const before = new Array<number>(rank).fill(0);
  const after = new Array<number>(rank).fill(0);
  axes.forEach((axis, i) => {
    before[axisIndex(axis, rank)] = given[i]!;
    after[axisIndex(axis, rank)] = given[i + axes.length]!;
  });
  return { before, after };
}

/** Pad-2..21: a constant, the map mirrored at its border (reflect) or its border repeated (edge); along channels also wrapped. */
export function pad(view: NodeView): NodeRule | Obstacle {
  const layout = view.map(0)!;
  const rank = view.output(0).length;
  const pads = padsOf(view, rank);
  const value = view.opset < 11 ? [floatAttribute(view.node, 'value', 0)] : view.present(2) ? view.values(2) : [0];
  if (pads === undefined || value === undefined) return obstacle('has pads that are not constant');
  const fields: Record<Axis, ReceptiveField> = { h: CELL_BY_CELL, w: CELL_BY_CELL };
  const mode = stringAttribute(view.node, 'mode', 'constant');
  if (mode === 'constant' && value[0] === 0 && losesItsZeros(view))
    return obstacle('pads with 0 before a MaxPool, where ONNX Runtime ignores the padding');
  let moves = false;
  for (let dim = 0; dim < rank; dim++) {
    const [before, after] = [pads.before[dim]!, pads.after[dim]!];
    if (!(layout.h === dim || layout.w === dim) || (before === 0 && after === 0)) continue;
    const folded = unfolded(layout);
    if (folded !== undefined) return folded;
    const field = paddedField(mode, view.input(0)!.shape[dim]!, before, after);
    if ('reason' in field) return field;
    fields[axisAt(layout, dim)!] = field;
    moves = true;
  }
  if (!moves) return { outputs: [layout], inputs: [{ layout, h: CELL_BY_CELL, w: CELL_BY_CELL }], runs: 'anywhere' };
  const inner = (values: readonly number[]) => values.map((n, dim) => (axisAt(layout, dim) === undefined ? n : 0));
  const left = [...inner(pads.before), ...inner(pads.after)];
  const rewrite: Rewrite = left.every((n) => n === 0)
    ? { identity: true }
    : view.opset < 11
      ? { attributes: { pads: { kind: 'ints', value: left } } }
      : {
          constants: new Map([
            [1, constantTensor('pads', 'int64', [left.length], left)] as const,
            [3, undefined] as const,
          ]),
        };
  return {
    outputs: [resized(layout, view.output(0))],
    inputs: [{ layout, ...fields, fill: value[0] ?? 0 }],
    runs: 'exact',
    rewrite,
  };
}

/** Operators without negative results, so that a maximum with 0 equals a maximum without it. */
const NOT_NEGATIVE: ReadonlySet<string> = new Set(['Relu', 'Sigmoid', 'HardSigmoid', 'Softmax', 'Abs', 'Exp']);

/**
 * Whether the runtime changes the result of a Pad with 0 followed by a MaxPool: it fuses both into one MaxPool that
 * ignores padding (1.30), so the maximum of negative numbers is no longer 0.
 */
function losesItsZeros(view: NodeView): boolean {
  return view.readers(0).some(({ op }) => op === 'MaxPool') && !NOT_NEGATIVE.has(view.maker(0)?.op ?? '');
}

/** The receptive field of an axis that is padded in one of Pad's modes. */
function paddedField(mode: string, cells: number, before: number, after: number): ReceptiveField | Obstacle {
  if (mode === 'constant') return windowField(1, 1, before, 'pad', (own) => own + before + after);
  if (mode === 'wrap') return obstacle('wraps around, so each border needs the opposite one');
  if (mode !== 'reflect' && mode !== 'edge') return obstacle(`pads rows or columns in mode ${mode}`);
  if (before < 0 || after < 0) return obstacle(`pads in mode ${mode} and crops at once`);
  // A tile that is run alone mirrors at its own edges, and needs enough cells for that.
  const alone = (own: number) => (mode === 'reflect' && own <= Math.max(before, after) ? 0 : own + before + after);
  return tapsField(paddedTaps(cells, before, after, mode), cells, { mul: 1, div: 1 }, alone);
}

/** SpaceToDepth-1..13. */
export function spaceToDepth(view: NodeView): NodeRule | Obstacle {
  const layout = slidingLayout(view);
  if ('reason' in layout) return layout;
  if (layout.h !== 2 || layout.w !== 3) return obstacle('makes channels of other axes');
  const block = intAttribute(view.node, 'blocksize', 1);
  const field = windowField(block, block, 0, 'clip', (cells) => cells / block);
  return { outputs: [resized(layout, view.output(0))], inputs: [{ layout, h: field, w: field }], runs: 'exact' };
}
