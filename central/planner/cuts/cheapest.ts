import { gridSizes } from '../../../shared/tiling/grid.ts';
import { MACS_PER_BYTE } from '../cost.ts';
import { bytesOf, totalMacs } from '../graph.ts';
import type { Counts, Problem, TileEnd } from '../strategy.ts';

/** Least share of the reachable convolutions' multiply-adds that the tile stage has, whatever its halo costs. */
const LEAST_SHARE = 0.85;
/** How many ends are evaluated; the cost changes slowly from one operator to the next. */
const CANDIDATES = 12;

type Network = Pick<Problem, 'graph' | 'tiler'>;

/** An end, and the multiply-adds on its critical path: the slowest tile with its halo, then the rest of the network. */
interface Candidate {
  readonly end: TileEnd;
  readonly macs: number;
}

function candidatesFor({ graph, tiler }: Network, from: TileEnd | undefined, { rows, cols }: Counts): Candidate[] {
  const total = totalMacs(graph);
  return tiler.reach(from, { rows, cols }, { leastShare: LEAST_SHARE, most: CANDIDATES }).map((end) => {
    const sizes = gridSizes({ rows, cols }, end.cells.rows, end.cells.cols, end.cells.tensor);
    const parts = tiler.parts(from, end, sizes.rows, sizes.cols);
    return { end, macs: Math.max(...parts.map(({ macs }) => macs)) + (total - end.macs) };
  });
}

/**
 * The end of a tile stage with the lowest latency, if each tile of the grid has a node of its own and the rest of the
 * network follows on one machine: the slowest tile with its halo, then the transfer of the stage's outputs, then the
 * rest. A halo grows with depth, so that the deepest end can cost several times the network. The stage has at least 85
 * % of the convolution multiply-adds that tiles can reach, unless the grid has more tiles than the feature maps have
 * cells.
 */
export function cheapestEnd(network: Network, from: TileEnd | undefined, grid: Counts): TileEnd | undefined {
  let best: TileEnd | undefined;
  let least = Number.POSITIVE_INFINITY;
  for (const { end, macs } of candidatesFor(network, from, grid)) {
    const cost = macs + bytesOf(network.graph, end.made) * MACS_PER_BYTE;
    if (cost < least) {
      best = end;
      least = cost;
    }
  }
  return best;
}

/** A critical path with smaller outputs may be this many times the shortest one. */
const AFFORDABLE = 1.25;

/**
 * The ends among which a calibration may choose by size: their critical paths are at most a quarter longer than the
 * shortest, transfers not counted. Those with the smallest outputs first; at most `most`.
 */
export function affordableEnds(network: Network, grid: Counts, most: number): TileEnd[] {
  const candidates = candidatesFor(network, undefined, grid);
  const least = Math.min(...candidates.map(({ macs }) => macs));
  const bytes = ({ made }: TileEnd): number => bytesOf(network.graph, made);
  return candidates
    .filter(({ macs }) => macs <= AFFORDABLE * least)
    .map(({ end }) => end)
    .sort((a, b) => bytes(a) - bytes(b))
    .slice(0, most);
}
