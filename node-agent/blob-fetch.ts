import { TesseraError } from '../shared/errors.ts';
import type { BlobStore } from '../shared/ports.ts';
import type { BlobGetMessage, BlobPartMessage } from '../shared/protocol/messages/blob.ts';

/** A blob that a manifest names. */
export interface WantedBlob {
  readonly sha: string;
  readonly size: number;
}

/** How blobs are requested. */
export interface BlobFetchOptions {
  readonly store: BlobStore;
  readonly send: (to: string, message: BlobGetMessage) => Promise<unknown>;
  /** How long to wait for each answer, milliseconds; one entry per attempt. */
  readonly patienceMs?: readonly number[];
  /** Free bytes of the store's disk. */
  readonly freeBytes?: () => Promise<number>;
}

/** Small enough for one message on any broker, large enough that the cost per message does not dominate. */
const CHUNK_BYTES = 128 * 1024;
/** Most open requests: enough to fill a link, few enough for 1.6 Mbit/s to answer within the time-outs. */
const IN_FLIGHT = 4;
/** Blobs that are fetched at a time, so that small ones share the open requests. */
const OPEN_BLOBS = 4;
const PATIENCE_MS = [5000, 10_000, 20_000] as const;

interface Pending {
  readonly from: string;
  readonly settle: (part: BlobPartMessage) => void;
}

/**
 * Fetches blobs from a peer in chunks, checks their hashes and stores them.
 *
 *   blob:  missing --requested in chunks, all arrived, hash right--> stored
 *          --no answer, wrong answer, aborted--> missing; chunks that arrived are kept
 *
 * 1. What is in the store is not requested again, nor is the part of a blob that arrived before a fetch was
 *    interrupted. Where such a part turns out to be wrong, the blob is fetched once more from its start.
 * 2. At most IN_FLIGHT requests are open; each is repeated a few times before the fetch fails.
 * 3. Only answers from the peer that was asked count.
 * 4. No blob is requested for which the disk has no room.
 */
export class BlobFetch {
  readonly #options: BlobFetchOptions;
  readonly #pending = new Map<string, Pending>();
  #free = IN_FLIGHT;
  readonly #waiters: (() => void)[] = [];

  constructor(options: BlobFetchOptions) {
    this.#options = options;
  }

  /** Handles a `blob-part` message; it is ignored if it was not requested, or was answered already. */
  accept(from: string, part: BlobPartMessage): void {
    const pending = this.#pending.get(keyOf(part.sha, part.offset));
    if (pending?.from === from) pending.settle(part);
  }

  /**
   * Fetches those of `blobs` that are missing from `from`; `onBytes` gets how many of how many bytes are here, at once
   * and after each chunk. Throws TESSERA_BLOB; chunks that arrived are kept.
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
        // Another agent that shares the folder may have stored it meanwhile.
        if ((await this.#options.store.size(blob.sha)) !== blob.size)
          await this.#blob(from, blob, either, (arrived) => note(blob.sha, arrived));
        note(blob.sha, blob.size);
      }
    };
    const lanes = Array.from({ length: OPEN_BLOBS }, () =>
      lane().catch((error: unknown) => {
        // The first failure is the cause; the others only follow from it.
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
      throw new TesseraError('TESSERA_BLOB', `the blobs of the model need ${bytes} bytes, the disk has ${free} left`, {
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
      // The part from an earlier fetch was wrong, and is deleted now.
      await this.#blob(from, blob, signal, onBytes);
    }
  }

  async #ask(from: string, request: BlobGetMessage, size: number, signal: AbortSignal): Promise<Uint8Array> {
    for (const patienceMs of this.#options.patienceMs ?? PATIENCE_MS) {
      // An aborted signal does not call listeners that are added afterwards.
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

  /** One request; undefined when no answer arrived in time. */
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
      // A request that cannot be sent now is repeated like one that was lost.
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
  return new TesseraError('TESSERA_BLOB', 'the fetch was aborted, as its plan was released');
}
