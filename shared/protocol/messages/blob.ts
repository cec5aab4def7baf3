import { z } from '../../schema.ts';
import { bytes, count, sha, text } from './fields.ts';

/** `blob-get`: requests a range of a blob. */
export const blobGetMessage = z.object({ v: z.literal(1), sha, offset: count, length: count.max(1 << 20) });
/** `blob-get` */
export type BlobGetMessage = z.infer<typeof blobGetMessage>;

/** `blob-part`: the range, or an `error` in place of `d` where the sender does not have the blob. */
export const blobPartMessage = z.object({
  v: z.literal(1),
  sha,
  size: count,
  offset: count,
  d: bytes.optional(),
  error: text.optional(),
});
/** `blob-part` */
export type BlobPartMessage = z.infer<typeof blobPartMessage>;
