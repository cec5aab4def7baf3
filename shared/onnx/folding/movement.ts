import { intsAttribute } from '../attributes.ts';
import { axisAttribute, input, type Operator } from '../shapes/operator.ts';
import { sliceParameters } from '../shapes/selection.ts';
import type { FoldRule } from './fold-rule.ts';
import { fill, strides } from './positions.ts';

/** An element of an input by its position. */
function at(op: Operator, index: number): (position: readonly number[]) => number | undefined {
  const values = op.constant(index);
  const steps = strides(input(op, index).shape);
  return (position) => values?.[position.reduce((sum, place, axis) => sum + place * steps[axis]!, 0)];
}

/** Keeps all elements in order; only the shape changes. */
const same: FoldRule = (op, outputs) => outputs.map((_, i) => (i === 0 ? op.constant(0)?.slice() : undefined));

const transpose: FoldRule = (op, [output]) => {
  const rank = input(op, 0).shape.length;
  const order = intsAttribute(op.node, 'perm') ?? Array.from({ length: rank }, (_, axis) => rank - 1 - axis);
  const read = at(op, 0);
  return [
    fill(output!.shape, (position) => {
      const source = new Array<number>(rank).fill(0);
      order.forEach((axis, i) => {
        source[axis < 0 ? axis + rank : axis] = position[i]!;
      });
      return read(source);
    }),
  ];
};

/** Expand: axes that the input lacks or has with size 1 repeat. */
const expand: FoldRule = (op, [output]) => {
  const { shape } = input(op, 0);
  const read = at(op, 0);
  const lacking = output!.shape.length - shape.length;
  return [
    fill(output!.shape, (position) => read(shape.map((size, axis) => (size === 1 ? 0 : position[axis + lacking]!)))),
  ];
};

const tile: FoldRule = (op, [output]) => {
  const { shape } = input(op, 0);
  const read = at(op, 0);
  return [fill(output!.shape, (position) => read(shape.map((size, axis) => position[axis]! % size)))];
};

const slice: FoldRule = (op, [output]) => {
  const read = at(op, 0);
  const parameters = sliceParameters(op);
  if (parameters === undefined) return undefined;
  return [
    fill(output!.shape, (position) => {
      const source = [...position];
      for (const { axis, range } of parameters) source[axis] = range.start + position[axis]! * range.step;
      return read(source);
    }),
  ];
};

const concat: FoldRule = (op, [output]) => {
  const axis = axisAttribute(op, 1, output!.shape.length);
  const parts = op.inputs.map((_, i) => ({ read: at(op, i), size: input(op, i).shape[axis]! }));
  return [
    fill(output!.shape, (position) => {
      let place = position[axis]!;
      const part = parts.find(({ size }) => {
        if (place < size) return true;
        place -= size;
        return false;
      });
      return part?.read(position.map((value, i) => (i === axis ? place : value)));
    }),
  ];
};

const split: FoldRule = (op, outputs) => {
  const axis = axisAttribute(op, 0, input(op, 0).shape.length);
  const read = at(op, 0);
  let start = 0;
  return outputs.map((output) => {
    const from = start;
    start += output!.shape[axis]!;
    return fill(output!.shape, (position) => read(position.map((place, i) => (i === axis ? place + from : place))));
  });
};

const gather: FoldRule = (op, [output]) => {
  const { shape } = input(op, 0);
  const axis = axisAttribute(op, 0, shape.length);
  const rank = input(op, 1).shape.length;
  const read = at(op, 0);
  const chosen = at(op, 1);
  return [
    fill(output!.shape, (position) => {
      const index = chosen(position.slice(axis, axis + rank)) ?? Number.NaN;
      const place = index < 0 ? index + shape[axis]! : index;
      if (!(place >= 0 && place < shape[axis]!)) return undefined;
      return read([...position.slice(0, axis), place, ...position.slice(axis + rank)]);
    }),
  ];
};

const nonZero: FoldRule = (op, [output]) => {
  const values = op.constant(0) ?? [];
  const { shape } = input(op, 0);
  const found = values.flatMap((value, i) => (value === 0 ? [] : [i]));
  const steps = strides(shape);
  return [
    fill(output!.shape, ([axis, column]) => Math.floor(found[column!]! / steps[axis!]!) % Math.max(1, shape[axis!]!)),
  ];
};

/** Folds operators that only move elements. */
export const MOVEMENT: Readonly<Record<string, FoldRule>> = {
  Identity: same,
  /** The third input switches to training mode. */
  Dropout: (op, outputs) => (op.inputs[2] === undefined ? same(op, outputs) : undefined),
  Reshape: same,
  Flatten: same,
  Squeeze: same,
  Unsqueeze: same,
  Transpose: transpose,
  Expand: expand,
  Tile: tile,
  Slice: slice,
  Concat: concat,
  Split: split,
  Gather: gather,
  NonZero: nonZero,
};
