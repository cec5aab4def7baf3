import { createHash } from 'node:crypto';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BlobFetch } from '../../node-agent/blob-fetch.ts';
import type { BlobStore } from '../../shared/ports.ts';
import type { BlobGetMessage, BlobPartMessage } from '../../shared/protocol/messages/blob.ts';
import { openBlobStore } from '../../shared/runtime/blob-store.ts';

const CHUNK = 128 * 1024;
const NEVER = new AbortController().signal;

function blob(size: number, seed: number) {
  const bytes = Uint8Array.from({ length: size }, (_, i) => (i * seed) % 253);
  return { bytes, size, sha: createHash('sha256').update(bytes).digest('hex') };
}
const blobs = [blob(3 * CHUNK + 17, 7), blob(1500, 11), blob(CHUNK, 13), blob(2 * CHUNK, 17), blob(0, 1), blob(9, 3)];

let folder: string;
let store: BlobStore;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-fetch-'));
  store = await openBlobStore(folder);
});
afterEach(() => rm(folder, { recursive: true }));

/** A fetch from a peer that has `blobs`; `answer` may change, drop (undefined) or delay its answers. */
function link(
  answer: (request: BlobGetMessage, part: BlobPartMessage) => BlobPartMessage | undefined = (_, part) => part,
  patienceMs = [5, 5, 5],
) {
  const asked: BlobGetMessage[] = [];
  let open = 0;
  let most = 0;
  const fetch: BlobFetch = new BlobFetch({
    store,
    patienceMs,
    send: async (_to, request) => {
      asked.push(request);
      open++;
      most = Math.max(most, open);
      setImmediate(() => {
        open--;
        const { bytes, size } = blobs.find((candidate) => candidate.sha === request.sha)!;
        const { sha, offset, length } = request;
        const part = answer(request, { v: 1, sha, size, offset, d: bytes.slice(offset, offset + length) });
        if (part !== undefined) fetch.accept('central', part);
      });
    },
  });
  return { fetch, asked, most: () => most };
}

async function expectAll(): Promise<void> {
  for (const { sha, size } of blobs) expect(await store.size(sha)).toBe(size);
  expect((await readdir(folder)).sort()).toEqual(blobs.map(({ sha }) => sha).sort());
}

describe('a fetch', () => {
  it('brings every blob, each once, in chunks, a few at a time', async () => {
    const { fetch, asked, most } = link();
    await fetch.fetch('central', [...blobs, blobs[0]!], NEVER);
    await expectAll();
    expect(asked).toHaveLength(4 + 1 + 1 + 2 + 0 + 1);
    expect(Math.max(...asked.map((request) => request.length))).toBe(CHUNK);
    expect(most()).toBeLessThanOrEqual(4);
    expect(most()).toBeGreaterThan(1);
  });

  it('requests lost chunks again, or else one dropped message costs the node the plan', async () => {
    const lost = new Set<string>();
    const { fetch } = link(({ sha, offset }, part) => {
      const key = `${sha}:${offset}`;
      if (lost.has(key)) return part;
      lost.add(key);
      return undefined;
    });
    await fetch.fetch('central', blobs, NEVER);
    await expectAll();
  });

  it('requests only what is missing, or else a cut connection starts a gigabyte from the beginning', async () => {
    await store.put(blobs[0]!.bytes);
    const { fetch, asked } = link();
    await fetch.fetch('central', blobs, NEVER);
    expect(asked.some(({ sha }) => sha === blobs[0]!.sha)).toBe(false);
  });

  it('keeps complete blobs and nothing else when the peer stops answering', async () => {
    const { fetch } = link(({ sha }, part) => (sha === blobs[1]!.sha ? part : undefined));
    await expect(fetch.fetch('central', blobs.slice(0, 3), NEVER)).rejects.toMatchObject({ code: 'TESSERA_BLOB' });
    expect((await readdir(folder)).filter((name) => name !== blobs[1]!.sha)).toEqual([]);
  });

  it("refuses a blob with another hash, or else any client that can answer could change the model's weights", async () => {
    const { fetch } = link((_, part) => ({ ...part, d: part.d!.map((byte) => byte ^ 1) }));
    await expect(fetch.fetch('central', [blobs[2]!], NEVER)).rejects.toThrow(/hash/);
    expect(await readdir(folder)).toEqual([]);
  });

  it.each([
    ['an error', (part: BlobPartMessage): BlobPartMessage => ({ ...part, d: undefined, error: 'no such piece' })],
    ['another size', (part: BlobPartMessage): BlobPartMessage => ({ ...part, size: part.size + 1 })],
    ['too few bytes', (part: BlobPartMessage): BlobPartMessage => ({ ...part, d: part.d!.subarray(1) })],
  ])('fails at once on %s', async (_, change) => {
    const { fetch, asked } = link((_request, part) => change(part), [60_000]);
    await expect(fetch.fetch('central', [blobs[1]!], NEVER)).rejects.toMatchObject({ code: 'TESSERA_BLOB' });
    expect(asked).toHaveLength(1);
  });

  it('requests no blob for which the disk has no room', async () => {
    const { asked, fetch } = link();
    const small = new BlobFetch({ store, send: async () => {}, freeBytes: async () => 1000 });
    const vast = { sha: 'a'.repeat(64), size: 2 ** 52 };
    await expect(small.fetch('central', [vast], NEVER)).rejects.toMatchObject({ code: 'TESSERA_BLOB' });
    await expect(small.fetch('central', blobs, NEVER)).rejects.toThrow(/has 1000 left/);
    expect(asked).toEqual([]);
    await fetch.fetch('central', blobs, NEVER);
    await small.fetch('central', blobs, NEVER);
  });

  it('accepts answers only from the peer that it asked', async () => {
    const { fetch } = link(() => undefined, [20]);
    const { sha, size, bytes } = blobs[1]!;
    const done = fetch.fetch('central', [blobs[1]!], NEVER);
    fetch.accept('node-b', { v: 1, sha, size, offset: 0, d: bytes });
    await expect(done).rejects.toThrow(/does not answer/);
  });

  it('ends when it is aborted, and leaves no file behind', async () => {
    const abort = new AbortController();
    const { fetch } = link(() => {
      abort.abort();
      return undefined;
    }, [60_000]);
    await expect(fetch.fetch('central', blobs, abort.signal)).rejects.toMatchObject({ code: 'TESSERA_BLOB' });
    expect(await readdir(folder)).toEqual([]);
  });

  it('resumes a blob whose fetch was interrupted, and reports its progress', async () => {
    const large = blobs[0]!;
    const abort = new AbortController();
    const cut = link(
      ({ offset }, part) => {
        if (offset < 2 * CHUNK) return part;
        abort.abort();
        return undefined;
      },
      [60_000],
    );
    await expect(cut.fetch.fetch('central', [large], abort.signal)).rejects.toMatchObject({ code: 'TESSERA_BLOB' });
    const { fetch, asked } = link();
    const told: string[] = [];
    await fetch.fetch('central', [large], NEVER, (arrived, of) => told.push(`${arrived}/${of}`));
    expect(asked.map(({ offset }) => offset)).toEqual([2 * CHUNK, 3 * CHUNK]);
    expect(told[0]).toBe(`${2 * CHUNK}/${large.size}`);
    expect(told.at(-1)).toBe(`${large.size}/${large.size}`);
  });

  it('fetches a blob again from its start where the first part was wrong', async () => {
    const { sha, size } = blobs[3]!;
    const writer = await store.receive(sha, size);
    await writer.write(0, new Uint8Array(CHUNK));
    await writer.abort();
    const { fetch, asked } = link();
    await fetch.fetch('central', [blobs[3]!], NEVER);
    expect(asked.map(({ offset }) => offset)).toEqual([CHUNK, 0, CHUNK]);
    expect(await store.size(sha)).toBe(size);
  });

  it('does not require room for bytes that are already on the disk', async () => {
    const { sha, size, bytes } = blobs[3]!;
    const writer = await store.receive(sha, size);
    await writer.write(0, bytes.subarray(0, CHUNK));
    await writer.abort();
    const { asked } = link();
    const small = new BlobFetch({ store, send: async () => {}, freeBytes: async () => CHUNK, patienceMs: [1] });
    await expect(small.fetch('central', [blobs[3]!], NEVER)).rejects.toThrow(/does not answer/);
    expect(asked).toEqual([]);
  });
});
