import { describe, expect, it } from 'vitest';
import { decodeSegment } from '../../../central/tasks/segment.ts';
import { filled, type floats, longs, request } from './request.ts';

const labels = ['sky', 'cat', 'dog'];
const segment = (tensor: ReturnType<typeof floats>, more: Partial<Parameters<typeof request>[0]> = {}) =>
  request({
    task: 'segment',
    output: { score_threshold: 0.1, background: 0 },
    outputs: { y: tensor },
    labels,
    ...more,
  });

describe('decodeSegment', () => {
  it('gives the share of the picture that each class covers, without the background', () => {
    // 4x5 pixels: the first row is cat, the last two pixels are dog, all else sky.
    const winner = (pixel: number) => (pixel < 5 ? 1 : pixel >= 18 ? 2 : 0);
    const planes = filled([1, 3, 4, 5], (i) => (winner(i % 20) === Math.floor(i / 20) ? 5 : 1));
    const expected = {
      top: { label: 'cat', score: 0.25 },
      predictions: [
        { label: 'cat', score: 0.25 },
        { label: 'dog', score: 0.1 },
      ],
    };
    expect(decodeSegment(segment(planes))).toEqual(expected);
    const last = filled([1, 4, 5, 3], (i) => (winner(Math.floor(i / 3)) === i % 3 ? 5 : 1));
    const input = { shape: [1, 100, 100, 3], layout: 'nhwc' };
    expect(decodeSegment(segment(last, { input }))).toEqual(expected);
    const numbers = longs(
      [1, 4, 5],
      Array.from({ length: 20 }, (_, i) => winner(i)),
    );
    expect(decodeSegment(segment(numbers))).toEqual(expected);
  });

  it('reads one plane of probabilities as background and one class', () => {
    const mask = filled([1, 1, 2, 2], (i) => (i === 0 ? 0.9 : 0.1));
    expect(decodeSegment(segment(mask)).predictions).toEqual([{ label: 'cat', score: 0.25 }]);
  });

  it('does not count the padding of letterboxing', () => {
    // A 200x100 frame in a square input: the upper and lower quarters are padding, which the network calls cat.
    const frame = { sourceWidth: 200, sourceHeight: 100, mapping: { scaleX: 2, scaleY: 2, offsetX: 0, offsetY: -50 } };
    const numbers = longs([1, 4, 4], [1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1]);
    const { predictions } = decodeSegment(segment(numbers, { frame, input: { resize: 'letterbox' } }));
    expect(predictions).toEqual([{ label: 'dog', score: 1 }]);
  });

  it('has no answer when every share is small, or without labels', () => {
    const numbers = longs(
      [1, 4, 5],
      Array.from({ length: 20 }, (_, i) => (i === 0 ? 1 : 0)),
    );
    expect(decodeSegment(segment(numbers)).top).toBeNull();
    expect(decodeSegment(segment(numbers, { labels: [] }))).toEqual({ top: null, predictions: [] });
  });

  it('survives NaN and infinities', () => {
    const wild = filled([1, 3, 2, 2], (i) => [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY][i % 3]!);
    for (const { score } of decodeSegment(segment(wild)).predictions) expect(score <= 1).toBe(true);
  });

  it('refuses outputs that are no map', () => {
    expect(() => decodeSegment(segment(filled([1, 10], () => 0)))).toThrow(/task segment needs/);
  });
});
