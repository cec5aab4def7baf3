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
  /** Whether the user set it; strips of others are as many as a map has cells for. */
  readonly isAsked: boolean;
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

/** A machine with less than this share of the mean speed of a crew is left out of it. */
const LEAST_SPEED = 0.5;

/** The machines without those that are much slower, the faster half of them, and so on down to two. */
export function crews(machines: readonly Machine[]): (readonly Machine[])[] {
  const speeds = machines.map(({ ms }) => 1 / ms);
  const isOfUse = (count: number): boolean =>
    speeds[count - 1]! >= (LEAST_SPEED * total(speeds.slice(0, count))) / count;
  let count = machines.length;
  while (count > 2 && !isOfUse(count)) count--;
  const found: (readonly Machine[])[] = [];
  for (; count > 1; count = count === 2 ? 1 : Math.ceil(count / 2)) found.push(machines.slice(0, count));
  return found;
}

/** Every grid with one tile for each machine of each crew; or the grid that the user set, on the fastest machines. */
export function gridsOn(fleet: Fleet, asked?: Grid): Shape[] {
  const able = ableTo(fleet, 'tiles');
  if (asked !== undefined && able.length > 0) {
    const counts = able.map(() => 0);
    // The next tile goes to the machine that is first done with it (ADCNN, Algorithm 3).
    for (let tile = 0; tile < asked.rows * asked.cols; tile++) {
      const done = able.map(({ ms }, k) => (counts[k]! + 1) * ms);
      counts[done.indexOf(Math.min(...done))]!++;
    }
    const crew = able.flatMap((machine, k) => Array.from({ length: counts[k]! }, () => machine));
    return [gridOn(crew, asked, true)];
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
export function gridOn(crew: readonly Machine[], grid: Grid, isAsked = false): Shape {
  const { rows } = grid;
  const lines = Array.from({ length: rows }, (): Machine[] => []);
  crew.forEach((machine, index) => {
    const lap = Math.floor(index / rows);
    const at = index % rows;
    lines[lap % 2 === 0 ? at : rows - 1 - at]!.push(machine);
  });
  return { ...grid, isAsked, machines: lines.flat() };
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

/** Tiles whose sizes are in proportion to the speeds of their machines; undefined where a map has too few cells or one. */
export function tiledForm(
  geometry: TileGeometry,
  place: number,
  shape: Shape,
  padding: 'zero' | 'halo' = 'halo',
): Form | undefined {
  const cells = geometry.cells(place);
  if (cells === undefined) return undefined;
  const { rowSizes, colSizes, isAsked } = shape;
  const isStrips = (shape.rows === 1 || shape.cols === 1) && !isAsked;
  const rows = isStrips ? Math.min(shape.rows, cells.rows) : shape.rows;
  const cols = isStrips ? Math.min(shape.cols, cells.cols) : shape.cols;
  const machines = shape.machines.slice(0, rows * cols);
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
  if (sizes.rows === undefined || sizes.cols === undefined || (isStrips && rows * cols === 1)) return undefined;
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
