import { intAttribute, intsAttribute } from '../attributes.ts';
import { sliceRange } from '../slice-range.ts';
import { axisAttribute, axisOf, input, misfit, type Operator, type ShapeRule, type ShapeRules } from './operator.ts';

const concat: ShapeRule = (op) => {
  const { dtype, shape } = input(op, 0);
  const axis = axisAttribute(op, 1, shape.length);
  const result = [...shape];
  op.inputs.slice(1).forEach((_, i) => {
    const other = input(op, i + 1).shape;
    if (other.length !== shape.length || other.some((size, k) => k !== axis && size !== shape[k])) {
      throw misfit(op, `cannot join [${other}] to [${shape}] along axis ${axis}`);
    }
    result[axis]! += other[axis]!;
  });
  return [{ dtype, shape: result }];
};

/**
 * Sizes of Split's outputs: the attribute `split`, since version 13 the second input, else equal parts. Since version
 * 18 the last part may be smaller.
 */
function splitSizes(op: Operator, size: number): readonly number[] | undefined {
  if (op.inputs[1] !== undefined) return op.constant(1);
  const given = intsAttribute(op.node, 'split');
  if (given !== undefined) return given;
  const parts = op.node.outputs.length;
  const part = Math.ceil(size / parts);
  return Array.from({ length: parts }, (_, i) => Math.max(0, Math.min(part, size - i * part)));
}

const split: ShapeRule = (op) => {
  const { dtype, shape } = input(op, 0);
  const axis = axisAttribute(op, 0, shape.length);
  const sizes = splitSizes(op, shape[axis]!);
  if (sizes === undefined) return undefined;
  if (sizes.reduce((sum, size) => sum + size, 0) !== shape[axis]) {
    throw misfit(op, `cannot split ${shape[axis]} into [${sizes}]`);
  }
  return sizes.map((size) => ({ dtype, shape: shape.map((whole, i) => (i === axis ? size : whole)) }));
};

/**
 * Parameters of Slice: attributes before version 10, since then inputs 1 to 4. Undefined where they are unknown before
 * a run.
 */
export function sliceParameters(op: Operator) {
  const { shape } = input(op, 0);
  const isOld = op.opset < 10;
  const starts = isOld ? intsAttribute(op.node, 'starts') : op.constant(1);
  const ends = isOld ? intsAttribute(op.node, 'ends') : op.constant(2);
  if (starts === undefined || ends === undefined) return undefined;
  const given = isOld ? intsAttribute(op.node, 'axes') : op.inputs[3] && op.constant(3);
  const steps = isOld ? undefined : op.inputs[4] && op.constant(4);
  if (!isOld && ((op.inputs[3] && !given) || (op.inputs[4] && !steps))) return undefined;
  if (ends.length !== starts.length || starts.length > shape.length) throw misfit(op, `slices [${shape}] unevenly`);
  return starts.map((start, i) => {
    const axis = axisOf(op, given?.[i] ?? i, shape.length);
    const step = steps?.[i] ?? 1;
    if (step === 0) throw misfit(op, 'has a step of 0');
    return { axis, range: sliceRange(shape[axis]!, start, ends[i]!, step) };
  });
}

const slice: ShapeRule = (op) => {
  const { dtype, shape } = input(op, 0);
  const parameters = sliceParameters(op);
  if (parameters === undefined) return undefined;
  const result = [...shape];
  for (const { axis, range } of parameters) result[axis] = range.count;
  return [{ dtype, shape: result }];
};

/** Pad: `pads` is an attribute before version 11, since then the second input; since 18 for the axes of input 4 only. */
const pad: ShapeRule = (op) => {
  const { dtype, shape } = input(op, 0);
  const pads = op.opset < 11 ? intsAttribute(op.node, 'pads') : op.constant(1);
  const axes = op.inputs[3] === undefined ? shape.map((_, axis) => axis) : op.constant(3);
  if (pads === undefined || axes === undefined) return undefined;
  if (pads.length !== 2 * axes.length) throw misfit(op, `pads [${shape}] by [${pads}]`);
  const result = [...shape];
  axes.forEach((axis, i) => {
    result[axisOf(op, axis, shape.length)]! += pads[i]! + pads[i + axes.length]!;
  });
  return [{ dtype, shape: result }];
};

const gather: ShapeRule = (op) => {
  const { dtype, shape } = input(op, 0);
  const axis = axisAttribute(op, 0, shape.length);
  return [{ dtype, shape: [...shape.slice(0, axis), ...input(op, 1).shape, ...shape.slice(axis + 1)] }];
};

const gatherND: ShapeRule = (op) => {
  const { dtype, shape } = input(op, 0);
  const indices = input(op, 1).shape;
  const depth = indices.at(-1) ?? 0;
  const batch = intAttribute(op.node, 'batch_dims', 0);
  return [{ dtype, shape: [...indices.slice(0, -1), ...shape.slice(batch + depth)] }];
};

/** Operators that join tensors or select elements of them. */
export const SELECTION: ShapeRules = {
  Concat: concat,
  Split: split,
  Slice: slice,
  Pad: pad,
  Gather: gather,
  GatherND: gatherND,
  GatherElements: (op) => [{ dtype: input(op, 0).dtype, shape: input(op, 1).shape }],
};
