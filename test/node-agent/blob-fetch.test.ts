import { createHash } from 'node:crypto';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BlobFetch } from '../../node-agent/blob-fetch.ts';
import type { BlobStore } from '../../shared/ports.ts';
import type { BlobGetMessage, BlobPartMessage, BlobRange } from '../../shared/protocol/messages/blob.ts';
import { openBlobStore } from '../../shared/runtime/blob-store.ts';
import { type Piece, pieceOf, piecesAsked } from '../support/blob-source.ts';
import { type RecordingLog, recordingLog } from '../support/recording-log.ts';

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
  log = recordingLog();
});
afterEach(() => rm(folder, { recursive: true }));

let log: RecordingLog;
const bytesOf = (sha: string) => blobs.find((candidate) => candidate.sha === sha)!.bytes;

/** What happens to a piece on its way: it may be changed or lost (undefined). */
type Way = (piece: Piece, to: string) => BlobPartMessage | undefined;

/** A fetch from central and nodes, all of which have `blobs`; `at`: central names these nodes instead of sending. */
function link(way: Way = (piece) => piece, { patienceMs = [5, 5, 5], at = [] as string[] } = {}) {
  const asked: (BlobRange & { to: string })[] = [];
  const messages: BlobGetMessage[] = [];
  const joined: string[] = [];
  const fetch: BlobFetch = new BlobFetch({
    self: 'n0',
    store,
    patienceMs,
    log,
    join: async () => {
      joined.push('join');
      return async () => void joined.push('leave');
    },
    send: async (to, message) => {
      messages.push(message);
      const shas = 'ranges' in message ? message.ranges.map(({ sha }) => sha) : [];
      if (to === 'central' && at.length > 0 && shas.length > 0 && !('direct' in message)) {
        setImmediate(() => fetch.accept('central', { v: 1, at, shas }));
        return;
      }
      for (const range of piecesAsked(message)) {
        asked.push({ ...range, to });
        setImmediate(() => {
          const part = way(pieceOf(bytesOf(range.sha), range), to);
          if (part !== undefined) fetch.accept(to, part);
        });
      }
    },
  });
  return { fetch, asked, messages, joined };
}
const wrong = (piece: Piece): Piece => ({ ...piece, d: piece.d.map((byte) => byte ^ 1) });

async function expectAll(): Promise<void> {
  for (const { sha, size } of blobs) expect(await store.size(sha)).toBe(size);
  expect((await readdir(folder)).sort()).toEqual(blobs.map(({ sha }) => sha).sort());
}

describe('a fetch', () => {
  it('brings every blob, each once, in the order in which it is needed', async () => {
    const { fetch, asked, joined } = link();
    const stored: string[] = [];
    await fetch.fetch('central', blobs, NEVER, { stored: (sha) => stored.push(sha) });
    await expectAll();
    expect(asked).toHaveLength(4 + 1 + 1 + 2 + 0 + 1);
    expect([...new Set(asked.map(({ sha }) => sha))]).toEqual(
      blobs.filter(({ size }) => size > 0).map(({ sha }) => sha),
    );
    expect(stored.toSorted()).toEqual(blobs.map(({ sha }) => sha).sort());
    expect(joined).toEqual(['join', 'leave']);
  });

  it('requests lost chunks again, and only those, or else one dropped message costs the node the plan', async () => {
    const large = blobs[0]!;
    let isLost = false;
    const { fetch, asked } = link((piece) => {
      if (piece.offset !== CHUNK || isLost) return piece;
      isLost = true;
      return undefined;
    });
    await fetch.fetch('central', [large], NEVER);
    expect(asked.map(({ offset, length }) => [offset, length]).slice(4)).toEqual([[CHUNK, CHUNK]]);
    expect(await store.size(large.sha)).toBe(large.size);
  });

  it('ends well if every first answer is lost', async () => {
    const lost = new Set<string>();
    const { fetch } = link((piece) => {
      const key = `${piece.sha}:${piece.offset}`;
      if (lost.has(key)) return piece;
      lost.add(key);
      return undefined;
    });
    await fetch.fetch('central', blobs, NEVER);
    await expectAll();
  });

  it('takes what central sends to others too, and reports what came, or else central waits for it', async () => {
    const large = blobs[0]!;
    const { fetch, messages } = link(() => undefined, { patienceMs: [60_000] });
    const done = fetch.fetch('central', [large], NEVER);
    while (messages.length === 0) await new Promise(setImmediate);
    for (let offset = 0; offset < large.size; offset += CHUNK)
      fetch.accept(
        'central',
        pieceOf(large.bytes, { sha: large.sha, offset, length: Math.min(CHUNK, large.size - offset) }),
      );
    await done;
    expect(messages.filter((message) => 'got' in message)).toEqual(
      [1, 2, 3].map((k) => ({ v: 1, request: 1, got: k * CHUNK })),
    );
  });

  it('requests only what is missing, or else a cut connection starts a gigabyte from the beginning', async () => {
    await store.put(blobs[0]!.bytes);
    const { fetch, asked } = link();
    const stored: string[] = [];
    await fetch.fetch('central', blobs, NEVER, { stored: (sha) => stored.push(sha) });
    expect(asked.some(({ sha }) => sha === blobs[0]!.sha)).toBe(false);
    expect(stored).toHaveLength(blobs.length);
  });

  it('keeps complete blobs and nothing else when central stops answering', async () => {
    const { fetch } = link((piece) => (piece.sha === blobs[1]!.sha ? piece : undefined));
    await expect(fetch.fetch('central', blobs.slice(0, 3), NEVER)).rejects.toThrow(/does not answer/);
    expect((await readdir(folder)).filter((name) => name !== blobs[1]!.sha)).toEqual([]);
  });

  it("refuses a blob with another hash, or else any client that can answer could change the model's weights", async () => {
    const { fetch } = link(wrong);
    await expect(fetch.fetch('central', [blobs[2]!], NEVER)).rejects.toThrow(/hash/);
    expect(await readdir(folder)).toEqual([]);
  });

  it.each<[string, (piece: Piece) => BlobPartMessage]>([
    ['an error', ({ sha }) => ({ v: 1, sha, error: 'no such piece' })],
    ['another size', (piece) => ({ ...piece, size: piece.size + 1 })],
    ['too few bytes', (piece) => ({ ...piece, d: piece.d.subarray(1) })],
    ['too many bytes', (piece) => ({ ...piece, d: new Uint8Array(piece.d.byteLength + 1) })],
  ])('fails at once on %s', async (_, change) => {
    const { fetch, asked } = link((piece) => change(piece), { patienceMs: [60_000] });
    await expect(fetch.fetch('central', [blobs[1]!], NEVER)).rejects.toMatchObject({ code: 'TESSERA_BLOB' });
    expect(asked).toHaveLength(1);
  });

  it('requests no blob for which the disk has no room', async () => {
    const { asked, fetch } = link();
    const small = fetchWithRoom(1000);
    const vast = { sha: 'a'.repeat(64), size: 2 ** 52 };
    await expect(small.fetch('central', [vast], NEVER)).rejects.toMatchObject({ code: 'TESSERA_BLOB' });
    await expect(small.fetch('central', blobs, NEVER)).rejects.toThrow(/has 1000 left/);
    expect(asked).toEqual([]);
    await fetch.fetch('central', blobs, NEVER);
    await small.fetch('central', blobs, NEVER);
  });

  it('accepts answers only from central and from nodes that it asked', async () => {
    const { fetch } = link(() => undefined, { patienceMs: [20] });
    const { sha, size, bytes } = blobs[1]!;
    const done = fetch.fetch('central', [blobs[1]!], NEVER);
    await new Promise(setImmediate);
    expect(fetch.accept('node-b', pieceOf(bytes, { sha, offset: 0, length: size }))).toBe(false);
    expect(fetch.accept('node-b', { v: 1, at: ['node-b'], shas: [sha] })).toBe(false);
    await expect(done).rejects.toThrow(/does not answer/);
  });

  it('ends when it is aborted, tells the sender, and leaves no file behind', async () => {
    const abort = new AbortController();
    const { fetch, messages } = link(
      () => {
        abort.abort();
        return undefined;
      },
      { patienceMs: [60_000] },
    );
    await expect(fetch.fetch('central', blobs, abort.signal)).rejects.toMatchObject({ code: 'TESSERA_BLOB' });
    expect(messages.at(-1)).toEqual({ v: 1, request: 2, ranges: [] });
    expect(await readdir(folder)).toEqual([]);
  });

  it('resumes a blob whose fetch was interrupted, and reports its progress', async () => {
    const large = blobs[0]!;
    const abort = new AbortController();
    const cut = link(
      (piece) => {
        if (piece.offset < 2 * CHUNK) return piece;
        abort.abort();
        return undefined;
      },
      { patienceMs: [60_000] },
    );
    const begun: number[] = [];
    const first = cut.fetch.fetch('central', [large], abort.signal, { bytes: (arrived) => begun.push(arrived) });
    await expect(first).rejects.toMatchObject({ code: 'TESSERA_BLOB' });
    const kept = store.arrived(large.sha);
    const { fetch, asked } = link();
    const told: string[] = [];
    await fetch.fetch('central', [large], NEVER, { bytes: (arrived, of) => told.push(`${arrived}/${of}`) });
    expect(asked[0]!.offset).toBe(kept);
    expect(told[0]).toBe(`${kept}/${large.size}`);
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
    await expect(fetchWithRoom(CHUNK).fetch('central', [blobs[3]!], NEVER)).rejects.toThrow(/does not answer/);
  });
});

describe('a fetch from other nodes', () => {
  it('asks the first node that central names', async () => {
    const { fetch, asked } = link(undefined, { at: ['n1', 'n2'] });
    await fetch.fetch('central', blobs, NEVER);
    await expectAll();
    expect(new Set(asked.map(({ to }) => to))).toEqual(new Set(['n1']));
  });

  it.each<[string, (piece: Piece) => BlobPartMessage | undefined]>([
    ['is silent', () => undefined],
    ['does not have it', ({ sha }) => ({ v: 1, sha, error: 'no such piece' })],
  ])('asks the next one where a node %s, and central at last', async (_, way) => {
    const { fetch, asked } = link((piece, to) => (to === 'central' ? piece : way(piece)), { at: ['n1', 'n2'] });
    await fetch.fetch('central', [blobs[1]!], NEVER);
    expect(asked.map(({ to }) => to)).toEqual(['n1', 'n2', 'central']);
    expect(await store.size(blobs[1]!.sha)).toBe(blobs[1]!.size);
  });

  it('asks the next one where a node sends what is here already, again and again', async () => {
    const large = blobs[0]!;
    const first = pieceOf(large.bytes, { sha: large.sha, offset: 0, length: CHUNK });
    let again: NodeJS.Immediate | undefined;
    const { fetch, asked } = link(
      (piece, to) => {
        if (to !== 'n1') return piece;
        again ??= setImmediate(function send() {
          fetch.accept('n1', first);
          again = setImmediate(send);
        });
        return undefined;
      },
      { at: ['n1', 'n2'], patienceMs: [200] },
    );
    await fetch.fetch('central', [large], NEVER).finally(() => clearImmediate(again));
    expect([...new Set(asked.map(({ to }) => to))]).toEqual(['n1', 'n2']);
    expect(await store.size(large.sha)).toBe(large.size);
  });

  it('asks central itself where only this node is named', async () => {
    const { fetch, asked } = link(undefined, { at: ['n0'] });
    await fetch.fetch('central', [blobs[1]!], NEVER);
    expect(asked.map(({ to }) => to)).toEqual(['central']);
  });

  it('leaves a node aside that sent wrong bytes, and says so, or else every download is poisoned again', async () => {
    const { fetch, asked } = link((piece, to) => (to === 'n1' ? wrong(piece) : piece), { at: ['n1', 'n2'] });
    await fetch.fetch('central', [blobs[1]!], NEVER);
    expect(asked.map(({ to }) => to)).toEqual(['n1', 'central']);
    expect(log.lines.join()).toMatch(/n1 sent wrong bytes/);
    asked.length = 0;
    await fetch.fetch('central', [blobs[2]!], NEVER);
    expect(asked.map(({ to }) => to)).toEqual(['n2']);
  });
});

function fetchWithRoom(bytes: number): BlobFetch {
  const nothing = async (): Promise<void> => {};
  return new BlobFetch({
    self: 'n0',
    store,
    send: nothing,
    join: async () => nothing,
    freeBytes: async () => bytes,
    patienceMs: [1],
    log,
  });
}
