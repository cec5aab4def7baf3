import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { NodeCameras } from '../../node-agent/cameras.ts';
import type { Shot } from '../../shared/camera/source.ts';
import type { Log } from '../../shared/ports.ts';
import type { BornFrameMessage, FrameAnnounced } from '../../shared/protocol/messages/born-frame.ts';
import { encodeJpeg } from '../../shared/runtime/image.ts';

/** Lost if these fail: announcements and pictures pile up on a slow link, or central never hears of a frame. */

let sent: BornFrameMessage[];
let logged: string[];
/** Settle the messages that the broker does not have yet. */
let delivered: (() => void)[];
let connected: boolean;
let onConnect: () => void;
let shots: { readonly resolve: (shot: Shot | undefined) => void; readonly reject: (error: Error) => void }[];
let cameras: NodeCameras;
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] });
  sent = [];
  logged = [];
  delivered = [];
  connected = true;
  shots = [];
  const note = (text: string): void => void logged.push(text);
  const log: Log = { debug: note, info: note, warn: note, error: note };
  cameras = new NodeCameras({
    cameras: [
      {
        name: 'front',
        source: {
          next: () => new Promise((resolve, reject) => shots.push({ resolve, reject })),
          stop: async () => shots.at(-1)?.reject(new Error('Premature close')),
        },
      },
    ],
    bootId: 'boot-id',
    bus: {
      get connected() {
        return connected;
      },
      onConnect: (listener) => {
        onConnect = listener;
      },
    },
    send: (message) => {
      sent.push(message);
      return new Promise<void>((resolve) => delivered.push(resolve));
    },
    epoch: () => 1,
    hold: async () => {},
    fromTopic: async () => undefined,
    free: () => {},
    log,
  });
});
afterEach(async () => {
  await cameras.stop();
  vi.useRealTimers();
});

const tick = () => new Promise(setImmediate);

/** The camera makes a picture; returns once the next one is asked for. */
async function shoot(): Promise<void> {
  const bytes = await encodeJpeg(new Uint8Array(96).fill(90), 8, 4, 95);
  const count = shots.length;
  shots.at(-1)!.resolve({ id: 'shot', bytes });
  while (shots.length === count) await tick();
}

const kinds = (): string[] => sent.map(({ type }) => type);

test('a picture is sent once, however often central asks before it has arrived, and again when it asks afterwards', async () => {
  await shoot();
  const [announced] = sent as FrameAnnounced[];
  const take = { type: 'take', v: 1, camera: 'front', frame: announced!.frame, i_id: '1-0' } as const;
  for (let i = 0; i < 3; i++) cameras.receive('central', take);
  await tick();
  expect(kinds()).toEqual(['announced', 'file']);
  for (const settle of delivered) settle();
  await tick();
  cameras.receive('central', take);
  await tick();
  expect(kinds()).toEqual(['announced', 'file', 'file']);
});

test('without a connection nothing is announced, and what is still here is afterwards', async () => {
  connected = false;
  await shoot();
  await shoot();
  vi.advanceTimersByTime(60_000);
  expect(sent).toEqual([]);
  connected = true;
  onConnect();
  expect(sent).toMatchObject([
    { type: 'announced', repeated: true },
    { type: 'announced', repeated: true },
  ]);
});

test('a camera that is stopped while it is read has not failed', async () => {
  while (shots.length === 0) await tick();
  await cameras.stop();
  await tick();
  expect(logged).toEqual([]);
});
