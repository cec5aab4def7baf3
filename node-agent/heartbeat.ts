import type { Heartbeat, PlanProgress, RegionStats } from '../shared/protocol/messages/node.ts';
import { MAX_HEARTBEAT_BYTES } from '../shared/protocol/node-registry.ts';
import type { SystemMetrics } from './system-metrics-types.ts';

/**
 * A heartbeat from its parts, with rounded figures. It names the newest plans, as many as fit into a heartbeat that
 * central reads.
 */
export function heartbeatOf(parts: {
  /** Unix seconds. */
  time: number;
  metrics: SystemMetrics;
  queue: number;
  regions: RegionStats;
  partsPerSecond: number;
  epoch: number;
  loopDelayMs: number;
  /** Resident memory of this process, bytes. */
  rssBytes: number;
  uptimeSec: number;
  plans: readonly PlanProgress[];
}): Heartbeat {
  const { metrics } = parts;
  const [one, five, fifteen] = metrics.loadAverage;
  const beat: Heartbeat = {
    v: 1,
    time: round(parts.time, 3),
    cpu_percent: round(metrics.cpuPercent, 1),
    load_average: [round(one, 2), round(five, 2), round(fifteen, 2)],
    memory_percent: round(metrics.memoryPercent, 1),
    memory_used_mb: round(metrics.memoryUsedMb, 0),
    rss_mb: round(parts.rssBytes / 1e6, 0),
    temp_c: metrics.temperatureC === null ? null : round(metrics.temperatureC, 1),
    throttled: metrics.throttled,
    queue: parts.queue,
    regions: parts.regions,
    tiles_per_s: round(parts.partsPerSecond, 2),
    epoch: parts.epoch,
    loop_delay_ms: round(Math.max(0, parts.loopDelayMs), 1),
    uptime_sec: Math.max(0, Math.floor(parts.uptimeSec)),
    plans: [],
  };
  let room = MAX_HEARTBEAT_BYTES - Buffer.byteLength(JSON.stringify(beat));
  const fits = (plan: PlanProgress): boolean => {
    room -= Buffer.byteLength(JSON.stringify(plan)) + 1;
    return room >= 0;
  };
  const first = parts.plans.findLastIndex((plan) => !fits(plan)) + 1;
  return { ...beat, plans: parts.plans.slice(first) };
}

function round(value: number, digits: number): number {
  const scale = 10 ** digits;
  return Math.round(value * scale) / scale;
}
