import { hpa as labelsOf } from '../placement/heuristic.ts';
import { proposeLabellings } from '../placement/propose.ts';
import type { Strategy } from '../strategy.ts';

const name = 'hpa';

/**
 * D3's heuristic (ICDCS 2021, section IV) as it is described: graph layer by graph layer the machine with the least own
 * time plus transfers. It never looks ahead over a transfer, so it is often far from the best placement.
 */
export const hpa: Strategy = {
  name,
  propose: (problem) =>
    proposeLabellings(problem, name, ['layers'], (placement) => {
      const labels = labelsOf(placement);
      return labels === undefined ? [] : [{ labels, why: 'each layer where it ends first' }];
    }),
};
