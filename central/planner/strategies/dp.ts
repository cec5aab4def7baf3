import { proposeLabellings } from '../placement/propose.ts';
import { MOST_MACHINES, searchLabels } from '../placement/search.ts';
import type { Strategy } from '../strategy.ts';

const name = 'dp';

/** Most states times live tensors of one search: seconds. */
const MOST_STATES = 1e6;

/**
 * The placement with the least time of a frame on any machines, none before its predecessors' tier, by dynamic programming
 * (Bellman 1957). Exact on chains of blocks, also where several blocks as one take another time than alone, and on graphs
 * as long as few branches are open at once. On wider graphs there is only the plan for the chain.
 */
export const dp: Strategy = {
  name,
  propose: (problem) =>
    proposeLabellings(problem, name, ['chain', 'blocks', 'layers'], (placement) => {
      if (placement.machines.length > MOST_MACHINES)
        return {
          kind: 'impossible',
          reason: `${placement.machines.length} different machines are too many for an exact search; at most ${MOST_MACHINES}`,
        };
      const found = searchLabels(placement, { each: Infinity, total: MOST_STATES });
      return found === undefined
        ? { kind: 'impossible', reason: 'too many branches are open at once for an exact search' }
        : [{ labels: found.labels, why: 'the least time of all placements' }];
    }),
};
