import { composePlan, onCentral, wholePiece } from '../compose.ts';
import type { Strategy } from '../strategies.ts';

/** Everything on central's own executor: the baseline that every other plan has to beat. */
export const wholeCentral: Strategy = {
  name: 'whole-central',
  make: (problem) => [composePlan(problem, 'whole-central', 'everything on central', [wholePiece(problem, onCentral)])],
};
