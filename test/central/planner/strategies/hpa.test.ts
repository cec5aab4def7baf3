import { expect, test } from 'vitest';
import { problemOfProfile } from '../../../../central/planner/profile/problem.ts';
import { hpa } from '../../../../central/planner/strategies/hpa.ts';
import { single } from '../../../../central/planner/strategies/single.ts';
import { MEASURED, measuredProfile, whyNoProfiles } from '../profile/profiles.ts';
import { latencyOf, proposed } from './proposed.ts';

test('on the measured profiles it is as far from the best machine as its description is', ({ skip }) => {
  const why = whyNoProfiles();
  skip(why !== undefined, why);
  const ratios = MEASURED.map(([network, link]) => {
    const problem = problemOfProfile(measuredProfile(network, link));
    return latencyOf(problem, proposed(hpa, problem)) / latencyOf(problem, proposed(single, problem));
  });
  expect(ratios.filter((ratio) => ratio < 1 + 1e-9)).toHaveLength(2);
  expect(Math.max(...ratios)).toBeCloseTo(22.3, 1);
  expect(ratios.sort((a, b) => a - b)[2]).toBeCloseTo(1.09, 2);
});
