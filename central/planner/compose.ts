import { CENTRAL, type Placement, type Plan, type Split, type Stage } from '../../shared/plan/plan.ts';
import { planId } from '../../shared/plan/plan-id.ts';
import type { Cut, Problem } from './strategies.ts';

/** A stage's part of the graph and how it runs; `composePlan` numbers it. */
export type Piece = Omit<Stage, 'id'>;

/** Central's own executor. */
export const onCentral: Placement = { mode: 'share', nodes: [CENTRAL] };

/** The piece of the graph between two cuts, tiled and shared; `from` is undefined where it begins at the frame. */
export function tiledPiece(problem: Problem, from: Cut | undefined, to: Cut): Piece {
  const inputs = from?.tensors ?? problem.inputs;
  const before = new Set([...problem.inputs, ...(from?.tensors ?? []), ...(from?.outputs ?? [])]);
  const made = new Set([...to.tensors, ...to.outputs].filter((name) => !before.has(name)));
  const split: Split = { kind: 'tiles', padding: problem.padding, rows: to.rows, cols: to.cols };
  const codec = Object.fromEntries(Object.entries(problem.codecs ?? {}).filter(([tensor]) => made.has(tensor)));
  return { inputs, outputs: [...made], split, on: { mode: 'share', nodes: problem.nodes }, fallback: 'central', codec };
}

/** What is left after the last of the cuts, whole; none where all outputs are made before it. */
export function restPiece(problem: Problem, cuts: readonly Cut[], on: Placement): Piece[] {
  const made = cuts.flatMap((cut) => cut.outputs);
  const outputs = problem.outputs.filter((name) => !made.includes(name));
  const inputs = cuts.at(-1)?.tensors ?? problem.inputs;
  return outputs.length === 0
    ? []
    : [{ inputs, outputs, split: { kind: 'whole' }, on, fallback: 'central', codec: {} }];
}

/** The whole graph as one piece. */
export function wholePiece(problem: Problem, on: Placement): Piece {
  return {
    inputs: problem.inputs,
    outputs: problem.outputs,
    split: { kind: 'whole' },
    on,
    fallback: 'central',
    codec: {},
  };
}

/** Puts pieces together to a plan with its id. */
export function composePlan(problem: Problem, strategy: string, reason: string, pieces: readonly Piece[]): Plan {
  const { model, source } = problem;
  const stages = pieces.map((piece, id): Stage => ({ id, ...piece }));
  const id = planId({ model, source, stages });
  return { format: 'tessera-plan/1', id, model, source, strategy, reason, stages, predicted: null };
}

/** A grid in words: `2x3`. */
export function gridName(cut: Cut): string {
  return `${cut.rows.length}x${cut.cols.length}`;
}
