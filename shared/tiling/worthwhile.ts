import { modelTotals } from '../onnx/cost.ts';
import type { ResolvedModel } from '../onnx/model.ts';
import { byteLength } from '../tensor/tensor.ts';
import { MACS_PER_BYTE } from './cheapest-prefix.ts';
import { gridSizes } from './grid.ts';
import { haloCosts } from './halo-form.ts';
import { type Prefix, shorterPrefixes } from './prefix.ts';
import { tileSegment } from './segment.ts';

/*
 * Whether a network that nobody said how to cut is cut at all. A deep stage of tiles reads the whole picture in every
 * tile, and computes most of it several times over: then one machine is faster, and several serve several frames.
 *
 * The limits are from the networks of `npm run bench -- lossless`, 2x2 tiles. Within them are VGG-19 (2.20 times the
 * input, 1.65 times the work), AlexNet, ResNet-50, Inception, DenseNet up to about their middle; beyond them at every
 * place FastestDet, UltraFace and the MobileNets (3 to 4 times the input for half of the work).
 */

/** What all tiles together may read, of what one machine reads, and compute, of what it computes. */
export const MOST_INPUT = 2.25;
export const MOST_WORK = 1.7;
/** What has to be spread at least, of the convolution multiply-adds that tiles reach. */
const LEAST_SHARE = 0.5;
/** A frame has to take at most this, of what it takes on one machine, in a reckoning that knows no links and no nodes. */
export const MOST_TIME = 0.85;
/**
 * What each further tile of a frame costs in messages: 3 ms of a machine that does 15 GMAC/s. On slower ones messages cost
 * more time, and as many multiply-adds or fewer. Below half a GMAC nothing is won by tiles.
 */
const TILE_MACS = 45e6;
/** How many ends to look at for each grid. */
const CANDIDATES = 16;

interface Counts {
  readonly rows: number;
  readonly cols: number;
}

/** A beginning of the network in tiles, and what that costs of what one machine does for a frame. */
export interface Tiling {
  readonly grid: Counts;
  readonly prefix: Prefix;
  /** Bytes that tiles read, of those of the inputs; multiply-adds of all tiles, of those of the beginning. */
  readonly input: number;
  readonly work: number;
  /** Time, of that on one machine. */
  readonly time: number;
}

/** The best of several grids, if it is worth it; else the one that came nearest, for people who ask why. */
export type Worth = { readonly tiling: Tiling } | { readonly tiling: undefined; readonly nearest: Tiling | undefined };

/** Bytes that are known: what nobody knows the size of counts as nothing. */
function bytesOf({ specs }: ResolvedModel, tensors: readonly string[]): number {
  return tensors.reduce((sum, name) => {
    const spec = specs.get(name);
    return spec === undefined ? sum : sum + byteLength(spec);
  }, 0);
}

function tilingsOf(resolved: ResolvedModel, inputs: readonly string[], grid: Counts, atOnce: number): Tiling[] {
  const { macs: total } = modelTotals(resolved);
  const results = resolved.model.graph.outputs.map(({ name }) => name);
  const whole = bytesOf(resolved, inputs);
  const alone = total + MACS_PER_BYTE * (whole + bytesOf(resolved, results));
  return shorterPrefixes(resolved, inputs, grid, LEAST_SHARE, CANDIDATES).flatMap((prefix) => {
    if (prefix.reference === undefined || alone === 0) return [];
    const { rows, cols, tensor } = prefix.reference;
    const sizes = gridSizes({ rows: grid.rows, cols: grid.cols }, rows, cols, tensor);
    const { macs, bytesIn } = haloCosts(tileSegment(resolved, inputs, prefix.outputs), sizes.rows, sizes.cols);
    const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);
    const under = MACS_PER_BYTE * (sum(bytesIn) + bytesOf(resolved, prefix.outputs));
    const tiles = Math.max(...macs, sum(macs) / atOnce);
    const spread = tiles + (total - prefix.macs) + under + TILE_MACS * (macs.length - 1);
    const of = (part: number, all: number): number => (all === 0 ? 1 : part / all);
    return { grid, prefix, input: of(sum(bytesIn), whole), work: of(sum(macs), prefix.macs), time: spread / alone };
  });
}

/**
 * The beginning of the network, and the grid of those that are offered, with which a frame is done soonest, where that
 * is clearly sooner than on one machine and its halo is within the limits. `atOnce`: tiles that are computed at the same
 * time, fewer than there are where nodes share a machine's cores.
 */
export function worthwhileTiles(
  resolved: ResolvedModel,
  inputs: readonly string[],
  grids: readonly Counts[],
  atOnce = Number.POSITIVE_INFINITY,
): Worth {
  const found = grids.flatMap((grid) => tilingsOf(resolved, inputs, grid, atOnce)).sort((a, b) => a.time - b.time);
  const tiling = found.find(({ input, work, time }) => input <= MOST_INPUT && work <= MOST_WORK && time <= MOST_TIME);
  const nearest = found.find(({ grid: { rows, cols } }) => rows * cols > 1);
  return tiling === undefined ? { tiling, nearest } : { tiling };
}
