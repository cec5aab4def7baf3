import type { Message } from '../../shared/ports.ts';
import { TokenBuckets } from '../../shared/token-buckets.ts';

/** Messages of one topic that are handled at once, and per second after that; far above what an agent publishes. */
const STATES = { burst: 100, perSecond: 5 } as const;
/** Topics whose newest message may wait. */
const WAITING = 2048;
const LATER_MS = 250;

/**
 * Hands on messages of state topics at a limited rate per topic. Of messages above the rate the newest one is handed on a
 * moment later and the others are dropped, since a newer state replaces an older one.
 */
export class RateLimitedTopics {
  readonly #buckets = new TokenBuckets(STATES);
  readonly #waiting = new Map<string, Message>();
  readonly #onMessage: (message: Message) => void;
  readonly #onFlood: (topic: string) => void;
  #isWaiting = false;

  constructor(onMessage: (message: Message) => void, onFlood: (topic: string) => void) {
    this.#onMessage = onMessage;
    this.#onFlood = onFlood;
  }

  /** Hands a message on, now or later. */
  accept(message: Message): void {
    const { topic } = message;
    if (!this.#waiting.has(topic) && this.#buckets.take(topic, performance.now())) {
      this.#onMessage(message);
      return;
    }
    this.#onFlood(topic);
    if (this.#waiting.size >= WAITING && !this.#waiting.has(topic)) return;
    // A copy, since the payload may lie in a buffer of the client.
    this.#waiting.set(topic, { ...message, payload: message.payload.slice() });
    this.#wait();
  }

  #wait(): void {
    if (this.#isWaiting) return;
    this.#isWaiting = true;
    setTimeout(() => this.#later(), LATER_MS).unref();
  }

  #later(): void {
    this.#isWaiting = false;
    const now = performance.now();
    for (const [topic, message] of this.#waiting) {
      if (!this.#buckets.take(topic, now)) continue;
      this.#waiting.delete(topic);
      this.#onMessage(message);
    }
    if (this.#waiting.size > 0) this.#wait();
  }
}
