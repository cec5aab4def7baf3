import type { Link, PlanningNode, Problem } from '../../central/planner/strategy.ts';
import { planningNetwork } from '../../central/planner/tiler.ts';
import type { ResolvedModel } from '../../shared/onnx/model.ts';

/**
 * The problem of a model for a device, where frames are born and outputs are needed, two machines at the edge and one in
 * the cloud, on which it was profiled. Which machine is fastest differs from layer to layer.
 */
export function profiledProblem(resolved: ResolvedModel, model = 'e'.repeat(64)): Problem {
  const network = planningNetwork(resolved);
  const nodes = (['device', 'edge', 'edge', 'cloud'] as const).map((tier, index): PlanningNode => {
    const layer_ms = network.graph.layers.map((_, layer) => 1 + ((3 * layer + index) % 4));
    const times = { layer_ms, runs: [], ratio: 1, error: null };
    return { id: `n${index}`, tier, memory_mb: null, codecs: ['raw'], splits: ['whole', 'tiles'], times };
  });
  const links = nodes.flatMap(({ id: from }) =>
    nodes.filter(({ id }) => id !== from).map(({ id: to }): Link => ({ from, to, rtt_ms: 0, mbps: 10_000 })),
  );
  return {
    model,
    ...network,
    nodes,
    links,
    broker: null,
    source: 'n0',
    sink: 'n0',
    trained: [],
    calibrated: [],
    exits: [],
    constraints: { nodes: '*', nodeCount: nodes.length },
    isNamed: true,
  };
}
