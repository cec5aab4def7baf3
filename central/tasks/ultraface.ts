import type { ReadBox } from '../../shared/model/heads/box-readers.ts';
import { numbers } from '../../shared/tensor/numbers.ts';
import { answerWithBoxes } from './boxes.ts';
import { type Decoder, inputSize, wrongOutputs } from './decoder.ts';

/**
 * Ultra-Light-Fast face detectors: scores [1, boxes, 2] (background, face) and boxes [1, boxes, 4] as x1, y1, x2, y2 in
 * shares of the input, priors applied in the graph. There is one class, so label 0 is the face.
 */
export const decodeUltraface: Decoder = (request) => {
  const find = (last: number) =>
    request.outputs.find(({ tensor: { shape } }) => shape.length === 3 && shape[0] === 1 && shape[2] === last)?.tensor;
  const scores = find(2);
  const boxes = find(4);
  if (scores === undefined || boxes === undefined || scores.shape[1] !== boxes.shape[1])
    throw wrongOutputs(request, 'scores [1, boxes, 2] and boxes [1, boxes, 4]');
  const { width, height } = inputSize(request.card);
  const score = numbers(scores);
  const corner = numbers(boxes);
  const candidates: ReadBox[] = [];
  for (let box = 0; box < scores.shape[1]!; box++) {
    const face = score[box * 2 + 1]!;
    if (!(face >= request.card.output.score_threshold)) continue;
    candidates.push({
      index: 0,
      score: face,
      x1: corner[box * 4]! * width,
      y1: corner[box * 4 + 1]! * height,
      x2: corner[box * 4 + 2]! * width,
      y2: corner[box * 4 + 3]! * height,
    });
  }
  return answerWithBoxes(candidates, request);
};
