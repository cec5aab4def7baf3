import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import type { BlobStore } from '../../../shared/ports.ts';
import { isSha, openBlobStore, removeUnused, UNUSED_BLOB_MS } from '../../../shared/runtime/blob-store.ts';

const bytes = Uint8Array.from({ length: 600_000 }, (_, i) => (i * 31) % 251);
const hashOf = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex');
const sha = hashOf(bytes);

let folder: string;
let store: BlobStore;
beforeEach(async () => {
  folder = join(await mkdtemp(join(tmpdir(), 'tessera-blobs-')), 'blobs');
  store = await openBlobStore(folder);
});
afterEach(() => rm(join(folder, '..'), { recursive: true }));

describe('a blob', () => {
  it('is a file named by its hash that only its owner reads', async () => {
    expect(await store.has(sha)).toBe(false);
    expect(await store.put(bytes)).toBe(sha);
    expect(await store.put(bytes)).toBe(sha);
    expect(await readdir(folder)).toEqual([sha]);
    expect(hashOf(await readFile(join(folder, sha)))).toBe(sha);
    expect([await store.has(sha), await store.size(sha)]).toEqual([true, bytes.length]);
    expect((await stat(folder)).mode & 0o777).toBe(0o700);
    expect((await stat(join(folder, sha))).mode & 0o077).toBe(0);
  });

  it('is read in ranges, cut at its end', async () => {
    await store.put(bytes);
    expect(await store.read(sha, 1000, 50)).toEqual(bytes.slice(1000, 1050));
    expect(await store.read(sha, bytes.length - 3, 50)).toEqual(bytes.slice(-3));
    expect(await store.read(sha, bytes.length + 3, 50)).toHaveLength(0);
  });

  it('is an error with a code where it does not exist', async () => {
    expect(await store.size(sha)).toBeUndefined();
    await expect(store.read(sha, 0, 1)).rejects.toMatchObject({ code: 'TESSERA_BLOB' });
  });

  it.each(['../secret', '/etc/passwd', `${'a'.repeat(63)}/`, 'A'.repeat(64), '', 'a'.repeat(65)])(
    'is never looked up under the name %j, or else a message reads files of this machine',
    async (name) => {
      expect(isSha(name)).toBe(false);
      await expect(store.size(name)).rejects.toMatchObject({ code: 'TESSERA_BLOB' });
      await expect(store.read(name, 0, 1)).rejects.toMatchObject({ code: 'TESSERA_BLOB' });
      await expect(store.receive(name, 1)).rejects.toMatchObject({ code: 'TESSERA_BLOB' });
    },
  );
});

describe('a blob that is being written', () => {
  it('is not visible before it is complete and has its hash', async () => {
    const writer = await store.receive(sha, bytes.length);
    await writer.write(300_000, bytes.subarray(300_000));
    expect(await store.has(sha)).toBe(false);
    await writer.write(0, bytes.subarray(0, 300_000));
    expect(await store.has(sha)).toBe(false);
    await writer.commit();
    expect(hashOf(await store.read(sha, 0, bytes.length))).toBe(sha);
    expect(await readdir(folder)).toEqual([sha]);
  });

  it('leaves no file behind when its hash is wrong, or else a node computes with other weights', async () => {
    const writer = await store.receive(sha, bytes.length);
    const wrong = bytes.slice();
    wrong[5]! ^= 1;
    await writer.write(0, wrong);
    await expect(writer.commit()).rejects.toMatchObject({ code: 'TESSERA_BLOB' });
    expect(await readdir(folder)).toEqual([]);
  });

  it('leaves no file behind when a part is missing or writing is aborted', async () => {
    const short = await store.receive(sha, bytes.length);
    await short.write(0, bytes.subarray(0, 1000));
    await expect(short.commit()).rejects.toMatchObject({ code: 'TESSERA_BLOB' });
    const dropped = await store.receive(sha, bytes.length);
    await dropped.abort();
    await dropped.abort();
    expect(await readdir(folder)).toEqual([]);
  });

  it('refuses bytes beyond its size, or else a sender fills the disk', async () => {
    const writer = await store.receive(sha, 10);
    await expect(writer.write(5, new Uint8Array(6))).rejects.toMatchObject({ code: 'TESSERA_BLOB' });
    await writer.abort();
  });

  it('may be written twice at once, as when several agents of one machine share the folder', async () => {
    const other = await openBlobStore(folder);
    const writers = await Promise.all([store.receive(sha, bytes.length), other.receive(sha, bytes.length)]);
    await Promise.all(writers.map((writer) => writer.write(0, bytes)));
    await Promise.all(writers.map((writer) => writer.commit()));
    expect(await readdir(folder)).toEqual([sha]);
    expect(hashOf(await other.read(sha, 0, bytes.length))).toBe(sha);
  });
});

it('removes files that a dead process left a day ago, and no newer ones', async () => {
  const old = join(folder, `tmp-${'0'.repeat(16)}`);
  const young = join(folder, `tmp-${'1'.repeat(16)}`);
  await writeFile(old, 'x');
  await writeFile(young, 'x');
  await utimes(old, new Date(), new Date(Date.now() - 25 * 3600 * 1000));
  await openBlobStore(folder);
  expect(await readdir(folder)).toEqual([young.slice(folder.length + 1)]);
});

it('removes blobs that no process used for long, and no others, or else slices of old plans fill the disk', async () => {
  const other = await store.put(bytes.subarray(1));
  await store.put(bytes);
  await writeFile(join(folder, 'notes'), '');
  const long = new Date(Date.now() - UNUSED_BLOB_MS - 1000);
  for (const name of [other, sha, 'notes']) await utimes(join(folder, name), long, long);
  await (await openBlobStore(folder)).size(sha);
  await removeUnused(folder, Date.now());
  expect((await readdir(folder)).sort()).toEqual([sha, 'notes'].sort());
});

it('goes on using what a process uses, and looks for the rest every hour', async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  onTestFinished(() => void vi.useRealTimers());
  const owner = await openBlobStore(folder, { isOwner: true });
  const other = await store.put(bytes.subarray(1));
  await owner.put(bytes);
  const received = bytes.subarray(2);
  const writer = await owner.receive(hashOf(received), received.byteLength);
  await writer.write(0, received);
  await writer.commit();
  const long = new Date(Date.now() - UNUSED_BLOB_MS - 1000);
  for (const name of [other, sha, hashOf(received)]) await utimes(join(folder, name), long, long);
  vi.advanceTimersByTime(3_600_000);
  await vi.waitFor(async () => expect((await readdir(folder)).sort()).toEqual([sha, hashOf(received)].sort()));
});

it('has a hint for a folder that cannot be used', async () => {
  const file = join(folder, 'file');
  await writeFile(file, '');
  await expect(openBlobStore(file)).rejects.toMatchObject({ code: 'TESSERA_STORAGE', hint: expect.any(String) });
});

it('makes its folder again if it was removed while the process runs', async () => {
  await rm(folder, { recursive: true });
  expect(await store.put(bytes)).toBe(sha);
  await rm(folder, { recursive: true });
  const writer = await store.receive(sha, bytes.length);
  await writer.write(0, bytes);
  await writer.commit();
  expect(await readdir(folder)).toEqual([sha]);
});
