import { elementCount } from '../../tensor/tensor.ts';
import { intAttribute, intsAttribute } from '../attributes.ts';
import { input, type Operator } from '../shapes/operator.ts';
import type { FoldRule } from './fold-rule.ts';
import { fill, strides } from './positions.ts';

/** The elements that a Reduce operator combines, one list per output element; undefined where they are not constant. */
function reductionRows(op: Operator): readonly (readonly number[])[] | undefined {
  const values = op.constant(0);
  const { shape } = input(op, 0);
  const axes = op.inputs[1] === undefined ? intsAttribute(op.node, 'axes') : op.constant(1);
  const none = axes === undefined || axes.length === 0;
  if (values === undefined || (none && intAttribute(op.node, 'noop_with_empty_axes', 0) === 1)) return undefined;
  const reduced = new Set(
    none ? shape.map((_, axis) => axis) : axes.map((axis) => (axis < 0 ? axis + shape.length : axis)),
  );
  const kept = shape.map((size, axis) => (reduced.has(axis) ? 1 : size));
  const steps = strides(kept);
  const rows = Array.from({ length: elementCount(kept) }, (): number[] => []);
  let next = 0;
  fill(shape, (position) => {
    const row = position.reduce((sum, place, axis) => sum + (reduced.has(axis) ? 0 : place * steps[axis]!), 0);
    rows[row]!.push(values[next++]!);
    return 0;
  });
  return rows;
}

/** Only integers are folded: a sum of floats depends on the runtime's order of summation. */
const reduction =
  (apply: (row: readonly number[]) => number): FoldRule =>
  (op) => {
    if (input(op, 0).dtype.startsWith('float')) return undefined;
    const rows = reductionRows(op);
    return rows?.every((row) => row.length > 0) ? [rows.map(apply)] : undefined;
  };

/** Folds reductions. */
export const REDUCED: Readonly<Record<string, FoldRule>> = {
  ReduceProd: reduction((row) => row.reduce((product, value) => product * value, 1)),
  ReduceSum: reduction((row) => row.reduce((sum, value) => sum + value, 0)),
  ReduceMax: reduction((row) => Math.max(...row)),
  ReduceMin: reduction((row) => Math.min(...row)),
};
