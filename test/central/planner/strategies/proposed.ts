import { predict } from '../../../../central/planner/cost/predict.ts';
import { sketch } from '../../../../central/planner/cost/sketch.ts';
import { isNoPlan, type Problem, type Strategy } from '../../../../central/planner/strategy.ts';
import type { Plan } from '../../../../shared/plan/plan.ts';

/** The plans that a strategy has for a problem. */
export function proposed({ propose }: Strategy, problem: Problem): readonly Plan[] {
  const plans = propose(problem);
  if (isNoPlan(plans)) throw new Error(plans.reason);
  return plans;
}

/** The least latency of these plans, ms. */
export function latencyOf(problem: Problem, plans: readonly Plan[]): number {
  return Math.min(...plans.map((plan) => predict(problem, sketch(plan, problem.graph)).latency_ms));
}

/** Which nodes run each stage of a plan. */
export function nodesOf({ stages }: Plan): unknown[] {
  return stages.map(({ on }) => ('nodes' in on ? on.nodes : on.tier));
}
