import { TesseraError } from '../../shared/errors.ts';
import { compilePlan } from '../../shared/plan/compile.ts';
import type { CompiledPlan } from '../../shared/plan/compiled-plan.ts';
import { outlinePlan } from '../../shared/plan/outline.ts';
import { CENTRAL, type Plan } from '../../shared/plan/plan.ts';
import type { PlanRanking } from '../../shared/protocol/messages/central.ts';
import type { ServedModel } from '../served-model.ts';
import { withCodecs } from './codecs.ts';
import { predict } from './cost/predict.ts';
import type { Prediction } from './cost/prediction.ts';
import { type PlanRequest, problemOf, strategiesFor } from './default-plan.ts';
import { withExits, withoutExits } from './exits.ts';
import { planningGraph } from './graph.ts';
import { type Candidate, rankingOf } from './ranking.ts';
import { isNoPlan, type Problem, type Strategy } from './strategy.ts';

/** What is measured of a fleet while frames flow. */
export interface MeasuredFleet extends Pick<Problem, 'nodes' | 'links' | 'frame'> {
  /** Frames of the model per second. */
  readonly fps: number;
}

/** The plan in use, predicted with what was measured, and the best one. */
export interface Reconsidered {
  /** Null where it cannot run now. */
  readonly active_ms: number | null;
  /** The plans that were compared. */
  readonly ranking: PlanRanking['plans'];
  /** Null where no strategy has a plan that can run; the plan in use where none is better. */
  readonly best: {
    readonly compiled: CompiledPlan;
    /** The predicted latency, ms; where frames come faster than the plan takes them, longer in that proportion. */
    readonly ms: number;
    /** The most bytes of weights and tensors that it takes at a machine. */
    readonly memory_bytes: number;
  } | null;
}

/**
 * Whether a model may get a plan of another form: neither did the user set its tiles, nor was the network retrained for
 * them, as then they are part of what it computes. The scheduler shares such tiles out as it measures the nodes.
 */
export function isOpenToReplan({ card }: Pick<ServedModel, 'card'>, { grid, cuts, padding }: PlanRequest): boolean {
  return grid === undefined && cuts === undefined && padding !== 'zero' && card.tiles.length === 0;
}

/**
 * The best plan for a fleet that was measured, of the plan in use and those of some strategies: by default of all, or of
 * the one that the user named.
 */
export function reconsider(
  whole: ServedModel,
  request: PlanRequest,
  { nodes, links, frame, fps }: MeasuredFleet,
  active: Plan,
  strategies: readonly Strategy[] = strategiesFor(request),
): Reconsidered {
  const model = withoutExits(whole);
  const agents = nodes.filter(({ id }) => id !== CENTRAL).length;
  const asked = problemOf(model, whole, { ...request, known: nodes });
  const constraints = { ...asked.constraints, nodeCount: Math.max(1, agents) };
  const own = frame === undefined ? {} : { frame };
  const problem: Problem = { ...asked, ...own, links, broker: CENTRAL, constraints };
  const predicted: Problem = { ...problem, graph: planningGraph(whole.resolved) };
  const msOf = ({ latency_ms, period_ms }: Prediction): number => latency_ms * Math.max(1, (period_ms * fps) / 1000);
  const predictionOf = (plan: Plan): Prediction | undefined => {
    try {
      const found = predict(predicted, outlinePlan(plan, whole.resolved));
      return Number.isFinite(found.latency_ms) ? found : undefined;
    } catch (error) {
      // It names a machine that is not there, or does not fit the network.
      if (error instanceof TesseraError) return undefined;
      throw error;
    }
  };
  const now = predictionOf(active);
  const plans = new Map([[active.id, active]]);
  for (const strategy of strategies) {
    const proposed = strategy.propose(problem);
    for (const draft of isNoPlan(proposed) ? [] : proposed) {
      const plan = withCodecs(draft, model, problem);
      const full = request.exits === false ? plan : withExits(plan, whole);
      if (!plans.has(full.id)) plans.set(full.id, full);
    }
  }
  const candidates: Candidate[] = [];
  let best: Candidate | undefined;
  for (const plan of plans.values()) {
    const prediction = plan === active ? now : predictionOf(plan);
    if (prediction !== undefined) candidates.push({ plan, prediction });
    if (prediction === undefined || (best !== undefined && msOf(best.prediction) <= msOf(prediction))) continue;
    best = { plan, prediction };
  }
  const ranking = rankingOf(candidates, active.id, msOf);
  if (best === undefined) return { active_ms: now === undefined ? null : msOf(now), ranking, best: null };
  const { latency_ms, machines } = best.prediction;
  return {
    active_ms: now === undefined ? null : msOf(now),
    ranking,
    best: {
      compiled: compilePlan({ ...best.plan, predicted: { latency_ms } }, whole.resolved),
      ms: msOf(best.prediction),
      memory_bytes: Math.max(...machines.map(({ memory_bytes }) => memory_bytes)),
    },
  };
}
