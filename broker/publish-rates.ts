import { CENTRAL } from '../shared/plan/plan.ts';
import { parseWireTopic } from '../shared/protocol/topics.ts';

/**
 * How fast a client may publish as a node: what nodes say on the wire, and what they say of themselves. Of QoS 0, which
 * the application repeats where it matters, what comes faster is not passed on, so that nobody else has to read what one
 * client pours out. No sound node comes near these rates; cameras and central have none.
 */

/** Messages and bytes a second, and for how long they may be kept back and then used at once. */
interface Rate {
  readonly perSecond: number;
  readonly bytesPerSecond: number;
  readonly burstMs: number;
}

/** Results and requests; parts of large results are 256 KiB each. */
const WIRE: Rate = { perSecond: 1000, bytesPerSecond: 250e6, burstMs: 2000 };
/** What a node says of itself: one heartbeat a second. */
const ABOUT: Rate = { perSecond: 50, bytesPerSecond: 1e6, burstMs: 4000 };

/** The rates of all clients; times are those of one steady clock, ms. */
export class PublishRates {
  readonly #base: string;
  /** Up to when a client has used its rate (the generic cell rate algorithm, ITU-T I.371). */
  readonly #used = new WeakMap<object, { wire: number; about: number }>();

  constructor(base: string) {
    this.#base = base;
  }

  /** Counts a message; true where its client is above its rate, and the message is not to be passed on. */
  isOver(client: object, topic: string, bytes: number, nowMs: number): boolean {
    const kind = this.#kindOf(topic);
    if (kind === undefined) return false;
    const none = Number.NEGATIVE_INFINITY;
    const used = this.#used.get(client) ?? { wire: none, about: none };
    this.#used.set(client, used);
    const { perSecond, bytesPerSecond, burstMs } = kind === 'wire' ? WIRE : ABOUT;
    if (used[kind] > nowMs) return true;
    used[kind] = Math.max(used[kind], nowMs - burstMs) + 1000 * Math.max(1 / perSecond, bytes / bytesPerSecond);
    return false;
  }

  #kindOf(topic: string): 'wire' | 'about' | undefined {
    if (topic.startsWith(`${this.#base}/node/`)) return 'about';
    if (!topic.startsWith(`${this.#base}-wire/`)) return undefined;
    return parseWireTopic(topic)?.from === CENTRAL ? undefined : 'wire';
  }
}
