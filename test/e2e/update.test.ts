import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startBroker } from '../../broker/broker.ts';
import { type Bus, silentLog } from '../../shared/ports.ts';
import type { OfferedRelease, UpdateManifest, UpdateReport } from '../../shared/protocol/messages/update.ts';
import { topics } from '../../shared/protocol/topics.ts';
import { connectBus } from '../../shared/runtime/mqtt.ts';
import { bundleArchive, HERE, installBundle, offered, releaseKey } from '../support/fake-bundle.ts';
import { smallDisk } from '../support/small-disk.ts';

/**
 * Updates of agents that run from a bundle, as processes. If it fails, a bad release, a cut of the power, or a
 * stranger's archive takes a node away.
 */

const lacks = [
  ...(spawnSync('which', ['zstd']).status === 0 ? [] : ['the program zstd']),
  ...(process.platform === 'linux' ? [] : ['Linux']),
];
const NODE = 'pi-1';
const names = topics('tessera');
const key = releaseKey();

let root: string;
let program: string;
let good: Buffer;
let server: Server;
let url: string;
/** What the server sends, and the ranges that it was asked for. */
let served: Uint8Array;
let ranges: (string | undefined)[];
/** Bytes after which the connection is cut, once. */
let cutAt: number | undefined;

let broker: Awaited<ReturnType<typeof startBroker>>;
let bus: Bus;
let state: string;
let agent: ChildProcess | undefined;
let reports: UpdateReport[];
let waiting: { readonly wanted: (report: UpdateReport) => boolean; readonly resolve: (report: UpdateReport) => void }[];

const onReport = (payload: Uint8Array): void => {
  const report = JSON.parse(Buffer.from(payload).toString()) as UpdateReport;
  reports.push(report);
  const [done, left] = [
    waiting.filter(({ wanted }) => wanted(report)),
    waiting.filter(({ wanted }) => !wanted(report)),
  ];
  waiting = left;
  for (const { resolve } of done) resolve(report);
};

/** The next report that is as wanted; those that came before do not count. */
const report = (wanted: (report: UpdateReport) => boolean): Promise<UpdateReport> =>
  new Promise((resolve) => waiting.push({ wanted, resolve }));
const runs = (version: string, state: UpdateReport['state'] = 'idle') =>
  report((said) => said.version === version && said.state === state);

function start(env: Readonly<Record<string, string>> = {}): void {
  agent = spawn(program, ['agent', '--broker', broker.urls[0]!, '--id', NODE], {
    // A group of its own, which ends together, as with the power.
    detached: true,
    stdio: ['ignore', 'inherit', 'inherit'],
    env: {
      ...process.env,
      STATE_DIRECTORY: state,
      TESSERA_CONFIG: '',
      TESSERA_UPDATES__KEYS: JSON.stringify([key.publicKey]),
      TESSERA_UPDATES__TRIAL_S: '1',
      TESSERA_LOG__LEVEL: process.env.TESSERA_LOG__LEVEL ?? 'silent',
      ...env,
    },
  });
}

async function end(signal: 'SIGKILL' | 'SIGTERM'): Promise<number | null> {
  if (agent === undefined) return null;
  const ended = once(agent, 'exit');
  const { pid } = agent;
  agent = undefined;
  process.kill(signal === 'SIGKILL' ? -pid! : pid!, signal);
  const [code] = await ended;
  return code;
}

let since = 0;
function announce(release: OfferedRelease | undefined, said: Partial<UpdateManifest> = {}): Promise<void> {
  const manifest: UpdateManifest = {
    v: 1,
    action: 'install',
    version: '0.2.0',
    releases: release === undefined ? {} : { [HERE]: release },
    canary: 0,
    rollout: 100,
    paused: false,
    since: ++since,
    prepare: [NODE],
    turn: [NODE],
    ...said,
  };
  return bus.publish(names.update, JSON.stringify(manifest), { qos: 1, retain: true });
}

describe.skipIf(lacks.length > 0)(`an update${lacks.length > 0 ? ` (skipped: no ${lacks.join(', ')})` : ''}`, () => {
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'tessera-update-'));
    program = await installBundle(root, '0.1.0');
    good = await bundleArchive('0.2.0');
    server = createServer((request, response) => {
      const { range } = request.headers;
      ranges.push(range);
      const from = Number(range?.match(/^bytes=(\d+)-$/)?.[1] ?? 0);
      response.writeHead(range === undefined ? 200 : 206, { 'content-length': served.byteLength - from });
      if (cutAt === undefined) return response.end(served.subarray(from));
      response.write(served.subarray(from, cutAt), () => setTimeout(() => response.destroy(), 50));
      cutAt = undefined;
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/archive`;
  });
  afterAll(async () => {
    server?.close();
    await rm(root, { recursive: true, force: true });
  });

  beforeEach(async () => {
    served = good;
    ranges = [];
    cutAt = undefined;
    reports = [];
    waiting = [];
    state = await mkdtemp(join(tmpdir(), 'tessera-update-state-'));
    broker = await startBroker({ listen: ['mqtt://127.0.0.1:0'], anonymous: 'loopback', log: silentLog });
    bus = await connectBus({ url: broker.urls[0]!, clientId: 'operator', log: silentLog });
    await bus.subscribe(names.nodeUpdate(NODE), 1, ({ payload }) => onReport(payload));
  });
  afterEach(async () => {
    await end('SIGKILL');
    await bus.stop();
    await broker.stop();
    await rm(state, { recursive: true, force: true });
  });

  it('is loaded, tested, tried and kept; a download that broke off is continued', async () => {
    const info = new Set<string>();
    await bus.subscribe(names.nodeInfo(NODE), 1, ({ payload }) => {
      info.add(JSON.parse(Buffer.from(payload).toString()).version);
    });
    start();
    await runs('0.1.0');
    cutAt = Math.floor(good.byteLength / 2);
    await announce(offered({ version: '0.2.0', url }, good, key));
    const kept = await runs('0.2.0');
    expect(kept.previous).toBe('0.1.0');
    expect(ranges).toEqual([undefined, `bytes=${Math.floor(good.byteLength / 2)}-`]);
    expect([...new Set(reports.map(({ state }) => state))]).toEqual([
      'idle',
      'downloading',
      'testing',
      'ready',
      'switching',
      'trial',
    ]);
    expect([...info]).toEqual(['0.1.0', '0.2.0']);
    expect(await end('SIGTERM')).toBe(0);

    start();
    await runs('0.2.0');
    await announce(undefined, { action: 'rollback' });
    expect(await runs('0.1.0')).toMatchObject({ previous: '0.2.0' });
  });

  it.each([
    ['crashes', 'it ended by itself, with exit code 3'],
    ['hangs', 'it was not online within 3 s'],
  ] as const)('that %s is given up, and the node comes back by itself', async (fault, why) => {
    served = await bundleArchive('0.2.0', fault);
    start({ TESSERA_ONLINE_S: '3' });
    await runs('0.1.0');
    await announce(offered({ version: '0.2.0', url }, served, key));
    await runs('0.1.0', 'switching');
    const switched = performance.now();
    expect(await report(({ state }) => state === 'failed')).toMatchObject({ version: '0.1.0', to: '0.2.0', text: why });
    expect(performance.now() - switched).toBeLessThan(60_000);
  });

  it('of a stranger, for another platform, with another archive, or that fails its own self-test, is refused and not tried', async () => {
    start();
    await runs('0.1.0');
    const refusal = async (release: OfferedRelease): Promise<string | undefined> => {
      await announce(release);
      const said = await report(({ state }) => state === 'refused');
      expect(said).toMatchObject({ version: '0.1.0', to: '0.2.0' });
      return said.text;
    };
    expect(await refusal(offered({ version: '0.2.0', url }, good, releaseKey()))).toMatch(/not signed by a key/);
    const other = offered({ version: '0.2.0', url, platform: 'linux-arm' }, good, key);
    expect(await refusal(other)).toMatch(/0\.2\.0 for linux-arm, not 0\.2\.0 for/);
    expect(await refusal(offered({ version: '0.2.0', url }, Buffer.from('else'), key))).toMatch(/another file/);
    served = await bundleArchive('0.2.0', 'fails its self-test');
    expect(await refusal(offered({ version: '0.2.0', url }, served, key))).toMatch(/does not pass its self-test/);
    expect(reports.map(({ state }) => state)).not.toContain('switching');
  });

  it('waits for room on a full disk', async (context) => {
    const disk = await smallDisk('64m');
    if (disk === undefined) return context.skip('this process may not mount a small disk');
    try {
      start({ STATE_DIRECTORY: disk.folder });
      await runs('0.1.0');
      const free = disk.fill();
      await announce(offered({ version: '0.2.0', url }, good, key));
      expect((await report(({ text }) => text !== undefined)).text).toMatch(/MB are free|disk is full/);
      free();
      await runs('0.2.0');
      await end('SIGTERM');
    } finally {
      await end('SIGKILL');
      disk.remove();
    }
  });

  it('is refused where a newer one has set a later minimum', async () => {
    start();
    await runs('0.1.0');
    await announce(offered({ version: '0.2.0', url, minimum: '0.2.0' }, good, key));
    await runs('0.2.0');
    served = await bundleArchive('0.1.9');
    await announce(offered({ version: '0.1.9', url }, served, key), { version: '0.1.9' });
    expect((await report(({ state }) => state === 'refused')).text).toMatch(/0\.1\.9 is older than 0\.2\.0/);
    await announce(undefined, { action: 'rollback' });
    expect((await report(({ to }) => to === '0.1.0')).text).toMatch(/0\.1\.0 is older than 0\.2\.0/);
  });

  it.each(['downloading', 'testing', 'ready', 'switching', 'trial'] as const)(
    'goes on after a cut of the power while it is %s',
    async (step) => {
      start();
      await runs('0.1.0');
      const reached = report(({ state }) => state === step);
      await announce(offered({ version: '0.2.0', url }, good, key));
      await reached;
      await end('SIGKILL');
      const kept = runs('0.2.0');
      start();
      await kept;
      expect(await readFile(join(state, 'releases', 'memory.json'), 'utf8')).not.toContain('failed');
    },
  );
});
