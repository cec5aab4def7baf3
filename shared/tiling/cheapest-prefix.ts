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
export const MACS_PER_BYTE = 160;

/** A tileable beginning, and the multiply-adds on its critical path: the slowest tile with its halo, then all that follows. */
interface Candidate {
  readonly prefix: Prefix;
  readonly macs: number;
}

function candidatesFor(resolved: ResolvedModel, inputs: readonly string[], grid: Counts): Candidate[] {
  const { macs: total } = modelTotals(resolved);
  return shorterPrefixes(resolved, inputs, grid, LEAST_SHARE, CANDIDATES).map((prefix) => {
    if (prefix.reference === undefined) return { prefix, macs: total };
    const { rows, cols, tensor } = prefix.reference;
    const sizes = gridSizes({ rows: grid.rows, cols: grid.cols }, rows, cols, tensor);
    const tiles = haloMacs(tileSegment(resolved, inputs, prefix.outputs), sizes.rows, sizes.cols);
    return { prefix, macs: Math.max(...tiles) + (total - prefix.macs) };
  });
}

function bytesOf(resolved: ResolvedModel, { outputs }: Prefix): number {
  return outputs.reduce((sum, name) => sum + byteLength(resolved.specs.get(name)!), 0);
}

interface Counts {
  readonly rows: number;
  readonly cols: number;
}

/**
 * The beginning of the network that is done soonest when each tile of the grid has a node of its own and the rest of the
 * network follows on one machine: slowest tile with its halo, then outputs under way, then the rest. A halo grows with
 * depth (FACTS section 4), so the longest prefix can cost several times the network. Never less than 85 % of the convolution
 * multiply-adds that tiles can reach, unless the grid has more tiles than the maps have cells. Empty where that is
 * less than a twentieth of the network's.
 */
export function cheapestPrefix(resolved: ResolvedModel, inputs: readonly string[], grid: Counts): Prefix {
  const candidates = candidatesFor(resolved, inputs, grid);
  let best = candidates[0]!.prefix;
  let least = Number.POSITIVE_INFINITY;
  for (const { prefix, macs } of candidates) {
    if (prefix.reference === undefined) continue;
    const cost = macs + bytesOf(resolved, prefix) * MACS_PER_BYTE;
    if (cost < least) {
      best = prefix;
      least = cost;
    }
  }
  return best;
}

/** How much longer than the shortest critical path one may be whose results are smaller. */
const AFFORDABLE = 1.25;

/**
 * Beginnings of the network among which the size of what travels may choose: their critical path is at most a quarter
 * longer than the shortest of them, bytes not counted. Those with the smallest outputs first; at most `most`.
 */
export function affordablePrefixes(
  resolved: ResolvedModel,
  inputs: readonly string[],
  grid: Counts,
  most: number,
): Prefix[] {
  const candidates = candidatesFor(resolved, inputs, grid).filter(({ prefix }) => prefix.reference !== undefined);
  const least = Math.min(...candidates.map(({ macs }) => macs));
  return candidates
    .filter(({ macs }) => macs <= AFFORDABLE * least)
    .map(({ prefix }) => prefix)
    .sort((a, b) => bytesOf(resolved, a) - bytesOf(resolved, b))
    .slice(0, most);
}
