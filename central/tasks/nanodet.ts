import { NANODET_BINS, readNanodet, rowTable, stridesOf } from '../../shared/model/heads/box-readers.ts';
import { numbers } from '../../shared/tensor/numbers.ts';
import { answerWithBoxes, checkScores } from './boxes.ts';
import { type Decoder, inputSize, wrongOutputs } from './decoder.ts';

/**
 * NanoDet and NanoDet-Plus: one output [1, cells, classes + 32] with scores after their sigmoid and the four sides as
 * distributions.
 */
export const decodeNanodet: Decoder = (request) => {
  const tensor = request.outputs[0]?.tensor;
  const [batch, cells = 0, fields = 0] = tensor?.shape ?? [];
  const input = inputSize(request.card);
  const strides = stridesOf(input, cells);
  if (tensor?.shape.length !== 3 || batch !== 1 || fields <= 4 * NANODET_BINS || strides === undefined)
    throw wrongOutputs(
      request,
      `one output [1, cells of the grids of stride 8, 16, 32 (and 64), classes + ${4 * NANODET_BINS}]`,
    );
  const found = readNanodet(
    rowTable(numbers(tensor), cells, fields),
    input,
    strides,
    request.card.output.score_threshold,
  );
  return answerWithBoxes(checkScores(found, request), request);
};
