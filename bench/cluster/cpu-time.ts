import { readdirSync, readFileSync } from 'node:fs';

/** CPU time of a process's threads so far, ms, by thread id (Documentation/scheduler/sched-stats: the first field). */
export function threadTimes(pid: number): ReadonlyMap<number, number> {
  const folder = `/proc/${pid}/task`;
  return new Map(
    readdirSync(folder).flatMap((thread) => {
      try {
        return [[Number(thread), Number(readFileSync(`${folder}/${thread}/schedstat`, 'utf8').split(' ')[0]) / 1e6]];
      } catch {
        // It has ended.
        return [];
      }
    }),
  );
}

/** What threads have used between two readings, ms: the main thread, and the others with the busiest first. */
export function usedBetween(
  pid: number,
  before: ReadonlyMap<number, number>,
  after: ReadonlyMap<number, number>,
): { readonly main: number; readonly others: readonly number[] } {
  const used = [...after].map(([thread, ms]) => ({ thread, ms: ms - (before.get(thread) ?? 0) }));
  return {
    main: used.find(({ thread }) => thread === pid)?.ms ?? 0,
    others: used
      .filter(({ thread }) => thread !== pid)
      .map(({ ms }) => ms)
      .sort((a, b) => b - a),
  };
}

/** Linux counts the machine's CPU time in ticks of 10 ms (USER_HZ). */
const TICK_MS = 10;

/** CPU time that a machine has spent so far, ms, from /proc/stat: all of it but idleness and waiting for disks. */
export function busyMs(stat: string): number {
  const [, ...fields] = stat.split('\n')[0]!.trim().split(/\s+/);
  const [user, nice, system, , , irq, softirq, steal] = fields.map(Number) as number[];
  return (user! + nice! + system! + irq! + softirq! + steal!) * TICK_MS;
}

/**
 * Begins to watch this machine; `ownMs` is the CPU time of what is measured so far, ms. `stop` tells how many cores
 * others had meanwhile, this process included.
 */
export function watchLoad(ownMs: () => number): { stop(): number } {
  const now = () => ({ at: performance.now(), busy: busyMs(readFileSync('/proc/stat', 'utf8')), own: ownMs() });
  const before = now();
  return {
    stop() {
      const after = now();
      return Math.max(0, after.busy - before.busy - (after.own - before.own)) / (after.at - before.at);
    },
  };
}

/** Cores of others above which a result is doubted. */
const MOST_OTHERS = 0.25;

/** Why a result is doubted during which others had so many cores; nothing where that is few. */
export function doubtOfLoad(cores: number): readonly string[] {
  return cores > MOST_OTHERS
    ? [`${cores.toFixed(2)} cores were used by others; at most ${MOST_OTHERS} may be: end what else runs`]
    : [];
}
