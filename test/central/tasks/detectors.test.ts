import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Decoder } from '../../../central/tasks/decoder.ts';
import { decodeFastestdet } from '../../../central/tasks/fastestdet.ts';
import { decodeRetinaface } from '../../../central/tasks/retinaface.ts';
import { decodeSsd } from '../../../central/tasks/ssd.ts';
import { decodeTask } from '../../../central/tasks/task.ts';
import { decodeUltraface } from '../../../central/tasks/ultraface.ts';
import { decodeYolo } from '../../../central/tasks/yolo.ts';
import { parseCard } from '../../../shared/model/card.ts';
import type { Tensor } from '../../../shared/tensor/tensor.ts';
import { filled, floats, longs, request } from './request.ts';

const detect = (
  decoder: string,
  outputs: Record<string, Tensor>,
  labels: readonly string[] = [],
  output: object = {},
) => request({ task: 'detect', output: { decoder, ...output }, outputs, labels });

const cardOf = (decoder: string) =>
  parseCard({ name: 'm', task: 'detect', input: { shape: [1, 3, 100, 100] }, output: { decoder } }, 'card');
const frame = { sourceWidth: 100, sourceHeight: 100, mapping: null };

/** The x axis is doubled by the frame of `request`: a box of the input at 10..20 is published at 20..40. */
describe('decodeFastestdet', () => {
  /** One cell of a 10x10 map of two classes. */
  const map = (column: number, row: number, numbers: readonly number[]) =>
    filled([1, 7, 10, 10], (i) => (i % 100 === row * 10 + column ? numbers[Math.floor(i / 100)]! : 0));

  it('reads score, centre and size as FastestDet defines them', () => {
    // tanh(0.5493) = 0.5, sigmoid(-1.3863) = 0.2, sigmoid(0) = 0.5
    const outputs = { y: map(3, 6, [0.81, 0.549306, 0, -1.386294, 0, 0.3, 0.64]) };
    const { top, predictions } = decodeFastestdet(detect('fastestdet', outputs, ['cat', 'dog']));
    expect(predictions).toEqual([
      { label: 'dog', score: expect.closeTo(0.81 ** 0.6 * 0.64 ** 0.4, 3), box: [50, 35, 90, 85] },
    ]);
    expect(top?.label).toBe('dog');
  });

  it('refuses maps that cannot be its own', () => {
    for (const shape of [
      [1, 5, 10, 10],
      [1, 700],
      [2, 7, 10, 10],
    ])
      expect(() => decodeFastestdet(detect('fastestdet', { y: filled(shape, () => 0) }))).toThrow(/needs one output/);
  });
});

describe('decodeUltraface', () => {
  it('reads faces from scores and boxes, in whatever order they come', () => {
    const scores = floats([1, 3, 2], [0.1, 0.9, 0.8, 0.2, 0.05, 0.95]);
    const boxes = floats([1, 3, 4], [0.1, 0.1, 0.2, 0.3, 0, 0, 1, 1, 0.5, 0.5, 0.6, 0.7]);
    for (const outputs of [
      { scores, boxes },
      { boxes, scores },
    ])
      expect(decodeUltraface(detect('ultraface', outputs, ['face'])).predictions).toEqual([
        { label: 'face', score: 0.95, box: [100, 50, 120, 70] },
        { label: 'face', score: 0.9, box: [20, 10, 40, 30] },
      ]);
  });

  it('refuses outputs that do not belong together', () => {
    const outputs = { s: filled([1, 3, 2], () => 1), b: filled([1, 4, 4], () => 1) };
    expect(() => decodeUltraface(detect('ultraface', outputs))).toThrow(/needs scores/);
  });
});

describe('decodeRetinaface', () => {
  it('refuses heads whose boxes are not as many as the priors, with both numbers', () => {
    const outputs = { loc: filled([1, 400, 4], () => 0), conf: filled([1, 400, 2], () => 0) };
    expect(() => decodeRetinaface(detect('retinaface', outputs))).toThrow(
      'needs boxes [1, 468, 4] and scores [1, 468, 2] for an input of 100x100; the outputs are loc [1, 400, 4]',
    );
  });

  it('refuses scores without their softmax', () => {
    const outputs = { loc: filled([1, 468, 4], () => 0), conf: filled([1, 468, 2], () => 5) };
    expect(() => decodeRetinaface(detect('retinaface', outputs))).toThrow(/scores from 0 to 1, but 5 would be one/);
  });
});

describe('decodeYolo', () => {
  const labels = ['a', 'b', 'c'];
  const found = [{ label: 'b', score: 0.8, box: [20, 20, 60, 40] }];

  it('reads [1, boxes, 5 + classes] with an object score', () => {
    const tensor = filled([1, 702, 8], (i) => (i < 8 ? [20, 30, 20, 20, 0.8, 0.1, 1, 0.3][i]! : 0));
    expect(decodeYolo(detect('yolo', { y: tensor }, labels)).predictions).toEqual(found);
    expect(decodeYolo(detect('yolo', { y: tensor })).predictions[0]!.label).toBe('class 1');
  });

  it('reads [1, 4 + classes, boxes] without one', () => {
    const tensor = filled([1, 7, 234], (i) =>
      i % 234 === 5 ? [20, 30, 20, 20, 0.1, 0.8, 0.3][Math.floor(i / 234)]! : 0,
    );
    expect(decodeYolo(detect('yolo', { y: tensor }, labels)).predictions).toEqual(found);
    expect(decodeYolo(detect('yolo', { y: tensor })).predictions[0]!.label).toBe('class 1');
  });

  it('lets the labels decide where the shape is ambiguous', () => {
    // 8 boxes of 7 numbers, or 7 boxes of 8: with three labels only 7 = 4 + 3 and 8 = 5 + 3 fit.
    const rows = filled([1, 20, 7], (i) => (i < 7 ? [20, 30, 20, 20, 0.1, 0.8, 0.3][i]! : 0));
    expect(decodeYolo(detect('yolo', { y: rows }, labels)).predictions).toEqual(found);
  });

  it('reads boxes to which the graph has applied non-maximum suppression', () => {
    const tensor = filled([1, 300, 6], (i) => (i < 6 ? [10, 20, 30, 40, 0.8, 1][i]! : 0));
    expect(decodeYolo(detect('yolo', { y: tensor }, labels)).predictions).toEqual(found);
  });

  it('takes six columns for suppressed boxes also where one label would fit another layout', () => {
    const tensor = filled([1, 300, 6], (i) => (i < 6 ? [10, 20, 30, 40, 0.8, 0][i]! : 0));
    expect(decodeYolo(detect('yolo', { y: tensor }, ['b'])).predictions).toEqual(found);
  });

  it('refuses a list whose length is not that of the grids, with its shape', () => {
    for (const shape of [
      [1, 60, 8],
      [1, 8, 60],
      [1, 300, 7],
    ])
      expect(() => decodeYolo(detect('yolo', { y: filled(shape, () => 0) }))).toThrow(
        `grids of 100x100 have; the outputs are y [${shape.join(', ')}]`,
      );
  });

  it('refuses what is no list of boxes', () => {
    for (const shape of [[1, 3, 4], [85], [1, 3, 20, 20, 85]])
      expect(() => decodeYolo(detect('yolo', { y: filled(shape, () => 0) }))).toThrow(/needs one output/);
  });
});

describe('heads that a card names', () => {
  it('refuse numbers that are no scores, instead of calling them 1', () => {
    const table = filled([1, 56, 234], (i) => (i % 234 === 7 ? 100 : 0));
    expect(() => decodeTask(new Map([['y', table]]), cardOf('yolov8'), [], frame)).toThrow(
      /decoder yolov8 needs scores from 0 to 1, but 100 would be one/,
    );
    expect(decodeTask(new Map([['y', table]]), cardOf('yolo'), [], frame).predictions).toEqual([]);
  });
});

describe('decodeSsd', () => {
  const boxes = floats([1, 2, 4], [0.1, 0.2, 0.3, 0.4, 0, 0, 0.5, 0.5]);
  const found = [{ label: 'b', score: 0.8, box: [20, 20, 60, 40] }];

  it('reads boxes with a score per class and leaves the background out', () => {
    const scores = floats([1, 2, 3], [0.1, 0.8, 0.1, 0.9, 0.06, 0.04]);
    expect(decodeSsd(detect('ssd', { boxes, scores }, ['bg', 'b'], { background: 0 })).predictions).toEqual(found);
  });

  it('reads boxes with scores and classes apart, told by name, by type, or by order', () => {
    const scores = floats([1, 2], [0.8, 0.1]);
    const classes = longs([1, 2], [1, 0]);
    const floatClasses = floats([1, 2], [1, 0]);
    const labels = ['a', 'b'];
    expect(decodeSsd(detect('ssd', { bboxes: boxes, labels: classes, scores }, labels)).predictions).toEqual(found);
    expect(decodeSsd(detect('ssd', { x: scores, y: classes, z: boxes }, labels)).predictions).toEqual(found);
    const ordered = { a: boxes, b: scores, c: floatClasses };
    expect(decodeSsd(detect('ssd', ordered, labels, { tensors: ['a', 'b', 'c'] })).predictions).toEqual(found);
  });

  it("turns TensorFlow's boxes, which begin with y", () => {
    const outputs = {
      detection_boxes: boxes,
      detection_classes: floats([1, 2], [1, 0]),
      detection_scores: floats([1, 2], [0.8, 0]),
    };
    expect(decodeSsd(detect('ssd', outputs, ['a', 'b'])).predictions[0]!.box).toEqual([40, 10, 80, 30]);
  });

  it('takes numbers above 2 for pixels of the input', () => {
    const pixels = floats([2, 4], [10, 20, 30, 40, 0, 0, 50, 50]);
    const outputs = { boxes: pixels, labels: longs([2], [1, 0]), scores: floats([2], [0.8, 0.1]) };
    expect(decodeSsd(detect('ssd', outputs, ['a', 'b'])).predictions).toEqual(found);
  });

  it('refuses priors that are not as many as the boxes', () => {
    const outputs = { boxes, scores: filled([1, 2, 3], () => 1) };
    const grid = { rows: 1, columns: 3, sizes: [[8, 8]] };
    expect(() => decodeSsd(detect('ssd', outputs, [], { priors: [grid] }))).toThrow(
      /needs 3 boxes, as output\.priors has for 100x100/,
    );
  });

  it('refuses outputs that do not belong together', () => {
    const wrong: Record<string, Tensor>[] = [
      { boxes },
      { boxes, scores: filled([1, 3], () => 1) },
      { boxes, scores: filled([1, 2], () => 1) },
      { scores: filled([1, 2], () => 1), classes: filled([1, 2], () => 1) },
    ];
    for (const outputs of wrong) expect(() => decodeSsd(detect('ssd', outputs))).toThrow(/needs boxes/);
  });
});

describe('every detector', () => {
  const hostile = fc.constantFrom(
    Number.NaN,
    Number.POSITIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
    1e38,
    -1e38,
    0,
    0.5,
    0.99,
    1,
    40,
    -3,
  );
  const cases: [string, Decoder, Record<string, readonly number[]>][] = [
    ['fastestdet', decodeFastestdet, { y: [1, 7, 4, 4] }],
    ['ultraface', decodeUltraface, { scores: [1, 16, 2], boxes: [1, 16, 4] }],
    ['yolo', decodeYolo, { y: [1, 65, 8] }],
    ['yolo', decodeYolo, { y: [1, 300, 6] }],
    ['ssd', decodeSsd, { boxes: [1, 16, 4], scores: [1, 16, 3] }],
    ['ssd', decodeSsd, { boxes: [1, 16, 4], scores: [1, 16], classes: [1, 16] }],
  ];
  it.each(cases)('ends with finite boxes inside the frame, whatever the network gives: %s', (name, decode, shapes) => {
    const count = (shape: readonly number[]) => shape.reduce((product, size) => product * size, 1);
    const tensors = Object.fromEntries(
      Object.entries(shapes).map(([key, shape]) => [
        key,
        fc.array(hostile, { minLength: count(shape), maxLength: count(shape) }).map((values) => floats(shape, values)),
      ]),
    );
    fc.assert(
      fc.property(fc.record(tensors), (outputs) => {
        for (const { score, box } of decode(detect(name, outputs)).predictions) {
          expect(score >= 0.5 && score <= 1).toBe(true);
          const [x1, y1, x2, y2] = box!;
          expect(x1 >= 0 && y1 >= 0 && x2 <= 200 && y2 <= 100 && x1 < x2 && y1 < y2).toBe(true);
        }
      }),
      { numRuns: 60 },
    );
  });
});
