import type { BlockRange } from './runs.ts';
import { quantile, rounded } from './samples.ts';

/** Times of one node: of the blocks alone, and of runs of blocks. */
export interface RunTimes {
  readonly block_ms: readonly number[];
  readonly runs: readonly { readonly blocks: BlockRange; readonly ms: number }[];
}

/** Time of a run over the sum of its blocks, and the error (share) that is left when sums are multiplied by it. */
export interface Correction {
  readonly ratio: number;
  readonly error: number;
}

/**
 * The correction that fits the runs of all nodes: runtimes fuse layers, so the time of a run is not the sum of its blocks
 * (QDMP, IMWUT 2020). The ratio is the median over all runs, the error the mean distance from it. Undefined where no run
 * of several blocks was measured.
 */
export function correctionOf(nodes: readonly RunTimes[]): Correction | undefined {
  const ratios = nodes.flatMap(({ block_ms, runs }) =>
    runs.flatMap(({ blocks: [first, last], ms }) => {
      const sum = block_ms.slice(first, last + 1).reduce((all, time) => all + time, 0);
      return first < last && sum > 0 && ms > 0 ? [ms / sum] : [];
    }),
  );
  if (ratios.length === 0) return undefined;
  const ratio = quantile(
    [...ratios].sort((a, b) => a - b),
    0.5,
  );
  const error = ratios.reduce((all, one) => all + Math.abs(ratio / one - 1), 0) / ratios.length;
  return { ratio, error: rounded(error) };
}
