import {
  type BoxTable,
  boxesPerCell,
  columnTable,
  inPixels,
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
 *   yolo     yolov5, yolov8 or [1, boxes, 6] with x1, y1, x2, y2, score, class (v10), as shape and labels tell
 *
 * `output.classes` says how many classes there are where further fields follow: key points, mask weights.
 */

const WANTED = 'one output [1, boxes, 5 + classes], [1, 4 + classes, boxes] or [1, boxes, 6]';

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

/** How `yolo` reads a shape; undefined where neither labels nor the input's grids tell. */
function layoutOf(request: DecodeRequest, a: number, b: number): 'end2end' | ReadBy | undefined {
  const known = request.labels.length;
  const input = inputSize(request.card);
  const [asRows, asColumns] = [boxesPerCell(input, a), boxesPerCell(input, b)];
  if (b === 6 && asRows === undefined) return 'end2end';
  for (const [fields, rows] of [
    [b, true],
    [a, false],
  ] as const) {
    if (known > 0 && fields === known + 5) return { rows, object: true };
    if (known > 0 && fields === known + 4) return { rows, object: false };
  }
  if (asRows !== undefined && b > 5) return { rows: true, object: true };
  return asColumns === undefined ? undefined : { rows: false, object: false };
}

/** A table whose boxes are rows or columns, with or without an object score. */
interface ReadBy {
  readonly rows: boolean;
  readonly object: boolean;
}

/**
 * Boxes of the YOLO family whose variant follows from the shape: from the labels where they fit, else from the number of
 * boxes, which is that of the input's grids, or three times as many (v5, v7). Six columns and another number of boxes are
 * those that the graph has suppressed already.
 */
export const decodeYolo: Decoder = (request) => {
  const { values, a, b } = axesOf(request, WANTED);
  const layout = layoutOf(request, a, b);
  if (layout === undefined) {
    const { width, height } = inputSize(request.card);
    throw wrongOutputs(request, `${WANTED}, with as many boxes as the grids of ${width}x${height} have`);
  }
  const { score_threshold: least } = request.card.output;
  if (layout === 'end2end')
    return answerWithBoxes(
      inPixels(readEnd2End(rowTable(values, a, b), USUAL_FIELDS, least), inputSize(request.card)),
      request,
    );
  const table = layout.rows ? rowTable(values, a, b) : columnTable(values, b, a);
  const read = layout.object ? readObjectYolo : readPlainYolo;
  return answerWithBoxes(read(table, table.fields - (layout.object ? 5 : 4), least), request);
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
