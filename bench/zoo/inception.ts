import { type Family, picture } from './architecture.ts';
import type { NetworkBuilder, Value } from './builder.ts';

/** A convolution of a chain: channels, size of its kernel, and whether it halves the map (without padding). */
type Layer = readonly [channels: number, size: number | readonly number[], end?: 'halve' | 'valid'];

const ROW = [1, 7] as const;
const COLUMN = [7, 1] as const;

/** Convolutions one after another, each with batch normalisation and ReLU. */
export function chain(net: NetworkBuilder, x: Value, ...layers: readonly Layer[]): Value {
  for (const [channels, size, end] of layers) {
    const window = end === undefined ? {} : { pads: 0, stride: end === 'halve' ? 2 : 1 };
    x = net.relu(net.batchNorm(net.conv(x, channels, size, window)));
  }
  return x;
}

/** The maximum of 3x3 cells, which halves the map. */
export function halved(net: NetworkBuilder, x: Value): Value {
  return net.maxPool(x, 3, { stride: 2, pads: 0 });
}

/** The average of 3x3 cells, then a convolution of single cells. */
export function averaged(net: NetworkBuilder, x: Value, channels: number): Value {
  return chain(net, net.averagePool(x, 3), [channels, 1]);
}

/** The first layers of Inception v3 and of Inception-ResNet v2: 299 x 299 to 35 x 35. */
export function stem(net: NetworkBuilder): Value {
  const first = chain(net, net.input, [32, 3, 'halve'], [32, 3, 'valid'], [64, 3]);
  return halved(net, chain(net, halved(net, first), [80, 1], [192, 3, 'valid']));
}

function v3A(net: NetworkBuilder, x: Value, pooled: number): Value {
  return net.concat([
    chain(net, x, [64, 1]),
    chain(net, x, [48, 1], [64, 5]),
    chain(net, x, [64, 1], [96, 3], [96, 3]),
    averaged(net, x, pooled),
  ]);
}

function v3B(net: NetworkBuilder, x: Value, inner: number): Value {
  return net.concat([
    chain(net, x, [192, 1]),
    chain(net, x, [inner, 1], [inner, ROW], [192, COLUMN]),
    chain(net, x, [inner, 1], [inner, COLUMN], [inner, ROW], [inner, COLUMN], [192, ROW]),
    averaged(net, x, 192),
  ]);
}

/** A row and a column of kernels beside each other. */
function spread(net: NetworkBuilder, x: Value, channels: number): Value[] {
  return [chain(net, x, [channels, [1, 3]]), chain(net, x, [channels, [3, 1]])];
}

function v3C(net: NetworkBuilder, x: Value): Value {
  return net.concat([
    chain(net, x, [320, 1]),
    ...spread(net, chain(net, x, [384, 1]), 384),
    ...spread(net, chain(net, x, [448, 1], [384, 3]), 384),
    averaged(net, x, 192),
  ]);
}

function v4Stem(net: NetworkBuilder): Value {
  let x = chain(net, net.input, [32, 3, 'halve'], [32, 3, 'valid'], [64, 3]);
  x = net.concat([halved(net, x), chain(net, x, [96, 3, 'halve'])]);
  x = net.concat([
    chain(net, x, [64, 1], [96, 3, 'valid']),
    chain(net, x, [64, 1], [64, ROW], [64, COLUMN], [96, 3, 'valid']),
  ]);
  return net.concat([chain(net, x, [192, 3, 'halve']), halved(net, x)]);
}

function v4A(net: NetworkBuilder, x: Value): Value {
  return net.concat([
    chain(net, x, [96, 1]),
    chain(net, x, [64, 1], [96, 3]),
    chain(net, x, [64, 1], [96, 3], [96, 3]),
    averaged(net, x, 96),
  ]);
}

function v4B(net: NetworkBuilder, x: Value): Value {
  return net.concat([
    chain(net, x, [384, 1]),
    chain(net, x, [192, 1], [224, ROW], [256, COLUMN]),
    chain(net, x, [192, 1], [192, COLUMN], [224, ROW], [224, COLUMN], [256, ROW]),
    averaged(net, x, 128),
  ]);
}

function v4C(net: NetworkBuilder, x: Value): Value {
  return net.concat([
    chain(net, x, [256, 1]),
    ...spread(net, chain(net, x, [384, 1]), 256),
    ...spread(net, chain(net, x, [384, 1], [448, [3, 1]], [512, [1, 3]]), 256),
    averaged(net, x, 256),
  ]);
}

/** Inception v3 and v4, without the auxiliary classifiers. */
export const INCEPTION: Family = {
  'inception-v3': {
    input: picture(299),
    task: 'classify',
    source: 'Szegedy et al., CVPR 2016, as in Keras',
    layers(net) {
      let x = stem(net);
      for (const pooled of [32, 64, 64]) x = v3A(net, x, pooled);
      x = net.concat([
        chain(net, x, [384, 3, 'halve']),
        chain(net, x, [64, 1], [96, 3], [96, 3, 'halve']),
        halved(net, x),
      ]);
      for (const inner of [128, 160, 160, 192]) x = v3B(net, x, inner);
      x = net.concat([
        chain(net, x, [192, 1], [320, 3, 'halve']),
        chain(net, x, [192, 1], [192, ROW], [192, COLUMN], [192, 3, 'halve']),
        halved(net, x),
      ]);
      for (let block = 0; block < 2; block++) x = v3C(net, x);
      return [net.classify(x)];
    },
  },
  'inception-v4': {
    input: picture(299),
    task: 'classify',
    source: 'Szegedy et al., AAAI 2017, figures 3 to 9',
    layers(net) {
      let x = v4Stem(net);
      for (let block = 0; block < 4; block++) x = v4A(net, x);
      x = net.concat([
        chain(net, x, [384, 3, 'halve']),
        chain(net, x, [192, 1], [224, 3], [256, 3, 'halve']),
        halved(net, x),
      ]);
      for (let block = 0; block < 7; block++) x = v4B(net, x);
      x = net.concat([
        chain(net, x, [192, 1], [192, 3, 'halve']),
        chain(net, x, [256, 1], [256, ROW], [320, COLUMN], [320, 3, 'halve']),
        halved(net, x),
      ]);
      for (let block = 0; block < 3; block++) x = v4C(net, x);
      return [net.classify(x)];
    },
  },
};
