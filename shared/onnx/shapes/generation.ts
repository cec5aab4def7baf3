import type { Dtype } from '../../tensor/tensor.ts';
import { intAttribute } from '../attributes.ts';
import { dtypeOf } from '../element-types.ts';
import { input, misfit, type Operator, type ShapeRule, type ShapeRules } from './operator.ts';

/** Shape-15 may take only the dimensions from `start` to `end`. */
export function shapeSlice(op: Operator): readonly number[] {
  const { shape } = input(op, 0);
  return shape.slice(intAttribute(op.node, 'start', 0), intAttribute(op.node, 'end', shape.length));
}

/** Element type of ConstantOfShape's value; float32 where none is given. */
function fillType(op: Operator): Dtype | undefined {
  const value = op.node.attributes.get('value');
  return value?.kind === 'tensor' ? dtypeOf(value.value.elementType) : 'float32';
}

const constantOfShape: ShapeRule = (op) => {
  const shape = op.constant(0);
  const dtype = fillType(op);
  return shape && dtype && [{ dtype, shape }];
};

const range: ShapeRule = (op) => {
  const [start, limit, delta] = [op.constant(0)?.[0], op.constant(1)?.[0], op.constant(2)?.[0]];
  if (start === undefined || limit === undefined || delta === undefined) return undefined;
  if (delta === 0) throw misfit(op, 'has a step of 0');
  return [{ dtype: input(op, 0).dtype, shape: [Math.max(0, Math.ceil((limit - start) / delta))] }];
};

/** NonZero: one column per non-zero element, so its input must be constant. */
const nonZero: ShapeRule = (op) => {
  const values = op.constant(0);
  const { shape } = input(op, 0);
  return values && [{ dtype: 'int64', shape: [shape.length, values.filter((value) => value !== 0).length] }];
};

/** Operators that make tensors from shapes and numbers. */
export const GENERATION: ShapeRules = {
  Shape: (op) => [{ dtype: 'int64', shape: [shapeSlice(op).length] }],
  Size: () => [{ dtype: 'int64', shape: [] }],
  ConstantOfShape: constantOfShape,
  Range: range,
  NonZero: nonZero,
  EyeLike: (op) => {
    const asked = intAttribute(op.node, 'dtype', 0);
    const dtype = asked === 0 ? input(op, 0).dtype : dtypeOf(asked);
    return dtype && [{ dtype, shape: input(op, 0).shape }];
  },
};
