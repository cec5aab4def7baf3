import type { Plan } from '../../../shared/plan/plan.ts';
import { endsAt, refusalOfPadding } from '../cuts/wanted.ts';
import { isNoPlan, type NoPlan, type Problem } from '../strategy.ts';
import { type Fleet, fleetOf } from './fleet.ts';
import type { Shape } from './forms.ts';
import { placesOf } from './places.ts';
import { plansOf } from './propose.ts';
import { Search, type Way } from './search.ts';
import { Stages } from './stages.ts';

/** Most ways that become plans. */
const MOST_WAYS = 24;

/** The plans of a strategy for tiles with halo in some shapes; `refined` may change each way. */
export function haloTiles(
  problem: Problem,
  strategy: string,
  shapesOn: (fleet: Fleet) => readonly Shape[],
  refined: (stages: Stages, way: Way) => Pick<Way, 'steps'> = (_, way) => way,
): readonly Plan[] | NoPlan {
  const ends = refusalOfPadding(problem, 'halo') ?? endsAt(problem, problem.constraints.cuts ?? []);
  if (isNoPlan(ends)) return ends;
  const fleet = fleetOf(problem);
  if (isNoPlan(fleet)) return fleet;
  const places = placesOf(problem, ends);
  if (isNoPlan(places)) return places;
  const stages = new Stages(problem, fleet, places);
  const ways = new Search(stages, shapesOn(fleet)).ways().slice(0, MOST_WAYS);
  return plansOf(
    problem,
    strategy,
    stages,
    ways.map((way) => refined(stages, way)),
  );
}
