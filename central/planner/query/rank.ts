import { TesseraError } from '../../../shared/errors.ts';
import type { Plan } from '../../../shared/plan/plan.ts';
import { checkPlan } from '../../../shared/plan/validate.ts';
import { withCalibratedCodecs } from '../calibrated.ts';
import { predict } from '../cost/predict.ts';
import type { Prediction } from '../cost/prediction.ts';
import { outlineOf } from '../cost/sketch.ts';
import { isNoPlan, type NoPlan, type Problem } from '../strategy.ts';
import { checksOf, lackOfMemory, objectiveValue } from './check.ts';

/** What a strategy answered to a problem. */
export interface Proposal {
  readonly strategy: string;
  readonly proposed: readonly Plan[] | NoPlan;
  /** Of how many plans these are the best. */
  readonly compared: number;
}

/** Asks some strategies about a problem. */
export type Ask = (problem: Problem) => Promise<readonly Proposal[]>;

/** A plan with what the cost model says of it. */
export interface Ranked {
  readonly plan: Plan;
  readonly prediction: Prediction;
}

/** Plans in the order of the problem's objective. */
export interface Ranking {
  /** Those that meet all demands, the best first, each once. */
  readonly ranked: readonly Ranked[];
  /** How many different plans were compared at least: those here, or by the strategy that compared most. */
  readonly compared: number;
  /** Strategies without a plan that counts, and why. */
  readonly refusals: readonly { readonly strategy: string; readonly reason: string; readonly hint?: string }[];
}

/**
 * Predicts all plans, also with calibrated codecs where the user set a bound, and ranks those that meet every demand of
 * the problem and for which machines have the memory. Of equal plans the one with the lower latency is better, then the one that needs fewer machines, then the
 * one that was proposed first.
 */
export function rank(problem: Problem, proposals: readonly Proposal[]): Ranking {
  const { objective } = problem.constraints;
  const checks = checksOf(problem);
  const ranked = new Map<string, Ranked & { readonly value: number }>();
  const refusals: { strategy: string; reason: string; hint?: string }[] = [];
  for (const { strategy, proposed } of proposals) {
    if (isNoPlan(proposed)) {
      const { reason, hint } = proposed;
      refusals.push({ strategy, reason, ...(hint === undefined ? {} : { hint }) });
      continue;
    }
    const why: string[] = [];
    const plans = proposed.flatMap((plan) => [plan, withCalibratedCodecs(problem, plan) ?? []].flat());
    for (const plan of plans) {
      const prediction = predictionOf(problem, plan);
      if (typeof prediction === 'string') {
        why.push(prediction);
        continue;
      }
      const value = objectiveValue(prediction, objective);
      const unmet = checks.find((check) => !check.isMet(plan, prediction));
      const lack = lackOfMemory(problem, prediction);
      if (unmet !== undefined) why.push(`its plan does not meet ${unmet.text}`);
      else if (value === Number.POSITIVE_INFINITY) why.push('no link leads where its plan sends something');
      else if (lack !== undefined) why.push(lack);
      else {
        const predicted = { latency_ms: prediction.latency_ms };
        if (!ranked.has(plan.id)) ranked.set(plan.id, { plan: { ...plan, predicted }, prediction, value });
      }
    }
    if (why.length > 0 && why.length === plans.length) refusals.push({ strategy, reason: why[0]! });
  }
  const sorted = [...ranked.values()].sort(
    (a, b) =>
      a.value - b.value ||
      a.prediction.latency_ms - b.prediction.latency_ms ||
      machinesIn(a.prediction) - machinesIn(b.prediction),
  );
  return {
    ranked: sorted.map(({ plan, prediction }) => ({ plan, prediction })),
    compared: Math.max(ranked.size, ...proposals.map(({ compared }) => compared)),
    refusals,
  };
}

/** How many machines compute. */
function machinesIn({ machines }: Prediction): number {
  return machines.filter(({ busy_ms }) => busy_ms > 0).length;
}

/** The prediction, or why there is none. */
function predictionOf(problem: Problem, plan: Plan): Prediction | string {
  try {
    checkPlan(plan, problem.graph);
    const outlined = outlineOf(problem, plan);
    return isNoPlan(outlined) ? outlined.reason : predict(problem, outlined);
  } catch (error) {
    if (error instanceof TesseraError) return error.message;
    throw error;
  }
}
