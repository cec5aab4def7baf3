import type { BlobStore, Log } from '../shared/ports.ts';
import { type BlobGetMessage, type BlobPartMessage, blobGetMessage } from '../shared/protocol/messages.ts';
import type { Wire } from '../shared/runtime/wire.ts';

/** Requests that are answered at a time: what is read and not yet sent is at most so many MiB. */
const AT_ONCE = 16;
/** Requests that wait; a node has four under way, and whoever is not answered asks again. */
const WAITING = 1024;

/**
 * Answers `blob-get` of nodes from the store, but only for pieces of models that are deployed, in the order of the
 * requests and a few at a time, so that a flood of them takes no memory.
 */
export function serveBlobs(wire: Wire, store: BlobStore, isOffered: (sha: string) => boolean, log: Log): void {
  const line: { readonly from: string; readonly request: BlobGetMessage }[] = [];
  let busy = 0;

  const answer = async ({ sha, offset, length }: BlobGetMessage): Promise<BlobPartMessage> => {
    const size = isOffered(sha) ? await store.size(sha) : undefined;
    if (size === undefined || offset > size) return { v: 1, sha, size: size ?? 0, offset, error: 'no such piece' };
    return { v: 1, sha, size, offset, d: await store.read(sha, offset, Math.min(length, size - offset)) };
  };

  const work = async (): Promise<void> => {
    if (busy >= AT_ONCE) return;
    busy++;
    for (let next = line.shift(); next !== undefined; next = line.shift()) {
      const { from, request } = next;
      try {
        await wire.send(from, 'blob-part', await answer(request));
      } catch (error) {
        log.warn(`could not send a piece of a model to ${from}: ${error}`);
      }
    }
    busy--;
  };

  wire.on('blob-get', blobGetMessage, (from, request) => {
    if (line.length >= WAITING) return;
    line.push({ from, request });
    void work();
  });
}
