import type { Counts } from './strategy.ts';

/** The smallest grid with a tile for every node, as square as possible: 8 nodes 2x4, 3 nodes 1x3, 1 node 1x1. */
export function gridFor(nodes: number): Counts {
  const count = Math.max(1, nodes);
  let rows = Math.floor(Math.sqrt(count));
  while (count % rows !== 0) rows--;
  return { rows, cols: count / rows };
}

/** Grids for all nodes, half of them, and so on down to one: a smaller grid has less halo, and leaves nodes to other frames. */
export function gridsFor(nodes: number): [Counts, ...Counts[]] {
  const grids: [Counts, ...Counts[]] = [gridFor(nodes)];
  for (let count = nodes; count > 1; ) {
    count = Math.ceil(count / 2);
    grids.push(gridFor(count));
  }
  return grids;
}
