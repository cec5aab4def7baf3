/** Weight of the newest part: about the last twenty count, as a node's speed changes within seconds. */
const GAMMA = 0.1;

/**
 * A node's own speed: parts per second of the time that it spent on parts. Idle time is left out, so that a node that
 * got little work does not look slow (which ADCNN's Algorithm 2 gets wrong). Exponentially weighted mean of the time
 * per part.
 */
export class PartRate {
  #meanMs: number | undefined;

  /** Counts a part that took `computeMs` of this node's time. */
  add(computeMs: number): void {
    if (!Number.isFinite(computeMs) || computeMs < 0) return;
    this.#meanMs = this.#meanMs === undefined ? computeMs : (1 - GAMMA) * this.#meanMs + GAMMA * computeMs;
  }

  /** Parts per second; 0 before the first part. */
  get perSecond(): number {
    // Timers have a resolution of microseconds: a shorter part counts as one microsecond.
    return this.#meanMs === undefined ? 0 : 1000 / Math.max(this.#meanMs, 0.001);
  }
}
