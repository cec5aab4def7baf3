import type { Failure } from '../../shared/errors.ts';
import type { CompiledPlan } from '../../shared/plan/compiled-plan.ts';
import type { Split } from '../../shared/plan/plan.ts';
import type { CentralModels, PlanStatus } from '../../shared/protocol/messages/central.ts';
import type { ServedPlan } from '../effects.ts';
import { costInWords } from '../planner/cost-in-words.ts';
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
  /** Models that cannot be served, with the reason. */
  readonly refused: ReadonlyMap<string, Failure>;
  readonly publishPlan: (model: string, status: PlanStatus) => void;
  readonly publishModels: (models: CentralModels) => void;
  /** Unix seconds. */
  readonly time: () => number;
}

/** Publishes the active plan of each model, and which models are served or refused. */
export class PlanStatuses implements Observer {
  readonly #options: PlanStatusesOptions;
  readonly #statuses = new Map<string, PlanStatus>();

  constructor(options: PlanStatusesOptions) {
    this.#options = options;
  }

  start(): void {
    this.publishModels();
  }

  planActive(model: string, { compiled }: ServedPlan): void {
    const status = planStatusOf(compiled, this.#options.time());
    this.#statuses.set(model, status);
    this.#options.publishPlan(model, status);
    this.publishModels();
  }

  /** Publishes which models are served and which are refused. */
  publishModels(): void {
    const served = [...this.#statuses.keys()].map((model) => [model, { state: 'served' } as const] as const);
    const refused = [...this.#options.refused].map(
      ([model, error]) => [model, { state: 'refused', error: { ...error } } as const] as const,
    );
    this.#options.publishModels({ v: 1, models: Object.fromEntries([...served, ...refused]) });
  }

  /** The active plan of a model, as published. */
  of(model: string): PlanStatus | undefined {
    return this.#statuses.get(model);
  }

  /** Whether a plan is the active one of some model. */
  isActive(plan: string): boolean {
    return [...this.#statuses.values()].some(({ id }) => id === plan);
  }
}
