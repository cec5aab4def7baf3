import { codecSpec } from '../../codec/spec.ts';
import { z } from '../../schema.ts';
import { box, bytes, dtype, shape, tensorName } from './fields.ts';

/** An encoded region of a tensor: `shape` is the region's. */
export const region = z.object({ tensor: tensorName, box, dtype, shape, codec: codecSpec, d: bytes });
/** A region under way. */
export type WireRegion = z.infer<typeof region>;
