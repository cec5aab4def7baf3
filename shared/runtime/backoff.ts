/**
 * Exponential backoff with jitter: delays double from `firstMs` to `maxMs`, each shortened by up to a half at random,
 * so that a hundred nodes do not reconnect in the same instant after a broker's restart. A success counts only after it
 * has lasted `steadyMs`: two clients with one id disconnect each other, and must not do so ten times a second.
 */
export class Backoff {
  readonly #firstMs: number;
  readonly #maxMs: number;
  readonly #steadyMs: number;
  readonly #random: () => number;
  #nextMs: number;
  #succeededAt: number | undefined;
  #cancelled = false;
  #wake: () => void = () => {};

  constructor({ firstMs = 250, maxMs = 15_000, steadyMs = 10_000, random = Math.random } = {}) {
    this.#firstMs = firstMs;
    this.#maxMs = maxMs;
    this.#steadyMs = steadyMs;
    this.#random = random;
    this.#nextMs = firstMs;
  }

  /** Delay before the next attempt at the time `nowMs`, ms; each call lengthens the next delay. */
  next(nowMs: number): number {
    if (this.#succeededAt !== undefined && nowMs - this.#succeededAt >= this.#steadyMs) this.#nextMs = this.#firstMs;
    this.#succeededAt = undefined;
    const delay = this.#nextMs;
    this.#nextMs = Math.min(this.#maxMs, delay * 2);
    return delay * (1 - this.#random() / 2);
  }

  /** An attempt succeeded at the time `nowMs`. */
  succeeded(nowMs: number = performance.now()): void {
    this.#succeededAt = nowMs;
  }

  /** Waits for as long as `next` says, or until `cancel`. */
  async wait(): Promise<void> {
    if (this.#cancelled) return;
    const delay = this.next(performance.now());
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, delay);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** Ends all waiting, for good. */
  cancel(): void {
    this.#cancelled = true;
    this.#wake();
  }
}
