import type { Outcome, SkipReason } from '../../shared/protocol/messages/result.ts';
import { DISCARD_REASONS } from '../coordinator/effects.ts';
import type { FrameEnd } from '../coordinator/frame-end.ts';
import type { Snapshot } from '../coordinator/snapshot.ts';

interface CameraWindow {
  arrived: number;
  skipped: number;
  latencies: number[];
  frames: Record<Outcome, number>;
  left_early: number;
  reasons: Partial<Record<SkipReason, number>>;
}

/** Counts of a node's work that are reported. */
const NODE_COUNTS = [
  'tiles',
  'audited',
  'unasked',
  'errors',
  'given_up',
  'hedges_won',
  'bytes_up',
  'bytes_down',
] as const;

/** Latencies kept per camera and window; beyond that the window's first ones speak for it. */
const MAX_LATENCIES = 4096;
/** Cameras that a report names. */
const MAX_CAMERAS = 1024;

const round = (value: number): number => Math.round(value * 10) / 10;

/** The value below which the share `q` (0..1) of sorted values lies, or null of none. */
export function quantile(sorted: readonly number[], q: number): number | null {
  return sorted.length === 0 ? null : sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))]!;
}

/** What central has done since the last report, per camera and per node: the payload of `<base>/stats`. */
export class Stats {
  readonly #cameras = new Map<string, CameraWindow>();
  #before: Snapshot | undefined;

  #camera(name: string): CameraWindow {
    // Names come from whoever publishes: beyond the bound they share the entry of messages that name no camera.
    const camera = this.#cameras.has(name) || this.#cameras.size < MAX_CAMERAS ? name : '';
    let window = this.#cameras.get(camera);
    if (window === undefined) {
      const frames = { ok: 0, degraded: 0, error: 0 };
      window = { arrived: 0, skipped: 0, latencies: [], frames, left_early: 0, reasons: {} };
      this.#cameras.set(camera, window);
    }
    return window;
  }

  arrived(camera: string): void {
    this.#camera(camera).arrived++;
  }

  skipped(camera: string, reason: SkipReason): void {
    const window = this.#camera(camera);
    window.skipped++;
    window.reasons[reason] = (window.reasons[reason] ?? 0) + 1;
  }

  ended(end: FrameEnd): void {
    const window = this.#camera(end.camera);
    window.frames[end.outcome]++;
    if (end.exit !== null) window.left_early++;
    if (window.latencies.length < MAX_LATENCIES) window.latencies.push(end.latency_ms);
  }

  /** The report over the last `seconds`; a new window begins. What the coordinator counts is taken from its snapshots. */
  report(seconds: number, now: Snapshot) {
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
            left_early: window.left_early,
            skipped: window.reasons,
          },
        ];
      }),
    );
    const before = this.#before;
    const nodes = Object.fromEntries(
      Object.entries(now.nodes)
        .map(([node, counts]) => [node, increase(counts, before?.nodes[node], NODE_COUNTS)] as const)
        .filter(([, counts]) => Object.values(counts).some((count) => count > 0)),
    );
    const tiles = {
      ...increase(now.discarded, before?.discarded, DISCARD_REASONS),
      ...increase(now.extra, before?.extra, ['hedged', 'resent', 'filled', 'audited']),
    };
    const buffers = { open_frames: now.open_frames, open_bytes: now.open_bytes, waiting_bytes: now.payload_bytes };
    this.#cameras.clear();
    this.#before = now;
    return { v: 1, window_s: seconds, cameras, nodes, tiles, buffers };
  }
}

/** What was added to counts since `before`; a node that was forgotten in between begins at 0 again. */
function increase<K extends string>(
  now: Readonly<Record<K, number>>,
  before: Readonly<Record<K, number>> | undefined,
  keys: readonly K[],
): Record<K, number> {
  const entries = keys.map((key) => {
    const added = now[key] - (before?.[key] ?? 0);
    return [key, added < 0 ? now[key] : added];
  });
  return Object.fromEntries(entries) as Record<K, number>;
}
