import { composePlan, onCentral, wholeStage } from '../compose.ts';
import { refusalWithoutTiles } from '../cuts/wanted.ts';
import { costOf } from '../placement/placement.ts';
import { proposeLabellings } from '../placement/propose.ts';
import { cheapest } from '../placement/two-way.ts';
import { type Strategy, usableNodes } from '../strategy.ts';

const name = 'single';

/**
 * The whole network on the best one machine, and on central where nothing was measured: the baseline that every other
 * plan has to beat.
 */
export const single: Strategy = {
  name,
  propose(problem) {
    if (usableNodes(problem).every(({ times }) => times === undefined))
      return (
        refusalWithoutTiles(problem) ?? [
          composePlan(problem, name, 'everything on central', [wholeStage(problem, onCentral)]),
        ]
      );
    return proposeLabellings(problem, name, ['chain'], (placement) => {
      const alone = placement.machines.map((_, machine) => placement.vertices.map(() => machine));
      const best = cheapest(alone, (labels) => costOf(placement, labels));
      return best === undefined ? [] : [{ labels: best, why: 'the best one machine' }];
    });
  },
};
