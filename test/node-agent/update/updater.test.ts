import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Updater, type UpdaterDeps } from '../../../node-agent/update/updater.ts';
import { type Bus, type Message, silentLog } from '../../../shared/ports.ts';
import type { UpdateManifest, UpdateReport } from '../../../shared/protocol/messages/update.ts';
import { topics } from '../../../shared/protocol/topics.ts';
import { HERE, offered, releaseKey } from '../../support/fake-bundle.ts';

/** If it fails, a wrong announcement cannot be corrected, or a node downloads a bad release again and again. */

const key = releaseKey();
const names = topics('tessera');
const warn = vi.fn();

let folder: string;
let server: Server;
let base: string;
let asked: string[];
let hears: (message: Message) => void;
let updater: Updater;
let onReport: (report: UpdateReport) => void;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-updater-'));
  asked = [];
  server = createServer(({ url = '' }, response) => {
    asked.push(url);
    if (url === '/other') response.end('other');
    else if (url === '/slow') response.writeHead(200, { 'content-length': 9 }).flushHeaders();
    else response.writeHead(404).end();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const bus = {
    connected: true,
    onConnect: (then: () => void) => then(),
    subscribe: async (_topic: string, _qos: number, handle: (message: Message) => void) => {
      hears = handle;
    },
    publish: async (_topic: string, payload: string) => onReport(JSON.parse(payload)),
  };
  onReport = () => {};
  const deps: UpdaterDeps = {
    id: 'pi-1',
    bus: bus as unknown as Bus,
    topics: names,
    onTurn: async () => {},
    isIdle: () => true,
    health: () => ({ connected: true, made: 0, failed: 0 }),
    answers: async () => {},
    onEnd: () => {},
    log: { ...silentLog, warn },
  };
  const options = { releases: folder, installed: '/none', isTrial: false, trialS: 1, keys: [key.publicKey] };
  updater = await Updater.start(options, deps);
});
afterEach(async () => {
  updater.stop();
  server.closeAllConnections();
  server.close();
  await rm(folder, { recursive: true });
});

/** Brings a message; returns the next report that is as wanted. */
function bring(payload: Uint8Array, wanted: (report: UpdateReport) => boolean): Promise<UpdateReport> {
  return new Promise((resolve) => {
    onReport = (report) => wanted(report) && resolve(report);
    hears({ topic: names.update, payload, retained: true } as Message);
  });
}

/** Announces a release; returns the next report that is as wanted. */
function announce(
  path: string,
  wanted: (report: UpdateReport) => boolean,
  said: Partial<UpdateManifest> = {},
): Promise<UpdateReport> {
  const manifest: UpdateManifest = {
    v: 1,
    action: 'install',
    version: '9.0.0',
    releases: { [HERE]: offered({ version: '9.0.0', url: base + path }, Buffer.from('right'), key) },
    canary: 0,
    rollout: 100,
    paused: false,
    since: 1,
    prepare: ['pi-1'],
    turn: [],
    ...said,
  };
  return bring(Buffer.from(JSON.stringify(manifest)), wanted);
}

describe('an update of a node', () => {
  it('follows a corrected address at once, and ends where it is paused', async () => {
    expect((await announce('/none', ({ text }) => text !== undefined)).text).toMatch(/\/none answers with 404/);
    await announce('/slow', ({ state }) => state === 'downloading');
    await vi.waitFor(() => expect(asked).toEqual(['/none', '/slow']));
    await announce('/slow', ({ state }) => state === 'idle', { paused: true });
    const said = await announce('/other', ({ state }) => state === 'refused', { since: 2 });
    expect(said.text).toMatch(/\/other is another file/);
    expect(asked).toEqual(['/none', '/slow', '/other']);
  });

  it('that was refused is not downloaded again before it is announced again', async () => {
    const isRefused = ({ state }: UpdateReport): boolean => state === 'refused';
    const isIdle = ({ state }: UpdateReport): boolean => state === 'idle';
    await announce('/other', isRefused);
    await bring(new Uint8Array(65_537), isIdle);
    expect(warn).toHaveBeenCalledWith(expect.stringMatching(/65537 bytes is ignored/));
    // The same announcement, as central writes it next, and as a new connection brings it again.
    await announce('/other', isRefused, { prepare: [] });
    await bring(new Uint8Array(0), isIdle);
    await announce('/other', isRefused);
    expect(asked).toEqual(['/other']);
    await announce('/other', ({ since, state }) => since === 2 && state === 'refused', { since: 2 });
    expect(asked).toEqual(['/other', '/other']);
  });
});
