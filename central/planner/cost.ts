import { gridSizes } from '../../shared/tiling/grid.ts';
import { bytesOf, totalMacs } from './graph.ts';
import type { Counts, Problem, TileEnd } from './strategy.ts';

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
