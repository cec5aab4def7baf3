import { composePlan, wholeStage } from '../compose.ts';
import { refusalWithoutTiles } from '../cuts/wanted.ts';
import { placementOf } from '../placement/of-problem.ts';
import { bestPipelines } from '../placement/pipeline.ts';
import { costOf } from '../placement/placement.ts';
import { planOfStages } from '../placement/stages.ts';
import { isNoPlan, type NoPlan, type Strategy, usableNodes } from '../strategy.ts';

const name = 'replicate';

/**
 * Load balancing: each frame whole on one node, so that there are more frames per second, none of them sooner. Where the
 * network was profiled, on one of the nodes that frames can reach; and, for each tier, the pipeline with the most frames
 * per second in which each frame's slow stage runs on one of several nodes of that tier.
 */
export const replicate: Strategy = {
  name,
  propose(problem) {
    const refusal = refusalWithoutTiles(problem);
    if (refusal !== undefined) return refusal;
    const whole = (nodes: readonly string[] | '*') =>
      composePlan(problem, name, 'each frame whole on one node', [wholeStage(problem, { mode: 'replicate', nodes })]);
    const nodes = usableNodes(problem);
    if (nodes.every(({ times }) => times === undefined)) return [whole(problem.constraints.nodes)];
    const placement = placementOf(problem, 'chain');
    if (isNoPlan(placement)) return placement;
    const { machines, vertices } = placement;
    const able = machines.flatMap(({ id }, m) =>
      costOf(
        placement,
        vertices.map(() => m),
      ) < Infinity
        ? [id]
        : [],
    );
    const pipelines = bestPipelines(placement).flatMap((stages) => {
      const plan = planOfStages(problem, name, 'the slow stage on one of several nodes', placement, stages);
      return isNoPlan(plan) ? [] : [plan];
    });
    const plans = [...(able.length === 0 ? [] : [whole(able)]), ...pipelines];
    return plans.length > 0 ? plans : UNREACHABLE;
  },
};

const UNREACHABLE: NoPlan = { kind: 'impossible', reason: 'frames can reach no node that may compute all of it' };
