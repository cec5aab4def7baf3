import { costOf, type Labels, type PlacementProblem } from './placement.ts';
import { pairsOf, relabelled } from './two-way.ts';

/** A change below this many ms is rounding. */
const LEAST_GAIN_MS = 1e-5;
/** Most times that all pairs of machines are gone through. */
const MOST_ROUNDS = 20;

/**
 * A labelling that is at least as good: for every pair of machines in turn, the vertices of both are divided between
 * them anew by a minimum cut, until no pair gains (swap moves; Boykov, Veksler, Zabih, PAMI 2001). With two machines it
 * is the optimum.
 */
export function refined(placement: PlacementProblem, start: Labels): Labels {
  const pairs = pairsOf(placement);
  let best = start;
  let least = costOf(placement, start);
  for (let round = 0, isBetter = true; isBetter && round < MOST_ROUNDS; round++) {
    isBetter = false;
    for (const pair of pairs) {
      if (!best.some((machine) => pair.includes(machine))) continue;
      const labels = relabelled(placement, best, pair, (v) => pair.includes(best[v]!));
      const ms = labels === undefined ? Infinity : costOf(placement, labels);
      if (!(ms < least - LEAST_GAIN_MS)) continue;
      best = labels!;
      least = ms;
      isBetter = true;
    }
  }
  return best;
}
