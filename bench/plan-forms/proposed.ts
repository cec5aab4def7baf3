import { COMPARED } from '../../central/planner/strategies.ts';
import { isNoPlan, type PlanningNode, type Problem } from '../../central/planner/strategy.ts';
import { planningNetwork } from '../../central/planner/tiler.ts';
import type { ResolvedModel } from '../../shared/onnx/model.ts';
import { CENTRAL, type Plan } from '../../shared/plan/plan.ts';

/** Plans of strategies in which a stage is divided and answers stay as they are, on slow unequal nodes with fast links. */
export function proposedPlans(
  resolved: ResolvedModel,
  model: string,
  agents: readonly string[],
): { readonly name: string; readonly plan: Plan }[] {
  const network = planningNetwork(resolved);
  const nodes = [...agents, CENTRAL].map((id, index): PlanningNode => {
    const layer_ms = network.graph.layers.map(({ macs }) => ((1 + index / 2) * macs) / 1e4 + 0.01);
    const splits = ['whole', 'tiles', 'channels'];
    return {
      id,
      tier: 'edge',
      memory_mb: null,
      codecs: ['raw'],
      splits,
      times: { layer_ms, runs: [], ratio: 1, error: null },
    };
  });
  const problem: Problem = {
    model,
    ...network,
    nodes,
    links: agents.flatMap((id) => [
      { from: id, to: CENTRAL, rtt_ms: 0.1, mbps: 10_000 },
      { from: CENTRAL, to: id, rtt_ms: 0.1, mbps: 10_000 },
    ]),
    broker: CENTRAL,
    source: CENTRAL,
    sink: CENTRAL,
    trained: [],
    calibrated: [],
    exits: [],
    constraints: { nodes: '*', nodeCount: agents.length },
    isNamed: true,
  };
  return COMPARED.flatMap(({ name, propose }) => {
    const plans = propose(problem);
    const [plan] = isNoPlan(plans) ? [] : plans;
    const isDivided = plan?.stages.some(({ split }) => split.kind !== 'whole') === true;
    return isDivided ? [{ name, plan }] : [];
  });
}
