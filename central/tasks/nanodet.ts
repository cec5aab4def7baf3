import { NANODET_BINS, readNanodet } from '../../shared/model/heads/box-readers.ts';
import { nanodetTable } from '../../shared/model/heads/nanodet-outputs.ts';
import { numbers } from '../../shared/tensor/numbers.ts';
import { answerWithBoxes, checkScores } from './boxes.ts';
import { type Decoder, inputSize, wrongOutputs } from './decoder.ts';

/**
 * NanoDet and NanoDet-Plus: one output [1, cells, classes + 32] with scores after their sigmoid and the four sides as
 * distributions, or both apart for each stride.
 */
export const decodeNanodet: Decoder = (request) => {
  const input = inputSize(request.card);
  const outputs = request.outputs.map(({ name, tensor }) => ({ name, shape: tensor.shape, values: numbers(tensor) }));
  const head = nanodetTable(outputs, input);
  if (head === undefined) {
    const sides = 4 * NANODET_BINS;
    const grids = `the grids of stride 8, 16, 32 (and 64) of ${input.width}x${input.height}`;
    throw wrongOutputs(
      request,
      `one output [1, cells of ${grids}, classes + ${sides}], or [1, cells, classes] and [1, cells, ${sides}] for each`,
    );
  }
  const found = readNanodet(head.table, input, head.strides, request.card.output.score_threshold);
  return answerWithBoxes(checkScores(found, request), request);
};
