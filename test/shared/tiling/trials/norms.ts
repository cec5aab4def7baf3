import type { Dtype } from '../../../../shared/tensor/tensor.ts';
import type { Dice } from '../dice.ts';
import { type Network, noise } from '../network.ts';
import { FLOATS, float, given, map, type Trial } from './trial.ts';

const small = (net: Network, dtype: Dtype, dims: readonly number[], seed: number) =>
  net.values(
    dtype,
    dims,
    noise(
      dims.reduce((n, each) => n * each, 1),
      seed,
    ).map((value) => 1.5 + value),
  );

const axisOf = (dice: Dice) => dice.pick(1, undefined, -3, 0, 2, 3, -1, -2);

function along(op: string, opsets: readonly number[], dtypes: readonly Dtype[] = FLOATS): Trial {
  return {
    op,
    opsets,
    build(net, dice) {
      const x = map(net, dice, 3, dice.pick(...dtypes));
      if (dice.int(0, 1) === 0) return [net.op(op, [x], given({ axis: axisOf(dice) }))];
      const last = net.op('Transpose', [x], { perm: [0, 2, 3, 1] });
      return [net.op(op, [last], given({ axis: dice.pick(3, -1, 3, undefined, 2) }))];
    },
  };
}

/** LayerNormalization and RMSNormalization; on [1, rows, cols, channels] they go over channels. */
function trailing(op: string, opsets: readonly number[]): Trial {
  return {
    op,
    opsets,
    build(net, dice) {
      const dtype = dice.pick('float32', 'float16', 'float64');
      const [rows, cols] = [dice.int(4, 9), dice.int(4, 9)];
      const x = net.op('Transpose', [net.input([1, 6, rows, cols], dtype)], { perm: [0, 2, 3, 1] });
      const axis = dice.pick(undefined, -1, 3, 2, 1);
      const last = axis === undefined || axis === -1 || axis === 3;
      const dims = last ? dice.pick([6], [6], [1], [cols, 6], [rows, 1, 6]) : axis === 2 ? [cols, 6] : [rows, cols, 6];
      const bias = op === 'LayerNormalization' ? dice.pick([], [small(net, dtype, dims, 2)]) : [];
      const attributes = { axis, epsilon: dice.pick(undefined, float(0.1)), stash_type: dice.pick(undefined, 1) };
      const outputs = op === 'LayerNormalization' ? dice.pick(1, 1, 3) : 1;
      const y = net.op(op, [x, small(net, dtype, dims, 1), ...bias], given(attributes), outputs);
      return outputs === 1 ? [y] : [y, `${y}.1`, `${y}.2`];
    },
  };
}

function reducing(name: string, opsets: readonly number[]): Trial {
  const asInput = name === 'ReduceSum' ? 13 : 18;
  return {
    op: name,
    opsets,
    build(net, dice) {
      const x = map(net, dice, 3, dice.pick('float32', 'float64', 'float16', 'int32'));
      const axes = dice.pick<number[] | undefined>([1], [-3], [0, 1], undefined, [2], [2, 3], [1, 3], []);
      const keepdims = dice.pick(undefined, 0, 1);
      if (net.opset < asInput)
        return [net.op(name, [x], given({ axes: axes?.length === 0 ? undefined : axes, keepdims }))];
      const given18 = axes === undefined ? [] : [axes.length === 0 ? net.values('int64', [0], []) : net.ints(...axes)];
      const empties = dice.pick(undefined, 0, 1);
      return [net.op(name, [x, ...given18], given({ keepdims, noop_with_empty_axes: empties }))];
    },
  };
}

function arg(op: string): Trial {
  return {
    op,
    opsets: [7, 11, 12, 13],
    build(net, dice) {
      const x = map(net, dice, 4, dice.pick('float32', 'int32', 'uint8'));
      const attributes = {
        axis: dice.pick(1, -3, 1, undefined, 2, -1),
        keepdims: dice.pick(undefined, 0, 1),
        select_last_index: net.opset >= 12 ? dice.pick(undefined, 0, 1) : undefined,
      };
      return [net.op(op, [x], given(attributes))];
    },
  };
}

function quantizing(op: string, from: readonly Dtype[], to: readonly Dtype[]): Trial {
  return {
    op,
    opsets: [10, 13, 19, 21],
    build(net, dice) {
      const x = map(net, dice, 3, dice.pick(...from));
      const axis = net.opset >= 13 ? dice.pick(undefined, 1, -3, 2, 3) : undefined;
      const size = dice.pick(0, 0, 3);
      const blocks = net.opset >= 21 && dice.int(0, 5) === 0;
      const dims = blocks ? [1, 1, 1, 1] : size === 0 ? [] : [size];
      const scale = net.values('float32', dims, size === 0 || blocks ? [0.02] : [0.01, 0.02, 0.03]);
      const dtype = op === 'QuantizeLinear' ? dice.pick(...to) : undefined;
      const zero = dice.pick('', '', 'zero');
      const type = dtype ?? net.dtypeOf(x);
      const zeros = zero === '' ? [] : [net.values(type, dims, size === 0 || blocks ? [3] : [3, 4, 5])];
      const attributes = {
        axis,
        block_size: blocks ? 3 : undefined,
        saturate: op === 'QuantizeLinear' && net.opset >= 19 ? dice.pick(undefined, 1) : undefined,
        output_dtype:
          op === 'QuantizeLinear' && net.opset >= 21 && zero === '' ? dice.pick(undefined, 2, 3) : undefined,
      };
      return [net.op(op, [x, scale, ...zeros], given(attributes))];
    },
  };
}

export const NORM_TRIALS: readonly Trial[] = [
  {
    op: 'BatchNormalization',
    opsets: [7, 9, 14, 15],
    build(net, dice) {
      const dtype = dice.pick(...FLOATS);
      const x = map(net, dice, 3, dtype);
      const trains = net.opset >= 14 ? dice.pick(undefined, undefined, 0, 1) : undefined;
      const attributes = {
        epsilon: dice.pick(undefined, float(0.01)),
        momentum: dice.pick(undefined, float(0.5)),
        spatial: net.opset < 9 ? dice.pick(undefined, 1) : undefined,
        training_mode: trains,
      };
      const outputs = trains === 1 ? dice.pick(3, 1) : net.opset < 14 ? dice.pick(1, 1, 5) : 1;
      const inputs = [1, 2, 3, 4].map((seed) => small(net, dtype, [3], seed));
      return [net.op('BatchNormalization', [x, ...inputs], given(attributes), outputs)];
    },
  },
  ...['Softmax', 'LogSoftmax', 'Hardmax'].map((op) => along(op, [7, 11, 13], ['float32', 'float64', 'float16'])),
  trailing('LayerNormalization', [17, 21]),
  trailing('RMSNormalization', [23]),
  {
    op: 'LpNormalization',
    opsets: [7, 22],
    build: (net, dice) => {
      const x = map(net, dice, 3, dice.pick(...FLOATS));
      return [net.op('LpNormalization', [x], given({ axis: axisOf(dice), p: dice.pick(undefined, 1, 2) }))];
    },
  },
  {
    op: 'CumSum',
    opsets: [11, 14],
    build(net, dice) {
      const x = map(net, dice, 3, dice.pick('float32', 'float64', 'int32', 'int64'));
      const axis = net.values('int64', dice.pick([], [1]), [dice.pick(1, -3, 0, 2, -1)]);
      return [
        net.op(
          'CumSum',
          [x, axis],
          given({ exclusive: dice.pick(undefined, 0, 1), reverse: dice.pick(undefined, 0, 1) }),
        ),
      ];
    },
  },
  ...'L1 L2 LogSum LogSumExp Max Mean Min Prod Sum SumSquare'
    .split(' ')
    .map((name) => reducing(`Reduce${name}`, [7, 11, 13, 18])),
  arg('ArgMax'),
  arg('ArgMin'),
  quantizing('QuantizeLinear', ['float32'], ['uint8', 'int8']),
  quantizing('DequantizeLinear', ['uint8', 'int8'], []),
];
