import { MAX_STAGE_TENSORS, MAX_STAGES } from '../../../shared/plan/limits.ts';
import type { Plan } from '../../../shared/plan/plan.ts';
import { composePlan, type StageDraft } from '../compose.ts';
import type { NoPlan, Problem } from '../strategy.ts';
import type { Labels, PlacementProblem } from './placement.ts';

/** Vertices that run as one stage. */
export interface WholeStage {
  readonly vertices: readonly number[];
  /** The node that runs it; of several, each frame goes to one. */
  readonly nodes: readonly string[];
}

/**
 * The stages of a labelling, in an order in which they can run: again and again all vertices of a machine whose inputs
 * are made, the machine on the earliest tier first. In a monotone labelling with one machine per tier, each machine has
 * one stage.
 */
export function stagesOf({ machines, vertices, tensors }: PlacementProblem, labels: Labels): WholeStage[] {
  const left = new Set(vertices.keys());
  const order = machines.map((_, m) => m).sort((a, b) => machines[a]!.rank - machines[b]!.rank);
  const stages: WholeStage[] = [];
  while (left.size > 0)
    for (const m of order) {
      const ready: number[] = [];
      const isMade = (t: number): boolean => !left.has(tensors[t]!.maker);
      for (const v of [...left])
        if (labels[v] === m && vertices[v]!.inputs.every(isMade)) {
          ready.push(v);
          left.delete(v);
        }
      if (ready.length === 0) continue;
      stages.push({ vertices: ready, nodes: [machines[m]!.id] });
      break;
    }
  return stages;
}

/** Most machines that a plan's reason lists. */
const MOST_IN_WORDS = 8;

function inWords({ vertices }: PlacementProblem, stages: readonly WholeStage[]): string {
  const layers = new Map<string, number>();
  for (const stage of stages) {
    const where = stage.nodes.join(' or ');
    layers.set(
      where,
      stage.vertices.reduce((sum, v) => sum + vertices[v]!.layers.length, layers.get(where) ?? 0),
    );
  }
  if (layers.size === 1) return `the whole network on ${[...layers.keys()]}`;
  if (layers.size > MOST_IN_WORDS) return `in ${stages.length} stages on ${layers.size} machines`;
  return [...layers].map(([where, count]) => `${count} ${count === 1 ? 'layer' : 'layers'} on ${where}`).join(', ');
}

function draftOf({ vertices, tensors }: PlacementProblem, stage: WholeStage): StageDraft {
  const own = new Set(stage.vertices);
  const read = new Set(stage.vertices.flatMap((v) => vertices[v]!.inputs));
  const made = stage.vertices.flatMap((v) => vertices[v]!.outputs);
  const isNeeded = (t: number): boolean => tensors[t]!.isAnswer || tensors[t]!.readers.some((v) => !own.has(v));
  return {
    inputs: [...read].flatMap((t) => (own.has(tensors[t]!.maker) ? [] : [tensors[t]!.name])),
    outputs: made.filter(isNeeded).map((t) => tensors[t]!.name),
    split: { kind: 'whole' },
    on: { mode: stage.nodes.length > 1 ? 'replicate' : 'share', nodes: stage.nodes },
    fallback: 'central',
    codec: {},
  };
}

/** The plan of whole stages, or why there is none: it would be too large. */
export function planOfStages(
  problem: Problem,
  strategy: string,
  why: string,
  placement: PlacementProblem,
  stages: readonly WholeStage[],
): Plan | NoPlan {
  const { inputs: given, outputs: answers } = problem.graph;
  const made = stages.map((stage) => draftOf(placement, stage));
  // Outputs that no layer makes are weights: any stage can give them.
  const rest = answers.filter((name) => ![...given, ...made.flatMap(({ outputs }) => outputs)].includes(name));
  const drafts = made.map((draft, index) =>
    index === made.length - 1 ? { ...draft, outputs: [...draft.outputs, ...rest] } : draft,
  );
  const most = Math.max(...drafts.flatMap(({ inputs, outputs }) => [inputs.length, outputs.length]));
  if (drafts.length > MAX_STAGES || most > MAX_STAGE_TENSORS)
    return {
      kind: 'impossible',
      reason: `its best placement has ${drafts.length} stages, one with ${most} tensors; at most ${MAX_STAGES} stages and ${MAX_STAGE_TENSORS} tensors are allowed`,
    };
  return composePlan(problem, strategy, `${why}: ${inWords(placement, stages)}`, drafts);
}

/** The plan of a labelling, as `planOfStages`. */
export function planOf(
  problem: Problem,
  strategy: string,
  why: string,
  placement: PlacementProblem,
  labels: Labels,
): Plan | NoPlan {
  return planOfStages(problem, strategy, why, placement, stagesOf(placement, labels));
}
