import { type CodecSpec, parseCodec } from '../../shared/codec/spec.ts';
import { TesseraError } from '../../shared/errors.ts';
import type { ModelCard } from '../../shared/model/card.ts';
import { compilePlan } from '../../shared/plan/compile.ts';
import type { CompiledPlan } from '../../shared/plan/compiled-plan.ts';
import { CENTRAL } from '../../shared/plan/plan.ts';
import type { Grid } from '../../shared/tiling/grid.ts';
import type { ServedModel } from '../served-model.ts';
import { isAnnounced, withCodecs } from './codecs.ts';
import { withStages } from './compose.ts';
import { frameTime, partsAtOnce } from './cost.ts';
import { exitPlaces, withExits, withoutExits } from './exits.ts';
import { COMPARED, STRATEGIES } from './strategies.ts';
import {
  type Constraints,
  isNoPlan,
  type NoPlan,
  type PlanningNode,
  type Problem,
  type Strategy,
  type TrainedTiles,
} from './strategy.ts';
import { planningNetwork } from './tiler.ts';

/** The user's settings of a plan; absent ones are chosen automatically. */
export interface PlanRequest {
  /** How many node agents to plan for, if fewer are known. */
  readonly nodeCount: number;
  /** Node agents that are known. */
  readonly known?: readonly PlanningNode[];
  /** Processors that all nodes share, if they run on one machine. */
  readonly sharedCores?: number | undefined;
  /** The nodes that may get work; default all. */
  readonly nodes?: readonly string[] | '*';
  /** Name of a strategy; default: the first one that has a plan. */
  readonly strategy?: string | undefined;
  readonly grid?: Grid | undefined;
  readonly padding?: 'zero' | 'halo' | undefined;
  /**
   * Tensors by their names in the user's file at which tile stages end, in order (a list where several tensors are live
   * there).
   */
  readonly cuts?: readonly (string | readonly string[])[] | undefined;
  /** Codec of every float32 result of a tile; default: those in model.yaml, otherwise raw. */
  readonly codec?: CodecSpec | undefined;
  /**
   * Least agreement with the uncompressed network (0..1). Unless the network was retrained, its tiles then end where
   * model.yaml has the smallest calibrated setting that keeps it; tensors without a calibrated setting are sent
   * losslessly.
   */
  readonly agreement?: number | undefined;
  /** Whether frames may end at the exits of model.yaml; default true. */
  readonly exits?: boolean;
}

/**
 * Makes the plan for the user's settings, compiled for its model: of a strategy's plans the one with the lowest estimated
 * latency. Throws TesseraError: TESSERA_USAGE for an unknown strategy, TESSERA_PLAN_INVALID with the reason where no
 * strategy has a plan.
 */
export function choosePlan(whole: ServedModel, request: PlanRequest): CompiledPlan {
  const model = withoutExits(whole);
  const problem = problemOf(model, whole, request);
  const refusals: NoPlan[] = [];
  for (const strategy of strategiesFor(request)) {
    const proposed = strategy.propose(problem);
    if (isNoPlan(proposed)) {
      refusals.push(proposed);
      continue;
    }
    const why = refusals.flatMap(({ kind, reason }) => (kind === 'slower' ? [reason] : []));
    const compiled = proposed.map((draft) => {
      const plan = withCodecs(withStages(draft, draft.stages, why), model, problem);
      return compilePlan(request.exits === false ? plan : withExits(plan, whole), whole.resolved);
    });
    return fastest(compiled, partsAtOnce(problem.constraints));
  }
  const { reason, hint } = refusals.find(({ kind }) => kind === 'impossible') ?? refusals[0]!;
  throw new TesseraError('TESSERA_PLAN_INVALID', `no plan for model "${whole.name}": ${reason}`, {
    hint: hint ?? '`tessera model inspect` shows where the network can be cut',
  });
}

/** The plan with the lowest estimated latency; the first of several. */
function fastest(plans: readonly CompiledPlan[], atOnce: number): CompiledPlan {
  const times = plans.map((plan) => frameTime(plan, atOnce));
  return plans[times.indexOf(Math.min(...times))]!;
}

/** The strategies to ask: the one that the user named, else all that make plans of their own. Throws TESSERA_USAGE. */
export function strategiesFor({ strategy: name }: Pick<PlanRequest, 'strategy'>): readonly Strategy[] {
  if (name === undefined) return COMPARED;
  const strategy = STRATEGIES.get(name);
  if (strategy !== undefined) return [strategy];
  throw new TesseraError('TESSERA_USAGE', `no strategy "${name}"`, {
    hint: `known: ${[...STRATEGIES.keys()].join(', ')}`,
  });
}

/** The tile stages for which the network of a card was retrained, in order. */
export function trainedTiles({ tiles }: ModelCard): readonly TrainedTiles[] {
  return tiles.map(({ after, grid: [rows, cols], padding }) => ({ after, grid: { rows, cols }, padding }));
}

/** The problem for the strategies; `whole` has the heads of exits, `model` has not. */
export function problemOf(model: ServedModel, whole: ServedModel, request: PlanRequest): Problem {
  const { card, resolved, manifest, names } = model;
  const { known = [], nodes = '*', strategy, cuts, nodeCount, sharedCores, grid, padding, codec, agreement } = request;
  const usable = known.filter(({ id }) => nodes === '*' || nodes.includes(id));
  const constraints: Constraints = {
    grid,
    padding,
    cuts: cuts?.map((place) => [place].flat().map((tensor) => names.inner(tensor))),
    codec,
    agreement,
    nodes,
    nodeCount: Math.max(nodeCount, usable.length),
    sharedCores,
  };
  return {
    model: manifest.skeleton.sha,
    ...planningNetwork(resolved),
    nodes: usable,
    links: [],
    broker: null,
    source: CENTRAL,
    sink: CENTRAL,
    trained: trainedTiles(card),
    calibrated: card.calibrated.filter(({ codecs }) =>
      Object.values(codecs).every((text) => isAnnounced(usable, parseCodec(text).name)),
    ),
    exits: request.exits === false || strategy !== undefined ? [] : exitPlaces(whole),
    constraints,
    isNamed: strategy !== undefined,
  };
}
