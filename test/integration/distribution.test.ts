import { createHash } from 'node:crypto';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { NO_MOSQUITTO } from '../../bench/testbed/mosquitto.ts';
import { BlobFetch } from '../../node-agent/blob-fetch.ts';
import { CENTRAL } from '../../shared/plan/plan.ts';
import { silentLog } from '../../shared/ports.ts';
import { blobPartMessage } from '../../shared/protocol/messages/blob.ts';
import { ALL, topics as topicsOf } from '../../shared/protocol/topics.ts';
import { BlobServer } from '../../shared/runtime/blob-server.ts';
import { openBlobStore } from '../../shared/runtime/blob-store.ts';
import { connectBus } from '../../shared/runtime/mqtt.ts';
import { Wire } from '../../shared/runtime/wire.ts';
import { GUARDED_BROKERS, type GuardedBroker, PASSWORD, type User } from '../support/guarded-broker.ts';
import { recordingLog } from '../support/recording-log.ts';

/** Pieces of models on running brokers that enforce the access rules. */

const topics = topicsOf();
const NODES = ['pi-1', 'pi-2', 'pi-3', 'pi-4'];
const NEVER = new AbortController().signal;

const blobs = [1, 2, 3, 4].map((seed) => {
  const bytes = Uint8Array.from({ length: 700_000 + seed }, (_, k) => (k * seed * 31) % 251);
  return { bytes, size: bytes.byteLength, sha: createHash('sha256').update(bytes).digest('hex') };
});
const TOTAL = blobs.reduce((sum, { size }) => sum + size, 0);

const USERS: readonly User[] = [
  { role: 'central', name: CENTRAL },
  ...NODES.map((name) => ({ role: 'node', name }) as const),
];

describe.each(GUARDED_BROKERS)('on $name', (kind) => {
  let broker: GuardedBroker | undefined;
  let folder: string;
  beforeAll(async () => {
    broker = await kind.start(USERS);
    folder = await mkdtemp(join(tmpdir(), 'tessera-distribution-'));
  });
  afterAll(async () => {
    await broker?.stop();
    await rm(folder, { recursive: true });
  });

  async function wireOf(self: string, about: Partial<ConstructorParameters<typeof Wire>[0]> = {}) {
    const clientId = `tessera-${self}-${Math.random().toString(36).slice(2)}`;
    const bus = await connectBus({ url: broker!.url, user: self, password: PASSWORD, clientId, log: silentLog });
    onTestFinished(() => bus.stop());
    return { bus, wire: new Wire({ bus, topics, self, log: silentLog, now: () => performance.now(), ...about }) };
  }

  /** `beforeRead` can delay what central sends. */
  async function central(holders: string[] = [], beforeRead = async (): Promise<unknown> => undefined) {
    const store = await openBlobStore(await mkdtemp(join(folder, 'central-')));
    for (const { bytes } of blobs) await store.put(bytes);
    const { bus, wire } = await wireOf('central');
    const sizeOf = (sha: string) => blobs.find((blob) => blob.sha === sha)?.size;
    const server = new BlobServer({
      wire,
      store: { read: (...range) => beforeRead().then(() => store.read(...range)) },
      sizeOf,
      holders: () => holders,
      log: silentLog,
      now: () => performance.now(),
    });
    server.start();
    await wire.start();
    return { bus, wire };
  }

  async function node(self: string) {
    const store = await openBlobStore(await mkdtemp(join(folder, `${self}-`)));
    const log = recordingLog();
    const { wire } = await wireOf(self, { only: 'central', fromAny: ['blob-get', 'blob-part'] });
    const fetch: BlobFetch = new BlobFetch({
      self,
      store,
      send: (to, message) => wire.send(to, 'blob-get', message),
      join: () => wire.join(),
      patienceMs: [500, 2000, 10_000],
      log,
    });
    wire.on('blob-part', blobPartMessage, (from, part) => fetch.accept(from, part));
    const sizeOf = (sha: string) => blobs.find((blob) => blob.sha === sha)?.size;
    new BlobServer({ wire, store, sizeOf, log, now: () => performance.now() }).start();
    await wire.start();
    const here = async () => (await readdir(store.folder)).sort();
    return { store, wire, log, here, bring: (signal = NEVER) => fetch.fetch('central', blobs, signal) };
  }
  const everything = blobs.map(({ sha }) => sha).sort();

  it('pieces for several nodes cross central’s link once', async ({ skip }) => {
    if (broker === undefined) return skip(NO_MOSQUITTO);
    const { wire } = await central();
    const nodes = await Promise.all(NODES.map(node));
    await Promise.all(nodes.map((one) => one.bring()));
    for (const one of nodes) expect(await one.here()).toEqual(everything);
    expect(wire.counters.sent_bytes).toBeGreaterThan(TOTAL);
    // One copy and the messages around it; a node that asked late for the first blob may have got some of it again.
    expect(wire.counters.sent_bytes).toBeLessThan(1.5 * TOTAL);
  });

  it('a node that comes later gets them from another node', async ({ skip }) => {
    if (broker === undefined) return skip(NO_MOSQUITTO);
    const { wire } = await central(['pi-2']);
    const holder = await node('pi-2');
    for (const { bytes } of blobs) await holder.store.put(bytes);
    const late = await node('pi-1');
    await late.bring();
    expect(await late.here()).toEqual(everything);
    expect(wire.counters.sent_bytes).toBeLessThan(2000);
    expect(holder.wire.counters.sent_bytes).toBeGreaterThan(TOTAL);
  });

  it('a node that sends wrong bytes is left aside, and the pieces come from central', async ({ skip }) => {
    if (broker === undefined) return skip(NO_MOSQUITTO);
    await central(['pi-2']);
    const liar = await node('pi-2');
    for (const { sha, bytes } of blobs)
      await writeFile(
        join(liar.store.folder, sha),
        bytes.map((byte) => byte ^ 1),
      );
    const honest = await node('pi-1');
    await honest.bring();
    expect(await honest.here()).toEqual(everything);
    expect(honest.log.lines.join('\n')).toMatch(/warn pi-2 sent wrong bytes/);
  });

  it('a node hears nothing that another node sends to all', async ({ skip }) => {
    if (broker === undefined) return skip(NO_MOSQUITTO);
    await central();
    const [good, bad] = [await node('pi-1'), await node('pi-2')];
    await good.wire.join();
    const [{ sha, size }] = blobs as [(typeof blobs)[number]];
    await bad.wire.send(ALL, 'blob-part', { v: 1, sha, size, offset: 0, d: new Uint8Array(100) });
    await bad.wire.send('pi-1', 'blob-part', { v: 1, sha, error: 'last' });
    await expect.poll(() => good.wire.counters.received).toBe(1);
    await good.bring();
    expect(await good.here()).toEqual(everything);
  });

  it('goes on with the next central where one ends in the middle', async ({ skip }) => {
    if (broker === undefined) return skip(NO_MOSQUITTO);
    let reads = 0;
    let ended: () => void = () => {};
    const end = new Promise<void>((resolve) => (ended = resolve));
    const first = await central([], () => {
      if (++reads > 9) ended();
      return reads > 9 ? new Promise(() => {}) : Promise.resolve();
    });
    const nodes = [await node('pi-1'), await node('pi-2')];
    const brought = Promise.all(nodes.map((one) => one.bring()));
    await end;
    await first.bus.stop();
    const { wire } = await central();
    await brought;
    for (const one of nodes) expect(await one.here()).toEqual(everything);
    // Not all of it again.
    expect(wire.counters.sent_bytes).toBeLessThan(TOTAL);
  });
});
