import { inPixels, readSplit, rowTable } from '../../shared/model/heads/box-readers.ts';
import { labelsByClass } from '../../shared/model/labels.ts';
import { numbers } from '../../shared/tensor/numbers.ts';
import { elementCount, type Tensor } from '../../shared/tensor/tensor.ts';
import { answerWithBoxes } from './boxes.ts';
import { type DecodeRequest, type Decoder, inputSize, wrongOutputs } from './decoder.ts';

/**
 * Detectors of the SSD family with priors applied in the graph: boxes [1, boxes, 4], and
 *
 *   either  scores [1, boxes, classes]
 *   or      scores [1, boxes] and classes [1, boxes], as after suppression inside the graph
 *
 * `output.boxes` names the four numbers of a box; without it they are x1, y1, x2, y2, and y1, x1, y2, x2 in an output
 * named `detection_boxes` (TensorFlow). Numbers up to 2 are shares of the input, larger ones pixels. `output.tensors`
 * names boxes, scores and classes in this order; without it shape and name decide.
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
  if (boxes === undefined || scores === undefined || boxes.tensor.shape.at(-1) !== 4)
    throw wrongOutputs(request, wanted);
  const count = rankless(boxes.tensor)[0];
  const flat = rankless(scores).length === 1;
  if (rankless(boxes.tensor).length !== 2 || rankless(scores)[0] !== count) throw wrongOutputs(request, wanted);
  if (flat && (classes === undefined || rankless(classes)[0] !== count)) throw wrongOutputs(request, wanted);
  if (!flat && rankless(scores).length !== 2) throw wrongOutputs(request, wanted);
  return { boxes, scores, classes: flat ? classes : undefined };
}

/** Boxes of the SSD family. */
export const decodeSsd: Decoder = (request) => {
  const { boxes, scores, classes } = headOf(request);
  const { score_threshold, background, boxes: form } = request.card.output;
  const count = elementCount(boxes.tensor.shape) / 4;
  const found = readSplit(
    {
      boxes: rowTable(numbers(boxes.tensor), count, 4),
      scores: rowTable(numbers(scores), count, classes === undefined ? scores.shape.at(-1)! : 1),
      classes: classes === undefined ? undefined : numbers(classes),
      form: form ?? (/detection_boxes/.test(boxes.name) ? 'yxyx' : 'xyxy'),
      background,
    },
    score_threshold,
  );
  const classCount = classes === undefined ? scores.shape.at(-1)! : 0;
  const labels = labelsByClass(request.labels, classCount, background);
  return answerWithBoxes(found.length === 0 ? found : inPixels(found, inputSize(request.card)), { ...request, labels });
};
