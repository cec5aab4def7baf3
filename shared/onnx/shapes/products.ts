import type { Dtype } from '../../tensor/tensor.ts';
import { intAttribute, stringAttribute } from '../attributes.ts';
import { broadcast, input, misfit, type Operator, type ShapeRule, type ShapeRules } from './operator.ts';

const gemm = (op: Operator, b: number, dtype: Dtype) => {
  const left = input(op, 0).shape;
  const right = input(op, b).shape;
  const [m, k] = intAttribute(op.node, 'transA', 0) ? [left[1], left[0]] : [left[0], left[1]];
  const [inner, n] = intAttribute(op.node, 'transB', 0) ? [right[1], right[0]] : [right[0], right[1]];
  if (left.length !== 2 || right.length !== 2 || k !== inner) throw misfit(op, `multiplies [${left}] by [${right}]`);
  return [{ dtype, shape: [m!, n!] }];
};

/** As numpy.matmul: a one-dimensional factor gets an axis that the result loses again; the other axes are broadcast. */
function product(op: Operator, b: number, dtype: Dtype) {
  const a = input(op, 0).shape;
  const c = input(op, b).shape;
  const left = a.length === 1 ? [1, ...a] : a;
  const right = c.length === 1 ? [...c, 1] : c;
  if (left.length < 2 || right.length < 2 || left.at(-1) !== right.at(-2)) {
    throw misfit(op, `multiplies [${a}] by [${c}]`);
  }
  const shape = broadcast(op, [left.slice(0, -2), right.slice(0, -2)]);
  if (a.length > 1) shape.push(left.at(-2)!);
  if (c.length > 1) shape.push(right.at(-1)!);
  return [{ dtype, shape }];
}

/**
 * Einsum-12 without ellipsis: each letter is one size. Without an arrow the output has the letters that occur once,
 * sorted.
 */
const einsum: ShapeRule = (op) => {
  const equation = stringAttribute(op.node, 'equation', '').replaceAll(' ', '');
  if (equation.includes('.')) return undefined;
  const [terms = '', result] = equation.split('->');
  const sizes = new Map<string, number>();
  const count = new Map<string, number>();
  terms.split(',').forEach((term, index) => {
    const { shape } = input(op, index);
    if (shape.length !== term.length) throw misfit(op, `reads [${shape}] as "${term}"`);
    [...term].forEach((letter, axis) => {
      const known = sizes.get(letter);
      if (known === undefined || known === 1) sizes.set(letter, shape[axis]!);
      count.set(letter, (count.get(letter) ?? 0) + 1);
    });
  });
  const letters =
    result ??
    [...count]
      .flatMap(([letter, times]) => (times === 1 ? [letter] : []))
      .sort()
      .join('');
  const shape = [...letters].map((letter) => sizes.get(letter));
  if (!shape.every((size) => size !== undefined)) throw misfit(op, `has the equation "${equation}"`);
  return [{ dtype: input(op, 0).dtype, shape }];
};

/** Matrix products. */
export const PRODUCTS: ShapeRules = {
  Gemm: (op) => gemm(op, 1, input(op, 0).dtype),
  'com.microsoft:FusedGemm': (op) => gemm(op, 1, input(op, 0).dtype),
  'com.microsoft:QGemm': (op) => gemm(op, 3, op.inputs[8]?.dtype ?? 'float32'),
  MatMul: (op) => product(op, 1, input(op, 0).dtype),
  MatMulInteger: (op) => product(op, 1, 'int32'),
  QLinearMatMul: (op) => product(op, 3, input(op, 7).dtype),
  Einsum: einsum,
};
