import { type Family, picture } from './architecture.ts';
import type { NetworkBuilder, Value } from './builder.ts';

/** MobileNet v1: channels and stride of each pair of a depthwise and a 1x1 convolution (table 1). */
const V1: readonly (readonly [channels: number, stride: number])[] = [
  [64, 1],
  [128, 2],
  [128, 1],
  [256, 2],
  [256, 1],
  [512, 2],
  ...new Array<[number, number]>(5).fill([512, 1]),
  [1024, 2],
  [1024, 1],
];

/** MobileNet v2: expansion, channels, repeats, stride of the first (table 2). */
const V2 = [
  [1, 16, 1, 1],
  [6, 24, 2, 2],
  [6, 32, 3, 2],
  [6, 64, 4, 2],
  [6, 96, 3, 1],
  [6, 160, 3, 2],
  [6, 320, 1, 1],
] as const;

function activated(net: NetworkBuilder, x: Value): Value {
  return net.relu6(net.batchNorm(x));
}

/** An inverted residual with a linear end. */
function inverted(net: NetworkBuilder, x: Value, expansion: number, channels: number, stride: number): Value {
  const wide = { exactly: x.shape[1]! * expansion };
  const expanded = expansion === 1 ? x : activated(net, net.conv(x, wide, 1));
  const filtered = activated(net, net.depthwise(expanded, 3, { stride }));
  const made = net.batchNorm(net.conv(filtered, channels, 1));
  return stride === 1 && made.shape[1] === x.shape[1] ? net.add(x, made) : made;
}

/** Depthwise and 1x1 convolution without anything between them. */
function separable(net: NetworkBuilder, x: Value, channels: number): Value {
  return net.batchNorm(net.conv(net.depthwise(x, 3), channels, 1));
}

/** A block of Xception that halves the map, beside a projected shortcut. */
function entry(net: NetworkBuilder, x: Value, inner: number, channels: number, isFirst = false): Value {
  const shortcut = net.batchNorm(net.conv(x, channels, 1, { stride: 2 }));
  const first = separable(net, isFirst ? x : net.relu(x), inner);
  const second = separable(net, net.relu(first), channels);
  return net.add(net.maxPool(second, 3, { stride: 2 }), shortcut);
}

/** Networks of depthwise separable convolutions: MobileNet v1 and v2, Xception. */
export const MOBILE: Family = {
  'mobilenet-v1': {
    input: picture(224),
    task: 'classify',
    source: 'Howard et al., 2017, table 1',
    layers(net) {
      let x = activated(net, net.conv(net.input, 32, 3, { stride: 2 }));
      for (const [channels, stride] of V1)
        x = activated(net, net.conv(activated(net, net.depthwise(x, 3, { stride })), channels, 1));
      return [net.classify(x)];
    },
  },
  'mobilenet-v2': {
    input: picture(224),
    task: 'classify',
    source: 'Sandler et al., CVPR 2018, table 2',
    layers(net) {
      let x = activated(net, net.conv(net.input, 32, 3, { stride: 2 }));
      for (const [expansion, channels, repeats, stride] of V2)
        for (let block = 0; block < repeats; block++)
          x = inverted(net, x, expansion, channels, block === 0 ? stride : 1);
      return [net.classify(activated(net, net.conv(x, 1280, 1)))];
    },
  },
  xception: {
    input: picture(299),
    task: 'classify',
    source: 'Chollet, CVPR 2017, figure 5',
    layers(net) {
      let x = net.relu(net.batchNorm(net.conv(net.input, 32, 3, { stride: 2, pads: 0 })));
      x = net.relu(net.batchNorm(net.conv(x, 64, 3, { pads: 0 })));
      x = entry(net, x, 128, 128, true);
      for (const channels of [256, 728]) x = entry(net, x, channels, channels);
      for (let block = 0; block < 8; block++) {
        let inner = x;
        for (let layer = 0; layer < 3; layer++) inner = separable(net, net.relu(inner), 728);
        x = net.add(x, inner);
      }
      x = entry(net, x, 728, 1024);
      for (const channels of [1536, 2048]) x = net.relu(separable(net, x, channels));
      return [net.classify(x)];
    },
  },
};
