import { composePlan, gridName, onCentral, restPiece, tiledPiece } from '../compose.ts';
import type { Strategy } from '../strategies.ts';

/** ADCNN's shape: everything up to a cut in tiles on the nodes, the rest on central. One plan per cut, deepest first. */
export const tilesPrefix: Strategy = {
  name: 'tiles-prefix',
  make: (problem) =>
    problem.cuts.toReversed().map((cut) => {
      const reason = `${gridName(cut)} tiles up to ${cut.tensors.join(', ') || 'the end'}, the rest on central`;
      const pieces = [tiledPiece(problem, undefined, cut), ...restPiece(problem, cut, onCentral)];
      return composePlan(problem, 'tiles-prefix', reason, pieces);
    }),
};
