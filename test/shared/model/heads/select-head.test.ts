import { describe, expect, it } from 'vitest';
import { decodeTask } from '../../../../central/tasks/task.ts';
import { guessCard } from '../../../../shared/model/guess.ts';
import type { CandidateContext, TrialOutputs } from '../../../../shared/model/heads/candidate.ts';
import { selectHead } from '../../../../shared/model/heads/select-head.ts';
import type { Dtype, Tensor } from '../../../../shared/tensor/tensor.ts';
import {
  encodeNanodet,
  encodeRetinaface,
  encodeSsd300,
  encodeSsdMobilenet,
} from '../../../central/tasks/encoded-heads.ts';
import { floats, longs } from '../../../central/tasks/request.ts';
import { node, sketch } from '../../onnx/build.ts';

/**
 * Heads of common detector families, all with one object: class 2, box 40 80 200 240, score 0.9 in a picture of
 * 320x320. If a test fails, users get wrong boxes without an error.
 */

const SIDE = 320;
const GRID = [1600, 400, 100] as const;
const CELLS = 2100;
const BOX = [40, 80, 200, 240] as const;
const [CX, CY, W, H] = [120, 160, 160, 160] as const;

type Outputs = Record<string, Tensor>;

/** A tensor of zeros, except for the values that `put` writes at coordinates of its last two axes. */
function sparse(
  shape: readonly number[],
  put: (set: (row: number, column: number, value: number) => void) => void,
): Tensor {
  const columns = shape.at(-1)!;
  const values = new Float32Array(shape.reduce((product, size) => product * size, 1));
  put((row, column, value) => {
    values[row * columns + column] = value;
  });
  return floats(shape, values);
}

const row = (set: (row: number, column: number, value: number) => void, at: number, values: readonly number[]) =>
  values.forEach((value, column) => {
    set(at, column, value);
  });
const column = (set: (row: number, column: number, value: number) => void, at: number, values: readonly number[]) =>
  values.forEach((value, field) => {
    set(field, at, value);
  });
/** Scores of 80 classes, class 2 the one. */
const coco = (score: number) => Array.from({ length: 80 }, (_, index) => (index === 2 ? score : 0));

/** Numbers from 0 to 1 that are the same in every run. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** The cell of a grid of strides 8, 16, 32 and its position. */
function cellOf(box: number): { x: number; y: number; stride: number } {
  if (box < GRID[0]) return { x: box % 40, y: Math.floor(box / 40), stride: 8 };
  if (box < GRID[0] + GRID[1]) return { x: (box - GRID[0]) % 20, y: Math.floor((box - GRID[0]) / 20), stride: 16 };
  const rest = box - GRID[0] - GRID[1];
  return { x: rest % 10, y: Math.floor(rest / 10), stride: 32 };
}

const ONE = [{ index: 2, box: BOX }] as const;

/** Outputs as of a trained network: every box about its cell, its scores low, `fields` numbers; box 7 is the object. */
function lively(
  fields: (box: number, next: () => number) => readonly number[],
  object: readonly number[],
  width: number,
) {
  const next = random(5);
  const values: number[] = [];
  for (let box = 0; box < CELLS; box++) values.push(...(box === 7 ? object : fields(box, next)));
  return { rows: floats([1, CELLS, width], values), values };
}

/** Transposed: [1, fields, boxes]. */
function turned({ values }: { values: readonly number[] }, fields: number): Tensor {
  const out = new Float32Array(values.length);
  for (let box = 0; box < CELLS; box++)
    for (let field = 0; field < fields; field++) out[field * CELLS + box] = values[box * fields + field]!;
  return floats([1, fields, CELLS], out);
}

const centred = (box: number, next: () => number) => {
  const { x, y, stride } = cellOf(box);
  return [(x + next()) * stride, (y + next()) * stride, 8 + 60 * next(), 8 + 60 * next()];
};
const low = (count: number, next: () => number) => Array.from({ length: count }, () => 0.05 * next());

/** The predictions of the selected head, or the observations where none was selected. */
function made(outputs: Outputs, options: Partial<CandidateContext> & { labels?: number } = {}) {
  const context: CandidateContext = {
    width: SIDE,
    height: SIDE,
    channels: 3,
    channelsLast: false,
    fileName: 'net.onnx',
    labels: 0,
    producer: 'pytorch',
    metadata: new Map(),
    lastOperator: () => 'Concat',
    luma: [new Uint8Array(SIDE * SIDE)],
    ...options,
  };
  const look: TrialOutputs = Object.entries(outputs).map(([name, { dtype, shape, data }]) => {
    const values =
      dtype === 'int64'
        ? Array.from(new BigInt64Array(data.slice().buffer), Number)
        : new Float32Array(data.slice().buffer, 0, data.byteLength / 4);
    return { name, dtype: dtype as Dtype, shape, values };
  });
  const { head, known } = selectHead([look], context);
  const model = sketch({
    nodes: Object.keys(outputs).map((name) => node('Gemm', ['x'], [name])),
    inputs: { x: [1, 3, context.height, context.width] },
    outputs: Object.keys(outputs),
  });
  const { card } = guessCard(model, 'net.onnx', { shown: { head, known, firstLayer: undefined } });
  const frame = { sourceWidth: context.width, sourceHeight: context.height, mapping: null };
  const { predictions } = decodeTask(new Map(Object.entries(outputs)), card, [], frame);
  return { task: card.task, card, predictions, known };
}

const found = (label: string, score = 0.9) => [
  { label, score: expect.closeTo(score, 2), box: BOX.map((side) => expect.closeTo(side, 0)) },
];

const raw = [CX / 32 - 3, CY / 32 - 5, Math.log(5), Math.log(5)];
const nanodetSide = (distance: number, stride: number) => {
  // All of the distribution in two neighbouring bins.
  const mean = distance / stride;
  const bins = Array.from({ length: 8 }, () => -30);
  const share = mean - Math.floor(mean);
  bins[Math.floor(mean)] = Math.log(Math.max(1e-9, 1 - share));
  if (share > 0) bins[Math.floor(mean) + 1] = Math.log(share);
  return bins;
};

describe('one object is found where it is', () => {
  const cell = GRID[0] + GRID[1] + 5 * 10 + 3;
  const cases: [string, string, Outputs, (Partial<CandidateContext> & { labels?: number })?][] = [
    ['YOLOX', 'class 2', { y: sparse([1, CELLS, 85], (set) => row(set, cell, [...raw, 0.95, ...coco(0.9474)])) }],
    [
      'YOLOX of a trained network',
      'class 2',
      {
        y: (() => {
          const { values } = lively(
            (_, next) => [next(), next(), next() - 0.5, next() - 0.5, 0.02 * next(), ...low(80, next)],
            [0.5, 0.5, 0, 0, ...low(81, random(1))],
            85,
          );
          [...raw, 0.95, ...coco(0.9474)].forEach((value, field) => {
            values[cell * 85 + field] = value;
          });
          return floats([1, CELLS, 85], values);
        })(),
      },
    ],
    ['YOLOv5', 'class 2', { y: sparse([1, 6300, 85], (set) => row(set, 7, [CX, CY, W, H, 0.95, ...coco(0.9474)])) }],
    [
      'YOLOv5 with its grids beside it',
      'class 2',
      {
        y: sparse([1, 6300, 85], (set) => row(set, 7, [CX, CY, W, H, 0.95, ...coco(0.9474)])),
        p3: sparse([1, 3, 40, 40, 85], () => {}),
        p4: sparse([1, 3, 20, 20, 85], () => {}),
        p5: sparse([1, 3, 10, 10, 85], () => {}),
      },
    ],
    ['NanoDet with outputs of each stride', 'class 2', encodeNanodet(SIDE, ONE, 80)],
    [
      'SSD with MobileNet without its anchors',
      'class 2',
      encodeSsdMobilenet(300, [{ index: 2, box: BOX }], 91),
      { width: 300, height: 300 },
    ],
    [
      'SSD300 of VOC without its priors',
      'class 2',
      encodeSsd300(300, [{ index: 2, box: BOX }], 21),
      { width: 300, height: 300 },
    ],
    ['RetinaFace', 'class 0', encodeRetinaface(SIDE, ONE)],
    ['YOLOv5 of one class', 'class 0', { y: sparse([1, 6300, 6], (set) => row(set, 7, [CX, CY, W, H, 0.9, 1])) }],
    [
      'YOLOv6',
      'class 2',
      { y: lively((b, n) => [...centred(b, n), 1, ...low(80, n)], [CX, CY, W, H, 1, ...coco(0.9)], 85).rows },
    ],
    ['YOLOv8', 'class 2', { y: sparse([1, 84, CELLS], (set) => column(set, 7, [CX, CY, W, H, ...coco(0.9)])) }],
    [
      'YOLOv8 of a trained network',
      'class 2',
      {
        y: turned(
          lively((b, n) => [...centred(b, n), ...low(5, n)], [CX, CY, W, H, 0, 0, 0.9, 0, 0], 9),
          9,
        ),
      },
    ],
    [
      'YOLOv8 with masks',
      'class 2',
      {
        y: sparse([1, 116, CELLS], (set) =>
          column(set, 7, [CX, CY, W, H, ...coco(0.9), ...Array.from({ length: 32 }, (_, i) => i - 10)]),
        ),
        masks: sparse([1, 32, 80, 80], () => {}),
      },
    ],
    [
      'key points',
      'class 0',
      {
        y: sparse([1, 56, CELLS], (set) =>
          column(set, 7, [CX, CY, W, H, 0.9, ...Array.from({ length: 17 }, () => [100, 150, 0.99]).flat()]),
        ),
      },
    ],
    [
      'key points of a trained network',
      'class 0',
      {
        y: turned(
          lively(
            (b, n) => [
              ...centred(b, n),
              0.05 * n(),
              ...Array.from({ length: 17 }, () => [320 * n(), 320 * n(), n()]).flat(),
            ],
            [CX, CY, W, H, 0.9, ...Array.from({ length: 17 }, () => [100, 150, 0.99]).flat()],
            56,
          ),
          56,
        ),
      },
    ],
    ['YOLOv10', 'class 2', { y: sparse([1, 300, 6], (set) => row(set, 0, [...BOX, 0.9, 2])) }],
    [
      'end2end with key points',
      'class 0',
      { y: sparse([1, 300, 57], (set) => row(set, 0, [...BOX, 0.9, 0, ...Array(51).fill(99)])) },
    ],
    ['YOLOv7 end2end', 'class 2', { y: sparse([100, 7], (set) => row(set, 0, [0, ...BOX, 2, 0.9])) }],
    ['class first', 'class 2', { y: sparse([1, 100, 6], (set) => row(set, 0, [2, 0.9, ...BOX])) }],
    ['score last', 'class 2', { y: sparse([50, 6], (set) => row(set, 0, [...BOX, 2, 0.9])) }],
    ['centre and size', 'class 2', { y: sparse([1, 100, 6], (set) => row(set, 0, [CX, CY, W, H, 0.9, 2])) }],
    [
      'centre and size in shares',
      'class 2',
      { y: sparse([1, 100, 6], (set) => row(set, 0, [CX / SIDE, CY / SIDE, W / SIDE, H / SIDE, 0.9, 2])) },
    ],
    ['YOLOv8 of one class', 'class 0', { y: sparse([1, 5, CELLS], (set) => column(set, 7, [CX, CY, W, H, 0.9])) }],
    [
      'YOLOv8 of ten classes',
      'class 2',
      { y: sparse([1, 14, CELLS], (set) => column(set, 7, [CX, CY, W, H, 0, 0, 0.9])) },
    ],
    ['YOLOv8, turned', 'class 2', { y: sparse([1, CELLS, 84], (set) => row(set, 7, [CX, CY, W, H, ...coco(0.9)])) }],
    [
      'NanoDet-Plus of a trained network',
      'class 2',
      {
        y: (() => {
          const next = random(9);
          const values = Array.from({ length: (CELLS + 25) * 112 }, (_, i) =>
            i % 112 < 80 ? 0.05 * next() : 4 * next() - 2,
          );
          const object = [128 - 40, 160 - 80, 200 - 128, 240 - 160].flatMap((side) => nanodetSide(side, 32));
          values.splice((GRID[0] + GRID[1] + 5 * 10 + 4) * 112, 112, ...coco(0.9), ...object);
          return floats([1, CELLS + 25, 112], values);
        })(),
      },
    ],
    [
      'DetectionOutput in shares',
      'class 2',
      { y: sparse([1, 1, 100, 7], (set) => row(set, 0, [0, 2, 0.9, ...BOX.map((side) => side / SIDE)])) },
    ],
    [
      'NanoDet-Plus',
      'class 2',
      {
        // Cell (4, 5) of stride 32; sides 8, 80, 72, 80... in strides all below 7.
        y: sparse([1, CELLS + 25, 112], (set) =>
          row(set, GRID[0] + GRID[1] + 5 * 10 + 4, [
            ...coco(0.9),
            ...nanodetSide(128 - 40, 32),
            ...nanodetSide(160 - 80, 32),
            ...nanodetSide(200 - 128, 32),
            ...nanodetSide(240 - 160, 32),
          ]),
        ),
      },
    ],
    [
      'NanoDet of three grids',
      'class 2',
      {
        y: sparse([1, CELLS, 112], (set) =>
          row(set, GRID[0] + GRID[1] + 5 * 10 + 4, [
            ...coco(0.9),
            ...nanodetSide(144 - 40, 32),
            ...nanodetSide(176 - 80, 32),
            ...nanodetSide(200 - 144, 32),
            ...nanodetSide(240 - 176, 32),
          ]),
        ),
      },
    ],
    [
      'boxes in pixels beside scores',
      'class 2',
      {
        boxes: sparse([1, CELLS, 4], (set) => row(set, 7, BOX)),
        scores: sparse([1, CELLS, 80], (set) => row(set, 7, coco(0.9))),
      },
    ],
    [
      'a background in front, which most boxes are',
      'class 2',
      {
        loc: floats(
          [1, 40, 4],
          Array.from({ length: 40 }, (_, i) => (i === 3 ? BOX.map((s) => s / SIDE) : [0.1, 0.1, 0.3, 0.2])).flat(),
        ),
        conf: floats(
          [1, 40, 3],
          Array.from({ length: 40 }, (_, i) => (i === 3 ? [0.06, 0.04, 0.9] : [0.97, 0.02, 0.01])).flat(),
        ),
      },
    ],
    [
      'a background behind',
      'class 2',
      {
        loc: floats(
          [1, 40, 4],
          Array.from({ length: 40 }, (_, i) => (i === 3 ? BOX.map((s) => s / SIDE) : [0.1, 0.1, 0.3, 0.2])).flat(),
        ),
        conf: floats(
          [1, 40, 4],
          Array.from({ length: 40 }, (_, i) => (i === 3 ? [0, 0.04, 0.9, 0.06] : [0, 0.02, 0.01, 0.97])).flat(),
        ),
      },
    ],
    [
      'after suppression, with class numbers',
      'class 2',
      {
        boxes: sparse([1, 50, 4], (set) => row(set, 0, BOX)),
        labels: longs([1, 50], [2, ...Array(49).fill(0)]),
        scores: floats([1, 50], [0.9, ...Array(49).fill(0)]),
      },
    ],
    [
      "TensorFlow's own names, y first",
      'class 2',
      {
        detection_boxes: sparse([1, 50, 4], (set) => row(set, 0, [80 / SIDE, 40 / SIDE, 240 / SIDE, 200 / SIDE])),
        detection_classes: floats([1, 50], [2, ...Array(49).fill(1)]),
        detection_scores: floats([1, 50], [0.9, ...Array(49).fill(0)]),
        num_detections: floats([1], [50]),
      },
      { producer: 'tf2onnx' },
    ],
  ];
  it.each(cases)('%s', (_, label, outputs, options) => {
    const { task, predictions, known } = made(outputs, options);
    expect(known).toEqual([]);
    expect(task).toBe('detect');
    expect(predictions).toEqual(found(label));
  });
});

describe('ambiguous outputs stay raw, with observations', () => {
  const next = random(3);
  const noise = (shape: readonly number[], from: number, to: number) =>
    floats(
      shape,
      Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => from + (to - from) * next()),
    );
  const cases: [string, Outputs, (Partial<CandidateContext> & { labels?: number })?][] = [
    ['boxes before their priors', { loc: noise([1, 5972, 4], -2, 2), conf: noise([1, 5972, 2], 0, 0.4) }],
    [
      'RetinaFace',
      { loc: noise([1, 4200, 4], -1, 1), conf: noise([1, 4200, 2], 0, 0.4), landmarks: noise([1, 4200, 10], -1, 1) },
    ],
    ["DETR's queries", { logits: noise([1, 100, 92], -6, 6), boxes: noise([1, 100, 4], 0, 1) }],
    ['raw grids of YOLOv5', { a: noise([1, 3, 40, 40, 85], -6, 1), b: noise([1, 3, 20, 20, 85], -6, 1) }],
    ['a raw grid of YOLOv7 as one map', { y: noise([1, 255, 20, 20], -6, 1) }],
    ['features of a transformer', { y: noise([1, 197, 768], -1, 1) }],
    [
      'turned boxes',
      {
        y: turned(
          lively(
            (b, n) => [...centred(b, n), ...low(15, n), 1.5 * n()],
            [CX, CY, W, H, 0, 0, 0.9, ...Array(12).fill(0), 1.2],
            20,
          ),
          20,
        ),
      },
    ],
    [
      'turned boxes that say so',
      { y: sparse([1, 20, CELLS], (set) => column(set, 7, [CX, CY, W, H, 0, 0, 0.9])) },
      { metadata: new Map([['task', 'obb']]) },
    ],
    [
      'turned boxes with few numbers',
      { y: sparse([1, 20, CELLS], (set) => column(set, 7, [CX, CY, W, H, 0, 0, 0.9, ...Array(12).fill(0), 0.95])) },
    ],
    ['YOLOX whose object score has no sigmoid', { y: noise([1, CELLS, 85], -6, 2) }],
    [
      'boxes whose order TensorFlow does not say',
      {
        boxes: sparse([1, 50, 4], (set) => row(set, 0, [0.2, 0.3, 0.6, 0.8])),
        scores: floats([1, 50], [0.9, ...Array(49).fill(0)]),
        classes: floats([1, 50], [2, ...Array(49).fill(0)]),
      },
      { producer: 'tf2onnx' },
    ],
    ['numbers that are none', { y: floats([1, 10], [Number.NaN, ...Array(9).fill(0)]) }],
    [
      'finished boxes that may be corners or centres',
      { y: sparse([1, 100, 6], (set) => row(set, 0, [100, 100, 150, 160, 0.9, 2])) },
    ],
    ['nothing at all', { y: sparse([1, 84, CELLS], () => {}) }],
    [
      'classes that are more than the labels',
      { y: sparse([1, 84, CELLS], (set) => column(set, 7, [CX, CY, W, H, ...coco(0.9)])) },
      { labels: 91 },
    ],
    ['a depth', { y: noise([1, SIDE, SIDE], 0, 40) }],
    ['a depth from 0 to 1', { y: noise([1, 1, SIDE, SIDE], 0, 1) }],
    ['heat maps of key points', { y: noise([1, 17, SIDE, SIDE], 0, 0.3) }],
    ['normals of a surface', { y: noise([1, 3, SIDE, SIDE], -1, 1) }],
    ['a description of length 1', { y: floats([1, 128], Array(128).fill(1 / Math.sqrt(128))) }],
    ['an age', { y: floats([1, 1], [34]) }],
  ];
  it.each(cases)('%s', (_, outputs, options) => {
    const { task, known, predictions } = made(outputs, options);
    // Segments are no boxes either, so raw is expected.
    expect(task).toBe('raw');
    expect(predictions).toEqual([]);
    expect(known.length).toBeGreaterThan(0);
  });
});

describe('other tasks', () => {
  it('treats values that sum to 1 as probabilities, whatever operator made them, and others as logits', () => {
    expect(made({ y: floats([1, 4], [0.1, 0.2, 0.3, 0.4]) }).card.output.decoder).toBe('softmax');
    expect(made({ y: floats([1, 4], [-3, 0.2, 5, 0.4]) }).card.output.decoder).toBe('logits');
    expect(
      made({ y: floats([1, 4], [0.9, 0.8, 0.1, 0.4]) }, { lastOperator: () => 'Sigmoid' }).card.output.decoder,
    ).toBe('softmax');
  });

  it('recognises segments by their sums, their type or their clear edges', () => {
    const map = (shape: readonly number[], value: (i: number) => number) =>
      floats(
        shape,
        Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => value(i)),
      );
    const half = SIDE * SIDE;
    expect(made({ y: map([1, 2, SIDE, SIDE], (i) => (i < half ? 0.3 : 0.7)) }).task).toBe('segment');
    expect(made({ y: map([1, 21, SIDE, SIDE], (i) => (i % 7) - 3) }).task).toBe('segment');
    expect(made({ y: map([1, 1, SIDE, SIDE], (i) => (i % 5 === 0 ? 0.98 : 0.01)) }).task).toBe('segment');
    expect(made({ y: map([1, SIDE, SIDE], (i) => i % 3) }).task).toBe('segment');
  });

  it('recognises an output picture by its similarity to the input', () => {
    const luma = Uint8Array.from({ length: SIDE * SIDE }, (_, i) => (i % SIDE) * 0.7);
    const larger = 2 * SIDE;
    const picture = floats(
      [1, 3, larger, larger],
      Array.from({ length: 3 * larger * larger }, (_, i) => ((i % larger) * 0.35) / 255),
    );
    expect(made({ y: picture }, { luma: [luma] }).task).toBe('image');
    expect(made({ y: picture }, { luma: [luma.map((value) => 255 - value)] }).task).toBe('raw');
  });

  it('labels 80 classes with COCO, 1000 and 1001 with ImageNet', () => {
    const logits = (count: number) =>
      floats(
        [1, count],
        Array.from({ length: count }, (_, i) => Math.sin(i) * 9),
      );
    expect(made({ y: logits(1000) }).card.labels).toBe('imagenet-1k');
    expect(made({ y: logits(1001) }).card.labels).toBe('imagenet-1001');
    expect(made({ y: logits(81) }).card.labels).toBeUndefined();
    expect(made({ y: sparse([1, 84, CELLS], (set) => column(set, 7, [CX, CY, W, H, ...coco(0.9)])) }).card.labels).toBe(
      'coco',
    );
  });
});
