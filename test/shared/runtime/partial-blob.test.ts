import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rename, rm, stat, truncate, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { BlobStore } from '../../../shared/ports.ts';
import { openBlobStore } from '../../../shared/runtime/blob-store.ts';

const bytes = Uint8Array.from({ length: 600_000 }, (_, i) => (i * 31) % 251);
const sha = createHash('sha256').update(bytes).digest('hex');
const DAY = 24 * 3600 * 1000;

let folder: string;
let store: BlobStore;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-partial-'));
  store = await openBlobStore(folder);
});
afterEach(() => rm(folder, { recursive: true }));

/** Writes the first `count` bytes and stops; returns the name of the remaining file, which bears this process's id. */
async function bring(count: number, data = bytes): Promise<string> {
  const writer = await store.receive(sha, bytes.length);
  await writer.write(0, data.subarray(0, count));
  await writer.abort();
  return (await readdir(folder)).find((name) => name.split('-')[3] === `${process.pid}`)!;
}

/** Assigns a remaining file to another process of this host. */
async function giveTo(pid: number, name: string): Promise<string> {
  const [part, hash, host, , random] = name.split('-');
  const other = [part, hash, host, pid, random].join('-');
  await rename(join(folder, name), join(folder, other));
  return other;
}

/** A process id that is not in use any more. */
const gonePid = (): number => spawnSync(process.execPath, ['-e', '']).pid;

describe('a blob whose fetch was interrupted', () => {
  it('continues where it stopped, or else a large weight never arrives over a slow link', async () => {
    await bring(200_000);
    expect(store.arrived(sha)).toBe(200_000);
    const writer = await store.receive(sha, bytes.length);
    expect(writer.arrived).toBe(200_000);
    await writer.write(200_000, bytes.subarray(200_000));
    await writer.commit();
    expect(await readdir(folder)).toEqual([sha]);
    expect(Buffer.compare(await readFile(join(folder, sha)), bytes)).toBe(0);
  });

  it('counts only bytes that arrived without a gap', async () => {
    const writer = await store.receive(sha, bytes.length);
    await writer.write(0, bytes.subarray(0, 1000));
    await writer.write(2000, bytes.subarray(2000));
    await writer.abort();
    expect((await store.receive(sha, bytes.length)).arrived).toBe(1000);
  });

  it('continues in the next process after a kill', async () => {
    await giveTo(gonePid(), await bring(300_000));
    const next = await openBlobStore(folder);
    expect((await next.receive(sha, bytes.length)).arrived).toBe(300_000);
    // And only in one process.
    expect((await store.receive(sha, bytes.length)).arrived).toBe(0);
  });

  it('is checked: a wrong part is removed with its file', async () => {
    const wrong = bytes.map((byte) => byte ^ 1);
    await bring(300_000, wrong);
    const writer = await store.receive(sha, bytes.length);
    await writer.write(300_000, bytes.subarray(300_000));
    await expect(writer.commit()).rejects.toMatchObject({ code: 'TESSERA_BLOB' });
    expect(await readdir(folder)).toEqual([]);
    expect((await store.receive(sha, bytes.length)).arrived).toBe(0);
  });

  it('is not continued if it is longer than the blob', async () => {
    await truncate(join(folder, await bring(300_000)), 700_000);
    const next = await openBlobStore(folder);
    expect((await next.receive(sha, bytes.length)).arrived).toBe(0);
  });

  it('is not touched while its process lives, or else two agents with the same folder damage the file', async () => {
    const alive = await giveTo(process.ppid, await bring(300_000));
    const next = await openBlobStore(folder);
    const writer = await next.receive(sha, bytes.length);
    expect(writer.arrived).toBe(0);
    await writer.write(0, bytes);
    await writer.commit();
    expect((await readdir(folder)).sort()).toEqual([sha, alive].sort());
    expect((await stat(join(folder, alive))).size).toBe(300_000);
  });
});

describe('a part that no process will continue', () => {
  it('is removed at the next start if the blob is complete by now, or the part is older than a day', async () => {
    const old = await giveTo(gonePid(), await bring(1000));
    const ages = new Date(Date.now() - DAY - 60_000);
    await utimes(join(folder, old), ages, ages);
    const alive = await giveTo(process.ppid, await bring(1000));
    await utimes(join(folder, alive), ages, ages);
    await openBlobStore(folder);
    expect(await readdir(folder)).toEqual([]);
    const done = await giveTo(gonePid(), await bring(1000));
    await store.put(bytes);
    expect(await readdir(folder)).toContain(done);
    await openBlobStore(folder);
    expect(await readdir(folder)).toEqual([sha]);
  });

  it('is removed beyond 2 GB in total, the oldest first', async () => {
    const name = await bring(1000);
    const [part, , host] = name.split('-');
    await rm(join(folder, name));
    const pid = gonePid();
    const left = ['a', 'b', 'c'].map((letter) => [part, letter.repeat(64), host, pid, '0'.repeat(12)].join('-'));
    for (const [index, one] of left.entries()) {
      await writeFile(join(folder, one), '');
      await truncate(join(folder, one), 900_000_000);
      const changed = new Date(Date.now() - (3 - index) * 3_600_000);
      await utimes(join(folder, one), changed, changed);
    }
    await openBlobStore(folder);
    expect((await readdir(folder)).sort()).toEqual(left.slice(1));
  });
});
