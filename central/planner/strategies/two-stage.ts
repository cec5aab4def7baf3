import type { Grid } from '../../../shared/tiling/grid.ts';
import { fitting, tileStagesPlan } from '../compose.ts';
import { bestEnd, cutAt, cutsAt, gridsOf, isOfUse, type TileCut, wantedTiles } from '../cuts/wanted.ts';
import { isNoPlan, type Problem, type Strategy } from '../strategy.ts';

const name = 'two-stage';

/**
 * Two tile stages, as short stages have less halo, and the rest on central; only if the user names this strategy.
 * Without given cuts, the first stage has about half of the convolutions. One plan for each pair of cuts.
 */
export const twoStage: Strategy = {
  name,
  propose(problem) {
    if (!problem.isNamed) return { kind: 'not-asked', reason: 'it is used only when it is named' };
    const wanted = wantedTiles(problem, 2);
    const grids = gridsOf(wanted, problem);
    const cuts =
      wanted.cuts === undefined ? halfAndEnd(problem, grids[0], wanted.padding) : cutsAt(problem, wanted.cuts, grids);
    if (isNoPlan(cuts)) return cuts;
    const pairs = cuts.flatMap((first, i) => cuts.slice(i + 1).map((second) => [first, second] as const));
    if (pairs.length === 0)
      return {
        kind: 'impossible',
        reason: 'it has fewer than two cuts at which tiles can end',
        hint: '`tessera model inspect` shows where the network can be cut',
      };
    return fitting(
      problem,
      wanted.padding,
      pairs.map((pair) => tileStagesPlan(problem, name, wanted.padding, pair)),
    );
  },
};

function halfAndEnd(problem: Problem, grid: Grid, padding: 'zero' | 'halo'): TileCut[] {
  const half = problem.tiler.reach(undefined, grid, { leastShare: 0.4, most: 8 }).at(-1);
  const first = half !== undefined && isOfUse(half) ? [cutAt(half, grid)] : [];
  const end = bestEnd(problem, first[0], grid, padding);
  return end === undefined ? first : [...first, cutAt(end, grid)];
}
