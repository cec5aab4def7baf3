import { modelTotals } from '../onnx/cost.ts';
import type { ResolvedModel } from '../onnx/model.ts';
import { byteLength } from '../tensor/tensor.ts';
import { gridSizes } from './grid.ts';
import { haloMacs } from './halo-form.ts';
import { type Prefix, shorterPrefixes } from './prefix.ts';
import { tileSegment } from './segment.ts';

/** Share of the reachable convolution multiply-adds that has to be spread, however dear its halo. */
const LEAST_SHARE = 0.85;

/** How many ends to look at; the cost changes slowly from one operator to the next. */
const CANDIDATES = 12;

/** Multiply-adds that a small CPU does while a byte of a result travels (2 GMAC/s, 100 Mbit/s). A guess until links are measured. */
const MACS_PER_BYTE = 160;

/**
 * The beginning of the network that is done soonest when each tile of the grid has a node of its own and the rest of the
 * network follows on one machine: slowest tile with its halo, then outputs under way, then the rest. A halo grows with
 * depth (FACTS section 4), so the longest prefix can cost several times the network. Never less than 85 % of the convolution
 * multiply-adds that tiles can reach, unless the grid has more tiles than the maps have cells. Empty where that is
 * less than a twentieth of the network's.
 */
export function cheapestPrefix(
  resolved: ResolvedModel,
  inputs: readonly string[],
  grid: { readonly rows: number; readonly cols: number },
): Prefix {
  const { macs: total } = modelTotals(resolved);
  const candidates = shorterPrefixes(resolved, inputs, grid, LEAST_SHARE, CANDIDATES);
  let best = candidates[0]!;
  let least = Number.POSITIVE_INFINITY;
  for (const prefix of candidates) {
    if (prefix.reference === undefined) continue;
    const sizes = gridSizes(
      { rows: grid.rows, cols: grid.cols },
      prefix.reference.rows,
      prefix.reference.cols,
      prefix.reference.tensor,
    );
    const tiles = haloMacs(tileSegment(resolved, inputs, prefix.outputs), sizes.rows, sizes.cols);
    const bytes = prefix.outputs.reduce((sum, name) => sum + byteLength(resolved.specs.get(name)!), 0);
    const cost = Math.max(...tiles) + (total - prefix.macs) + bytes * MACS_PER_BYTE;
    if (cost < least) {
      best = prefix;
      least = cost;
    }
  }
  return best;
}
