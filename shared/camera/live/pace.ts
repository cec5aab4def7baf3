import { setTimeout as sleep } from 'node:timers/promises';

/** Waits so that turns come at most `fps` times a second; a turn that comes late does not make the next ones hurry. */
export class Pace {
  readonly #everyMs: number;
  #next = Number.NEGATIVE_INFINITY;

  constructor(fps: number) {
    this.#everyMs = 1000 / fps;
  }

  /** Resolves when the next turn is due; rejects with an AbortError when `signal` is aborted. */
  async turn(signal: AbortSignal): Promise<void> {
    const now = performance.now();
    if (now < this.#next) await sleep(this.#next - now, undefined, { signal });
    this.#next = Math.max(this.#next, now) + this.#everyMs;
  }

  /** Whether a turn is due now; takes it. For frames that come by themselves and are left out when too many. */
  take(now = performance.now()): boolean {
    if (now < this.#next) return false;
    // A source at exactly this rate jitters: without half a period of grace every other frame would be skipped.
    this.#next = Math.max(this.#next, now - this.#everyMs / 2) + this.#everyMs;
    return true;
  }
}
