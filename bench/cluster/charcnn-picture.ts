import type { Model } from '../../shared/onnx/model.ts';
import { NetworkBuilder, type Value } from '../zoo/builder.ts';
import { CHAR_LAYERS } from '../zoo/charcnn.ts';

/** A picture whose columns are characters, each with one white cell: `[n, 1, alphabet, characters]`. */
export const TEXT_PICTURE = [1, 1, 70, 1014] as const;

/**
 * The small character-level network (Zhang et al., NIPS 2015) for text that comes as such a picture, which every camera
 * can send: its first kernel has the height of the alphabet, so that it computes what the network of the zoo does.
 */
export function charcnnOfPicture(): Model {
  const net = new NetworkBuilder('charcnn', TEXT_PICTURE);
  let x: Value = net.input;
  for (const [size, isPooled] of CHAR_LAYERS) {
    x = net.relu(net.conv(x, 256, [x.shape[2]!, size], { pads: 0, bias: true }));
    if (isPooled) x = pooledByThree(net, x);
  }
  x = net.flatten(x);
  for (let layer = 0; layer < 2; layer++) x = net.relu(net.dense(x, 1024));
  return net.model([net.dense(x, { exactly: 4 })]);
}

/** A maximum over three columns. */
function pooledByThree(net: NetworkBuilder, x: Value): Value {
  const [n, c, h, w] = x.shape as [number, number, number, number];
  const attributes = { kernel_shape: [1, 3], strides: [1, 3], pads: [0, 0, 0, 0] };
  return net.op('MaxPool', [x], [n, c, h, Math.floor((w - 3) / 3) + 1], attributes);
}
