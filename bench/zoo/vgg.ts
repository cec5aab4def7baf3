import { type Architecture, type Family, picture } from './architecture.ts';
import type { NetworkBuilder, Value } from './builder.ts';

const CHANNELS = [64, 128, 256, 512, 512] as const;
/** Convolutions in each of the five blocks (table 1: columns D and E). */
const VGG_16 = [2, 2, 3, 3, 3] as const;
const VGG_19 = [2, 2, 4, 4, 4] as const;
/** Classes of PASCAL VOC, with the background. */
const VOC_CLASSES = 21;

/** The convolutions; returns what each of the five poolings makes. */
function pools(net: NetworkBuilder, counts: readonly number[]): Value[] {
  let x = net.input;
  return counts.map((count, block) => {
    for (let layer = 0; layer < count; layer++) x = net.relu(net.conv(x, CHANNELS[block]!, 3, { bias: true }));
    x = net.maxPool(x, 2, { stride: 2 });
    return x;
  });
}

function vgg(counts: readonly number[], column: string): Architecture {
  return {
    input: picture(224),
    task: 'classify',
    source: `Simonyan and Zisserman, ICLR 2015: column ${column} of table 1`,
    layers(net) {
      let x = net.flatten(pools(net, counts).at(-1)!);
      for (let layer = 0; layer < 2; layer++) x = net.relu(net.dense(x, 4096));
      return [net.dense(x, { exactly: 1000 })];
    },
  };
}

/** The scores of each class, at a 32nd of the picture's size: the dense layers of VGG-16 as convolutions. */
function scores(net: NetworkBuilder, x: Value): Value {
  for (const size of [7, 1]) x = net.relu(net.conv(x, 4096, size, { bias: true }));
  return score(net, x);
}

function score(net: NetworkBuilder, x: Value): Value {
  return net.conv(x, { exactly: VOC_CLASSES }, 1, { bias: true });
}

const FCN = 'Long et al., CVPR 2015, on VGG-16; padded to the same size in fc6, not by 100 cells in front';

/** VGG-16 and VGG-19, and the fully convolutional networks on VGG-16. */
export const VGG: Family = {
  'vgg-16': vgg(VGG_16, 'D'),
  'vgg-19': vgg(VGG_19, 'E'),
  'fcn-32s': {
    input: picture(224),
    task: 'segment',
    source: FCN,
    layers: (net) => [net.enlarge(scores(net, pools(net, VGG_16).at(-1)!), 32)],
  },
  'fcn-8s': {
    input: picture(224),
    task: 'segment',
    source: `${FCN}; with the skips of pool4 and pool3`,
    layers(net) {
      const [, , third, fourth, fifth] = pools(net, VGG_16);
      const sixteenth = net.add(net.enlarge(scores(net, fifth!), 2), score(net, fourth!));
      return [net.enlarge(net.add(net.enlarge(sixteenth, 2), score(net, third!)), 8)];
    },
  },
};
