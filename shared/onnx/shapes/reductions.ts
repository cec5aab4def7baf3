import { intAttribute, intsAttribute } from '../attributes.ts';
import { axisAttribute, axisOf, input, misfit, type Operator, type ShapeRule, type ShapeRules } from './operator.ts';

/**
 * Axes of a Reduce operator: an attribute, or since version 18 (ReduceSum: 13) the second input. No axes means all of
 * them, or none with `noop_with_empty_axes`. Undefined where they are unknown before a run.
 */
function reducedAxes(op: Operator): ReadonlySet<number> | undefined {
  const rank = input(op, 0).shape.length;
  const given = op.inputs[1] === undefined ? (intsAttribute(op.node, 'axes') ?? []) : op.constant(1);
  if (given === undefined) return undefined;
  if (given.length > 0) return new Set(given.map((axis) => axisOf(op, axis, rank)));
  const none = intAttribute(op.node, 'noop_with_empty_axes', 0) === 1;
  return new Set(none ? [] : Array.from({ length: rank }, (_, axis) => axis));
}

function without(shape: readonly number[], axes: ReadonlySet<number>, keep: boolean): number[] {
  return keep ? shape.map((size, axis) => (axes.has(axis) ? 1 : size)) : shape.filter((_, axis) => !axes.has(axis));
}

const reduction: ShapeRule = (op) => {
  const { dtype, shape } = input(op, 0);
  const axes = reducedAxes(op);
  return axes && [{ dtype, shape: without(shape, axes, intAttribute(op.node, 'keepdims', 1) === 1) }];
};

const argument: ShapeRule = (op) => {
  const { shape } = input(op, 0);
  const axes = new Set([axisAttribute(op, 0, shape.length)]);
  return [{ dtype: 'int64', shape: without(shape, axes, intAttribute(op.node, 'keepdims', 1) === 1) }];
};

/** TopK: k is an attribute before version 10. */
const topK: ShapeRule = (op) => {
  const { dtype, shape } = input(op, 0);
  const axis = axisAttribute(op, -1, shape.length);
  const k = op.opset < 10 ? intAttribute(op.node, 'k', -1) : op.constant(1)?.[0];
  if (k === undefined) return undefined;
  if (k < 0 || k > shape[axis]!) throw misfit(op, `takes ${k} of ${shape[axis]} values`);
  const kept = shape.map((size, i) => (i === axis ? k : size));
  return [
    { dtype, shape: kept },
    { dtype: 'int64', shape: kept },
  ];
};

const REDUCERS = 'L1 L2 LogSum LogSumExp Max Mean Min Prod Sum SumSquare';

/** Reductions along axes. */
export const REDUCTIONS: ShapeRules = {
  ...Object.fromEntries(REDUCERS.split(' ').map((name) => [`Reduce${name}`, reduction])),
  ArgMax: argument,
  ArgMin: argument,
  TopK: topK,
};
