/** The time of some consecutive layers that ran as one. */
export interface MeasuredRun {
  /** The layers, as indices; both ends included. */
  readonly first: number;
  readonly last: number;
  /** Median. */
  readonly ms: number;
  /** Of the time, in ms^2; absent where the spread was not measured. */
  readonly variance?: number;
}

/** How long a network's layers take on a node. */
export interface NodeTimes {
  /** One per layer; those of several blocks, times `ratio`, add up to the time of the blocks as one stage. */
  readonly layer_ms: readonly number[];
  /** One per layer, in ms^2; those of a block add up to the block's. Absent where the spread was not measured. */
  readonly layer_variance?: readonly number[];
  /** What was measured as one: every block alone, and runs of several blocks. */
  readonly runs: readonly MeasuredRun[];
  /** Time of several blocks that run as one, over the sum of their times: runtimes fuse layers. */
  readonly ratio: number;
  /** Error (share) of times that were not measured as such; null where it is not known. */
  readonly error: number | null;
}

/** A node as far as its times go. */
export interface TimedNode {
  readonly id: string;
  /** Absent where the network was not profiled there. */
  readonly times?: NodeTimes;
}

/** Mean and variance of the time that some layers take as one stage. */
export interface LayersTime {
  readonly ms: number;
  /** In ms^2; 0 where the spread was not measured. */
  readonly variance: number;
}

/**
 * The time of some layers (indices in ascending order) as one stage on a node: measured if they were run as one, else the
 * sum of their times with the correction for fused layers. The node must have been profiled.
 */
export function layersTime({ id, times }: TimedNode, layers: readonly number[]): LayersTime {
  if (times === undefined) throw new Error(`node ${id} was not profiled`);
  const { layer_ms, layer_variance, runs, ratio } = times;
  const [first, last] = [layers[0], layers.at(-1)];
  if (first === undefined || last === undefined) return { ms: 0, variance: 0 };
  if (last - first === layers.length - 1) {
    const run = runs.find((measured) => measured.first === first && measured.last === last);
    if (run !== undefined) return { ms: run.ms, variance: run.variance ?? 0 };
  }
  let [ms, variance] = [0, 0];
  for (const layer of layers) {
    ms += layer_ms[layer]!;
    variance += layer_variance?.[layer] ?? 0;
  }
  return { ms: ratio * ms, variance: ratio ** 2 * variance };
}

/** The time of some layers (indices in ascending order) as one stage on a node, in ms; as `layersTime`. */
export function layersMs(node: TimedNode, layers: readonly number[]): number {
  return layersTime(node, layers).ms;
}
