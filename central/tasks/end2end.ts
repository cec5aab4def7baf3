import { inPixels, readEnd2End, rowTable, USUAL_FIELDS } from '../../shared/model/heads/box-readers.ts';
import { numbers } from '../../shared/tensor/numbers.ts';
import { answerWithBoxes, checkScores } from './boxes.ts';
import { type Decoder, inputSize, wrongOutputs } from './decoder.ts';

/**
 * Networks with post-processing inside the graph (YOLOv10, YOLO26, "end2end" exports, DetectionOutput): one output
 * [boxes, columns] with any axes of size 1 in front. `output.fields` names the columns, in pixels or shares of the
 * input; further columns are ignored.
 */
export const decodeEnd2End: Decoder = (request) => {
  const { fields = USUAL_FIELDS } = request.card.output;
  const tensor = request.outputs[0]?.tensor;
  const [columns = 0, boxes = 1, ...front] = (tensor?.shape ?? []).toReversed();
  if (tensor === undefined || columns < fields.length || front.some((size) => size !== 1))
    throw wrongOutputs(request, `one output [boxes, ${fields.length} or more: ${fields.join(', ')}]`);
  const table = rowTable(numbers(tensor), boxes, columns);
  const found = readEnd2End(table, fields, request.card.output.score_threshold);
  return answerWithBoxes(inPixels(checkScores(found, request), inputSize(request.card)), request);
};
