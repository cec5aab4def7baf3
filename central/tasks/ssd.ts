import { numbers } from '../../shared/tensor/numbers.ts';
import type { Tensor } from '../../shared/tensor/tensor.ts';
import { answerWithBoxes, type Candidate } from './boxes.ts';
import { type DecodeRequest, type Decoder, inputSize, unfit } from './decoder.ts';

/**
 * Detectors of the SSD family, priors applied in the graph: boxes [1, boxes, 4], and
 *
 *   either  scores [1, boxes, classes]
 *   or      scores [1, boxes] and classes [1, boxes], as after suppression inside the graph
 *
 * Boxes are x1, y1, x2, y2; those of an output named `detection_boxes` (TensorFlow) are y1, x1, y2, x2. Numbers up to 2
 * are shares of the input, larger ones its pixels. `output.tensors` names boxes, scores and classes in this order;
 * without it they are told apart by shape and by name.
 */
interface Head {
  readonly boxes: { readonly name: string; readonly tensor: Tensor };
  readonly scores: Tensor;
  readonly classes: Tensor | undefined;
}

function headOf(request: DecodeRequest): Head {
  const { outputs, card } = request;
  const rankless = (tensor: Tensor) => tensor.shape.filter((size, axis) => axis > 0 || size !== 1);
  const boxes = card.output.tensors.length > 0 ? outputs[0] : outputs.find(({ tensor }) => tensor.shape.at(-1) === 4);
  const rest = outputs.filter((output) => output !== boxes);
  const named = (pattern: RegExp) => rest.find(({ name }) => pattern.test(name))?.tensor;
  const byOrder = card.output.tensors.length > 0;
  const whole = (tensor: Tensor) =>
    tensor.dtype !== 'float32' && tensor.dtype !== 'float16' && tensor.dtype !== 'float64';
  const classes = byOrder
    ? rest[1]?.tensor
    : (named(/class|label/i) ?? rest.find(({ tensor }) => whole(tensor) && rankless(tensor).length === 1)?.tensor);
  const scores = byOrder
    ? rest[0]?.tensor
    : (named(/score|conf|prob/i) ?? rest.find(({ tensor }) => tensor !== classes && !whole(tensor))?.tensor);
  const wanted = 'boxes [1, boxes, 4] and scores [1, boxes, classes], or scores and classes [1, boxes]';
  if (boxes === undefined || scores === undefined || boxes.tensor.shape.at(-1) !== 4) throw unfit(request, wanted);
  const count = rankless(boxes.tensor)[0];
  const flat = rankless(scores).length === 1;
  if (rankless(boxes.tensor).length !== 2 || rankless(scores)[0] !== count) throw unfit(request, wanted);
  if (flat && (classes === undefined || rankless(classes)[0] !== count)) throw unfit(request, wanted);
  if (!flat && rankless(scores).length !== 2) throw unfit(request, wanted);
  return { boxes, scores, classes: flat ? classes : undefined };
}

/** Best class of one box where there is a score per class. */
function bestClass(scores: ArrayLike<number>, box: number, count: number, background: number | null) {
  let index = -1;
  let score = Number.NEGATIVE_INFINITY;
  for (let other = 0; other < count; other++) {
    const value = scores[box * count + other]!;
    if (other !== background && value > score) {
      score = value;
      index = other;
    }
  }
  return { index, score };
}

/** Boxes of the SSD family. */
export const decodeSsd: Decoder = (request) => {
  const { boxes, scores, classes } = headOf(request);
  const { score_threshold, background } = request.card.output;
  const corner = numbers(boxes.tensor);
  const score = numbers(scores);
  const indices = classes === undefined ? undefined : numbers(classes);
  const perBox = indices === undefined ? scores.shape.at(-1)! : 1;
  const turned = /detection_boxes/.test(boxes.name);
  const found: Candidate[] = [];
  let largest = 0;
  for (let box = 0; box < corner.length / 4; box++) {
    const best =
      indices === undefined
        ? bestClass(score, box, perBox, background)
        : { index: Math.round(indices[box]!), score: score[box]! };
    if (!(best.score >= score_threshold) || !(best.index >= 0)) continue;
    const [a, b, c, d] = [0, 1, 2, 3].map((side) => corner[box * 4 + side]!) as [number, number, number, number];
    for (const side of [a, b, c, d]) if (Number.isFinite(side)) largest = Math.max(largest, Math.abs(side));
    found.push(turned ? { ...best, x1: b, y1: a, x2: d, y2: c } : { ...best, x1: a, y1: b, x2: c, y2: d });
  }
  if (largest > 2 || found.length === 0) return answerWithBoxes(found, request);
  const { width, height } = inputSize(request.card);
  const scaled = found.map((box) => ({
    ...box,
    x1: box.x1 * width,
    y1: box.y1 * height,
    x2: box.x2 * width,
    y2: box.y2 * height,
  }));
  return answerWithBoxes(scaled, request);
};
