/**
 * The quota of retained messages. They stay for ever, so a client that may publish under names of its own choice could
 * otherwise fill the memory.
 *
 *   1. At most `topics` retained messages of `bytes` in all are stored; of one owner at most a quarter of both.
 *   2. A retained message may always be replaced by one of no more bytes, or cleared, by every client that may publish
 *      it.
 *   3. A message above the quota is delivered and not stored.
 */

/** The quota of a broker. */
export interface RetainedQuotaLimits {
  readonly topics: number;
  readonly bytes: number;
}

/** Far above a deployment of a hundred nodes and a thousand cameras: 3000 messages of 1 kB. */
export const RETAINED_LIMITS: RetainedQuotaLimits = { topics: 20_000, bytes: 64 * 2 ** 20 };

const SHARE = 4;

interface Sum {
  topics: number;
  bytes: number;
}

/** Counts retained messages by topic and owner. */
export class RetainedQuota {
  readonly #limits: RetainedQuotaLimits;
  readonly #kept = new Map<string, { readonly owner: string; readonly bytes: number }>();
  readonly #owners = new Map<string, Sum>();
  readonly #all: Sum = { topics: 0, bytes: 0 };

  constructor(limits: RetainedQuotaLimits = RETAINED_LIMITS) {
    this.#limits = limits;
  }

  /** Topics and bytes stored. */
  get held(): Readonly<Sum> {
    return this.#all;
  }

  /** Whether a retained message of `owner` may be stored, which is then counted; `bytes` 0 clears the topic. */
  keep(owner: string, topic: string, bytes: number): boolean {
    const before = this.#kept.get(topic);
    if (before !== undefined) this.#count(before.owner, -1, -before.bytes);
    if (bytes === 0) {
      this.#kept.delete(topic);
      return true;
    }
    const mine = this.#owners.get(owner);
    const { topics, bytes: most } = this.#limits;
    const fits =
      (before !== undefined && bytes <= before.bytes) ||
      (this.#all.topics < topics &&
        this.#all.bytes + bytes <= most &&
        (mine?.topics ?? 0) < topics / SHARE &&
        (mine?.bytes ?? 0) + bytes <= most / SHARE);
    const now = fits ? { owner, bytes } : before;
    if (now !== undefined) {
      this.#count(now.owner, 1, now.bytes);
      this.#kept.set(topic, now);
    }
    return fits;
  }

  #count(owner: string, topics: number, bytes: number): void {
    const mine = this.#owners.get(owner) ?? { topics: 0, bytes: 0 };
    for (const sum of [mine, this.#all]) {
      sum.topics += topics;
      sum.bytes += bytes;
    }
    if (mine.topics === 0) this.#owners.delete(owner);
    else this.#owners.set(owner, mine);
  }
}
