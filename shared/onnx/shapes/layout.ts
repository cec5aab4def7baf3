import { elementCount } from '../../tensor/tensor.ts';
import { intAttribute, intsAttribute, stringAttribute } from '../attributes.ts';
import {
  axisAttribute,
  axisOf,
  broadcast,
  input,
  misfit,
  type Operator,
  type ShapeRule,
  type ShapeRules,
} from './operator.ts';

/** Reshape: 0 keeps the input's dimension (unless `allowzero`), one -1 takes the remaining elements. */
const reshape: ShapeRule = (op) => {
  const { dtype, shape } = input(op, 0);
  const asked = op.constant(1);
  if (asked === undefined) return undefined;
  const literalZero = intAttribute(op.node, 'allowzero', 0) === 1;
  const target = asked.map((size, axis) => (size === 0 && !literalZero ? (shape[axis] ?? 0) : size));
  const open = target.indexOf(-1);
  const count = elementCount(shape);
  if (open >= 0) {
    const rest = elementCount(target.filter((_, axis) => axis !== open));
    target[open] = rest === 0 ? 0 : count / rest;
  }
  if (elementCount(target) !== count || !target.every((size) => Number.isInteger(size) && size >= 0)) {
    throw misfit(op, `cannot give [${shape}] the shape [${asked}]`);
  }
  return [{ dtype, shape: target }];
};

const flatten: ShapeRule = (op) => {
  const { dtype, shape } = input(op, 0);
  const asked = intAttribute(op.node, 'axis', 1);
  const axis = asked === shape.length ? asked : axisOf(op, asked, shape.length);
  return [{ dtype, shape: [elementCount(shape.slice(0, axis)), elementCount(shape.slice(axis))] }];
};

const transpose: ShapeRule = (op) => {
  const { dtype, shape } = input(op, 0);
  const order = intsAttribute(op.node, 'perm') ?? shape.map((_, axis) => shape.length - 1 - axis);
  if (order.length !== shape.length || new Set(order).size !== shape.length) {
    throw misfit(op, `cannot order the axes of [${shape}] as [${order}]`);
  }
  return [{ dtype, shape: order.map((axis) => shape[axisOf(op, axis, shape.length)]!) }];
};

/** Axes of Squeeze and Unsqueeze: an attribute, since version 13 the second input. `none` where neither is present. */
function givenAxes(op: Operator): readonly number[] | 'none' | undefined {
  if (op.inputs[1] !== undefined) return op.constant(1);
  return intsAttribute(op.node, 'axes') ?? 'none';
}

const squeeze: ShapeRule = (op) => {
  const { dtype, shape } = input(op, 0);
  const given = givenAxes(op);
  if (given === undefined) return undefined;
  if (given === 'none') return [{ dtype, shape: shape.filter((size) => size !== 1) }];
  const axes = new Set(given.map((axis) => axisOf(op, axis, shape.length)));
  if ([...axes].some((axis) => shape[axis] !== 1)) throw misfit(op, `cannot drop axes [${given}] of [${shape}]`);
  return [{ dtype, shape: shape.filter((_, axis) => !axes.has(axis)) }];
};

const unsqueeze: ShapeRule = (op) => {
  const { dtype, shape } = input(op, 0);
  const given = givenAxes(op);
  if (given === undefined || given === 'none') return undefined;
  const rank = shape.length + given.length;
  const axes = new Set(given.map((axis) => axisOf(op, axis, rank)));
  if (axes.size !== given.length) throw misfit(op, `names an axis twice: [${given}]`);
  const rest = shape.values();
  return [{ dtype, shape: Array.from({ length: rank }, (_, axis) => (axes.has(axis) ? 1 : rest.next().value!)) }];
};

const depthToSpace: ShapeRule = (op) => {
  const { dtype, shape } = input(op, 0);
  const block = intAttribute(op.node, 'blocksize', 0);
  const [n, c, h, w] = shape;
  if (shape.length !== 4 || block < 1 || c! % (block * block) !== 0) {
    throw misfit(op, `cannot spread [${shape}] over blocks of ${block}`);
  }
  return [{ dtype, shape: [n!, c! / (block * block), h! * block, w! * block] }];
};

const spaceToDepth: ShapeRule = (op) => {
  const { dtype, shape } = input(op, 0);
  const block = intAttribute(op.node, 'blocksize', 0);
  const [n, c, h, w] = shape;
  if (shape.length !== 4 || block < 1 || h! % block !== 0 || w! % block !== 0) {
    throw misfit(op, `cannot gather [${shape}] by blocks of ${block}`);
  }
  return [{ dtype, shape: [n!, c! * block * block, h! / block, w! / block] }];
};

const expand: ShapeRule = (op) => {
  const { dtype, shape } = input(op, 0);
  const asked = op.constant(1);
  return asked && [{ dtype, shape: broadcast(op, [shape, asked]) }];
};

const tile: ShapeRule = (op) => {
  const { dtype, shape } = input(op, 0);
  const repeats = op.constant(1);
  if (repeats === undefined) return undefined;
  if (repeats.length !== shape.length) throw misfit(op, `repeats [${shape}] [${repeats}] times`);
  return [{ dtype, shape: shape.map((size, axis) => size * repeats[axis]!) }];
};

/** Im2Col's inverse, Col2Im-18: [n, c * block, blocks] to [n, c, ...image_shape]. */
const col2Im: ShapeRule = (op) => {
  const { dtype, shape } = input(op, 0);
  const image = op.constant(1);
  const block = op.constant(2);
  return image && block && [{ dtype, shape: [shape[0]!, shape[1]! / elementCount(block), ...image] }];
};

/** GridSample-16: [n, c, ...] sampled at [n, ..., 2] gives [n, c, ...]. */
const gridSample: ShapeRule = (op) => {
  const { dtype, shape } = input(op, 0);
  return [{ dtype, shape: [...shape.slice(0, 2), ...input(op, 1).shape.slice(1, -1)] }];
};

/** RoiAlign-10: one map per region. */
const roiAlign: ShapeRule = (op) => {
  const { dtype, shape } = input(op, 0);
  const size = [intAttribute(op.node, 'output_height', 1), intAttribute(op.node, 'output_width', 1)];
  return [{ dtype, shape: [input(op, 1).shape[0] ?? 0, shape[1] ?? 0, ...size] }];
};

/** LSTM, GRU and RNN: all hidden states, the last one, and the last cell. Layout 0: [steps, batch, features]. */
const recurrent: ShapeRule = (op) => {
  const { dtype, shape } = input(op, 0);
  const hidden = intAttribute(op.node, 'hidden_size', 0);
  const directions = stringAttribute(op.node, 'direction', 'forward') === 'bidirectional' ? 2 : 1;
  if (intAttribute(op.node, 'layout', 0) === 1) {
    const last = { dtype, shape: [shape[0]!, directions, hidden] };
    return [{ dtype, shape: [shape[0]!, shape[1]!, directions, hidden] }, last, last];
  }
  const last = { dtype, shape: [directions, shape[1]!, hidden] };
  return [{ dtype, shape: [shape[0]!, directions, shape[1]!, hidden] }, last, last];
};

/** Operators that rearrange, repeat or resample their input. */
export const LAYOUT: ShapeRules = {
  Reshape: reshape,
  Flatten: flatten,
  Transpose: transpose,
  Squeeze: squeeze,
  Unsqueeze: unsqueeze,
  DepthToSpace: depthToSpace,
  SpaceToDepth: spaceToDepth,
  Expand: expand,
  Tile: tile,
  Col2Im: col2Im,
  GridSample: gridSample,
  RoiAlign: roiAlign,
  LSTM: recurrent,
  GRU: recurrent,
  RNN: recurrent,
  ReverseSequence: (op) => [input(op, 0)],
  /** AffineGrid-20 and similar operators need `size`, which is a shape. */
  AffineGrid: (op) => {
    const size = op.constant(1);
    return size && [{ dtype: input(op, 0).dtype, shape: [size[0]!, ...size.slice(2), size.length - 2] }];
  },
  CenterCropPad: (op) => {
    const { dtype, shape } = input(op, 0);
    const asked = op.constant(1);
    const axes = intsAttribute(op.node, 'axes') ?? shape.map((_, axis) => axis);
    if (asked === undefined) return undefined;
    const result = [...shape];
    axes.forEach((axis, i) => {
      result[axisOf(op, axis, shape.length)] = asked[i] ?? 0;
    });
    return [{ dtype, shape: result }];
  },
  OneHot: (op) => {
    const depth = op.constant(1)?.[0];
    if (depth === undefined) return undefined;
    const { shape } = input(op, 0);
    const axis = axisAttribute(op, -1, shape.length + 1);
    return [{ dtype: input(op, 2).dtype, shape: [...shape.slice(0, axis), depth, ...shape.slice(axis)] }];
  },
};
