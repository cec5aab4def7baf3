import { type Head, RAW_HEAD } from '../guess-head.ts';
import type { CandidateContext, HeadCandidate, TrialOutputs, Verdict } from './candidate.ts';
import { classCandidates } from './class-candidates.ts';
import { mapCandidates } from './map-candidates.ts';
import { splitCandidates } from './split-candidates.ts';
import { tableCandidates } from './table-candidates.ts';

/** What a trial run left of a guess. */
export interface SelectedHead {
  readonly head: Head;
  /** What is known where the outputs stay raw, one sentence each; empty where a reading was taken. */
  readonly known: readonly string[];
}

/** Readings that are named where none fits. */
const NAMED = 6;
/** A reading beats another one that fits too when it has at most this share of its doubt, and that one has some. */
const CLEARLY = 0.25;
const SOME_DOUBT = 0.05;

function allFinite(values: ArrayLike<number>): boolean {
  for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i])) return false;
  return true;
}

function candidatesFor(look: TrialOutputs, context: CandidateContext): HeadCandidate[] {
  const [first] = look;
  if (first === undefined) return [];
  const rest = look.slice(1);
  if (rest.length === 0)
    return [
      ...classCandidates(first, context),
      ...tableCandidates(first, context, false),
      ...mapCandidates(first, context),
    ];
  // Maps of the grids, and prototypes of masks, stand beside a table that says everything.
  const hasMasks = rest.length === 1 && rest[0]!.shape.length === 4 && rest[0]!.shape[1] === 32;
  const onlyGrids = rest.every(({ shape }) => shape.length === 5);
  if (hasMasks || onlyGrids) return tableCandidates(first, context, hasMasks);
  return splitCandidates(look, context);
}

/** The verdict of all pictures together. One that showed nothing says nothing, unless none showed anything. */
function together(verdicts: readonly Verdict[]): Verdict {
  const refusal = verdicts.find(({ reason }) => reason !== undefined);
  if (refusal !== undefined) return refusal;
  if (verdicts.every(({ nothing }) => nothing)) return { reason: 'the trial pictures gave no box at all', doubt: 1 };
  return { doubt: Math.max(...verdicts.map(({ doubt }) => doubt)) };
}

/**
 * The one meaning of the outputs that the numbers of the trial pictures allow. Where none fits, or several do, the head is
 * raw, and `known` says what was seen.
 */
export function selectHead(looks: readonly TrialOutputs[], context: CandidateContext): SelectedHead {
  const look = looks[0] ?? [];
  const outputs = look.map(({ name, shape }) => `${name} [${shape.join(', ')}]`).join(', ');
  const said = `outputs: ${outputs}`;
  const odd = looks.flat().find(({ values }) => !allFinite(values));
  if (odd !== undefined) return { head: RAW_HEAD, known: [said, `${odd.name} holds values that are no numbers`] };
  const judged = candidatesFor(look, context).map(({ name, head, judge }) => ({
    name,
    head,
    verdict: together(looks.map((look, picture) => judge(look, picture))),
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
  if (isClear) return { head: best.head, known: [] };
  return { head: RAW_HEAD, known: [said, `it may be ${fitting.map(({ name }) => name).join(', or ')}`] };
}
