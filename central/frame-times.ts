import { percentile } from './scheduler/hedge.ts';

/** Central's own work for a frame, medians over the latest frames, ms. */
export interface FrameWork {
  /** Until the frame is decoded. */
  readonly open_ms: number;
  /** From the network's outputs to the prediction. */
  readonly finish_ms: number;
}

/** Frames of which the median counts. */
const FRAMES = 32;

interface Times {
  readonly open: number[];
  readonly finish: number[];
}

/** How long central's own work takes for the frames of each model. */
export class FrameTimes {
  readonly #times = new Map<string, Times>();

  /** Central opened or finished a frame of a model, in `ms`. */
  add(model: string, what: keyof Times, ms: number): void {
    const times = this.#times.get(model) ?? { open: [], finish: [] };
    this.#times.set(model, times);
    times[what].push(ms);
    if (times[what].length > FRAMES) times[what].shift();
  }

  /** What the latest frames of a model took; 0 without any. */
  of(model: string): FrameWork & { readonly frames: number } {
    const { open, finish } = this.#times.get(model) ?? { open: [], finish: [] };
    return { open_ms: percentile(open, 0.5) ?? 0, finish_ms: percentile(finish, 0.5) ?? 0, frames: finish.length };
  }
}
