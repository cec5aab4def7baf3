import { composePlan, gridName, onCentral, restPiece, tiledPiece } from '../compose.ts';
import type { Strategy } from '../strategies.ts';

/** ADCNN's shape: everything up to a cut in tiles on the nodes, the rest on central. One plan per cut, deepest first. */
export const tilesPrefix: Strategy = {
  name: 'tiles-prefix',
  make: (problem) =>
    problem.cuts.toReversed().map((cut) => {
      const rest = restPiece(problem, [cut], onCentral);
      const rests = cut.tensors.length === 0 ? 'constants' : 'the rest';
      const end = rest.length === 0 ? 'the end' : `${cut.tensors.join(', ') || 'the end'}, ${rests} on central`;
      const reason = `${gridName(cut)} tiles up to ${end}`;
      const pieces = [tiledPiece(problem, undefined, cut), ...rest];
      return composePlan(problem, 'tiles-prefix', reason, pieces);
    }),
};
