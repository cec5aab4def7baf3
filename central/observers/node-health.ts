import type { NodeHealth } from '../../shared/protocol/messages/node-health.ts';
import type { NodeRecord } from '../../shared/protocol/node-registry.ts';
import type { Topics } from '../../shared/protocol/topics.ts';
import type { PacedStates } from '../publish/paced-states.ts';
import type { Observer } from './observer.ts';

/** What `NodeHealths` needs. */
export interface NodeHealthsOptions {
  readonly nodes: () => ReadonlyMap<string, NodeRecord>;
  readonly isThrottled: (node: string) => boolean;
  readonly states: Pick<PacedStates, 'set'>;
  readonly topics: Pick<Topics, 'nodeHealth'>;
}

/** Nodes are looked at so often, ms; and a node's health is published so often at most, s. */
const LOOK_MS = 5000;
const INTERVAL_S = 30;

/**
 * Publishes what nodes say in their heartbeats, in steps that are worth a message and at most every half minute: a
 * heartbeat a second fills the database of a home.
 */
export class NodeHealths implements Observer {
  readonly #options: NodeHealthsOptions;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: NodeHealthsOptions) {
    this.#options = options;
  }

  start(): void {
    this.#timer = setInterval(() => this.#look(), LOOK_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const { nodes, isThrottled, states, topics } = this.#options;
    for (const { id, online, heartbeat } of nodes().values()) {
      if (!online || heartbeat === undefined) continue;
      const { cpu_percent, memory_percent, temp_c, tiles_per_s } = heartbeat;
      const health: NodeHealth = {
        v: 1,
        cpu_percent: step(cpu_percent, 5),
        memory_percent: step(memory_percent, 5),
        temp_c: temp_c === null ? null : step(temp_c, 2),
        throttled: isThrottled(id),
        tiles_per_s: step(tiles_per_s, 1),
      };
      states.set(topics.nodeHealth(id), JSON.stringify(health), undefined, INTERVAL_S);
    }
  }
}

/** The nearest multiple of `size`. */
const step = (value: number, size: number): number => size * Math.round(value / size);
