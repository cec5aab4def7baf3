import type { PlanPreparation, PlanProgress } from '../../shared/protocol/messages/node.ts';
import type { Topics } from '../../shared/protocol/topics.ts';
import type { NodeChange } from '../coordinator/effects.ts';
import type { Snapshot } from '../coordinator/snapshot.ts';
import type { Publisher } from '../publish/publisher.ts';
import type { Observer } from './observer.ts';
import { answersOf } from './readiness.ts';

/** What `PlanPreparations` needs. */
export interface PlanPreparationsOptions {
  readonly snapshot: () => Snapshot;
  readonly publisher: Pick<Publisher, 'retain'>;
  readonly topics: Pick<Topics, 'planProgress'>;
}

/** Time between two looks at the nodes' progress, ms. */
const LOOK_MS = 1000;

/** Publishes how far the nodes are with the newest plan of each model, where that has changed. */
export class PlanPreparations implements Observer {
  readonly #options: PlanPreparationsOptions;
  /** The newest plan and what was published last, by model. */
  readonly #models = new Map<string, { readonly plan: string; said: string }>();
  /** Progress by node, from heartbeats. */
  readonly #progress = new Map<string, readonly PlanProgress[]>();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: PlanPreparationsOptions) {
    this.#options = options;
  }

  start(): void {
    this.#timer = setInterval(() => this.publish(), LOOK_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  planOffered(model: string, plan: string): void {
    if (this.#models.get(model)?.plan !== plan) this.#models.set(model, { plan, said: '' });
  }

  progress(node: string, plans: readonly PlanProgress[]): void {
    this.#progress.set(node, plans);
  }

  nodeChanged(change: NodeChange): void {
    if (change.type !== 'node-event') return;
    if (change.event === 'offline') this.#progress.delete(change.node);
    if (['ready', 'refused', 'offline'].includes(change.event)) this.publish();
  }

  /** Publishes what has changed. */
  publish(): void {
    const { snapshot, publisher, topics } = this.#options;
    const now = snapshot();
    for (const [model, about] of this.#models) {
      const text = JSON.stringify({ v: 1, plan: about.plan, nodes: this.#nodes(about.plan, now) });
      if (text === about.said) continue;
      about.said = text;
      publisher.retain(topics.planProgress(model), text);
    }
  }

  #nodes(plan: string, now: Snapshot): PlanPreparation['nodes'] {
    const { ready, preparing, refused } = answersOf(plan, now);
    const nodes: PlanPreparation['nodes'] = {};
    for (const node of ready) nodes[node] = { state: 'ready' };
    for (const { node, text } of refused) nodes[node] = { state: 'refused', text };
    for (const node of preparing) {
      const { id: _, model: __, ...state } = this.#progress.get(node)?.find(({ id }) => id === plan) ?? WAITING;
      nodes[node] = state;
    }
    return nodes;
  }
}

const WAITING: PlanProgress = { id: '', model: '', state: 'waiting' };
