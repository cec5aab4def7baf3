import { expect, test } from 'vitest';
import { isNoPlan } from '../../../../central/planner/strategy.ts';
import { balanced } from '../../../../central/planner/tiling/balance.ts';
import { fleetOf } from '../../../../central/planner/tiling/fleet.ts';
import { gridsOn, stripsOn, tiledForm } from '../../../../central/planner/tiling/forms.ts';
import { placesOf } from '../../../../central/planner/tiling/places.ts';
import { Stages } from '../../../../central/planner/tiling/stages.ts';
import { clusterOf, smallNetwork } from './clusters.ts';

const problem = clusterOf(smallNetwork(3, 32), [1, 1, 1, 1, 1, 1, 1]);
const [fleet, places] = [fleetOf(problem), placesOf(problem)];
if (isNoPlan(fleet) || isNoPlan(places)) throw new Error('no fleet');
const stages = new Stages(problem, fleet, places);
const to = places.places.findIndex((_, place) => places.geometry.cells(place)?.rows === 16);

test('rows move from the strips in the middle, which have two halos, to those at the edges', () => {
  const form = tiledForm(places.geometry, to, stripsOn(fleet).find(({ rows }) => rows === 7)!)!;
  const even = Math.max(...stages.partsMs(0, to, form)!);
  const after = balanced(stages, { from: 0, to, form });
  expect(Math.max(...stages.partsMs(0, to, after)!)).toBeLessThanOrEqual(even);
  expect(balanced(stages, { from: 0, to, form: after })).toBe(after);
});

test('grids with rows and columns stay as they are', () => {
  const four = gridsOn(fleet).find(({ rows, cols }) => rows === 2 && cols === 2)!;
  const form = tiledForm(places.geometry, to, four)!;
  expect(balanced(stages, { from: 0, to, form })).toBe(form);
});
