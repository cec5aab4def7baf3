import type { Dtype } from '../../tensor/tensor.ts';
import { intAttribute } from '../attributes.ts';
import { input, type Operator } from '../shapes/operator.ts';
import type { FoldRule } from './fold-rule.ts';

/** A number rounded to an element type, or undefined where it overflows; such nodes are left to the runtime. */
export function rounded(value: number, dtype: Dtype): number | undefined {
  switch (dtype) {
    case 'float32':
      return Math.fround(value);
    case 'float64':
      return value;
    case 'float16':
      return undefined;
    case 'bool':
      return value === 0 ? 0 : 1;
    default: {
      const whole = Math.trunc(value);
      if (dtype === 'int64' && whole === 2 ** 63) return whole; // the greatest int64, "to the end"
      const bits = Number(dtype.replace(/\D/g, ''));
      const low = dtype.startsWith('u') ? 0 : -(2 ** (bits - 1));
      const high = dtype.startsWith('u') ? 2 ** bits : 2 ** (bits - 1);
      return Number.isSafeInteger(whole) && whole >= low && whole < high ? whole : undefined;
    }
  }
}

/** Reads an input as if it had the output's shape (NumPy broadcasting). */
function stretched(op: Operator, index: number, shape: readonly number[]): ((flat: number) => number) | undefined {
  const values = op.constant(index);
  if (values === undefined) return undefined;
  const own = input(op, index).shape;
  const lacking = shape.length - own.length;
  return (flat) => {
    let rest = flat;
    let place = 0;
    let step = 1;
    for (let axis = shape.length - 1; axis >= lacking; axis--) {
      const size = own[axis - lacking]!;
      if (size !== 1) place += (rest % shape[axis]!) * step;
      step *= size;
      rest = Math.floor(rest / shape[axis]!);
    }
    return values[place]!;
  };
}

/** Applies a function to the elements of all inputs at each position of the output. */
const elementwise =
  (apply: (values: readonly number[], isWhole: boolean) => number): FoldRule =>
  (op, [output]) => {
    const { shape } = output!;
    const reads = op.inputs.map((_, i) => stretched(op, i, shape));
    if (!reads.every((read) => read !== undefined)) return undefined;
    const isWhole = !input(op, op.inputs.length - 1).dtype.startsWith('float');
    const count = shape.reduce((product, size) => product * size, 1);
    return [
      Array.from({ length: count }, (_, flat) =>
        apply(
          reads.map((read) => read(flat)),
          isWhole,
        ),
      ),
    ];
  };

const unary = (apply: (value: number) => number) => elementwise(([value]) => apply(value!));
const binary = (apply: (a: number, b: number, isWhole: boolean) => number) =>
  elementwise(([a, b], isWhole) => apply(a!, b!, isWhole));
/** Integer division truncates, as in C; division by zero is left to the runtime (NaN does not round). */
const divide = (a: number, b: number, isWhole: boolean) =>
  isWhole ? (b === 0 ? Number.NaN : Math.trunc(a / b)) : a / b;

/** Mod-13 of integers takes the sign of the divisor; its other form (`fmod`) is left to the runtime. */
const modulo: FoldRule = (op, outputs) => {
  const isWhole = !input(op, 0).dtype.startsWith('float') && intAttribute(op.node, 'fmod', 0) === 0;
  return isWhole ? binary((a, b) => a - b * Math.floor(a / b))(op, outputs) : undefined;
};

/** Rounds halves to even, as Round-11. */
function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 !== 0) ? floor + 1 : floor;
}

/** Folds arithmetic and logic; each result is rounded once, as the runtime would. */
export const ARITHMETIC: Readonly<Record<string, FoldRule>> = {
  Add: binary((a, b) => a + b),
  Sub: binary((a, b) => a - b),
  Mul: binary((a, b) => a * b),
  Div: binary(divide),
  Mod: modulo,
  Equal: binary((a, b) => Number(a === b)),
  Less: binary((a, b) => Number(a < b)),
  LessOrEqual: binary((a, b) => Number(a <= b)),
  Greater: binary((a, b) => Number(a > b)),
  GreaterOrEqual: binary((a, b) => Number(a >= b)),
  And: binary((a, b) => a && b),
  Or: binary((a, b) => a || b),
  Xor: binary((a, b) => Number(a !== b)),
  Where: elementwise(([condition, a, b]) => (condition ? a! : b!)),
  Min: elementwise((values) => Math.min(...values)),
  Max: elementwise((values) => Math.max(...values)),
  Not: unary((value) => Number(value === 0)),
  Neg: unary((value) => -value),
  Abs: unary(Math.abs),
  Sign: unary(Math.sign),
  Floor: unary(Math.floor),
  Ceil: unary(Math.ceil),
  Round: unary(roundHalfEven),
  Sqrt: unary(Math.sqrt),
  Reciprocal: unary((value) => 1 / value),
  Cast: unary((value) => value),
};
