import type { Plan } from '../../../shared/plan/plan.ts';
import { refusalWithoutTiles } from '../cuts/wanted.ts';
import { isNoPlan, type NoPlan, type Problem } from '../strategy.ts';
import { fewerMachines } from './fewer-machines.ts';
import { type Grain, placementOf } from './of-problem.ts';
import { costOf, type Labels, type PlacementProblem } from './placement.ts';
import { planOf } from './stages.ts';

/** A labelling that a strategy proposes. */
export interface Proposal {
  readonly labels: Labels;
  /** For people: what kind of labelling it is. */
  readonly why: string;
}

/**
 * The plans of the labellings that `solve` finds at each grain, each once; or why there are none. A grain with as many
 * vertices as the one before it is left out: it has the same.
 */
export function proposeLabellings(
  problem: Problem,
  strategy: string,
  grains: readonly Grain[],
  solve: (placement: PlacementProblem) => readonly Proposal[] | NoPlan,
): readonly Plan[] | NoPlan {
  const refusal = refusalWithoutTiles(problem);
  if (refusal !== undefined) return refusal;
  const plans = new Map<string, Plan>();
  let refused: NoPlan = {
    kind: 'impossible',
    reason: 'no links lead from where frames are born to where they could run',
  };
  let vertices = 0;
  for (const grain of grains) {
    const placement = placementOf(problem, grain);
    if (isNoPlan(placement)) return placement;
    if (placement.vertices.length === vertices) continue;
    vertices = placement.vertices.length;
    const fewer = fewerMachines(placement);
    const found = solve(fewer);
    if (isNoPlan(found)) {
      refused = found;
      continue;
    }
    for (const { labels, why } of found) {
      if (costOf(fewer, labels) === Infinity) continue;
      const plan = planOf(problem, strategy, why, fewer, labels);
      if (isNoPlan(plan)) refused = plan;
      else plans.set(plan.id, plan);
    }
  }
  return plans.size === 0 ? refused : [...plans.values()];
}
