import type { BlockRange } from './runs.ts';
import { quantile } from './samples.ts';

/** Times of one node: of the blocks alone, and of runs of blocks. */
export interface RunTimes {
  readonly block_ms: readonly number[];
  readonly runs: readonly { readonly blocks: BlockRange; readonly ms: number }[];
}

/**
 * Time of a run over the sum of its blocks' times alone, the median over the runs of all nodes: runtimes fuse layers (QDMP,
 * IMWUT 2020). Undefined where no run of several blocks was measured.
 */
export function correctionOf(nodes: readonly RunTimes[]): number | undefined {
  const ratios = nodes.flatMap(({ block_ms, runs }) =>
    runs.flatMap(({ blocks: [first, last], ms }) => {
      const sum = block_ms.slice(first, last + 1).reduce((all, time) => all + time, 0);
      return first < last && sum > 0 && ms > 0 ? [ms / sum] : [];
    }),
  );
  if (ratios.length === 0) return undefined;
  return quantile(
    ratios.sort((a, b) => a - b),
    0.5,
  );
}
