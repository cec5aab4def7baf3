import type { Problem } from '../strategy.ts';
import { objectiveValue } from './check.ts';
import { type Proposal, rank } from './rank.ts';

/** The best plan of a strategy beside the best of all. */
export interface Gap {
  readonly strategy: string;
  /** What its best plan has of the problem's objective: less is better. */
  readonly value: number;
  /** How much more that is than the least of all strategies, as a share of the least. */
  readonly gap: number;
}

/** A strategy without a plan that counts. */
export interface Absent {
  readonly strategy: string;
  readonly reason: string;
}

/** How far the proposals of some strategies are from the best of all, in the order given. */
export function gapsOf(problem: Problem, proposals: readonly Proposal[]): (Gap | Absent)[] {
  const { objective } = problem.constraints;
  const found = proposals.map((proposal) => {
    const { strategy } = proposal;
    const { ranked, refusals } = rank(problem, [proposal]);
    const [best] = ranked;
    if (best === undefined) return { strategy, reason: refusals[0]!.reason };
    return { strategy, value: objectiveValue(best.prediction, objective) };
  });
  const least = Math.min(...found.map(({ value = Infinity }) => value));
  return found.map(({ strategy, reason, value }) =>
    value === undefined ? { strategy, reason } : { strategy, value, gap: value === least ? 0 : value / least - 1 },
  );
}
