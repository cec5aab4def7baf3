import { TesseraError } from '../errors.ts';

/** Something that can be released. */
export interface Releasable {
  release(): Promise<void>;
}

/**
 * Sessions by key. The least recently used are released first when the estimated memory of all would exceed a limit.
 * 1. The bytes of all cached sessions never exceed the limit.
 * 2. A session is released at most once, and never between being returned by `get` and the next `get` or `clear`.
 * Calls must not overlap: the caller runs one thing at a time anyway.
 */
export class SessionCache<S extends Releasable> {
  readonly #limitBytes: number;
  /** In order of use, the most recent last. */
  readonly #sessions = new Map<string, { readonly session: S; readonly bytes: number }>();
  #bytes = 0;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  /**
   * The session of that key, loaded if it is not cached. Throws TESSERA_RUN_FAILED when `bytes` alone exceed the limit.
   */
  async get(key: string, bytes: number, load: () => Promise<S>): Promise<S> {
    const found = this.#sessions.get(key);
    if (found !== undefined) {
      this.#sessions.delete(key);
      this.#sessions.set(key, found);
      return found.session;
    }
    if (bytes > this.#limitBytes)
      throw new TesseraError(
        'TESSERA_RUN_FAILED',
        `a part of the model needs about ${megabytes(bytes)} MB of memory and the limit is ${megabytes(this.#limitBytes)} MB`,
        { hint: 'Raise node.memory_mb, or give this node a smaller part of the model.' },
      );
    for (const [oldest, { session, bytes: freed }] of this.#sessions) {
      if (this.#bytes + bytes <= this.#limitBytes) break;
      this.#sessions.delete(oldest);
      this.#bytes -= freed;
      await session.release();
    }
    const session = await load();
    this.#sessions.set(key, { session, bytes });
    this.#bytes += bytes;
    return session;
  }

  async clear(): Promise<void> {
    const sessions = [...this.#sessions.values()];
    this.#sessions.clear();
    this.#bytes = 0;
    for (const { session } of sessions) await session.release();
  }
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(1);
}
