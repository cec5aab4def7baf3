import type { ReadBox } from '../../shared/model/heads/box-readers.ts';
import { numbers } from '../../shared/tensor/numbers.ts';
import { answerWithBoxes } from './boxes.ts';
import { type Decoder, inputSize, sigmoid, wrongOutputs } from './decoder.ts';

/**
 * FastestDet's head [1, 5 + classes, h, w]: per cell the object score, four box numbers, class scores (both kinds of
 * scores are probabilities already). From its own evaluation (FastestDet, utils/tool.py, `handle_preds`):
 * score = object^0.6 x class^0.4; centre = (column + tanh(t1), row + tanh(t2)) / (w, h); size = sigmoid(t3), sigmoid(t4)
 * as shares of the input.
 */
export const decodeFastestdet: Decoder = (request) => {
  const shape = request.outputs[0]?.tensor.shape ?? [];
  const [batch, planes, rows, columns] = shape;
  if (shape.length !== 4 || batch !== 1 || planes! < 6)
    throw wrongOutputs(request, 'one output [1, 5 + classes, rows, columns]');
  const { width, height } = inputSize(request.card);
  const values = numbers(request.outputs[0]!.tensor);
  const cells = rows! * columns!;
  const { score_threshold } = request.card.output;
  const candidates: ReadBox[] = [];
  for (let cell = 0; cell < cells; cell++) {
    const object = values[cell]!;
    // The class score is at most 1, so the object score alone can rule out a cell.
    if (!(object ** 0.6 >= score_threshold)) continue;
    let index = 0;
    let best = Number.NEGATIVE_INFINITY;
    for (let plane = 5; plane < planes!; plane++) {
      const value = values[plane * cells + cell]!;
      if (value > best) {
        best = value;
        index = plane - 5;
      }
    }
    const score = object ** 0.6 * best ** 0.4;
    if (!(score >= score_threshold)) continue;
    const t = (plane: number) => values[plane * cells + cell]!;
    const centreX = (((cell % columns!) + Math.tanh(t(1))) / columns!) * width;
    const centreY = ((Math.floor(cell / columns!) + Math.tanh(t(2))) / rows!) * height;
    const halfWidth = (sigmoid(t(3)) * width) / 2;
    const halfHeight = (sigmoid(t(4)) * height) / 2;
    candidates.push({
      index,
      score,
      x1: centreX - halfWidth,
      y1: centreY - halfHeight,
      x2: centreX + halfWidth,
      y2: centreY + halfHeight,
    });
  }
  return answerWithBoxes(candidates, request);
};
