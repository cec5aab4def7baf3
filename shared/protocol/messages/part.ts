import { z } from '../../schema.ts';
import { bytes, count } from './fields.ts';

/** A part of a body over 256 KiB: `m` names the body, `part` is [index from 0, number of parts]. */
export const partMessage = z.object({
  v: z.literal(1),
  m: z.string().max(64),
  part: z.tuple([count, count]),
  d: bytes,
});
/** A part of a large body. */
export type PartMessage = z.infer<typeof partMessage>;
