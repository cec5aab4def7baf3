import type { Split } from '../../../shared/plan/plan.ts';
import type { Grid } from '../../../shared/tiling/grid.ts';
import type { ShareBoxes } from '../../../shared/tiling/tiles-between.ts';
import type { TileGeometry } from '../strategy.ts';
import type { Fleet, Machine } from './fleet.ts';
import type { Held } from './stage-ms.ts';

/** A stage's division as it ends at a place, and who then has what. */
export interface Form {
  readonly division: Split;
  /** The machine of each part. */
  readonly machines: readonly Machine[];
  /** What the parts make of each tensor of the place. */
  readonly made: readonly ShareBoxes[];
}

/** The whole of a tensor, for one part. */
export const ALL: ShareBoxes = Float64Array.of(0, 1, 0, 1, 0, 1);

/** The whole of every tensor on one machine. */
export function wholeForm(machine: Machine, tensors: number): Form {
  return { division: { kind: 'whole' }, machines: [machine], made: Array.from({ length: tensors }, () => ALL) };
}

/** Who has what when a stage has ended with a form. */
export function heldBy({ machines, made }: Form): Held {
  return { sites: machines.map(({ site }) => site), made };
}

/** A grid of tiles on some of the fastest machines. */
export interface Shape extends Grid {
  /** Row by row. */
  readonly machines: readonly Machine[];
}

/** Machines that run parts of a split. */
export function ableTo({ machines }: Fleet, split: Split['kind']): Machine[] {
  return machines.filter(({ node }) => node.splits.includes(split));
}

/** How many of the fastest machines are tried for whole stages. */
const SOLOISTS = 4;

/** The machines that are tried for whole stages: the fastest, those of each tier, and where frames are born and answers needed. */
export function soloists(fleet: Fleet): Machine[] {
  const { source, sink } = fleet;
  const tiers = new Set<string>();
  return ableTo(fleet, 'whole').filter(({ node: { tier }, site }, rank) => {
    const isFirst = !tiers.has(tier);
    tiers.add(tier);
    return rank < SOLOISTS || isFirst || site === source || site === sink;
  });
}

/** All machines, the faster half of them, and so on down to two. */
export function crews(machines: readonly Machine[]): (readonly Machine[])[] {
  const found: (readonly Machine[])[] = [];
  for (let count = machines.length; count > 1; count = Math.ceil(count / 2)) {
    found.push(machines.slice(0, count));
    if (count === 2) break;
  }
  return found;
}

/** Every grid with one tile for each machine of each crew; or the grid that the user set, on the fastest machines. */
export function gridsOn(fleet: Fleet, asked?: Grid): Shape[] {
  const able = ableTo(fleet, 'tiles');
  if (asked !== undefined && able.length > 0) {
    const tiles = asked.rows * asked.cols;
    const crew = Array.from({ length: tiles }, (_, part) => able[part % able.length]!);
    return [gridOn(crew, asked)];
  }
  return crews(able).flatMap((crew) =>
    crew.flatMap((_, index): Shape[] => {
      const rows = index + 1;
      return crew.length % rows === 0 ? [gridOn(crew, { rows, cols: crew.length / rows })] : [];
    }),
  );
}

/** Strips of each crew, along either side of the maps; or the strips that the user set. */
export function stripsOn(fleet: Fleet, asked?: Grid): Shape[] {
  return gridsOn(fleet, asked).filter(({ rows, cols }) => rows === 1 || cols === 1);
}

/** The crew in a grid: its rows are about equally fast, and in each row the faster machines come first. */
export function gridOn(crew: readonly Machine[], grid: Grid): Shape {
  const { rows } = grid;
  const lines = Array.from({ length: rows }, (): Machine[] => []);
  crew.forEach((machine, index) => {
    const lap = Math.floor(index / rows);
    const at = index % rows;
    lines[lap % 2 === 0 ? at : rows - 1 - at]!.push(machine);
  });
  return { ...grid, machines: lines.flat() };
}

function total(sizes: readonly number[]): number {
  return sizes.reduce((all, size) => all + size, 0);
}

/**
 * Sizes in proportion to weights that add up to a total, each a positive multiple of `step`; undefined where the total is
 * too small. What rounding leaves goes where the most is missing.
 */
export function proportional(cells: number, weights: readonly number[], step = 1): number[] | undefined {
  const units = cells / step;
  if (!Number.isInteger(units) || units < weights.length) return undefined;
  const wanted = weights.map((weight) => (units * weight) / total(weights));
  const sizes = wanted.map((share) => Math.max(1, Math.floor(share)));
  for (let left = units - total(sizes); left !== 0; left -= Math.sign(left)) {
    const missing = sizes.map((size, k) =>
      left < 0 && size === 1 ? Number.NEGATIVE_INFINITY : Math.sign(left) * (wanted[k]! - size),
    );
    sizes[missing.indexOf(Math.max(...missing))]! += Math.sign(left);
  }
  return sizes.map((size) => size * step);
}

/** Tiles whose sizes are in proportion to the speeds of their machines; undefined where a map has too few cells. */
export function tiledForm(
  geometry: TileGeometry,
  place: number,
  { rows, cols, rowSizes, colSizes, machines }: Shape,
  padding: 'zero' | 'halo' = 'halo',
): Form | undefined {
  const cells = geometry.cells(place);
  if (cells === undefined) return undefined;
  const high = new Array<number>(rows).fill(0);
  const wide = new Array<number>(cols).fill(0);
  machines.forEach(({ ms }, part) => {
    high[Math.floor(part / cols)]! += 1 / ms;
    wide[part % cols]! += 1 / ms;
  });
  const sizes = {
    rows: rowSizes ?? proportional(cells.rows, high),
    cols: colSizes ?? proportional(cells.cols, wide),
  };
  if (sizes.rows === undefined || sizes.cols === undefined) return undefined;
  if (total(sizes.rows) !== cells.rows || total(sizes.cols) !== cells.cols) return undefined;
  return sizedForm(geometry, place, { padding, rows: sizes.rows, cols: sizes.cols }, machines);
}

/** Tiles of these sizes. */
export function sizedForm(
  geometry: TileGeometry,
  place: number,
  sizes: Omit<Extract<Split, { kind: 'tiles' }>, 'kind'>,
  machines: readonly Machine[],
): Form {
  return { division: { kind: 'tiles', ...sizes }, machines, made: geometry.made(place, sizes.rows, sizes.cols) };
}

/** Slices of channels of these sizes, of every tensor of a place. */
export function slicedForm(sizes: readonly number[], machines: readonly Machine[], tensors: number): Form {
  const all = total(sizes);
  let end = 0;
  const slices = Float64Array.from(
    sizes.flatMap((size) => {
      const start = end;
      end += size;
      return [0, 1, 0, 1, start / all, end / all];
    }),
  );
  return { division: { kind: 'channels', sizes }, machines, made: Array.from({ length: tensors }, () => slices) };
}
