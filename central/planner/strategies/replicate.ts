import { composePlan, wholeStage } from '../compose.ts';
import { refusalWithoutTiles } from '../cuts/wanted.ts';
import { placementOf } from '../placement/of-problem.ts';
import { bestPipelines } from '../placement/pipeline.ts';
import { planOfStages } from '../placement/stages.ts';
import { isNoPlan, type Strategy } from '../strategy.ts';

const name = 'replicate';

/**
 * Load balancing: each frame whole on one node, so that there are more frames per second, none of them sooner. Where the
 * network was profiled also pipelines in which each frame's slow stage runs on one of several nodes of a tier, the one
 * with the most frames per second for each tier.
 */
export const replicate: Strategy = {
  name,
  propose(problem) {
    const refusal = refusalWithoutTiles(problem);
    if (refusal !== undefined) return refusal;
    const on = { mode: 'replicate', nodes: problem.constraints.nodes } as const;
    const whole = composePlan(problem, name, 'each frame whole on one node', [wholeStage(problem, on)]);
    const placement = placementOf(problem, 'chain');
    if (isNoPlan(placement)) return [whole];
    const pipelines = bestPipelines(placement).flatMap((stages) => {
      const plan = planOfStages(problem, name, 'the slow stage on one of several nodes', placement, stages);
      return isNoPlan(plan) ? [] : [plan];
    });
    return [whole, ...pipelines];
  },
};
