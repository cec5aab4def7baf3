import { setTimeout as sleep } from 'node:timers/promises';
import { median } from '../overhead/processes.ts';
import type { Callee } from '../testbed/calls.ts';
import type { reference } from '../testbed/reference-process.ts';

/*
 * How a device with a quota of CPU time deviates from a slow one: after idleness the quota of a period is there at once,
 * so that short work is faster than it should be.
 */

/** Lengths of work, ms of CPU, and how often each is measured. */
const WORK_MS = [0.5, 2, 20, 100] as const;
const REPEATS = { 0.5: 7, 2: 7, 20: 4, 100: 2 } as const;
/** Idleness before a measurement, ms. */
const IDLE_MS = 50;

/** What one length of work takes on an emulated device. */
export interface Calibrated {
  readonly work_ms: number;
  /** What it would take on a device that were slower by the quota, ms. */
  readonly expected_ms: number;
  /** After idleness, and right after other work, ms; the median. */
  readonly idle_ms: number;
  readonly busy_ms: number;
  /** Shares of the expected time that are free; below 0 where it takes longer. */
  readonly idle_free: number;
  readonly busy_free: number;
}

/** Measures a device of so many cores, which nothing else uses. */
export async function calibrate(device: Callee<typeof reference>, cores: number): Promise<Calibrated[]> {
  const rows: Calibrated[] = [];
  for (const work_ms of WORK_MS) {
    const idle: number[] = [];
    const busy: number[] = [];
    for (let i = 0; i < REPEATS[work_ms]; i++) {
      await sleep(IDLE_MS);
      idle.push(await device.call('work', { workMs: work_ms, before: 0 }));
      busy.push(await device.call('work', { workMs: work_ms, before: 5 }));
    }
    const expected_ms = work_ms / Math.min(1, cores);
    const [idle_ms, busy_ms] = [median(idle), median(busy)];
    rows.push({
      work_ms,
      expected_ms,
      idle_ms,
      busy_ms,
      idle_free: 1 - idle_ms / expected_ms,
      busy_free: 1 - busy_ms / expected_ms,
    });
  }
  return rows;
}

/** The free share of work of another length after idleness, by the free time of those that were measured. */
export function freeShare(rows: readonly Calibrated[], workMs: number, cores: number): number {
  const expected = workMs / Math.min(1, cores);
  const free = (row: Calibrated): number => row.expected_ms - row.idle_ms;
  const next = rows.findIndex(({ work_ms }) => work_ms >= workMs);
  if (next === 0) return rows[0]!.idle_free;
  // Beyond the longest one, no more time is free.
  if (next < 0) return free(rows.at(-1)!) / expected;
  const [a, b] = [rows[next - 1]!, rows[next]!];
  const at = (workMs - a.work_ms) / (b.work_ms - a.work_ms);
  return (free(a) + at * (free(b) - free(a))) / expected;
}
