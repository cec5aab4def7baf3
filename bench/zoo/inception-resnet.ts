import { type Family, picture } from './architecture.ts';
import { likeChannels, type NetworkBuilder, type Value } from './builder.ts';
import { averaged, chain, halved, stem } from './inception.ts';

type Branches = (net: NetworkBuilder, x: Value) => readonly Value[];

const block35: Branches = (net, x) => [
  chain(net, x, [32, 1]),
  chain(net, x, [32, 1], [32, 3]),
  chain(net, x, [32, 1], [48, 3], [64, 3]),
];

const block17: Branches = (net, x) => [chain(net, x, [192, 1]), chain(net, x, [128, 1], [160, [1, 7]], [192, [7, 1]])];

const block8: Branches = (net, x) => [chain(net, x, [192, 1]), chain(net, x, [192, 1], [224, [1, 3]], [256, [3, 1]])];

/** Adds the branches' result to `x`, scaled down (section 3.3); without the ReLU behind it. */
function residual(net: NetworkBuilder, x: Value, branches: Branches, scale: number): Value {
  const up = net.conv(net.concat(branches(net, x)), likeChannels(x), 1, { bias: true });
  return net.add(x, net.scale(up, scale));
}

/** Inception-ResNet v2. */
export const INCEPTION_RESNET: Family = {
  'inception-resnet-v2': {
    input: picture(299),
    task: 'classify',
    source: 'Szegedy et al., AAAI 2017, as in TF-slim and Keras, which differ from the paper in numbers of channels',
    layers(net) {
      let x = stem(net);
      x = net.concat([
        chain(net, x, [96, 1]),
        chain(net, x, [48, 1], [64, 5]),
        chain(net, x, [64, 1], [96, 3], [96, 3]),
        averaged(net, x, 64),
      ]);
      for (let block = 0; block < 10; block++) x = net.relu(residual(net, x, block35, 0.17));
      x = net.concat([
        chain(net, x, [384, 3, 'halve']),
        chain(net, x, [256, 1], [256, 3], [384, 3, 'halve']),
        halved(net, x),
      ]);
      for (let block = 0; block < 20; block++) x = net.relu(residual(net, x, block17, 0.1));
      x = net.concat([
        chain(net, x, [256, 1], [384, 3, 'halve']),
        chain(net, x, [256, 1], [288, 3, 'halve']),
        chain(net, x, [256, 1], [288, 3], [320, 3, 'halve']),
        halved(net, x),
      ]);
      for (let block = 0; block < 9; block++) x = net.relu(residual(net, x, block8, 0.2));
      return [net.classify(chain(net, residual(net, x, block8, 1), [1536, 1]))];
    },
  },
};
