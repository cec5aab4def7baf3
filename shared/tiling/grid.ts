import { TesseraError } from '../errors.ts';

/**
 * A grid as the user gives it: the numbers of rows and columns of tiles, and their sizes in cells where the user gave
 * them.
 */
export interface Grid {
  readonly rows: number;
  readonly cols: number;
  readonly rowSizes?: readonly number[];
  readonly colSizes?: readonly number[];
}

/** Most tiles along one axis; a larger number is a mistake. */
const MAXIMUM_PARTS = 1024;

function parseAxis(text: string, whole: string): { count: number; sizes?: readonly number[] } {
  const numbers = text.split(',').map((part) => (/^\d{1,6}$/.test(part) ? Number(part) : 0));
  if (
    numbers.some((n) => n < 1) ||
    numbers.length > MAXIMUM_PARTS ||
    (numbers.length === 1 && numbers[0]! > MAXIMUM_PARTS)
  )
    throw new TesseraError('TESSERA_PLAN_INVALID', `"${whole}" is not a grid.`, {
      hint: 'Write ROWSxCOLS, as 2x4, or the sizes of uneven tiles in cells of the output, as 7,7x4,4,3,3.',
    });
  return numbers.length === 1 ? { count: numbers[0]! } : { count: numbers.length, sizes: numbers };
}

/** Reads `2x4`, or `7,7x4,4,3,3` with sizes in cells; throws TESSERA_PLAN_INVALID on anything else. */
export function parseGrid(text: string): Grid {
  const parts = text.trim().toLowerCase().split('x');
  const [rows, cols] = [parseAxis(parts[0] ?? '', text), parseAxis(parts.length === 2 ? parts[1]! : '', text)];
  return {
    rows: rows.count,
    cols: cols.count,
    ...(rows.sizes === undefined ? {} : { rowSizes: rows.sizes }),
    ...(cols.sizes === undefined ? {} : { colSizes: cols.sizes }),
  };
}

/**
 * Splits `total` cells into `parts` sizes that differ by at most one, larger ones first. Throws TESSERA_PLAN_INVALID
 * where there are fewer cells than parts.
 */
export function evenSizes(total: number, parts: number): number[] {
  if (!Number.isInteger(parts) || parts < 1 || parts > total)
    throw new TesseraError('TESSERA_PLAN_INVALID', `${total} cells cannot be split into ${parts} tiles.`, {
      hint: `Ask for 1 to ${total} tiles along this axis, or cut the network earlier, where its maps are larger.`,
    });
  const small = Math.floor(total / parts);
  return Array.from({ length: parts }, (_, i) => small + (i < total % parts ? 1 : 0));
}

/** Begins and ends of tiles of these sizes: `[0, s0, s0 + s1, ...]`. */
export function boundaries(sizes: readonly number[]): number[] {
  const ends = [0];
  for (const size of sizes) ends.push(ends[ends.length - 1]! + size);
  return ends;
}

/** Throws TESSERA_PLAN_INVALID unless `sizes` are positive whole numbers that add up to `total` cells of `tensor`. */
export function checkSizes(sizes: readonly number[], total: number, what: 'rows' | 'cols', tensor: string): void {
  const sum = sizes.reduce((all, size) => all + size, 0);
  if (sizes.length > 0 && sizes.every((size) => Number.isInteger(size) && size > 0) && sum === total) return;
  throw new TesseraError(
    'TESSERA_PLAN_INVALID',
    `${what} ${JSON.stringify(sizes)} do not tile "${tensor}", which has ${total} ${what}.`,
    { hint: `Give positive whole sizes that add up to ${total}.` },
  );
}

/**
 * Tile sizes of a grid over `tensor`, which has `height` x `width` cells: the user's sizes, else even ones. Throws
 * TESSERA_PLAN_INVALID where they do not fit.
 */
export function gridSizes(
  grid: Grid,
  height: number,
  width: number,
  tensor: string,
): { rows: number[]; cols: number[] } {
  const rows = grid.rowSizes === undefined ? evenSizes(height, grid.rows) : [...grid.rowSizes];
  const cols = grid.colSizes === undefined ? evenSizes(width, grid.cols) : [...grid.colSizes];
  checkSizes(rows, height, 'rows', tensor);
  checkSizes(cols, width, 'cols', tensor);
  return { rows, cols };
}
