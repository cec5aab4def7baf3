import type { Split } from '../../shared/plan/plan.ts';
import type { Log } from '../../shared/ports.ts';
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
import { type MemoryReading, SwitchMemory } from './switch-memory.ts';

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
    strategy: plan.strategy,
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
  readonly memory: () => MemoryReading;
  readonly log: Pick<Log, 'info'>;
}

/** Frames of which the median latency is published. */
const FRAMES = 64;
/** Time between two looks at it, ms. */
const LOOK_MS = 10_000;
/** Time between two looks at the memory of machines, ms: between their heartbeats. */
const MEMORY_MS = 1000;
/** How long after the end of a plan machines have freed what they free, ms. */
const FREED_MS = 3000;

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

/** A change of plans of one model. */
interface Switch {
  readonly memory: SwitchMemory;
  /** The plan that is replaced. */
  readonly old: string;
  /** Looks left once the old plan is gone. */
  left: number | undefined;
}

/**
 * Publishes the active plan of each model, the latency that was measured of it where that has changed, and the memory that
 * machines took while it replaced another.
 */
export class PlanStatuses implements Observer {
  readonly #options: PlanStatusesOptions;
  /** By model. */
  readonly #active = new Map<string, Active>();
  /** By model. */
  readonly #switches = new Map<string, Switch>();
  #timers: readonly NodeJS.Timeout[] = [];

  constructor(options: PlanStatusesOptions) {
    this.#options = options;
  }

  start(): void {
    this.#timers = [setInterval(() => this.measure(), LOOK_MS), setInterval(() => this.lookAtMemory(), MEMORY_MS)];
  }

  stop(): void {
    for (const timer of this.#timers) clearInterval(timer);
  }

  planOffered(model: string, plan: string): void {
    const old = this.#active.get(model)?.status.id;
    if (old !== undefined && old !== plan)
      this.#switches.set(model, { memory: new SwitchMemory(this.#options.memory()), old, left: undefined });
  }

  planActive(model: string, served: ServedPlan): void {
    const status = planStatusOf(served, this.#options.time());
    this.#active.set(model, { status, latencies: [], stages: new Map(), isNew: false });
    this.#publish(model, status);
  }

  planRetired(plan: string): void {
    for (const change of this.#switches.values()) if (change.old === plan) change.left = FREED_MS / MEMORY_MS;
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

  /** Follows the memory of machines while plans are replaced; publishes it some time after the old plan is gone. */
  lookAtMemory(): void {
    const { memory, log } = this.#options;
    for (const [model, change] of this.#switches) {
      if (change.left === undefined || --change.left > 0) {
        change.memory.look(memory());
        continue;
      }
      this.#switches.delete(model);
      change.memory.end(memory());
      const active = this.#active.get(model)!;
      active.status = { ...active.status, memory: change.memory.machines };
      log.info(`model ${model} has changed its plan: ${change.memory.inWords ?? 'no memory was measured'}`, {
        plan: active.status.id,
      });
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
