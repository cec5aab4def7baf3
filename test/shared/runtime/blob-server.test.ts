import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type BlobStore, silentLog } from '../../../shared/ports.ts';
import { type BlobPartMessage, blobPartMessage } from '../../../shared/protocol/messages/blob.ts';
import { topics as topicsOf } from '../../../shared/protocol/topics.ts';
import { BlobServer } from '../../../shared/runtime/blob-server.ts';
import { openBlobStore } from '../../../shared/runtime/blob-store.ts';
import { Wire } from '../../../shared/runtime/wire.ts';
import { MemoryBroker } from '../../support/memory-bus.ts';

const topics = topicsOf();
const SIZE = 700_000;
const PIECES = Math.ceil(SIZE / (128 * 1024));
let folder: string;
let store: BlobStore;
let broker: MemoryBroker;
let reads = { now: 0, most: 0 };
let offered: string;
let secret: string;
let holders: string[];
let servers: BlobServer[];

/** A node that reads what is sent to it, and to all. */
async function nodeOf(id: string) {
  const wire = new Wire({ bus: broker.bus(), topics, self: id, log: silentLog, now: () => performance.now() });
  const answers: BlobPartMessage[] = [];
  let arrived = (): void => {};
  let request = 0;
  let got = 0;
  wire.on('blob-part', blobPartMessage, (_from, part) => {
    answers.push('d' in part ? { ...part, d: part.d.slice() } : part);
    if ('d' in part) {
      got += part.d.byteLength;
      void wire.send('central', 'blob-get', { v: 1, request, got });
    }
    arrived();
  });
  await wire.start();
  await wire.join();
  return {
    answers,
    ask: (sha: string, offset: number, length: number, direct = {}) =>
      wire.send('central', 'blob-get', { v: 1, request: ++request, ranges: [{ sha, offset, length }], ...direct }),
    settled: async (count: number) => {
      while (answers.length < count) await new Promise<void>((resolve) => (arrived = resolve));
    },
  };
}

/** How often pieces were sent to a receiver. */
const sentTo = (to: string): number =>
  broker.published.filter(({ topic }) => topic === topics.wire(to, 'blob-part', 'central')).length;

async function serve(self: string, isCentral: boolean): Promise<void> {
  const wire = new Wire({ bus: broker.bus(), topics, self, log: silentLog, now: () => performance.now() });
  const server = new BlobServer({
    wire,
    store,
    sizeOf: (sha) => (sha === offered ? SIZE : undefined),
    ...(isCentral ? { holders: () => holders } : {}),
    log: silentLog,
    now: () => performance.now(),
  });
  server.start();
  servers.push(server);
  await wire.start();
}

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-blobs-'));
  const real = await openBlobStore(folder);
  offered = await real.put(new Uint8Array(SIZE).fill(1));
  secret = await real.put(Uint8Array.of(1, 2, 3));
  reads = { now: 0, most: 0 };
  holders = [];
  servers = [];
  store = {
    ...real,
    read: async (...args) => {
      reads.most = Math.max(reads.most, ++reads.now);
      const bytes = await real.read(...args);
      reads.now--;
      return bytes;
    },
  };
  broker = new MemoryBroker();
});
afterEach(() => {
  for (const server of servers) server.stop();
  return rm(folder, { recursive: true });
});

describe('a blob server', () => {
  it('sends pieces of served models, and no other file of the store', async () => {
    await serve('central', true);
    const node = await nodeOf('pi-1');
    await node.ask(secret, 0, 3);
    await node.settled(1);
    await node.ask(offered, 10, 5);
    await node.settled(2);
    expect(node.answers).toEqual([
      { v: 1, sha: secret, error: 'no such piece' },
      { v: 1, sha: offered, size: SIZE, offset: 10, d: new Uint8Array(5).fill(1) },
    ]);
  });

  it('answers a range beyond the end with an error', async () => {
    await serve('central', true);
    const node = await nodeOf('pi-1');
    for (const [offset, length] of [
      [SIZE - 1, 2],
      [2 ** 52, 1],
    ] as const)
      await node.ask(offered, offset, length);
    await node.settled(2);
    expect(node.answers).toEqual(Array(2).fill({ v: 1, sha: offered, error: 'no such piece' }));
  });

  it('refuses names that are not hashes before it looks for a file', async () => {
    await serve('central', true);
    const node = await nodeOf('pi-1');
    for (const sha of ['../../etc/passwd', offered.toUpperCase(), `${offered}/x`, '']) await node.ask(sha, 0, 1);
    await node.ask(offered, 0, 1);
    await node.settled(1);
    expect(node.answers).toHaveLength(1);
  });

  it('reads a few pieces at a time and sends them in order', async () => {
    await serve('central', true);
    const node = await nodeOf('pi-1');
    await node.ask(offered, 0, SIZE);
    await node.settled(PIECES);
    expect(reads.most).toBeLessThanOrEqual(4);
    const offsets = node.answers.map((part) => ('offset' in part ? part.offset : -1));
    expect(offsets).toEqual(offsets.toSorted((a, b) => a - b));
  });

  it('sends what several nodes want once, to all of them', async () => {
    await serve('central', true);
    const nodes = await Promise.all(['pi-1', 'pi-2', 'pi-3'].map(nodeOf));
    await Promise.all(nodes.map((node) => node.ask(offered, 0, SIZE)));
    for (const node of nodes) await node.settled(PIECES);
    expect([sentTo('all'), sentTo('pi-1'), sentTo('pi-2'), sentTo('pi-3')]).toEqual([PIECES, 0, 0, 0]);
  });

  it('sends nothing to all where it is a node', async () => {
    await serve('central', false);
    const nodes = await Promise.all(['pi-1', 'pi-2'].map(nodeOf));
    await Promise.all(nodes.map((node) => node.ask(offered, 0, SIZE)));
    for (const node of nodes) await node.settled(PIECES);
    expect([sentTo('all'), sentTo('pi-1'), sentTo('pi-2')]).toEqual([0, PIECES, PIECES]);
  });

  it('names the nodes that have a blob to one that asks alone, and sends it where that did not help', async () => {
    await serve('central', true);
    holders = ['pi-1', 'pi-8', 'pi-9'];
    const node = await nodeOf('pi-1');
    await node.ask(offered, 0, SIZE);
    await node.settled(1);
    expect(node.answers).toEqual([{ v: 1, at: ['pi-8', 'pi-9'], shas: [offered] }]);
    await node.ask(offered, 0, SIZE, { direct: true });
    await node.settled(1 + PIECES);
  });

  it('sends a blob itself that several nodes want soon one after another, or else one node sends every copy', async () => {
    await serve('central', true);
    holders = ['pi-9'];
    const [first, ...others] = await Promise.all(['pi-1', 'pi-2', 'pi-3'].map(nodeOf));
    await first!.ask(offered, 0, SIZE);
    await first!.settled(1);
    await Promise.all(others.map((node) => node.ask(offered, 0, SIZE)));
    for (const node of others) await node.settled(PIECES);
    expect(sentTo('all')).toBe(PIECES);
  });
});
