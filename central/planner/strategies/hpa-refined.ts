import { hpa } from '../placement/heuristic.ts';
import { costOf, type Labels, type PlacementProblem } from '../placement/placement.ts';
import { proposeLabellings } from '../placement/propose.ts';
import { refined } from '../placement/refine.ts';
import { MOST_MACHINES, searchLabels } from '../placement/search.ts';
import { cheapest } from '../placement/two-way.ts';
import type { Strategy } from '../strategy.ts';

const name = 'hpa-refined';

/** States times live tensors that the look-ahead keeps after each vertex. */
const BEAM = 1024;
/** How many of the placements on one machine it starts from, the best ones. */
const MOST_ALONE = 4;

/**
 * HPA (D3, ICDCS 2021, section IV) with look-ahead, and refined. It starts from HPA's placement, from the best
 * machines alone, and from a beam search, which keeps many placements of the vertices so far instead of one. Then minimum cuts divide
 * the vertices of two machines between them anew, pair by pair, as long as that gains. The best of the results: never
 * worse than HPA's.
 */
export const hpaRefined: Strategy = {
  name,
  propose: (problem) =>
    proposeLabellings(problem, name, ['chain', 'layers'], (placement) => {
      const labels = refinedLabels(placement);
      return labels === undefined ? [] : [{ labels, why: 'the best placement found' }];
    }),
};

/** The labelling of `hpa-refined`; undefined where there is none. */
export function refinedLabels(placement: PlacementProblem): Labels | undefined {
  const { machines, vertices } = placement;
  const isSmall = machines.length <= MOST_MACHINES;
  const beam = isSmall ? searchLabels(placement, { each: BEAM, total: Infinity })?.labels : undefined;
  const cost = (labels: Labels): number => costOf(placement, labels);
  const alone = machines.map((_, machine) => vertices.map(() => machine)).sort((a, b) => cost(a) - cost(b));
  const starts = [hpa(placement), beam, ...alone.slice(0, MOST_ALONE)].filter((labels) => labels !== undefined);
  return cheapest(
    starts.map((labels) => refined(placement, labels)),
    cost,
  );
}
