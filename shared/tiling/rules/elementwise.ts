import { intAttribute, intsAttribute } from '../../onnx/attributes.ts';
import { axisNames, isFolded, isSpatial, type Layout, moved } from '../layout.ts';
import { BROADCAST, CELL_BY_CELL, type ReceptiveField } from '../receptive-field.ts';
import { axisIndex, type InputRule, type NodeRule, type NodeView, type Obstacle, obstacle } from './rule.ts';

/**
 * Operators that work cell by cell: the output has the layout of the first input. Other inputs must not depend on the
 * frame.
 */
export function unary(view: NodeView): NodeRule | Obstacle {
  const layout = view.map(0);
  if (layout === undefined || view.node.inputs.some((_, i) => i > 0 && view.map(i) !== undefined))
    return obstacle('has a parameter that is computed from the frame');
  return through(layout, layout);
}

/** One input and one output; each output cell depends on the input cell at the same position. */
export function through(layout: Layout, out: Layout): NodeRule {
  return { outputs: [out], inputs: [{ layout, h: CELL_BY_CELL, w: CELL_BY_CELL }], runs: 'anywhere' };
}

/** The output axis of the rows (or columns) of broadcast inputs; undefined where they disagree. */
function commonDim(maps: readonly (Layout | undefined)[], offsets: readonly number[], axis: 'h' | 'w') {
  const dims = new Set(maps.flatMap((map, i) => (map === undefined || map[axis] < 0 ? [] : [map[axis] + offsets[i]!])));
  return dims.size > 1 ? undefined : ([...dims][0] ?? -1);
}

/**
 * Operators that combine inputs cell by cell, with NumPy broadcasting (ONNX operators since version 7). Constants that
 * vary in space are cropped as maps are.
 */
export function broadcast(view: NodeView): NodeRule | Obstacle {
  const out = view.output(0);
  return broadcastWith(view, out, () => undefined);
}

/** As `broadcast`, with a check of the common layout (Concat). */
export function broadcastWith(
  view: NodeView,
  out: readonly number[],
  check: (layout: Layout) => Obstacle | undefined,
): NodeRule | Obstacle {
  const count = view.node.inputs.length;
  const indices = Array.from({ length: count }, (_, i) => i);
  const maps = indices.map((i) => view.map(i));
  const shapes = indices.map((i) => view.input(i)?.shape);
  const offsets = shapes.map((shape) => out.length - (shape?.length ?? 0));
  const h = commonDim(maps, offsets, 'h');
  const w = commonDim(maps, offsets, 'w');
  if (h === undefined || w === undefined) return obstacle('joins maps whose rows or columns lie on different axes');
  const folded = maps.filter((map) => map !== undefined && isFolded(map));
  const whole: Layout = {
    h,
    w,
    rows: folded[0]?.rows ?? (h < 0 ? 1 : out[h]!),
    cols: folded[0]?.cols ?? (w < 0 ? 1 : out[w]!),
  };
  if (h >= 0 && h === w && (folded.length !== 1 || maps.some((map) => map !== undefined && !isFolded(map))))
    return obstacle('joins maps whose rows and columns are folded into one axis');
  const problem = check(whole);
  if (problem !== undefined) return problem;
  const inputs: (InputRule | undefined)[] = [];
  for (const i of indices) {
    const shape = shapes[i];
    if (shape === undefined) {
      if (view.present(i)) return obstacle('has an input of unknown shape');
      inputs.push(undefined);
      continue;
    }
    const input = alignedInput(maps[i], shape, whole, offsets[i]!);
    if (input !== undefined && 'reason' in input) return input;
    inputs.push(input);
  }
  return { outputs: view.node.outputs.map(() => whole), inputs, runs: 'anywhere' };
}

/** The rule for an input that is aligned at its last axes; undefined for an input without spatial extent. */
function alignedInput(
  map: Layout | undefined,
  shape: readonly number[],
  whole: Layout,
  offset: number,
): InputRule | Obstacle | undefined {
  if (map !== undefined && isFolded(map)) return { layout: map, h: CELL_BY_CELL, w: CELL_BY_CELL };
  const along = (dim: number, mapped: number | undefined): { dim: number; field: ReceptiveField } | Obstacle => {
    const own = dim < 0 ? -1 : dim - offset;
    const size = own < 0 ? 1 : shape[own]!;
    if (mapped !== undefined && mapped >= 0 && mapped !== own) return obstacle('joins maps with different axes');
    if (size > 1 && map !== undefined && mapped !== own)
      return obstacle('joins rows or columns with an axis of another kind');
    return {
      dim: own,
      field: size === 1 && (dim < 0 || (dim === whole.h ? whole.rows : whole.cols) > 1) ? BROADCAST : CELL_BY_CELL,
    };
  };
  const h = along(whole.h, map?.h);
  const w = along(whole.w, map?.w);
  if ('reason' in h) return h;
  if ('reason' in w) return w;
  const rows = h.dim < 0 ? 1 : shape[h.dim]!;
  const cols = w.dim < 0 ? 1 : shape[w.dim]!;
  if (map === undefined && rows === 1 && cols === 1) return undefined;
  if (map === undefined && whole.h >= 0 && whole.h === whole.w)
    return obstacle('joins a folded map with a constant that varies in space');
  return { layout: { h: h.dim < 0 ? -1 : h.dim, w: w.dim < 0 ? -1 : w.dim, rows, cols }, h: h.field, w: w.field };
}

/** Operators that treat axis 1 as channels (BatchNormalization, LRN): rows and columns must not lie there. */
export function perChannel(view: NodeView): NodeRule | Obstacle {
  const rule = unary(view);
  if ('reason' in rule) return rule;
  if ((view.input(1)?.shape.length ?? 1) > 1) return obstacle('has a parameter for each cell');
  return isSpatial(view.map(0)!, 1)
    ? obstacle('treats rows or columns as channels')
    : { ...rule, outputs: rule.outputs.slice(0, 1) };
}

/** BatchNormalization-7..15 in inference: one output. Further outputs would be statistics of its own input. */
export function batchNormalization(view: NodeView): NodeRule | Obstacle {
  if (view.node.outputs.slice(1).some((output) => output !== ''))
    return obstacle('makes statistics of its own input, so it needs the whole map');
  return perChannel(view);
}

/** Dropout: the identity, except in training mode (an input since version 12). */
export function dropout(view: NodeView): NodeRule | Obstacle {
  const training = view.present(2) ? view.values(2)?.[0] : 0;
  return training === 0 ? unary(view) : obstacle('drops cells at random');
}

/** QuantizeLinear and DequantizeLinear, per tensor or per channel. */
export function quantize(view: NodeView): NodeRule | Obstacle {
  const rule = unary(view);
  if ('reason' in rule) return rule;
  const scale = view.input(1)?.shape;
  const axis = axisIndex(intAttribute(view.node, 'axis', 1), view.output(0).length);
  if (scale === undefined || intAttribute(view.node, 'block_size', 0) !== 0 || scale.length > 1)
    return obstacle('quantises in blocks');
  const codes = view.node.op === 'DequantizeLinear' ? view.input(0)?.dtype : undefined;
  // The runtime moves such a node behind others, and treats its codes as uint8 there (1.30).
  if (codes !== undefined && codes !== 'uint8' && !view.present(2))
    return obstacle(`has codes of ${codes} and no zero point, which ONNX Runtime may take for others`);
  return scale[0] !== undefined && scale[0] > 1 && isSpatial(view.map(0)!, axis)
    ? obstacle('has a scale for each row or column')
    : rule;
}

function needs(layout: Layout, dims: readonly number[], verb: string): Obstacle {
  const both = dims.includes(layout.h) && dims.includes(layout.w);
  return obstacle(both ? 'needs the whole map' : `${verb} whole ${axisNames(layout, dims)}`);
}

/** Softmax, LogSoftmax, Hardmax: before version 13 over all axes from `axis` on, later over one axis. */
export function softmax(view: NodeView): NodeRule | Obstacle {
  const layout = view.map(0)!;
  const rank = view.output(0).length;
  const axis = axisIndex(intAttribute(view.node, 'axis', view.opset < 13 ? 1 : -1), rank);
  const dims = view.opset < 13 ? Array.from({ length: rank - axis }, (_, i) => axis + i) : [axis];
  return dims.some((dim) => isSpatial(layout, dim)) ? needs(layout, dims, 'sums over') : through(layout, layout);
}

/** LayerNormalization and similar operators: over all axes from `axis` (default the last) on. */
export function trailingNorm(view: NodeView): NodeRule | Obstacle {
  const layout = view.map(0)!;
  const rank = view.output(0).length;
  const axis = axisIndex(intAttribute(view.node, 'axis', -1), rank);
  const dims = Array.from({ length: rank - axis }, (_, i) => axis + i);
  if (dims.some((dim) => isSpatial(layout, dim))) return needs(layout, dims, 'averages over');
  // The runtime broadcasts parameters to the whole input, beyond the axes that are averaged.
  const isWide = (shape: readonly number[]) => shape.slice(0, -dims.length).some((size) => size > 1);
  return view.node.inputs.some((_, i) => i > 0 && isWide(view.input(i)?.shape ?? []))
    ? obstacle('has a scale or bias for each row or column')
    : unary(view);
}

/** LpNormalization and CumSum along an axis that is neither rows nor columns. */
export function alongAxis(view: NodeView): NodeRule | Obstacle {
  const layout = view.map(0)!;
  const given = view.node.op === 'CumSum' ? view.values(1)?.[0] : intAttribute(view.node, 'axis', -1);
  if (given === undefined) return obstacle('runs along an axis that is not constant');
  const axis = axisIndex(given, view.output(0).length);
  return isSpatial(layout, axis) ? needs(layout, [axis], 'runs over') : unary(view);
}

/** Axes of a reduction: an attribute or, in later versions, an input; undefined where they are not constant. */
function reducedAxes(view: NodeView, rank: number): readonly number[] | undefined {
  if (view.node.op === 'ArgMax' || view.node.op === 'ArgMin')
    return [axisIndex(intAttribute(view.node, 'axis', 0), rank)];
  const axes = intsAttribute(view.node, 'axes') ?? (view.present(1) ? view.values(1) : []);
  if (axes === undefined) return undefined;
  if (axes.length === 0 && intAttribute(view.node, 'noop_with_empty_axes', 0) === 1) return [];
  return axes.length === 0 ? Array.from({ length: rank }, (_, i) => i) : axes.map((axis) => axisIndex(axis, rank));
}

/** ReduceSum, ReduceMean, ..., ArgMax and ArgMin over axes that are neither rows nor columns. */
export function reduce(view: NodeView): NodeRule | Obstacle {
  const layout = view.map(0);
  if (layout === undefined) return obstacle('reduces something that is no feature map');
  const axes = reducedAxes(view, view.input(0)!.shape.length);
  if (axes === undefined) return obstacle('reduces axes that are not constant');
  if (axes.some((axis) => isSpatial(layout, axis))) return needs(layout, axes, 'reduces');
  const keeps = intAttribute(view.node, 'keepdims', 1) === 1;
  return through(layout, keeps ? layout : moved(layout, (dim) => dim - axes.filter((axis) => axis < dim).length));
}
