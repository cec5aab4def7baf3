import { describe, expect, test } from 'vitest';
import type { EndedFrame } from '../../../central/effects.ts';
import { Objects } from '../../../central/observers/objects.ts';
import type { Snapshot, SnapshotRequest } from '../../../central/pictures/snapshot.ts';
import { PacedStates } from '../../../central/publish/paced-states.ts';
import { CAMERA_DEFAULTS } from '../../../shared/config/schema.ts';
import { objectEvent } from '../../../shared/protocol/messages/objects.ts';
import type { Prediction, ResultObject } from '../../../shared/protocol/messages/result.ts';
import { topics } from '../../../shared/protocol/topics.ts';
import { emptyResult } from '../../support/result-object.ts';

/** Lost if these fail: events without their pictures, counts that stay, pictures that nobody asked for. */

const names = topics();
const PERSON: Prediction = { label: 'person', score: 0.9, box: [0, 0, 40, 80] };

function opened(off: readonly string[] = []) {
  const story: string[] = [];
  const drawing: { request: SnapshotRequest; done: (snapshot: Snapshot) => void; fail: (error: Error) => void }[] = [];
  const settings = { isOn: (_: string, one: string) => !off.includes(one), number: () => 0 };
  let now = 0;
  const states = new PacedStates({
    publisher: { retain: (topic, text) => void story.push(`${topic} ${text}`) },
    now: () => now,
  });
  const objects = new Objects({
    known: (camera) => (camera === 'front' ? CAMERA_DEFAULTS : undefined),
    settings,
    pictures: {
      draw: (request) => new Promise((done, fail) => void drawing.push({ request, done, fail })),
    },
    publisher: {
      event: (topic, text) => {
        const { type, after } = objectEvent.parse(JSON.parse(text));
        story.push(`${topic} ${type} ${after.label}${after.has_snapshot ? ' with snapshot' : ''}`);
      },
      picture: (topic, jpeg) => void story.push(`${topic} ${jpeg.byteLength} bytes`),
    },
    states,
    topics: names,
    throttledLog: { warn: (_, text) => void story.push(text) },
    now: () => now,
  });
  const result = (time: number, predictions: Prediction[], more: Partial<ResultObject> = {}, bytes = 4) => {
    now = time * 1000;
    const envelope = { v: 1, format: 'jpeg', d: new Uint8Array(bytes) };
    const ended = { arrival: { envelope } } as unknown as EndedFrame;
    objects.frameEnded(ended, emptyResult({ task: 'detect', frame_time: time, predictions, ...more }));
  };
  const settle = () => new Promise((resolve) => setImmediate(resolve));
  return { objects, story, drawing, result, settle };
}

const COUNT = 'tessera/result/front/m/count/person';
const EVENT = 'tessera/event/camera/front';
const SNAPSHOT = 'tessera/result/front/m/snapshot';
const CROP = 'tessera/result/front/m/crop';

describe('objects', () => {
  test('are counted at once; snapshot and crop come before the event', async () => {
    const { story, drawing, result, settle } = opened();
    result(0, [PERSON]);
    result(0.2, [PERSON]);
    expect(story).toEqual([`${COUNT} 1`]);
    await settle();
    expect(drawing[0]!.request).toMatchObject({ isWhole: true, crops: [PERSON], predictions: [PERSON] });
    drawing[0]!.done({ whole: new Uint8Array(7), crops: [new Uint8Array(3)] });
    await settle();
    expect(story.slice(1)).toEqual([`${SNAPSHOT} 7 bytes`, `${CROP} 3 bytes`, `${EVENT} new person with snapshot`]);
  });

  test('end after their new event, also where that waits for its picture', async () => {
    const { objects, story, drawing, result, settle } = opened();
    result(0, [PERSON]);
    result(0.2, [PERSON]);
    objects.cameraChanged('front', 'offline');
    expect(story).toEqual([`${COUNT} 1`, `${COUNT} 0`]);
    await settle();
    drawing[0]!.fail(new Error('the picture cannot be read'));
    await settle();
    expect(story.slice(2)).toEqual([
      'no snapshot of camera front: the picture cannot be read',
      `${EVENT} new person`,
      `${EVENT} end person`,
    ]);
  });

  test('of cameras that are switched off end; what is switched off is not published', async () => {
    const { objects, story, drawing, result } = opened(['count', 'snapshot', 'crop']);
    result(0, [PERSON]);
    result(0.2, [PERSON]);
    objects.settingChanged('front', 'detect');
    expect(story).toEqual([`${EVENT} new person`, `${EVENT} end person`]);
    expect(drawing).toEqual([]);
  });

  test('of a camera that is forgotten end, and nothing retained is published any more', async () => {
    const { objects, story, drawing, result, settle } = opened();
    result(0, [PERSON]);
    result(0.2, [PERSON]);
    objects.cameraForgotten('front');
    await settle();
    drawing[0]!.done({ whole: new Uint8Array(7), crops: [new Uint8Array(3)] });
    await settle();
    expect(story).toEqual([`${COUNT} 1`, `${EVENT} new person`, `${EVENT} end person`]);
  });

  test('end at a stop, whose events wait for no picture', async () => {
    const { objects, story, drawing, result, settle } = opened();
    result(0, [PERSON]);
    result(0.2, [PERSON]);
    await settle();
    objects.stop();
    await settle();
    expect(story.slice(1)).toEqual([`${EVENT} new person`, `${EVENT} end person`]);
    drawing[0]!.fail(new Error('the thread has ended'));
    await settle();
    expect(story).toHaveLength(3);
  });

  test('have no picture where the frame stayed at its node', () => {
    const { story, drawing, result } = opened();
    result(0, [PERSON], {}, 0);
    result(0.2, [PERSON], {}, 0);
    expect([drawing, story]).toEqual([[], [`${COUNT} 1`, `${EVENT} new person`]]);
  });

  test('publish nothing while nothing changes', () => {
    const { story, result } = opened(['snapshot', 'crop']);
    for (let time = 0; time < 60; time += 0.2) result(time, [PERSON]);
    expect(story).toEqual([`${COUNT} 1`, `${EVENT} new person`]);
  });

  test('do not follow errors, other tasks and cameras that are not known', () => {
    const { story, result } = opened();
    for (const more of [{ status: 'error' }, { task: 'segment' }, { camera: 'gone' }] as const)
      for (const time of [0, 0.2]) result(time, [PERSON], more);
    expect(story).toEqual([]);
  });
});
