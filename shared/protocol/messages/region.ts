import { codecSpec } from '../../codec/spec.ts';
import { z } from '../../schema.ts';
import { box, bytes, dtype, shape, tensorName } from './fields.ts';

/** A region of a tensor without its bytes: `shape` is the region's, `codec` how it is encoded. */
export const regionInfo = z.object({ tensor: tensorName, box, dtype, shape, codec: codecSpec });

/** An encoded region of a tensor. */
export const region = regionInfo.extend({ d: bytes });
/** An encoded region of a tensor. */
export type WireRegion = z.infer<typeof region>;

/** A region by its place alone. */
export const regionPlace = z.object({ tensor: tensorName, box });
/** A region by its place alone. */
export type RegionPlace = z.infer<typeof regionPlace>;

/** Those regions that came with their bytes. */
export function inlineRegions(regions: readonly RegionPlace[]): WireRegion[] {
  return regions.filter((one): one is WireRegion => 'd' in one);
}
