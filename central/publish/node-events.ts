import { plain } from '../../shared/log-throttle.ts';
import type { Log } from '../../shared/ports.ts';
import type { NodeEvent } from '../../shared/protocol/messages/node.ts';
import type { NodeEventEffect } from '../coordinator/effects.ts';

/** What `NodeEvents` needs. */
export interface NodeEventsOptions {
  readonly publish: (event: NodeEvent) => void;
  readonly log: Log;
  /** Any steady clock, ms. */
  readonly now: () => number;
  /** Unix seconds. */
  readonly time: () => number;
}

/** A thing of one kind about one node is logged once in so many ms. */
const LOG_MS = 60_000;
/** Events of one node that are published within that time. */
const PUBLISHED = 30;
/** Nodes that are told of when a central begins are the fleet as it is, which is no news, ms. */
const BEGIN_MS = 3000;
/** Nodes and kinds that are remembered. */
const REMEMBERED = 4096;

/** How each kind is logged; those that are not here belong to a plan, and are said with it (readiness.ts). */
const LOGGED: Readonly<Record<string, 'info' | 'warn'>> = {
  online: 'info',
  back: 'info',
  offline: 'warn',
  silent: 'warn',
  slow: 'warn',
};

/**
 * Says what happens to nodes: each as an event on a topic, and as a line in the log. A node that comes and goes all the
 * time is said to do so once a minute, and fills neither.
 */
export class NodeEvents {
  readonly #options: NodeEventsOptions;
  readonly #began: number;
  /** By node and kind: when it was logged, and how often it was not since. */
  readonly #logged = new Map<string, { at: number; kept: number }>();
  readonly #published = new Map<string, { since: number; count: number }>();

  constructor(options: NodeEventsOptions) {
    this.#options = options;
    this.#began = options.now();
  }

  /** Takes in an effect of the coordinator. */
  say({ node, event, text, plan }: NodeEventEffect): void {
    const { publish, time } = this.#options;
    if (this.#mayPublish(node))
      publish({ v: 1, time: time(), node, event, text, ...(plan === undefined ? {} : { plan }) });
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
