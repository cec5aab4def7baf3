/**
 * Reads boxes from the outputs of detection heads, in pixels of the network's input unless a reader says otherwise.
 * Central's decoders and the trial of a guessed card share these readers, so that the tested code is the code that
 * runs. Boxes with a score below `least` are left out; NaN is below every number.
 */

/**
 * A box as a head proposes it. Its corners may lie outside the input or be in the wrong order; the caller checks that.
 */
export interface ReadBox {
  readonly index: number;
  readonly score: number;
  readonly x1: number;
  readonly y1: number;
  readonly x2: number;
  readonly y2: number;
}

/** A list of boxes with the same fields each, whichever axis holds the boxes. */
export interface BoxTable {
  readonly boxes: number;
  readonly fields: number;
  readonly at: (box: number, field: number) => number;
}

/** Size of the network's input. */
interface Input {
  readonly width: number;
  readonly height: number;
}

/** Boxes are rows: [boxes, fields]. */
export function rowTable(values: ArrayLike<number>, boxes: number, fields: number): BoxTable {
  return { boxes, fields, at: (box, field) => values[box * fields + field]! };
}

/** Boxes are columns: [fields, boxes]. */
export function columnTable(values: ArrayLike<number>, boxes: number, fields: number): BoxTable {
  return { boxes, fields, at: (box, field) => values[field * boxes + box]! };
}

/** The class with the largest of `classes` scores, which begin at field `first`; class `none` is left out. */
function bestClass({ at }: BoxTable, box: number, first: number, classes: number, none: number | null = null) {
  let index = -1;
  let score = Number.NEGATIVE_INFINITY;
  for (let other = 0; other < classes; other++) {
    const value = at(box, first + other);
    if (other !== none && value > score) {
      score = value;
      index = other;
    }
  }
  return { index, score };
}

const centred = (x: number, y: number, width: number, height: number) => ({
  x1: x - width / 2,
  y1: y - height / 2,
  x2: x + width / 2,
  y2: y + height / 2,
});

/** YOLOv5, v6, v7: cx, cy, w, h, object, `classes` scores; score = object x class. Further fields are left out. */
export function readObjectYolo(table: BoxTable, classes: number, least: number): ReadBox[] {
  const found: ReadBox[] = [];
  for (let box = 0; box < table.boxes; box++) {
    const object = table.at(box, 4);
    if (!(object >= least)) continue;
    const best = bestClass(table, box, 5, classes);
    const score = object * best.score;
    if (!(score >= least)) continue;
    const [x, y, width, height] = fourOf(table, box);
    found.push({ index: best.index, score, ...centred(x, y, width, height) });
  }
  return found;
}

/** YOLOv8, v11 and their kin: cx, cy, w, h, `classes` scores. Further fields (key points, mask weights) are left out. */
export function readPlainYolo(table: BoxTable, classes: number, least: number): ReadBox[] {
  const found: ReadBox[] = [];
  for (let box = 0; box < table.boxes; box++) {
    const best = bestClass(table, box, 4, classes);
    if (!(best.score >= least)) continue;
    const [x, y, width, height] = fourOf(table, box);
    found.push({ ...best, ...centred(x, y, width, height) });
  }
  return found;
}

const fourOf = ({ at }: BoxTable, box: number) =>
  [at(box, 0), at(box, 1), at(box, 2), at(box, 3)] as [number, number, number, number];

/** Number of cells of grids with these strides over an input; a partial cell at the edge counts. */
export function cellsOf({ width, height }: Input, strides: readonly number[]): number {
  return strides.reduce((sum, stride) => sum + Math.ceil(width / stride) * Math.ceil(height / stride), 0);
}

/** Grids of heads with one box per cell, by their strides. */
const CELL_GRIDS = [
  [8, 16, 32],
  [8, 16, 32, 64],
] as const;
/** Further grids of YOLO networks: for small objects (P2), and of their tiny forms. */
const YOLO_GRIDS = [...CELL_GRIDS, [4, 8, 16, 32], [16, 32]] as const;

/**
 * The strides of a head with one box per cell: three grids or four. Undefined where the number of boxes fits neither.
 */
export function stridesOf(input: Input, boxes: number): readonly number[] | undefined {
  return CELL_GRIDS.find((strides) => cellsOf(input, strides) === boxes);
}

/** Boxes per cell of a YOLO head, 1 or 3 (with anchors); undefined where the number of boxes fits no grids of YOLO's. */
export function boxesPerCell(input: Input, boxes: number): 1 | 3 | undefined {
  return ([1, 3] as const).find((each) => YOLO_GRIDS.some((strides) => boxes === each * cellsOf(input, strides)));
}

/** Calls `use` for each box of grids with one box a cell, row by row, finest grid first. */
function eachCell(
  input: Input,
  strides: readonly number[],
  use: (box: number, column: number, row: number, stride: number) => void,
): void {
  let box = 0;
  for (const stride of strides) {
    const columns = Math.ceil(input.width / stride);
    const rows = Math.ceil(input.height / stride);
    for (let row = 0; row < rows; row++)
      for (let column = 0; column < columns; column++) use(box++, column, row, stride);
  }
}

/**
 * YOLOX as it is exported by default (yolox/utils/demo_utils.py, `demo_postprocess`): centre = (number + cell) x stride,
 * size = exp(number) x stride, then object and `fields - 5` class scores; score = object x class.
 */
export function readYolox(table: BoxTable, input: Input, strides: readonly number[], least: number): ReadBox[] {
  const found: ReadBox[] = [];
  eachCell(input, strides, (box, column, row, stride) => {
    const object = table.at(box, 4);
    if (!(object >= least)) return;
    const best = bestClass(table, box, 5, table.fields - 5);
    const score = object * best.score;
    if (!(score >= least)) return;
    const [x, y, width, height] = fourOf(table, box);
    const size = [Math.exp(width) * stride, Math.exp(height) * stride] as const;
    found.push({ index: best.index, score, ...centred((x + column) * stride, (y + row) * stride, ...size) });
  });
  return found;
}

/** Bins of a NanoDet side by default (`reg_max` 7). */
export const NANODET_BINS = 8;

/**
 * NanoDet (nanodet/model/head/nanodet_plus_head.py and gfl_head.py): class scores, then for each side (left, top, right,
 * bottom) `NANODET_BINS` numbers; a side lies sum(i x softmax(numbers)[i]) x stride from the cell's point. The point is
 * the cell's corner where there are four grids (NanoDet-Plus), its middle where there are three (NanoDet).
 */
export function readNanodet(table: BoxTable, input: Input, strides: readonly number[], least: number): ReadBox[] {
  const classes = table.fields - 4 * NANODET_BINS;
  const middle = strides.length === 4 ? 0 : 0.5;
  const found: ReadBox[] = [];
  eachCell(input, strides, (box, column, row, stride) => {
    const best = bestClass(table, box, 0, classes);
    if (!(best.score >= least)) return;
    const side = (number: number) => meanBin(table, box, classes + number * NANODET_BINS) * stride;
    const x = (column + middle) * stride;
    const y = (row + middle) * stride;
    found.push({ ...best, x1: x - side(0), y1: y - side(1), x2: x + side(2), y2: y + side(3) });
  });
  return found;
}

/** The mean of a distribution over bins, given as logits. */
function meanBin({ at }: BoxTable, box: number, first: number): number {
  let most = Number.NEGATIVE_INFINITY;
  for (let bin = 0; bin < NANODET_BINS; bin++) most = Math.max(most, at(box, first + bin));
  let sum = 0;
  let mean = 0;
  for (let bin = 0; bin < NANODET_BINS; bin++) {
    const power = Math.exp(at(box, first + bin) - most);
    sum += power;
    mean += bin * power;
  }
  return mean / sum;
}

/** The columns with the position of a box: its corners, or its centre and size. */
export const PLACE_FIELDS = [
  ['x1', 'y1', 'x2', 'y2'],
  ['cx', 'cy', 'w', 'h'],
] as const;
/** The meanings of a column of an end2end box list. `batch` is the picture's number, `-` is ignored. */
export const BOX_FIELDS = [...PLACE_FIELDS[0], ...PLACE_FIELDS[1], 'score', 'object', 'class', 'batch', '-'] as const;
export type BoxField = (typeof BOX_FIELDS)[number];
/** The default order of columns (YOLOv10, YOLO26, Ultralytics with `nms=True`). */
export const USUAL_FIELDS: readonly BoxField[] = ['x1', 'y1', 'x2', 'y2', 'score', 'class'];

/**
 * Boxes of a network with non-maximum suppression in its graph: one row per box, columns as `fields` names them,
 * corners as the network gives them (`inPixels` scales shares). The score is score x object where both exist.
 */
export function readEnd2End(table: BoxTable, fields: readonly BoxField[], least: number): ReadBox[] {
  const column = (name: BoxField) => fields.indexOf(name);
  const isCentred = fields.includes('cx');
  const [a, b, c, d] = PLACE_FIELDS[isCentred ? 1 : 0].map(column) as [number, number, number, number];
  const [scored, object, named] = [column('score'), column('object'), column('class')];
  const found: ReadBox[] = [];
  for (let box = 0; box < table.boxes; box++) {
    const score = table.at(box, scored) * (object === -1 ? 1 : table.at(box, object));
    const index = named === -1 ? 0 : table.at(box, named);
    if (!(score >= least) || !Number.isInteger(index) || index < 0) continue;
    const at = (field: number) => table.at(box, field);
    const place = isCentred ? centred(at(a), at(b), at(c), at(d)) : { x1: at(a), y1: at(b), x2: at(c), y2: at(d) };
    found.push({ index, score, ...place });
  }
  return found;
}

/** The meanings of the four numbers of a box, for heads with separate boxes and scores. */
export const BOX_FORMS = ['xyxy', 'yxyx', 'cxcywh'] as const;
export type BoxForm = (typeof BOX_FORMS)[number];

/** A head with separate boxes and scores: a score per class of a box, or one score and a class number. */
export interface SplitHead {
  readonly boxes: BoxTable;
  /** One field per class, or a single field beside `classes`. */
  readonly scores: BoxTable;
  readonly classes: ArrayLike<number> | undefined;
  readonly form: BoxForm;
  readonly background: number | null;
}

/** Boxes of the SSD family, priors applied. Corners as the network gives them (`inPixels` scales shares). */
export function readSplit({ boxes, scores, classes, form, background }: SplitHead, least: number): ReadBox[] {
  const found: ReadBox[] = [];
  for (let box = 0; box < boxes.boxes; box++) {
    const best =
      classes === undefined
        ? bestClass(scores, box, 0, scores.fields, background)
        : { index: Math.round(classes[box]!), score: scores.at(box, 0) };
    if (!(best.score >= least) || !(best.index >= 0)) continue;
    const [a, b, c, d] = fourOf(boxes, box);
    if (form === 'cxcywh') found.push({ ...best, ...centred(a, b, c, d) });
    else if (form === 'yxyx') found.push({ ...best, x1: b, y1: a, x2: d, y2: c });
    else found.push({ ...best, x1: a, y1: b, x2: c, y2: d });
  }
  return found;
}

/** Numbers up to this are shares of the input, larger ones its pixels. */
const LARGEST_SHARE = 2;

/**
 * Boxes in pixels, whether the network gives pixels or shares of its input; all boxes of a frame are in the same unit.
 */
export function inPixels(boxes: readonly ReadBox[], { width, height }: Input): readonly ReadBox[] {
  const sides = boxes.flatMap(({ x1, y1, x2, y2 }) => [x1, y1, x2, y2]).filter(Number.isFinite);
  if (sides.some((side) => Math.abs(side) > LARGEST_SHARE)) return boxes;
  return boxes.map((box) => ({
    ...box,
    x1: box.x1 * width,
    y1: box.y1 * height,
    x2: box.x2 * width,
    y2: box.y2 * height,
  }));
}
