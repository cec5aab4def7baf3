/** Weight of the newest tile: about the last twenty count, as a node's speed changes within seconds. */
const GAMMA = 0.1;

/**
 * A node's own speed: tiles per second of the time that it spent on tiles, idle time left out, so that a node that got
 * little work does not look slow (the trap of ADCNN's Algorithm 2). Exponentially weighted mean of the time per tile.
 */
export class TileRate {
  #meanMs: number | undefined;

  /** Counts a tile that took `computeMs` of this node's time. */
  add(computeMs: number): void {
    if (!Number.isFinite(computeMs) || computeMs < 0) return;
    this.#meanMs = this.#meanMs === undefined ? computeMs : (1 - GAMMA) * this.#meanMs + GAMMA * computeMs;
  }

  /** Tiles per second; 0 before the first tile. */
  get perSecond(): number {
    // Timers tick in microseconds: a tile of no measurable time counts as one of them.
    return this.#meanMs === undefined ? 0 : 1000 / Math.max(this.#meanMs, 0.001);
  }
}
