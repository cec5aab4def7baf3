import { MAX_HEARTBEAT_BYTES } from '../shared/heartbeats.ts';
import type { Heartbeat, PlanProgress } from '../shared/protocol/messages/node.ts';
import type { Vitals } from './vitals-types.ts';

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

/**
 * A heartbeat from its parts; figures are rounded to what anybody can read from them. Of the plans the newest are named,
 * as many as one that is read has room for.
 */
export function heartbeatOf(parts: {
  /** Unix seconds. */
  time: number;
  vitals: Vitals;
  queue: number;
  tilesPerSecond: number;
  epoch: number;
  loopDelayMs: number;
  uptimeSec: number;
  plans: readonly PlanProgress[];
}): Heartbeat {
  const { vitals } = parts;
  const [one, five, fifteen] = vitals.loadAverage;
  const beat: Heartbeat = {
    v: 1,
    time: round(parts.time, 3),
    cpu_percent: round(vitals.cpuPercent, 1),
    load_average: [round(one, 2), round(five, 2), round(fifteen, 2)],
    memory_percent: round(vitals.memoryPercent, 1),
    memory_used_mb: round(vitals.memoryUsedMb, 0),
    temp_c: vitals.temperatureC === null ? null : round(vitals.temperatureC, 1),
    throttled: vitals.throttled,
    queue: parts.queue,
    tiles_per_s: round(parts.tilesPerSecond, 2),
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
