import { type Grid, gridSizes } from '../../shared/tiling/grid.ts';
import { haloCosts } from '../../shared/tiling/halo-form.ts';
import { explicitCut } from '../../shared/tiling/prefix.ts';
import { tileSegment } from '../../shared/tiling/segment.ts';
import { MOST_INPUT, MOST_WORK, type Tiling, worthwhileTiles } from '../../shared/tiling/worthwhile.ts';
import type { ServedModel } from '../served-model.ts';

/** How a network is cut where nobody said anything about it. */
export interface Unasked {
  readonly grid: Grid;
  /** Where the tile stage ends; none: each frame runs whole on one node. */
  readonly cuts: readonly (readonly string[])[];
  /** Why it is not cut. */
  readonly note?: string;
}

/** The smallest grid with a tile for every node, as square as it can be: 8 nodes 2x4, 3 nodes 1x3, 1 node 1x1. */
export function gridFor(nodes: number): Grid {
  const count = Math.max(1, nodes);
  let rows = Math.floor(Math.sqrt(count));
  while (count % rows !== 0) rows--;
  return { rows, cols: count / rows };
}

/** Grids for all nodes, half of them, and so on down to one: a smaller grid has less halo, and leaves nodes to other frames. */
export function gridsFor(nodes: number): [Grid, ...Grid[]] {
  const grids: [Grid, ...Grid[]] = [gridFor(nodes)];
  for (let count = nodes; count > 1; ) {
    count = Math.ceil(count / 2);
    grids.push(gridFor(count));
  }
  return grids;
}

/** Of the processors of one machine, what its nodes gain by: two of them are mostly one core, and broker and central work too. */
const SHARE_OF_CORES = 0.5;

/** The cut and grid with which a frame is done clearly sooner than on one node; else none, and why. */
export function unaskedCut({ resolved, input }: ServedModel, nodes: number, sharedCores?: number): Unasked {
  const atOnce = sharedCores === undefined ? undefined : Math.max(1, sharedCores * SHARE_OF_CORES);
  const worth = worthwhileTiles(resolved, [input.name], gridsFor(nodes), atOnce);
  if (worth.tiling !== undefined) return { grid: worth.tiling.grid, cuts: [worth.tiling.prefix.outputs] };
  const { nearest } = worth;
  const one: Unasked = { grid: { rows: 1, cols: 1 }, cuts: [] };
  return nearest === undefined ? one : { ...one, note: refusal(nearest) };
}

function refusal({ grid: { rows, cols }, input, work }: Tiling): string {
  if (input <= MOST_INPUT && work <= MOST_WORK) return 'tiles of it would travel longer than they save';
  return `${rows}x${cols} tiles would read ${input.toFixed(1)} times the input and compute ${work.toFixed(1)} times the work`;
}

/** The largest of the grids whose tiles up to `tensors` read and compute no more than is cut unasked; the last where none does. */
export function gridWithin({ resolved, input }: ServedModel, tensors: readonly string[], nodes: number): Grid {
  const prefix = explicitCut(resolved, [input.name], tensors);
  const { reference } = prefix;
  const grids = gridsFor(nodes);
  if (reference === undefined) return grids[0];
  const segment = tileSegment(resolved, [input.name], prefix.outputs);
  const whole = haloCosts(segment, [reference.rows], [reference.cols]);
  const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);
  const fits = ({ rows, cols }: Grid): boolean => {
    if (rows > reference.rows || cols > reference.cols) return false;
    const sizes = gridSizes({ rows, cols }, reference.rows, reference.cols, reference.tensor);
    const { macs, bytesIn } = haloCosts(segment, sizes.rows, sizes.cols);
    return sum(bytesIn) <= MOST_INPUT * sum(whole.bytesIn) && sum(macs) <= MOST_WORK * sum(whole.macs);
  };
  return grids.find(fits) ?? grids.at(-1)!;
}
