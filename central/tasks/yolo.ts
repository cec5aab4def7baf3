import {
  type BoxTable,
  columnTable,
  type ReadBox,
  readEnd2End,
  readObjectYolo,
  readPlainYolo,
  readYolox,
  rowTable,
  stridesOf,
  USUAL_FIELDS,
} from '../../shared/model/heads/box-readers.ts';
import { numbers } from '../../shared/tensor/numbers.ts';
import { answerWithBoxes, checkScores } from './boxes.ts';
import { type DecodeRequest, type Decoder, inputSize, wrongOutputs } from './decoder.ts';

/**
 * YOLO heads.
 *
 *   yolov5   [1, boxes, 5 + classes]   cx, cy, w, h, object, classes...; score = object x class (v5, v6, v7)
 *   yolov8   [1, 4 + classes, boxes]   cx, cy, w, h, classes...;         score = class (v8, v11)
 *   yolox    [1, boxes, 5 + classes]   the same as yolov5, but each box is told from its cell of the grid
 *   yolo     yolov5, yolov8 or [1, boxes, 6] with x1, y1, x2, y2, score, class (v10), whatever the shape looks like
 *
 * `output.classes` says how many classes there are where further fields follow: key points, mask weights.
 */

const WANTED = 'one output [1, boxes, 5 + classes] or [1, 4 + classes, boxes]';

/** The two axes of the only output, without its batch axis. */
function axesOf(request: DecodeRequest, wanted: string): { values: ArrayLike<number>; a: number; b: number } {
  const tensor = request.outputs[0]?.tensor;
  const [batch, a, b] = (tensor?.shape ?? []) as [number, number, number];
  if (tensor?.shape.length !== 3 || batch !== 1 || Math.min(a, b) < 5) throw wrongOutputs(request, wanted);
  return { values: numbers(tensor), a, b };
}

/** `output.classes`, else the number of remaining fields; more classes than fields are refused. */
function classesOf(request: DecodeRequest, { fields }: BoxTable, first: number, wanted: string): number {
  const classes = request.card.output.classes ?? fields - first;
  if (classes < 1 || first + classes > fields) throw wrongOutputs(request, wanted);
  return classes;
}

/**
 * Boxes of the YOLO family whose variant follows from the shape: from the labels where they fit, else the longer axis
 * is that of boxes.
 */
export const decodeYolo: Decoder = (request) => {
  const { values, a, b } = axesOf(request, WANTED);
  const rows = rowTable(values, a, b);
  const columns = columnTable(values, b, a);
  const known = request.labels.length;
  const { score_threshold: least } = request.card.output;
  const candidates = (): readonly ReadBox[] => {
    if (b === 6 && a > 6 && known !== 1 && known !== 2) return readEnd2End(rows, USUAL_FIELDS, least);
    for (const table of [rows, columns]) {
      if (known > 0 && table.fields === known + 5) return readObjectYolo(table, known, least);
      if (known > 0 && table.fields === known + 4) return readPlainYolo(table, known, least);
    }
    if (a > b && b > 5) return readObjectYolo(rows, b - 5, least);
    return readPlainYolo(a > b ? rows : columns, Math.min(a, b) - 4, least);
  };
  return answerWithBoxes(candidates(), request);
};

/** YOLOv5, v6 and v7: rows with an object score. */
export const decodeYolov5: Decoder = (request) => {
  const wanted = 'one output [1, boxes, 5 + classes]';
  const { values, a, b } = axesOf(request, wanted);
  const table = rowTable(values, a, b);
  const classes = classesOf(request, table, 5, wanted);
  const found = readObjectYolo(table, classes, request.card.output.score_threshold);
  return answerWithBoxes(checkScores(found, request), request);
};

/** YOLOv8 and v11, without an object score: boxes are columns, or rows where rows are the longer axis. */
export const decodeYolov8: Decoder = (request) => {
  const wanted = 'one output [1, 4 + classes, boxes]';
  const { values, a, b } = axesOf(request, wanted);
  const table = a > b ? rowTable(values, a, b) : columnTable(values, b, a);
  const classes = classesOf(request, table, 4, wanted);
  const found = readPlainYolo(table, classes, request.card.output.score_threshold);
  return answerWithBoxes(checkScores(found, request), request);
};

/** YOLOX without its decoding in the graph. */
export const decodeYolox: Decoder = (request) => {
  const wanted = 'one output [1, cells of the grids of stride 8, 16 and 32, 5 + classes]';
  const { values, a, b } = axesOf(request, wanted);
  const input = inputSize(request.card);
  const strides = stridesOf(input, a);
  if (strides === undefined || b < 6) throw wrongOutputs(request, wanted);
  const found = readYolox(rowTable(values, a, b), input, strides, request.card.output.score_threshold);
  return answerWithBoxes(checkScores(found, request), request);
};
