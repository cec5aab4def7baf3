import { intsAttribute } from '../onnx/attributes.ts';
import type { GraphNode, ResolvedModel } from '../onnx/model.ts';
import { numbersOf } from '../onnx/values.ts';
import type { Layout } from './layout.ts';

/** Operators that define the layout: batch, channels, then the spatial axes. */
const CHANNELS_FIRST = new Set(
  `Conv ConvInteger QLinearConv ConvTranspose MaxPool AveragePool LpPool GlobalAveragePool GlobalMaxPool
  BatchNormalization InstanceNormalization DepthToSpace SpaceToDepth`.split(/\s+/),
);

/** Most operators to look through; preprocessing in front of a network has a handful. */
const LOOK_AHEAD = 64;

/** The output axis of each axis of the operator's first input, or undefined where that cannot be told. */
function follow(
  node: GraphNode,
  rank: number,
  constant: (name: string) => readonly number[] | undefined,
): readonly number[] | undefined {
  const same = Array.from({ length: rank }, (_, i) => i);
  if (node.op === 'Transpose') {
    const order = intsAttribute(node, 'perm') ?? [...same].reverse();
    return same.map((dim) => order.indexOf(dim));
  }
  if (node.op === 'Unsqueeze') {
    const axes = intsAttribute(node, 'axes') ?? constant(node.inputs[1] ?? '');
    if (axes === undefined) return undefined;
    const added = axes.map((axis) => (axis < 0 ? axis + rank + axes.length : axis));
    return Array.from({ length: rank + added.length }, (_, i) => i).filter((i) => !added.includes(i));
  }
  return ['Reshape', 'Flatten', 'Squeeze', 'MatMul', 'Gemm'].includes(node.op) ? undefined : same;
}

/**
 * The customary layout of an input of rank `rank`: rows and columns are the last two axes of pictures; series have
 * columns only.
 */
function customary(shape: readonly number[]): Layout {
  const rank = shape.length;
  const h = rank >= 4 ? rank - 2 : -1;
  const w = rank >= 3 ? rank - 1 : -1;
  return { h, w, rows: h < 0 ? 1 : shape[h]!, cols: w < 0 ? 1 : shape[w]! };
}

/**
 * The layout of a tensor, inferred from the first operator behind it that defines one (a convolution's axes are [n, c,
 * h, w] or [n, c, w]), looking through transpositions; the customary layout where none does. Undefined for a tensor of
 * unknown shape.
 */
export function inferLayout(resolved: ResolvedModel, tensor: string): Layout | undefined {
  const shape = resolved.specs.get(tensor)?.shape;
  if (shape === undefined) return undefined;
  // Per tensor, for each of its axes: the axis of the original tensor (-1: none).
  const origins = new Map([[tensor, shape.map((_, i) => i)]]);
  const constant = (name: string) => {
    const value = resolved.model.graph.initializers.get(name);
    return value && numbersOf(value);
  };
  let left = LOOK_AHEAD;
  for (const node of resolved.model.graph.nodes) {
    const origin = origins.get(node.inputs[0] ?? '') ?? origins.get(node.inputs[1] ?? '');
    if (origin === undefined) continue;
    if (left-- === 0) break;
    if (CHANNELS_FIRST.has(node.op) && origins.has(node.inputs[0]!) && (origin.length === 3 || origin.length === 4)) {
      const h = origin.length === 4 ? origin[2]! : -1;
      const w = origin.at(-1)!;
      return { h, w, rows: h < 0 ? 1 : shape[h]!, cols: w < 0 ? 1 : shape[w]! };
    }
    const places = follow(node, origin.length, constant);
    const rank = resolved.specs.get(node.outputs[0] ?? '')?.shape.length;
    if (places === undefined || rank === undefined) continue;
    // A Gather by a list of indices keeps the axes (a change of colour order does); any other adds or removes some.
    if (node.op === 'Gather' && rank !== origin.length) continue;
    const next = new Array<number>(rank).fill(-1);
    places.forEach((to, from) => {
      if (to >= 0 && to < rank) next[to] = origin[from]!;
    });
    for (const output of node.outputs) if (!origins.has(output)) origins.set(output, next);
  }
  return customary(shape);
}
