import { type Grid, gridSizes } from '../../../shared/tiling/grid.ts';
import { gridFor } from '../grids.ts';
import { isNoPlan, type NoPlan, type Problem, type TileEnd } from '../strategy.ts';
import { cheapestEnd } from './cheapest.ts';

/** Tile settings from the user, otherwise those for which the network was retrained. */
export interface Wanted {
  readonly padding: 'zero' | 'halo';
  /** One for each tile stage; further stages use the first. */
  readonly grids?: readonly Grid[];
  readonly cuts?: readonly (readonly string[])[];
}

/**
 * The tile settings of a problem. A network that was retrained for other padding, or for fewer tile stages than
 * `least`, is tiled as if it was not retrained.
 */
export function wantedTiles({ constraints, trained }: Problem, least = 1): Wanted {
  const isOther = constraints.padding !== undefined && constraints.padding !== trained[0]?.padding;
  const given = trained.length < least || isOther ? [] : trained;
  const grids = constraints.grid === undefined ? given.map(({ grid }) => grid) : [constraints.grid];
  const cuts = constraints.cuts ?? given.map(({ after }) => [after]);
  return {
    padding: constraints.padding ?? given[0]?.padding ?? 'halo',
    ...(grids.length === 0 ? {} : { grids }),
    ...(cuts.length === 0 ? {} : { cuts }),
  };
}

/**
 * The answer of a strategy without tiles to a user who set tiles and named no strategy; undefined where tiles are not
 * set.
 */
export function refusalWithoutTiles(problem: Problem): NoPlan | undefined {
  const isWanted = problem.constraints.grid !== undefined || wantedTiles(problem).cuts !== undefined;
  return isWanted && !problem.isNamed ? { kind: 'not-asked', reason: 'the user asked for tiles' } : undefined;
}

/** The answer of a strategy for tiles with one padding, where the user asked for the other. */
export function refusalOfPadding({ constraints }: Problem, padding: 'zero' | 'halo'): NoPlan | undefined {
  if (constraints.padding === undefined || constraints.padding === padding) return undefined;
  return { kind: 'not-asked', reason: `the user asked for tiles with ${constraints.padding} padding` };
}

/** The end of a tile stage with the sizes of its tiles. */
export interface TileCut extends TileEnd {
  readonly rows: readonly number[];
  readonly cols: readonly number[];
}

/** An end with tiles of a grid. Throws TESSERA_PLAN_INVALID where the grid's sizes do not match the number of cells. */
export function cutAt(end: TileEnd, grid: Grid): TileCut {
  const { rows, cols, tensor } = end.cells;
  return { ...end, ...gridSizes(grid, rows, cols, tensor) };
}

/** The ends of tile stages at these tensors, one after another. */
export function endsAt(
  { tiler }: Pick<Problem, 'tiler'>,
  places: readonly (readonly string[])[],
): readonly TileEnd[] | NoPlan {
  const ends: TileEnd[] = [];
  for (const tensors of places) {
    const end = tiler.upTo(ends.at(-1), tensors);
    if (isNoPlan(end)) return end;
    ends.push(end);
  }
  return ends;
}

/** The ends of tile stages at these tensors, one after another, with their tiles. */
export function cutsAt(
  problem: Pick<Problem, 'tiler'>,
  places: readonly (readonly string[])[],
  grids: readonly [Grid, ...Grid[]],
): readonly TileCut[] | NoPlan {
  const ends = endsAt(problem, places);
  return isNoPlan(ends) ? ends : ends.map((end, index) => cutAt(end, grids[index] ?? grids[0]));
}

/**
 * Where a tile stage ends when the user sets no cut: without halo as deep as possible, otherwise where the latency is
 * lowest.
 */
export function bestEnd(
  problem: Problem,
  from: TileEnd | undefined,
  grid: Grid,
  padding: 'zero' | 'halo',
): TileEnd | undefined {
  const end =
    padding === 'halo'
      ? cheapestEnd(problem, from, grid)
      : problem.tiler.reach(from, grid, { leastShare: 1, most: 1 })[0];
  return end !== undefined && isOfUse(end) ? end : undefined;
}

/** Whether the rest of the network, not only the head of an exit, reads the tiles' outputs at an end. */
export function isOfUse({ made, tensors, outputs }: TileEnd): boolean {
  return made.some((tensor) => tensors.includes(tensor) || outputs.includes(tensor));
}

/** The grids that were set, otherwise one with a tile for every node. */
export function gridsOf(
  { grids: [first, ...more] = [] }: Wanted,
  { constraints }: Problem,
): readonly [Grid, ...Grid[]] {
  return first === undefined ? [gridFor(constraints.nodeCount)] : [first, ...more];
}

/** The answer that no part of the network can be computed in tiles of the grid. */
export function untileable({ tiler }: Problem, { rows, cols }: Grid): NoPlan {
  return {
    kind: 'impossible',
    reason: `it cannot be cut into ${rows}x${cols} tiles: ${tiler.obstacle()}`,
    hint: 'leave out --grid: the network then runs whole; `tessera model inspect` shows how far tiles reach',
  };
}
