import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { serveBlobs } from '../../central/blob-server.ts';
import { type BlobStore, silentLog } from '../../shared/ports.ts';
import { type BlobPartMessage, blobPartMessage } from '../../shared/protocol/messages/blob.ts';
import { topics as topicsOf } from '../../shared/protocol/topics.ts';
import { openBlobStore } from '../../shared/runtime/blob-store.ts';
import { Wire } from '../../shared/runtime/wire.ts';
import { MemoryBroker } from '../support/memory-bus.ts';

const topics = topicsOf();
let folder: string;
let store: BlobStore;
let node: Wire;
let reads = { now: 0, most: 0 };
let offered: string;
let secret: string;
let answers: BlobPartMessage[];
let settled: (count: number) => Promise<void>;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-blobs-'));
  const real = await openBlobStore(folder);
  offered = await real.put(new Uint8Array(100_000).fill(1));
  secret = await real.put(Uint8Array.of(1, 2, 3));
  reads = { now: 0, most: 0 };
  store = {
    ...real,
    read: async (...args) => {
      reads.most = Math.max(reads.most, ++reads.now);
      const bytes = await real.read(...args);
      reads.now--;
      return bytes;
    },
  };
  const broker = new MemoryBroker();
  const wire = (self: string) =>
    new Wire({ bus: broker.bus(), topics, self, log: silentLog, now: () => performance.now() });
  const central = wire('central');
  node = wire('pi-1');
  answers = [];
  let arrived = () => {};
  settled = async (count) => {
    while (answers.length < count) await new Promise<void>((resolve) => (arrived = resolve));
  };
  node.on('blob-part', blobPartMessage, (_from, part) => {
    answers.push({ ...part, ...(part.d && { d: part.d.slice() }) });
    arrived();
  });
  serveBlobs(central, store, (sha) => sha === offered, silentLog);
  await central.start();
  await node.start();
});
afterEach(() => rm(folder, { recursive: true }));

const ask = (sha: string, offset: number, length: number) =>
  node.send('central', 'blob-get', { v: 1, sha, offset, length });

describe('serveBlobs', () => {
  it('sends blobs of offered plans, and no other file of the store', async () => {
    await ask(offered, 10, 5);
    await ask(secret, 0, 3);
    await settled(2);
    expect(answers).toContainEqual({ v: 1, sha: offered, size: 100_000, offset: 10, d: new Uint8Array(5).fill(1) });
    expect(answers).toContainEqual({ v: 1, sha: secret, size: 0, offset: 0, error: 'no such piece' });
  });

  it('answers a range beyond the end with the bytes that exist, or with an error', async () => {
    await ask(offered, 99_999, 1_000_000);
    await ask(offered, 2 ** 52, 1);
    await settled(2);
    expect(answers.map(({ d, error }) => d?.byteLength ?? error)).toEqual(expect.arrayContaining([1, 'no such piece']));
  });

  it('refuses names that are not hashes before it looks for a file', async () => {
    for (const sha of ['../../etc/passwd', offered.toUpperCase(), `${offered}/x`, '']) await ask(sha, 0, 1);
    await ask(offered, 0, 1);
    await settled(1);
    expect(answers).toHaveLength(1);
  });

  it('reads a few ranges at a time, however many are requested at once', async () => {
    await Promise.all(Array.from({ length: 500 }, () => ask(offered, 0, 100_000)));
    await settled(500);
    expect(reads.most).toBeLessThanOrEqual(16);
  });
});
