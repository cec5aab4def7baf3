import { type Architecture, type Family, picture } from './architecture.ts';
import type { NetworkBuilder, Value } from './builder.ts';

/** NASNet-A (repeats @ filters of the last layer). */
interface Size {
  readonly side: number;
  readonly repeats: number;
  readonly filters: number;
  readonly stemFilters: number;
  /** Whether a cell behind a reduction reads what was before it, not its second output (TF-slim). */
  readonly skipsReduction: boolean;
}

/** A cell reads the outputs of the two cells before it, and makes a map. */
type Cell = (net: NetworkBuilder, x: Value, before: Value, filters: number) => Value;

/** Deviation of a branch of a sum of two: the variance of the sum is that of the branches. */
const HALF = Math.SQRT1_2;

/** Two rounds of ReLU, separable convolution and batch normalisation. */
function separable(net: NetworkBuilder, x: Value, filters: number, size: number, stride = 1): Value {
  const first = net.batchNorm(net.conv(net.depthwise(net.relu(x), size, { stride }), filters, 1));
  return net.batchNorm(net.conv(net.depthwise(net.relu(first), size), filters, 1, { gain: HALF }));
}

function squeezed(net: NetworkBuilder, x: Value, filters: number): Value {
  return net.batchNorm(net.conv(net.relu(x), filters, 1));
}

/** Makes `before` fit: as large as `x`, and of as many channels as the cell's own maps. */
function adjusted(net: NetworkBuilder, before: Value, x: Value, filters: number): Value {
  if (before === x) return before;
  const wanted = net.channels(filters);
  if (before.shape[2] === x.shape[2]) return before.shape[1] === wanted ? before : squeezed(net, before, filters);
  const half = { exactly: wanted / 2 };
  const rectified = net.relu(before);
  const [n, c, h, w] = before.shape as [number, number, number, number];
  // The same map one cell to the right and below, with a rim of zeros.
  const padded = net.op('Pad', [rectified, net.constant('int64', [8], [0, 0, 0, 0, 0, 0, 1, 1])], [n, c, h + 1, w + 1]);
  const ends = [
    [1, 1],
    [h + 1, w + 1],
    [2, 3],
  ].map((values) => net.constant('int64', [2], values));
  const moved = { ...rectified, ...net.op('Slice', [padded, ...ends], before.shape) };
  const halves = [rectified, moved].map((map) => net.conv(net.averagePool(map, 1, { stride: 2 }), half, 1));
  return net.batchNorm(net.concat(halves));
}

/** Figure 4, left. */
const normalCell: Cell = (net, x, before, filters) => {
  const p = adjusted(net, before, x, filters);
  const h = squeezed(net, x, filters);
  return net.concat([
    p,
    net.add(separable(net, h, filters, 5), separable(net, p, filters, 3)),
    net.add(separable(net, p, filters, 5), separable(net, p, filters, 3)),
    net.add(net.averagePool(h, 3), p),
    net.add(net.averagePool(p, 3), net.averagePool(p, 3)),
    net.add(separable(net, h, filters, 3), h),
  ]);
};

/** Figure 4, right. */
const reductionCell: Cell = (net, x, before, filters) => {
  const p = adjusted(net, before, x, filters);
  const h = squeezed(net, x, filters);
  const first = net.add(separable(net, h, filters, 5, 2), separable(net, p, filters, 7, 2));
  const second = net.add(net.maxPool(h, 3, { stride: 2 }), separable(net, p, filters, 7, 2));
  return net.concat([
    second,
    net.add(net.averagePool(h, 3, { stride: 2 }), separable(net, p, filters, 5, 2)),
    net.add(second, net.averagePool(first, 3)),
    net.add(separable(net, first, filters, 3), net.maxPool(h, 3, { stride: 2 })),
  ]);
};

function nasnet({ side, repeats, filters: last, stemFilters, skipsReduction }: Size): Architecture {
  const filters = last / 24;
  return {
    input: picture(side),
    task: 'classify',
    source: `Zoph et al., CVPR 2018: NASNet-A (${repeats} @ ${last}), as in TF-slim and Keras, without the auxiliary classifier`,
    layers(net) {
      let x = net.batchNorm(net.conv(net.input, stemFilters, 3, { stride: 2, pads: 0 }));
      let before = x;
      const add = (cell: Cell, channels: number) => {
        [x, before] = [cell(net, x, before, channels), x];
      };
      add(reductionCell, Math.floor(filters / 4));
      add(reductionCell, Math.floor(filters / 2));
      for (const factor of [1, 2, 4]) {
        const skipped = before;
        if (factor > 1) add(reductionCell, filters * factor);
        if (factor > 1 && skipsReduction) before = skipped;
        for (let cell = 0; cell < repeats; cell++) add(normalCell, filters * factor);
      }
      return [net.classify(net.relu(x))];
    },
  };
}

/** NASNet-A for phones and the large one. */
export const NASNET: Family = {
  'nasnet-mobile': nasnet({ side: 224, repeats: 4, filters: 1056, stemFilters: 32, skipsReduction: false }),
  'nasnet-large': nasnet({ side: 331, repeats: 6, filters: 4032, stemFilters: 96, skipsReduction: true }),
};
