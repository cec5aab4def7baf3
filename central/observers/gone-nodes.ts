import { failureOf } from '../../shared/errors.ts';
import type { LogThrottle } from '../../shared/log-throttle.ts';
import type { Bus, Message } from '../../shared/ports.ts';
import type { NodeRecord } from '../../shared/protocol/node-registry.ts';
import type { Topics } from '../../shared/protocol/topics.ts';
import { FORGET_S } from '../home-assistant/devices.ts';
import type { PacedStates } from '../publish/paced-states.ts';
import type { Publisher } from '../publish/publisher.ts';
import type { Observer } from './observer.ts';

/** What `GoneNodes` needs. */
export interface GoneNodesOptions {
  readonly nodes: () => ReadonlyMap<string, NodeRecord>;
  readonly bus: Pick<Bus, 'subscribe'>;
  readonly publisher: Pick<Publisher, 'clear'>;
  readonly states: Pick<PacedStates, 'forget'>;
  readonly topics: Pick<Topics, 'nodeStatus' | 'nodeInfo' | 'nodeHealthAll' | 'nodeUpdateAll'>;
  readonly throttledLog: Pick<LogThrottle, 'info' | 'warn'>;
  /** Any steady clock, ms. */
  readonly now: () => number;
}

/** Nodes are looked at so often, ms. */
const LOOK_MS = 60_000;
/** Topics that are remembered, at most. */
const MAX_TOPICS = 4096;

/**
 * Clears what is retained about nodes that are gone for good. A last will says that a node is away, and not whether it comes
 * back: it is gone when it was offline for a week, as central saw it, or when its info was cleared (`tessera nodes forget`).
 */
export class GoneNodes implements Observer {
  readonly #options: GoneNodesOptions;
  /** Since when nodes are offline. */
  readonly #offline = new Map<string, number>();
  /** What else the broker has about nodes, also about those of which it has neither status nor info. */
  readonly #others = new Set<string>();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: GoneNodesOptions) {
    this.#options = options;
  }

  start(): void {
    const { bus, topics, throttledLog } = this.#options;
    const onOther = ({ topic, payload }: Message): void => {
      if (payload.byteLength === 0) this.#others.delete(topic);
      else if (this.#others.size < MAX_TOPICS) this.#others.add(topic);
    };
    for (const filter of [topics.nodeHealthAll, topics.nodeUpdateAll])
      bus
        .subscribe(filter, 0, onOther)
        .catch((error: unknown) =>
          throttledLog.warn('gone nodes', `what nodes leave behind stays: ${failureOf(error).message}`),
        );
    this.#timer = setInterval(() => this.#look(), LOOK_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const { nodes, publisher, states, topics, throttledLog, now } = this.#options;
    const known = nodes();
    for (const { id, online, info } of known.values()) {
      if (online || info === undefined) this.#offline.delete(id);
      else if (!this.#offline.has(id)) this.#offline.set(id, now());
      else if (now() - this.#offline.get(id)! >= FORGET_S * 1000) {
        this.#offline.delete(id);
        throttledLog.info(`gone ${id}`, `node ${id} is forgotten: it was offline for a week`);
        for (const topic of [topics.nodeStatus(id), topics.nodeInfo(id)]) publisher.clear(topic);
      }
    }
    for (const id of this.#offline.keys()) if (!known.has(id)) this.#offline.delete(id);
    for (const topic of this.#others) {
      const node = known.get(topic.split('/').at(-2)!);
      if (node?.online === true || node?.info !== undefined) continue;
      this.#others.delete(topic);
      states.forget(topic);
      publisher.clear(topic);
    }
  }
}
