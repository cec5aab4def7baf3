import { afterAll, beforeAll, expect, test } from 'vitest';
import { Deployment } from '../../bench/testbed/deployment.ts';
import { drawScene, seedRanges } from '../../shared/camera/scenes/scene.ts';
import type { Bus } from '../../shared/ports.ts';
import { objectEvent } from '../../shared/protocol/messages/objects.ts';
import { encodeJpeg, pictureSize } from '../../shared/runtime/image.ts';

/** Lost if this fails: an automation gets an event without its picture, or a switch does nothing or forgets. */

let deployment: Deployment;
let url: string;
let watcher: Bus;
const seen: { topic: string; payload: Uint8Array }[] = [];
const waiting: (() => void)[] = [];

beforeAll(async () => {
  deployment = await Deployment.create();
  url = (await deployment.broker('embedded'))!.url;
  watcher = await deployment.connect(url, 'watcher');
  await watcher.subscribe('tessera/#', 1, ({ topic, payload, retained }) => {
    if (retained || topic.startsWith('tessera/input/')) return;
    seen.push({ topic, payload: Uint8Array.from(payload) });
    for (const wake of waiting.splice(0)) wake();
  });
}, 30_000);
afterAll(() => deployment.end());

const text = (payload: Uint8Array): string => new TextDecoder().decode(payload);

/** Waits for a message; `is` may say more than the topic. */
async function message(topic: string, is: (payload: string) => boolean = () => true): Promise<string> {
  for (;;) {
    const found = seen.find((one) => one.topic === topic && is(text(one.payload)));
    if (found !== undefined) return text(found.payload);
    await new Promise<void>((resolve) => waiting.push(resolve));
  }
}

const RESULT = 'tessera/result/front/scenes';
const EVENT = 'tessera/event/camera/front';

test('snapshot, then the event that mentions it; a camera that is switched off stays so after a restart', async () => {
  const cameras = { front: { hold: 2 } };
  let central = await deployment.central(url, { cameras });
  await message('tessera/status', (payload) => payload === 'online');
  const { rgb, width, height, label } = drawScene(seedRanges.heldOut.from + 100);
  const jpeg = await encodeJpeg(rgb, width, height, 90);
  const send = (id: string) => watcher.publish(`tessera/input/front/${id}`, jpeg, { qos: 1 });
  const isOf = (id: string) => (payload: string) => JSON.parse(payload).frame === id;
  for (const id of ['f1', 'f2']) {
    await send(id);
    await message(RESULT, isOf(id));
  }
  const event = objectEvent.parse(JSON.parse(await message(EVENT)));
  expect(event).toMatchObject({ type: 'new', after: { camera: 'front', label, has_snapshot: true, box: null } });
  const snapshot = seen.findIndex(({ topic }) => topic === `${RESULT}/snapshot`);
  expect(snapshot).toBeGreaterThanOrEqual(0);
  expect(snapshot).toBeLessThan(seen.findIndex(({ topic }) => topic === EVENT));
  expect(await pictureSize(seen[snapshot]!.payload)).toEqual({ width, height });
  expect(await message(`${RESULT}/count/${label}`)).toBe('1');

  await watcher.publish('tessera/camera/front/detect/set', 'OFF', { qos: 1 });
  expect(await message('tessera/camera/front/detect/state', (payload) => payload === 'OFF')).toBe('OFF');
  const ended = objectEvent.parse(JSON.parse(await message(EVENT, (payload) => payload.includes('"type":"end"'))));
  expect(ended.after.id).toBe(event.after.id);
  await message(`${RESULT}/count/${label}`, (payload) => payload === '0');

  await central.stop();
  seen.length = 0;
  central = await deployment.central(url, { cameras });
  await message('tessera/status', (payload) => payload === 'online');
  expect(await message('tessera/camera/front/detect/state')).toBe('OFF');
  await send('off');
  await watcher.publish('tessera/camera/front/detect/set', 'ON', { qos: 1 });
  await message('tessera/camera/front/detect/state', (payload) => payload === 'ON');
  await send('on');
  await message(RESULT, isOf('on'));
  expect(seen.some(({ topic, payload }) => topic === RESULT && isOf('off')(text(payload)))).toBe(false);
  await central.stop();
}, 120_000);
