import { CENTRAL } from '../shared/plan/plan.ts';
import { parseWireTopic } from '../shared/protocol/topics.ts';

/**
 * Rate limits of what a client publishes as a node: its wire messages and its status. QoS 0 messages above the limit,
 * which the application repeats where they matter, are dropped, so that no other client has to read one client's flood.
 * No sound node comes near these limits; cameras and central have none.
 */

/** Messages and bytes a second, and the burst in seconds of them. */
interface Rate {
  readonly perSecond: number;
  readonly bytesPerSecond: number;
  readonly burstMs: number;
}

/** Results and requests; parts of large results are 256 KiB each. */
const WIRE: Rate = { perSecond: 1000, bytesPerSecond: 250e6, burstMs: 2000 };
/** A node's status: one heartbeat a second. */
const ABOUT: Rate = { perSecond: 50, bytesPerSecond: 1e6, burstMs: 4000 };

/** The rates of all clients; times are those of one steady clock, ms. */
export class PublishRates {
  readonly #base: string;
  /** Theoretical arrival time by client (the generic cell rate algorithm, ITU-T I.371). */
  readonly #used = new WeakMap<object, { wire: number; about: number }>();

  constructor(base: string) {
    this.#base = base;
  }

  /** Counts a message; true where it is above its client's rate limit. */
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
