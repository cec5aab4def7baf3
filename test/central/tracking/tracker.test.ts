import { describe, expect, it } from 'vitest';
import {
  type Box,
  beginMotion,
  boxOf,
  correctMotion,
  overlap,
  predictMotion,
} from '../../../central/tracking/motion.ts';
import { type Detection, MAX_TRACKS, Tracker } from '../../../central/tracking/tracker.ts';

const options = { startScore: 0.6, goneAfterS: 2 };

/** A detection of 40x80 pixels with its left edge at `x`. */
const at = (x: number, score = 0.9, label = 'person', y = 100): Detection => {
  return { label, score, box: [x, y, x + 40, y + 80] };
};

const numbers = (tracks: readonly { number: number }[]): number[] => tracks.map(({ number }) => number);

describe('motion', () => {
  it('predicts where a box is that moves evenly', () => {
    let motion = beginMotion([0, 100, 40, 180]);
    for (let step = 1; step <= 10; step++)
      motion = correctMotion(predictMotion(motion, 0.2), [20 * step, 100, 20 * step + 40, 180]);
    const [x1, y1, x2, y2] = boxOf(predictMotion(motion, 0.2));
    expect(Math.abs(x1 - 220)).toBeLessThan(4);
    expect(Math.abs(x2 - 260)).toBeLessThan(4);
    expect([y1, y2].map(Math.round)).toEqual([100, 180]);
  });

  it('is the same for one long prediction and many short ones, but for rounding', () => {
    const begun = correctMotion(predictMotion(beginMotion([0, 0, 40, 80]), 1 / 30), [3, 0, 43, 80]);
    let many = begun;
    for (let step = 0; step < 15; step++) many = predictMotion(many, 1 / 30);
    const once = predictMotion(begun, 0.5);
    expect(many.x.position).toBeCloseTo(once.x.position, 6);
    expect(many.x.pp / once.x.pp).toBeCloseTo(1, 1);
  });

  it('overlaps by intersection over union', () => {
    const a: Box = [0, 0, 10, 10];
    expect(overlap(a, [5, 0, 15, 10])).toBeCloseTo(1 / 3);
    expect(overlap(a, [10, 0, 20, 10])).toBe(0);
    expect(overlap(a, a)).toBe(1);
  });
});

describe('tracker', () => {
  it('knows an object from its second frame on, and keeps its number while it moves', () => {
    const tracker = new Tracker(options);
    expect(tracker.update([at(0)], 0)).toEqual({ begun: [], seen: [], gone: [] });
    expect(numbers(tracker.update([at(8)], 0.2).begun)).toEqual([0]);
    for (let step = 2; step < 30; step++) expect(numbers(tracker.update([at(8 * step)], 0.2 * step).seen)).toEqual([0]);
    expect(tracker.tracks).toHaveLength(1);
  });

  it('keeps two objects apart that pass one another', () => {
    const tracker = new Tracker(options);
    for (let step = 0; step <= 20; step++)
      tracker.update([at(10 * step, 0.9), at(200 - 10 * step, 0.8, 'person', 130)], 0.1 * step);
    const [left, right] = tracker.tracks.toSorted((a, b) => a.number - b.number);
    expect(left!.box![0]).toBe(200);
    expect(right!.box![0]).toBe(0);
  });

  it('ends an object that is not seen any more, and not one that was hidden for a moment', () => {
    const tracker = new Tracker(options);
    for (const time of [0, 0.2, 0.4]) tracker.update([at(50)], time);
    expect(tracker.update([], 1.4).gone).toEqual([]);
    expect(numbers(tracker.update([at(52)], 1.6).seen)).toEqual([0]);
    expect(tracker.update([], 3.6).gone).toEqual([]);
    expect(numbers(tracker.update([], 3.7).gone)).toEqual([0]);
    expect(tracker.tracks).toEqual([]);
  });

  it('begins no object with a weak detection, and continues one with it (the second association)', () => {
    const tracker = new Tracker(options);
    for (const time of [0, 0.2]) tracker.update([at(300, 0.3)], time);
    expect(tracker.tracks).toEqual([]);
    for (const time of [0.4, 0.6]) tracker.update([at(50)], time);
    const { seen } = tracker.update([at(51, 0.3)], 0.8);
    expect(seen).toMatchObject([{ score: 0.3, topScore: 0.9 }]);
  });

  it('takes what was seen once for a mistake', () => {
    const tracker = new Tracker(options);
    tracker.update([at(50)], 0);
    tracker.update([], 0.2);
    expect(tracker.update([at(50)], 0.4).begun).toEqual([]);
  });

  it('does not make one object of two labels', () => {
    const tracker = new Tracker(options);
    for (const time of [0, 0.2]) tracker.update([at(50, 0.9, 'cat'), at(50, 0.8, 'dog')], time);
    expect(tracker.tracks.map(({ label }) => label).sort()).toEqual(['cat', 'dog']);
  });

  it('leaves out frames that come late, and begins again where the clock was set back', () => {
    const tracker = new Tracker(options);
    for (const time of [1000, 1000.2]) tracker.update([at(50)], time);
    expect(tracker.update([at(300)], 1000.1)).toEqual({ begun: [], seen: [], gone: [] });
    expect(numbers(tracker.update([at(50)], 10).gone)).toEqual([0]);
    expect(numbers(tracker.update([at(50)], 10.2).begun)).toHaveLength(1);
  });

  it('follows a bounded number of objects', () => {
    const tracker = new Tracker({ startScore: 0.6, goneAfterS: 1000 });
    for (let frame = 0; frame < 8; frame++)
      for (const time of [0, 0.1])
        tracker.update(
          Array.from({ length: 64 }, (_, i) => at(50 * i, 0.9, 'person', 100 * frame)),
          frame + time,
        );
    expect(tracker.tracks.length).toBeLessThanOrEqual(MAX_TRACKS);
  });
});
