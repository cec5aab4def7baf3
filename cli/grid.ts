import type { GridRequest } from '../central/planner/choose.ts';
import { usage } from './options.ts';

const MAX_TILES_PER_SIDE = 64;

/** One side of a grid: a number of tiles, or their sizes in cells joined by `+`. */
function side(text: string): number | readonly number[] | undefined {
  if (!/^\d{1,4}(\+\d{1,4})*$/.test(text)) return undefined;
  const sizes = text.split('+').map(Number);
  if (sizes.some((size) => size < 1) || sizes.length > MAX_TILES_PER_SIDE) return undefined;
  if (sizes.length > 1) return sizes;
  return sizes[0]! <= MAX_TILES_PER_SIDE ? sizes[0] : undefined;
}

/** Reads `2x4` (rows x columns) or `5+9x7+7` (their sizes in cells of the last feature map); `auto` is undefined. */
export function parseGridOption(text: string, flag: string): GridRequest | undefined {
  if (text === 'auto') return undefined;
  const [rowText, colText, ...rest] = text.toLowerCase().split('x');
  const rows = side(rowText ?? '');
  const cols = side(colText ?? '');
  if (rows === undefined || cols === undefined || rest.length > 0)
    throw usage(flag, text, 'ROWSxCOLS such as 2x4, sizes such as 5+9x7+7, or auto');
  return { rows, cols };
}

/** Reads a shape such as `1x3x224x224`. */
export function parseShape(text: string, flag: string): readonly number[] {
  if (!/^\d{1,6}(x\d{1,6}){0,7}$/i.test(text)) throw usage(flag, text, 'sizes joined by x, such as 1x3x224x224');
  const shape = text.toLowerCase().split('x').map(Number);
  if (shape.some((size) => size < 1)) throw usage(flag, text, 'sizes of at least 1');
  return shape;
}
