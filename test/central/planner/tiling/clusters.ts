import type { PlanningNode, Problem } from '../../../../central/planner/strategy.ts';
import { planningNetwork } from '../../../../central/planner/tiler.ts';
import { Network } from '../../../shared/tiling/network.ts';

const pads = [1, 1, 1, 1];

/** Two or three convolutions with a skip, then dense layers. */
export function smallNetwork(layers: number, side: number) {
  const net = new Network();
  const image = net.input([1, 3, side, side]);
  let x = net.op('Relu', [net.conv(image, 3, 8, [3, 3], { pads })]);
  for (let layer = 1; layer < layers; layer++) x = net.op('Relu', [net.conv(x, 8, 8, [3, 3], { pads })]);
  const skip = net.op('MaxPool', [x], { kernel_shape: [2, 2], strides: [2, 2] });
  const sum = net.op('Add', [net.conv(skip, 8, 8, [3, 3], { pads }), skip]);
  const cells = 8 * (side / 2) ** 2;
  const hidden = net.op('Relu', [net.op('Gemm', [net.op('Flatten', [sum]), net.weight(cells, 12)])]);
  const out = net.op('Gemm', [hidden, net.weight(12, 5)]);
  return { resolved: net.resolve(out), image, skip, sum, hidden, out };
}

/** A problem on nodes that take so many ms for a million multiply-adds, around central, whose own is the last. */
export function clusterOf(
  network: Pick<ReturnType<typeof smallNetwork>, 'resolved'>,
  ms: readonly number[],
  { mbps = 100, rtt_ms = 0.2, ...more }: Partial<Problem> & { readonly mbps?: number; readonly rtt_ms?: number } = {},
): Problem {
  const planned = planningNetwork(network.resolved);
  const nodes = ms.map((own, index): PlanningNode => {
    const layer_ms = planned.graph.layers.map(({ macs }) => (own * macs) / 1e6 + 0.001);
    return {
      id: index === ms.length - 1 ? 'central' : `pi-${index + 1}`,
      tier: 'edge',
      memory_mb: null,
      codecs: ['raw', 'clip', 'packed'],
      splits: ['whole', 'tiles', 'channels'],
      times: { layer_ms, runs: [], ratio: 1, error: null },
    };
  });
  const agents = nodes.slice(0, -1);
  return {
    model: 'b'.repeat(64),
    ...planned,
    nodes,
    links: agents.flatMap(({ id }) => [
      { from: id, to: 'central', rtt_ms, mbps },
      { from: 'central', to: id, rtt_ms, mbps },
    ]),
    broker: 'central',
    source: 'central',
    sink: 'central',
    trained: [],
    calibrated: [],
    exits: [],
    constraints: { nodes: '*', nodeCount: agents.length },
    isNamed: true,
    ...more,
  };
}
