import type { SchedulablePlan } from '../../../shared/plan/compiled-plan.ts';
import type { Problem } from '../strategy.ts';
import { lateShare } from './late-share.ts';
import { machinesOf } from './machines.ts';
import { placesOf } from './places.ts';
import type { Prediction } from './prediction.ts';
import { sentBy } from './sent.ts';
import { errorOf, hasSpread, stageTimes } from './stage-times.ts';
import { playTurn, type Turn } from './turn.ts';

/**
 * What a plan's frames cost, as the runtime runs it (coordinator/routes.ts): regions go straight from the node that made
 * them to those that read them. The plan must fit the problem's graph. Throws TESSERA_PROFILE where a stage runs on a
 * machine that was not profiled.
 */
export function predict(problem: Problem, schedulable: SchedulablePlan): Prediction {
  const sent = sentBy(schedulable.plan, problem);
  const times = stageTimes(problem, schedulable);
  const places = placesOf(problem, schedulable, (stage, node) => times.capacity(stage, node));
  const turns = places.map((place) => playTurn(problem, schedulable, place, times, sent));
  const first = turns.reduce((best, turn) => (turn.timeline.end.ms < best.timeline.end.ms ? turn : best));
  const shares = sharesOf(turns);
  const mean = (of: (turn: Turn) => ReadonlyMap<string, number>): Map<string, number> => {
    const sums = new Map<string, number>();
    turns.forEach((turn, index) => {
      for (const [name, value] of of(turn)) sums.set(name, (sums.get(name) ?? 0) + shares[index]! * value);
    });
    return sums;
  };
  const busy = mean(({ busyMs }) => busyMs);
  const upload = mean(({ uploadBytes }) => uploadBytes);
  const { parts, hops, end } = first.timeline;
  return {
    latency_ms: end.ms,
    period_ms: Math.max(...busy.values()),
    transferred_bytes: [...upload.values()].reduce((sum, bytes) => sum + bytes, 0),
    hops,
    stages: schedulable.plan.stages.map(({ id }) => ({
      id,
      parts: parts
        .filter(({ stage }) => stage === id)
        .map(({ stage: _, ...part }) => part)
        .sort((a, b) => a.t_id - b.t_id),
    })),
    machines: machinesOf(problem, schedulable, places, busy, upload, end.ms),
    agreement: sent.agreement,
    late_share: lateShare(end, problem.constraints.deadline_ms, hasSpread(problem, places)),
    error: errorOf(problem, schedulable, places),
  };
}

/** The shares of frames that take each turn, so that the busiest machines of all turns are equally busy. */
function sharesOf(turns: readonly Turn[]): number[] {
  const rates = turns.map(({ busyMs }) => 1 / Math.max(...busyMs.values()));
  const all = rates.reduce((sum, rate) => sum + rate, 0);
  return all > 0 && Number.isFinite(all) ? rates.map((rate) => rate / all) : turns.map(() => 1 / turns.length);
}
