import { type Head, RAW_HEAD } from '../guess-head.ts';
import type { CandidateContext, HeadCandidate, TrialOutputs, Verdict } from './candidate.ts';
import { classCandidates } from './class-candidates.ts';
import { mapCandidates } from './map-candidates.ts';
import { nanodetCandidates } from './nanodet-candidates.ts';
import { priorCandidates } from './prior-candidates.ts';
import { splitCandidates } from './split-candidates.ts';
import { tableCandidates } from './table-candidates.ts';

/** The head that a trial run selected. */
export interface SelectedHead {
  readonly head: Head;
  /** How the outputs are read, in words; undefined where they stay raw. */
  readonly taken?: string;
  /** Observations where the outputs stay raw, one sentence each; empty where a candidate was selected. */
  readonly known: readonly string[];
}

/** Most candidates that are named where none fits. */
const NAMED = 6;
/**
 * A candidate beats another fitting one if it has at most this share of the other's doubt, and the other has some
 * doubt.
 */
const CLEARLY = 0.25;
const SOME_DOUBT = 0.05;

function allFinite(values: ArrayLike<number>): boolean {
  for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i])) return false;
  return true;
}

function candidatesFor(run: TrialOutputs, context: CandidateContext): HeadCandidate[] {
  const [first] = run;
  if (first === undefined) return [];
  const rest = run.slice(1);
  if (rest.length === 0)
    return [
      ...classCandidates(first, context),
      ...nanodetCandidates(run, context),
      ...tableCandidates(first, context, false),
      ...mapCandidates(first, context),
    ];
  // Maps of the grids, or prototypes of masks, may accompany a complete table.
  const hasMasks = rest.length === 1 && rest[0]!.shape.length === 4 && rest[0]!.shape[1] === 32;
  const onlyGrids = rest.every(({ shape }) => shape.length === 5);
  if (hasMasks || onlyGrids) return tableCandidates(first, context, hasMasks);
  return [...nanodetCandidates(run, context), ...splitCandidates(run, context), ...priorCandidates(run, context)];
}

/** The combined verdict of all pictures. A picture without evidence is ignored, unless no picture has any. */
function together(verdicts: readonly Verdict[]): Verdict {
  const refusal = verdicts.find(({ reason }) => reason !== undefined);
  if (refusal !== undefined) return refusal;
  if (verdicts.every(({ nothing }) => nothing)) return { reason: 'the trial pictures gave no box at all', doubt: 1 };
  return { doubt: Math.max(...verdicts.map(({ doubt }) => doubt)) };
}

const shapesOf = (outputs: TrialOutputs): string =>
  outputs.map(({ name, shape }) => `${name} [${shape.join(', ')}]`).join(', ');

/**
 * Selects the only head that the outputs for the trial pictures allow. Where none fits, or several do, the head is raw,
 * and `known` describes the outputs.
 */
export function selectHead(runs: readonly TrialOutputs[], context: CandidateContext): SelectedHead {
  const run = runs[0] ?? [];
  const said = `outputs: ${shapesOf(run)}`;
  const odd = runs.flat().find(({ values }) => !allFinite(values));
  if (odd !== undefined) return { head: RAW_HEAD, known: [said, `${odd.name} holds values that are no numbers`] };
  const judged = candidatesFor(run, context).map(({ name, head, judge }) => ({
    name,
    head,
    verdict: together(runs.map((run, picture) => judge(run, picture))),
  }));
  const fitting = judged
    .filter(({ verdict }) => verdict.reason === undefined)
    .sort((a, b) => a.verdict.doubt - b.verdict.doubt);
  const [best, next] = fitting;
  if (best === undefined) {
    const reasons = judged.slice(0, NAMED).map(({ name, verdict }) => `not ${name}: ${verdict.reason}`);
    return { head: RAW_HEAD, known: [said, ...reasons] };
  }
  const isClear =
    next === undefined || (next.verdict.doubt >= SOME_DOUBT && best.verdict.doubt <= CLEARLY * next.verdict.doubt);
  if (isClear) {
    const named = best.head.tensors.length === 0 ? run : run.filter(({ name }) => best.head.tensors.includes(name));
    return { head: best.head, taken: `${best.name}, from ${shapesOf(named)}`, known: [] };
  }
  return { head: RAW_HEAD, known: [said, `it may be ${fitting.map(({ name }) => name).join(', or ')}`] };
}
