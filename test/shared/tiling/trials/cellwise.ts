import type { Dtype } from '../../../../shared/tensor/tensor.ts';
import type { Dice } from '../dice.ts';
import { type Network, noise } from '../network.ts';
import { type Attributes, FLOATS, float, given, map, type Trial, WHOLE } from './trial.ts';

/** An operator of one input with its attributes. */
function one(
  op: string,
  opsets: readonly number[],
  attributes: (dice: Dice, net: Network) => Attributes = () => ({}),
  dtypes: readonly Dtype[] = FLOATS,
): Trial {
  return {
    op,
    opsets,
    build(net, dice) {
      const x = map(net, dice, 3, dice.pick(...dtypes));
      return [net.op(op, [x], given(attributes(dice, net)))];
    },
  };
}

const number = (dice: Dice) => dice.pick(undefined, float(dice.int(-8, 8) / 4));

/** Operators of ONNX that have neither attributes nor a second input, by the version that made them. */
const PLAIN: Readonly<Record<string, readonly number[]>> = {
  Abs: [7, 13],
  Acos: [7, 22],
  Acosh: [9],
  Asin: [7],
  Asinh: [9],
  Atan: [7],
  Atanh: [9],
  Ceil: [7, 13],
  Cos: [7],
  Cosh: [9],
  Erf: [9, 13],
  Exp: [7, 13],
  Floor: [7, 13],
  HardSwish: [14, 22],
  Identity: [7, 13, 16],
  IsNaN: [9, 20],
  Log: [7, 13],
  Mish: [18, 22],
  Neg: [7, 13],
  Reciprocal: [7, 13],
  Relu: [7, 13, 14],
  Round: [11, 22],
  Sigmoid: [7, 13],
  Sign: [9, 13],
  Sin: [7],
  Sinh: [9],
  Softplus: [7, 22],
  Softsign: [7, 22],
  Sqrt: [7, 13],
  Tan: [7],
  Tanh: [7, 13],
};

/** Two maps, or a map and a constant of any shape that broadcasts. */
function two(op: string, opsets: readonly number[], dtypes: readonly Dtype[], attributes?: (dice: Dice) => Attributes) {
  return {
    op,
    opsets,
    build(net: Network, dice: Dice) {
      const dtype = dice.pick(...dtypes);
      const [rows, cols] = [dice.int(4, 9), dice.int(4, 9)];
      const x = net.input([1, 3, rows, cols], dtype);
      const shapes = [[], [1], [3, 1, 1], [rows, cols], [1, cols], [rows, 1], [1, 3, 1, cols], [2, 3, rows, cols]];
      const shape = dice.pick(...shapes);
      const size = shape.reduce((n, each) => n * each, 1);
      const values = noise(size, 3).map((value) =>
        dtype.startsWith('float') ? value + 1.5 : Math.floor(value * 3 + 4),
      );
      const other = dice.int(0, 2) === 0 ? x : net.values(dtype, shape, values);
      const inputs = op === 'PRelu' || dice.int(0, 2) > 0 ? [x, other] : [other, x];
      return [net.op(op, inputs, given(attributes?.(dice) ?? {}))];
    },
  };
}

export const CELLWISE_TRIALS: readonly Trial[] = [
  ...Object.entries(PLAIN).map(([op, opsets]) => one(op, opsets)),
  one('Not', [7, 13], undefined, ['bool']),
  one('BitwiseNot', [18], undefined, ['int32', 'uint8']),
  one('Cast', [9, 13, 19, 21], (dice, net) => ({
    to: dice.pick(1, 2, 3, 6, 7, 9, 10, 11),
    saturate: net.opset >= 19 ? dice.pick(undefined, 0, 1) : undefined,
  })),
  one('Celu', [12], (dice) => ({ alpha: dice.pick(undefined, float(2)) })),
  one('Clip', [7, 10], (dice) => ({ min: number(dice), max: dice.pick(undefined, float(0.5)) })),
  one('Elu', [7, 22], (dice) => ({ alpha: number(dice) })),
  one('Gelu', [20], (dice) => ({ approximate: dice.pick(undefined, 'none', 'tanh') })),
  one('HardSigmoid', [7, 22], (dice) => ({ alpha: number(dice), beta: number(dice) })),
  one('IsInf', [10, 20], (dice) => ({
    detect_negative: dice.pick(undefined, 0, 1),
    detect_positive: dice.pick(undefined, 0, 1),
  })),
  one('LeakyRelu', [7, 16], (dice) => ({ alpha: number(dice) })),
  one('Selu', [7, 22], (dice) => ({ alpha: number(dice), gamma: number(dice) })),
  one('Shrink', [9], (dice) => ({ bias: number(dice), lambd: number(dice) })),
  one('Swish', [24], (dice) => ({ alpha: number(dice) })),
  one('ThresholdedRelu', [10, 22], (dice) => ({ alpha: number(dice) })),
  one('LRN', [7, 13], (dice) => ({
    size: dice.pick(3, 1, 5),
    alpha: number(dice),
    beta: dice.pick(undefined, float(0.5)),
    bias: dice.pick(undefined, float(2)),
  })),
  {
    op: 'Clip',
    opsets: [11, 12, 13],
    build(net, dice) {
      const dtype = dice.pick(...FLOATS, ...(net.opset >= 12 ? WHOLE : []));
      const x = map(net, dice, 3, dtype);
      const bound = (value: number) => net.values(dtype, [], [value]);
      const inputs = dice.pick([x], [x, '', bound(1)], [x, bound(0)], [x, bound(0), bound(1)], [x, bound(0), '']);
      return [net.op('Clip', inputs)];
    },
  },
  {
    op: 'Dropout',
    opsets: [7, 10, 12, 13, 22],
    build(net, dice) {
      const x = map(net, dice, 3, dice.pick('float32', 'float64'));
      const mask = dice.int(0, 1);
      if (net.opset < 12) return [net.op('Dropout', [x], given({ ratio: dice.pick(undefined, float(0.7)) }), 1 + mask)];
      const ratio = dice.pick('', net.values('float32', [], [0.4]));
      const training = dice.pick([], [net.values('bool', [], [0])], [net.values('bool', [], [1])]);
      const inputs = training.length === 0 && ratio === '' ? [x] : [x, ratio, ...training];
      return [net.op('Dropout', inputs, given({ seed: dice.pick(undefined, 5) }), 1 + mask)];
    },
  },
  ...['Add', 'Sub', 'Mul', 'Div'].map((op) => two(op, [7, 13, 14], [...FLOATS, 'int32', 'int64'])),
  ...['Equal', 'Greater', 'Less'].map((op) => two(op, [9, 13], [...FLOATS, 'int32'])),
  ...['GreaterOrEqual', 'LessOrEqual'].map((op) => two(op, [12, 16], [...FLOATS, 'int32'])),
  ...['Max', 'Mean', 'Min', 'Sum'].map((op) => two(op, [8, 13], FLOATS)),
  ...['And', 'Or', 'Xor'].map((op) => two(op, [7], ['bool'])),
  ...['BitwiseAnd', 'BitwiseOr', 'BitwiseXor'].map((op) => two(op, [18], ['int32', 'uint8'])),
  two('BitShift', [11], ['uint8', 'uint32'], (dice) => ({ direction: dice.pick('LEFT', 'RIGHT') })),
  two('Mod', [10, 13], ['int32', 'float32', 'int64'], (dice) => ({ fmod: dice.pick(undefined, 1, 0) })),
  two('Pow', [7, 12, 13, 15], ['float32', 'float64', 'int32']),
  two('PRelu', [7, 9, 16], FLOATS),
  {
    op: 'Where',
    opsets: [9, 16],
    build(net, dice) {
      const dtype = dice.pick('float32', 'uint8', 'int64');
      const x = map(net, dice, 3, dtype);
      const zero = net.values(dtype, [], [0]);
      return [net.op('Where', [net.op('Equal', [x, zero]), dice.pick(x, zero), dice.pick(zero, x)])];
    },
  },
];
