import { type BoxTable, rowTable } from './box-readers.ts';
import {
  type CandidateContext,
  type HeadCandidate,
  implausible,
  type TrialOutputs,
  type Verdict,
} from './candidate.ts';
import { PRIOR_SETS, type PriorSet, priorCount, priorsOf, withPriors } from './priors.ts';
import { judgeSplit, partsOf } from './split-candidates.ts';

/** Candidates whose boxes are offsets from priors that the graph does not apply: RetinaFace, SSD. */

/** Share of boxes that may look like boxes without their priors. Offsets of a trained network have both signs. */
const LOOK_LIKE_BOXES = 0.9;
const LARGEST_SHARE = 1.5;

/** Whether nearly all rows are boxes already: corners in order, or a centre and a size, as shares of the input. */
function isBoxes({ boxes, at }: BoxTable): boolean {
  let [corners, centres] = [0, 0];
  for (let box = 0; box < boxes; box++) {
    const four = [at(box, 0), at(box, 1), at(box, 2), at(box, 3)] as const;
    if (Math.max(...four.map(Math.abs)) > LARGEST_SHARE) continue;
    if (four[2] > four[0] && four[3] > four[1]) corners++;
    if (Math.min(...four) > 0) centres++;
  }
  return Math.max(corners, centres) > LOOK_LIKE_BOXES * boxes;
}

/** The set of priors with so many boxes and classes; the trained classes tell the two SSD300 apart. */
function setOf(boxes: number, classes: number, context: CandidateContext): PriorSet | undefined {
  return PRIOR_SETS.find((set) => {
    if (priorCount(set, context) !== boxes) return false;
    if (set.startsWith('ssd300') && (context.width !== 300 || context.height !== 300)) return false;
    return set === 'retinaface' ? classes === 2 : set !== 'ssd300-voc' || classes === 21;
  });
}

/** Interpretations of offsets [1, boxes, 4] beside scores [1, boxes, classes], where the number of boxes tells the priors. */
export function priorCandidates(run: TrialOutputs, context: CandidateContext): HeadCandidate[] {
  const seen = (from: TrialOutputs, name: string) => from.find((output) => output.name === name)!;
  return partsOf(run).flatMap(({ boxes, scores, classes }): HeadCandidate[] => {
    const count = seen(run, boxes).shape.at(-2)!;
    const perBox = seen(run, scores).shape.at(-1)!;
    const set = classes === undefined && perBox > 1 ? setOf(count, perBox, context) : undefined;
    if (set === undefined) return [];
    const isFace = set === 'retinaface';
    const form = set === 'ssd-mobilenet' ? 'yxyx' : undefined;
    const judge = (from: TrialOutputs): Verdict => {
      const offsets = rowTable(seen(from, boxes).values, count, 4);
      if (isBoxes(offsets)) return implausible('its numbers are boxes already, not offsets from priors');
      return judgeSplit(
        {
          boxes: withPriors(offsets, priorsOf(set, context), form),
          scores: rowTable(seen(from, scores).values, count, perBox),
          classes: undefined,
          form: 'cxcywh',
          background: 0,
        },
        context,
      );
    };
    const base = { task: 'detect', certain: false, tensors: [boxes, scores] } as const;
    if (isFace)
      return [{ name: 'retinaface', head: { ...base, decoder: 'retinaface', background: null, classCount: 1 }, judge }];
    const head = { ...base, decoder: 'ssd', background: 0, classCount: perBox, priors: set } as const;
    return [
      {
        name: `ssd with the priors of ${set}, class 0 is none`,
        head: { ...head, ...(form === undefined ? {} : { boxes: form }) },
        judge,
      },
    ];
  });
}
