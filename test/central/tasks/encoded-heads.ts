import type { Tensor } from '../../../shared/tensor/tensor.ts';
import { floats } from './request.ts';

/**
 * Outputs of detection heads that stand for given objects: the inverse of each head, written from the head's training
 * code and not from our readers. Boxes that stand for nothing hold noise with the signs and sizes of a trained network.
 */

/** An object: its class, and its corners in pixels of the input. */
export interface Truth {
  readonly index: number;
  readonly box: readonly [number, number, number, number];
}

/** The score that every object gets. */
export const TRUE_SCORE = 0.9;

type Outputs = Record<string, Tensor>;

/** Numbers from -1 to 1 that are the same in every run. */
function noise(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 31 - 1;
  };
}

const low = (next: () => number) => 0.05 * Math.abs(next());
const scoresOf = (classes: number, index: number, score: number) =>
  Array.from({ length: classes }, (_, other) => (other === index ? score : 0));

const middleOf = ([x1, y1, x2, y2]: Truth['box']) =>
  [(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1] as [number, number, number, number];

/** Rows as a tensor [1, rows, fields]. */
const table = (rows: readonly (readonly number[])[]) => floats([1, rows.length, rows[0]!.length], rows.flat());

/** [1, boxes, fields] as [1, fields, boxes]. */
function turned(rows: readonly (readonly number[])[]): Tensor {
  const fields = rows[0]!.length;
  return floats(
    [1, fields, rows.length],
    Array.from({ length: fields }, (_, field) => rows.map((row) => row[field]!)).flat(),
  );
}

const cells = (side: number, strides: readonly number[]) =>
  strides.flatMap((stride) => {
    const columns = Math.ceil(side / stride);
    return Array.from({ length: columns * columns }, (_, cell) => ({
      stride,
      column: cell % columns,
      row: Math.floor(cell / columns),
    }));
  });

/** Rows of noise about their cells, into which the objects are written at rows far from one another. */
function noisyRows(side: number, perCell: number, truths: readonly Truth[], classes: number, object: boolean) {
  const next = noise(3);
  const rows = cells(side, [8, 16, 32]).flatMap(({ stride, column, row }) =>
    Array.from({ length: perCell }, () => [
      (column + Math.abs(next())) * stride,
      (row + Math.abs(next())) * stride,
      8 + 60 * Math.abs(next()),
      8 + 60 * Math.abs(next()),
      ...(object ? [low(next)] : []),
      ...Array.from({ length: classes }, () => low(next)),
    ]),
  );
  truths.forEach(({ index, box }, number) => {
    const scores = scoresOf(classes, index, object ? TRUE_SCORE / 0.95 : TRUE_SCORE);
    rows[100 + 37 * number] = [...middleOf(box), ...(object ? [0.95] : []), ...scores];
  });
  return rows;
}

/** YOLOv5 (models/yolo.py, `Detect`): [1, 3 boxes a cell, 5 + classes]. */
export const encodeYolov5 = (side: number, truths: readonly Truth[], classes: number): Outputs => ({
  output0: table(noisyRows(side, 3, truths, classes, true)),
});

/** YOLOv8 and v11 (ultralytics, nn/modules/head.py, `Detect`): [1, 4 + classes, cells]. */
export const encodeYolov8 = (side: number, truths: readonly Truth[], classes: number): Outputs => ({
  output0: turned(noisyRows(side, 1, truths, classes, false)),
});

/** YOLOv10 and YOLO26: [1, 300, 6], best first, in the same units as the input. */
export const encodeEnd2End = (_: number, truths: readonly Truth[]): Outputs => {
  const next = noise(4);
  const rows = Array.from({ length: 300 }, (_, row) => {
    const truth = truths[row];
    if (truth !== undefined) return [...truth.box, TRUE_SCORE, truth.index];
    const [x, y] = [100 + 50 * next(), 100 + 50 * next()];
    return [x, y, x + 20 + 10 * next(), y + 20 + 10 * next(), 0.04, Math.floor(20 + 10 * next())];
  });
  return { output0: table(rows) };
};

/** YOLOX (yolox/models/yolo_head.py, `get_l1_target`): x / stride - cell, log(w / stride). */
export function encodeYolox(side: number, truths: readonly Truth[], classes: number): Outputs {
  const next = noise(5);
  const grid = cells(side, [8, 16, 32]);
  const rows = grid.map(() => [
    Math.abs(next()),
    Math.abs(next()),
    0.5 * next(),
    0.5 * next(),
    low(next),
    ...Array.from({ length: classes }, () => low(next)),
  ]);
  truths.forEach(({ index, box }) => {
    const [x, y, width, height] = middleOf(box);
    const stride = Math.max(width, height) > 96 ? 32 : Math.max(width, height) > 48 ? 16 : 8;
    const at = grid.findIndex(
      (cell) => cell.stride === stride && cell.column === Math.floor(x / stride) && cell.row === Math.floor(y / stride),
    );
    const { column, row } = grid[at]!;
    rows[at] = [
      x / stride - column,
      y / stride - row,
      Math.log(width / stride),
      Math.log(height / stride),
      0.95,
      ...scoresOf(classes, index, TRUE_SCORE / 0.95),
    ];
  });
  return { output: table(rows) };
}

/**
 * NanoDet (nanodet/model/head/gfl_head.py, `distribution_focal_loss`): each side's distance in strides as two
 * neighbouring bins. `plus`: four strides, whose points are the corners of cells; otherwise three, with the middles.
 */
function nanodetRows(side: number, truths: readonly Truth[], classes: number, plus: boolean) {
  const next = noise(6);
  const grid = cells(side, plus ? [8, 16, 32, 64] : [8, 16, 32]);
  const scores = grid.map(() => Array.from({ length: classes }, () => low(next)));
  const sides = grid.map(() => Array.from({ length: 32 }, () => next()));
  const middle = plus ? 0 : 0.5;
  truths.forEach(({ index, box: [x1, y1, x2, y2] }) => {
    const distances = ({ stride, column, row }: (typeof grid)[number]) => {
      const [x, y] = [(column + middle) * stride, (row + middle) * stride];
      return [x - x1, y - y1, x2 - x, y2 - y].map((distance) => distance / stride);
    };
    const at = grid.findIndex((cell) => distances(cell).every((distance) => distance >= 0.05 && distance <= 6.95));
    scores[at] = scoresOf(classes, index, TRUE_SCORE);
    sides[at] = distances(grid[at]!).flatMap((distance) => {
      const below = Math.floor(distance);
      return Array.from({ length: 8 }, (_, bin) => {
        const share = bin === below ? below + 1 - distance : bin === below + 1 ? distance - below : 0;
        return Math.log(Math.max(share, 1e-12));
      });
    });
  });
  return { grid, scores, sides };
}

/** NanoDet-Plus: one output [1, cells, classes + 32]. */
export function encodeNanodetPlus(side: number, truths: readonly Truth[], classes: number): Outputs {
  const { scores, sides } = nanodetRows(side, truths, classes, true);
  return { output: table(scores.map((row, cell) => [...row, ...sides[cell]!])) };
}

/** NanoDet as its first versions export it: scores and distances of each stride apart. */
export function encodeNanodet(side: number, truths: readonly Truth[], classes: number): Outputs {
  const { grid, scores, sides } = nanodetRows(side, truths, classes, false);
  const of = (rows: readonly (readonly number[])[], stride: number) =>
    table(rows.filter((_, cell) => grid[cell]!.stride === stride));
  return Object.fromEntries([
    ...[8, 16, 32].map((stride) => [`cls_pred_stride_${stride}`, of(scores, stride)]),
    ...[8, 16, 32].map((stride) => [`dis_pred_stride_${stride}`, of(sides, stride)]),
  ]);
}

/** Offsets from priors cx, cy, w, h (shares of the input), the best prior of each object; class 0 is the background. */
function offsets(
  priors: readonly (readonly [number, number, number, number])[],
  side: number,
  truths: readonly Truth[],
  classes: number,
) {
  const next = noise(7);
  const boxes = priors.map(() => [next(), next(), next(), next()]);
  const scores = priors.map(() => {
    const row = Array.from({ length: classes }, () => low(next) / classes);
    row[0] = 1 - row.slice(1).reduce((sum, value) => sum + value, 0);
    return row;
  });
  truths.forEach(({ index, box }) => {
    const [x, y, width, height] = middleOf(box).map((value) => value / side) as [number, number, number, number];
    const cost = priors.map(
      ([cx, cy, w, h]) => Math.hypot(x - cx, y - cy) + Math.abs(Math.log((width * height) / (w * h))),
    );
    const at = cost.indexOf(Math.min(...cost));
    const [cx, cy, w, h] = priors[at]!;
    boxes[at] = [(x - cx) / w / 0.1, (y - cy) / h / 0.1, Math.log(width / w) / 0.2, Math.log(height / h) / 0.2];
    scores[at] = scoresOf(classes, index, TRUE_SCORE).map((score, other) => (other === 0 ? 1 - TRUE_SCORE : score));
  });
  return { boxes, scores };
}

/** TensorFlow's SSD with MobileNet at 300x300: anchors as ssd_anchor_generator.py makes them, y before x. */
export function encodeSsdMobilenet(side: number, truths: readonly Truth[], classes: number): Outputs {
  const scales = [0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 1];
  const specs = scales.slice(0, 6).map((scale, layer): [number, number][] =>
    layer === 0
      ? [
          [0.1, 1],
          [scale, 2],
          [scale, 0.5],
        ]
      : [
          [scale, 1],
          [scale, 2],
          [scale, 0.5],
          [scale, 3],
          [scale, 0.3333],
          [Math.sqrt(scale * scales[layer + 1]!), 1],
        ],
  );
  const priors = [19, 10, 5, 3, 2, 1].flatMap((count, layer) =>
    Array.from({ length: count * count }, (_, cell) => cell).flatMap((cell) =>
      specs[layer]!.map(([scale, ratio]): [number, number, number, number] => [
        ((cell % count) + 0.5) / count,
        (Math.floor(cell / count) + 0.5) / count,
        scale * Math.sqrt(ratio),
        scale / Math.sqrt(ratio),
      ]),
    ),
  );
  const { boxes, scores } = offsets(priors, side, truths, classes);
  const raw = boxes.map(([x, y, w, h]) => [y!, x!, h!, w!]);
  return { raw_boxes: table(raw), raw_scores: table(scores) };
}

/** SSD300 of VOC: `PriorBox.forward` of amdegroot/ssd.pytorch. */
export function encodeSsd300(side: number, truths: readonly Truth[], classes: number): Outputs {
  const sizes = [30, 60, 111, 162, 213, 264, 315];
  const steps = [8, 16, 32, 64, 100, 300];
  const ratios = [[2], [2, 3], [2, 3], [2, 3], [2], [2]];
  const priors: [number, number, number, number][] = [];
  [38, 19, 10, 5, 3, 1].forEach((count, k) => {
    for (let i = 0; i < count; i++)
      for (let j = 0; j < count; j++) {
        const [cx, cy] = [((j + 0.5) * steps[k]!) / 300, ((i + 0.5) * steps[k]!) / 300];
        const small = sizes[k]! / 300;
        const large = Math.sqrt(small * (sizes[k + 1]! / 300));
        priors.push([cx, cy, small, small], [cx, cy, large, large]);
        for (const ratio of ratios[k]!) {
          priors.push([cx, cy, small * Math.sqrt(ratio), small / Math.sqrt(ratio)]);
          priors.push([cx, cy, small / Math.sqrt(ratio), small * Math.sqrt(ratio)]);
        }
      }
  });
  const { boxes, scores } = offsets(priors, side, truths, classes);
  return { loc: table(boxes), conf: table(scores) };
}

/** RetinaFace: `PriorBox.forward` and `encode` of biubug6/Pytorch_Retinaface; landmarks are noise. */
export function encodeRetinaface(side: number, truths: readonly Truth[]): Outputs {
  const priors: [number, number, number, number][] = [];
  const minSizes = [
    [16, 32],
    [64, 128],
    [256, 512],
  ];
  [8, 16, 32].forEach((step, k) => {
    const count = Math.ceil(side / step);
    for (let i = 0; i < count; i++)
      for (let j = 0; j < count; j++)
        for (const size of minSizes[k]!)
          priors.push([((j + 0.5) * step) / side, ((i + 0.5) * step) / side, size / side, size / side]);
  });
  const faces = truths.map(({ box }) => ({ index: 1, box }));
  const { boxes, scores } = offsets(priors, side, faces, 2);
  const next = noise(8);
  const landmarks = priors.map(() => Array.from({ length: 10 }, () => 3 * next()));
  return { loc: table(boxes), conf: table(scores), landms: table(landmarks) };
}
