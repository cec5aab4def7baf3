import fc from 'fast-check';
import { contractProfiles } from '../../../central/planner/contract-problems.ts';
import { predict } from '../../../central/planner/cost/predict.ts';
import { sketch } from '../../../central/planner/cost/sketch.ts';
import { parseProfile } from '../../../central/planner/profile/parse.ts';
import { problemOfProfile } from '../../../central/planner/profile/problem.ts';
import { exhaustive } from '../../../central/planner/strategies/exhaustive.ts';
import { isNoPlan } from '../../../central/planner/strategy.ts';
import { TesseraError } from '../../../shared/errors.ts';
import { editedBytes, thenEdited } from '../edits.ts';
import { bytesOf, type FuzzTarget, must, same, textOf } from '../target.ts';
import { editedTree, jsonText } from '../trees.ts';

/** Profiles are written by hand too. */
export const profile: FuzzTarget = {
  name: 'profile',
  weight: 0.5,
  limitMs: 1000,
  about: 'profiles of any content: refused with a coded error, or with plans whose predictions are numbers',
  seeds: () => contractProfiles().map((one) => bytesOf(JSON.stringify(one))),
  inputs: (seeds) => {
    const trees = seeds.map((seed) => JSON.parse(textOf(seed)) as unknown);
    const values = editedTree(trees).map((tree) => bytesOf(jsonText(tree)));
    return fc.oneof(thenEdited(values, seeds), editedBytes(seeds));
  },
  open: () => ({
    judge(input) {
      let read: ReturnType<typeof parseProfile>;
      try {
        read = parseProfile(JSON.parse(textOf(input)));
      } catch (error) {
        if (error instanceof SyntaxError) return 'refused';
        if (error instanceof TesseraError && error.code === 'TESSERA_PROFILE') return 'refused';
        throw error;
      }
      must(same(parseProfile(JSON.parse(JSON.stringify(read))), read), 'a profile changes when it is read again');
      const problem = problemOfProfile(read, undefined, { top: 3 });
      for (const { times } of problem.nodes)
        must(times!.layer_ms.length === problem.graph.layers.length, 'a node has not one time for each layer');
      const plans = exhaustive.propose(problem);
      if (isNoPlan(plans)) return 'accepted';
      for (const plan of plans) {
        const { latency_ms, period_ms, transferred_bytes } = predict(problem, sketch(plan, problem.graph));
        for (const value of [latency_ms, period_ms, transferred_bytes])
          must(Number.isFinite(value) && value >= 0, () => `${plan.reason} is predicted as ${value}`);
      }
      return 'accepted';
    },
  }),
};
