import { type PlanningGraph, totalMacs } from '../planner/graph.ts';
import type { BlockRange } from '../planner/profile/runs.ts';

/** The share of a network's multiply-adds that a test of a machine's speed has at least. */
const SHARE = 0.2;

/** The first blocks of a network, as many as a test of a machine's speed needs: their weights are mostly small. */
export function testBlocks(graph: PlanningGraph): BlockRange {
  const least = SHARE * totalMacs(graph);
  let macs = 0;
  const last = graph.blocks.findIndex(({ first, last }) => {
    for (let layer = first; layer <= last; layer++) macs += graph.layers[layer]!.macs;
    return macs >= least;
  });
  return [0, Math.max(0, last)];
}
