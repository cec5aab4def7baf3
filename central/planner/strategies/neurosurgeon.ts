import { chainCuts } from '../placement/chain.ts';
import { costOf } from '../placement/placement.ts';
import { proposeLabellings } from '../placement/propose.ts';
import { cheapest, tierPairsOf } from '../placement/two-way.ts';
import type { Strategy } from '../strategy.ts';

const name = 'neurosurgeon';

/**
 * Neurosurgeon (ASPLOS 2017, section 5): the best single cut of a chain between two machines of different tiers, or one
 * machine alone. Where branches are open there is no cut.
 */
export const neurosurgeon: Strategy = {
  name,
  propose: (problem) =>
    proposeLabellings(problem, name, ['chain'], (placement) => {
      const { machines, vertices } = placement;
      const alone = machines.map((_, machine) => vertices.map(() => machine));
      const cut = tierPairsOf(placement).flatMap(([a, b]) =>
        chainCuts(placement).map(({ at }) => vertices.map((_, v) => (v < at ? a : b))),
      );
      const best = cheapest([...alone, ...cut], (labels) => costOf(placement, labels));
      return best === undefined ? [] : [{ labels: best, why: 'the best single cut' }];
    }),
};
