import type { Family } from './architecture.ts';
import type { Value } from './builder.ts';

/** Width of the kernel of each convolution of the small network, and whether a pool of three follows (table 1). */
export const CHAR_LAYERS = [
  [7, true],
  [7, true],
  [3, false],
  [3, false],
  [3, false],
  [3, true],
] as const;

/** The small character-level network. */
export const CHARCNN: Family = {
  charcnn: {
    input: [1, 70, 1014],
    task: 'classify',
    source: 'Zhang et al., NIPS 2015, tables 1 and 2: the small network, four classes (AG news)',
    layers(net) {
      let x: Value = net.input;
      for (const [size, isPooled] of CHAR_LAYERS) {
        x = net.relu(net.conv(x, 256, [size], { pads: 0, bias: true }));
        if (isPooled) x = net.maxPool(x, 3, { stride: 3, pads: 0 });
      }
      x = net.flatten(x);
      for (let layer = 0; layer < 2; layer++) x = net.relu(net.dense(x, 1024));
      return [net.dense(x, { exactly: 4 })];
    },
  },
};
