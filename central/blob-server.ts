import type { BlobStore, Log } from '../shared/ports.ts';
import { type BlobGetMessage, type BlobPartMessage, blobGetMessage } from '../shared/protocol/messages/blob.ts';
import type { HeadFilter, Wire } from '../shared/runtime/wire.ts';
import { TokenBuckets } from '../shared/token-buckets.ts';

/** Requests that are answered at a time: what is read and not yet sent is at most so many MiB. */
const AT_ONCE = 16;
/** Requests that wait, by node and in all; a node has four under way, and whoever is not answered asks again. */
const WAITING_OF_ONE = 1024;
const WAITING = 8 * WAITING_OF_ONE;
/** Requests of a node, of up to 1 MiB each: at once, and a second. */
const REQUESTS = { burst: 1024, perSecond: 200 } as const;

/**
 * Answers `blob-get` of nodes from the store, but only for pieces of models that are served, a few at a time and of each
 * node in its turn, so that a flood of them takes no memory and nobody else's place.
 */
export function serveBlobs(wire: Wire, store: BlobStore, isOffered: (sha: string) => boolean, log: Log): void {
  /** By node, whose turn is next at the front. */
  const lines = new Map<string, BlobGetMessage[]>();
  let waiting = 0;
  let busy = 0;

  const answer = async ({ sha, offset, length }: BlobGetMessage): Promise<BlobPartMessage> => {
    const size = isOffered(sha) ? await store.size(sha) : undefined;
    if (size === undefined || offset > size) return { v: 1, sha, size: size ?? 0, offset, error: 'no such piece' };
    return { v: 1, sha, size, offset, d: await store.read(sha, offset, Math.min(length, size - offset)) };
  };

  /** The oldest request of the node whose turn it is; its next one comes after those of the others. */
  const next = (): { from: string; request: BlobGetMessage } | undefined => {
    for (const [from, line] of lines) {
      lines.delete(from);
      const request = line.shift()!;
      if (line.length > 0) lines.set(from, line);
      waiting--;
      return { from, request };
    }
    return undefined;
  };

  const work = async (): Promise<void> => {
    if (busy >= AT_ONCE) return;
    busy++;
    for (let turn = next(); turn !== undefined; turn = next()) {
      const { from, request } = turn;
      try {
        await wire.send(from, 'blob-part', await answer(request));
      } catch (error) {
        log.warn(`could not send a piece of a model to ${from}: ${error}`);
      }
    }
    busy--;
  };

  const requests = new TokenBuckets(REQUESTS);
  const mayAsk = (from: string): ReturnType<HeadFilter> =>
    requests.take(from, performance.now()) ? 'unknown' : 'unasked';
  wire.on(
    'blob-get',
    blobGetMessage,
    (from, request) => {
      const line = lines.get(from) ?? [];
      if (waiting >= WAITING || line.length >= WAITING_OF_ONE) return false;
      line.push(request);
      lines.set(from, line);
      waiting++;
      void work();
      return isOffered(request.sha);
    },
    mayAsk,
  );
}
