import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Problem } from '../../../../central/planner/strategy.ts';
import { isNoPlan } from '../../../../central/planner/strategy.ts';
import { fleetOf } from '../../../../central/planner/tiling/fleet.ts';
import { gridsOn, heldBy } from '../../../../central/planner/tiling/forms.ts';
import { placesOf } from '../../../../central/planner/tiling/places.ts';
import { formsOf, Search } from '../../../../central/planner/tiling/search.ts';
import type { Held } from '../../../../central/planner/tiling/stage-ms.ts';
import { isDivided, Stages } from '../../../../central/planner/tiling/stages.ts';
import { clusterOf, smallNetwork } from './clusters.ts';

/** If these fail, the fastest way is not found although it is among those that are tried. */

function stagesOf(problem: Problem) {
  const [fleet, places] = [fleetOf(problem), placesOf(problem)];
  if (isNoPlan(fleet) || isNoPlan(places)) throw new Error('no fleet');
  return { fleet, stages: new Stages(problem, fleet, places) };
}

/** The least time of all ways in which a stage is divided, found by trying all of them. */
function bruteForce(problem: Problem): { least: number; ways: number } {
  const { fleet, stages } = stagesOf(problem);
  const forms = formsOf(stages, gridsOn(fleet));
  let [least, ways] = [Number.POSITIVE_INFINITY, 0];
  const goOn = (from: number, held: Held, ms: number, divided: boolean): void => {
    if (from === stages.count - 1) {
      ways++;
      if (divided) least = Math.min(least, ms + stages.answerMs(held));
      return;
    }
    for (let to = from + 1; to < stages.count; to++)
      for (const form of forms[to]!) {
        const own = stages.stageMs(held, from, to, form);
        if (own < Number.POSITIVE_INFINITY) goOn(to, heldBy(form), ms + own, divided || isDivided(form));
      }
  };
  goOn(0, stages.frame(), 0, false);
  return { least, ways };
}

const ms = fc.double({ min: 0.2, max: 5, noNaN: true });
const problems = fc
  .record({
    layers: fc.constantFrom(1, 2),
    times: fc.array(ms, { minLength: 2, maxLength: 2 }),
    mbps: fc.constantFrom(1, 20, 500),
    rtt_ms: fc.constantFrom(0, 0.3, 3),
    source: fc.constantFrom('central', 'pi-1'),
    sink: fc.constantFrom('central', null),
  })
  .map(({ layers, times, ...more }) => clusterOf(smallNetwork(layers, 8), times, more));

describe('the search for tile stages', () => {
  test('finds the least time of all ways that it may take', () => {
    let all = 0;
    fc.assert(
      fc.property(problems, (problem) => {
        const { fleet, stages } = stagesOf(problem);
        const [best] = new Search(stages, gridsOn(fleet)).ways();
        const { least, ways } = bruteForce(problem);
        all += ways;
        expect(best!.ms).toBeCloseTo(least, 9);
        expect(stages.wayMs(best!.steps)).toBeCloseTo(least, 9);
        expect(best!.steps.some(({ form }) => isDivided(form))).toBe(true);
      }),
      { numRuns: 40, endOnFailure: true },
    );
    expect(all).toBeGreaterThan(10_000);
  });

  test('gives each way another first stage, the fastest first', () => {
    const { fleet, stages } = stagesOf(clusterOf(smallNetwork(2, 16), [1, 1, 1, 1]));
    const ways = new Search(stages, gridsOn(fleet)).ways();
    expect(ways.map((way) => way.ms)).toEqual(ways.map((way) => way.ms).toSorted((a, b) => a - b));
    expect(new Set(ways.map(({ steps: [first] }) => first!.form)).size).toBe(ways.length);
  });

  test('goes on from a place where a stage ended in another way', () => {
    const { fleet, stages } = stagesOf(clusterOf(smallNetwork(2, 16), [1, 2, 1]));
    const search = new Search(stages, []);
    const shape = gridsOn(fleet)[0]!;
    const form = formsOf(stages, [shape])[1]!.find(({ division }) => division.kind === 'tiles')!;
    const { steps, ms: left } = search.after(1, form);
    expect(steps[0]!.from).toBe(1);
    const whole = stages.wayMs([{ from: 0, to: 1, form }, ...steps]);
    expect(whole).toBeCloseTo(stages.stageMs(stages.frame(), 0, 1, form) + left, 9);
  });
});
