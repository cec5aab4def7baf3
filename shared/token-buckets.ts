/**
 * Rate limits by subject, as token buckets: each subject may spend `burst` tokens at once, and gets `perSecond` back.
 * Subjects come from the network, so only a bounded number is remembered; a forgotten one starts with a full bucket.
 */
const SUBJECTS = 4096;

/** Token buckets of one kind; times are of one steady clock, ms. */
export class TokenBuckets {
  readonly #burst: number;
  readonly #perSecond: number;
  readonly #subjects = new Map<string, { left: number; at: number }>();

  constructor({ burst, perSecond }: { readonly burst: number; readonly perSecond: number }) {
    this.#burst = burst;
    this.#perSecond = perSecond;
  }

  /** Whether a subject has a token left. */
  has(subject: string, nowMs: number): boolean {
    const known = this.#subjects.get(subject);
    return known === undefined || this.#refilled(known, nowMs) > 0;
  }

  /** Spends tokens of a subject; the bucket may become negative, and must then refill first. */
  spend(subject: string, amount: number, nowMs: number): void {
    const known = this.#subjects.get(subject);
    const left = (known === undefined ? this.#burst : this.#refilled(known, nowMs)) - amount;
    this.#subjects.delete(subject);
    this.#subjects.set(subject, { left, at: nowMs });
    if (this.#subjects.size > SUBJECTS) this.#subjects.delete(this.#subjects.keys().next().value!);
  }

  /** Spends a token if there is one; false where there is none. */
  take(subject: string, nowMs: number): boolean {
    if (!this.has(subject, nowMs)) return false;
    this.spend(subject, 1, nowMs);
    return true;
  }

  #refilled({ left, at }: { left: number; at: number }, nowMs: number): number {
    return Math.min(this.#burst, left + ((nowMs - at) * this.#perSecond) / 1000);
  }
}
