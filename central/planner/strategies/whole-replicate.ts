import { composePlan, wholePiece } from '../compose.ts';
import type { Strategy } from '../strategies.ts';

/** Plain load balancing: each frame whole on one node. More frames per second, no shorter latency. */
export const wholeReplicate: Strategy = {
  name: 'whole-replicate',
  make: (problem) => [
    composePlan(problem, 'whole-replicate', 'each frame whole on one node', [
      wholePiece(problem, { mode: 'replicate', nodes: problem.nodes }),
    ]),
  ],
};
