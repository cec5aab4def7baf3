import type { BlobStore, Log } from '../shared/ports.ts';
import { type BlobGetMessage, type BlobPartMessage, blobGetMessage } from '../shared/protocol/messages/blob.ts';
import type { HeadFilter, Wire } from '../shared/runtime/wire.ts';
import { TokenBuckets } from '../shared/token-buckets.ts';

/** Requests that are answered at a time: at most so many MiB are read and not yet sent. */
const AT_ONCE = 16;
/** Requests that wait, of one node and in all. A node has four under way and repeats those that are not answered. */
const WAITING_OF_ONE = 1024;
const WAITING = 8 * WAITING_OF_ONE;
/** Requests of a node, of up to 1 MiB each: burst, and rate per second. */
const REQUESTS = { burst: 1024, perSecond: 200 } as const;

/**
 * Answers `blob-get` requests of nodes from the store, for pieces of served models only. A few requests are answered at a
 * time, round robin over the nodes, so that a flood of them costs bounded memory and delays no other node.
 */
export function serveBlobs(wire: Wire, store: BlobStore, isOffered: (sha: string) => boolean, log: Log): void {
  /** Requests by node; the node whose turn is next comes first. */
  const queues = new Map<string, BlobGetMessage[]>();
  let waiting = 0;
  let busy = 0;

  const answer = async ({ sha, offset, length }: BlobGetMessage): Promise<BlobPartMessage> => {
    const size = isOffered(sha) ? await store.size(sha) : undefined;
    if (size === undefined || offset > size) return { v: 1, sha, size: size ?? 0, offset, error: 'no such piece' };
    return { v: 1, sha, size, offset, d: await store.read(sha, offset, Math.min(length, size - offset)) };
  };

  /** Takes the oldest request of the node whose turn it is, and puts the node behind the others. */
  const next = (): { from: string; request: BlobGetMessage } | undefined => {
    for (const [from, queue] of queues) {
      queues.delete(from);
      const request = queue.shift()!;
      if (queue.length > 0) queues.set(from, queue);
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
        log.warn(`could not send a blob of a model to ${from}: ${error}`);
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
      const queue = queues.get(from) ?? [];
      if (waiting >= WAITING || queue.length >= WAITING_OF_ONE) return false;
      queue.push(request);
      queues.set(from, queue);
      waiting++;
      void work();
      return isOffered(request.sha);
    },
    mayAsk,
  );
}
