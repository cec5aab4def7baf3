import { readSplit, rowTable } from '../../shared/model/heads/box-readers.ts';
import { priorCount, priorsOf, withPriors } from '../../shared/model/heads/priors.ts';
import { numbers } from '../../shared/tensor/numbers.ts';
import { answerWithBoxes, checkScores } from './boxes.ts';
import { type Decoder, inputSize, wrongOutputs } from './decoder.ts';

/**
 * RetinaFace (biubug6/Pytorch_Retinaface): offsets [1, boxes, 4] from two square priors per cell of the strides 8, 16 and
 * 32, and scores [1, boxes, 2] (background, face); landmarks [1, boxes, 10] are ignored. There is one class, so label 0 is
 * the face.
 */
export const decodeRetinaface: Decoder = (request) => {
  const find = (last: number) =>
    request.outputs.find(({ tensor: { shape } }) => shape.length === 3 && shape[0] === 1 && shape[2] === last)?.tensor;
  const [boxes, scores] = [find(4), find(2)];
  const input = inputSize(request.card);
  const count = priorCount('retinaface', input);
  if (boxes?.shape[1] !== count || scores?.shape[1] !== count)
    throw wrongOutputs(
      request,
      `boxes [1, ${count}, 4] and scores [1, ${count}, 2] for an input of ${input.width}x${input.height}`,
    );
  const found = readSplit(
    {
      boxes: withPriors(rowTable(numbers(boxes), count, 4), priorsOf('retinaface', input), undefined),
      scores: rowTable(numbers(scores), count, 2),
      classes: undefined,
      form: 'cxcywh',
      background: 0,
    },
    request.card.output.score_threshold,
  );
  const faces = found.map((box) => ({ ...box, index: 0 }));
  return answerWithBoxes(checkScores(faces, request), request);
};
