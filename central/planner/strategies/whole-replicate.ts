import { composePlan, wholeStage } from '../compose.ts';
import { refusalWithoutTiles } from '../cuts/wanted.ts';
import type { Strategy } from '../strategy.ts';

/** Load balancing: each frame whole on one node. More frames per second, no shorter latency. */
export const wholeReplicate: Strategy = {
  name: 'whole-replicate',
  propose: (problem) =>
    refusalWithoutTiles(problem) ?? [
      composePlan(problem, 'whole-replicate', 'each frame whole on one node', [
        wholeStage(problem, { mode: 'replicate', nodes: problem.constraints.nodes }),
      ]),
    ],
};
