import { cutAt, endsAt, refusalOfPadding } from '../cuts/wanted.ts';
import { isNoPlan, type Strategy } from '../strategy.ts';
import { type Fleet, fleetOf } from '../tiling/fleet.ts';
import { gridsOn, type Shape, tiledForm } from '../tiling/forms.ts';
import { placesOf } from '../tiling/places.ts';
import { plansOf } from '../tiling/propose.ts';
import { Search } from '../tiling/search.ts';
import { Stages, type Step } from '../tiling/stages.ts';

const name = 'tiles-fdsp';

/** Most ways that become plans. */
const MOST_WAYS = 24;

/**
 * Tiles that are computed alone, each zero-padded at its own edges (ADCNN, ICPP 2020, section 3). A network that was
 * retrained keeps its cuts and grids; otherwise one tile stage, as deep as it pays, in uneven strips or grids of the cells
 * at its end, since tiles can only begin where those do. The rest is whole or, single layers, in slices of channels.
 */
export const tilesFdsp: Strategy = {
  name,
  propose(problem) {
    const { constraints } = problem;
    const trained = problem.trained.filter(({ padding }) => padding === 'zero');
    const refusal = refusalOfPadding(problem, 'zero');
    if (refusal !== undefined) return refusal;
    if (trained.length === 0 && constraints.padding !== 'zero')
      return {
        kind: 'not-asked',
        reason: 'the network was not retrained for tiles without halo, which change its answers',
        hint: 'docs/retraining.md says how; `--padding zero` asks for such tiles all the same',
      };
    const ends = endsAt(problem, constraints.cuts ?? trained.map(({ after }) => [after]));
    if (isNoPlan(ends)) return ends;
    const fleet = fleetOf(problem);
    if (isNoPlan(fleet)) return fleet;
    const places = placesOf(problem, ends);
    if (isNoPlan(places)) return places;
    const stages = new Stages(problem, fleet, places);
    const search = new Search(stages, []);
    const grids = ends.map((end, index) => {
      const grid = constraints.grid ?? trained[index]?.grid ?? trained[0]?.grid;
      return grid === undefined ? undefined : cutAt(end, grid);
    });
    const shapes = (index: number): readonly Shape[] => shapesOn(fleet, constraints.grid, grids[index]);
    const ways = headsOf(stages, ends.length, shapes).map((head) => {
      const { to, form } = head.at(-1)!;
      const steps = [...head, ...search.after(to, form).steps];
      return { steps, ms: stages.wayMs(steps) };
    });
    const best = ways.filter(({ ms }) => ms < Number.POSITIVE_INFINITY).sort((a, b) => a.ms - b.ms);
    return plansOf(problem, name, stages, best.slice(0, MOST_WAYS));
  },
};

/** The shapes of a stage: with the tiles that were set, or those that the fleet can share. */
function shapesOn(
  fleet: Fleet,
  asked: Parameters<typeof gridsOn>[1],
  cut: { readonly rows: readonly number[]; readonly cols: readonly number[] } | undefined,
): readonly Shape[] {
  if (cut === undefined) return gridsOn(fleet, asked);
  const { rows: rowSizes, cols: colSizes } = cut;
  return gridsOn(fleet, { rows: rowSizes.length, cols: colSizes.length, rowSizes, colSizes });
}

/** The tile stages with which ways begin: those that were asked for, each in its shapes; otherwise one up to any place. */
function headsOf(stages: Stages, asked: number, shapes: (index: number) => readonly Shape[]): Step[][] {
  const { geometry } = stages.places;
  if (asked === 0)
    return Array.from({ length: stages.count - 1 }, (_, index) => index + 1).flatMap((to) =>
      shapes(0).flatMap((shape): Step[][] => {
        const form = tiledForm(geometry, to, shape, 'zero');
        return form === undefined ? [] : [[{ from: 0, to, form }]];
      }),
    );
  return shapes(0).flatMap((_, choice): Step[][] => {
    const head = Array.from({ length: asked }, (_, from): Step | undefined => {
      const form = tiledForm(geometry, from + 1, shapes(from)[choice] ?? shapes(from)[0]!, 'zero');
      return form && { from, to: from + 1, form };
    });
    return head.every((step) => step !== undefined) ? [head] : [];
  });
}
