import type { Message } from '../../shared/ports.ts';
import { TokenBuckets } from '../../shared/token-buckets.ts';

/** Messages of one topic that are taken in at once, and how many a second after that; far above what an agent sends. */
const STATES = { burst: 100, perSecond: 5 } as const;
/** Topics of which the last word may wait. */
const WAITING = 2048;
const LATER_MS = 250;

/**
 * Takes in topics that say a state, no faster than anybody means it: of what comes faster the last word is taken in a
 * moment later, and what was said before it is skipped, so that nobody costs more by saying it a thousand times.
 */
export class Paced {
  readonly #allowances = new TokenBuckets(STATES);
  readonly #waiting = new Map<string, Message>();
  readonly #take: (message: Message) => void;
  readonly #onFlood: (topic: string) => void;
  #isWaiting = false;

  constructor(take: (message: Message) => void, onFlood: (topic: string) => void) {
    this.#take = take;
    this.#onFlood = onFlood;
  }

  /** Takes a message in now or later. */
  accept(message: Message): void {
    const { topic } = message;
    if (!this.#waiting.has(topic) && this.#allowances.take(topic, performance.now())) {
      this.#take(message);
      return;
    }
    this.#onFlood(topic);
    if (this.#waiting.size >= WAITING && !this.#waiting.has(topic)) return;
    // The client's buffer is not kept.
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
      if (!this.#allowances.take(topic, now)) continue;
      this.#waiting.delete(topic);
      this.#take(message);
    }
    if (this.#waiting.size > 0) this.#wait();
  }
}
