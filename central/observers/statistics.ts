import type { BusCounters } from '../../shared/ports.ts';
import type { StatisticsMessage } from '../../shared/protocol/messages/central.ts';
import { SKIP_REASONS } from '../../shared/protocol/messages/result.ts';
import type { Topics } from '../../shared/protocol/topics.ts';
import type { WireCounters } from '../../shared/runtime/wire.ts';
import { DISCARD_REASONS } from '../coordinator/effects.ts';
import type { Snapshot } from '../coordinator/snapshot.ts';
import type { Publisher } from '../publish/publisher.ts';
import {
  CAMERA_COUNTS,
  type CameraCount,
  type CameraTotals,
  endedOf,
  type FrameTotals,
  latenciesSince,
} from './frame-totals.ts';
import type { Observer } from './observer.ts';

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
const WIRE_COUNTS = ['sent', 'sent_bytes', 'received', 'received_bytes', 'invalid', 'unhandled', 'dropped'] as const;
const BUS_COUNTS = ['connections', 'dropped_offline', 'rejected'] as const;
const REPORT_SECONDS = 10;

/** Where the counts come from. All of them only grow, except those of a node or camera that was forgotten meanwhile. */
export interface StatisticsSources {
  readonly frames: Pick<FrameTotals, 'cameras'>;
  readonly snapshot: () => Snapshot;
  readonly wire: Readonly<WireCounters>;
  readonly bus: Readonly<BusCounters>;
}

/** All counts at one time. */
interface Counts {
  readonly cameras: ReadonlyMap<string, Readonly<Record<CameraCount, number>>>;
  readonly snapshot: Snapshot;
  readonly wire: Readonly<WireCounters>;
  readonly bus: Readonly<Record<(typeof BUS_COUNTS)[number], number>>;
}

/** Reports what was added to the counts since its last report. Each reader has its own last report. */
export class StatisticsReader {
  readonly #sources: StatisticsSources;
  #before: Counts | undefined;

  constructor(sources: StatisticsSources) {
    this.#sources = sources;
  }

  /** The payload of `<base>/stats` for the last `seconds`. */
  report(seconds: number): StatisticsMessage {
    const { frames, snapshot, wire, bus } = this.#sources;
    const before = this.#before;
    const now = {
      cameras: new Map([...frames.cameras].map(([camera, { counts }]) => [camera, { ...counts }])),
      snapshot: snapshot(),
      wire: { ...wire },
      bus: { connections: bus.connections, dropped_offline: bus.droppedOffline, rejected: bus.rejected },
    };
    this.#before = now;
    const { nodes, discarded, extra } = now.snapshot;
    const past = before?.snapshot;
    return {
      v: 1,
      window_s: seconds,
      cameras: Object.fromEntries(
        [...frames.cameras].flatMap(([name, camera]) => {
          const report = cameraReport(camera, before?.cameras.get(name), seconds);
          return report === undefined ? [] : [[name, report]];
        }),
      ),
      nodes: Object.fromEntries(
        Object.entries(nodes)
          .map(([node, counts]) => [node, increase(counts, past?.nodes[node], NODE_COUNTS)] as const)
          .filter(([, counts]) => Object.values(counts).some((count) => count > 0)),
      ),
      tiles: {
        ...increase(discarded, past?.discarded, DISCARD_REASONS),
        ...increase(extra, past?.extra, ['hedged', 'resent', 'filled', 'audited']),
      },
      buffers: buffersOf(now.snapshot),
      wire: increase(now.wire, before?.wire, WIRE_COUNTS),
      bus: increase(now.bus, before?.bus, BUS_COUNTS),
    };
  }
}

/** What `StatisticsReport` needs. */
export interface StatisticsReportOptions {
  readonly reader: StatisticsReader;
  readonly publisher: Pick<Publisher, 'sample'>;
  readonly topics: Pick<Topics, 'stats'>;
}

/** Publishes statistics every ten seconds. */
export class StatisticsReport implements Observer {
  readonly #options: StatisticsReportOptions;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: StatisticsReportOptions) {
    this.#options = options;
  }

  start(): void {
    const { reader, publisher, topics } = this.#options;
    const publish = () => publisher.sample(topics.stats, JSON.stringify(reader.report(REPORT_SECONDS)));
    this.#timer = setInterval(publish, REPORT_SECONDS * 1000);
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}

const round = (value: number): number => Math.round(value * 10) / 10;

/** The value below which the share `q` (0..1) of sorted values lies, or null of none. */
function quantile(sorted: readonly number[], q: number): number | null {
  return sorted.length === 0 ? null : sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))]!;
}

/** What central holds, and what nodes owe it. */
function buffersOf(now: Snapshot): StatisticsMessage['buffers'] {
  const sum = (counts: readonly number[]): number => counts.reduce((total, count) => total + count, 0);
  const remote = Object.values(now.nodes).filter(({ local }) => !local);
  return {
    open_frames: now.open_frames,
    open_bytes: now.open_bytes,
    waiting_frames: sum(Object.values(now.waiting)),
    waiting_bytes: now.payload_bytes,
    queued_tiles: sum(remote.map(({ queued }) => queued)),
    owed_bytes: sum(remote.map(({ owed_bytes }) => owed_bytes)),
  };
}

/** What changed in a camera's counts since `before`; undefined if nothing did. */
function cameraReport(
  camera: CameraTotals,
  before: Readonly<Record<CameraCount, number>> | undefined,
  seconds: number,
): StatisticsMessage['cameras'][string] | undefined {
  const { arrived, left_early, ok, degraded, error, ...skipped } = increase(camera.counts, before, CAMERA_COUNTS);
  const frames = { ok, degraded, error };
  const reasons = SKIP_REASONS.filter((reason) => skipped[reason] > 0);
  const done = endedOf(frames);
  if (arrived + done === 0 && reasons.length === 0) return undefined;
  const sorted = latenciesSince(camera, endedOf(camera.counts) - done).sort((a, b) => a - b);
  return {
    camera_fps: round(arrived / seconds),
    process_fps: round(done / seconds),
    skipped_fps: round(reasons.reduce((sum, reason) => sum + skipped[reason], 0) / seconds),
    latency_ms: { p50: quantile(sorted, 0.5), p95: quantile(sorted, 0.95) },
    frames,
    left_early,
    skipped: Object.fromEntries(reasons.map((reason) => [reason, skipped[reason]])),
  };
}

/** What was added to counts since `before`; a node or camera that was forgotten in between begins at 0 again. */
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
