import { busyMs, type Labels, type PlacementProblem, transfersOf } from './placement.ts';
import { cheapest, type Pair, twoWay } from './two-way.ts';

/** How often the weights of what is the bottleneck are raised. */
const ROUNDS = 12;

/**
 * What limits the frames per second of a labelling, ms: computing at one of its machines, or all transfers (DADS, INFOCOM
 * 2019, section V).
 */
export function bottleneckOf(placement: PlacementProblem, labels: Labels): number {
  const computing = [...new Set(labels)].map((machine) => busyMs(placement, labels, machine));
  return Math.max(...computing, transfersOf(placement, labels));
}

function loadsOf(placement: PlacementProblem, [a, b]: Pair, labels: Labels): [number, number, number] {
  return [busyMs(placement, labels, a), busyMs(placement, labels, b), transfersOf(placement, labels)];
}

/**
 * A labelling with two machines and a small bottleneck; the least is NP-hard to find (DADS, INFOCOM 2019, section V: DSH).
 * Minimum cuts with plain weights, and then again and again with more weight on what was the bottleneck. The first has
 * the least sum of three loads, so the result is at most three times the optimum.
 */
export function smallBottleneck(placement: PlacementProblem, pair: Pair): Labels | undefined {
  const seen: Labels[] = [];
  let weights: [number, number, number] = [1, 1, 1];
  for (let round = 0; round < ROUNDS; round++) {
    const [first, second, transfers] = weights;
    const found = twoWay(placement, pair, { first, second, transfers });
    seen.push(...found);
    const best = cheapest(found, (labels) => {
      const loads = loadsOf(placement, pair, labels);
      return loads.reduce((sum, load, k) => sum + load * weights[k]!, 0);
    });
    if (best === undefined) break;
    const loads = loadsOf(placement, pair, best);
    const most = Math.max(...loads);
    const raised = weights.map((weight, k) => weight * (1 + loads[k]! / most));
    const sum = raised.reduce((all, weight) => all + weight, 0);
    weights = raised.map((weight) => (3 * weight) / sum) as typeof weights;
  }
  return cheapest(seen, (labels) => bottleneckOf(placement, labels));
}
