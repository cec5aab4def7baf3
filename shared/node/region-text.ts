import type { RegionPlace } from '../protocol/messages/region.ts';
import type { Box } from '../tensor/tensor.ts';

/** A box in messages: `0:1,0:16,4:8`. */
export function boxText(box: Box): string {
  return box.map(([start, end]) => `${start}:${end}`).join(',');
}

/** Regions in messages, with the nodes that they should come from. */
export function regionsText(regions: readonly (RegionPlace & { readonly from?: string })[]): string {
  return regions
    .map(({ tensor, box, from }) => `${tensor} [${boxText(box)}]${from === undefined ? '' : ` of ${from}`}`)
    .join(', ');
}
