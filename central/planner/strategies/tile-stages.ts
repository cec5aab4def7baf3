import { composePlan, gridName, onCentral, restPiece, tiledPiece } from '../compose.ts';
import type { Strategy } from '../strategies.ts';

/** A tile stage up to every cut, one after another, and the rest on central: one plan. */
export const tileStages: Strategy = {
  name: 'tile-stages',
  make: (problem) => {
    const { cuts } = problem;
    if (cuts.length === 0) return [];
    const pieces = [
      ...cuts.map((cut, index) => tiledPiece(problem, cuts[index - 1], cut)),
      ...restPiece(problem, cuts, onCentral),
    ];
    const places = cuts.map((cut) => `${gridName(cut)} tiles up to ${cut.tensors.join(', ') || 'the end'}`);
    return [composePlan(problem, 'tile-stages', [...places, 'the rest on central'].join(', '), pieces)];
  },
};
