/** The size of the small grey pictures that are compared. */
export const SMALL = { width: 64, height: 36 } as const;
/** Grey levels by which a cell has to differ: above the noise of a cheap sensor, averaged over a cell. */
const LEVELS = 20;

/** How much has to change. */
export interface MotionOptions {
  /** Share of the watched cells that have to differ. */
  readonly least: number;
  /** After so many seconds a picture passes in any case. */
  readonly heartbeat_s: number;
}

/**
 * Lets pictures pass that differ from the last one that passed, by their small grey copies [36, 64]. A change of the
 * whole picture's brightness, as a cloud makes, is no motion.
 *
 * 1. The first picture passes, and after `heartbeat_s` without one the next.
 * 2. Cells that are not watched (cut off, or masked) never matter.
 */
export class MotionGate {
  readonly #options: MotionOptions;
  readonly #watched: readonly number[];
  #last: { readonly grey: Uint8Array; readonly at: number } | undefined;

  /** `watched`: 1 for each cell that counts. */
  constructor(options: MotionOptions, watched: Uint8Array) {
    this.#options = options;
    this.#watched = [...watched.keys()].filter((cell) => watched[cell] === 1);
  }

  /** Whether a picture passes at a time, ms. */
  passes(grey: Uint8Array, now: number): boolean {
    const { least, heartbeat_s } = this.#options;
    const last = this.#last;
    const isDue = last === undefined || now - last.at >= heartbeat_s * 1000;
    if (!isDue && this.#changed(last.grey, grey) <= least) return false;
    this.#last = { grey, at: now };
    return true;
  }

  /** Share of the watched cells that differ. */
  #changed(before: Uint8Array, now: Uint8Array): number {
    const cells = this.#watched;
    if (cells.length === 0) return 0;
    let shift = 0;
    for (const cell of cells) shift += now[cell]! - before[cell]!;
    shift /= cells.length;
    let changed = 0;
    for (const cell of cells) if (Math.abs(now[cell]! - before[cell]! - shift) > LEVELS) changed++;
    return changed / cells.length;
  }
}
