import { TesseraError } from '../shared/errors.ts';
import type { BlobStore } from '../shared/ports.ts';
import type { BlobGetMessage, BlobPartMessage } from '../shared/protocol/messages/blob.ts';

/** A blob that a manifest names. */
export interface WantedBlob {
  readonly sha: string;
  readonly size: number;
}

/** How blobs are asked for. */
export interface BlobFetchOptions {
  readonly store: BlobStore;
  readonly send: (to: string, message: BlobGetMessage) => Promise<unknown>;
  /** How long to wait for each answer, milliseconds; one entry per attempt. */
  readonly patienceMs?: readonly number[];
  /** Bytes that the store's disk has left. */
  readonly freeBytes?: () => Promise<number>;
}

/** Small enough for one message on any broker, large enough that messages do not dominate. */
const CHUNK_BYTES = 128 * 1024;
/** Requests without an answer: enough to fill a link, few enough for 1.6 Mbit/s to answer within the patience. */
const IN_FLIGHT = 4;
/** Blobs open at a time, so that small ones share the requests in flight. */
const OPEN_BLOBS = 4;
const PATIENCE_MS = [5000, 10_000, 20_000] as const;

interface Pending {
  readonly from: string;
  readonly settle: (part: BlobPartMessage) => void;
}

/**
 * Pulls blobs from whoever has them, in chunks, and stores them verified.
 *
 * blob:  missing --asked for in chunks, all arrived, hash right--> stored
 *                --no answer, wrong answer, aborted--> missing; what came of it stays
 *
 * 1. What is in the store is not asked for again, also not the part of a blob that came before a fetch was cut off. Where
 *    such a part turns out to be wrong, the blob is fetched once more from its start.
 * 2. At most IN_FLIGHT requests are open; each is repeated a few times before the fetch fails.
 * 3. Only answers from the one that was asked count.
 * 4. Nothing is asked for that the disk has no room for.
 */
export class BlobFetch {
  readonly #options: BlobFetchOptions;
  readonly #pending = new Map<string, Pending>();
  #free = IN_FLIGHT;
  readonly #waiters: (() => void)[] = [];

  constructor(options: BlobFetchOptions) {
    this.#options = options;
  }

  /** Takes a `blob-part` message in; what was not asked for, or was answered already, is ignored. */
  accept(from: string, part: BlobPartMessage): void {
    const pending = this.#pending.get(keyOf(part.sha, part.offset));
    if (pending?.from === from) pending.settle(part);
  }

  /**
   * Fetches what is missing of `blobs` from `from`; `onBytes` hears how many of how many bytes are here, at once and with
   * each piece. Throws TESSERA_BLOB; what came by then stays.
   */
  async fetch(
    from: string,
    blobs: readonly WantedBlob[],
    signal: AbortSignal,
    onBytes: (arrived: number, of: number) => void = () => {},
  ): Promise<void> {
    const missing = await this.#missing(blobs);
    const of = missing.reduce((sum, { size }) => sum + size, 0);
    const here = new Map(missing.map(({ sha }) => [sha, this.#options.store.arrived(sha)]));
    const note = (sha: string, arrived: number): void => {
      here.set(sha, arrived);
      onBytes(
        [...here.values()].reduce((sum, bytes) => sum + bytes, 0),
        of,
      );
    };
    if (missing[0] !== undefined) note(missing[0].sha, here.get(missing[0].sha)!);
    const failure = new AbortController();
    const either = AbortSignal.any([signal, failure.signal]);
    let next = 0;
    const lane = async (): Promise<void> => {
      for (let blob = missing[next++]; blob !== undefined && !either.aborted; blob = missing[next++]) {
        // Another agent that shares the folder may have brought it meanwhile.
        if ((await this.#options.store.size(blob.sha)) !== blob.size)
          await this.#blob(from, blob, either, (arrived) => note(blob.sha, arrived));
        note(blob.sha, blob.size);
      }
    };
    const lanes = Array.from({ length: OPEN_BLOBS }, () =>
      lane().catch((error: unknown) => {
        // The first failure is the one to tell; the others only follow from it.
        failure.abort(error);
      }),
    );
    await Promise.all(lanes);
    if (failure.signal.aborted) throw failure.signal.reason;
    if (signal.aborted) throw aborted();
  }

  async #missing(blobs: readonly WantedBlob[]): Promise<WantedBlob[]> {
    const { store, freeBytes } = this.#options;
    const missing: WantedBlob[] = [];
    let bytes = 0;
    for (const blob of new Map(blobs.map((one) => [one.sha, one])).values()) {
      if ((await store.size(blob.sha)) === blob.size) continue;
      missing.push(blob);
      bytes += blob.size - store.arrived(blob.sha);
    }
    const free = missing.length === 0 ? bytes : await freeBytes?.();
    if (free !== undefined && bytes > free)
      throw new TesseraError('TESSERA_BLOB', `the pieces of the model need ${bytes} bytes, the disk has ${free} left`, {
        hint: 'make room on the disk of the node, or give it a larger one (STATE_DIRECTORY)',
      });
    return missing;
  }

  async #blob(from: string, blob: WantedBlob, signal: AbortSignal, onBytes: (arrived: number) => void): Promise<void> {
    const { sha, size } = blob;
    const writer = await this.#options.store.receive(sha, size);
    const before = writer.arrived;
    try {
      const chunks: Promise<void>[] = [];
      let failed = false;
      let arrived = before;
      for (let offset = before; offset < size && !failed && !signal.aborted; offset += CHUNK_BYTES) {
        await this.#slot();
        const length = Math.min(CHUNK_BYTES, size - offset);
        const chunk = this.#ask(from, { v: 1, sha, offset, length }, size, signal)
          .then((bytes) => writer.write(offset, bytes))
          .then(() => {
            arrived += length;
            onBytes(arrived);
          })
          .finally(() => this.#release());
        // Awaited below; until then a failure only stops the loop.
        chunk.catch(() => {
          failed = true;
        });
        chunks.push(chunk);
      }
      await Promise.all(chunks);
      if (signal.aborted) throw aborted();
    } catch (error) {
      await writer.abort();
      throw error;
    }
    try {
      await writer.commit();
    } catch (error) {
      if (before === 0) throw error;
      // What an earlier try left was wrong, and is gone now.
      await this.#blob(from, blob, signal, onBytes);
    }
  }

  async #ask(from: string, request: BlobGetMessage, size: number, signal: AbortSignal): Promise<Uint8Array> {
    for (const patienceMs of this.#options.patienceMs ?? PATIENCE_MS) {
      // A signal tells nobody who starts to listen after it was given.
      const part = signal.aborted ? undefined : await this.#once(from, request, patienceMs, signal);
      if (signal.aborted) throw aborted();
      if (part === undefined) continue;
      if (part.error !== undefined || part.d === undefined)
        throw new TesseraError('TESSERA_BLOB', `${from} cannot send blob ${request.sha}: ${part.error ?? 'no data'}`);
      if (part.size !== size || part.d.byteLength !== request.length)
        throw new TesseraError(
          'TESSERA_BLOB',
          `${from} sent ${part.d.byteLength} of ${part.size} bytes of blob ${request.sha}, ${request.length} of ${size} were asked for`,
        );
      return part.d;
    }
    throw new TesseraError('TESSERA_BLOB', `${from} does not answer requests for blob ${request.sha}`);
  }

  /** One request; undefined when no answer came in time. */
  #once(
    from: string,
    request: BlobGetMessage,
    patienceMs: number,
    signal: AbortSignal,
  ): Promise<BlobPartMessage | undefined> {
    const key = keyOf(request.sha, request.offset);
    return new Promise((resolve) => {
      const done = (part?: BlobPartMessage): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', onAbort);
        this.#pending.delete(key);
        resolve(part);
      };
      const onAbort = (): void => done();
      const timer = setTimeout(done, patienceMs);
      // The bytes may alias a buffer of the MQTT client, and the file is written later.
      this.#pending.set(key, {
        from,
        settle: (part) => done(part.d === undefined ? part : { ...part, d: new Uint8Array(part.d) }),
      });
      signal.addEventListener('abort', onAbort);
      // What cannot be sent now is asked for again like what was lost.
      this.#options.send(from, request).catch(() => {});
    });
  }

  async #slot(): Promise<void> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiters.push(resolve));
  }

  #release(): void {
    const waiter = this.#waiters.shift();
    if (waiter === undefined) this.#free++;
    else waiter();
  }
}

function keyOf(sha: string, offset: number): string {
  return `${sha}:${offset}`;
}

function aborted(): TesseraError {
  return new TesseraError('TESSERA_BLOB', 'the fetch was given up, since its plan was released');
}
