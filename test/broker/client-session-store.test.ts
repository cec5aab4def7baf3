import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, onTestFinished } from 'vitest';
import { ClientSessionStore, type StoredSession } from '../../broker/client-session-store.ts';
import { smallDisk } from '../support/small-disk.ts';

// Lost if these fail: an app with a persistent session finds none after the broker was killed, and misses results that
// were acknowledged to central; or receives for ever what it has acknowledged.

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

function folder(): string {
  const made = mkdtempSync(join(tmpdir(), 'tessera-sessions-'));
  folders.push(made);
  return join(made, 'sessions');
}

function open(at: string, sessions = 100) {
  const faults: string[] = [];
  const opened = ClientSessionStore.open(at, { sessions, bytes: 1e6 }, (text) => faults.push(text));
  return { store: opened?.store as ClientSessionStore, found: opened?.found ?? [], faults };
}

const RESULT = 'tessera/result/front/1';
const message = (brokerCounter: number, bytes = 10) => ({
  brokerCounter,
  topic: RESULT,
  payload: Buffer.alloc(bytes, brokerCounter),
  dup: false,
});
const ANNA = { id: 'app', owner: 'viewer anna', subscriptions: [{ topic: 'tessera/result/+/+', qos: 1 }] };

const said = (found: ReturnType<typeof open>['found']) => found.map(({ stored, ...rest }) => rest);
const waiting = (found: ReturnType<typeof open>['found']) =>
  found.map(({ id, messages }) => [id, messages.map(({ payload, wasSent }) => [payload[0], wasSent])]);

describe('sessions on the disk', () => {
  it('are found after a crash as they were: subscriptions, queued and sent messages, and since when the client is offline', () => {
    const at = folder();
    const { store } = open(at);
    const app = store.begin();
    app.write({ ...ANNA, subscriptions: [] });
    app.write(ANNA);
    for (let n = 1; n <= 4; n++) app.put(message(n));
    app.sent(2);
    app.sent(3);
    app.done(3);
    app.write({ ...ANNA, awaySince: 5000 });
    const other = store.begin();
    other.write({ id: 'other', owner: 'local', subscriptions: [{ topic: '#', qos: 0 }] });
    other.put(message(4));
    // Not closed: the broker was killed.
    const again = open(at);
    expect(again.faults).toEqual([]);
    expect(said(again.found)).toMatchObject([
      { ...ANNA, awaySince: 5000 },
      { id: 'other', owner: 'local', subscriptions: [{ topic: '#', qos: 0 }] },
    ]);
    expect(again.found[0]?.messages[0]).toMatchObject({ topic: RESULT, payload: message(1).payload });
    expect(waiting(again.found)).toEqual([
      [
        'app',
        [
          [1, false],
          [2, true],
          [4, false],
        ],
      ],
      ['other', [[4, false]]],
    ]);
  });

  it('continue in the next run, and messages acknowledged there are not found in the run after it', () => {
    const at = folder();
    const begun = open(at).store.begin();
    begun.write(ANNA);
    for (let n = 1; n <= 3; n++) begun.put(message(n));
    const { found } = open(at);
    const app = found[0]?.stored as StoredSession;
    // A new broker counts from the start.
    for (const [i, { number }] of found[0]!.messages.entries()) app.adopt(101 + i, number);
    app.write(ANNA);
    app.done(101);
    app.put(message(9));
    expect(waiting(open(at).found)).toEqual([
      [
        'app',
        [
          [2, false],
          [3, false],
          [9, false],
        ],
      ],
    ]);
  });

  it('are gone when they have ended, and leave no file behind', () => {
    const at = folder();
    const { store } = open(at);
    const app = store.begin();
    app.write(ANNA);
    app.put(message(1));
    app.end();
    app.put(message(2));
    const again = open(at);
    expect(again.found).toEqual([]);
    again.store.close();
    expect(readdirSync(join(at, '..'))).toEqual([]);
  });

  it('take no more room however often clients connect and disconnect', () => {
    const at = folder();
    const { store } = open(at, 2);
    const app = store.begin();
    const topic = `tessera/${'x'.repeat(2000)}`;
    for (let n = 0; n < 3000; n++) app.write({ ...ANNA, subscriptions: [{ topic, qos: 1 }], awaySince: n });
    expect(readdirSync(at).length).toBeLessThanOrEqual(5);
    expect(said(open(at).found)).toMatchObject([{ awaySince: 2999 }]);
  });

  it('with more subscriptions than can be written stay in memory, with a warning; so do all where there is no folder', () => {
    const at = folder();
    const { store, faults } = open(at);
    const app = store.begin();
    const subscriptions = Array.from({ length: 100 }, (_, i) => ({
      topic: `tessera/${i}/${'x'.repeat(1000)}`,
      qos: 1,
    }));
    app.write({ ...ANNA, subscriptions });
    app.put(message(1));
    expect(faults.join()).toMatch(/more than 64 KiB are in memory only/);
    expect(open(at).found).toEqual([]);
    writeFileSync(join(at, '..', 'file'), '');
    const none = open(join(at, '..', 'file', 'sessions'));
    expect(none.store).toBeUndefined();
    expect(none.faults.join()).toMatch(/in memory only, and lost with the broker/);
  });

  it('are only in memory while the disk is full, with a warning, and are written again when there is room', async ({
    skip,
  }) => {
    const disk = await smallDisk('4m');
    if (disk === undefined) return skip('needs root and a tmpfs on Linux');
    onTestFinished(disk.remove);
    const at = join(disk.folder, 'sessions');
    const { store, faults } = open(at);
    const app = store.begin();
    app.write(ANNA);
    app.put(message(1));
    const free = disk.fill();
    const full = store.begin();
    full.write({ ...ANNA, id: 'full', subscriptions: [{ topic: 'x'.repeat(5000), qos: 1 }] });
    for (const one of [app, full]) one.put(message(2, 5000));
    expect(new Set(faults)).toEqual(new Set([expect.stringContaining('in memory only, and lost with the broker')]));
    app.done(2);
    expect(waiting(open(at).found)).toEqual([['app', [[1, false]]]]);
    free();
    for (const one of [app, full]) one.put(message(3));
    expect(waiting(open(at).found)).toEqual([
      [
        'app',
        [
          [1, false],
          [3, false],
        ],
      ],
      ['full', [[3, false]]],
    ]);
  });
});
