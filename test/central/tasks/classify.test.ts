import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { confidence, decodeLogits, decodeSoftmax } from '../../../central/tasks/classify.ts';
import { filled, floats, request } from './request.ts';

const labels = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];
const ask = (values: readonly number[], output: object = {}, shape: readonly number[] = [1, values.length]) =>
  request({ task: 'classify', output: { ...output }, outputs: { y: floats(shape, values) }, labels });

describe('decodeSoftmax', () => {
  it('names the five best classes, the best first, and the first is the answer', () => {
    const { top, predictions } = decodeSoftmax(ask([0.05, 0.6, 0.02, 0.1, 0.2, 0.01, 0.02]));
    expect(top).toEqual({ label: 'b', score: 0.6 });
    expect(predictions.map(({ label }) => label)).toEqual(['b', 'e', 'd', 'a', 'c']);
  });

  it('gives no answer below the threshold, but still lists the best classes', () => {
    const { top, predictions } = decodeSoftmax(ask([0.4, 0.35, 0.25]));
    expect(top).toBeNull();
    expect(predictions).toHaveLength(3);
    expect(decodeSoftmax(ask([0.5, 0.5])).top).toEqual({ label: 'a', score: 0.5 });
  });

  it('never names the background class', () => {
    const { top, predictions } = decodeSoftmax(ask([0.9, 0.1], { background: 0 }));
    expect(top).toBeNull();
    expect(predictions).toEqual([{ label: 'b', score: 0.1 }]);
  });

  it('reads any shape with one value a class, and a single probability as that of the second class', () => {
    expect(decodeSoftmax(ask([0.2, 0.8], {}, [1, 2, 1, 1])).top?.label).toBe('b');
    expect(decodeSoftmax(ask([0.75], {}, [1, 1])).top).toEqual({ label: 'b', score: 0.75 });
  });

  it('numbers classes that have no label', () => {
    const outputs = { y: filled([1, 20], (i) => (i === 17 ? 1 : 0)) };
    expect(decodeSoftmax(request({ task: 'classify', outputs })).top).toEqual({ label: 'class 17', score: 1 });
  });

  it('refuses outputs that are no classes', () => {
    expect(() => decodeSoftmax(ask([1, 2, 3, 4], {}, [1, 2, 2]))).toThrow(
      /"test": decoder softmax needs .*y \[1, 2, 2\]/,
    );
    expect(() => decodeSoftmax(request({ task: 'classify', outputs: {} }))).toThrow(/needs/);
  });
});

describe('decodeLogits', () => {
  it('is the softmax of the values, also of large ones', () => {
    expect(decodeLogits(ask([0, Math.log(3)])).predictions).toEqual([
      { label: 'b', score: 0.75 },
      { label: 'a', score: 0.25 },
    ]);
    expect(decodeLogits(ask([1000, 0])).top).toEqual({ label: 'a', score: 1 });
    expect(decodeLogits(ask([0], {}, [1])).predictions[0]!.score).toBe(0.5);
  });
});

describe('both', () => {
  it('end with finite scores in order, whatever the network gives', () => {
    const value = fc.oneof(
      fc.double(),
      fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 1e38),
    );
    fc.assert(
      fc.property(fc.array(value, { minLength: 1, maxLength: 30 }), (values) => {
        for (const decode of [decodeSoftmax, decodeLogits]) {
          const { predictions } = decode(ask(values));
          const scores = predictions.map(({ score }) => score);
          expect(scores.every((score) => score >= 0 && score <= 1)).toBe(true);
          expect([...scores].sort((a, b) => b - a)).toEqual(scores);
        }
      }),
    );
  });

  it('name nothing when nothing is a number', () => {
    const nothing = { top: null, predictions: [] };
    expect(decodeLogits(ask([Number.NaN, Number.NaN]))).toEqual(nothing);
    expect(decodeSoftmax(ask([Number.NaN, Number.NaN]))).toEqual(nothing);
  });
});

describe('confidence, by which a frame ends early', () => {
  it('is the highest probability, also of the background class and of one value alone', () => {
    expect(confidence(floats([1, 3], [0.1, 0.7, 0.2]), 'softmax')).toBeCloseTo(0.7, 6);
    expect(confidence(floats([1, 2], [0, Math.log(3)]), 'logits')).toBeCloseTo(0.75, 6);
    expect(confidence(floats([1, 1], [0.2]), 'softmax')).toBeCloseTo(0.8, 6);
    expect(confidence(floats([1, 1], [0]), 'logits')).toBe(0.5);
  });

  it('ends no frame where the values are no probabilities', () => {
    for (const decoder of ['softmax', 'logits'] as const)
      expect(confidence(floats([1, 2], [Number.NaN, Number.NaN]), decoder)).toBe(0);
    // Logits that model.yaml calls probabilities would pass every threshold.
    expect(confidence(floats([1, 2], [0, 7]), 'softmax')).toBe(0);
    expect(confidence(floats([1, 2], [0, Number.POSITIVE_INFINITY]), 'softmax')).toBe(0);
  });
});
