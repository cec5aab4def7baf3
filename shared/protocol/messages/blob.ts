import { z } from '../../schema.ts';
import { bytes, count, nodeId, sha, text } from './fields.ts';

/** Most ranges in one `blob-get`; a node asks for further ones later. */
export const MAX_RANGES = 4096;
/** Most nodes that are named as having a blob. */
export const MAX_HOLDERS = 8;

const about = z.object({ v: z.literal(1), request: count });
/** A range of a blob, in bytes. */
const blobRange = z.object({ sha, offset: count, length: count.min(1) });
/** A range of a blob, in bytes. */
export type BlobRange = z.infer<typeof blobRange>;

/**
 * `blob-get`: all that its sender wants now, in the order in which it is needed, in place of its earlier requests; or how
 * many bytes have come for a request. `direct`: it is not to be asked of other nodes.
 */
export const blobGetMessage = z.union([
  about.extend({ ranges: z.array(blobRange).max(MAX_RANGES), direct: z.literal(true).optional() }),
  about.extend({ got: count }),
]);
/** `blob-get` */
export type BlobGetMessage = z.infer<typeof blobGetMessage>;

/**
 * `blob-part`: a piece of a range; or an `error` in place of `d` where the sender does not have the blob; or the nodes
 * that have blobs which the receiver asked for.
 */
export const blobPartMessage = z.union([
  z.object({ v: z.literal(1), sha, size: count, offset: count, d: bytes }),
  z.object({ v: z.literal(1), sha, error: text }),
  z.object({
    v: z.literal(1),
    at: z.array(nodeId).min(1).max(MAX_HOLDERS),
    shas: z.array(sha).min(1).max(MAX_RANGES),
  }),
]);
/** `blob-part` */
export type BlobPartMessage = z.infer<typeof blobPartMessage>;
