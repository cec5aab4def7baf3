import type { CardOutput } from '../../shared/model/card.ts';
import { inPixels, readSplit, rowTable } from '../../shared/model/heads/box-readers.ts';
import { priorCount, priorsOf, withPriors } from '../../shared/model/heads/priors.ts';
import { labelsByClass } from '../../shared/model/labels.ts';
import { numbers } from '../../shared/tensor/numbers.ts';
import { elementCount, type Tensor } from '../../shared/tensor/tensor.ts';
import { answerWithBoxes } from './boxes.ts';
import { type DecodeRequest, type Decoder, inputSize, wrongOutputs } from './decoder.ts';

/**
 * Detectors of the SSD family: boxes [1, boxes, 4] (or [1, boxes, 1, 4]), and
 *
 *   either  scores [1, boxes, classes]
 *   or      scores [1, boxes] and classes [1, boxes], as after suppression inside the graph
 *
 * `output.boxes` names the four numbers of a box; without it they are x1, y1, x2, y2, and y1, x1, y2, x2 in an output
 * named `detection_boxes` (TensorFlow). Numbers up to 2 are shares of the input, larger ones pixels. `output.tensors`
 * names boxes, scores and classes in this order; without it shape and name decide. With `output.priors` the numbers of a
 * box are offsets from its prior.
 */
interface Head {
  readonly boxes: { readonly name: string; readonly tensor: Tensor };
  readonly scores: Tensor;
  readonly classes: Tensor | undefined;
}

function headOf(request: DecodeRequest): Head {
  const { outputs, card } = request;
  const rankless = ({ shape }: Tensor) =>
    shape.filter((size, axis) => size !== 1 || (axis > 0 && !(axis === 2 && shape.length === 4)));
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

/** The priors of the card's input; refuses a head with another number of boxes. */
function priorsFor(request: DecodeRequest, priors: NonNullable<CardOutput['priors']>, boxes: number): Float64Array {
  const input = inputSize(request.card);
  const count = priorCount(priors, input);
  if (count === boxes) return priorsOf(priors, input);
  throw wrongOutputs(request, `${count} boxes, as output.priors has for ${input.width}x${input.height}`);
}

/** Boxes of the SSD family. */
export const decodeSsd: Decoder = (request) => {
  const { boxes, scores, classes } = headOf(request);
  const { score_threshold, background, boxes: form, priors } = request.card.output;
  const count = elementCount(boxes.tensor.shape) / 4;
  const given = rowTable(numbers(boxes.tensor), count, 4);
  const described = priors === undefined ? given : withPriors(given, priorsFor(request, priors, count), form);
  const found = readSplit(
    {
      boxes: described,
      scores: rowTable(numbers(scores), count, classes === undefined ? scores.shape.at(-1)! : 1),
      classes: classes === undefined ? undefined : numbers(classes),
      form: priors !== undefined ? 'cxcywh' : (form ?? (/detection_boxes/.test(boxes.name) ? 'yxyx' : 'xyxy')),
      background,
    },
    score_threshold,
  );
  const classCount = classes === undefined ? scores.shape.at(-1)! : 0;
  const labels = labelsByClass(request.labels, classCount, background);
  return answerWithBoxes(
    found.length === 0 || priors !== undefined ? found : inPixels(found, inputSize(request.card)),
    { ...request, labels },
  );
};
