import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { decodeTask } from '../../../central/tasks/task.ts';
import { parseCard } from '../../../shared/model/card.ts';
import type { Tensor } from '../../../shared/tensor/tensor.ts';
import * as encoded from './encoded-heads.ts';

/**
 * Every head gives back the objects that were encoded for it: some by hand, and those that people marked in real
 * pictures. The encoders are written from the training code of each network.
 */

const labels = Array.from({ length: 80 }, (_, index) => `thing ${index}`);
const withBackground = ['background', ...labels];

const heads: [
  string,
  (side: number, truths: readonly encoded.Truth[], classes: number) => Record<string, Tensor>,
  { side: number; output: object; background?: boolean },
][] = [
  ['yolov5', encoded.encodeYolov5, { side: 320, output: { decoder: 'yolov5' } }],
  ['yolov8', encoded.encodeYolov8, { side: 320, output: { decoder: 'yolov8' } }],
  ['yolov10', encoded.encodeEnd2End, { side: 320, output: { decoder: 'end2end' } }],
  ['yolo, as v5', encoded.encodeYolov5, { side: 320, output: { decoder: 'yolo' } }],
  ['yolo, as v8', encoded.encodeYolov8, { side: 320, output: { decoder: 'yolo' } }],
  ['yolo, as v10', encoded.encodeEnd2End, { side: 320, output: { decoder: 'yolo' } }],
  ['yolox', encoded.encodeYolox, { side: 320, output: { decoder: 'yolox' } }],
  ['nanodet', encoded.encodeNanodet, { side: 320, output: { decoder: 'nanodet' } }],
  ['nanodet-plus', encoded.encodeNanodetPlus, { side: 320, output: { decoder: 'nanodet' } }],
  [
    'ssd-mobilenet',
    encoded.encodeSsdMobilenet,
    { side: 300, background: true, output: { decoder: 'ssd', priors: 'ssd-mobilenet', boxes: 'yxyx', background: 0 } },
  ],
  [
    'ssd300',
    encoded.encodeSsd300,
    { side: 300, background: true, output: { decoder: 'ssd', priors: 'ssd300-voc', background: 0 } },
  ],
];

function decoded(
  [, encode, { side, output, background = false }]: (typeof heads)[number],
  truths: readonly encoded.Truth[],
) {
  const names = background ? withBackground : labels;
  const outputs = encode(
    side,
    background ? truths.map(({ index, box }) => ({ index: index + 1, box })) : truths,
    names.length,
  );
  const card = parseCard(
    { name: 'm', task: 'detect', input: { shape: [1, 3, side, side] }, output: { ...output, iou_threshold: 0.9 } },
    'card',
  );
  const frame = { sourceWidth: side, sourceHeight: side, mapping: null };
  return decodeTask(new Map(Object.entries(outputs)), card, names, frame).predictions;
}

/** Compared as sets: objects of equal scores have no order. */
function expectTruth(
  found: ReturnType<typeof decoded>,
  truths: readonly encoded.Truth[],
  nameOf = (i: number) => `thing ${i}`,
) {
  const key = ({ label, box }: { label: string; box: readonly number[] }) =>
    `${label} ${box.map((v) => Math.round(v / 2))}`;
  const sorted = <T extends { label: string; box: readonly number[] }>(all: readonly T[]) =>
    all.toSorted((a, b) => a.label.localeCompare(b.label) || a.box[0]! - b.box[0]! || a.box[1]! - b.box[1]!);
  const wanted = sorted(truths.map(({ index, box }) => ({ label: nameOf(index), box })));
  const given = sorted(found.map(({ label, box }) => ({ label, box: box! })));
  expect(given.length, given.map(key).join('; ')).toBe(wanted.length);
  wanted.forEach(({ label, box }, i) => {
    expect(given[i]!.label).toBe(label);
    box.forEach((value, side) => {
      expect(Math.abs(given[i]!.box[side]! - value)).toBeLessThan(0.15);
    });
  });
  for (const { score } of found) expect(score).toBeCloseTo(encoded.TRUE_SCORE, 2);
}

const BY_HAND: readonly encoded.Truth[] = [
  { index: 2, box: [40, 80, 200, 240] },
  { index: 0, box: [210.5, 30.25, 250, 130] },
  { index: 79, box: [11, 12, 41, 36] },
];

describe('objects that were encoded come back', () => {
  it.each(heads)('%s', (...head) => {
    expectTruth(decoded(head, BY_HAND), BY_HAND);
  });

  it('retinaface', () => {
    const faces = BY_HAND.map(({ box }) => ({ index: 0, box }));
    const outputs = encoded.encodeRetinaface(320, faces);
    const card = parseCard(
      { name: 'm', task: 'detect', input: { shape: [1, 3, 320, 320] }, output: { decoder: 'retinaface' } },
      'card',
    );
    const frame = { sourceWidth: 320, sourceHeight: 320, mapping: null };
    expectTruth(decodeTask(new Map(Object.entries(outputs)), card, ['face'], frame).predictions, faces, () => 'face');
  });
});

const marked = join(process.env.TESSERA_DATA ?? '../shared/data', 'images', 'coco', 'labels');
/** Pictures of each head; more take long and show nothing else. */
const PICTURES = 8;

describe('objects of real pictures come back', () => {
  /** The marked objects of a picture that every head can express: neither tiny nor larger than NanoDet's reach. */
  const truthsOf = (file: string, side: number): encoded.Truth[] => {
    const all = readFileSync(join(marked, file), 'utf8')
      .trim()
      .split('\n')
      .map((line) => line.split(' ').map(Number));
    const truths = all
      .filter(([, , , w, h]) => w! * side >= 12 && h! * side >= 12 && w! * side <= 200 && h! * side <= 200)
      .map(([index, x, y, w, h]): encoded.Truth => {
        const corner = [x! - w! / 2, y! - h! / 2, x! + w! / 2, y! + h! / 2].map((v) => v * side);
        return { index: index!, box: corner as [number, number, number, number] };
      });
    // Objects of one centre may need the same cell.
    const isApart = (a: encoded.Truth, b: encoded.Truth) =>
      Math.abs(a.box[0] + a.box[2] - b.box[0] - b.box[2]) > 128 ||
      Math.abs(a.box[1] + a.box[3] - b.box[1] - b.box[3]) > 128;
    return truths.filter((truth, at) => truths.slice(0, at).every((other) => isApart(truth, other)));
  };

  it.for(heads)('%s', (head, { skip }) => {
    skip(!existsSync(marked), `${marked} is missing; TESSERA_DATA names the folder that holds images/`);
    const { side } = head[2];
    let objects = 0;
    for (const file of readdirSync(marked).sort().slice(0, PICTURES)) {
      const truths = truthsOf(file, side);
      objects += truths.length;
      expectTruth(decoded(head, truths), truths);
    }
    expect(objects).toBeGreaterThan(PICTURES);
  });
});
