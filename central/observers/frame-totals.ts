import { OUTCOMES, type Outcome, SKIP_REASONS, type SkipReason } from '../../shared/protocol/messages/result.ts';
import type { FrameEnd } from '../coordinator/frame-end.ts';
import type { Observer } from './observer.ts';

/** What is counted of a camera's frames: those that arrived, that ended at an exit, and all by outcome or reason. */
export type CameraCount = 'arrived' | 'left_early' | Outcome | SkipReason;
/** All of them. */
export const CAMERA_COUNTS: readonly CameraCount[] = ['arrived', 'left_early', ...OUTCOMES, ...SKIP_REASONS];

/** Latencies kept per camera: its newest ones. */
const MAX_LATENCIES = 4096;
/** Cameras that are counted under their own names; a camera idle for so long (ms) makes room for another one. */
const MAX_CAMERAS = 1024;
const IDLE_MS = 60_000;

/** What was counted of one camera's frames. */
export interface CameraTotals {
  readonly counts: Readonly<Record<CameraCount, number>>;
  /** Latencies of the frames that ended last, ms; the `n`th ended frame's (from 0) lies at `n % MAX_LATENCIES`. */
  readonly latencies: readonly number[];
}

/** Latencies (ms) of the frames that ended after the first `ended` ones, in no order; the newest `MAX_LATENCIES` of them. */
export function latenciesSince({ counts, latencies }: CameraTotals, ended: number): number[] {
  const total = endedOf(counts);
  const length = Math.min(total - ended, latencies.length);
  return Array.from({ length }, (_, back) => latencies[(total - 1 - back) % MAX_LATENCIES]!);
}

/** Frames of a camera that have ended. */
export function endedOf(counts: Readonly<Record<Outcome, number>>): number {
  return counts.ok + counts.degraded + counts.error;
}

interface Camera {
  readonly counts: Record<CameraCount, number>;
  readonly latencies: number[];
  changedAt: number;
}

/** Counts frames by camera. Counts only grow, so that any number of readers can take differences. */
export class FrameTotals implements Observer {
  readonly #cameras = new Map<string, Camera>();
  readonly #now: () => number;

  /** `now`: any steady clock, ms. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** By camera; the empty name stands for messages that name no camera and for cameras beyond the bound. */
  get cameras(): ReadonlyMap<string, CameraTotals> {
    return this.#cameras;
  }

  frameArrived(camera: string): void {
    this.#camera(camera).counts.arrived++;
  }

  frameSkipped(camera: string, reason: SkipReason): void {
    this.#camera(camera).counts[reason]++;
  }

  frameEnded({ end }: { readonly end: FrameEnd }): void {
    const { counts, latencies } = this.#camera(end.camera);
    latencies[endedOf(counts) % MAX_LATENCIES] = end.latency_ms;
    counts[end.outcome]++;
    if (end.exit !== null) counts.left_early++;
  }

  #camera(name: string): Camera {
    const key = this.#hasRoom(name) ? name : '';
    const known = this.#cameras.get(key);
    const counts = () => Object.fromEntries(CAMERA_COUNTS.map((count) => [count, 0])) as Camera['counts'];
    const camera = known ?? { counts: counts(), latencies: [], changedAt: 0 };
    camera.changedAt = this.#now();
    // The camera that has been idle for the longest time stays first.
    this.#cameras.delete(key);
    this.#cameras.set(key, camera);
    return camera;
  }

  #hasRoom(name: string): boolean {
    if (this.#cameras.has(name) || this.#cameras.size < MAX_CAMERAS) return true;
    const [idlest, { changedAt }] = this.#cameras.entries().next().value!;
    return this.#now() - changedAt >= IDLE_MS && this.#cameras.delete(idlest);
  }
}
