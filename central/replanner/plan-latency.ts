import { percentile } from '../scheduler/hedge.ts';

/** Frames of a plan that do not count: the first ones meet cold code, and frames of the plan before it. */
const COLD = 8;
/** Frames of which the median counts, and that a median needs. */
const FRAMES = 32;
const LEAST_FRAMES = 16;

/** How long the frames of a model's active plan take, and how long the latest ones of the plan before it took. */
export class PlanLatency {
  #plan: string | undefined;
  #ended = 0;
  #latest: number[] = [];
  #before: readonly number[] = [];

  /** A plan serves new frames from now on. */
  active(plan: string): void {
    if (plan === this.#plan) return;
    this.#before = this.#latest;
    this.#plan = plan;
    this.#latest = [];
    this.#ended = 0;
  }

  /** A frame has ended with a whole prediction. */
  ended(plan: string | null, ms: number): void {
    if (plan !== this.#plan || ++this.#ended <= COLD) return;
    this.#latest.push(ms);
    if (this.#latest.length > FRAMES) this.#latest.shift();
  }

  /** Median latencies, ms; undefined until both plans have had enough frames. */
  get compared(): { readonly ms: number; readonly before_ms: number } | undefined {
    if (this.#latest.length < LEAST_FRAMES || this.#before.length < LEAST_FRAMES) return undefined;
    return { ms: percentile(this.#latest, 0.5)!, before_ms: percentile(this.#before, 0.5)! };
  }
}
