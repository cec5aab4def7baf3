import { type Dtype, elementCount } from '../../../../shared/tensor/tensor.ts';
import type { Dice } from '../dice.ts';
import { type Network, noise } from '../network.ts';
import { FLOATS, given, type Trial } from './trial.ts';

const AUTO = [undefined, undefined, 'NOTSET', 'VALID', 'SAME_UPPER', 'SAME_LOWER'] as const;

/** Pictures, seldom several at once, series or volumes. */
function frames(net: Network, dice: Dice, channels: number, dtype: Dtype): string {
  const sides = dice.pick(2, 2, 2, 1, 3);
  return net.input([dice.pick(1, 1, 2), channels, ...dice.ints(sides, 5, sides === 3 ? 8 : 17)], dtype);
}

/** Attributes that all windows share; `kernel` is given as an attribute or not. */
function window(dice: Dice, kernel: readonly number[], most: number) {
  const auto = dice.pick(...AUTO);
  const pads = kernel.map((size) => dice.int(0, Math.min(most, size)));
  const after = kernel.map((size) => dice.int(0, Math.min(most, size)));
  return {
    strides: dice.int(0, 2) === 0 ? undefined : dice.ints(kernel.length, 1, 3),
    auto_pad: auto,
    pads: auto === undefined || auto === 'NOTSET' ? dice.pick(undefined, [...pads, ...after]) : undefined,
  };
}

function dilations(dice: Dice, kernel: readonly number[], can: boolean) {
  return can && dice.int(0, 1) === 1 ? dice.ints(kernel.length, 1, 3) : undefined;
}

function weight(net: Network, dtype: (typeof FLOATS)[number], ...dims: number[]): string {
  return net.values(dtype, dims, noise(elementCount(dims), 7));
}

export const WINDOW_TRIALS: readonly Trial[] = [
  {
    op: 'Conv',
    opsets: [7, 11, 17, 22],
    build(net, dice) {
      const dtype = dice.pick(...FLOATS);
      const x = frames(net, dice, 4, dtype);
      const kernel = dice.ints(net.rank(x) - 2, 1, 4);
      const group = dice.pick(1, 1, 2, 4);
      const attributes = {
        ...window(dice, kernel, 4),
        dilations: dilations(dice, kernel, true),
        group: dice.pick(group === 1 ? undefined : group, group),
        kernel_shape: dice.pick(undefined, kernel),
      };
      const bias = dice.pick([], [weight(net, dtype, 4)]);
      return [net.op('Conv', [x, weight(net, dtype, 4, 4 / group, ...kernel), ...bias], given(attributes))];
    },
  },
  {
    op: 'ConvTranspose',
    opsets: [7, 11, 22],
    build(net, dice) {
      const dtype = dice.pick(...FLOATS);
      const rows = dice.int(4, 9);
      const cols = dice.int(4, 9);
      const x = net.input([1, 4, rows, cols], dtype);
      const kernel = dice.ints(2, 1, 4);
      const group = dice.pick(1, 1, 2, 4);
      const base = window(dice, kernel, 2);
      const strides = base.strides ?? [1, 1];
      const attributes = {
        ...base,
        dilations: dilations(dice, kernel, true),
        group,
        kernel_shape: dice.pick(undefined, kernel),
        output_padding: dice.pick(
          undefined,
          strides.map((s) => dice.int(0, Math.max(0, s - 1))),
        ),
        output_shape: dice.pick(
          undefined,
          undefined,
          [rows * strides[0]! + dice.int(0, 3), cols * strides[1]! + dice.int(0, 3)],
          [rows * strides[0]! - 1, cols * strides[1]!],
        ),
      };
      return [net.op('ConvTranspose', [x, weight(net, dtype, 4, 2, ...kernel)], given(attributes))];
    },
  },
  {
    op: 'MaxPool',
    opsets: [7, 8, 10, 11, 12, 17, 22],
    build(net, dice) {
      const x = frames(net, dice, 3, dice.pick(...FLOATS, ...(net.opset >= 12 ? (['uint8', 'int8'] as const) : [])));
      const kernel = dice.ints(net.rank(x) - 2, 1, 4);
      const indices = net.opset >= 8 && dice.int(0, 4) === 4;
      const attributes = {
        kernel_shape: kernel,
        ...window(dice, kernel, 3),
        dilations: dilations(dice, kernel, net.opset >= 10),
        ceil_mode: net.opset >= 10 ? dice.pick(undefined, 0, 1) : undefined,
        storage_order: net.opset >= 8 ? dice.pick(undefined, undefined, 0, 1) : undefined,
      };
      const name = net.op('MaxPool', [x], given(attributes), indices ? 2 : 1);
      return indices ? [name, `${name}.1`] : [name];
    },
  },
  {
    op: 'AveragePool',
    opsets: [7, 10, 11, 17, 19, 22],
    build(net, dice) {
      const x = frames(net, dice, 3, dice.pick(...FLOATS));
      const kernel = dice.ints(net.rank(x) - 2, 1, 4);
      const attributes = {
        kernel_shape: kernel,
        ...window(dice, kernel, 3),
        dilations: dilations(dice, kernel, net.opset >= 19),
        ceil_mode: net.opset >= 10 ? dice.pick(undefined, 0, 1) : undefined,
        count_include_pad: dice.pick(undefined, 0, 1),
      };
      return [net.op('AveragePool', [x], given(attributes))];
    },
  },
  {
    op: 'LpPool',
    opsets: [7, 11, 18, 22],
    build(net, dice) {
      const x = frames(net, dice, 3, dice.pick(...FLOATS));
      const kernel = dice.ints(net.rank(x) - 2, 1, 4);
      const attributes = {
        kernel_shape: kernel,
        ...window(dice, kernel, 3),
        dilations: dilations(dice, kernel, net.opset >= 18),
        ceil_mode: net.opset >= 18 ? dice.pick(undefined, 0, 1) : undefined,
        p: dice.pick(undefined, 1, 2, 3),
      };
      return [net.op('LpPool', [x], given(attributes))];
    },
  },
  {
    op: 'QLinearConv',
    opsets: [10, 17, 21],
    build(net, dice) {
      const x = frames(net, dice, 4, 'uint8');
      const kernel = dice.ints(net.rank(x) - 2, 1, 4);
      const group = dice.pick(1, 2, 4);
      const perChannel = dice.int(0, 1) === 1;
      const w = net.values(
        'int8',
        [4, 4 / group, ...kernel],
        noise((16 / group) * elementCount(kernel), 5).map((v) => Math.floor(v * 100)),
      );
      const scale = net.values('float32', [], [0.02]);
      const wScale = perChannel ? net.values('float32', [4], [0.01, 0.02, 0.03, 0.04]) : scale;
      const wZero = perChannel ? net.values('int8', [4], [0, 0, 0, 0]) : net.values('int8', [], [0]);
      const attributes = {
        ...window(dice, kernel, 4),
        dilations: dilations(dice, kernel, true),
        group,
        kernel_shape: dice.pick(undefined, kernel),
      };
      const zero = net.values('uint8', [], [dice.int(0, 255)]);
      const inputs = [
        x,
        scale,
        zero,
        w,
        wScale,
        wZero,
        net.values('float32', [], [0.05]),
        net.values('uint8', [], [128]),
      ];
      return [net.op('QLinearConv', inputs, given(attributes))];
    },
  },
  {
    op: 'ConvInteger',
    opsets: [10, 17],
    build(net, dice) {
      const x = frames(net, dice, 4, 'uint8');
      const kernel = dice.ints(net.rank(x) - 2, 1, 4);
      const group = dice.pick(1, 2);
      const w = net.values(
        'uint8',
        [4, 4 / group, ...kernel],
        noise((16 / group) * elementCount(kernel), 5).map((v) => Math.floor(v * 100 + 100)),
      );
      const attributes = {
        ...window(dice, kernel, 4),
        dilations: dilations(dice, kernel, true),
        group,
        kernel_shape: dice.pick(undefined, kernel),
      };
      const zeros = dice.pick(
        [],
        [net.values('uint8', [], [dice.int(0, 255)])],
        [net.values('uint8', [], [3]), net.values('uint8', [], [7])],
      );
      return [net.op('ConvInteger', [x, w, ...zeros], given(attributes))];
    },
  },
];
