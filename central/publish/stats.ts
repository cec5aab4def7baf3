import type { Outcome, SkipReason } from '../../shared/protocol/messages.ts';
import type { FrameEnd } from '../coordinator/events.ts';

interface CameraWindow {
  arrived: number;
  skipped: number;
  latencies: number[];
  frames: Record<Outcome, number>;
  reasons: Partial<Record<SkipReason, number>>;
}

interface NodeTotals {
  tiles: number;
  bytes_up: number;
  bytes_down: number;
}

/** Latencies kept per camera and window; beyond that the window's first ones speak for it. */
const MAX_LATENCIES = 4096;

const round = (value: number): number => Math.round(value * 10) / 10;

/** The value below which the share `q` (0..1) of sorted values lies, or null of none. */
export function quantile(sorted: readonly number[], q: number): number | null {
  return sorted.length === 0 ? null : sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))]!;
}

/** What central has done since the last report, per camera and per node: the payload of `<base>/stats`. */
export class Stats {
  readonly #cameras = new Map<string, CameraWindow>();
  readonly #nodes = new Map<string, NodeTotals>();

  #camera(camera: string): CameraWindow {
    let window = this.#cameras.get(camera);
    if (window === undefined) {
      window = { arrived: 0, skipped: 0, latencies: [], frames: { ok: 0, degraded: 0, error: 0 }, reasons: {} };
      this.#cameras.set(camera, window);
    }
    return window;
  }

  arrived(camera: string): void {
    this.#camera(camera).arrived++;
  }

  #node(node: string): NodeTotals {
    let totals = this.#nodes.get(node);
    if (totals === undefined) {
      totals = { tiles: 0, bytes_up: 0, bytes_down: 0 };
      this.#nodes.set(node, totals);
    }
    return totals;
  }

  skipped(camera: string, reason: SkipReason): void {
    const window = this.#camera(camera);
    window.skipped++;
    window.reasons[reason] = (window.reasons[reason] ?? 0) + 1;
  }

  ended(end: FrameEnd): void {
    const window = this.#camera(end.camera);
    window.frames[end.outcome]++;
    if (window.latencies.length < MAX_LATENCIES) window.latencies.push(end.latency_ms);
    for (const [node, tiles] of Object.entries(end.tiles_per_node)) this.#node(node).tiles += tiles;
    for (const { node, bytes } of end.trace) this.#node(node).bytes_down += bytes;
  }

  sent(node: string, bytes: number): void {
    this.#node(node).bytes_up += bytes;
  }

  /** The report over the last `seconds`; a new window begins. */
  report(seconds: number) {
    const cameras = Object.fromEntries(
      [...this.#cameras].map(([camera, window]) => {
        const sorted = window.latencies.sort((a, b) => a - b);
        const done = window.frames.ok + window.frames.degraded + window.frames.error;
        return [
          camera,
          {
            camera_fps: round(window.arrived / seconds),
            process_fps: round(done / seconds),
            skipped_fps: round(window.skipped / seconds),
            latency_ms: { p50: quantile(sorted, 0.5), p95: quantile(sorted, 0.95) },
            frames: window.frames,
            skipped: window.reasons,
          },
        ];
      }),
    );
    const nodes = Object.fromEntries(this.#nodes);
    this.#cameras.clear();
    this.#nodes.clear();
    return { v: 1, window_s: seconds, cameras, nodes };
  }
}
