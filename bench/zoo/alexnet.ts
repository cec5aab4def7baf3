import { type Family, picture } from './architecture.ts';
import type { NetworkBuilder, Value } from './builder.ts';

/** Local response normalisation over five channels (section 3.3). */
function lrn(net: NetworkBuilder, x: Value): Value {
  const of = (value: number) => ({ kind: 'float', value }) as const;
  return { ...x, ...net.op('LRN', [x], x.shape, { size: 5, alpha: of(1e-4), beta: of(0.75), bias: of(2) }) };
}

/** AlexNet. */
export const ALEXNET: Family = {
  alexnet: {
    input: picture(227),
    task: 'classify',
    source: 'Krizhevsky et al., NIPS 2012: two groups, local response normalisation',
    layers(net) {
      const conv = (x: Value, channels: number, size: number, group = 1) =>
        net.relu(net.conv(x, channels, size, { group, bias: true }));
      const pool = (x: Value) => net.maxPool(x, 3, { stride: 2, pads: 0 });
      const first = net.relu(net.conv(net.input, 96, 11, { stride: 4, pads: 0, bias: true }));
      const second = pool(lrn(net, conv(pool(lrn(net, first)), 256, 5, 2)));
      let x = net.flatten(pool(conv(conv(conv(second, 384, 3), 384, 3, 2), 256, 3, 2)));
      for (let layer = 6; layer < 8; layer++) x = net.relu(net.dense(x, 4096));
      return [net.dense(x, { exactly: 1000 })];
    },
  },
};
