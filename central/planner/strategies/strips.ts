import type { Strategy } from '../strategy.ts';
import { balanced } from '../tiling/balance.ts';
import { stripsOn } from '../tiling/forms.ts';
import { haloTiles } from '../tiling/halo-tiles.ts';

const name = 'strips';

/**
 * Strips along one side of the maps, as high as their nodes are fast, and dense layers by channels (MoDNN, DATE 2017:
 * biased one-dimensional partition). Then rows move one at a time from the slowest node of a stage to the fastest until their times meet
 * (EdgeLD, HPCC 2020).
 */
export const strips: Strategy = {
  name,
  propose(problem) {
    const { grid } = problem.constraints;
    if (grid !== undefined && grid.rows > 1 && grid.cols > 1)
      return { kind: 'not-asked', reason: 'the user asked for a grid, not for strips' };
    return haloTiles(
      problem,
      name,
      (fleet) => stripsOn(fleet, grid),
      (stages, way) => {
        if (grid?.rowSizes !== undefined || grid?.colSizes !== undefined) return way;
        return { steps: way.steps.map((step) => ({ ...step, form: balanced(stages, step) })) };
      },
    );
  },
};
