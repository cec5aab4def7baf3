import type { Bus, Message, PublishOptions } from '../../shared/ports.ts';
import { matchesFilter } from '../../shared/protocol/filter.ts';

/**
 * A broker without sockets: every bus that it gives out receives what the others publish, in order, in a later
 * microtask. It keeps retained messages and is always connected; no message is lost, so tests with it do
 * not cover networks.
 */
export class MemoryBroker {
  readonly #retained = new Map<string, Uint8Array>();
  readonly #subscribers = new Set<{ filter: string; handler: (message: Message) => void }>();
  /** Every message published so far, for tests that look at traffic. */
  readonly published: { topic: string; payload: Uint8Array; qos: 0 | 1; retain: boolean }[] = [];

  bus(): Bus {
    const mine: { filter: string; handler: (message: Message) => void }[] = [];
    return {
      publish: async (topic, payload, options = {}) => this.publish(topic, payload, options),
      subscribe: async (filter, _qos, handler) => {
        const one = { filter, handler };
        mine.push(one);
        this.#subscribers.add(one);
        for (const [topic, payload] of this.#retained) {
          if (matchesFilter(filter, topic)) handler({ topic, payload, retained: true });
        }
        return async () => {
          this.#subscribers.delete(one);
        };
      },
      onConnect: (listener) => queueMicrotask(listener),
      connected: true,
      backlogBytes: 0,
      counters: { connections: 1, droppedOffline: 0, rejected: 0 },
      stop: async () => {
        for (const one of mine) this.#subscribers.delete(one);
      },
    };
  }

  /** Publishes as a client outside the test subject. */
  async publish(topic: string, payload: Uint8Array | string, { qos = 0, retain = false }: PublishOptions = {}) {
    const bytes = typeof payload === 'string' ? new TextEncoder().encode(payload) : payload;
    this.published.push({ topic, payload: bytes, qos, retain });
    if (retain && bytes.length > 0) this.#retained.set(topic, bytes);
    if (retain && bytes.length === 0) this.#retained.delete(topic);
    await Promise.resolve();
    for (const { filter, handler } of [...this.#subscribers]) {
      if (matchesFilter(filter, topic)) handler({ topic, payload: bytes, retained: false });
    }
  }
}
