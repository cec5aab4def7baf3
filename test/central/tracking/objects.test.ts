import { describe, expect, it } from 'vitest';
import { CameraObjects, type ObjectNews } from '../../../central/tracking/objects.ts';
import type { Prediction } from '../../../shared/protocol/messages/result.ts';
import { emptyResult } from '../../support/result-object.ts';

const SETTINGS = { threshold: 0, updateS: 1, canDraw: true };
const person = (x: number, score = 0.8): Prediction => ({ label: 'person', score, box: [x, 100, x + 40, 180] });

function opened(labels: string[] = []) {
  let next = 0;
  const objects = new CameraObjects({ labels, startScore: 0.6, goneAfterS: 2, hold: 2 }, () => `o${next++}`);
  const detected = (time: number, predictions: Prediction[], settings = SETTINGS): ObjectNews[] =>
    objects.update(emptyResult({ task: 'detect', frame_time: time, frame: `f${time}`, predictions }), settings);
  const classified = (time: number, label: string | null): ObjectNews[] =>
    objects.update(
      emptyResult({ task: 'classify', frame_time: time, top: label === null ? null : { label, score: 0.9 } }),
      SETTINGS,
    );
  const told = (news: readonly ObjectNews[], wasDrawn = false) => news.map((one) => objects.report(one, wasDrawn));
  return { objects, detected, classified, told };
}

describe('objects of a detector', () => {
  it('begin, are counted, and end with their times', () => {
    const { objects, detected, told } = opened();
    expect(detected(10, [person(0)])).toEqual([]);
    const begun = detected(10.5, [person(4, 0.9)]);
    expect(begun).toMatchObject([{ type: 'new', isDrawn: true }]);
    expect(objects.counts).toEqual(new Map([['person', 1]]));
    const [event] = told(begun, true);
    expect(event).toMatchObject({
      type: 'new',
      after: {
        id: 'o0',
        label: 'person',
        score: 0.9,
        top_score: 0.9,
        start_time: 10,
        frame_time: 10.5,
        frame: 'f10.5',
      },
    });
    expect(event!.after).toMatchObject({
      box: [4, 100, 44, 180],
      area: 3200,
      ratio: 0.5,
      has_snapshot: true,
      end_time: null,
    });
    expect(event!.before).toEqual(event!.after);
    const ended = detected(13, []);
    expect(objects.counts).toEqual(new Map());
    expect(told(ended)).toMatchObject([
      { type: 'end', before: { end_time: null }, after: { id: 'o0', end_time: 10.5, has_snapshot: true } },
    ]);
  });

  it('are reported again only when they moved or look better, and not before their interval', () => {
    const { detected, told } = opened();
    detected(0, [person(0)]);
    told(detected(0.2, [person(0)]));
    expect(detected(0.9, [person(12)])).toEqual([]);
    const moved = detected(1.3, [person(12)]);
    expect(told(moved)).toMatchObject([
      { type: 'update', before: { box: [0, 100, 40, 180] }, after: { box: [12, 100, 52, 180] } },
    ]);
    expect(moved[0]!.isDrawn).toBe(false);
    expect(detected(3, [person(12)])).toEqual([]);
    expect(detected(4.1, [person(12, 0.95)])).toMatchObject([{ type: 'update', isDrawn: true }]);
  });

  it('that had no picture get one as soon as one can be made', () => {
    const { detected, told } = opened();
    const blind = { ...SETTINGS, canDraw: false };
    detected(0, [person(0)], blind);
    expect(told(detected(0.2, [person(0)], blind))).toMatchObject([{ after: { has_snapshot: false } }]);
    const shown = detected(1.4, [person(0)]);
    expect(shown).toMatchObject([{ type: 'update', isDrawn: true }]);
    expect(told(shown, true)).toMatchObject([{ before: { has_snapshot: false }, after: { has_snapshot: true } }]);
  });

  it('are those of the labels and scores that are asked for', () => {
    const { objects, detected } = opened(['cat']);
    const cat: Prediction = { label: 'cat', score: 0.7, box: [200, 0, 260, 40] };
    for (const time of [0, 0.2]) detected(time, [person(0), cat]);
    expect(objects.counts).toEqual(new Map([['cat', 1]]));
    const strict = { ...SETTINGS, threshold: 0.75 };
    for (const time of [1, 2, 3]) detected(time, [person(0), cat], strict);
    expect(objects.counts).toEqual(new Map());
  });

  it('end all at once with their camera', () => {
    const { objects, detected, told } = opened();
    for (const time of [0, 0.2]) told(detected(time, [person(0), person(300)]));
    const ends = objects.end();
    expect([ends.map(({ type }) => type), objects.counts.size, objects.end()]).toEqual([['end', 'end'], 0, []]);
    expect(told(ends)).toHaveLength(2);
  });
});

describe('objects of a classifier', () => {
  it('are the labels that hold', () => {
    const { objects, classified, told } = opened();
    const said = ['cat', 'cat', 'cat', 'dog', 'cat', 'dog', 'dog', null, null].flatMap((label, time) =>
      told(classified(time, label)),
    );
    expect(said.map(({ type, after }) => `${type} ${after.label} ${after.id}`)).toEqual([
      'new cat o0',
      'end cat o0',
      'new dog o1',
      'end dog o1',
    ]);
    expect(said[0]!.after).toMatchObject({ box: null, area: null, ratio: null });
    expect(said[1]!.after.end_time).toBe(4);
    expect(objects.counts.size).toBe(0);
  });
});
