import { gridSizes } from '../../../shared/tiling/grid.ts';
import { partsAtOnce, type TilingCost, tilingCost } from '../cost.ts';
import { gridsFor } from '../grids.ts';
import type { Counts, Problem, TileEnd } from '../strategy.ts';

/*
 * Whether a network is tiled at all when the user does not set tiles. Every tile of a deep stage reads the whole
 * picture, and together the tiles compute most of the stage several times: then one machine is faster, and several
 * machines are better used for several frames.
 *
 * The limits were found with the networks of `npm run bench -- lossless`, 2x2 tiles. Within them are VGG-19 (2.20 times
 * the input, 1.65 times the work), AlexNet, ResNet-50, Inception, and DenseNet up to about its middle; outside them at
 * every end are FastestDet, UltraFace and the MobileNets (3 to 4 times the input for half of the work).
 */

/** Limits of what all tiles together read and compute, relative to the whole network on one machine. */
export const MOST_INPUT = 2.25;
export const MOST_WORK = 1.7;
/**
 * A frame may take at most this share of its time on one machine, in an estimate that assumes equal nodes and a fixed
 * link speed.
 */
export const MOST_TIME = 0.85;
/** Least share of the reachable convolutions' multiply-adds that the tile stage has. */
const LEAST_SHARE = 0.5;
/** How many ends are evaluated for each grid. */
const CANDIDATES = 16;
/** A tile stage from the frame, with its cost relative to one machine. */
export interface Tiling extends TilingCost {
  readonly grid: Counts;
  readonly end: TileEnd;
}

/** The best tiling, if it pays; otherwise the one that came nearest, for the explanation to users. */
export type Worth = { readonly tiling: Tiling } | { readonly tiling: undefined; readonly nearest: Tiling | undefined };

/**
 * The end and grid with the lowest latency, if that is clearly lower than on one machine and the halo is within the
 * limits. `grids`: by default those for all nodes, half of them, and so on.
 */
export function worthwhileTiling(
  network: Pick<Problem, 'graph' | 'tiler'>,
  constraints: Pick<Problem['constraints'], 'nodeCount' | 'sharedCores'>,
  grids: readonly Counts[] = gridsFor(constraints.nodeCount),
): Worth {
  const atOnce = partsAtOnce(constraints);
  const tilings = grids.flatMap((grid) =>
    network.tiler.reach(undefined, grid, { leastShare: LEAST_SHARE, most: CANDIDATES }).flatMap((end): Tiling[] => {
      const cost = tilingCost(network, end, grid, atOnce);
      return cost === undefined ? [] : [{ grid, end, ...cost }];
    }),
  );
  const found = tilings.sort((a, b) => a.time - b.time);
  const tiling = found.find(({ input, work, time }) => input <= MOST_INPUT && work <= MOST_WORK && time <= MOST_TIME);
  const nearest = found.find(({ grid: { rows, cols } }) => rows * cols > 1);
  return tiling === undefined ? { tiling, nearest } : { tiling };
}

/** Why a tiling does not pay. */
export function whyNotWorth({ grid: { rows, cols }, input, work }: Tiling): string {
  if (input <= MOST_INPUT && work <= MOST_WORK) return 'sending its tiles would take longer than they save';
  return `${rows}x${cols} tiles would read ${input.toFixed(1)} times the input and compute ${work.toFixed(1)} times the work`;
}

/**
 * The largest of the grids for so many nodes whose tiles up to an end read and compute no more than the limits;
 * otherwise the smallest grid.
 */
export function gridWithin({ tiler }: Pick<Problem, 'tiler'>, end: TileEnd, nodes: number): Counts {
  const { rows, cols, tensor } = end.cells;
  const sums = (rowSizes: readonly number[], colSizes: readonly number[]) =>
    tiler
      .parts(undefined, end, rowSizes, colSizes)
      .reduce((sum, part) => ({ macs: sum.macs + part.macs, bytes: sum.bytes + part.bytes_in }), { macs: 0, bytes: 0 });
  const whole = sums([rows], [cols]);
  const grids = gridsFor(nodes);
  const fits = (grid: Counts): boolean => {
    if (grid.rows > rows || grid.cols > cols) return false;
    const sizes = gridSizes(grid, rows, cols, tensor);
    const tiles = sums(sizes.rows, sizes.cols);
    return tiles.bytes <= MOST_INPUT * whole.bytes && tiles.macs <= MOST_WORK * whole.macs;
  };
  return grids.find(fits) ?? grids.at(-1)!;
}
