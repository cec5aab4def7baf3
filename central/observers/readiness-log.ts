import type { Log } from '../../shared/ports.ts';
import type { PlanProgress } from '../../shared/protocol/messages/node.ts';
import type { NodeChange } from '../coordinator/effects.ts';
import type { Snapshot } from '../coordinator/snapshot.ts';
import type { Observer } from './observer.ts';
import { ReadinessReport } from './readiness.ts';

/** Time between two checks of the nodes' progress, ms. */
const LOOK_MS = 1000;

/** What `ReadinessLog` needs. */
export interface ReadinessLogOptions {
  readonly snapshot: () => Snapshot;
  /** Whether a caller waits for the nodes' answers. */
  readonly isAwaited: () => boolean;
  readonly log: Log;
}

/** Logs the nodes' progress with the plans that they prepare. */
export class ReadinessLog implements Observer {
  readonly #options: ReadinessLogOptions;
  readonly #report = new ReadinessReport();
  /** Models by plan, of the plans that serve or are to serve. */
  readonly #models = new Map<string, string[]>();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: ReadinessLogOptions) {
    this.#options = options;
  }

  start(): void {
    this.#timer = setInterval(() => this.#write(), LOOK_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  nodesStopping(): void {
    this.stop();
  }

  planOffered(model: string, plan: string): void {
    this.#models.set(plan, [...new Set([...(this.#models.get(plan) ?? []), model])]);
  }

  planRetired(plan: string): void {
    this.#models.delete(plan);
  }

  progress(node: string, plans: readonly PlanProgress[]): void {
    this.#report.hear(node, plans);
  }

  nodeChanged(change: NodeChange): void {
    if (change.type !== 'node-event') return;
    if (change.event === 'offline') this.#report.forget(change.node);
    if (['ready', 'refused', 'offline'].includes(change.event)) this.#write();
  }

  #write(): void {
    if (this.#timer === undefined) return;
    const { snapshot, isAwaited, log } = this.#options;
    for (const { level, text } of this.#report.lines(this.#models, snapshot(), performance.now(), isAwaited()))
      log[level](text);
  }
}
