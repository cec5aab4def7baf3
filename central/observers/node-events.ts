import { plain } from '../../shared/log-throttle.ts';
import type { Log } from '../../shared/ports.ts';
import type { NodeEvent } from '../../shared/protocol/messages/node.ts';
import type { Topics } from '../../shared/protocol/topics.ts';
import type { NodeChange } from '../coordinator/effects.ts';
import type { Publisher } from '../publish/publisher.ts';
import type { Observer } from './observer.ts';

/** What `NodeEvents` needs. */
export interface NodeEventsOptions {
  readonly publisher: Pick<Publisher, 'event'>;
  readonly topics: Pick<Topics, 'nodeEvent'>;
  readonly log: Log;
  /** Any steady clock, ms. */
  readonly now: () => number;
  /** Unix seconds. */
  readonly time: () => number;
}

/** Time between two log lines of one kind about one node, ms. */
const LOG_MS = 60_000;
/** Events of one node that are published within that time. */
const PUBLISHED = 30;
/** Nodes that come online within this time of the start were online before it, ms; the log leaves them out. */
const BEGIN_MS = 3000;
/** Pairs of node and kind that are remembered. */
const REMEMBERED = 4096;

/** Level by kind of event. Kinds that are missing here concern a plan and are logged with the plan (readiness.ts). */
const LOGGED: Readonly<Record<string, 'info' | 'warn'>> = {
  online: 'info',
  back: 'info',
  offline: 'warn',
  silent: 'warn',
  slow: 'warn',
};

/**
 * Publishes and logs what happens to nodes. A node that comes and goes all the time is logged once a minute, and a
 * bounded number of its events is published.
 */
export class NodeEvents implements Observer {
  readonly #options: NodeEventsOptions;
  readonly #began: number;
  /** By node and kind: when it was logged, and how often it was not since. */
  readonly #logged = new Map<string, { at: number; kept: number }>();
  readonly #published = new Map<string, { since: number; count: number }>();
  #areStopping = false;

  constructor(options: NodeEventsOptions) {
    this.#options = options;
    this.#began = options.now();
  }

  nodesStopping(): void {
    this.#areStopping = true;
  }

  nodeChanged(change: NodeChange): void {
    if (change.type === 'leave-out')
      this.#tell(change.node, 'left-out', 'answered wrongly and gets no more work until it is restarted');
    else if (change.type === 'let-in') this.#tell(change.node, 'let-in', 'was left out and gets work again');
    else if (change.type === 'node-event' && !this.#areStopping)
      this.#tell(change.node, change.event, change.text, change.plan);
  }

  #tell(node: string, event: NodeEvent['event'], text: string, plan?: string): void {
    const { publisher, topics, time } = this.#options;
    if (this.#mayPublish(node)) {
      const message: NodeEvent = { v: 1, time: time(), node, event, text, ...(plan === undefined ? {} : { plan }) };
      publisher.event(topics.nodeEvent(node), JSON.stringify(message));
    }
    this.#log(node, event, text);
  }

  #mayPublish(node: string): boolean {
    const now = this.#options.now();
    const window = this.#published.get(node);
    if (window === undefined || now - window.since > LOG_MS) {
      bound(this.#published);
      this.#published.set(node, { since: now, count: 1 });
      return true;
    }
    return ++window.count <= PUBLISHED;
  }

  #log(node: string, event: string, text: string): void {
    const level = LOGGED[event];
    const now = this.#options.now();
    if (level === undefined || (event === 'online' && now - this.#began < BEGIN_MS)) return;
    const key = `${node} ${event}`;
    const known = this.#logged.get(key);
    if (known !== undefined && now - known.at < LOG_MS) {
      known.kept++;
      return;
    }
    bound(this.#logged);
    this.#logged.set(key, { at: now, kept: 0 });
    const before = known === undefined || known.kept === 0 ? undefined : { before: known.kept };
    this.#options.log[level](plain(`node ${node} ${text}`), before);
  }
}

/** Makes room for one more. */
function bound(map: Map<string, unknown>): void {
  const oldest = map.keys().next().value;
  if (map.size >= REMEMBERED && oldest !== undefined) map.delete(oldest);
}
