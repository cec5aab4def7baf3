/**
 * How much of something others may have of us: each subject so much at once (`burst`), and it comes back with time
 * (`perSecond`). Subjects come from the network, so a bounded number is remembered; one that was forgotten begins anew.
 */
const SUBJECTS = 4096;

/** Allowances of one kind by subject; times are those of one steady clock, ms. */
export class Allowances {
  readonly #burst: number;
  readonly #perSecond: number;
  readonly #subjects = new Map<string, { left: number; at: number }>();

  constructor({ burst, perSecond }: { readonly burst: number; readonly perSecond: number }) {
    this.#burst = burst;
    this.#perSecond = perSecond;
  }

  /** Whether a subject has something left. */
  has(subject: string, nowMs: number): boolean {
    const known = this.#subjects.get(subject);
    return known === undefined || this.#refilled(known, nowMs) > 0;
  }

  /** Takes `amount` from a subject; it may go below nothing, and has to wait until that has come back. */
  spend(subject: string, amount: number, nowMs: number): void {
    const known = this.#subjects.get(subject);
    const left = (known === undefined ? this.#burst : this.#refilled(known, nowMs)) - amount;
    this.#subjects.delete(subject);
    this.#subjects.set(subject, { left, at: nowMs });
    if (this.#subjects.size > SUBJECTS) this.#subjects.delete(this.#subjects.keys().next().value!);
  }

  /** Takes one where there is some; false where there is none. */
  take(subject: string, nowMs: number): boolean {
    if (!this.has(subject, nowMs)) return false;
    this.spend(subject, 1, nowMs);
    return true;
  }

  #refilled({ left, at }: { left: number; at: number }, nowMs: number): number {
    return Math.min(this.#burst, left + ((nowMs - at) * this.#perSecond) / 1000);
  }
}
