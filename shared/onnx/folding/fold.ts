import { elementCount, type TensorSpec } from '../../tensor/tensor.ts';
import { shapeSlice } from '../shapes/generation.ts';
import { input, type Operator } from '../shapes/operator.ts';
import { numbersOf } from '../values.ts';
import { ARITHMETIC, rounded } from './arithmetic.ts';
import type { FoldRule } from './fold-rule.ts';
import { MOVEMENT } from './movement.ts';
import { REDUCED } from './reductions.ts';

/** Most elements of a folded tensor: folding is for shape arithmetic, not for weights. */
export const FOLD_LIMIT = 4096;

const fillValue = (op: Operator): number | undefined => {
  const value = op.node.attributes.get('value');
  return value === undefined ? 0 : value.kind === 'tensor' ? numbersOf(value.value)?.[0] : undefined;
};

/** Rules whose results depend on more than the values of their inputs (types, shapes). */
const SOURCES: Readonly<Record<string, FoldRule>> = {
  Shape: (op) => [shapeSlice(op)],
  Size: (op) => [[elementCount(input(op, 0).shape)]],
  ConstantOfShape: (op, [output]) => {
    const value = fillValue(op);
    return value === undefined ? undefined : [new Array<number>(elementCount(output!.shape)).fill(value)];
  },
  Range: (op, [output]) => {
    const start = op.constant(0)![0]!;
    const delta = op.constant(2)![0]!;
    return [Array.from({ length: output!.shape[0]! }, (_, i) => start + i * delta)];
  },
};

const RULES: ReadonlyMap<string, FoldRule> = new Map(
  Object.entries({ ...SOURCES, ...MOVEMENT, ...ARITHMETIC, ...REDUCED }),
);
/** Operators that read only the type of their input. */
const READ_NO_VALUES = new Set(['Shape', 'Size']);

/**
 * Values of a node's outputs, order C, where everything that it reads is constant and small; else undefined. `outputs`
 * are the types that shape inference found.
 */
export function foldOutputs(
  op: Operator,
  outputs: readonly (TensorSpec | undefined)[],
): readonly (readonly number[])[] | undefined {
  const rule = op.node.domain === '' ? RULES.get(op.node.op) : undefined;
  const wanted = op.node.outputs.map((name, i) => (name === '' ? undefined : outputs[i]));
  if (rule === undefined || wanted.length === 0) return undefined;
  if (!wanted.every((spec) => spec !== undefined && elementCount(spec.shape) <= FOLD_LIMIT)) return undefined;
  const isConstant = op.inputs.every((spec, i) => spec === undefined || op.constant(i) !== undefined);
  if (!isConstant && !READ_NO_VALUES.has(op.node.op)) return undefined;
  const results: (readonly number[])[] = [];
  const values = rule(op, wanted);
  for (const [i, spec] of wanted.entries()) {
    const exact = values?.[i]?.map((value) => rounded(value, spec!.dtype));
    if (exact?.length !== elementCount(spec!.shape) || !exact.every((value) => value !== undefined)) return undefined;
    results.push(exact);
  }
  return results;
}
