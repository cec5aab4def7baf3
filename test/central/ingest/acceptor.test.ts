import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { FrameAcceptor } from '../../../central/ingest/acceptor.ts';
import { FrameTracker } from '../../../central/journal/frame-tracker.ts';
import { Journal } from '../../../central/journal/journal.ts';
import { FrameTotals } from '../../../central/observers/frame-totals.ts';
import { Observers } from '../../../central/observers/observers.ts';
import { LogThrottle } from '../../../shared/log-throttle.ts';
import { silentLog } from '../../../shared/ports.ts';
import { recordingLog } from '../../support/recording-log.ts';

/** Lost if these fail: frames that the broker believes delivered, and that are never answered. */

let folder: string;
let files = 0;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'tessera-acceptor-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const JPEG = Uint8Array.of(0xff, 0xd8, 0xff, 0xe0);
const frame = (id: string) => ({ topic: `tessera/input/front/${id}`, payload: JPEG, retained: false });
const settled = () => new Promise((resolve) => setImmediate(resolve));

function opened(onOffer = (_frame: string) => {}, wanted: readonly string[] = []) {
  const journal = new Journal(join(folder, String(files++)), silentLog);
  const totals = new FrameTotals(() => 0);
  /** What happened, in order. */
  const story: string[] = [];
  const log = recordingLog();
  let active = true;
  let refs = 0;
  let written: Promise<void> | undefined;
  const acceptor = new FrameAcceptor({
    base: 'tessera',
    cameras: {
      options: () => ({ models: wanted, hold: 1, offline_after_s: 30 }),
      seen: () => {},
      mayComeFrom: () => true,
    },
    settings: { isOn: () => true, model: () => undefined },
    models: new Map([
      ['m', { name: 'm', manifest: { skeleton: { sha: '0'.repeat(64) } }, card: { task: 'classify' } }],
    ]),
    refused: new Map(),
    tracker: new FrameTracker({
      accept: (...args) => journal.accept(...args),
      opened: (...args) => journal.opened(...args),
      publishing: (...args) => journal.publishing(...args),
      ended: (n) => journal.ended(n),
      whenWritten: () => written,
    }),
    observers: new Observers([totals], silentLog),
    throttledLog: new LogThrottle(log, () => 0),
    holds: () => active,
    keep: () => String(refs++),
    tell: ({ frame, redelivered }) => {
      story.push(`offered ${frame}${redelivered ? ' again' : ''}`);
      onOffer(frame);
    },
  });
  /** As a client does: acknowledges at once, or when the promise resolves. */
  const receive = (id: string): void => {
    const acknowledge = (): unknown => story.push(`acknowledged ${id}, ${journal.open} in the journal`);
    const later = acceptor.receive(frame(id));
    if (later === undefined) acknowledge();
    else void later.then(acknowledge);
  };
  const is = (now: boolean): void => {
    active = now;
  };
  /** The disk is full until the returned function is called. */
  const diskIsFull = (): (() => void) => {
    let free: () => void = () => {};
    written = new Promise((resolve) => {
      free = () => {
        written = undefined;
        resolve();
      };
    });
    return free;
  };
  return { acceptor, journal, totals, story, log, receive, is, diskIsFull };
}

describe('a frame', () => {
  test('is in the journal when it is acknowledged', () => {
    const { story, receive } = opened();
    receive('a');
    expect(story).toEqual(['offered a', 'acknowledged a, 1 in the journal']);
  });

  test('that arrives while the lease is in doubt waits without an acknowledgement, and is accepted before later ones', async () => {
    const { acceptor, story, receive, is } = opened();
    is(false);
    receive('a');
    receive('b');
    await settled();
    acceptor.resume();
    expect(story).toEqual([]);
    // The next message arrives before the lease is certain again.
    is(true);
    receive('c');
    expect(story.filter((what) => what.startsWith('offered'))).toEqual(['offered a', 'offered b', 'offered c']);
    await settled();
    expect(story.filter((what) => what.startsWith('acknowledged'))).toHaveLength(3);
  });

  test('that is pending or arrives when central ends is left to the broker', async () => {
    const { acceptor, journal, story, receive, is } = opened();
    is(false);
    receive('held');
    acceptor.close();
    is(true);
    acceptor.resume();
    receive('late');
    await settled();
    expect(story).toEqual([]);
    expect(journal.open).toBe(0);
  });

  test('that comes while the journal cannot be written waits too, and is accepted once it can be written', async () => {
    const { journal, story, receive, diskIsFull } = opened();
    receive('a');
    const free = diskIsFull();
    receive('b');
    receive('c');
    await settled();
    expect(story).toEqual(['offered a', 'acknowledged a, 1 in the journal']);
    free();
    await settled();
    expect(story.slice(2)).toEqual([
      'offered b',
      'offered c',
      'acknowledged b, 3 in the journal',
      'acknowledged c, 3 in the journal',
    ]);
    expect(journal.open).toBe(3);
  });

  test('whose journal entry cannot be written as the disk is full is acknowledged only after it is written', async () => {
    let free: () => void = () => {};
    const { acceptor, story, receive, is, diskIsFull } = opened(() => {
      free = diskIsFull();
    });
    is(false);
    receive('held');
    is(true);
    acceptor.resume();
    await settled();
    expect(story).toEqual(['offered held']);
    free();
    await settled();
    receive('now');
    await settled();
    const now = ['acknowledged held, 1 in the journal', 'offered now'];
    expect(story.slice(1)).toEqual(now);
    free();
    await settled();
    expect(story.slice(1)).toEqual([...now, 'acknowledged now, 2 in the journal']);
  });

  test('is skipped and counted if too many messages are pending', async () => {
    const { totals, story, receive, is } = opened();
    is(false);
    for (let i = 0; i < 300; i++) receive(`f${i}`);
    await settled();
    expect(story).toHaveLength(300 - 256);
    expect(story[0]).toBe('acknowledged f256, 0 in the journal');
    expect(totals.cameras.get('front')?.counts).toMatchObject({ 'buffers-full': 44 });
  });

  test('of a camera that names a model which is not served is logged, once for many frames', () => {
    const { log, receive } = opened(undefined, ['m', 'fastestdet']);
    receive('a');
    receive('b');
    expect(log.lines).toEqual([
      expect.stringContaining(
        'frames of camera front are not given to model fastestdet, which is not served: central serves m so far',
      ),
    ]);
  });
});
