import { TesseraError } from '../shared/errors.ts';
import type { BlobHandlers } from '../shared/node/plans.ts';
import type { BlobStore, Log, Unsubscribe } from '../shared/ports.ts';
import type { BlobGetMessage, BlobPartMessage } from '../shared/protocol/messages/blob.ts';
import { BlobDownload } from './blob-download.ts';
import type { WantedBlob } from './blob-state.ts';

/** How blobs are requested. */
export interface BlobFetchOptions {
  /** This node. */
  readonly self: string;
  readonly store: BlobStore;
  readonly send: (to: string, message: BlobGetMessage) => Promise<unknown>;
  /** Reads what central sends to several nodes at once; resolves to what ends that. */
  readonly join: () => Promise<Unsubscribe>;
  /** How long to wait in silence before asking again, milliseconds; one entry per attempt. */
  readonly patienceMs?: readonly number[];
  /** Free bytes of the store's disk. */
  readonly freeBytes?: () => Promise<number>;
  readonly log: Log;
}

const PATIENCE_MS = [5000, 10_000, 20_000] as const;

/**
 * Fetches blobs from central and, where central names them, from other nodes (blob-download.ts). What is in the store is
 * not requested again, and no blob is requested for which the disk has no room. One fetch runs at a time.
 */
export class BlobFetch {
  readonly #options: BlobFetchOptions;
  /** Nodes that sent wrong bytes; nothing is requested from them any more. */
  readonly #liars = new Set<string>();
  #download: BlobDownload | undefined;
  #line: Promise<unknown> = Promise.resolve();
  #requests = 0;

  constructor(options: BlobFetchOptions) {
    this.#options = options;
  }

  /** Handles a `blob-part` message; false if nothing of it was requested. */
  accept(from: string, part: BlobPartMessage): boolean {
    return this.#download?.accept(from, part) ?? false;
  }

  /**
   * Fetches those of `blobs` that are missing, in their order; each is named once. Throws TESSERA_BLOB; chunks that
   * arrived are kept.
   */
  fetch(from: string, blobs: readonly WantedBlob[], signal: AbortSignal, on: BlobHandlers = {}): Promise<void> {
    const turn = this.#line.then(() => this.#fetch(from, blobs, signal, on));
    this.#line = turn.catch(() => {});
    return turn;
  }

  async #fetch(from: string, blobs: readonly WantedBlob[], signal: AbortSignal, on: BlobHandlers): Promise<void> {
    const missing = await this.#missing(blobs);
    for (const blob of blobs) if (!missing.includes(blob)) on.stored?.(blob.sha);
    if (missing.length === 0) return;
    const { self, store, send, join, patienceMs = PATIENCE_MS, log } = this.#options;
    const leave = await join();
    this.#download = new BlobDownload(missing, {
      self,
      from,
      store,
      send,
      patienceMs,
      liars: this.#liars,
      nextRequest: () => ++this.#requests,
      on,
      log,
    });
    try {
      await this.#download.run(signal);
    } finally {
      this.#download = undefined;
      await leave().catch(() => {});
    }
  }

  async #missing(blobs: readonly WantedBlob[]): Promise<WantedBlob[]> {
    const { store, freeBytes } = this.#options;
    const missing: WantedBlob[] = [];
    let bytes = 0;
    for (const blob of blobs) {
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
}
