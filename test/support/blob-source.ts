import { piecesOf } from '../../shared/node/pieces.ts';
import { type BlobStore, silentLog } from '../../shared/ports.ts';
import type { BlobGetMessage, BlobPartMessage, BlobRange } from '../../shared/protocol/messages/blob.ts';
import type { ModelManifest } from '../../shared/protocol/messages/control.ts';
import { BlobServer } from '../../shared/runtime/blob-server.ts';
import type { Wire } from '../../shared/runtime/wire.ts';

const CHUNK = 128 * 1024;

/** The pieces of a request as a sender without turns and windows sends them. */
export function piecesAsked(message: BlobGetMessage): BlobRange[] {
  if ('got' in message) return [];
  return message.ranges.flatMap(({ sha, offset, length }) => {
    const pieces: BlobRange[] = [];
    for (let at = offset; at < offset + length; ) {
      const end = Math.min(offset + length, (Math.floor(at / CHUNK) + 1) * CHUNK);
      pieces.push({ sha, offset: at, length: end - at });
      at = end;
    }
    return pieces;
  });
}

/** A piece of these bytes. */
export function pieceOf(bytes: Uint8Array, { sha, offset, length }: BlobRange): Piece {
  return { v: 1, sha, size: bytes.byteLength, offset, d: bytes.slice(offset, offset + length) };
}
/** A `blob-part` with bytes. */
export type Piece = Extract<BlobPartMessage, { readonly d: Uint8Array }>;

/** Serves the pieces of `manifests`, which may grow, as central does; returns how many chunks were sent so far. */
export function serveModels(wire: Wire, store: BlobStore, manifests: readonly ModelManifest[]): () => number {
  let chunks = 0;
  const counting: Pick<BlobStore, 'read'> = {
    read: (...range) => {
      chunks++;
      return store.read(...range);
    },
  };
  const sizeOf = (sha: string) => manifests.map((each) => piecesOf(each).get(sha)).find((size) => size !== undefined);
  new BlobServer({
    wire,
    store: counting,
    sizeOf,
    holders: () => [],
    log: silentLog,
    now: () => performance.now(),
  }).start();
  return () => chunks;
}
