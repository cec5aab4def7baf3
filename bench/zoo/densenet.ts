import { type Architecture, type Family, picture } from './architecture.ts';
import type { Value } from './builder.ts';

/** Channels that each layer adds. */
const GROWTH = 32;
const EPSILON = 1.001e-5;

function densenet(blocks: readonly number[]): Architecture {
  return {
    input: picture(224),
    task: 'classify',
    source: 'Huang et al., CVPR 2017, table 1',
    layers(net) {
      const activated = (x: Value) => net.relu(net.batchNorm(x, EPSILON));
      let x = activated(net.conv(net.input, 2 * GROWTH, 7, { stride: 2, pads: 3 }));
      x = net.maxPool(x, 3, { stride: 2, pads: 1 });
      blocks.forEach((layers, block) => {
        for (let layer = 0; layer < layers; layer++) {
          const narrow = activated(net.conv(activated(x), 4 * GROWTH, 1));
          x = net.concat([x, net.conv(narrow, GROWTH, 3)]);
        }
        if (block === blocks.length - 1) return;
        const half = { exactly: Math.floor(x.shape[1]! / 2) };
        x = net.averagePool(net.conv(activated(x), half, 1), 2, { stride: 2 });
      });
      return [net.classify(activated(x))];
    },
  };
}

/** DenseNets of growth rate 32. */
export const DENSENET: Family = {
  'densenet-121': densenet([6, 12, 24, 16]),
  'densenet-169': densenet([6, 12, 32, 32]),
  'densenet-201': densenet([6, 12, 48, 32]),
};
