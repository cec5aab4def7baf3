import { type BoxForm, inPixels, readSplit, rowTable, type SplitHead } from './box-readers.ts';
import {
  type CandidateContext,
  type HeadCandidate,
  implausible,
  type TrialOutput,
  type TrialOutputs,
  type Verdict,
  withoutLeadingOnes,
} from './candidate.ts';
import { judgeBoxes, scoresReason, shortly } from './judge-boxes.ts';

/** Candidates with separate outputs for boxes and scores, priors applied in the graph. */

const MANY = 16;

/**
 * Whether a head has the boxes of Ultra-Light-Fast face detectors: 3, 2, 2 and 3 per cell of the strides 8, 16, 32 and
 * 64.
 */
function isUltraface(boxes: number, classes: number, { width, height }: CandidateContext): boolean {
  const cells = (stride: number) => Math.ceil(width / stride) * Math.ceil(height / stride);
  return classes === 2 && boxes === 3 * cells(8) + 2 * cells(16) + 2 * cells(32) + 3 * cells(64);
}

/** The number of score rows that sum to 1, and for each class the share of all rows in which it is above 0.5. */
function softmaxOf(scores: SplitHead['scores']): { rows: number; sums: number; above: (index: number) => number } {
  const high = new Map<number, number>();
  let rows = 0;
  let sums = 0;
  for (let box = 0; box < scores.boxes; box++) {
    let sum = 0;
    let isZero = true;
    for (let field = 0; field < scores.fields; field++) {
      const value = scores.at(box, field);
      sum += value;
      if (value !== 0) isZero = false;
      if (value > 0.5) high.set(field, (high.get(field) ?? 0) + 1);
    }
    if (isZero) continue;
    rows++;
    if (Math.abs(sum - 1) < 1e-2) sums++;
  }
  return { rows, sums, above: (index) => (high.get(index) ?? 0) / Math.max(1, scores.boxes) };
}

/** Whether boxes and scores apart are plausible detections. */
export function judgeSplit(head: SplitHead, context: CandidateContext): Verdict {
  const reason = scoresReason(head.scores, 0, head.scores.fields);
  if (reason !== undefined) return implausible(reason);
  const { background, scores } = head;
  if (head.classes === undefined && scores.fields > 1) {
    const { rows, sums, above } = softmaxOf(scores);
    if (background !== null && !(above(background) >= 0.5))
      return implausible(`class ${background} would mean "nothing", but is above 0.5 in few boxes`);
    if (background === null && rows >= MANY && sums === rows)
      return implausible('the scores of each box sum to 1, so one of the classes means "nothing"');
  }
  if (head.classes !== undefined)
    for (let box = 0; box < scores.boxes; box++) {
      const index = head.classes[box]!;
      if (scores.at(box, 0) > 1e-6 && (!Number.isInteger(index) || index < 0 || index > 65_535))
        return implausible(`${shortly(index)} would be a class`);
    }
  const found = readSplit(head, Number.NEGATIVE_INFINITY);
  return judgeBoxes(inPixels(found, context), { ...context, chosen: head.classes !== undefined });
}

/** Names of the three outputs; `classes` exists where there is one score per box. */
export interface Parts {
  readonly boxes: string;
  readonly scores: string;
  readonly classes: string | undefined;
}

/** The outputs whose names match, or all where none does. */
function named(list: readonly TrialOutput[], pattern: RegExp): readonly TrialOutput[] {
  const matching = list.filter(({ name }) => pattern.test(name));
  return matching.length > 0 ? matching : list;
}

const SCORES = /score|conf|prob/i;
const CLASSES = /class|label/i;

/** The outputs that may be boxes, scores and classes, by their shapes and names. */
export function partsOf(run: TrialOutputs): Parts[] {
  const fours = run.filter(({ shape }) => shape.at(-1) === 4 && withoutLeadingOnes(shape).length === 2);
  const unlike = fours.filter(({ name }) => !/score|conf|prob|cls|class|label/i.test(name));
  const boxes = named(unlike.length > 0 ? unlike : fours, /box|loc|reg/i);
  return boxes.flatMap((box) => {
    const count = box.shape.at(-2)!;
    const rest = run.filter((output) => output !== box);
    const full = rest.filter(({ shape }) => withoutLeadingOnes(shape).length === 2 && shape.at(-2) === count);
    const single = rest.filter(({ shape }) => shape.length >= 3 && shape.at(-1) === 1 && shape.at(-2) === count);
    const flat = rest.filter(({ shape }) => shape.at(-1) === count && withoutLeadingOnes(shape).length === 1);
    const scored = named([...full, ...single], /score|conf|prob|cls|class/i);
    return [
      ...scored.map((scores) => ({ boxes: box.name, scores: scores.name, classes: undefined })),
      ...named(flat, SCORES).flatMap((scores) => {
        const others = flat.filter((output) => output !== scores);
        return named(others, CLASSES).map(({ name }) => ({ boxes: box.name, scores: scores.name, classes: name }));
      }),
    ];
  });
}

/** Possible orders of a box's numbers: TensorFlow's begin with y. Other names than TensorFlow's tell nothing. */
function formsOf(name: string, { producer }: CandidateContext): readonly BoxForm[] {
  if (/detection_boxes/.test(name)) return ['yxyx'];
  return /tf2onnx|keras|tfl|tensorflow/i.test(producer) ? ['xyxy', 'yxyx', 'cxcywh'] : ['xyxy', 'cxcywh'];
}

/**
 * Interpretations of boxes [1, boxes, 4] beside scores [1, boxes, classes], or beside scores and class numbers [1,
 * boxes].
 */
export function splitCandidates(run: TrialOutputs, context: CandidateContext): HeadCandidate[] {
  return partsOf(run).flatMap(({ boxes, scores, classes }) => {
    const seen = (from: TrialOutputs, name: string) => from.find((output) => output.name === name)!;
    const count = seen(run, boxes).shape.at(-2)!;
    const perBox = classes === undefined ? seen(run, scores).shape.at(-1)! : 1;
    const backgrounds = perBox > 1 ? [null, 0, perBox - 1] : [null];
    return formsOf(boxes, context).flatMap((form) =>
      backgrounds.map((background): HeadCandidate => {
        const isFace = isUltraface(count, perBox, context) && background === 0 && form === 'xyxy';
        const numbersAre = form === 'xyxy' ? '' : ` (${form})`;
        const nothing = background === null ? '' : `, class ${background} is none`;
        const judge = (from: TrialOutputs): Verdict =>
          judgeSplit(
            {
              boxes: rowTable(seen(from, boxes).values, count, 4),
              scores: rowTable(seen(from, scores).values, count, perBox),
              classes: classes === undefined ? undefined : seen(from, classes).values,
              form,
              background,
            },
            context,
          );
        const base = { task: 'detect', certain: false } as const;
        if (isFace)
          return {
            name: 'ultraface',
            head: { ...base, decoder: 'ultraface', tensors: [scores, boxes], background: null, classCount: 1 },
            judge,
          };
        const tensors = [boxes, scores, ...(classes === undefined ? [] : [classes])];
        const isUsual = form === 'xyxy' || /detection_boxes/.test(boxes);
        return {
          name: `ssd${numbersAre}${nothing}`,
          head: {
            ...base,
            decoder: 'ssd',
            tensors,
            background,
            classCount: classes === undefined ? perBox : undefined,
            ...(isUsual ? {} : { boxes: form }),
          },
          judge,
        };
      }),
    );
  });
}
