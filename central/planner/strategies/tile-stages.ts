import type { Grid } from '../../../shared/tiling/grid.ts';
import { fitting, tileStagesPlan } from '../compose.ts';
import {
  bestEnd,
  cutAt,
  cutsAt,
  gridsOf,
  isOfUse,
  type TileCut,
  untileable,
  type Wanted,
  wantedTiles,
} from '../cuts/wanted.ts';
import { worthwhileTiling } from '../cuts/worthwhile.ts';
import { isNoPlan, type NoPlan, type Problem, type Strategy } from '../strategy.ts';

const name = 'tile-stages';

/**
 * A tile stage up to every cut that the user set, one after another, and the rest on central. Without cuts, up to every
 * early exit that tiles reach, and then as far as it pays. One plan.
 */
export const tileStages: Strategy = {
  name,
  propose(problem) {
    const wanted = wantedTiles(problem);
    const cuts =
      wanted.cuts === undefined ? cutsAtExits(problem, wanted) : cutsAt(problem, wanted.cuts, gridsOf(wanted, problem));
    if (isNoPlan(cuts)) return cuts;
    return fitting(problem, wanted.padding, [tileStagesPlan(problem, name, wanted.padding, cuts)]);
  },
};

function cutsAtExits(problem: Problem, wanted: Wanted): readonly TileCut[] | NoPlan {
  const { exits, isNamed, tiler } = problem;
  if (exits.length === 0 && !isNamed) return { kind: 'not-asked', reason: 'the model has no early exits' };
  const grid = gridFor(problem, wanted);
  const cuts: TileCut[] = [];
  // Sizes in cells refer to the feature map at the cut that the user set.
  const places = grid.rowSizes === undefined && grid.colSizes === undefined ? exits : [];
  for (const tensors of places) {
    const end = tiler.upTo(cuts.at(-1), tensors);
    if (isNoPlan(end) || end.cells.rows < grid.rows || end.cells.cols < grid.cols) continue;
    if (isOfUse(end)) cuts.push(cutAt(end, grid));
  }
  const end = bestEnd(problem, cuts.at(-1), grid, wanted.padding);
  if (end !== undefined) cuts.push(cutAt(end, grid));
  return cuts.length === 0 ? untileable(problem, grid) : cuts;
}

/**
 * The grid that was set, otherwise the one that pays; one tile where none pays, so that frames can still end at exits.
 */
function gridFor(problem: Problem, wanted: Wanted): Grid {
  const { constraints, isNamed } = problem;
  if (wanted.grids !== undefined || isNamed || wanted.padding === 'zero' || constraints.nodeCount <= 1)
    return gridsOf(wanted, problem)[0];
  return worthwhileTiling(problem, constraints).tiling?.grid ?? { rows: 1, cols: 1 };
}
