import { numbers } from '../../shared/tensor/numbers.ts';
import { answerWithBoxes, type Candidate } from './boxes.ts';
import { type DecodeRequest, type Decoder, unfit } from './decoder.ts';

/**
 * YOLO heads whose boxes are already in pixels of the input:
 *
 *   v5, v7   [1, boxes, 5 + classes]   cx, cy, w, h, object, classes...; score = object x class
 *   v8, v11  [1, 4 + classes, boxes]   cx, cy, w, h, classes...;         score = class
 *   v10      [1, boxes, 6]             x1, y1, x2, y2, score, class;     already suppressed
 */
interface Head {
  readonly boxes: number;
  readonly classes: number;
  readonly kind: 'object' | 'plain' | 'final';
  /** Where number `field` of box `box` lies. */
  readonly at: (box: number, field: number) => number;
}

/** The labels decide between forms where their number fits; else the longer axis is taken for the boxes. */
function headOf(request: DecodeRequest): Head {
  const shape = request.outputs[0]?.tensor.shape ?? [];
  const [batch, a, b] = shape as [number, number, number];
  if (shape.length !== 3 || batch !== 1 || Math.min(a, b) < 5)
    throw unfit(request, 'one output [1, boxes, 5 + classes] or [1, 4 + classes, boxes]');
  const rows = { boxes: a, fields: b, at: (box: number, field: number) => box * b + field };
  const columns = { boxes: b, fields: a, at: (box: number, field: number) => field * b + box };
  const known = request.labels.length;
  if (b === 6 && a > 6 && known !== 1 && known !== 2) return { ...rows, kind: 'final', classes: 0 };
  for (const form of [rows, columns]) {
    if (known > 0 && form.fields === known + 5) return { ...form, kind: 'object', classes: known };
    if (known > 0 && form.fields === known + 4) return { ...form, kind: 'plain', classes: known };
  }
  if (a > b && b > 5) return { ...rows, kind: 'object', classes: b - 5 };
  return { ...(a > b ? rows : columns), kind: 'plain', classes: Math.min(a, b) - 4 };
}

/** Boxes of the YOLO family. */
export const decodeYolo: Decoder = (request) => {
  const { boxes, classes, kind, at } = headOf(request);
  const values = numbers(request.outputs[0]!.tensor);
  const { score_threshold } = request.card.output;
  const candidates: Candidate[] = [];
  const first = kind === 'object' ? 5 : 4;
  for (let box = 0; box < boxes; box++) {
    const [p, q, r, s] = [0, 1, 2, 3].map((field) => values[at(box, field)]!) as [number, number, number, number];
    if (kind === 'final') {
      const score = values[at(box, 4)]!;
      const index = values[at(box, 5)]!;
      if (score >= score_threshold && Number.isInteger(index) && index >= 0)
        candidates.push({ index, score, x1: p, y1: q, x2: r, y2: s });
      continue;
    }
    const object = kind === 'object' ? values[at(box, 4)]! : 1;
    if (!(object >= score_threshold)) continue;
    let index = 0;
    let best = Number.NEGATIVE_INFINITY;
    for (let other = 0; other < classes; other++) {
      const value = values[at(box, first + other)]!;
      if (value > best) {
        best = value;
        index = other;
      }
    }
    const score = object * best;
    if (score >= score_threshold)
      candidates.push({ index, score, x1: p - r / 2, y1: q - s / 2, x2: p + r / 2, y2: q + s / 2 });
  }
  return answerWithBoxes(candidates, request);
};
