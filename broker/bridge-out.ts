import type { LogThrottle } from '../shared/log-throttle.ts';
import type { Bus } from '../shared/ports.ts';

/** A message of the broker here. */
export interface LocalMessage {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: number;
  readonly retain: boolean;
}

/** What `BridgeOut` needs. */
export interface BridgeOutOptions {
  readonly remote: Pick<Bus, 'connected' | 'backlogBytes' | 'publish'>;
  /** Everything that is retained here and goes out. */
  readonly retained: () => AsyncIterable<Pick<LocalMessage, 'topic' | 'payload'>>;
  /** `bridge` counts what is dropped. */
  readonly counters: { bridge?: number | undefined };
  readonly throttledLog: Pick<LogThrottle, 'warn'>;
}

/** Bytes that may be on their way to the other broker. */
export const MAX_BACKLOG_BYTES = 16 * 2 ** 20;

/**
 * The messages of this broker on their way to another one.
 *
 *   1. After `synchronise` the other broker has the newest retained state of each topic, also of one that was cleared here
 *      in the meantime.
 *   2. Of a topic an older retained state never follows a newer one.
 *   3. While more than `MAX_BACKLOG_BYTES` are on their way, retained states wait, the newest of each topic, and other
 *      messages are dropped. While the other broker is not reached, they are dropped too: old events must not switch anything.
 *   4. Every message that is dropped is counted, and so is every one that the other broker refuses.
 */
export class BridgeOut {
  readonly #options: BridgeOutOptions;
  /** Topics that are retained there, as far as this bridge did it. */
  readonly #there = new Set<string>();
  /** Retained states that wait, the newest of each topic. */
  readonly #waiting = new Map<string, Uint8Array>();
  #bytes = 0;
  /** Topics that have changed since `synchronise` began, until it is through. */
  #changed: Set<string> | undefined;

  constructor(options: BridgeOutOptions) {
    this.#options = options;
  }

  /** Sends a message that was published here. */
  take({ topic, payload, qos, retain }: LocalMessage): void {
    if (retain) this.#changed?.add(topic);
    if (!this.#options.remote.connected) {
      if (!retain) this.#drop('messages while the other broker is not reached');
    } else if (retain) this.#state(topic, payload);
    else if (this.#isFull) this.#drop('messages, since the other broker takes them too slowly');
    else this.#send(topic, payload, qos === 0 ? 0 : 1, false);
  }

  /** Brings the other broker up to date, after each connection to it. */
  async synchronise(): Promise<void> {
    const changed = new Set<string>();
    this.#changed = changed;
    this.#waiting.clear();
    const here = new Set<string>();
    for await (const { topic, payload } of this.#options.retained()) {
      // Another connection was made meanwhile, which begins anew.
      if (this.#changed !== changed) return;
      here.add(topic);
      if (!changed.has(topic)) this.#state(topic, payload);
    }
    if (this.#changed !== changed) return;
    this.#changed = undefined;
    for (const topic of this.#there) if (!here.has(topic) && !changed.has(topic)) this.#state(topic, new Uint8Array(0));
  }

  get #isFull(): boolean {
    return Math.max(this.#bytes, this.#options.remote.backlogBytes) > MAX_BACKLOG_BYTES;
  }

  #state(topic: string, payload: Uint8Array): void {
    if (this.#isFull || this.#waiting.has(topic)) this.#waiting.set(topic, payload);
    else this.#send(topic, payload, 1, true);
  }

  #send(topic: string, payload: Uint8Array, qos: 0 | 1, retain: boolean): void {
    if (retain && payload.byteLength > 0) this.#there.add(topic);
    else if (retain) this.#there.delete(topic);
    this.#bytes += payload.byteLength;
    this.#options.remote
      .publish(topic, payload, { qos, retain })
      .catch((error: unknown) => this.#drop('messages that the other broker does not take', `${topic}: ${error}`))
      .finally(() => {
        this.#bytes -= payload.byteLength;
        this.#sendWaiting();
      });
  }

  #sendWaiting(): void {
    for (const [topic, payload] of this.#waiting) {
      if (this.#isFull || !this.#options.remote.connected) return;
      this.#waiting.delete(topic);
      this.#send(topic, payload, 1, true);
    }
  }

  #drop(what: string, about?: string): void {
    const { counters, throttledLog } = this.#options;
    const count = (counters.bridge ?? 0) + 1;
    counters.bridge = count;
    const reason = about === undefined ? '' : ` (${about})`;
    throttledLog.warn(what, `the bridge drops ${what}${reason}: ${count} so far`);
  }
}
