import { composePlan, gridName, onCentral, restPiece, tiledPiece } from '../compose.ts';
import type { Strategy } from '../strategies.ts';

/** Two tile stages with a cut between them (short stages pay less halo), the rest on central. One plan per pair of cuts. */
export const twoStage: Strategy = {
  name: 'two-stage',
  make: (problem) =>
    problem.cuts.flatMap((first, i) =>
      problem.cuts.slice(i + 1).map((second) => {
        const reason = `${gridName(first)} tiles up to ${first.tensors.join(', ')}, ${gridName(second)} up to ${
          second.tensors.join(', ') || 'the end'
        }, the rest on central`;
        const pieces = [
          tiledPiece(problem, undefined, first),
          tiledPiece(problem, first, second),
          ...restPiece(problem, [first, second], onCentral),
        ];
        return composePlan(problem, 'two-stage', reason, pieces);
      }),
    ),
};
