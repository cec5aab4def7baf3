import type { Dtype } from '../../../shared/tensor/tensor.ts';
import type { Dice } from './dice.ts';
import { Network, type Plain } from './network.ts';

/** A random network for slices of channels: something whole, layers with weights, and what acts on each channel. */
export interface RandomLayers {
  readonly net: Network;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
}

/** A tensor of the network: maps are [1, c, h, w], vectors [1, c], rows [1, n, c]. */
interface Made {
  readonly name: string;
  readonly shape: readonly number[];
  /** The axis of its channels. */
  readonly axis: number;
}

const OPSETS = [13, 17, 20] as const;

/** Draws a network. Its channels can be cut, except where groups are connected. */
export function randomLayers(dice: Dice): RandomLayers {
  return new Layers(dice).build();
}

class Layers {
  readonly #dice: Dice;
  readonly #net: Network;
  readonly #inputs: string[] = [];

  constructor(dice: Dice) {
    this.#dice = dice;
    this.#net = new Network(dice.pick(...OPSETS));
  }

  build(): RandomLayers {
    const dice = this.#dice;
    const kind = dice.pick('map', 'map', 'vector', 'rows');
    const size = dice.int(3, 6);
    const shape = kind === 'map' ? [1, 4, size, size + 1] : kind === 'vector' ? [1, 6] : [1, 3, 5];
    const x = this.#before({ name: this.#input(shape), shape, axis: 1 });
    const channels = dice.pick(8, 4, 12, 6);
    const first = this.#layer(x, channels);
    let last = first;
    for (let left = dice.int(0, 4); left > 0; left--) last = this.#behind(last);
    const outputs = [last.name];
    // A second layer beside the first one, with an output of its own or added to it.
    if (dice.int(0, 2) === 0) {
      const other = this.#layer(x, channels);
      if (other.shape.join() === last.shape.join() && dice.int(0, 1) === 0)
        outputs[0] = this.#net.op('Add', [last.name, other.name]);
      else if (other.name !== last.name) outputs.push(other.name);
    }
    return { net: this.#net, inputs: this.#inputs, outputs };
  }

  #input(shape: readonly number[], dtype?: Dtype): string {
    const name = this.#net.input(shape, dtype);
    this.#inputs.push(name);
    return name;
  }

  /** What every part computes whole. */
  #before(x: Made): Made {
    const net = this.#net;
    const isMap = x.shape.length === 4;
    const choices: (() => Made)[] = [
      () => x,
      () => ({ ...x, name: net.op('Relu', [x.name]) }),
      () => ({ ...x, name: net.op('Softmax', [x.name], { axis: 1 }) }),
      () =>
        isMap
          ? { ...x, name: net.op('MaxPool', [x.name], { kernel_shape: [3, 3], pads: [1, 1, 1, 1] }) }
          : { ...x, name: net.op('Tanh', [x.name]) },
      () => {
        if (!isMap) return x;
        const flat = x.shape.reduce((all, n) => all * n, 1);
        const name =
          this.#dice.int(0, 1) === 0 ? net.op('Flatten', [x.name]) : net.op('Reshape', [x.name, net.ints(1, -1)]);
        return { name, shape: [1, flat], axis: 1 };
      },
    ];
    return this.#dice.pick(...choices)();
  }

  #layer(x: Made, channels: number): Made {
    return x.shape.length === 4 ? this.#conv(x, channels) : this.#product(x, channels);
  }

  #conv(x: Made, channels: number): Made {
    const [dice, net] = [this.#dice, this.#net];
    const [, from, h, w] = x.shape as [number, number, number, number];
    const group = channels % 4 === 0 ? dice.pick(1, 1, 2, 4) : dice.pick(1, 2);
    const kernel = [3, 3];
    const at = { kernel_shape: kernel, pads: [1, 1, 1, 1], group };
    const bias = dice.int(0, 1) === 0 ? [] : [net.weight(channels)];
    const shape = [1, channels, h, w];
    if (dice.int(0, 3) === 0) {
      const name = net.op('ConvTranspose', [x.name, net.weight(from, channels / group, ...kernel), ...bias], at);
      return { name, shape, axis: 1 };
    }
    return {
      name: net.op('Conv', [x.name, net.weight(channels, from / group, ...kernel), ...bias], at),
      shape,
      axis: 1,
    };
  }

  #product(x: Made, channels: number): Made {
    const [dice, net] = [this.#dice, this.#net];
    const inner = x.shape.at(-1)!;
    const shape = [...x.shape.slice(0, -1), channels];
    const axis = shape.length - 1;
    if (x.shape.length === 2 && dice.int(0, 2) > 0) {
      const transB = dice.int(0, 1);
      const c = dice.pick<string[]>([], [net.weight(channels)], [net.weight(1, channels)], [net.weight(1)]);
      const scales: Record<string, Plain> = { alpha: { float: 0.5 }, beta: { float: 2 } };
      const w = transB === 1 ? net.weight(channels, inner) : net.weight(inner, channels);
      return {
        name: net.op('Gemm', [x.name, w, ...c], { transB, ...(dice.int(0, 1) === 0 ? {} : scales) }),
        shape,
        axis,
      };
    }
    const w = shape.length === 3 && dice.int(0, 1) === 1 ? net.weight(1, inner, channels) : net.weight(inner, channels);
    return { name: net.op('MatMul', [x.name, w]), shape, axis };
  }

  /** What acts on each channel alone. */
  #behind(x: Made): Made {
    const [dice, net] = [this.#dice, this.#net];
    const { name, shape, axis } = x;
    const channels = shape[axis]!;
    const isMap = shape.length === 4 && axis === 1;
    const along = (value: string) => ({ ...x, name: value });
    const perChannel = () => net.weight(...shape.slice(axis).map((size, i) => (i === 0 ? size : 1)));
    const positive = () =>
      net.values(
        'float32',
        [channels],
        Array.from({ length: channels }, (_, i) => 1 + (i % 3)),
      );
    const choices: (() => Made)[] = [
      () => along(net.op('Relu', [name])),
      () => along(net.op('Clip', [name, net.values('float32', [], [-1]), net.values('float32', [], [1])])),
      () => along(net.op('Add', [name, perChannel()])),
      () => along(net.op('Mul', [name, net.weight(1)])),
      () => along(net.op('PRelu', [name, perChannel()])),
      // A tensor from before the stage, of which a part reads only its channels.
      () => along(net.op('Add', [this.#input(shape), name])),
      () =>
        axis === 1
          ? along(
              net.op('BatchNormalization', [name, positive(), net.weight(channels), net.weight(channels), positive()]),
            )
          : x,
      () => (isMap ? along(net.op('InstanceNormalization', [name, positive(), net.weight(channels)])) : x),
      () =>
        isMap
          ? along(
              net.op('Conv', [name, net.weight(channels, 1, 3, 3)], {
                group: channels,
                kernel_shape: [3, 3],
                pads: [1, 1, 1, 1],
              }),
            )
          : x,
      () => (isMap ? { ...x, name: net.op('GlobalAveragePool', [name]), shape: [1, channels, 1, 1] } : x),
      () => (isMap ? along(net.op('AveragePool', [name], { kernel_shape: [3, 3], pads: [1, 1, 1, 1] })) : x),
      () => {
        if (!isMap) return x;
        const flat = shape.reduce((all, n) => all * n, 1);
        const made = dice.int(0, 1) === 0 ? net.op('Flatten', [name]) : net.op('Reshape', [name, net.ints(0, -1)]);
        return { name: made, shape: [1, flat], axis: 1 };
      },
      () => {
        if (!isMap) return x;
        const turned = [shape[0]!, shape[2]!, shape[3]!, channels];
        return { name: net.op('Transpose', [name], { perm: [0, 2, 3, 1] }), shape: turned, axis: 3 };
      },
      () => {
        const [scale, zero] = [net.values('float32', [], [0.05]), net.values('uint8', [], [128])];
        return along(net.op('DequantizeLinear', [net.op('QuantizeLinear', [name, scale, zero]), scale, zero]));
      },
    ];
    return dice.pick(...choices)();
  }
}
