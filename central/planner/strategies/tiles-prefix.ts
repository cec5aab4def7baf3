import { calibratedEnd } from '../calibrated.ts';
import { fitting, tileStagesPlan } from '../compose.ts';
import { bestEnd, cutAt, cutsAt, gridsOf, type TileCut, untileable, type Wanted, wantedTiles } from '../cuts/wanted.ts';
import { gridWithin, whyNotWorth, worthwhileTiling } from '../cuts/worthwhile.ts';
import { isNoPlan, type NoPlan, type Problem, type Strategy } from '../strategy.ts';

const name = 'tiles-prefix';

/**
 * As in ADCNN: the first part of the network in tiles on nodes, the rest on central. The cut is the one that the user
 * set, else one at which the network was calibrated, else the one with the lowest latency; unless the user names this
 * strategy, only where that latency is clearly lower than on one machine. One plan for each cut, the deepest first.
 */
export const tilesPrefix: Strategy = {
  name,
  propose(problem) {
    const wanted = wantedTiles(problem);
    const cuts = cutsFor(problem, wanted);
    if (isNoPlan(cuts)) return cuts;
    const plans = cuts.toReversed().map((cut) => tileStagesPlan(problem, name, wanted.padding, [cut]));
    return fitting(problem, wanted.padding, plans);
  },
};

function cutsFor(problem: Problem, wanted: Wanted): readonly TileCut[] | NoPlan {
  const { constraints, isNamed, exits } = problem;
  const { nodeCount } = constraints;
  const grids = gridsOf(wanted, problem);
  if (wanted.cuts !== undefined) {
    if (wanted.cuts.length > 1 && !isNamed) return { kind: 'not-asked', reason: 'tiles end in several places' };
    return cutsAt(problem, wanted.cuts, grids);
  }
  const calibrated = wanted.padding === 'halo' ? calibratedEnd(problem, grids[0]) : undefined;
  if (calibrated !== undefined)
    return [cutAt(calibrated, wanted.grids?.[0] ?? gridWithin(problem, calibrated, nodeCount))];
  if (exits.length > 0) return { kind: 'not-asked', reason: 'tiles end at early exits' };
  if (wanted.grids === undefined && wanted.padding === 'halo' && nodeCount > 1 && !isNamed) {
    const worth = worthwhileTiling(problem, constraints);
    if (worth.tiling !== undefined) return [cutAt(worth.tiling.end, worth.tiling.grid)];
    return worth.nearest === undefined
      ? untileable(problem, grids[0])
      : { kind: 'slower', reason: whyNotWorth(worth.nearest) };
  }
  const end = bestEnd(problem, undefined, grids[0], wanted.padding);
  return end === undefined ? untileable(problem, grids[0]) : [cutAt(end, grids[0])];
}
