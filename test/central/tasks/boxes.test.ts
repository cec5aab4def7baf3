import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { answerWithBoxes, MAX_BOXES, nonMaximumSuppression, overlap } from '../../../central/tasks/boxes.ts';
import type { ReadBox } from '../../../shared/model/heads/box-readers.ts';
import { request } from './request.ts';

const box = (x1: number, y1: number, x2: number, y2: number, score = 0.9, index = 0): ReadBox => ({
  x1,
  y1,
  x2,
  y2,
  score,
  index,
});
const detect = (output: object = {}, frame?: Parameters<typeof request>[0]['frame']) =>
  request({
    task: 'detect',
    output: { decoder: 'yolo', ...output },
    outputs: {},
    labels: ['cat', 'dog'],
    ...(frame ? { frame } : {}),
  });

describe('overlap', () => {
  it('is the area shared over the area covered', () => {
    expect(overlap(box(0, 0, 2, 2), box(1, 0, 3, 2))).toBeCloseTo(1 / 3);
    expect(overlap(box(0, 0, 2, 2), box(0, 0, 2, 2))).toBe(1);
    expect(overlap(box(0, 0, 2, 2), box(2, 0, 4, 2))).toBe(0);
  });
});

describe('nonMaximumSuppression', () => {
  it('keeps the best of boxes that overlap, per class', () => {
    const kept = nonMaximumSuppression(
      [box(0, 0, 10, 10, 0.6), box(1, 0, 11, 10, 0.8), box(1, 0, 11, 10, 0.7, 1), box(50, 50, 60, 60, 0.5)],
      0.45,
    );
    expect(kept.map(({ score }) => score)).toEqual([0.8, 0.7, 0.5]);
  });

  it('keeps boxes that overlap less than the threshold', () => {
    expect(nonMaximumSuppression([box(0, 0, 2, 2, 0.9), box(1, 0, 3, 2, 0.8)], 0.34)).toHaveLength(2);
    expect(nonMaximumSuppression([box(0, 0, 2, 2, 0.9), box(1, 0, 3, 2, 0.8)], 0.33)).toHaveLength(1);
  });

  it('leaves no two kept boxes of a class that overlap, and stays bounded in number', () => {
    const number = fc.double({ min: 0, max: 100, noNaN: true });
    const any = fc.record({ x1: number, y1: number, x2: number, y2: number, score: number, index: fc.nat(2) });
    fc.assert(
      fc.property(fc.array(any, { maxLength: 300 }), (candidates) => {
        const kept = nonMaximumSuppression(candidates, 0.5);
        expect(kept.length).toBeLessThanOrEqual(MAX_BOXES);
        for (const [i, a] of kept.entries())
          for (const b of kept.slice(i + 1)) if (a.index === b.index) expect(overlap(a, b)).toBeLessThanOrEqual(0.5);
      }),
    );
  });

  it('drops values that are no box', () => {
    const nan = Number.NaN;
    const infinite = Number.POSITIVE_INFINITY;
    expect(
      nonMaximumSuppression(
        [box(nan, 0, 1, 1), box(0, 0, infinite, 1), box(0, 0, 0, 1), box(2, 0, 1, 1), box(0, 0, 1, 1, nan)],
        0.5,
      ),
    ).toEqual([]);
  });

  it('handles very many boxes in bounded time', () => {
    const flood = Array.from({ length: 100_000 }, (_, i) =>
      box(i % 300, i % 200, (i % 300) + 5, (i % 200) + 5, (i % 97) / 97),
    );
    const start = performance.now();
    expect(nonMaximumSuppression(flood, 0.5).length).toBeLessThanOrEqual(MAX_BOXES);
    expect(performance.now() - start).toBeLessThan(2000);
  });
});

describe('answerWithBoxes', () => {
  it('gives boxes in pixels of the received frame, inside it, labelled, the best first', () => {
    const { top, predictions } = answerWithBoxes([box(10, 20, 30, 40, 0.7, 1), box(-5, 50, 200, 101, 0.95)], detect());
    expect(top).toEqual({ label: 'cat', score: 0.95 });
    expect(predictions).toEqual([
      { label: 'cat', score: 0.95, box: [0, 50, 200, 100] },
      { label: 'dog', score: 0.7, box: [20, 20, 60, 40] },
    ]);
  });

  it('leaves out boxes below the threshold, of the background, and outside the frame', () => {
    const candidates = [box(0, 0, 9, 9, 0.4), box(0, 0, 9, 9, 0.9, 1), box(120, 0, 130, 9, 0.9)];
    expect(answerWithBoxes(candidates, detect({ background: 1 }))).toEqual({ top: null, predictions: [] });
  });

  it('gives pixels of the input for a frame that was a tensor', () => {
    const frame = { sourceWidth: 0, sourceHeight: 0, mapping: null };
    expect(answerWithBoxes([box(10, 20, 130, 40)], detect({}, frame)).predictions[0]!.box).toEqual([10, 20, 100, 40]);
  });
});
