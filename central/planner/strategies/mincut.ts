import { bottleneckOf, smallBottleneck } from '../placement/bottleneck.ts';
import { costOf, type Labels, type PlacementProblem } from '../placement/placement.ts';
import { type Proposal, proposeLabellings } from '../placement/propose.ts';
import { cheapestTwoWay, type Pair, tierPairsOf } from '../placement/two-way.ts';
import type { Strategy } from '../strategy.ts';

const name = 'mincut';

/**
 * DADS (INFOCOM 2019): a minimum cut of the graph between two machines of different tiers, on any graph, for the pair of
 * machines for which it is best. The plan for light load has the least time of a frame (DSL, exact). Where frames per
 * second are the objective, the plan is that for heavy load (DSH, at most three times the least bottleneck). Only the part
 * between two neighbouring cut vertices is solved (QDMP, IMWUT 2020).
 */
export const mincut: Strategy = {
  name,
  propose: (problem) =>
    proposeLabellings(problem, name, ['layers'], (placement) => {
      const pairs = tierPairsOf(placement);
      if (pairs.length === 0) return { kind: 'impossible', reason: 'all nodes are of one tier, and a cut needs two' };
      return problem.constraints.objective === 'throughput'
        ? best(placement, pairs, 'heavy load', smallBottleneck, bottleneckOf)
        : best(placement, pairs, 'light load', cheapestTwoWay, costOf);
    }),
};

/** The pair's labelling with the least value. */
function best(
  placement: PlacementProblem,
  pairs: readonly Pair[],
  load: string,
  solve: (placement: PlacementProblem, pair: Pair) => Labels | undefined,
  value: (placement: PlacementProblem, labels: Labels) => number,
): Proposal[] {
  const all = pairs.flatMap((pair) => {
    const labels = solve(placement, pair);
    return labels === undefined ? [] : [{ labels, why: `the best cut for ${load}` }];
  });
  const values = all.map(({ labels }) => value(placement, labels));
  return all.slice(values.indexOf(Math.min(...values))).slice(0, 1);
}
