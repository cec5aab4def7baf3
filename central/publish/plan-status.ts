import type { CompiledPlan } from '../../shared/plan/compiled-plan.ts';
import type { Split } from '../../shared/plan/plan.ts';
import type { PlanStatus } from '../../shared/protocol/messages/central.ts';
import { costInWords } from '../planner/cost-in-words.ts';

function describeSplit(split: Split): string {
  if (split.kind === 'whole') return 'whole';
  if (split.kind === 'channels') return `channels ${split.sizes.length}`;
  return `tiles ${split.rows.length}x${split.cols.length} ${split.padding}`;
}

/** The object on `<base>/plan/<model>`; `since` is in Unix seconds. */
export function planStatusOf(compiled: CompiledPlan, since: number): PlanStatus {
  const { plan, cost } = compiled;
  return {
    id: plan.id,
    since,
    reason: cost.bytesOut === 0 ? plan.reason : `${plan.reason}; ${costInWords(cost)}`,
    predicted: plan.predicted,
    measured: null,
    macs_on_nodes: cost.macsOnNodes,
    conv_macs_on_nodes: cost.convMacsOnNodes,
    stages: plan.stages.map(({ id, split, outputs, on }) => ({
      id,
      split: describeSplit(split),
      outputs: [...outputs],
      on: 'tier' in on ? on.tier : on.nodes === '*' ? '*' : on.nodes.join(', '),
    })),
  };
}
