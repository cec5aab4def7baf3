import { counted } from '../../counted.ts';
import { NANODET_BINS, readNanodet } from './box-readers.ts';
import {
  type CandidateContext,
  type HeadCandidate,
  implausible,
  type TrialOutputs,
  type Verdict,
} from './candidate.ts';
import { judgeBoxes, scoresReason } from './judge-boxes.ts';
import { nanodetTable } from './nanodet-outputs.ts';

/** NanoDet's interpretation of one output, or of scores and distances apart. */
export function nanodetCandidates(run: TrialOutputs, context: CandidateContext): HeadCandidate[] {
  const classes = (nanodetTable(run, context)?.table.fields ?? 0) - 4 * NANODET_BINS;
  if (classes < 1 || (context.labels > 0 && context.labels !== classes)) return [];
  const judge = (from: TrialOutputs): Verdict => {
    const { table, strides } = nanodetTable(from, context)!;
    const reason = scoresReason(table, 0, classes);
    if (reason !== undefined) return implausible(reason);
    return judgeBoxes(readNanodet(table, context, strides, Number.NEGATIVE_INFINITY), { ...context, chosen: false });
  };
  const base = { task: 'detect', certain: false, background: null, decoder: 'nanodet' } as const;
  const head = { ...base, tensors: run.map(({ name }) => name), classCount: classes };
  return [{ name: `nanodet of ${counted(classes, 'class', 'classes')}`, head, judge }];
}
