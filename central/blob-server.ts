import type { BlobStore, Log } from '../shared/ports.ts';
import { type BlobPartMessage, blobGetMessage } from '../shared/protocol/messages.ts';
import type { Wire } from '../shared/runtime/wire.ts';

/** Answers `blob-get` of nodes from the store, but only for pieces of models that are deployed. */
export function serveBlobs(wire: Wire, store: BlobStore, isOffered: (sha: string) => boolean, log: Log): void {
  const answer = async (sha: string, offset: number, length: number): Promise<BlobPartMessage> => {
    const size = isOffered(sha) ? await store.size(sha) : undefined;
    if (size === undefined || offset > size) return { v: 1, sha, size: size ?? 0, offset, error: 'no such piece' };
    return { v: 1, sha, size, offset, d: await store.read(sha, offset, Math.min(length, size - offset)) };
  };
  wire.on('blob-get', blobGetMessage, (from, { sha, offset, length }) => {
    answer(sha, offset, length)
      .then((part) => wire.send(from, 'blob-part', part))
      .catch((error) => log.warn(`could not send a piece of a model to ${from}: ${error}`));
  });
}
