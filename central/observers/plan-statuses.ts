import type { Split } from '../../shared/plan/plan.ts';
import type { PlanStatus } from '../../shared/protocol/messages/central.ts';
import type { ResultObject } from '../../shared/protocol/messages/result.ts';
import type { Topics } from '../../shared/protocol/topics.ts';
import type { PartTrace } from '../coordinator/frame-end.ts';
import type { EndedFrame } from '../effects.ts';
import { costInWords } from '../planner/cost-in-words.ts';
import { slowest } from '../planner/ranking.ts';
import type { Publisher } from '../publish/publisher.ts';
import { percentile } from '../scheduler/hedge.ts';
import type { ServedPlan } from '../served-model.ts';
import type { Observer } from './observer.ts';

function describeSplit(split: Split): string {
  if (split.kind === 'whole') return 'whole';
  if (split.kind === 'channels') return `channels ${split.sizes.length}`;
  return `tiles ${split.rows.length}x${split.cols.length} ${split.padding}`;
}

/** The object on `<base>/plan/<model>`; `since` is in Unix seconds. */
function planStatusOf({ compiled, changes = [] }: ServedPlan, since: number): PlanStatus {
  const { plan, cost } = compiled;
  return {
    id: plan.id,
    since,
    reason: cost.bytesOut === 0 ? plan.reason : `${plan.reason}; ${costInWords(cost)}`,
    predicted: plan.predicted,
    measured: null,
    changed: [...changes],
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

/** Frames of which the median latency is published. */
const FRAMES = 64;
/** Time between two looks at it, ms. */
const LOOK_MS = 10_000;

/** A plan, and what its latest frames took. */
interface Active {
  status: PlanStatus;
  /** ms. */
  readonly latencies: number[];
  /** Computing at the slowest node, by stage, ms. */
  readonly stages: Map<number, number[]>;
  /** Whether frames have ended since it was published. */
  isNew: boolean;
}

/** Publishes the active plan of each model, and the latency that was measured of it where that has changed. */
export class PlanStatuses implements Observer {
  readonly #options: PlanStatusesOptions;
  /** By model. */
  readonly #active = new Map<string, Active>();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: PlanStatusesOptions) {
    this.#options = options;
  }

  start(): void {
    this.#timer = setInterval(() => this.measure(), LOOK_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  planActive(model: string, served: ServedPlan): void {
    const status = planStatusOf(served, this.#options.time());
    this.#active.set(model, { status, latencies: [], stages: new Map(), isNew: false });
    this.#publish(model, status);
  }

  frameEnded({ end }: EndedFrame, { model, plan, status, latency_ms }: ResultObject): void {
    const active = this.#active.get(model);
    if (active === undefined || active.status.id !== plan || status !== 'ok') return;
    keep(active.latencies, latency_ms);
    for (const [stage, ms] of computing(end.trace)) {
      const times = active.stages.get(stage) ?? [];
      active.stages.set(stage, times);
      keep(times, ms);
    }
    active.isNew = true;
  }

  /** Publishes the latency of plans that had frames since the last call. */
  measure(): void {
    for (const [model, active] of this.#active) {
      if (!active.isNew) continue;
      active.isNew = false;
      const stages = [...active.stages]
        .sort(([a], [b]) => a - b)
        .map(([id, times]) => ({ id, compute_ms: medianOf(times) }));
      active.status = { ...active.status, measured: { latency_ms: medianOf(active.latencies), stages } };
      this.#publish(model, active.status);
    }
  }

  #publish(model: string, status: PlanStatus): void {
    const { publisher, topics } = this.#options;
    publisher.retain(topics.plan(model), JSON.stringify(status));
  }
}

function keep(times: number[], ms: number): void {
  times.push(ms);
  if (times.length > FRAMES) times.shift();
}

/** To a tenth of a millisecond. */
const medianOf = (times: readonly number[]): number => Math.round(percentile(times, 0.5)! * 10) / 10;

/** Computing of each stage at its slowest node, ms. */
function computing(trace: readonly PartTrace[]): Map<number, number> {
  const used = trace.filter(({ used, compute_ms }) => used && compute_ms !== null);
  const stages = new Set(used.map(({ stage }) => stage));
  const partsOf = (id: number) =>
    used.filter(({ stage }) => stage === id).map(({ node, compute_ms }) => ({ node, ms: compute_ms! }));
  return new Map([...stages].map((id) => [id, slowest(partsOf(id))]));
}
