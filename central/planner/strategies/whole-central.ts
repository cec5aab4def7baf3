import { composePlan, onCentral, wholeStage } from '../compose.ts';
import { refusalWithoutTiles } from '../cuts/wanted.ts';
import type { Strategy } from '../strategy.ts';

/** The whole network on central's own executor: the baseline that every other plan has to beat. */
export const wholeCentral: Strategy = {
  name: 'whole-central',
  propose: (problem) =>
    refusalWithoutTiles(problem) ?? [
      composePlan(problem, 'whole-central', 'everything on central', [wholeStage(problem, onCentral)]),
    ],
};
