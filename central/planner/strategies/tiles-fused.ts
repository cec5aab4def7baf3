import type { Strategy } from '../strategy.ts';
import { gridsOn } from '../tiling/forms.ts';
import { haloTiles } from '../tiling/halo-tiles.ts';

const name = 'tiles-fused';

/**
 * Fused tile stages in which tiles stay at their node and only halos move (DeepThings, TCAD 2018): where each ends
 * (AOFL, SEC 2019), and its grid, with uneven tiles for unequal nodes, single layers by channels and the rest whole
 * (FlexPie, 2025). By dynamic programming over cut points; the best ways are predicted by the cost model.
 */
export const tilesFused: Strategy = {
  name,
  propose: (problem) => haloTiles(problem, name, (fleet) => gridsOn(fleet, problem.constraints.grid)),
};
