import { type Architecture, type Family, picture } from './architecture.ts';
import type { Channels, ConvOptions, NetworkBuilder, Value } from './builder.ts';

/** Blocks in each of the four stages (He et al., CVPR 2016, table 1). */
const BLOCKS = {
  18: [2, 2, 2, 2],
  34: [3, 4, 6, 3],
  50: [3, 4, 6, 3],
  101: [3, 4, 23, 3],
  152: [3, 8, 36, 3],
} as const;
type Depth = keyof typeof BLOCKS;

/** Channels of a stage; a bottleneck ends with four times as many. */
const CHANNELS = [64, 128, 256, 512] as const;
const EXPANSION = 4;
const EPSILON = 1.001e-5;

/** A residual block that makes `channels`, its shortcut projected where it is the first of its stage. */
interface Block {
  readonly channels: number;
  readonly stride: number;
  readonly isFirst: boolean;
  /** Of the weights of its last convolution. */
  readonly gain: number;
}

type AddBlock = (net: NetworkBuilder, x: Value, block: Block) => Value;

function convNorm(net: NetworkBuilder, x: Value, channels: Channels, size: number, options: ConvOptions): Value {
  return net.batchNorm(net.conv(x, channels, size, options), EPSILON);
}

/** Version 1 of two 3x3 convolutions. */
const basicV1: AddBlock = (net, x, { channels, stride, isFirst, gain }) => {
  const isProjected = isFirst && stride > 1;
  const shortcut = isProjected ? convNorm(net, x, channels, 1, { stride, pads: 0 }) : x;
  const first = net.relu(convNorm(net, x, channels, 3, { stride, pads: 1 }));
  return net.relu(net.add(convNorm(net, first, channels, 3, { gain }), shortcut));
};

/** Version 1 with a bottleneck; the stride is in its first convolution, and convolutions have biases, as in Keras. */
const bottleneckV1: AddBlock = (net, x, { channels, stride, isFirst, gain }) => {
  const bias = true;
  const wide = channels * EXPANSION;
  const shortcut = isFirst ? convNorm(net, x, wide, 1, { stride, bias }) : x;
  const first = net.relu(convNorm(net, x, channels, 1, { stride, bias }));
  const second = net.relu(convNorm(net, first, channels, 3, { bias }));
  return net.relu(net.add(shortcut, convNorm(net, second, wide, 1, { bias, gain })));
};

const activated = (net: NetworkBuilder, x: Value): Value => net.relu(net.batchNorm(x, EPSILON));

/** Version 2 of two 3x3 convolutions (He et al., ECCV 2016). */
const basicV2: AddBlock = (net, x, { channels, stride, isFirst, gain }) => {
  const before = activated(net, x);
  const isProjected = isFirst && stride > 1;
  const shortcut = isProjected ? net.conv(before, channels, 1, { stride, pads: 0 }) : x;
  const first = activated(net, net.conv(before, channels, 3, { stride, pads: 1 }));
  return net.add(shortcut, net.conv(first, channels, 3, { gain }));
};

/** Version 2 with a bottleneck; the stride is in its 3x3 convolution. */
const bottleneckV2: AddBlock = (net, x, { channels, stride, isFirst, gain }) => {
  const before = activated(net, x);
  const wide = channels * EXPANSION;
  const reduced = stride > 1 ? net.maxPool(x, 1, { stride }) : x;
  const shortcut = isFirst ? net.conv(before, wide, 1, { stride, bias: true }) : reduced;
  const first = activated(net, net.conv(before, channels, 1));
  const second = activated(net, net.conv(first, channels, 3, { stride, pads: 1 }));
  return net.add(shortcut, net.conv(second, wide, 1, { bias: true, gain }));
};

function resnet(depth: Depth, version: 1 | 2): Architecture {
  const isDeep = depth >= 50;
  const addBlock = version === 1 ? (isDeep ? bottleneckV1 : basicV1) : isDeep ? bottleneckV2 : basicV2;
  const blocks = BLOCKS[depth];
  const gain = 1 / Math.sqrt(blocks.reduce((sum, count) => sum + count, 0));
  // Keras halves the map in the last block of a stage of version 2, not in the first of the next.
  const halvesLast = version === 2 && isDeep;
  return {
    input: picture(224),
    task: 'classify',
    source: version === 1 ? 'He et al., CVPR 2016' : 'He et al., ECCV 2016',
    layers(net) {
      const first = net.conv(net.input, CHANNELS[0], 7, { stride: 2, pads: 3, bias: isDeep });
      let x = version === 2 && isDeep ? first : net.relu(net.batchNorm(first, EPSILON));
      x = net.maxPool(x, 3, { stride: 2, pads: 1 });
      blocks.forEach((count, stage) => {
        for (let block = 0; block < count; block++) {
          const halves = halvesLast ? block === count - 1 && stage < 3 : block === 0 && stage > 0;
          x = addBlock(net, x, { channels: CHANNELS[stage]!, stride: halves ? 2 : 1, isFirst: block === 0, gain });
        }
      });
      return [net.classify(version === 2 ? activated(net, x) : x)];
    },
  };
}

/** ResNets of both versions. */
export const RESNET: Family = Object.fromEntries(
  ([18, 34, 50, 101, 152] as const).flatMap((depth) => [
    [`resnet-${depth}`, resnet(depth, 1)],
    [`resnet-${depth}-v2`, resnet(depth, 2)],
  ]),
);
