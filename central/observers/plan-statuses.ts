import type { CompiledPlan } from '../../shared/plan/compiled-plan.ts';
import type { Split } from '../../shared/plan/plan.ts';
import type { PlanStatus } from '../../shared/protocol/messages/central.ts';
import type { Topics } from '../../shared/protocol/topics.ts';
import { costInWords } from '../planner/cost-in-words.ts';
import type { Publisher } from '../publish/publisher.ts';
import type { ServedPlan } from '../served-model.ts';
import type { Observer } from './observer.ts';

function describeSplit(split: Split): string {
  if (split.kind === 'whole') return 'whole';
  if (split.kind === 'channels') return `channels ${split.sizes.length}`;
  return `tiles ${split.rows.length}x${split.cols.length} ${split.padding}`;
}

/** The object on `<base>/plan/<model>`; `since` is in Unix seconds. */
function planStatusOf(compiled: CompiledPlan, since: number): PlanStatus {
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

/** What `PlanStatuses` needs. */
export interface PlanStatusesOptions {
  readonly publisher: Pick<Publisher, 'retain'>;
  readonly topics: Pick<Topics, 'plan'>;
  /** Unix seconds. */
  readonly time: () => number;
}

/** Publishes the active plan of each model. */
export class PlanStatuses implements Observer {
  readonly #options: PlanStatusesOptions;

  constructor(options: PlanStatusesOptions) {
    this.#options = options;
  }

  planActive(model: string, { compiled }: ServedPlan): void {
    const { publisher, topics, time } = this.#options;
    publisher.retain(topics.plan(model), JSON.stringify(planStatusOf(compiled, time())));
  }
}
