import { type Family, picture } from './architecture.ts';
import { likeChannels, type NetworkBuilder, type Value } from './builder.ts';

/** Residual blocks of each route. */
const ROUTES = [1, 3, 6] as const;
const CLASSES = 100;

function convNorm(net: NetworkBuilder, x: Value, channels: number, stride = 1): Value {
  return net.relu(net.batchNorm(net.conv(x, channels, 3, { stride })));
}

/** One path: residual blocks, then a classifier. */
function route(net: NetworkBuilder, x: Value, blocks: number): Value {
  for (let block = 0; block < blocks; block++) {
    const inner = net.relu(net.batchNorm(net.conv(x, likeChannels(x), 3)));
    const gain = 1 / Math.sqrt(blocks);
    x = net.relu(net.add(x, net.batchNorm(net.conv(inner, likeChannels(x), 3, { gain }))));
  }
  return net.classify(x, CLASSES);
}

/**
 * A network of several paths, of which the frame chooses one: convolutions that all frames take, then gates, which are
 * a small classifier of the map's means, then one path, each an If. Of the map that the gates see, each path reads a
 * copy that is zero unless it is chosen, so that packed it takes next to nothing; its logits are then zero too, and the
 * network's are the sum.
 */
export const GATED: Family = {
  gated: {
    input: picture(128),
    task: 'classify',
    source: 'in the spirit of CAMNet (Tissera et al., 2019, arXiv:1907.11519), with gates that open one path only',
    layers(net) {
      let x = convNorm(net, net.input, 32, 2);
      for (const [channels, stride] of [
        [64, 1],
        [64, 2],
        [128, 1],
      ] as const)
        x = convNorm(net, x, channels, stride);
      const best = net.op('ArgMax', [net.classify(x, ROUTES.length)], [1], { axis: 1, keepdims: 0 });
      const answers = ROUTES.map((blocks, index) => {
        const isOpen = net.op('Equal', [best, net.constant('int64', [1], [index])], [1]);
        const gate = net.op('Cast', [isOpen], [1], { to: 1 });
        const own: Value = { ...x, ...net.op('Mul', [x, gate], x.shape) };
        const closed = net.constant('float32', [1, CLASSES], new Array<number>(CLASSES).fill(0));
        return net.choose(
          isOpen,
          () => route(net, own, blocks),
          () => net.op('Identity', [closed], [1, CLASSES]),
        );
      });
      return [net.op('Sum', answers, [1, CLASSES])];
    },
  },
};
