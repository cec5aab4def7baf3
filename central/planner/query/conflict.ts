import type { Constraints, Problem } from '../strategy.ts';
import { type Check, checksOf } from './check.ts';

/** The problem without some of its demands. */
export function withoutDemands(problem: Problem, dropped: readonly Check[]): Problem {
  const constraints: Constraints = { ...problem.constraints };
  const left: Record<string, unknown> = { ...constraints };
  for (const { field } of dropped) {
    const value = constraints[field];
    if (Array.isArray(value))
      left[field] = value.filter(
        (_, index) => !dropped.some((other) => other.field === field && other.index === index),
      );
    else delete left[field];
  }
  return { ...problem, constraints: left as unknown as Constraints };
}

/**
 * Demands that contradict one another: none of them can be left out without the others being possible. Empty where no
 * plan exists even without any demand. `isPossible`: whether a problem has a plan.
 */
export async function conflictOf(
  problem: Problem,
  isPossible: (problem: Problem) => Promise<boolean>,
): Promise<readonly Check[]> {
  const all = checksOf(problem);
  if (!(await isPossible(withoutDemands(problem, all)))) return [];
  let core = all;
  for (const check of all) {
    const fewer = core.filter((other) => other !== check);
    const dropped = all.filter((other) => !fewer.includes(other));
    if (!(await isPossible(withoutDemands(problem, dropped)))) core = fewer;
  }
  return core;
}
