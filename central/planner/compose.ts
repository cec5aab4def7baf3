import { CENTRAL, type Placement, type Plan, type Split, type Stage, TOPIC } from '../../shared/plan/plan.ts';
import { planId } from '../../shared/plan/plan-id.ts';
import type { TileCut } from './cuts/wanted.ts';
import { isNoPlan, type NoPlan, type Problem } from './strategy.ts';

/** A stage without its number. */
export type StageDraft = Omit<Stage, 'id'>;

/** Central's own executor. */
export const onCentral: Placement = { mode: 'share', nodes: [CENTRAL] };

/** The stage between two cuts, in tiles that nodes share; without `from` it starts at the frame. */
function tileStage(
  { graph, constraints }: Problem,
  padding: 'zero' | 'halo',
  from: TileCut | undefined,
  to: TileCut,
): StageDraft {
  const before = new Set([...graph.inputs, ...(from?.tensors ?? []), ...(from?.outputs ?? [])]);
  const made = new Set([...to.tensors, ...to.outputs].filter((name) => !before.has(name)));
  const split: Split = { kind: 'tiles', padding, rows: to.rows, cols: to.cols };
  const on: Placement = { mode: 'share', nodes: constraints.nodes };
  return { inputs: from?.tensors ?? graph.inputs, outputs: [...made], split, on, fallback: 'central', codec: {} };
}

/** The whole graph as one stage. */
export function wholeStage({ graph }: Problem, on: Placement): StageDraft {
  return { inputs: graph.inputs, outputs: graph.outputs, split: { kind: 'whole' }, on, fallback: 'central', codec: {} };
}

function numbered(drafts: readonly StageDraft[]): Stage[] {
  return drafts.map((draft, id): Stage => ({ ...draft, id }));
}

/** Makes a plan of stages, with its id. */
export function composePlan(problem: Problem, strategy: string, reason: string, drafts: readonly StageDraft[]): Plan {
  const { model } = problem;
  // Frames that are born at a node are central's to place, whatever the plan.
  const source = problem.source === TOPIC ? TOPIC : CENTRAL;
  const stages = numbered(drafts);
  const id = planId({ model, source, stages });
  return { format: 'tessera-plan/1', id, model, source, strategy, reason, stages, predicted: null };
}

/** The plan with other stages, hence another id, and with notes added to its reason. */
export function withStages(plan: Plan, drafts: readonly StageDraft[], notes: readonly string[]): Plan {
  const { model, source, reason } = plan;
  const stages = numbered(drafts);
  return { ...plan, id: planId({ model, source, stages }), reason: [reason, ...notes].join('; '), stages };
}

/** A tile stage up to every cut, one after another, and then the rest of the network whole on central. */
export function tileStagesPlan(
  problem: Problem,
  strategy: string,
  padding: 'zero' | 'halo',
  cuts: readonly TileCut[],
): Plan {
  const stages = cuts.map((cut, index) => tileStage(problem, padding, cuts[index - 1], cut));
  const made = cuts.flatMap((cut) => cut.outputs);
  const outputs = problem.graph.outputs.filter((name) => !made.includes(name));
  const inputs = cuts.at(-1)?.tensors ?? problem.graph.inputs;
  const words = cuts.map(({ rows, cols, tensors }, index) => {
    const isEnd = tensors.length === 0 || (outputs.length === 0 && index === cuts.length - 1);
    return `${rows.length}x${cols.length} tiles up to ${isEnd ? 'the end' : tensors.join(', ')}`;
  });
  if (outputs.length > 0) {
    stages.push({ inputs, outputs, split: { kind: 'whole' }, on: onCentral, fallback: 'central', codec: {} });
    words.push(`${inputs.length === 0 ? 'constants' : 'the rest'} on central`);
  }
  return composePlan(problem, strategy, words.join(', '), stages);
}

/** Those plans that fit the network, or why none does: not all sizes of tiles without halo do. */
export function fitting(
  { tiler }: Problem,
  padding: 'zero' | 'halo',
  plans: readonly Plan[],
): readonly Plan[] | NoPlan {
  if (padding === 'halo') return plans;
  const outlines = plans.map((plan) => tiler.outline(plan));
  const refusal = outlines.find(isNoPlan);
  const fit = plans.filter((_, index) => !isNoPlan(outlines[index]!));
  return fit.length === 0 && refusal !== undefined ? refusal : fit;
}
