import type { PlanningGraph } from '../graph.ts';
import type { RunTimes } from './correction.ts';
import { type Row, ridge } from './ridge.ts';
import type { BlockRange } from './runs.ts';
import { quantile, rounded } from './samples.ts';

/** Times of blocks as they run with others, and the mean error (share) of a run that is predicted from the other runs. */
export interface FusedTimes {
  readonly block_ms: readonly number[];
  readonly error: number;
}

/**
 * How strongly the ratios of types are held to the mean ratio, and the times of blocks to the ratio of their type, in
 * comparison to one run with a relative error of 1.
 */
const TYPE_WEIGHT = 0.01;
const BLOCK_WEIGHT = 0.02;
/** Of its time alone, the least share that a block is taken to have: nothing is free. */
const LEAST_SHARE = 0.02;

/** The operator of each block that does most of its work. */
export function typesOf({ layers, blocks }: PlanningGraph): string[] {
  return blocks.map(({ first, last }) => {
    const own = layers.slice(first, last + 1);
    return own.reduce((most, layer) => (layer.macs > most.macs ? layer : most), own[0]!).op;
  });
}

/**
 * Times of the blocks of a network that, added up, give the times of its measured runs as well as possible. What a block
 * loses in a run depends on its operator: an activation is fused into the convolution before it and costs nothing, a
 * convolution that runs alone first brings its input into another order. So first each operator gets a ratio of its time
 * in runs to its time alone, then each block a time near that. Undefined where no run of several blocks was measured.
 */
export function fusedTimes(types: readonly string[], { block_ms, runs }: RunTimes): FusedTimes | undefined {
  const several = runs.filter(({ blocks: [first, last], ms }) => first < last && ms > 0);
  if (several.length === 0) return undefined;
  const fitted = inRuns(types, block_ms, several);
  const errors = several.map((run) => {
    const others = several.filter((other) => other !== run);
    if (others.length === 0) return 0;
    return Math.abs(sumOf(inRuns(types, block_ms, others), run.blocks) / run.ms - 1);
  });
  const error = errors.reduce((sum, one) => sum + one, 0) / errors.length;
  return { block_ms: fitted.map(rounded), error: rounded(error) };
}

function sumOf(block_ms: readonly number[], [first, last]: BlockRange): number {
  let sum = 0;
  for (let block = first; block <= last; block++) sum += block_ms[block]!;
  return sum;
}

function inRuns(types: readonly string[], alone: readonly number[], runs: RunTimes['runs']): number[] {
  const ratios = runs.map(({ blocks, ms }) => ms / Math.max(sumOf(alone, blocks), Number.MIN_VALUE));
  const ratio = quantile(
    ratios.sort((a, b) => a - b),
    0.5,
  );
  const known = [...new Set(types)];
  const typeOf = types.map((type) => known.indexOf(type));
  const ofTypes = runs.map(({ blocks: [first, last], ms }): Row => {
    const features = known.map(() => 0);
    for (let block = first; block <= last; block++) features[typeOf[block]!]! += alone[block]!;
    return { features, value: ms };
  });
  const perType = ridge(
    ofTypes,
    known.map(() => ratio),
    TYPE_WEIGHT,
  );
  const ofBlocks = runs.map(({ blocks: [first, last], ms }): Row => {
    return { features: alone.map((_, block) => (block >= first && block <= last ? 1 : 0)), value: ms };
  });
  const near = alone.map((ms, block) => Math.max(perType[typeOf[block]!]!, LEAST_SHARE) * ms);
  return ridge(ofBlocks, near, BLOCK_WEIGHT);
}
