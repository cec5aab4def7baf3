import type { Dtype } from '../../../../shared/tensor/tensor.ts';
import type { Dice } from '../dice.ts';
import type { Network } from '../network.ts';
import { float, given, map, type Trial } from './trial.ts';

const TYPES: readonly Dtype[] = ['float32', 'float16', 'float64', 'int64', 'uint8'];

const list = (net: Network, name: string, values: readonly number[] | undefined, from: number) =>
  values === undefined
    ? { inputs: [], attributes: {} }
    : net.opset < from
      ? { inputs: [], attributes: { [name]: values } }
      : { inputs: [net.ints(...values)], attributes: {} };

/** A Slice along one or two axes, forwards or backwards. */
function bounds(dice: Dice, steps: boolean) {
  const axes = dice.pick([2, 3], [2], [-1], [1, 2], [0, 3]);
  return {
    starts: axes.map(() => dice.pick(0, 1, -6, 2)),
    ends: axes.map(() => dice.pick(99, -1, 5, 2 ** 31 - 1)),
    axes,
    steps: steps ? axes.map((axis) => dice.pick(1, 2, 3, ...(axis === 1 ? [1] : [-1]))) : undefined,
  };
}

export const MOVING_TRIALS: readonly Trial[] = [
  {
    op: 'Slice',
    opsets: [7, 10, 11, 13],
    build(net, dice) {
      const x = map(net, dice, 4, dice.pick(...TYPES));
      const hasSteps = net.opset >= 10 && dice.int(0, 1) === 1;
      const { starts, ends, axes, steps } = bounds(dice, hasSteps);
      if (net.opset < 10) return [net.op('Slice', [x], { starts, ends, axes })];
      const type = dice.pick('int64', 'int32') as Dtype;
      const vector = (values: readonly number[]) => net.values(type, [values.length], values);
      const more = steps === undefined ? [] : [vector(steps)];
      return [net.op('Slice', [x, vector(starts), vector(ends), vector(axes), ...more])];
    },
  },
  {
    op: 'Pad',
    opsets: [7, 10, 11, 13, 18, 19, 21],
    build(net, dice) {
      const dtype = net.opset < 11 ? dice.pick('float32', 'float64', 'float16') : dice.pick(...TYPES, 'int32', 'int8');
      const x = map(net, dice, 3, dtype as Dtype);
      const low = dice.pick(0, 0, -1);
      const spatial = [dice.int(low, 3), dice.int(low, 3), dice.int(low, 3), dice.int(low, 3)];
      const channel = dice.pick(0, 0, 0, 1);
      const pads = [0, channel, spatial[0]!, spatial[1]!, 0, channel, spatial[2]!, spatial[3]!];
      const mode = dice.pick(undefined, 'constant', 'reflect', 'edge', ...(net.opset >= 19 ? ['wrap'] : []));
      if (net.opset < 11) return [net.op('Pad', [x], given({ mode, pads, value: dice.pick(undefined, float(0.5)) }))];
      const value = dice.pick('', net.values(dtype as Dtype, [], [dtype.startsWith('float') ? 0.5 : 7]));
      const some = net.opset >= 18 && dice.int(0, 2) === 0;
      if (!some)
        return [net.op('Pad', value === '' ? [x, net.ints(...pads)] : [x, net.ints(...pads), value], given({ mode }))];
      const axes = dice.pick([2, 3], [-2, -1], [-1, 2].slice(0, 2));
      return [net.op('Pad', [x, net.ints(...spatial), value, net.ints(...axes)], given({ mode }))];
    },
  },
  {
    op: 'Concat',
    opsets: [7, 11, 13],
    build(net, dice) {
      const dtype = dice.pick(...TYPES);
      const x = map(net, dice, 3, dtype);
      return [net.op('Concat', dice.pick([x, x], [x], [x, x, x]), { axis: dice.pick(1, -3, 0, 2, -1) })];
    },
  },
  {
    op: 'Split',
    opsets: [7, 11, 13, 18],
    build(net, dice) {
      const x = map(net, dice, 5, dice.pick(...TYPES));
      const axis = dice.pick(1, -3, 2, undefined);
      const sizes = dice.pick([2, 3], [1, 4], undefined, [5]);
      const num = net.opset >= 18 && sizes === undefined ? dice.pick(2, 3, 5) : undefined;
      const split = sizes ?? (num === undefined ? [1, 1, 1, 1, 1] : Array.from({ length: num }, () => 1));
      const parts = list(net, 'split', sizes, 13);
      const name = net.op(
        'Split',
        [x, ...parts.inputs],
        given({ axis, num_outputs: num, ...parts.attributes }),
        split.length,
      );
      return split.map((_, i) => (i === 0 ? name : `${name}.${i}`));
    },
  },
  {
    op: 'Gather',
    opsets: [7, 11, 13],
    build(net, dice) {
      const x = map(net, dice, 4, dice.pick(...TYPES));
      const indices = net.values(
        dice.pick('int64', 'int32') as Dtype,
        ...dice.pick<[number[], number[]]>(
          [[3], [2, 1, 0]],
          [[], [1]],
          [
            [2, 2],
            [0, 1, 3, 2],
          ],
          [[2], [0, 0]],
        ),
      );
      return [net.op('Gather', [x, indices], given({ axis: dice.pick(1, -3, undefined, 2) }))];
    },
  },
  {
    op: 'MatMul',
    opsets: [7, 9, 13],
    build(net, dice) {
      const [rows, cols] = [dice.int(4, 9), dice.int(4, 9)];
      const dtype = dice.pick('float32', 'float64', 'float16', 'int32');
      const planes = net.input([1, 6, rows, cols], dtype as Dtype);
      const values = (...dims: number[]) =>
        net.values(
          dtype as Dtype,
          dims,
          Array.from({ length: dims.reduce((n, each) => n * each, 1) }, (_, i) => (i % 5) - 1),
        );
      if (dice.int(0, 4) === 0) return [net.op('MatMul', [values(3, rows), planes])];
      const last = net.op('Transpose', [planes], { perm: [0, 2, 3, 1] });
      const folded = net.op('Transpose', [planes], { perm: [0, 2, 1, 3] });
      return [
        net.op(
          'MatMul',
          dice.pick([last, values(6, 3)], [values(2, 6), folded], [last, values(1, 6, 2)], [last, values(6)]),
        ),
      ];
    },
  },
  {
    op: 'Transpose',
    opsets: [7, 13, 21],
    build: (net, dice) => [
      net.op(
        'Transpose',
        [map(net, dice, 3, dice.pick(...TYPES))],
        given({ perm: dice.pick(undefined, [0, 2, 3, 1], [0, 1, 3, 2], [3, 2, 0, 1], [1, 0, 2, 3]) }),
      ),
    ],
  },
  {
    op: 'Reshape',
    opsets: [7, 13, 14, 21],
    build(net, dice) {
      const [rows, cols] = [dice.int(3, 6) * 2, dice.int(3, 6) * 2];
      const x = net.input([1, 8, rows, cols], dice.pick(...TYPES));
      const zero = net.opset >= 14 && dice.int(0, 1) === 1 ? 1 : undefined;
      const shapes = [
        [1, 2, 4, rows, cols],
        [0, 8, rows, cols],
        [1, 8, -1],
        [0, 0, 0, -1],
        [1, -1, rows / 2, 2, cols],
        [1, 2, 2, 2, rows, cols],
        [8, rows, cols],
        [1, 8, rows, cols / 2, 2],
        [1, 8, cols, rows],
        [-1, cols],
      ];
      return [net.op('Reshape', [x, net.ints(...dice.pick(...shapes))], given({ allowzero: zero }))];
    },
  },
  {
    op: 'Flatten',
    opsets: [7, 11, 13],
    build: (net, dice) => [
      net.op('Flatten', [map(net, dice, dice.pick(1, 3))], given({ axis: dice.pick(undefined, 0, 1, 2, 3, 4) })),
    ],
  },
  {
    op: 'Squeeze',
    opsets: [7, 11, 13],
    build(net, dice) {
      const x = net.input(dice.pick([1, 1, 6, 7], [1, 3, 6, 7], [1, 1, 1, 7]), dice.pick(...TYPES));
      const { inputs, attributes } = list(net, 'axes', dice.pick([0], [1], [-4], [0, 1], [0, -3], undefined, [2]), 13);
      return [net.op('Squeeze', [x, ...inputs], attributes)];
    },
  },
  {
    op: 'Unsqueeze',
    opsets: [7, 11, 13],
    build(net, dice) {
      const x = map(net, dice, 3, dice.pick(...TYPES));
      const { inputs, attributes } = list(net, 'axes', dice.pick([0], [1], [-1], [0, 2], [2, -1], [4]), 13);
      return [net.op('Unsqueeze', [x, ...inputs], attributes)];
    },
  },
];
