import type { CompiledPlan } from '../../shared/plan/compiled-plan.ts';
import { gridSizes } from '../../shared/tiling/grid.ts';
import { bytesOf, totalMacs } from './graph.ts';
import type { Constraints, Counts, Problem, TileEnd } from './strategy.ts';

/**
 * Multiply-adds that a small CPU does in the time in which a byte is transferred (2 GMAC/s, 100 Mbit/s). An assumption,
 * used until links are measured.
 */
export const MACS_PER_BYTE = 160;
/**
 * The messages of each further tile of a frame, as multiply-adds: 3 ms of a machine that does 15 GMAC/s. On slower
 * machines messages take longer, which is as many multiply-adds or fewer. Below half a GMAC tiles do not pay.
 */
const TILE_MACS = 45e6;

/**
 * Of the processors of one machine, the share by which its nodes gain: two processors are mostly one core, and broker
 * and central need time too.
 */
const SHARE_OF_CORES = 0.5;

/** How many parts of a frame are computed at the same time. */
export function partsAtOnce({ nodeCount, sharedCores }: Pick<Constraints, 'nodeCount' | 'sharedCores'>): number {
  return Math.max(1, Math.min(nodeCount, (sharedCores ?? Number.POSITIVE_INFINITY) * SHARE_OF_CORES));
}

/**
 * The cost of a tile stage from the frame to some end, with the rest on one machine, relative to the whole network on
 * one machine.
 */
export interface TilingCost {
  /** Bytes that tiles read, relative to those of the inputs. */
  readonly input: number;
  /** Multiply-adds of all tiles, relative to those of the stage without halo. */
  readonly work: number;
  /** Latency of a frame. */
  readonly time: number;
}

/** `atOnce`: tiles that are computed at the same time. Undefined where the network's multiply-adds are not known. */
export function tilingCost(
  { graph, tiler }: Pick<Problem, 'graph' | 'tiler'>,
  end: TileEnd,
  { rows, cols }: Counts,
  atOnce: number,
): TilingCost | undefined {
  const total = totalMacs(graph);
  const whole = bytesOf(graph, graph.inputs);
  const alone = total + MACS_PER_BYTE * (whole + bytesOf(graph, graph.outputs));
  if (alone === 0) return undefined;
  const sizes = gridSizes({ rows, cols }, end.cells.rows, end.cells.cols, end.cells.tensor);
  const parts = tiler.parts(undefined, end, sizes.rows, sizes.cols);
  const macs = parts.reduce((sum, part) => sum + part.macs, 0);
  const bytesIn = parts.reduce((sum, part) => sum + part.bytes_in, 0);
  const bytesOut = parts.reduce((sum, part) => sum + part.bytes_out, 0);
  const tiles = Math.max(...parts.map((part) => part.macs), macs / atOnce);
  const time = tiles + (total - end.macs) + MACS_PER_BYTE * (bytesIn + bytesOut) + TILE_MACS * (parts.length - 1);
  const relative = (part: number, all: number): number => (all === 0 ? 1 : part / all);
  return { input: relative(bytesIn, whole), work: relative(macs, end.macs), time: time / alone };
}

/** The latency of a plan's frames, in multiply-adds: one stage after another, with equal nodes and links. */
export function frameTime({ stages, cost }: CompiledPlan, atOnce: number): number {
  const times = stages.map(({ parts }) => {
    const macs = parts.map((part) => part.cost);
    const all = macs.reduce((sum, part) => sum + part, 0);
    return Math.max(...macs, all / atOnce) + TILE_MACS * (parts.length - 1);
  });
  return times.reduce((sum, time) => sum + time, MACS_PER_BYTE * (cost.bytesOut + cost.bytesBack));
}
